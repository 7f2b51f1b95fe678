//! Where the time to the first (or last) token went on the way: cuts at the client, at each hop's in and
//! out and at the server, and the parts between them. A cut that few requests have, or that is less sure
//! than what it parts, is left out: its two sides are one part then. Nothing is clamped. This file must not
//! know how an instant was found.

use crate::clock::UnixNs;
use crate::correlate::groups::{self, PERCENTILES};
use crate::metric::Metric;
use crate::record::correlated::{Bounds, Within};
use crate::record::hops::{HopColumn, HopPart, HopPath, HopSide, HopSummary};
use crate::record::{JoinedRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::bootstrap;
use crate::stats::rounds::Rounds;
use crate::units;

/// A cut is used if so many of the requests have it.
const COVERAGE: f64 = 0.9;
/// Stamps are whole nanoseconds: a part nearer to zero than this is zero.
const GRAIN_S: f64 = 1e-9;

/// A place on the way, there and back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cut {
    Started,
    Sent,
    In(usize),
    Out(usize),
    Arrival,
    /// The token at the server's front end.
    Made,
    BackIn(usize),
    BackOut(usize),
    Here,
}

/// Requests by a set of cuts that each of them has.
struct Ways<'a> {
    cuts: Vec<Cut>,
    rows: Vec<&'a JoinedRow>,
    /// One row a request, one instant a cut.
    at: Vec<Vec<Within>>,
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
    if passed.is_empty() {
        return None;
    }
    let mut lacking = Vec::new();
    let all = cuts(list.len());
    let has = |cut: &Cut| passed.iter().filter(|r| instant(r, *cut, of).is_some()).count();
    let used: Vec<Cut> =
        all.into_iter().filter(|cut| has(cut) as f64 >= COVERAGE * passed.len() as f64).collect();
    let mut ways = Ways::new(&passed, used, of);
    while let Some((place, why)) = ways.doubtful(list) {
        lacking.push(why);
        ways.cuts.remove(place);
        for at in &mut ways.at {
            at.remove(place);
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
        n_total: passed.len(),
        n: ways.rows.len(),
        rule: groups::rule(),
        columns: ways.columns(list, of, rounds, seed),
        lacking,
    })
}

fn total(row: &JoinedRow, of: Metric) -> Option<f64> {
    if of == Metric::E2e { row.client.e2e_s } else { row.client.ttft_s }
}

/// All there can be, in the order of the way.
fn cuts(hops: usize) -> Vec<Cut> {
    let out = (0..hops).flat_map(|h| [Cut::In(h), Cut::Out(h)]);
    let back = (0..hops).rev().flat_map(|h| [Cut::BackIn(h), Cut::BackOut(h)]);
    [Cut::Started, Cut::Sent]
        .into_iter()
        .chain(out)
        .chain([Cut::Arrival, Cut::Made])
        .chain(back)
        .chain([Cut::Here])
        .collect()
}

/// Where a request's cut lies on the client's clock.
fn instant(row: &JoinedRow, cut: Cut, of: Metric) -> Option<Within> {
    let client = &row.client;
    let last = of == Metric::E2e;
    let passage = |hop: usize| row.hops.get(hop)?.as_deref();
    match cut {
        Cut::Started => Some(Within::at(client.started_unix_ns)),
        // The stamp after the last write can be late; what was begun to be sent is on the way.
        Cut::Sent => client.send_begin_unix_ns.map(Within::at),
        Cut::In(h) => passage(h)?.start,
        Cut::Out(h) => passage(h)?.sent_on,
        Cut::Arrival => row.arrival_here,
        Cut::Made => {
            if last {
                row.last_here
            } else {
                row.first_here
            }
        }
        Cut::BackIn(h) => {
            if last {
                passage(h)?.last_in
            } else {
                passage(h)?.first_in
            }
        }
        Cut::BackOut(h) => {
            if last {
                passage(h)?.last_out
            } else {
                passage(h)?.first_out
            }
        }
        Cut::Here => {
            if last { client.last_token_unix_ns } else { client.first_token_unix_ns }.map(Within::at)
        }
    }
}

