//! Whether two runs sent the same requests, and which of them belong together. A pair is the same prompt at
//! the same place: what makes one request longer than another then falls out of their difference. This
//! file must not know what is compared.

use std::collections::BTreeMap;

use super::series::{Prompt, Run, Series};
use crate::record::comparison::Pairing;
use crate::record::measure::Measure;
use crate::stats::blocks::Blocks;
use crate::stats::two_samples::{self, Against};
use crate::units;

/// Requests without a partner may be the slow ones: at least this share of either run must have one.
const COVERAGE: f64 = 0.9;

/// A run beside the baseline.
pub(super) struct Paired {
    pub told: Pairing,
}

impl Paired {
    /// Finds out whether the requests of both belong together.
    pub fn of(base: &Run, run: &Run) -> Self {
        let (pairs, why) = match paired(base, run) {
            Ok(pairs) => {
                let n = units::count(pairs as u64);
                (
                    pairs,
                    format!(
                        "paired: {n} requests with the same prompt at the same place; means are compared pair by pair"
                    ),
                )
            }
            Err(why) => (0, format!("independent runs: {why}")),
        };
        Self { told: Pairing { pairs, why } }
    }

    /// The mean of a measure over pairs, and how many there are; `None` where it is not one of requests,
    /// or too few of them have a partner with a value.
    pub fn mean(&self, base: &Run, run: &Run, measure: Measure, seed: u64) -> Option<(Against, usize)> {
        if self.told.pairs == 0 {
            return None;
        }
        let Series::Requests { index, values } = base.series.get(&measure)? else { return None };
        let Series::Requests { index: other_index, values: others } = run.series.get(&measure)? else {
            return None;
        };
        let others: BTreeMap<u64, f64> = other_index.iter().copied().zip(others.iter().copied()).collect();
        let both = index.iter().zip(values).filter_map(|(i, v)| Some((*i, (*v, *others.get(i)?))));
        let (numbers, pairs): (Vec<u64>, Vec<(f64, f64)>) = both.unzip();
        if !covers(pairs.len(), values.len(), others.len()) {
            return None;
        }
        let labels = labels(base, run, &numbers);
        let found = two_samples::paired_mean(&pairs, Blocks::known(labels.as_deref()), seed)?;
        Some((found, pairs.len()))
    }
}

fn covers(pairs: usize, first: usize, second: usize) -> bool {
    pairs as f64 >= COVERAGE * first.max(second) as f64
}

/// How many requests belong together, or why they do not.
fn paired(base: &Run, run: &Run) -> Result<usize, String> {
    match (base.request_set, run.request_set) {
        (Some(a), Some(b)) if a == b => {}
        (Some(_), Some(_)) => return Err("their request sets are not the same".to_owned()),
        _ => return Err("the request set of one of them is not known".to_owned()),
    }
    let others: BTreeMap<u64, &Prompt> = run.prompts.iter().map(|p| (p.index, p)).collect();
    let both = base.prompts.iter().filter_map(|p| Some((p, *others.get(&p.index)?)));
    let both: Vec<(&Prompt, &Prompt)> = both.collect();
    if let Some((a, b)) = both.iter().find(|(a, b)| (a.prompt, a.chars) != (b.prompt, b.chars)) {
        return Err(format!(
            "the same prompts in another order (request {} is prompt {} in `{}` and prompt {} in `{}`)",
            a.index, a.prompt, base.facts.name, b.prompt, run.facts.name
        ));
    }
    if let Some((a, _)) = both.iter().find(|(a, b)| a.max_tokens != b.max_tokens) {
        return Err(format!("request {} asks for another number of tokens", a.index));
    }
    if !covers(both.len(), base.prompts.len(), run.prompts.len()) {
        return Err(format!(
            "only {} of {} requests have a partner",
            units::count(both.len() as u64),
            units::count(base.prompts.len().max(run.prompts.len()) as u64)
        ));
    }
    Ok(both.len())
}

/// Where users of either run moved in lockstep, what shares a round in both is one block.
fn labels(base: &Run, run: &Run, numbers: &[u64]) -> Option<Vec<u32>> {
    let of = |run: &Run| run.rounds.labels(numbers.iter().copied());
    match (of(base), of(run)) {
        (Some(a), Some(b)) => {
            let mut number = 0;
            let mut last = None;
            let label = |both: (u32, u32)| {
                number += u32::from(last.is_some_and(|last| last != both));
                last = Some(both);
                number
            };
            Some(a.into_iter().zip(b).map(label).collect())
        }
        (a, b) => a.or(b),
    }
}
