//! What is concluded about whatever stands between client and server: each verdict with its evidence, what
//! is at stake and what mends it. This file must not know how a verdict is reached or shown.

use serde::Serialize;

pub use super::diagnosis::Sure;
use crate::metric::Metric;
use crate::stats::Estimate;

/// One verdict about one route.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerdictRow {
    /// The rule, as its file is called.
    pub rule: &'static str,
    pub kind: Kind,
    /// What is the matter, in one line.
    pub what: String,
    /// Which requests: those of a run, or of one arm.
    pub route: String,
    /// Requests that show it, of those that could.
    pub n: usize,
    pub of: usize,
    /// What speaks for it, a sentence each, with its numbers.
    pub evidence: Vec<String>,
    pub at_stake: Option<Stake>,
    pub certainty: Sure,
    /// Products that name themselves on the way, or that a log tells of.
    pub products: Vec<String>,
    /// What mends it in those products; in all that do this, where none is known.
    pub remedies: Vec<Remedy>,
}

/// What sort of thing a verdict tells of.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Tokens that were there are kept back; it costs the first more than the last.
    Hold,
    /// All tokens come later alike: waiting for a turn, or work on each.
    Queue,
    /// Only the answer's head is late: no token is.
    Head,
    /// The server does more than it was asked for.
    Work,
    /// What the logs tell, or what they can be joined by, is wrong.
    Record,
    /// Answers are lost.
    Loss,
}

impl Kind {
    /// The word used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Hold => "hold",
            Kind::Queue => "queue",
            Kind::Head => "head only",
            Kind::Work => "extra work",
            Kind::Record => "record",
            Kind::Loss => "loss",
        }
    }
}

/// What it costs a request, in seconds: the mean over requests, paired where both ends are known.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stake {
    pub metric: Metric,
    pub seconds: Estimate,
}

/// What mends it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Remedy {
    pub product: &'static str,
    /// As it is written in the product's configuration.
    pub setting: &'static str,
    /// Where its documentation says so.
    pub doc: &'static str,
}
