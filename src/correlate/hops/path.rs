//! Where the time to the first (or last) token went on the way: cuts at the client, at each hop's in and
//! out and at the server, and the parts between them. A cut that few requests have, or that is less sure
//! than what it parts, is left out: its two sides are one part then. Nothing is clamped. This file must not
//! know how an instant was found.

use super::cuts::{Cut, cuts, describe, instant, own_s, said};
use crate::correlate::groups::{self, PERCENTILES};
use crate::metric::Metric;
use crate::record::correlated::{Bounds, Within};
use crate::record::hops::{HopColumn, HopPart, HopPath, HopSide, HopSideSum, HopSummary};
use crate::record::{JoinedRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::rounds::Rounds;
use crate::stats::{Estimate, bootstrap};
use crate::units;

/// A cut is used if so many of the requests have it.
const COVERAGE: f64 = 0.9;
/// Stamps are whole nanoseconds: a part nearer to zero than this is zero.
const GRAIN_S: f64 = 1e-9;

/// Requests by a set of cuts that each of them has.
struct Ways<'a> {
    cuts: Vec<Cut>,
    rows: Vec<&'a JoinedRow>,
    /// One row a request, one instant a cut: somewhere within.
    at: Vec<Vec<Within>>,
    /// The same as one number a cut, nanoseconds: the middle, but two cuts of one clock are as far apart as
    /// that clock says.
    points: Vec<Vec<i64>>,
}

/// The path of `of` (TTFT or E2E), of the requests that passed a hop, or of all where there is none;
/// `None` where nothing parts it.
pub fn path(
    rows: &[JoinedRow],
    list: &[HopSummary],
    of: Metric,
    rounds: &Rounds,
    seed: u64,
) -> Option<HopPath> {
    let passed: Vec<&JoinedRow> = rows
        .iter()
        .filter(|r| r.client.status == Status::Ok && total(r, of).is_some())
        .filter(|r| list.is_empty() || r.hops.iter().any(Option::is_some))
        .collect();
    let n_total = passed.len();
    // Where a clock was stepped meanwhile, its stamps can mean two instants: a few such requests would make
    // the cut doubtful for all.
    let mut stepped = vec![0; list.len()];
    let steady = |r: &&JoinedRow| {
        let mut steady = true;
        for (hop, n) in r.hops.iter().zip(&mut stepped) {
            if hop.as_ref().is_some_and(|passage| passage.stepped) {
                *n += 1;
                steady = false;
            }
        }
        steady
    };
    let passed: Vec<&JoinedRow> = passed.into_iter().filter(steady).collect();
    if passed.is_empty() {
        return None;
    }
    let mut lacking: Vec<String> = (list.iter().zip(&stepped).filter(|(_, n)| **n > 0))
        .map(|(hop, n)| {
            format!("{n} of {n_total} requests were under way when the clock of `{}` was stepped, or may have been: they are left out.", hop.name)
        })
        .collect();
    let all = cuts(list.len());
    let has = |cut: &Cut| passed.iter().filter(|r| instant(r, *cut, of).is_some()).count();
    let twice = |cut: &Cut| cut.hop().and_then(|hop| list.get(hop)).is_some_and(HopSummary::is_listed_twice);
    let used: Vec<Cut> = all
        .into_iter()
        .filter(|cut| !twice(cut) && has(cut) as f64 >= COVERAGE * passed.len() as f64)
        .collect();
    let mut ways = Ways::new(&passed, used, of);
    while let Some((place, why)) = ways.doubtful(list) {
        lacking.push(why);
        ways.cuts.remove(place);
        for at in &mut ways.at {
            at.remove(place);
        }
        for points in &mut ways.points {
            points.remove(place);
        }
    }
    // Nothing but the client's own cuts parts nothing.
    if ways.cuts.len() <= 3 && list.is_empty() {
        return None;
    }
    if passed.iter().any(|r| r.hops.iter().flatten().any(|p| p.first_is_body)) && of == Metric::Ttft {
        lacking.push("A hop that tells of the first byte of the answer's body and not of tokens counts that as the first token: servers that send an empty chunk first make it early.".to_owned());
    }
    Some(HopPath {
        of,
        n_total,
        n: ways.rows.len(),
        rule: groups::rule(),
        columns: ways.columns(list, of, rounds, seed),
        lacking,
    })
}

