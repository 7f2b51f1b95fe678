//! Where the time went, over all requests: the parts' means at the mean, around percentiles, and by
//! what requests have in common, each with its interval. In every column the parts sum to the group's
//! mean, which is printed. This file must not know how one request's parts were found.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::shape::{Shape, bounds, is_measured, value};
use crate::metric::Metric;
use crate::record::JoinedRow;
use crate::record::correlated::{
    Aggregate, Bounds, Breakdown, BreakdownColumn, BrokenDownBy, Evidence, Part, PartRow,
};
use crate::stats::blocks::{Blocks, Cells};
use crate::stats::dependence::Dependence;
use crate::stats::rounds::Rounds;
use crate::stats::{LEVEL, bootstrap, quantile};

/// The percentiles shown beside the mean.
const PERCENTILES: [(&str, f64); 3] = [("p50", 0.50), ("p90", 0.90), ("p99", 0.99)];
/// A group holds the requests ranked within this share of a percentile, and at least so many.
const WITHIN: f64 = 0.01;
const AT_LEAST: usize = 30;
/// Stamps are whole nanoseconds: a part nearer to zero than this is zero.
const GRAIN_S: f64 = 1e-9;
/// Resamples of the intervals, and the work they may be: fewer of them for very many requests.
const RESAMPLES: usize = 400;
const MOST_WORK: usize = 20_000_000;
/// Groups of alike requests, and how many requests each needs.
const GROUPS: usize = 4;
const GROUP_AT_LEAST: usize = 10;

/// The breakdown of `of` (TTFT or E2E): all requests that share the best evidence, that is the best
/// that at least half of them have, else the one that most have; the metrics endpoint's means where no
/// request has any. `rows` are in the order of scheduling; `all` are those of the whole run, for what was
/// under way beside them.
pub fn breakdown(
    rows: &[JoinedRow],
    all: &[JoinedRow],
    aggregate: &Aggregate,
    of: Metric,
    rounds: &Rounds,
    seed: u64,
) -> Breakdown {
    let shaped: Vec<(Shape, &JoinedRow)> =
        rows.iter().filter_map(|r| Shape::of(r, of).map(|s| (s, r))).collect();
    let n_total = shaped.len();
    // A request can stand in a coarser shape than its own, beside others that have no better one.
    let with =
        |shape: Shape| shaped.iter().filter(|(s, _)| *s == shape || s.coarser() == Some(shape)).count();
    let mut shape = Shape::ALL
        .into_iter()
        .find(|shape| n_total > 0 && with(*shape) * 2 >= n_total)
        .or_else(|| Shape::ALL.into_iter().rev().max_by_key(|shape| with(*shape)))
        .unwrap_or(Shape::Bare);
    let mut lacking = None;
    let chosen = |shape: Shape| -> Vec<&JoinedRow> {
        shaped.iter().filter(|(s, _)| *s == shape || s.coarser() == Some(shape)).map(|(_, r)| *r).collect()
    };
    let mut group = Group { rows: chosen(shape), of, shape };
    while let Some(coarser) = shape.coarser()
        && let Some(why) = group.inseparable()
    {
        lacking.get_or_insert(why);
        shape = coarser;
        group = Group { rows: chosen(shape), of, shape };
    }
    let mut breakdown = Breakdown {
        of,
        source: shape.evidence(&group.rows),
        n_total,
        n: group.rows.len(),
        columns: Vec::new(),
        rule: format!(
            "mean of all; pNN: the mean of the requests ranked within ±{:.0} % of it (at least {AT_LEAST})",
            WITHIN * 100.0
        ),
        by: Vec::new(),
        lacking,
    };
    if group.rows.is_empty() {
        return breakdown;
    }
    breakdown.columns = group.columns(rounds, seed);
    if shape == Shape::Bare
        && let Some(split) = breakdown.columns.first().and_then(|mean| from_aggregate(mean, aggregate, of))
    {
        breakdown.source = Evidence::Metrics;
        breakdown.columns = vec![split];
        return breakdown;
    }
    breakdown.by = group.by(all, rounds, seed);
    breakdown
}

