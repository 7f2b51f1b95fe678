//! What gates say of compared runs. A gate that cannot be judged is an error, never a pass. This file must
//! not know how gates are written, nor how it is said.

use thiserror::Error;

use super::Together;
use super::gate::{Gate, Op, Threshold, Unit};
use crate::record::comparison::{Against, GateFound, GateOutcome, TestedBy};
use crate::record::measure::{Key, Measure, Quantity};
use crate::stats::Estimate;

/// When a gate fails.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum FailOn {
    /// The whole interval is beyond the threshold: what chance does not do.
    #[default]
    Certain,
    /// The estimate is.
    Point,
}

/// Why a gate cannot be judged.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum CannotJudge {
    #[error("`{0}` is no figure")]
    Figure(String),
    #[error("`{unit}` is no unit of {name}")]
    Unit { name: String, unit: &'static str },
    #[error("`%` without a sign says nothing of {0}")]
    PercentOfWhat(String),
    #[error("{run} has no {key}")]
    NoSample { run: String, key: Key },
    #[error("a threshold with a sign is against a baseline, and there is none")]
    NoBaseline,
    #[error("the baseline's {key} is {value}: nothing is so many times as much")]
    NoRatio { key: String, value: f64 },
    #[error("{key} of {run} has no interval on this side")]
    NoInterval { run: String, key: String },
    #[error("an audit measures no {name}")]
    NotMeasured { name: &'static str },
    #[error("an audit does not tell {key}")]
    NotOfAnAudit { key: Key },
    #[error("an audit's pairs tell differences, and no ratio")]
    NoRatioOfPairs,
    #[error("{run}: too little for a conclusion: {why}")]
    TooFew { run: String, why: String },
}

impl CannotJudge {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            CannotJudge::Figure(_) => None,
            CannotJudge::Unit { .. } => {
                Some("times take us, ms or s, rates tok/s or req/s; without a unit it is the figure's own")
            }
            CannotJudge::PercentOfWhat(_) => Some("`+5%` is 5 % more than the baseline"),
            CannotJudge::NoSample { key, .. } => Some(match key.measure {
                Measure::Goodput => "say what is good: --goodput ttft:500 tpot:50",
                Measure::ServerTtft
                | Measure::ServerQueue
                | Measure::ServerPrefill
                | Measure::ServerDecode
                | Measure::TareTtft => {
                    "it takes a source that tells of each request: spans, a stat log, in-band metrics"
                }
                _ => "no successful request has a value of it",
            }),
            CannotJudge::NoBaseline => Some("write the threshold without a sign, such as `> 200ms`"),
            CannotJudge::NoRatio { .. } => Some("write a difference, such as `> +10ms`, or a value"),
            CannotJudge::NoInterval { .. } => {
                Some("send more requests, or let the estimate decide: --fail-on point")
            }
            CannotJudge::NotMeasured { .. } => {
                Some("there are ttft_ms, tpot_ms and e2el_ms (mean_, median_), and output_throughput")
            }
            CannotJudge::NotOfAnAudit { .. } => Some(
                "against the direct requests there are mean and median; of what goes through p90 and p99 as well",
            ),
            CannotJudge::NoRatioOfPairs => Some("write a difference, such as `> +5ms`"),
            CannotJudge::TooFew { .. } => Some("send more rounds: --rounds"),
        }
    }
}

