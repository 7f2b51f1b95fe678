//! Runs against a baseline: each figure of each run, its difference and ratio with their intervals, what
//! those let be said, and gates. This module must not know where a run's rows came from, nor how a
//! comparison is shown.
//!
//! - [`series`]: a run's values, measure by measure; [`pooled`]: those of which a request has several
//! - [`pairs`]: whether two runs sent the same requests, and which belong together
//! - [`unlike`]: conditions that are not the same in all runs
//! - [`gate`]: the grammar of gates; [`judge`]: what they say of a comparison, [`judge_audit`]: of an audit

pub mod gate;
pub mod judge;
pub mod judge_audit;
pub mod pairs;
pub mod pooled;
pub mod series;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
pub mod unlike;

use self::pairs::Paired;
use crate::record::comparison::{Against, Comparison, Figure, Told};
use crate::record::measure::{Key, MEASURES, Measure, Stat};
use crate::stats::{Estimate, two_samples};

pub use self::series::{Given, Run};

/// Seeds every interval, as in the report of a single run.
const SEED: u64 = 0;

/// The figures of a table: of what has a value per request its mean and these percentiles.
const STATS: [Stat; 4] = [Stat::Mean, Stat::Percentile(50.0), Stat::Percentile(90.0), Stat::Percentile(99.0)];

/// Compares `runs` with the one that is the `baseline`; gates are judged by [`judge`].
pub fn compare(runs: &[Run], baseline: usize) -> Comparison {
    let together = Together::of(runs, baseline);
    let figures: Vec<Figure> = keys()
        .map(|key| together.figure(key))
        .filter(|figure| figure.of.iter().any(Option::is_some))
        .collect();
    let comparisons = figures.iter().flat_map(|figure| figure.against.iter().flatten());
    Comparison {
        baseline,
        unlike: unlike::unlike(runs, &figures, baseline),
        pairing: together.paired.iter().map(|paired| paired.as_ref().map(|p| p.told.clone())).collect(),
        comparisons: comparisons.filter(|against| is_a_look(against)).count(),
        runs: runs.iter().map(|run| run.facts.clone()).collect(),
        figures,
        gates: Vec::new(),
    }
}

/// Whether chance could have told it: there is an interval, and it is not nothing.
fn is_a_look(against: &Against) -> bool {
    against.told != Told::Unknown && against.difference.lo < against.difference.hi
}

/// Every figure that tables have.
fn keys() -> impl Iterator<Item = Key> {
    MEASURES.iter().flat_map(|about| {
        let stats: &[Stat] = match about.measure {
            Measure::InputTokens | Measure::OutputTokens => &[Stat::Mean],
            _ if about.distributed => &STATS,
            _ => &[Stat::Whole],
        };
        stats.iter().map(|stat| Key { measure: about.measure, stat: *stat })
    })
}

/// Runs, and which of their requests belong together.
pub struct Together<'a> {
    runs: &'a [Run],
    baseline: usize,
    paired: Vec<Option<Paired>>,
}

impl<'a> Together<'a> {
    /// Puts each run beside the baseline.
    pub fn of(runs: &'a [Run], baseline: usize) -> Self {
        let paired = runs.iter().enumerate().map(|(i, run)| {
            let base = runs.get(baseline).filter(|_| i != baseline)?;
            Some(Paired::of(base, run))
        });
        Self { runs, baseline, paired: paired.collect() }
    }

    /// The run that the others are compared with; none where there is only one.
    pub fn baseline(&self) -> Option<usize> {
        (self.runs.len() > 1).then_some(self.baseline)
    }

    /// What a run is called.
    pub fn name(&self, i: usize) -> &str {
        self.runs.get(i).map_or("", |run| &run.facts.name)
    }

    /// One figure of all runs.
    pub fn figure(&self, key: Key) -> Figure {
        let of: Vec<_> = self.runs.iter().map(|run| run.estimate(key)).collect();
        let against = (0..self.runs.len()).map(|i| self.against(key, i, &of)).collect();
        Figure { key, measure: key.measure, definition: key.measure.about().definition, of, against }
    }

    fn against(&self, key: Key, i: usize, of: &[Option<Estimate>]) -> Option<Against> {
        let paired = self.paired.get(i)?.as_ref()?;
        let (base, run) = (self.runs.get(self.baseline)?, self.runs.get(i)?);
        if key.stat == Stat::Mean
            && let Some((found, pairs)) = paired.mean(base, run, key.measure, SEED)
        {
            return Some(told(found, Some(pairs)));
        }
        let (first, second) = (of.get(self.baseline)?.as_ref()?, of.get(i)?.as_ref()?);
        Some(told(two_samples::independent(first, second)?, None))
    }
}

/// What two intervals let be said: more or less only where both leave no other way.
fn told(found: two_samples::Against, pairs: Option<usize>) -> Against {
    let (difference, ratio) = (found.difference, found.ratio);
    let known = difference.lo.is_finite() || difference.hi.is_finite();
    let more = difference.lo > 0.0 && ratio.is_none_or(|ratio| ratio.lo > 1.0);
    let less = difference.hi < 0.0 && ratio.is_none_or(|ratio| ratio.hi < 1.0);
    let told = match (known, more, less) {
        (false, ..) => Told::Unknown,
        (_, true, _) => Told::More,
        (_, _, true) => Told::Less,
        _ => Told::Nothing,
    };
    Against { difference, ratio, pairs, told }
}
