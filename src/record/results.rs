//! What `vllm bench serve` would say of a run, in its words: where its result goes, which figures it has, and
//! what was asked for as it was asked. This file must not know how a figure is made.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How results are told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Results {
    /// `None`: no file is written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save: Option<Save>,
    pub style: Style,
    /// Names in the table of `report::vllm`.
    pub metrics: Vec<String>,
    pub percentiles: Vec<f64>,
    pub asked: Asked,
}

/// The file, and what is in it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Save {
    /// Each request's times, too.
    pub detailed: bool,
    /// At the end of the file that is there.
    pub append: bool,
    pub dir: Option<PathBuf>,
    /// `None`: the name follows from what was asked, and when.
    pub file: Option<PathBuf>,
}

/// How the report is printed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Style {
    /// Both sides, with intervals.
    #[default]
    Tare,
    /// The block of `vllm bench serve`.
    Vllm,
}

/// What was asked for, as `vllm bench serve` names it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    pub backend: String,
    /// `--model`, where requests may be for another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_prompts: Option<u64>,
    /// `None`: infinite.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_rate: Option<f64>,
    /// `None`: infinite, equal gaps.
    pub burstiness: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp_up: Option<RampUp>,
}

/// A rate that goes from one to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RampUp {
    pub strategy: String,
    pub start_rps: f64,
    pub end_rps: f64,
}

/// The metrics there are: name, what is in its titles, the heading of its block.
pub const METRICS: [(&str, &str, &str); 6] = [
    ("ttft", "TTFT", "Time to First Token"),
    ("tpot", "TPOT", "Time per Output Token (excl. 1st token)"),
    ("itl", "ITL", "Inter-token Latency"),
    ("e2el", "E2EL", "End-to-end Latency"),
    ("client_queue_time", "Client Queue Time", "Client-side Queueing"),
    ("e2el_including_client_queue", "E2EL incl. Client Queue", "Queue-inclusive End-to-end Latency"),
];

impl Default for Results {
    fn default() -> Self {
        Self {
            save: None,
            style: Style::Tare,
            metrics: METRICS.iter().take(3).map(|(name, ..)| (*name).to_owned()).collect(),
            percentiles: vec![99.0],
            asked: Asked { burstiness: Some(1.0), ..Asked::default() },
        }
    }
}
