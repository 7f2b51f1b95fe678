//! Runs side by side: what was compared, how alike their conditions were, each figure of each run, what it
//! is against the baseline's, and what gates said. This file must not know how any of it is computed or
//! shown.

use serde::Serialize;

use super::audit::Found;
use super::correlated::{Check, HeadlineRow};
use super::measure::{Key, Measure};
use super::verdicts::VerdictRow;
use crate::stats::Estimate;

/// Runs, compared with one of them.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    pub runs: Vec<RunFacts>,
    /// Which of the runs is the baseline.
    pub baseline: usize,
    /// What is not alike, most important first.
    pub unlike: Vec<Unlike>,
    /// How each run was put beside the baseline; of the baseline itself nothing.
    pub pairing: Vec<Option<Pairing>>,
    pub figures: Vec<Figure>,
    /// How many differences were looked at.
    pub comparisons: usize,
    pub gates: Vec<GateFound>,
}

/// What one run was.
#[derive(Clone, Debug, Serialize)]
pub struct RunFacts {
    pub name: String,
    pub folder: String,
    /// Label and value, as its own report has them.
    pub facts: Vec<(String, String)>,
    /// What its own report warns of.
    pub warnings: Vec<String>,
    /// Whether its two sides agree on what they counted.
    pub checks: Vec<Check>,
    /// Client and server, as its own report has them.
    pub headline: Vec<HeadlineRow>,
}

/// A condition that is not the same in all runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unlike {
    pub what: String,
    /// In each run.
    pub values: Vec<String>,
    /// What follows from it.
    pub so: Option<String>,
}

/// How requests of a run and of the baseline belong together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Pairing {
    /// Requests that both sent: the same prompt, at the same place. 0: the runs are independent.
    pub pairs: usize,
    /// Why they are, or are not, paired.
    pub why: String,
}

/// One figure of all runs.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    pub key: Key,
    pub measure: Measure,
    pub definition: &'static str,
    /// In each run; `None` where it is not known.
    pub of: Vec<Option<Estimate>>,
    /// Against the baseline; `None` for the baseline itself, and where one of both is not known.
    pub against: Vec<Option<Against>>,
}

/// A run's figure against the baseline's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Against {
    /// Run − baseline.
    pub difference: Estimate,
    /// Run / baseline.
    pub ratio: Option<Estimate>,
    /// Pairs that both are of; `None`: of independent runs.
    pub pairs: Option<usize>,
    pub told: Told,
}

/// What the intervals let be said.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    More,
    Less,
    /// The intervals hold no difference, and other values as well.
    Nothing,
    /// There is no interval.
    Unknown,
}

/// What a gate said of one run.
#[derive(Clone, Debug, Serialize)]
pub struct GateFound {
    /// As it was written.
    pub gate: String,
    pub run: String,
    pub key: Key,
    /// The run's figure.
    pub measured: Estimate,
    /// The baseline's; `None` where the threshold is absolute.
    pub baseline: Option<Estimate>,
    /// What is held against the threshold, both in the unit of files; ratios are less 1.
    pub tested: Estimate,
    pub threshold: f64,
    pub by: TestedBy,
    pub outcome: GateOutcome,
}

/// What a gate tests.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TestedBy {
    Value,
    Difference,
    /// Ratio − 1.
    Ratio,
}

/// How a gate ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GateOutcome {
    /// The whole interval keeps the gate.
    Kept,
    /// The interval holds the threshold: kept, and it could be otherwise.
    KeptUnsure,
    /// The interval holds the threshold: missed by the estimate, as was asked for.
    MissedUnsure,
    /// The whole interval misses it.
    Missed,
}

impl GateOutcome {
    /// Whether it ends the program with an error.
    pub fn is_missed(self) -> bool {
        matches!(self, GateOutcome::Missed | GateOutcome::MissedUnsure)
    }
}

/// Audits side by side.
#[derive(Clone, Debug, Serialize)]
pub struct Audits {
    pub audits: Vec<AuditFacts>,
    pub unlike: Vec<Unlike>,
}

/// One audit.
#[derive(Clone, Debug, Serialize)]
pub struct AuditFacts {
    pub name: String,
    pub folder: String,
    pub facts: Vec<(String, String)>,
    pub warnings: Vec<String>,
    pub found: Found,
    /// What the gateway does to the streams.
    pub verdicts: Vec<VerdictRow>,
}
