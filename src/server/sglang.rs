//! `SGLang`, as far as its metrics page and spans go; its log has no parser yet.

use super::{Metrics, Reason, Server, SpanField};

pub static SGLANG: Server = Server {
    name: "sglang",
    description: "SGLang, started with --enable-metrics",
    metrics_path: "/metrics",
    metrics_flag: Some("--enable-metrics"),
    metrics: Metrics {
        ttft: &["sglang:time_to_first_token_seconds"],
        itl: &["sglang:inter_token_latency_seconds"],
        tpot: &["sglang:request_time_per_output_token_seconds"],
        e2e: &["sglang:e2e_request_latency_seconds"],
        queue: &["sglang:queue_time_seconds"],
        prompt_tokens: &["sglang:prompt_tokens"],
        generation_tokens: &["sglang:generation_tokens"],
        finished: &[("sglang:num_requests", Reason::Is("finished"))],
        running: &["sglang:num_running_reqs"],
        waiting: &["sglang:num_queue_reqs"],
        kv_cache_usage: &["sglang:token_usage"],
        ..Metrics::NONE
    },
    log_format: None,
    request_span: None,
    spans_flag: Some("--enable-trace"),
    in_band_flag: None,
    continuous_usage: true,
    span_attributes: &[
        ("gen_ai.request.id", SpanField::RequestId),
        ("gen_ai.latency.time_to_first_token", SpanField::Ttft),
        ("gen_ai.latency.e2e", SpanField::E2e),
        ("gen_ai.latency.time_in_queue", SpanField::Queue),
        ("gen_ai.usage.prompt_tokens", SpanField::InputTokens),
        ("gen_ai.usage.completion_tokens", SpanField::OutputTokens),
    ],
};
