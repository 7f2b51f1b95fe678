//! What the look-alike says when it comes and goes: the lines of vLLM 0.32's log from which tools
//! take the version, the address and the moment it is ready. This file must not know anything else
//! that happens in between.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::config::Embedded;

use super::ServeOptions;
use super::log::Log;
use super::python;
use super::schedule::Limits;
use super::tokens::BLOCK;

/// The version whose behaviour is looked alike.
pub const VERSION: &str = "0.32.0";

/// Routes and their methods.
pub const ROUTES: [(&str, &str); 9] = [
    ("/version", "GET"),
    ("/health", "GET"),
    ("/metrics", "GET"),
    ("/tokenize", "POST"),
    ("/v1/models", "GET"),
    ("/ping", "GET"),
    ("/v1/chat/completions", "POST"),
    ("/v1/responses", "POST"),
    ("/v1/completions", "POST"),
];

/// The log as the main process and as each API server writes it: where there is one API server, that is
/// the main process.
pub fn processes(log: &Log, api_servers: u16) -> (Log, Vec<Log>) {
    if api_servers <= 1 {
        let server = log.of("APIServer");
        return (server.clone(), vec![server]);
    }
    let servers = (0..api_servers).map(|server| log.of(&format!("ApiServer_{server}"))).collect();
    (log.of("MainProcess"), servers)
}

/// From the banner to `Application startup complete.`; the socket is listening already.
pub fn begin(main: &Log, servers: &[Log], options: &ServeOptions, address: SocketAddr) {
    let embedded = &options.embedded;
    banner(main, &embedded.model);
    main.info("api_utils.py:286", &format!("non-default args: {}", arguments(options, address)));
    let several = servers.len() > 1;
    if several {
        model(main, embedded);
        main.info("utils.py:261", &format!("Started {} API server processes", servers.len()));
    }
    for server in servers {
        model(server, embedded);
        let budget = embedded.max_num_batched_tokens;
        server.info(
            "scheduler.py:254",
            &format!("Chunked prefill is enabled with max_num_batched_tokens={budget}."),
        );
    }
    if embedded.data_parallel_size > 1 {
        main.info("utils.py:1245", &format!("Started DP Coordinator process (PID: {})", main.pid()));
    }
    engines(main, embedded);
    for server in servers {
        if several {
            server.warning(
                "loggers.py:1386",
                "AsyncLLM created with api_server_count more than 1; disabling stats logging to avoid incomplete \
                 stats.",
            );
        }
        server.info("entry.py:136", "Supported tasks: ['generate']");
        server.info("entry.py:140", &format!("Starting vLLM server on http://{address}"));
        server.info("launcher.py:186", "Available routes are:");
        for (route, method) in ROUTES {
            server.info("launcher.py:195", &format!("Route: {route}, Methods: {method}"));
        }
        server.uvicorn("INFO", "server.py:103", &format!("Started server process [{}]", server.pid()));
        server.uvicorn("INFO", "on.py:48", "Waiting for application startup.");
    }
    main.serving(address);
    for server in servers {
        server.uvicorn("INFO", "on.py:62", "Application startup complete.");
    }
}

/// The server has been told to stop.
pub fn end(main: &Log, servers: &[Log]) {
    if servers.len() > 1 {
        main.info("serve.py:396", "Waiting up to 0 seconds for processes to exit");
    }
    for server in servers {
        server.info("launcher.py:254", "[shutdown] API server: shutdown triggered");
        server.info("launcher.py:270", "[shutdown] API server: stopping engine client mode=abort timeout=0s");
        server.uvicorn("INFO", "server.py:282", "Shutting down");
    }
}

/// It has stopped.
pub fn ended(log: &Log) {
    log.uvicorn("INFO", "on.py:67", "Waiting for application shutdown.");
    log.uvicorn("INFO", "on.py:76", "Application shutdown complete.");
}

/// A picture for people, or a line where logging was configured.
fn banner(main: &Log, model: &str) {
    let say = |text: &str| main.info("api_utils.py:347", text);
    if main.is_configured() {
        return say(&format!("vLLM server version {VERSION}, serving model {model}"));
    }
    say("");
    say("       █     █     █▄   ▄█");
    say(&format!(" ▄▄ ▄█ █     █     █ ▀▄▀ █  version {VERSION}"));
    say(&format!("  █▄█▀ █     █     █     █  model   {model}"));
    say("   ▀▀  ▀▀▀▀▀ ▀▀▀▀▀ ▀     ▀");
    say("");
}

fn model(log: &Log, embedded: &Embedded) {
    log.info("model.py:2152", &format!("Using max model len {}", embedded.max_model_len));
}

fn engines(main: &Log, embedded: &Embedded) {
    let model = python::quoted(&embedded.model);
    let limits = super::engine::limits(embedded);
    let parallel = embedded.data_parallel_size > 1;
    for engine in 0..embedded.data_parallel_size {
        let log = main.of(&if parallel { format!("EngineCore_DP{engine}") } else { "EngineCore".to_owned() });
        if engine == 0 {
            log.info(
                "core.py:133",
                &format!(
                    "Initializing a V1 LLM engine (v{VERSION}) with config: model={model}, max_seq_len={}, seed={}, \
                     served_model_name={}, enable_prefix_caching=True, enable_chunked_prefill=True",
                    embedded.max_model_len, embedded.seed, embedded.model
                ),
            );
        }
        log.info("kv_cache_utils.py:2327", &kv_line(&limits));
        log.info("core.py:402", "init engine (profile, create kv cache, warmup model) took 0.00 s");
    }
    if parallel {
        let coordinator = main.of("VLLM_DP_Coordinator");
        coordinator.info("coordinator.py:258", "All engine subscriptions received by DP coordinator");
    }
}

fn kv_line(limits: &Limits) -> String {
    let tokens = grouped(limits.kv_blocks() * BLOCK as u64);
    format!(
        "GPU KV cache size: {tokens} tokens, Maximum concurrency for {} tokens per request: {:.2}x",
        grouped(u64::from(limits.max_model_len)),
        (limits.kv_blocks() * BLOCK as u64) as f64 / f64::from(limits.max_model_len.max(1))
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
    let counts = [
        ("api_server_count", embedded.api_server_count),
        ("data_parallel_size", embedded.data_parallel_size),
    ];
    for (name, count) in counts.iter().filter(|(_, count)| *count > 1) {
        let _ = write!(text, ", '{name}': {count}");
    }
    let flags = [
        ("enable_log_requests", embedded.enable_log_requests),
        ("enable_log_outputs", embedded.enable_log_outputs),
        ("enable_logging_iteration_details", embedded.enable_logging_iteration_details),
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

    #[test]
    fn the_memory_line_counts_full_contexts() {
        let limits = Limits {
            max_num_seqs: 256,
            max_num_batched_tokens: 2048,
            max_model_len: 8192,
            num_gpu_blocks: None,
        };
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
