//! What the look-alike says when it comes and goes: the lines of vLLM 0.32's log from which tools
//! take the version, the address and the moment it is ready. This file must not know anything else
//! that happens in between.

use std::fmt::Write as _;
use std::net::SocketAddr;

use super::ServeOptions;
use super::log::Log;
use super::python;
use super::schedule::Limits;
use super::tokens::BLOCK;

/// The version whose behaviour is looked alike.
pub const VERSION: &str = "0.32.0";

/// Routes and their methods.
pub const ROUTES: [(&str, &str); 8] = [
    ("/version", "GET"),
    ("/health", "GET"),
    ("/metrics", "GET"),
    ("/tokenize", "POST"),
    ("/v1/models", "GET"),
    ("/ping", "GET"),
    ("/v1/chat/completions", "POST"),
    ("/v1/completions", "POST"),
];

/// From the banner to `Application startup complete.`; the socket is listening already.
pub fn begin(log: &Log, options: &ServeOptions, address: SocketAddr) {
    let embedded = &options.embedded;
    let banner = |text: &str| log.info("api_utils.py:347", text);
    banner("");
    banner("       █     █     █▄   ▄█");
    banner(&format!(" ▄▄ ▄█ █     █     █ ▀▄▀ █  version {VERSION}"));
    banner(&format!("  █▄█▀ █     █     █     █  model   {}", embedded.model));
    banner("   ▀▀  ▀▀▀▀▀ ▀▀▀▀▀ ▀     ▀");
    banner("");
    log.info("api_utils.py:286", &format!("non-default args: {}", arguments(options, address)));
    log.info("model.py:2152", &format!("Using max model len {}", embedded.max_model_len));
    let budget = embedded.max_num_batched_tokens;
    log.info(
        "scheduler.py:254",
        &format!("Chunked prefill is enabled with max_num_batched_tokens={budget}."),
    );
    let model = python::quoted(&embedded.model);
    log.engine_core(
        "core.py:133",
        &format!(
            "Initializing a V1 LLM engine (v{VERSION}) with config: model={model}, max_seq_len={}, seed={}, \
             served_model_name={}, enable_prefix_caching=True, enable_chunked_prefill=True",
            embedded.max_model_len, embedded.seed, embedded.model
        ),
    );
    let limits = super::engine::limits(embedded);
    log.engine_core("kv_cache_utils.py:2327", &kv_line(&limits));
    log.engine_core("core.py:402", "init engine (profile, create kv cache, warmup model) took 0.00 s");
    log.info("entry.py:136", "Supported tasks: ['generate']");
    log.info("entry.py:140", &format!("Starting vLLM server on http://{address}"));
    log.info("launcher.py:186", "Available routes are:");
    for (route, method) in ROUTES {
        log.info("launcher.py:195", &format!("Route: {route}, Methods: {method}"));
    }
    log.uvicorn("INFO", &format!("Started server process [{}]", log.pid()));
    log.uvicorn("INFO", "Waiting for application startup.");
    log.uvicorn("INFO", "Application startup complete.");
}

/// The server has been told to stop.
pub fn end(log: &Log) {
    log.info("launcher.py:254", "[shutdown] API server: shutdown triggered");
    log.info("launcher.py:270", "[shutdown] API server: stopping engine client mode=abort timeout=0s");
    log.uvicorn("INFO", "Shutting down");
}

/// It has stopped.
pub fn ended(log: &Log) {
    log.uvicorn("INFO", "Waiting for application shutdown.");
    log.uvicorn("INFO", "Application shutdown complete.");
}

fn kv_line(limits: &Limits) -> String {
    let tokens = grouped(limits.kv_blocks() * BLOCK as u64);
    format!(
        "GPU KV cache size: {tokens} tokens, Maximum concurrency for {} tokens per request: {:.2}x",
        grouped(u64::from(limits.max_model_len)),
        f64::from(limits.max_num_seqs)
    )
}

fn arguments(options: &ServeOptions, address: SocketAddr) -> String {
    let embedded = &options.embedded;
    let model = python::quoted(&embedded.model);
    let mut text = format!(
        "{{'model_tag': {model}, 'host': '{}', 'port': {}, 'model': {model}, 'max_model_len': {}, \
         'served_model_name': [{model}], 'max_num_batched_tokens': {}, 'max_num_seqs': {}",
        address.ip(),
        address.port(),
        embedded.max_model_len,
        embedded.max_num_batched_tokens,
        embedded.max_num_seqs
    );
    let flags = [
        ("enable_log_requests", embedded.enable_log_requests),
        ("enable_per_request_metrics", embedded.enable_per_request_metrics),
        ("enable_request_id_headers", options.request_id_headers),
    ];
    for (name, _) in flags.iter().filter(|(_, on)| *on) {
        let _ = write!(text, ", '{name}': True");
    }
    if let Some(endpoint) = options.otlp_endpoint.as_deref().filter(|_| embedded.spans) {
        let _ = write!(text, ", 'otlp_traces_endpoint': {}", python::quoted(endpoint));
    }
    text + "}"
}

/// Thousands separated by commas.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Embedded;

    #[test]
    fn the_memory_line_counts_full_contexts() {
        let limits = Limits { max_num_seqs: 256, max_num_batched_tokens: 2048, max_model_len: 8192 };
        assert_eq!(
            kv_line(&limits),
            "GPU KV cache size: 2,097,152 tokens, Maximum concurrency for 8,192 tokens per request: 256.00x"
        );
    }

    #[test]
    fn arguments_print_as_a_python_dict() {
        let options = ServeOptions {
            otlp_endpoint: Some("http://127.0.0.1:4318".to_owned()),
            embedded: Embedded { enable_log_requests: false, ..Embedded::default() },
            ..ServeOptions::default()
        };
        let text = arguments(&options, SocketAddr::from(([127, 0, 0, 1], 8000)));
        assert!(text.starts_with("{'model_tag': 'tare-mock', 'host': '127.0.0.1', 'port': 8000, "), "{text}");
        assert!(text.ends_with(
            ", 'enable_per_request_metrics': True, 'otlp_traces_endpoint': 'http://127.0.0.1:4318'}"
        ));
    }
}
