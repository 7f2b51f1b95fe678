//! llama.cpp's server: counters and gauges, no histograms. Single requests are told best by it of all:
//! `timings` in every answer, without the queue. What each name means is said in the dictionary; this file
//! only says how llama.cpp spells it.

use super::{InBand, Metrics, Seen, Server, Signs, Version};
use crate::metric::Metric;

pub static LLAMA_CPP: Server = Server {
    name: "llama_cpp",
    aliases: &["llama-server", "ggml"],
    description: "llama.cpp's llama-server, started with --metrics",
    seen: Seen::Real("b11549"),
    signs: Signs { owned_by: &["llamacpp"], headers: &[("server", "llama.cpp")] },
    versions: &[Version { path: "/props", key: "build_info", only_here: true }],
    metrics_path: Some("/metrics"),
    metrics_flag: Some("--metrics"),
    metrics: Metrics {
        prompt_tokens: &["llamacpp:prompt_tokens"],
        // From the cache, counted apart by newer builds.
        prompt_tokens_left_out: &["llamacpp:prompt_tokens_cached"],
        generation_tokens: &["llamacpp:tokens_predicted"],
        decode_seconds: &["llamacpp:tokens_predicted_seconds"],
        running: &["llamacpp:requests_processing"],
        waiting: &["llamacpp:requests_deferred"],
        kv_cache_usage: &["llamacpp:kv_cache_usage_ratio"],
        ..Metrics::NONE
    },
    measures: &[
        (
            Metric::Prefill,
            "from the slot's start on the prompt until its first token is sampled, with what others of the batch cost; \
             tokens found in the cache are not computed",
        ),
        (Metric::Decode, "from the first token's sampling to the last's"),
        (Metric::Queue, "not told: waiting for a slot is in none of its times"),
    ],
    log_format: Some("llama_cpp"),
    request_span: None,
    spans_flag: None,
    in_band: InBand::Always("prefill and decode (`timings`), cached tokens; not the queue"),
    stat_log_flag: None,
    continuous_usage: false,
    quirks: &[
        "the answer's id is its own: `X-Request-Id` is not used",
        "prompt tokens found in the cache are counted apart, by older builds not at all",
        "does not count finished requests",
        "closes the connection after a streamed answer",
        "prints counters with six digits: beyond a million tokens they are rounded",
    ],
    span_attributes: &[],
};
