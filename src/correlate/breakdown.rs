//! Where the time went, over all requests: the parts' means at the mean, around percentiles, and by
//! what requests have in common, each with its interval. In every column the parts sum to the group's
//! mean, which is printed. This file must not know how one request's parts were found.

use super::groups::{self, PERCENTILES};
use super::shape::{Shape, bounds, is_measured, value};
use crate::metric::Metric;
use crate::record::JoinedRow;
use crate::record::correlated::{
    Aggregate, Bounds, Breakdown, BreakdownColumn, BrokenDownBy, Evidence, Part, PartRow,
};
use crate::stats::blocks::Blocks;
use crate::stats::bootstrap;
use crate::stats::rounds::Rounds;

/// Stamps are whole nanoseconds: a part nearer to zero than this is zero.
const GRAIN_S: f64 = 1e-9;
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
        rule: groups::rule(),
        by: Vec::new(),
        lacking,
    };
    if group.rows.is_empty() {
        return breakdown;
    }
    breakdown.lacking = breakdown.lacking.or_else(|| group.not_told());
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

    /// The shape's rows, without what no request's record tells: a connection that nobody timed took no 0 s.
    /// Its time stays in the row that is made by subtraction.
    fn told(&self) -> impl Iterator<Item = PartRow> {
        let of_client = |row: PartRow| matches!(row, PartRow::Connect | PartRow::Send | PartRow::ClientLag);
        let is_told = move |row| self.rows.iter().any(|r| value(&r.parts, row, self.of).is_some());
        self.shape.rows(self.of).filter(move |row| !of_client(*row) || is_told(*row))
    }

    /// What of the client's own part is in the row by subtraction, because its records do not tell it.
    fn not_told(&self) -> Option<String> {
        let told: Vec<PartRow> = self.told().collect();
        let own = [PartRow::Connect, PartRow::Send].into_iter().filter(|row| !told.contains(row));
        let names: Vec<&str> = own.map(PartRow::name).collect();
        (!names.is_empty()).then(|| {
            format!(
                "the client's records do not tell: {}; what it took is in the row by subtraction",
                names.join(", ")
            )
        })
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
        let order: Vec<usize> = (0..self.rows.len()).collect();
        let mut columns = vec![self.column_of("mean", &order, rounds, seed)];
        let labels = rounds.labels(self.rows.iter().map(|r| r.client.index));
        let of_row = |row: &&JoinedRow| -> Vec<f64> {
            self.told().map(|p| value(&row.parts, p, self.of).unwrap_or(0.0)).collect()
        };
        let totals: Vec<f64> = self.rows.iter().map(|r| self.total(r)).collect();
        let parts: Vec<Vec<f64>> = self.rows.iter().map(of_row).collect();
        let table = groups::Table { totals: &totals, parts: &parts };
        let intervals = table.intervals(Blocks::known(labels.as_deref()), seed);
        for (((name, _), group), intervals) in PERCENTILES.iter().zip(table.groups()).zip(intervals) {
            let mut column = self.column(name, &group);
            for (part, interval) in column.parts.iter_mut().zip(intervals) {
                part.interval = interval;
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
        let parts = self.told().map(|row| {
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