fn total(row: &JoinedRow, of: Metric) -> Option<f64> {
    if of == Metric::E2e { row.client.e2e_s } else { row.client.ttft_s }
}

impl<'a> Ways<'a> {
    fn new(passed: &[&'a JoinedRow], cuts: Vec<Cut>, of: Metric) -> Self {
        let (mut rows, mut at, mut points) = (Vec::new(), Vec::new(), Vec::new());
        for row in passed {
            let instants: Option<Vec<Within>> = cuts.iter().map(|cut| instant(row, *cut, of)).collect();
            if let Some(instants) = instants {
                let mut middles: Vec<i64> = instants.iter().map(|w| middle(*w)).collect();
                for (pair, point) in cuts.windows(2).zip(0..) {
                    if let [from, to] = pair
                        && let Some(s) = own_s(row, *from, *to, of)
                        && let Some([a, b]) = middles.get_mut(point..point + 2)
                    {
                        // What they are apart more is the doubt of either: each is moved as it is in doubt, so
                        // that an exact stamp stays.
                        let more = ((*b - *a) as f64 - s * 1e9).round() as i64;
                        let doubt = |at: Option<&Within>| {
                            at.map_or(0, |w| w.hi_unix_ns.0.saturating_sub(w.lo_unix_ns.0))
                        };
                        let (of_a, of_b) = (doubt(instants.get(point)), doubt(instants.get(point + 1)));
                        let share = if of_a + of_b > 0 { of_a as f64 / (of_a + of_b) as f64 } else { 0.5 };
                        let of_a = (more as f64 * share).round() as i64;
                        (*a, *b) = (*a + of_a, *b - (more - of_a));
                    }
                }
                rows.push(*row);
                at.push(instants);
                points.push(middles);
            }
        }
        Self { cuts, rows, at, points }
    }

    /// The cut that is known worst against what it parts, if it is wider than the larger of both: it says
    /// nothing then.
    fn doubtful(&self, list: &[HopSummary]) -> Option<(usize, String)> {
        let n = self.rows.len() as f64;
        let mean =
            |f: &dyn Fn(&[Within]) -> Option<f64>| self.at.iter().filter_map(|at| f(at)).sum::<f64>() / n;
        let inner = 1..self.cuts.len().saturating_sub(1);
        let doubt = |place: usize| {
            let width = mean(&|at| at.get(place).map(|w| w.hi_unix_ns.seconds_since(w.lo_unix_ns)));
            let size = |from: usize| {
                let apart = |at: &[Within]| Some(middle(*at.get(from + 1)?) - middle(*at.get(from)?));
                mean(&|at| apart(at).map(seconds)).abs()
            };
            let size = size(place - 1).max(size(place));
            (width > size).then_some((place, width, size))
        };
        let worst = inner
            .filter_map(doubt)
            .max_by(|a, b| (a.1 / a.2.max(GRAIN_S)).total_cmp(&(b.1 / b.2.max(GRAIN_S))))?;
        let (place, width, size) = worst;
        let cut = *self.cuts.get(place)?;
        let why = format!(
            "{} is known to ±{} on average, and what lies around it is {}: it parts nothing.",
            said(cut, list),
            units::seconds(width / 2.0),
            units::seconds(size)
        );
        Some((place, why))
    }

    fn columns(&self, list: &[HopSummary], of: Metric, rounds: &Rounds, seed: u64) -> Vec<HopColumn> {
        let totals: Vec<f64> = self.rows.iter().map(|r| total(r, of).unwrap_or(0.0)).collect();
        let apart = |points: &Vec<i64>| {
            points
                .windows(2)
                .map(|w| w.iter().rev().copied().reduce(|b, a| b - a))
                .map(|ns| seconds(ns.unwrap_or(0)))
                .collect()
        };
        let parts: Vec<Vec<f64>> = self.points.iter().map(apart).collect();
        let labels = rounds.labels(self.rows.iter().map(|r| r.client.index));
        let blocks = Blocks::known(labels.as_deref());
        let all: Vec<usize> = (0..self.rows.len()).collect();
        let mut columns = vec![self.column("mean", &all, (&totals, &parts), of, list)];
        for (j, part) in columns.iter_mut().flat_map(|c| c.parts.iter_mut().enumerate()) {
            let values: Vec<f64> = parts.iter().filter_map(|row| row.get(j).copied()).collect();
            let estimate = bootstrap::mean(&values, blocks, seed).filter(Estimate::is_bounded);
            part.interval = estimate.map(|e| Bounds { lo_s: e.lo, hi_s: e.hi });
        }
        let table = groups::Table { totals: &totals, parts: &parts };
        let intervals = table.intervals(blocks, seed);
        for (((name, _), group), intervals) in PERCENTILES.iter().zip(table.groups()).zip(intervals) {
            let mut column = self.column(name, &group, (&totals, &parts), of, list);
            for (part, interval) in column.parts.iter_mut().zip(intervals) {
                part.interval = interval;
            }
            columns.push(column);
        }
        columns
    }

    fn column(
        &self,
        name: &str,
        group: &[usize],
        (totals, parts): (&[f64], &[Vec<f64>]),
        of: Metric,
        list: &[HopSummary],
    ) -> HopColumn {
        let n = group.len() as f64;
        let mean = |f: &dyn Fn(usize) -> Option<f64>| group.iter().filter_map(|i| f(*i)).sum::<f64>() / n;
        let part = |(j, pair): (usize, &[Cut])| {
            let [from, to] = pair else { return None };
            let value = |i: usize| parts.get(i)?.get(j).copied();
            // What one clock tells is known as that clock tells it.
            let own = |i: usize| own_s(self.rows.get(i)?, *from, *to, of);
            let ends = |i: usize| Some((*self.at.get(i)?.get(j)?, *self.at.get(i)?.get(j + 1)?));
            let lo = |i: usize| ends(i).map(|(a, b)| b.lo_unix_ns.seconds_since(a.hi_unix_ns));
            let hi = |i: usize| ends(i).map(|(a, b)| b.hi_unix_ns.seconds_since(a.lo_unix_ns));
            let (lo_s, hi_s) = (mean(&|i| own(i).or(lo(i))), mean(&|i| own(i).or(hi(i))));
            let (name, side, hops) = describe(*from, *to, list);
            Some(HopPart {
                name,
                side,
                hops,
                mean_s: mean(&value),
                interval: None,
                bounds: (hi_s - lo_s > GRAIN_S).then_some(Bounds { lo_s, hi_s }),
                n_negative: group.iter().filter(|i| value(**i).is_some_and(|v| v < -GRAIN_S)).count(),
            })
        };
        let parts: Vec<HopPart> = self.cuts.windows(2).enumerate().filter_map(part).collect();
        // Of a side only the outer cuts are in doubt: what its parts share cancels out.
        let width = |place: usize| {
            mean(&|i| self.at.get(i)?.get(place).map(|w| w.hi_unix_ns.seconds_since(w.lo_unix_ns)))
        };
        let mut from = 0;
        let sides = parts.chunk_by(|a, b| a.side == b.side).map(|of_side| {
            let (begin, end) = (from, from + of_side.len());
            from = end;
            let own = of_side.len() == 1 && of_side.iter().all(|part| part.bounds.is_none());
            HopSideSum {
                side: of_side.first().map_or(HopSide::Server, |part| part.side),
                mean_s: of_side.iter().map(|part| part.mean_s).sum(),
                doubt_s: if own { 0.0 } else { f64::midpoint(width(begin), width(end)) },
            }
        });
        let sides = sides.collect();
        HopColumn {
            at: name.to_owned(),
            n: group.len(),
            total_s: mean(&|i| totals.get(i).copied()),
            parts,
            sides,
        }
    }
}

fn middle(w: Within) -> i64 {
    w.lo_unix_ns.0.midpoint(w.hi_unix_ns.0)
}

fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}
