//! Values of which each request has several, such as the gaps between its tokens: figures are of all values,
//! intervals are over requests, since the values of one request are alike, and remembered for as long as it
//! lasts. This file must not know what is compared.
//!
//! - the **mean** is a ratio of sums over requests: Σ values / Σ how many
//! - a **percentile**'s interval is Woodruff's (*Confidence intervals for medians and other position
//!   measures*, JASA 47, 1952): the share of values up to it is a ratio of sums over requests as well, and
//!   the bounds of that share are read off the values as quantiles

use std::collections::{HashMap, HashSet};

use super::SEED;
use crate::record::measure::Stat;
use crate::record::{JoinedRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::quantile::{quantile, sorted};
use crate::stats::{Estimate, bootstrap};
use crate::store::RunEvents;

/// Values of requests, in the order of scheduling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pooled {
    /// Those of each request together.
    pub(super) values: Vec<f64>,
    /// Number of each request, and where its values end.
    pub(super) index: Vec<u64>,
    ends: Vec<usize>,
}

impl Pooled {
    /// The gaps between the events of each of these requests that ended well.
    pub fn gaps(rows: &[JoinedRow], events: &RunEvents) -> anyhow::Result<Self> {
        let ok = || rows.iter().map(|row| &row.client).filter(|row| row.status == Status::Ok);
        let ids: HashSet<&str> = ok().map(|row| row.request_id.as_str()).collect();
        let mut gaps: HashMap<String, Vec<f64>> = HashMap::new();
        events.each_of(
            |id| ids.contains(id),
            |id, part| {
                let stamps = part.stamp_hi_unix_ns.windows(2).filter_map(|w| match w {
                    [a, b] => Some(b.saturating_sub(*a) as f64 / 1e9),
                    _ => None,
                });
                gaps.insert(id.to_owned(), stamps.collect());
            },
        )?;
        let mut all = Self::default();
        for row in ok() {
            all.push(row.index, gaps.get(&row.request_id).into_iter().flatten().copied());
        }
        Ok(all)
    }

    /// Adds a request that has values.
    pub(super) fn push(&mut self, index: u64, values: impl Iterator<Item = f64>) {
        let before = self.values.len();
        self.values.extend(values);
        if self.values.len() > before {
            self.index.push(index);
            self.ends.push(self.values.len());
        }
    }

    /// One figure with its interval over requests.
    pub(super) fn estimate(&self, stat: Stat, blocks: Blocks<'_>) -> Option<Estimate> {
        let n = self.values.len();
        let found = match stat {
            Stat::Mean => {
                let sums = self.each(|values| values.iter().sum());
                bootstrap::ratio_of_sums(&sums, blocks, SEED)?
            }
            Stat::Percentile(percent) => self.percentile(percent / 100.0, blocks)?,
            Stat::Whole => return None,
        };
        Some(Estimate { n, ..found })
    }

    fn percentile(&self, q: f64, blocks: Blocks<'_>) -> Option<Estimate> {
        let sorted = sorted(&self.values);
        let value = quantile(&sorted, q)?;
        let below = self.each(|values| values.iter().filter(|v| **v <= value).count() as f64);
        let share = bootstrap::ratio_of_sums(&below, blocks, SEED)?;
        // The true quantile is lower where the share up to this value is larger.
        let at = |level: f64| if level > 0.0 && level < 1.0 { quantile(&sorted, level) } else { None };
        let lo = at(q - (share.hi - share.value)).unwrap_or(f64::NEG_INFINITY);
        let hi = at(q + (share.value - share.lo)).unwrap_or(f64::INFINITY);
        Some(Estimate::within(value, lo, hi, share.n).effective(share.n_eff))
    }

    /// Of each request something about its values, and how many there are.
    fn each(&self, of: impl Fn(&[f64]) -> f64) -> Vec<(f64, f64)> {
        let mut begin = 0;
        let one = |end: &usize| {
            let values = self.values.get(begin..*end).unwrap_or_default();
            begin = *end;
            (of(values), values.len() as f64)
        };
        self.ends.iter().map(one).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Requests of ten values each: a value of the request's own, in which most of the scatter lies, and a
    /// little of each. Uniform in (0, 1) both.
    fn pooled(requests: u64, seed: u64) -> Pooled {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f64 / f64::from(1 << 24)
        };
        let mut all = Pooled::default();
        for index in 0..requests {
            let own = uniform();
            let values: Vec<f64> = (0..10).map(|_| own + 0.01 * uniform()).collect();
            all.push(index, values.into_iter());
        }
        all
    }

    #[test]
    fn intervals_are_over_requests_and_cover_as_often_as_they_say() {
        // Room for chance among 400 pools; ten values alike, taken as independent, would make intervals √10 too narrow.
        for (stat, truth) in [(Stat::Mean, 0.505), (Stat::Percentile(50.0), 0.505)] {
            let held = (0..400)
                .map(|seed| pooled(100, seed).estimate(stat, Blocks::Rows).unwrap())
                .filter(|e| e.lo <= truth && truth <= e.hi)
                .count();
            assert!((368..=396).contains(&held), "{stat:?}: {held} of 400");
        }
    }

    #[test]
    fn a_figure_is_that_of_all_values() {
        let pool = pooled(30, 1);
        let mean = pool.values.iter().sum::<f64>() / 300.0;
        let found = pool.estimate(Stat::Mean, Blocks::Rows).unwrap();
        assert!((found.value - mean).abs() < 1e-12 && found.n == 300 && found.n_eff <= 30.0, "{found:?}");
        let p90 = pool.estimate(Stat::Percentile(90.0), Blocks::Rows).unwrap();
        assert_eq!(Some(p90.value), quantile(&sorted(&pool.values), 0.9));
        assert!(p90.lo < p90.value && p90.value < p90.hi);
        // Of three requests nothing is known but the figure.
        let few = pooled(3, 1).estimate(Stat::Percentile(50.0), Blocks::Rows).unwrap();
        assert!(!few.lo.is_finite() && !few.hi.is_finite());
        assert_eq!(Pooled::default().estimate(Stat::Mean, Blocks::Rows), None);
    }
}