/// Requests of one shape.
struct Group<'a> {
    /// In the order of scheduling.
    rows: Vec<&'a JoinedRow>,
    of: Metric,
    shape: Shape,
}

impl Group<'_> {
    fn total(&self, row: &JoinedRow) -> f64 {
        let total = if self.of == Metric::E2e { row.client.e2e_s } else { row.client.ttft_s };
        total.unwrap_or(0.0)
    }

    /// Why rows that are only known within bounds say nothing: on the mean the bounds are wider than
    /// what they bound.
    fn inseparable(&self) -> Option<String> {
        let (mut width, mut size, mut n) = (0.0, 0.0, 0.0);
        let row = self
            .shape
            .rows(self.of)
            .find(|row| self.rows.iter().any(|r| bounds(&r.parts, *row).is_some()))?;
        for bounds in self.rows.iter().filter_map(|r| bounds(&r.parts, row)) {
            width += bounds.width_s();
            size += f64::midpoint(bounds.lo_s, bounds.hi_s).abs();
            n += 1.0;
        }
        (width > size).then(|| {
            format!(
                "{} cannot be told apart from the rest: it is {} on average, known to ±{}",
                row.name(),
                crate::units::seconds(size / n),
                crate::units::seconds(width / n / 2.0)
            )
        })
    }

    /// At the mean and around the percentiles.
    fn columns(&self, rounds: &Rounds, seed: u64) -> Vec<BreakdownColumn> {
        let labels = rounds.labels(self.rows.iter().map(|r| r.client.index));
        let blocks = Blocks::known(labels.as_deref());
        let order: Vec<usize> = (0..self.rows.len()).collect();
        let mut columns = vec![self.column_of("mean", &order, rounds, seed)];
        let ranked = self.ranked(&order);
        let resampled = self.resampled(&ranked, blocks, seed);
        for (i, (name, q)) in PERCENTILES.iter().enumerate() {
            let mut column = self.column(name, ranked.get(around(ranked.len(), *q)).unwrap_or(&ranked));
            for (j, part) in column.parts.iter_mut().enumerate() {
                let replicates: Vec<f64> =
                    resampled.iter().filter_map(|r| r.get(i)?.get(j).copied()).collect();
                part.interval = interval(&replicates, part.mean_s);
            }
            columns.push(column);
        }
        columns
    }

    /// A column of these requests, in the order of scheduling, each part with the interval of its mean.
    fn column_of(&self, at: &str, indices: &[usize], rounds: &Rounds, seed: u64) -> BreakdownColumn {
        let mut column = self.column(at, indices);
        let rows: Vec<&JoinedRow> = indices.iter().filter_map(|i| self.rows.get(*i).copied()).collect();
        let labels = rounds.labels(rows.iter().map(|r| r.client.index));
        for part in &mut column.parts {
            let values: Vec<f64> = rows.iter().filter_map(|r| value(&r.parts, part.row, self.of)).collect();
            let estimate = bootstrap::mean(&values, Blocks::known(labels.as_deref()), seed);
            let estimate = estimate.filter(|e| e.is_bounded() && values.len() == rows.len());
            part.interval = estimate.map(|e| Bounds { lo_s: e.lo, hi_s: e.hi });
        }
        column
    }

    /// Indices by rising total.
    fn ranked(&self, indices: &[usize]) -> Vec<usize> {
        let mut ranked = indices.to_vec();
        let total = |i: &usize| self.rows.get(*i).map_or(0.0, |r| self.total(r));
        ranked.sort_by(|a, b| total(a).total_cmp(&total(b)).then(a.cmp(b)));
        ranked
    }

    /// The parts' means around every percentile, in many resamples of the requests by blocks of
    /// neighbours: the groups are found anew in each, so that their own uncertainty is in the intervals.
    fn resampled(&self, ranked: &[usize], blocks: Blocks<'_>, seed: u64) -> Vec<Vec<Vec<f64>>> {
        let n = self.rows.len();
        if n < AT_LEAST {
            return Vec::new();
        }
        let parts: Vec<PartRow> = self.shape.rows(self.of).collect();
        // In the order of rank: requests keep their rank in every resample, only how often each was
        // drawn changes, so that nothing is sorted again.
        let by_rank: Vec<(usize, Vec<f64>)> = ranked
            .iter()
            .filter_map(|i| Some((*i, self.rows.get(*i)?)))
            .map(|(i, r)| (i, parts.iter().map(|p| value(&r.parts, *p, self.of).unwrap_or(0.0)).collect()))
            .collect();
        let totals: Vec<f64> = self.rows.iter().map(|r| self.total(r)).collect();
        let order: Vec<usize> = (0..n).collect();
        let cells = Cells::new(n, blocks);
        let block = Dependence::of(&totals, &cells).block;
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
                means(&by_rank, &drawn, &groups, parts.len())
            })
            .collect()
    }

    fn column(&self, at: &str, indices: &[usize]) -> BreakdownColumn {
        let rows: Vec<&JoinedRow> = indices.iter().filter_map(|i| self.rows.get(*i).copied()).collect();
        let n = rows.len();
        let mean = |value: &dyn Fn(&JoinedRow) -> Option<f64>| {
            rows.iter().filter_map(|r| value(r)).sum::<f64>() / n as f64
        };
        let e2e = self.of == Metric::E2e;
        let width = |r: &JoinedRow| {
            let (lo, hi) = if e2e {
                (r.client.last_token_lo_unix_ns, r.client.last_token_unix_ns)
            } else {
                (r.client.first_token_lo_unix_ns, r.client.first_token_unix_ns)
            };
            Some(hi?.seconds_since(lo?))
        };
        let parts = self.shape.rows(self.of).map(|row| {
            let value = |r: &JoinedRow| value(&r.parts, row, self.of);
            let bounded =
                self.shape.coarser().is_some() && rows.iter().any(|r| bounds(&r.parts, row).is_some());
            Part {
                row,
                mean_s: mean(&value),
                interval: None,
                bounds: bounded.then(|| Bounds {
                    lo_s: mean(&|r| bounds(&r.parts, row).map(|b| b.lo_s)),
                    hi_s: mean(&|r| bounds(&r.parts, row).map(|b| b.hi_s)),
                }),
                measured: is_measured(row),
                n_negative: rows.iter().filter(|r| value(r).is_some_and(|v| v < -GRAIN_S)).count(),
            }
        });
        BreakdownColumn {
            at: at.to_owned(),
            n,
            total_s: mean(&|r| Some(self.total(r))),
            stamp_width_s: mean(&width),
            parts: parts.collect(),
        }
    }

    /// By what requests have in common, a quarter of the requests each. `all`: every request of the run,
    /// for what was under way.
    fn by(&self, all: &[JoinedRow], rounds: &Rounds, seed: u64) -> Vec<BrokenDownBy> {
        let begin = all.iter().map(|r| r.client.started_unix_ns).min();
        let under_way = concurrency(all);
        let beside = |r: &JoinedRow| under_way.get(&r.client.index).map(|n| *n as f64);
        let tokens = |r: &JoinedRow| Some(f64::from(r.client.input_tokens.or(r.server_input_tokens)?));
        let since = |r: &JoinedRow| Some(r.client.started_unix_ns.seconds_since(begin?));
        let whole =
            |lo: f64, hi: f64| if lo < hi { format!("{lo:.0}–{hi:.0}") } else { format!("{lo:.0}") };
        let seconds = |lo: f64, hi: f64| format!("{lo:.1}–{hi:.1} s");
        let all = [
            ("prompt tokens", self.quarters(&tokens, &whole)),
            ("concurrency", self.quarters(&beside, &whole)),
            ("time of the run", self.quarters(&since, &seconds)),
        ];
        let several = all.into_iter().filter(|(_, groups)| groups.len() > 1);
        several
            .map(|(what, groups)| {
                let columns = groups.iter().map(|(name, of)| self.column_of(name, of, rounds, seed));
                BrokenDownBy { what, columns: columns.collect() }
            })
            .collect()
    }

    /// Four groups of about equal size, each named and in the order of scheduling; requests that are
    /// equal are never parted.
    fn quarters(
        &self,
        key: &dyn Fn(&JoinedRow) -> Option<f64>,
        name: &dyn Fn(f64, f64) -> String,
    ) -> Vec<(String, Vec<usize>)> {
        let mut keyed: Vec<(f64, usize)> =
            self.rows.iter().enumerate().filter_map(|(i, r)| Some((key(r)?, i))).collect();
        keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
        let size = keyed.len().div_ceil(GROUPS).max(GROUP_AT_LEAST);
        let mut groups = Vec::new();
        let mut rest = keyed.as_slice();
        while let (Some(first), Some(last)) = (rest.first(), rest.get(size.min(rest.len()).saturating_sub(1)))
        {
            let mut cut = rest.partition_point(|(k, _)| *k <= last.0);
            if rest.len() - cut < GROUP_AT_LEAST {
                cut = rest.len();
            }
            let (group, left) = rest.split_at(cut);
            let mut indices: Vec<usize> = group.iter().map(|(_, i)| *i).collect();
            indices.sort_unstable();
            groups.push((name(first.0, group.last().map_or(last.0, |l| l.0)), indices));
            rest = left;
        }
        groups
    }
}

