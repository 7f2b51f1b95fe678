//! Text Generation Inference. It has no TTFT and counts tokens only as sums of histograms; its
//! time per token includes the prefill, so that it is not mapped to TPOT.

use super::{Metrics, Reason, Server};

pub static TGI: Server = Server {
    name: "tgi",
    description: "Hugging Face Text Generation Inference",
    metrics_path: "/metrics",
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
    log_format: None,
    request_span: None,
    spans_flag: None,
    in_band_flag: None,
    continuous_usage: false,
    span_attributes: &[],
};
