//! What another load tool says of its run as a whole, where its file holds no single requests. This file
//! must not know any tool.

use serde::{Deserialize, Serialize};

use crate::metric::Metric;

/// Its place in the manifest.
pub const KEY: &str = "client_totals";

/// A tool's own summary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientTotals {
    /// Whose summary it is.
    pub tool: String,
    pub completed: Option<u64>,
    pub failed: Option<u64>,
    pub duration_s: Option<f64>,
    pub output_tokens: Option<u64>,
    pub figures: Vec<Figure>,
}

/// One metric's figures in seconds, by that tool's own estimators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// What the server's figure must be to mean the same.
    pub metric: Metric,
    /// What the tool calls it.
    pub called: String,
    pub n: Option<u64>,
    pub mean_s: f64,
    pub std_s: Option<f64>,
    pub p50_s: Option<f64>,
    pub p99_s: Option<f64>,
}
