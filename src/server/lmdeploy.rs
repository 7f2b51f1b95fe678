//! `LMDeploy`'s `api_server`, by the sources of its 0.18. Its metrics were taken over from vLLM, but not
//! every one means the same. Nothing is told of single requests.

use super::{InBand, Metrics, Reason, Seen, Server, Signs};
use crate::metric::Metric;

pub static LMDEPLOY: Server = Server {
    name: "lmdeploy",
    aliases: &["lmdeploy-chat", "turbomind"],
    description: "LMDeploy's api_server, started with --enable-metrics",
    seen: Seen::Sources("0.18.0"),
    signs: Signs { owned_by: &["lmdeploy"], headers: &[] },
    versions: &[],
    metrics_path: Some("/metrics"),
    metrics_flag: Some("--enable-metrics"),
    metrics: Metrics {
        ttft: &["lmdeploy:time_to_first_token_seconds"],
        itl: &["lmdeploy:iter_token_latency"],
        // Its `time_per_output_token_seconds` is of each step, not of each request: no TPOT.
        e2e: &["lmdeploy:e2e_request_latency_seconds"],
        queue: &["lmdeploy:request_queue_time_seconds"],
        prefill: &["lmdeploy:request_prefill_time_seconds"],
        decode: &["lmdeploy:request_decode_time_seconds"],
        prompt_tokens: &["lmdeploy:prompt_tokens"],
        generation_tokens: &["lmdeploy:generation_tokens"],
        finished: &[("lmdeploy:request_success", Reason::Label("finished_reason"))],
        running: &["lmdeploy:num_requests_running"],
        waiting: &["lmdeploy:num_requests_waiting"],
        kv_cache_usage: &["lmdeploy:gpu_cache_usage_perc"],
        ..Metrics::NONE
    },
    measures: &[
        (Metric::Itl, "one observation a step, which may bring several tokens"),
        (Metric::Decode, "from the first token in the engine until the front end has the last one"),
        (Metric::E2e, "ends when the front end has the last token, before it is written"),
    ],
    log_format: None,
    request_span: None,
    spans_flag: None,
    in_band: InBand::Never,
    stat_log_flag: None,
    continuous_usage: false,
    quirks: &["one of its versions counts generated tokens twice: the check of output tokens tells"],
    span_attributes: &[],
};
