//! What gates say of an audit, cell by cell: a threshold with a sign is against the direct requests, by what the pairs
//! tell is added; one without is of what goes through. This file must not know how gates are written, nor how it is
//! said.

use super::gate::Gate;
use super::judge::{CannotJudge, FailOn, meaning, outcome};
use crate::metric::Metric;
use crate::record::audit::{CellFound, Figure};
use crate::record::comparison::{GateFound, TestedBy};
use crate::record::measure::{Key, Measure, Stat};
use crate::stats::Estimate;

/// Judges one gate, written as `text`, for every cell, each with its name.
pub fn judge_audit(
    gate: &Gate,
    text: &str,
    cells: &[(String, &CellFound)],
    fail_on: FailOn,
) -> Result<Vec<GateFound>, CannotJudge> {
    let key = Key::parse(&gate.figure).ok_or_else(|| CannotJudge::Figure(gate.figure.clone()))?;
    let (by, threshold) = meaning(gate, key)?;
    if cells.is_empty() {
        return Err(CannotJudge::NoSample { run: "the audit".to_owned(), key });
    }
    let one = |(name, cell): &(String, &CellFound)| {
        let run = format!("through, {name}");
        if let Some(why) = &cell.too_few {
            return Err(CannotJudge::TooFew { run, why: why.clone() });
        }
        let figure = figure(cell, key.measure)?;
        let figure = figure.ok_or_else(|| CannotJudge::NoSample { run: run.clone(), key })?;
        let measured =
            of(&figure.through, key.stat, figure.added_mean.n).ok_or(CannotJudge::NotOfAnAudit { key })?;
        let (tested, baseline) = match (by, key.stat) {
            (TestedBy::Value, _) => (measured, None),
            (TestedBy::Ratio, _) => return Err(CannotJudge::NoRatioOfPairs),
            (TestedBy::Difference, Stat::Mean | Stat::Whole) => {
                (figure.added_mean, of(&figure.direct, key.stat, figure.added_mean.n))
            }
            (TestedBy::Difference, Stat::Percentile(50.0)) => {
                (figure.added_median, of(&figure.direct, key.stat, figure.added_mean.n))
            }
            (TestedBy::Difference, _) => return Err(CannotJudge::NotOfAnAudit { key }),
        };
        let outcome = outcome(gate.op, &tested, threshold, fail_on)
            .ok_or_else(|| CannotJudge::NoInterval { run: run.clone(), key: key.to_string() })?;
        let gate = text.to_owned();
        Ok(GateFound { gate, run, key, measured, baseline, tested, threshold, by, outcome })
    };
    cells.iter().map(one).collect()
}

/// A cell's figure of a measure; an error where audits never have it.
fn figure(cell: &CellFound, measure: Measure) -> Result<Option<Figure>, CannotJudge> {
    let metric = match measure {
        Measure::Ttft => Metric::Ttft,
        // A request's mean Inter-Token Latency.
        Measure::Tpot => Metric::ItlMean,
        Measure::E2e => Metric::E2e,
        Measure::OutputThroughput => return Ok(cell.throughput),
        other => return Err(CannotJudge::NotMeasured { name: other.about().title }),
    };
    Ok(cell.figures.iter().find(|figure| figure.metric == metric).copied())
}

/// Of the percentiles there are estimates without an interval.
fn of(distribution: &crate::record::audit::Distribution, stat: Stat, n: usize) -> Option<Estimate> {
    let value = match stat {
        Stat::Mean | Stat::Whole => return Some(distribution.mean),
        Stat::Percentile(50.0) => distribution.p50,
        Stat::Percentile(90.0) => distribution.p90,
        Stat::Percentile(99.0) => distribution.p99,
        Stat::Percentile(_) => return None,
    };
    Some(Estimate::unbounded(value, n))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::audit::{Cell, Distribution, Warmth};
    use crate::record::comparison::GateOutcome;

    fn cell(added: Estimate) -> CellFound {
        let at = |mean: f64| Distribution {
            mean: Estimate::within(mean, mean - 0.001, mean + 0.001, 40),
            p50: mean,
            p90: 2.0 * mean,
            p99: 3.0 * mean,
        };
        let figure = Figure {
            metric: Metric::Ttft,
            direct: at(0.1),
            through: at(0.1 + added.value),
            added_mean: added,
            added_median: added,
        };
        CellFound {
            number: 0,
            cell: Cell { concurrency: 8, prompt_tokens: None, connections: Warmth::Warm },
            rounds: 20,
            pairs: 40,
            begun: 40,
            lost: std::collections::BTreeMap::new(),
            failed: [0, 0],
            uneven: 0,
            too_few: None,
            figures: vec![figure],
            outside: None,
            throughput: None,
        }
    }

    fn said(text: &str, cell: &CellFound) -> Result<GateOutcome, String> {
        let cells = [("8 users".to_owned(), cell)];
        let found = judge_audit(&Gate::parse(text).unwrap(), text, &cells, FailOn::Certain);
        found.map(|found| found[0].outcome).map_err(|cannot| cannot.to_string())
    }

    #[test]
    fn a_sign_is_against_the_direct_requests() {
        let cell = cell(Estimate::within(0.005, 0.004, 0.006, 40));
        assert_eq!(said("mean_ttft_ms > +3ms", &cell), Ok(GateOutcome::Missed));
        assert_eq!(said("mean_ttft_ms > +5.5ms", &cell), Ok(GateOutcome::KeptUnsure));
        assert_eq!(said("median_ttft_ms > +7ms", &cell), Ok(GateOutcome::Kept));
        assert_eq!(said("mean_ttft_ms > 100ms", &cell), Ok(GateOutcome::Missed));
        assert_eq!(said("mean_ttft_ms > 110ms", &cell), Ok(GateOutcome::Kept));
    }

    #[test]
    fn what_an_audit_does_not_tell_is_never_kept() {
        let known = cell(Estimate::within(0.005, 0.004, 0.006, 40));
        let few = CellFound { too_few: Some("2 rounds".to_owned()), ..known.clone() };
        let errors = [
            said("mean_ttft_ms > +3%", &known),
            said("p99_ttft_ms > +3ms", &known),
            said("p99_ttft_ms > 3ms", &known),
            said("mean_e2el_ms > +3ms", &known),
            said("failed_percent > 1%", &known),
            said("mean_ttft_ms > +3ms", &few),
        ];
        insta::assert_snapshot!(errors.map(Result::unwrap_err).join("\n"), @r"
        an audit's pairs tell differences, and no ratio
        an audit does not tell p99_ttft_ms
        p99_ttft_ms of through, 8 users has no interval on this side
        through, 8 users has no mean_e2el_ms
        an audit measures no Failed requests
        through, 8 users: too little for a conclusion: 2 rounds
        ");
    }
}
