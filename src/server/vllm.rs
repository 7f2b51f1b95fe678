//! vLLM, versions 0.2 to today, both engines and both front ends. What each name means is said in
//! the dictionary; this file only says how vLLM spells it.

use super::{InBand, Metrics, Reason, Seen, Server, Signs, SpanField, Version};
use crate::metric::Metric;

pub static VLLM: Server = Server {
    name: "vllm",
    aliases: &["vllm-chat", "vllm-openai"],
    description: "vLLM 0.2 and later, with the Python or the Rust front end",
    seen: Seen::Real("0.24.0 on a GPU, 0.32.0 on a CPU"),
    signs: Signs { owned_by: &["vllm"], headers: &[] },
    versions: &[Version { path: "/version", key: "version", only_here: false }],
    metrics_path: Some("/metrics"),
    metrics_flag: None,
    metrics: Metrics {
        ttft: &["vllm:time_to_first_token_seconds"],
        // Up to 0.11 the gap between steps was called "time per output token". It is not what
        // TPOT means here and in later versions (a mean per request).
        itl: &["vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"],
        tpot: &["vllm:request_time_per_output_token_seconds"],
        e2e: &["vllm:e2e_request_latency_seconds"],
        queue: &["vllm:request_queue_time_seconds", "vllm:time_in_queue_requests"],
        prefill: &["vllm:request_prefill_time_seconds"],
        decode: &["vllm:request_decode_time_seconds"],
        prompt_tokens: &["vllm:prompt_tokens"],
        generation_tokens: &["vllm:generation_tokens"],
        finished: &[("vllm:request_success", Reason::Label("finished_reason"))],
        running: &["vllm:num_requests_running"],
        waiting: &["vllm:num_requests_waiting"],
        kv_cache_usage: &["vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"],
        ..Metrics::NONE
    },
    measures: &[
        (
            Metric::Ttft,
            "from before template and tokenizer (up to 0.14: after them) until the API server takes the first token; \
             aborted requests are in it",
        ),
        (Metric::Itl, "one observation a step, which may bring several tokens"),
        (
            Metric::E2e,
            "ends when the API server takes the last token, before it is written; without aborted requests",
        ),
        (
            Metric::Queue,
            "until first scheduled: waiting after a preemption is not in it, but in prefill or decode",
        ),
    ],
    log_format: Some("vllm"),
    request_span: Some("llm_request"),
    spans_flag: Some("--otlp-traces-endpoint"),
    in_band: InBand::With {
        flag: "--enable-per-request-metrics",
        tells: "queue, prefill (its `time_to_first_token_ms`) and decode; from 0.25",
    },
    stat_log_flag: Some("the plugin assets/vllm_tare_logger and TARE_STAT_LOG=FILE (0.20 or newer)"),
    continuous_usage: true,
    quirks: &["`X-Request-Id` becomes the end of the answer's id"],
    span_attributes: &[
        ("gen_ai.request.id", SpanField::RequestId),
        ("gen_ai.latency.time_to_first_token", SpanField::Ttft),
        ("gen_ai.latency.e2e", SpanField::E2e),
        ("gen_ai.latency.time_in_queue", SpanField::Queue),
        ("gen_ai.latency.time_in_model_prefill", SpanField::Prefill),
        ("gen_ai.latency.time_in_model_decode", SpanField::Decode),
        ("gen_ai.usage.prompt_tokens", SpanField::InputTokens),
        ("gen_ai.usage.input_tokens", SpanField::InputTokens),
        ("gen_ai.usage.completion_tokens", SpanField::OutputTokens),
        ("gen_ai.usage.output_tokens", SpanField::OutputTokens),
    ],
};