/// Judges one gate, written as `text`, for each of the runs `tested`.
pub fn judge(
    gate: &Gate,
    text: &str,
    together: &Together<'_>,
    tested: &[usize],
    fail_on: FailOn,
) -> Result<Vec<GateFound>, CannotJudge> {
    let key = Key::parse(&gate.figure).ok_or_else(|| CannotJudge::Figure(gate.figure.clone()))?;
    let (by, threshold) = meaning(gate, key)?;
    let figure = together.figure(key);
    let at = |i: usize| figure.of.get(i).copied().flatten();
    let name = |i: usize| together.name(i).to_owned();
    let no_sample = |i: usize| CannotJudge::NoSample { run: name(i), key };
    let mut all = Vec::new();
    for &i in tested {
        let measured = at(i).ok_or_else(|| no_sample(i))?;
        let baseline = together.baseline().filter(|_| by != TestedBy::Value);
        let (tested, baseline) = match (by, baseline) {
            (TestedBy::Value, _) => (measured, None),
            (_, None) => return Err(CannotJudge::NoBaseline),
            (_, Some(base)) => {
                let baseline = at(base).ok_or_else(|| no_sample(base))?;
                let against = figure.against.get(i).copied().flatten();
                (
                    against.and_then(|against| side(&against, by)).ok_or_else(|| CannotJudge::NoRatio {
                        key: key.to_string(),
                        value: baseline.value,
                    })?,
                    Some(baseline),
                )
            }
        };
        let outcome = outcome(gate.op, &tested, threshold, fail_on)
            .ok_or_else(|| CannotJudge::NoInterval { run: name(i), key: key.to_string() })?;
        let (gate, run) = (text.to_owned(), name(i));
        all.push(GateFound { gate, run, key, measured, baseline, tested, threshold, by, outcome });
    }
    Ok(all)
}

/// What is tested, and its threshold in the unit of files.
pub(super) fn meaning(gate: &Gate, key: Key) -> Result<(TestedBy, f64), CannotJudge> {
    let Threshold { number, relative, unit } = gate.threshold;
    let quantity = key.measure.about().quantity;
    let by = if relative { TestedBy::Difference } else { TestedBy::Value };
    let own = match quantity {
        Quantity::Seconds if gate.figure.ends_with("_ms") => Some(Unit::Milliseconds),
        Quantity::Seconds => Some(Unit::Seconds),
        Quantity::TokensPerSecond => Some(Unit::TokensPerSecond),
        Quantity::RequestsPerSecond => Some(Unit::RequestsPerSecond),
        Quantity::Percent => Some(Unit::Percent),
        Quantity::Tokens => None,
    };
    let Some(unit_used) = unit.or(own) else { return Ok((by, number)) };
    let of_time = quantity == Quantity::Seconds;
    let factor = match unit_used {
        Unit::Percent if relative && unit.is_some() => return Ok((TestedBy::Ratio, number / 100.0)),
        Unit::Percent if own != Some(Unit::Percent) => {
            return Err(CannotJudge::PercentOfWhat(gate.figure.clone()));
        }
        Unit::Microseconds if of_time => 1e-6,
        Unit::Milliseconds if of_time => 1e-3,
        Unit::Seconds if of_time => 1.0,
        same if Some(same) == own => 1.0,
        other => return Err(CannotJudge::Unit { name: gate.figure.clone(), unit: other.as_str() }),
    };
    Ok((by, number * factor))
}

fn side(against: &Against, by: TestedBy) -> Option<Estimate> {
    match by {
        TestedBy::Ratio => against.ratio.map(|ratio| ratio.moved(-1.0)),
        TestedBy::Value | TestedBy::Difference => Some(against.difference),
    }
}

/// `None`: the end that decides is not known.
pub(super) fn outcome(op: Op, tested: &Estimate, threshold: f64, fail_on: FailOn) -> Option<GateOutcome> {
    let (near, far) = if op.is_upwards() { (tested.lo, tested.hi) } else { (tested.hi, tested.lo) };
    let misses = |value: f64| op.holds(value, threshold);
    if misses(near) && near.is_finite() {
        return Some(GateOutcome::Missed);
    }
    if !misses(far) && far.is_finite() {
        return Some(GateOutcome::Kept);
    }
    match fail_on {
        FailOn::Point if misses(tested.value) => Some(GateOutcome::MissedUnsure),
        FailOn::Point => Some(GateOutcome::KeptUnsure),
        FailOn::Certain => near.is_finite().then_some(GateOutcome::KeptUnsure),
    }
}
