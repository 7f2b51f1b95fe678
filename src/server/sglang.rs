//! `SGLang`, by the sources of its 0.5.23. Its best source of single requests is the file that
//! `--export-metrics-to-file` makes it write: wall-clock stamps of the arrival, the first and the last
//! token. What each name means is said in the dictionary; this file only says how `SGLang` spells it.

use super::{InBand, Metrics, Reason, Seen, Server, Signs, SpanField, Version};
use crate::metric::Metric;

pub static SGLANG: Server = Server {
    name: "sglang",
    aliases: &["sglang-oai", "sglang-oai-chat", "srt"],
    description: "SGLang, started with --enable-metrics",
    seen: Seen::Sources("0.5.23"),
    signs: Signs { owned_by: &["sglang"], headers: &[] },
    // Both are asked of their own: the first is large, the second is the older path.
    versions: &[
        Version { path: "/server_info", key: "version", only_here: false },
        Version { path: "/get_server_info", key: "version", only_here: true },
    ],
    metrics_path: Some("/metrics"),
    metrics_flag: Some("--enable-metrics"),
    metrics: Metrics {
        ttft: &["sglang:time_to_first_token_seconds"],
        // `sglang:time_per_output_token_seconds` of old versions is neither: a running mean of a stream.
        itl: &["sglang:inter_token_latency_seconds"],
        tpot: &["sglang:request_time_per_output_token_seconds"],
        e2e: &["sglang:e2e_request_latency_seconds"],
        queue: &["sglang:queue_time_seconds"],
        prompt_tokens: &["sglang:prompt_tokens"],
        generation_tokens: &["sglang:generation_tokens"],
        finished: &[("sglang:num_requests", Reason::Is("finished"))],
        running: &["sglang:num_running_reqs"],
        waiting: &["sglang:num_queue_reqs"],
        kv_cache_usage: &["sglang:token_usage", "sglang:full_token_usage"],
        ..Metrics::NONE
    },
    measures: &[
        (
            Metric::Ttft,
            "from the handler's start, after the body is parsed and before template and tokenizer, until the \
             tokenizer's process has the first token",
        ),
        (Metric::Itl, "each token counts, with its step's time / its step's tokens"),
        (Metric::E2e, "until the tokenizer's process has the last token, before it is written"),
        (
            Metric::Queue,
            "from the scheduler's waiting queue to the first forward pass, not again after a retraction",
        ),
    ],
    log_format: Some("sglang"),
    request_span: None,
    spans_flag: Some("--enable-trace"),
    in_band: InBand::Never,
    stat_log_flag: Some("--enable-metrics --export-metrics-to-file --export-metrics-to-file-dir DIR"),
    continuous_usage: true,
    quirks: &[
        "the answer's id is `rid` of the body, else one of its own: `X-Request-Id` is not used",
        "counts tokens and requests only as they finish",
    ],
    span_attributes: &[
        ("gen_ai.request.id", SpanField::RequestId),
        ("gen_ai.latency.time_to_first_token", SpanField::Ttft),
        ("gen_ai.latency.e2e", SpanField::E2e),
        ("gen_ai.latency.time_in_queue", SpanField::Queue),
        // Its `time_in_model_prefill` begins when the request is handed to the scheduler: the queue is in it.
        ("gen_ai.latency.time_in_model_decode", SpanField::Decode),
        ("gen_ai.usage.prompt_tokens", SpanField::InputTokens),
        ("gen_ai.usage.completion_tokens", SpanField::OutputTokens),
    ],
};