/// How many requests were under way when each started, itself included, by index.
fn concurrency(rows: &[JoinedRow]) -> std::collections::HashMap<u64, usize> {
    let mut ends: Vec<_> = rows.iter().map(|r| r.client.done_unix_ns).collect();
    ends.sort_unstable();
    let mut starts: Vec<_> = rows.iter().map(|r| (r.client.started_unix_ns, r.client.index)).collect();
    starts.sort_unstable();
    let under_way = |(i, (at, index)): (usize, &(crate::clock::UnixNs, u64))| {
        let ended = ends.partition_point(|end| end <= at);
        (*index, (i + 1).saturating_sub(ended))
    };
    starts.iter().enumerate().map(under_way).collect()
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
fn means(by_rank: &[(usize, Vec<f64>)], drawn: &[u32], groups: &[Range<usize>], k: usize) -> Vec<Vec<f64>> {
    let mut sums = vec![vec![0.0; k]; groups.len()];
    let mut rank = 0;
    for (row, parts) in by_rank {
        let next = rank + drawn.get(*row).copied().unwrap_or(0) as usize;
        for (group, sums) in groups.iter().zip(&mut sums) {
            let inside = next.min(group.end).saturating_sub(rank.max(group.start));
            if inside > 0 {
                for (sum, part) in sums.iter_mut().zip(parts) {
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

/// The mean column with the server's exact means in it, where no request has evidence of its own.
fn from_aggregate(client: &BreakdownColumn, aggregate: &Aggregate, of: Metric) -> Option<BreakdownColumn> {
    if aggregate.unusable.is_some() {
        return None;
    }
    let mean = |metric| aggregate.of(metric).and_then(|h| h.mean);
    let (whole, queue, prefill) = (mean(of)?, mean(Metric::Queue)?, mean(Metric::Prefill)?);
    let mut server = vec![(PartRow::Queue, queue), (PartRow::Prefill, prefill)];
    if of == Metric::E2e {
        server.push((PartRow::Decode, mean(Metric::Decode)?));
    }
    let front_end = whole - server.iter().map(|(_, mean_s)| mean_s).sum::<f64>();
    server.insert(0, (PartRow::FrontEnd, front_end));
    let mut split = client.clone();
    let bare = split.parts.iter().position(|p| p.row == PartRow::PathAndServer)?;
    let rest = split.parts.get(bare)?;
    server.push((PartRow::Path, rest.mean_s - whole));
    // The server's means are exact for the window: what is uncertain is the client's.
    let uncertain = rest.interval.map(|i| Bounds { lo_s: i.lo_s - whole, hi_s: i.hi_s - whole });
    let parts: Vec<Part> = server
        .into_iter()
        .map(|(row, mean_s)| Part {
            row,
            mean_s,
            interval: uncertain.filter(|_| row == PartRow::Path),
            bounds: None,
            measured: is_measured(row),
            n_negative: 0,
        })
        .collect();
    split.parts.splice(bare..=bare, parts);
    Some(split)
}
