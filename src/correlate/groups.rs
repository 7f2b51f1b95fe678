//! Groups of requests around a percentile, and the intervals of what is averaged over them. The groups are
//! found anew in every resample, so that their own uncertainty is in the intervals. This file must not know
//! what is averaged.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::record::correlated::Bounds;
use crate::stats::blocks::{Blocks, Cells};
use crate::stats::dependence::Dependence;
use crate::stats::{LEVEL, quantile};

/// The percentiles shown beside the mean.
pub const PERCENTILES: [(&str, f64); 3] = [("p50", 0.50), ("p90", 0.90), ("p99", 0.99)];
/// A group holds the requests ranked within this share of a percentile, and at least so many.
const WITHIN: f64 = 0.01;
pub const AT_LEAST: usize = 30;
/// Resamples of the intervals, and the work they may be: fewer of them for very many requests.
const RESAMPLES: usize = 400;
const MOST_WORK: usize = 20_000_000;

/// How groups are chosen, in words.
pub fn rule() -> String {
    format!(
        "mean of all; pNN: the mean of the requests ranked within ±{:.0} % of it (at least {AT_LEAST})",
        WITHIN * 100.0
    )
}

/// The totals of requests in the order of scheduling, and their parts.
pub struct Table<'a> {
    pub totals: &'a [f64],
    /// One row a request, all of one length.
    pub parts: &'a [Vec<f64>],
}

impl Table<'_> {
    /// The requests around each percentile, by their places in the table.
    pub fn groups(&self) -> Vec<Vec<usize>> {
        let ranked = self.ranked();
        let group = |q| ranked.get(around(ranked.len(), q)).unwrap_or(&ranked).to_vec();
        PERCENTILES.iter().map(|(_, q)| group(*q)).collect()
    }

    /// Around each percentile the interval of each part's mean; empty for fewer requests than make a group.
    pub fn intervals(&self, blocks: Blocks<'_>, seed: u64) -> Vec<Vec<Option<Bounds>>> {
        let ranked = self.ranked();
        let resampled = self.resampled(&ranked, blocks, seed);
        let k = self.parts.first().map_or(0, Vec::len);
        PERCENTILES
            .iter()
            .enumerate()
            .map(|(i, (_, q))| {
                let group = ranked.get(around(ranked.len(), *q)).unwrap_or(&ranked);
                (0..k)
                    .map(|j| {
                        let values = group.iter().filter_map(|row| self.parts.get(*row)?.get(j));
                        let mean = values.sum::<f64>() / group.len() as f64;
                        let replicates: Vec<f64> =
                            resampled.iter().filter_map(|r| r.get(i)?.get(j).copied()).collect();
                        interval(&replicates, mean)
                    })
                    .collect()
            })
            .collect()
    }

    /// Places by rising total.
    fn ranked(&self) -> Vec<usize> {
        let mut ranked: Vec<usize> = (0..self.totals.len()).collect();
        let total = |i: &usize| self.totals.get(*i).copied().unwrap_or(0.0);
        ranked.sort_by(|a, b| total(a).total_cmp(&total(b)).then(a.cmp(b)));
        ranked
    }

    /// The parts' means around every percentile, in many resamples of the requests by blocks of
    /// neighbours.
    fn resampled(&self, ranked: &[usize], blocks: Blocks<'_>, seed: u64) -> Vec<Vec<Vec<f64>>> {
        let n = self.totals.len();
        if n < AT_LEAST {
            return Vec::new();
        }
        let k = self.parts.first().map_or(0, Vec::len);
        // In the order of rank: requests keep their rank in every resample, only how often each was
        // drawn changes, so that nothing is sorted again.
        let by_rank: Vec<(usize, &[f64])> =
            ranked.iter().filter_map(|i| Some((*i, self.parts.get(*i)?.as_slice()))).collect();
        let order: Vec<usize> = (0..n).collect();
        let cells = Cells::new(n, blocks);
        let block = Dependence::of(self.totals, &cells).block;
        let cells: Vec<&[usize]> = cells.of(&order).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let times = RESAMPLES.min(MOST_WORK / n.max(1)).max(50);
        (0..times)
            .map(|_| {
                let mut drawn = vec![0_u32; n];
                let mut size = 0;
                while size < n {
                    let first = (rng.next_u64() % cells.len() as u64) as usize;
                    for row in cells.iter().cycle().skip(first).take(block).copied().flatten() {
                        size += 1;
                        if let Some(times) = drawn.get_mut(*row) {
                            *times += 1;
                        }
                    }
                }
                let groups = PERCENTILES.map(|(_, q)| around(size, q));
                means(&by_rank, &drawn, &groups, k)
            })
            .collect()
    }
}

/// The ranks around the `q`-quantile of `n` requests.
fn around(n: usize, q: f64) -> Range<usize> {
    let position = (n.saturating_sub(1)) as f64 * q;
    let reach = WITHIN * n as f64;
    let first = (position - reach).ceil().max(0.0) as usize;
    let last = ((position + reach).floor() as usize).min(n.saturating_sub(1));
    let size = (last + 1).saturating_sub(first).max(AT_LEAST).min(n);
    let first = ((position - (size - 1) as f64 / 2.0).round().max(0.0) as usize).min(n - size);
    first..first + size
}

/// The means of `k` parts in each group of ranks, if each row was drawn so many times.
fn means(by_rank: &[(usize, &[f64])], drawn: &[u32], groups: &[Range<usize>], k: usize) -> Vec<Vec<f64>> {
    let mut sums = vec![vec![0.0; k]; groups.len()];
    let mut rank = 0;
    for (row, parts) in by_rank {
        let next = rank + drawn.get(*row).copied().unwrap_or(0) as usize;
        for (group, sums) in groups.iter().zip(&mut sums) {
            let inside = next.min(group.end).saturating_sub(rank.max(group.start));
            if inside > 0 {
                for (sum, part) in sums.iter_mut().zip(*parts) {
                    *sum += inside as f64 * part;
                }
            }
        }
        rank = next;
    }
    for (group, sums) in groups.iter().zip(&mut sums) {
        for sum in sums {
            *sum /= group.len() as f64;
        }
    }
    sums
}

/// The middle 95 % of the replicates, widened to hold the value itself.
fn interval(replicates: &[f64], value: f64) -> Option<Bounds> {
    let sorted = quantile::sorted(replicates);
    let tail = (1.0 - LEVEL) / 2.0;
    let (lo, hi) = (quantile::quantile(&sorted, tail)?, quantile::quantile(&sorted, 1.0 - tail)?);
    Some(Bounds { lo_s: lo.min(value), hi_s: hi.max(value) })
}
