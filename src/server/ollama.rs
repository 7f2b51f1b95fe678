//! Ollama, by its sources: no page of metrics. Durations of single requests are in the last object of its
//! native API alone (`/api/chat`: `load_duration`, `prompt_eval_duration`, `eval_duration`, nanoseconds);
//! its OpenAI API, which is the one that is loaded, leaves them out.

use super::{InBand, Metrics, Seen, Server, Signs, Version};

pub static OLLAMA: Server = Server {
    name: "ollama",
    aliases: &[],
    description: "Ollama",
    seen: Seen::Sources("0.12"),
    // Of models that were pulled; those made there have another owner.
    signs: Signs { owned_by: &["library"], headers: &[] },
    versions: &[Version { path: "/api/version", key: "version", only_here: true }],
    metrics_path: None,
    metrics_flag: None,
    metrics: Metrics::NONE,
    measures: &[],
    log_format: None,
    request_span: None,
    spans_flag: None,
    in_band: InBand::Never,
    stat_log_flag: None,
    continuous_usage: false,
    quirks: &[
        "durations of requests are told by its native API only, which is not loaded",
        "the first request loads the model: warm it up",
    ],
    span_attributes: &[],
};
