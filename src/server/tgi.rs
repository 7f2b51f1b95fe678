//! Text Generation Inference, by the sources of its 3.x. It has no TTFT and counts tokens only as sums of
//! histograms; its time per token includes the prefill, so that it is not mapped to TPOT. Single requests
//! are told in the headers of answers that are not streamed, and in its log.

use super::{InBand, Metrics, Reason, Seen, Server, Signs, Version};
use crate::metric::Metric;

pub static TGI: Server = Server {
    name: "tgi",
    aliases: &["text-generation-inference", "huggingface-tgi", "hf-tgi"],
    description: "Hugging Face Text Generation Inference",
    seen: Seen::Sources("3.3"),
    // The owner of a model is the model's own name there.
    signs: Signs { owned_by: &[], headers: &[("x-compute-type", "")] },
    versions: &[Version { path: "/info", key: "version", only_here: true }],
    metrics_path: Some("/metrics"),
    metrics_flag: None,
    metrics: Metrics {
        e2e: &["tgi_request_duration"],
        queue: &["tgi_request_queue_duration"],
        prompt_tokens: &["tgi_request_input_length_sum"],
        generation_tokens: &["tgi_request_generated_tokens_sum"],
        finished: &[
            ("tgi_request_success", Reason::Is("success")),
            ("tgi_request_failure", Reason::Is("error")),
        ],
        running: &["tgi_batch_current_size"],
        waiting: &["tgi_queue_size"],
        ..Metrics::NONE
    },
    measures: &[
        (Metric::E2e, "from the handler's start, after the body is parsed, until the last token is there"),
        (Metric::Queue, "from validation's end until the request is taken into a batch"),
    ],
    log_format: Some("tgi"),
    request_span: None,
    spans_flag: Some("--otlp-endpoint"),
    in_band: InBand::Always(
        "queue, inference (prefill and decode together) and E2E in whole milliseconds, in the headers of answers that are not streamed",
    ),
    stat_log_flag: None,
    continuous_usage: false,
    quirks: &["without `max_tokens` an answer has 100", "`ignore_eos` is not known and passed over"],
    span_attributes: &[],
};