impl<'a> Ways<'a> {
    fn new(passed: &[&'a JoinedRow], cuts: Vec<Cut>, of: Metric) -> Self {
        let (mut rows, mut at) = (Vec::new(), Vec::new());
        for row in passed {
            let instants: Option<Vec<Within>> = cuts.iter().map(|cut| instant(row, *cut, of)).collect();
            if let Some(instants) = instants {
                rows.push(*row);
                at.push(instants);
            }
        }
        Self { cuts, rows, at }
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
            let size = |from: usize| mean(&|at| Some(part_s(at.get(from..from + 2)?, middle, middle))).abs();
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
        let parts: Vec<Vec<f64>> =
            self.at.iter().map(|at| at.windows(2).map(|w| part_s(w, middle, middle)).collect()).collect();
        let labels = rounds.labels(self.rows.iter().map(|r| r.client.index));
        let blocks = Blocks::known(labels.as_deref());
        let all: Vec<usize> = (0..self.rows.len()).collect();
        let mut columns = vec![self.column("mean", &all, &totals, &parts, list)];
        for (j, part) in columns.iter_mut().flat_map(|c| c.parts.iter_mut().enumerate()) {
            let values: Vec<f64> = parts.iter().filter_map(|row| row.get(j).copied()).collect();
            let estimate = bootstrap::mean(&values, blocks, seed).filter(|e| e.is_bounded());
            part.interval = estimate.map(|e| Bounds { lo_s: e.lo, hi_s: e.hi });
        }
        let table = groups::Table { totals: &totals, parts: &parts };
        let intervals = table.intervals(blocks, seed);
        for (((name, _), group), intervals) in PERCENTILES.iter().zip(table.groups()).zip(intervals) {
            let mut column = self.column(name, &group, &totals, &parts, list);
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
        totals: &[f64],
        parts: &[Vec<f64>],
        list: &[HopSummary],
    ) -> HopColumn {
        let n = group.len() as f64;
        let mean = |f: &dyn Fn(usize) -> Option<f64>| group.iter().filter_map(|i| f(*i)).sum::<f64>() / n;
        let part = |(j, pair): (usize, &[Cut])| {
            let [from, to] = pair else { return None };
            let value = |i: usize| parts.get(i)?.get(j).copied();
            let bound = |a: fn(Within) -> UnixNs, b: fn(Within) -> UnixNs| {
                mean(&|i| Some(part_s(self.at.get(i)?.get(j..j + 2)?, a, b)))
            };
            let (lo_s, hi_s) =
                (bound(|w| w.hi_unix_ns, |w| w.lo_unix_ns), bound(|w| w.lo_unix_ns, |w| w.hi_unix_ns));
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
        HopColumn {
            at: name.to_owned(),
            n: group.len(),
            total_s: mean(&|i| totals.get(i).copied()),
            parts: self.cuts.windows(2).enumerate().filter_map(part).collect(),
        }
    }
}

fn middle(w: Within) -> UnixNs {
    UnixNs(w.lo_unix_ns.0.midpoint(w.hi_unix_ns.0))
}

/// From one end of the first cut to one end of the second.
fn part_s(pair: &[Within], from: fn(Within) -> UnixNs, to: fn(Within) -> UnixNs) -> f64 {
    match pair {
        [a, b] => to(*b).seconds_since(from(*a)),
        _ => 0.0,
    }
}

/// A cut as a moment, in words.
fn said(cut: Cut, list: &[HopSummary]) -> String {
    let name = |h: usize| list.get(h).map_or("?", |hop| hop.name.as_str());
    match cut {
        Cut::Started | Cut::Sent | Cut::Here => "The client's own stamp".to_owned(),
        Cut::In(h) => format!("When `{}` got the request", name(h)),
        Cut::Out(h) => format!("When `{}` had sent the request on", name(h)),
        Cut::Arrival => "When the request arrived at the server".to_owned(),
        Cut::Made => "When the server had the token".to_owned(),
        Cut::BackIn(h) => format!("When `{}` got the token", name(h)),
        Cut::BackOut(h) => format!("When `{}` had passed the token on", name(h)),
    }
}

/// A part's name, its side, and the hops that lie in it.
fn describe(from: Cut, to: Cut, list: &[HopSummary]) -> (String, HopSide, Vec<usize>) {
    let name = |h: usize| list.get(h).map_or("?", |hop| hop.name.as_str());
    let all = cuts(list.len());
    let place = |cut: Cut| all.iter().position(|c| *c == cut).unwrap_or(0);
    let mut inside: Vec<usize> = Vec::new();
    // A hop lies in a part if the part holds some of the time between the hop's in and out.
    for h in 0..list.len() {
        let (a, b) = (place(from), place(to));
        let touches = |from_cut: Cut, to_cut: Cut| place(from_cut) < b && a < place(to_cut);
        if touches(Cut::In(h), Cut::Out(h)) || touches(Cut::BackIn(h), Cut::BackOut(h)) {
            inside.push(h);
        }
    }
    let side = if to == Cut::Sent {
        HopSide::Client
    } else if place(to) <= place(Cut::Arrival) {
        HopSide::Request
    } else if place(from) >= place(Cut::Made) {
        HopSide::Response
    } else {
        HopSide::Server
    };
    let end = |cut: Cut| match cut {
        Cut::Started | Cut::Sent | Cut::Here => "client".to_owned(),
        Cut::In(h) | Cut::Out(h) | Cut::BackIn(h) | Cut::BackOut(h) => name(h).to_owned(),
        Cut::Arrival | Cut::Made => "server".to_owned(),
    };
    let text = match (from, to) {
        (Cut::Started, Cut::Sent) => "connect, until sending begins".to_owned(),
        (Cut::In(h), Cut::Out(_)) => format!("{}, request", name(h)),
        (Cut::BackIn(h), Cut::BackOut(_)) => format!("{}, response", name(h)),
        (Cut::Arrival, Cut::Made) => "server".to_owned(),
        (Cut::Out(h), Cut::BackIn(other)) if h == other => format!("behind {}", name(h)),
        (Cut::In(h), Cut::BackIn(other)) if h == other => format!("{}, request, and behind it", name(h)),
        (Cut::In(h), Cut::In(_) | Cut::Arrival) => format!("{}, request → {}", name(h), end(to)),
        (Cut::BackIn(h), Cut::BackIn(_) | Cut::Here) => format!("{}, response → {}", name(h), end(to)),
        _ => {
            let through: Vec<&str> = inside.iter().map(|h| name(*h)).collect();
            let back = place(from) >= place(Cut::Made);
            let through: Vec<&str> = if back { through.into_iter().rev().collect() } else { through };
            let way = if through.is_empty() { String::new() } else { format!(" ({})", through.join(", ")) };
            format!("{} → {}{way}", end(from), end(to))
        }
    };
    (text, side, inside)
}
