//! TensorRT-LLM's `trtllm-serve`, by its sources. Its metrics page is beside `/metrics`, which is JSON and
//! something else; single requests are told by `/perf_metrics`, on its steady clock and without the
//! answer's id.

use super::{InBand, Metrics, Reason, Seen, Server, Signs, Version};
use crate::metric::Metric;

pub static TENSORRT_LLM: Server = Server {
    name: "tensorrt_llm",
    aliases: &["trtllm", "trtllm-serve", "trt"],
    description: "TensorRT-LLM's trtllm-serve",
    seen: Seen::Sources("1.3"),
    signs: Signs { owned_by: &["tensorrt_llm"], headers: &[] },
    versions: &[Version { path: "/version", key: "version", only_here: false }],
    metrics_path: Some("/prometheus/metrics"),
    metrics_flag: Some("return_perf_metrics: true (in its --config file)"),
    metrics: Metrics {
        ttft: &["trtllm_time_to_first_token_seconds"],
        tpot: &["trtllm_time_per_output_token_seconds"],
        e2e: &["trtllm_e2e_request_latency_seconds"],
        queue: &["trtllm_request_queue_time_seconds"],
        prefill: &["trtllm_request_prefill_time_seconds"],
        decode: &["trtllm_request_decode_time_seconds"],
        prompt_tokens: &["trtllm_prompt_tokens"],
        generation_tokens: &["trtllm_generation_tokens"],
        finished: &[
            ("trtllm_request_success", Reason::Label("finished_reason")),
            ("trtllm_request_error", Reason::Is("error")),
        ],
        running: &["trtllm_num_requests_running"],
        waiting: &["trtllm_num_requests_waiting"],
        kv_cache_usage: &["trtllm_kv_cache_utilization"],
        ..Metrics::NONE
    },
    measures: &[
        (
            Metric::Ttft,
            "the executor's: from its arrival there, after template and tokenizer, to the first token",
        ),
        (Metric::Tpot, "the executor's: decode / (tokens - 1)"),
        (Metric::E2e, "the executor's: from its arrival there to the last token"),
    ],
    log_format: None,
    request_span: None,
    spans_flag: Some("--otlp_traces_endpoint"),
    in_band: InBand::Never,
    stat_log_flag: None,
    continuous_usage: true,
    quirks: &[
        "refuses fields of the body that it does not know",
        "`GET /perf_metrics` (return_perf_metrics, perf_metrics_max_requests) tells of single requests by an id that no answer has",
    ],
    span_attributes: &[],
};
