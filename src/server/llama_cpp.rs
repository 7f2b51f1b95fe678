//! llama.cpp's server: counters and gauges, no histograms; per-request times come in the answers.

use super::{Metrics, Server};

pub static LLAMA_CPP: Server = Server {
    name: "llama_cpp",
    description: "llama.cpp's llama-server, started with --metrics",
    metrics_path: "/metrics",
    metrics_flag: Some("--metrics"),
    metrics: Metrics {
        prompt_tokens: &["llamacpp:prompt_tokens"],
        generation_tokens: &["llamacpp:tokens_predicted"],
        running: &["llamacpp:requests_processing"],
        waiting: &["llamacpp:requests_deferred"],
        kv_cache_usage: &["llamacpp:kv_cache_usage_ratio"],
        ..Metrics::NONE
    },
    log_format: None,
    request_span: None,
    spans_flag: None,
    in_band_flag: None,
    continuous_usage: false,
    span_attributes: &[],
};
