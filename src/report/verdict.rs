//! The run in one line: what the client's TTFT is made of, on which side of the server, how sure that is,
//! and what is the matter on the way. This file must not know how a part was found.

use serde::Serialize;

use super::Report;
use crate::metric::Metric;
use crate::record::correlated::{Breakdown, BreakdownColumn, PartRow};
use crate::record::hops::{HopColumn, HopPath, HopSide};
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::units::{count, milliseconds};

/// `client TTFT 334.0 ms = connect and send 0.1 + path out 21.4 ± 0.2 + server 198.0 + path back 114.5 ± 0.2
/// (hold 112.0: HAProxy …); client lag 0.1 beside it`, where ± is what stamps and clocks leave open, not the
/// requests' scatter; `None` where no server's side is known, and of an audit,
/// whose arms have a line each.
pub fn line(report: &Report<'_>) -> Option<String> {
    if report.audit.is_some() {
        return None;
    }
    let run = report.correlated;
    of(&run.breakdown, run.hops.ttft.as_ref(), &run.verdicts)
}

/// The same of some requests, with what is concluded about their way.
pub fn of(breakdown: &Breakdown, path: Option<&HopPath>, causes: &[VerdictRow]) -> Option<String> {
    let mean = breakdown.columns.first().filter(|_| breakdown.of == Metric::Ttft);
    let way = path.and_then(|path| path.columns.first());
    let (parts, total_s, n) = match (way.and_then(by_path), way, mean) {
        (Some(parts), Some(way), _) => (parts, way.total_s, way.n),
        (_, _, Some(mean)) => (by_breakdown(mean)?, mean.total_s, mean.n),
        _ => return None,
    };
    // A hold keeps back what comes back; a queue costs both ways, and is no part of one.
    let held = cause(causes, Kind::Hold, "").map(|said| format!(" ({said})")).unwrap_or_default();
    let waited =
        cause(causes, Kind::Queue, " on both ways").map(|said| format!("; {said}")).unwrap_or_default();
    let lag = mean
        .and_then(|mean| mean.parts.iter().find(|p| p.row == PartRow::ClientLag))
        // Where tokens are dated when they are in hand, the lag is no finding.
        .filter(|p| p.mean_s.abs() > 0.0)
        .map(|p| format!("; client lag {} beside it", milliseconds(p.mean_s)))
        .unwrap_or_default();
    Some(format!(
        "client TTFT {} ms = {}{held}{waited}{lag} (means of {} requests{})",
        milliseconds(total_s),
        parts.join(" + "),
        count(n as u64),
        if parts.iter().any(|part| part.contains('±')) {
            "; ±: what stamps and clocks leave open"
        } else {
            ""
        }
    ))
}

/// The run in one line, taken apart: what a page can show in the colours of the sides.
#[derive(Clone, Debug, Serialize)]
pub struct Apart {
    /// ms, as all of it.
    pub total: String,
    pub terms: Vec<Term>,
    /// What is chiefly the matter on the way, and the tool's own lag.
    pub after: Vec<String>,
    pub n: String,
    /// Some term has a ±.
    pub doubt: bool,
}

/// One part of the sum.
#[derive(Clone, Debug, Serialize)]
pub struct Term {
    pub name: &'static str,
    pub value: String,
    /// The word of its [`Whose`](crate::record::Whose).
    pub side: &'static str,
}

/// [`line`] with the server's part as finely as the evidence has it.
pub(super) fn apart(report: &Report<'_>) -> Option<Apart> {
    let run = report.correlated;
    if report.audit.is_some() || run.breakdown.of != Metric::Ttft {
        return None;
    }
    let mean = run.breakdown.columns.first();
    // Without a hop the breakdown takes more apart.
    let way = run.hops.ttft.as_ref().filter(|_| !run.hops.list.is_empty());
    let way = way.and_then(|path| path.columns.first());
    let (terms, total_s, n) = match (way.filter(|way| by_path(way).is_some()), mean) {
        (Some(way), _) => (terms_of_path(way), way.total_s, way.n),
        (None, Some(mean)) => (terms_of_breakdown(mean)?, mean.total_s, mean.n),
        (None, None) => return None,
    };
    let lag = mean.and_then(|mean| mean.parts.iter().find(|p| p.row == PartRow::ClientLag));
    let after = [
        cause(&run.verdicts, Kind::Hold, "").map(|said| format!("in the path back: {said}")),
        cause(&run.verdicts, Kind::Queue, " on both ways"),
        lag.filter(|p| p.mean_s.abs() > 0.0)
            .map(|p| format!("client lag {} beside it", milliseconds(p.mean_s))),
    ];
    Some(Apart {
        total: milliseconds(total_s),
        doubt: terms.iter().any(|term| term.value.contains('±')),
        terms,
        after: after.into_iter().flatten().collect(),
        n: count(n as u64),
    })
}

fn terms_of_path(way: &HopColumn) -> Vec<Term> {
    let named = |side: HopSide| match side {
        HopSide::Client => ("connect", "client"),
        HopSide::Request => ("path out", "tare"),
        HopSide::Server => ("server", "server"),
        HopSide::Response => ("path back", "tare"),
    };
    let term = |s: &crate::record::hops::HopSideSum| {
        let (name, side) = named(s.side);
        Term { name, value: within(s.mean_s, s.doubt_s), side }
    };
    way.sides.iter().map(term).collect()
}

/// Every part inside, connect and send as one; `None` where nothing of the server's is among them.
fn terms_of_breakdown(mean: &BreakdownColumn) -> Option<Vec<Term>> {
    let engine = [PartRow::Queue, PartRow::Prefill];
    mean.parts.iter().find(|p| engine.contains(&p.row))?;
    let is_own = |row: PartRow| matches!(row, PartRow::Connect | PartRow::Send);
    let own: Vec<f64> = mean.parts.iter().filter(|p| is_own(p.row)).map(|p| p.mean_s).collect();
    let own = (!own.is_empty()).then(|| Term {
        name: "connect and send",
        value: milliseconds(own.iter().sum()),
        side: "client",
    });
    let rest = mean.parts.iter().filter(|p| p.row.inside() && !is_own(p.row)).map(|p| Term {
        name: p.row.name(),
        value: within(p.mean_s, p.bounds.map_or(0.0, |b| b.width_s() / 2.0)),
        side: p.row.whose().name(),
    });
    Some(own.into_iter().chain(rest).collect())
}

/// By the way of the first token, where both ends of the server's part are known.
fn by_path(column: &HopColumn) -> Option<Vec<String>> {
    column.parts.iter().find(|p| p.side == HopSide::Server && p.hops.is_empty())?;
    let name = |side: HopSide| match side {
        HopSide::Client => "connect",
        HopSide::Request => "path out",
        HopSide::Server => "server",
        HopSide::Response => "path back",
    };
    Some(column.sides.iter().map(|s| format!("{} {}", name(s.side), within(s.mean_s, s.doubt_s))).collect())
}

/// By the breakdown: what of the server's part the evidence tells.
fn by_breakdown(mean: &BreakdownColumn) -> Option<Vec<String>> {
    let part = |row: PartRow| mean.parts.iter().find(|p| p.row == row);
    let sum = |rows: &[PartRow]| {
        let parts: Vec<f64> = rows.iter().filter_map(|row| part(*row)).map(|p| p.mean_s).collect();
        (!parts.is_empty()).then(|| milliseconds(parts.iter().sum()))
    };
    let server = match (part(PartRow::FrontEnd), part(PartRow::Queue)) {
        (Some(_), _) => "server",
        (None, Some(_)) => "server's queue and prefill",
        (None, None) => "server's prefill",
    };
    let named = |row: PartRow, name: &str| {
        part(row).map(|p| {
            let half = p.bounds.map_or(0.0, |b| b.width_s() / 2.0);
            format!("{name} {}", within(p.mean_s, half))
        })
    };
    let engine = sum(&[PartRow::FrontEnd, PartRow::Queue, PartRow::Prefill])?;
    let parts = [
        sum(&[PartRow::Connect, PartRow::Send]).map(|s| format!("connect and send {s}")),
        named(PartRow::PathOut, "path out"),
        Some(format!("{server} {engine}")),
        named(PartRow::PathBack, "path back"),
        named(PartRow::FrontEndAndPathBack, "front end and path back"),
        named(PartRow::Path, "path out and back"),
        named(PartRow::PathAndFrontEnd, "path and front end"),
        named(PartRow::PathAndQueue, "path, front end and queue"),
    ];
    Some(parts.into_iter().flatten().collect())
}

/// `21.4 ± 0.2`.
fn within(mean_s: f64, half_s: f64) -> String {
    if milliseconds(half_s) == milliseconds(0.0) {
        return milliseconds(mean_s);
    }
    format!("{} ± {}", milliseconds(mean_s), milliseconds(half_s))
}

/// What of this kind is chiefly the matter on the way, what it costs, and what mends it.
fn cause(causes: &[VerdictRow], kind: Kind, place: &str) -> Option<String> {
    let stake = |v: &VerdictRow| v.at_stake.filter(|s| s.metric == Metric::Ttft).map(|s| s.seconds.value);
    // A hint is no ground for a sentence.
    let sure = causes.iter().filter(|v| v.kind == kind && v.certainty != Sure::Hint);
    let costs = sure.filter_map(|v| Some((v, stake(v)?)));
    let (worst, seconds) = costs.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let named =
        worst.remedies.iter().find(|r| worst.products.iter().any(|p| p.eq_ignore_ascii_case(r.product)));
    let mends = named.map(|r| format!(": {} `{}`", r.product, r.setting)).unwrap_or_default();
    Some(format!("{} {}{place}{mends}", worst.kind.as_str(), milliseconds(seconds)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::hops::{HopPart, HopSideSum};
    use crate::record::verdicts::Stake;
    use crate::stats::Estimate;

    fn column() -> HopColumn {
        let sides = [
            (HopSide::Client, 0.000_1, 0.0),
            (HopSide::Request, 0.038_3, 0.000_2),
            (HopSide::Server, 0.061_4, 0.0),
            (HopSide::Response, 0.015, 0.000_2),
        ];
        let part = |side, mean_s| HopPart {
            name: String::new(),
            side,
            hops: Vec::new(),
            mean_s,
            // The scatter of requests is none of the evidence's doubt.
            interval: Some(crate::record::correlated::Bounds { lo_s: 0.0, hi_s: 0.1 }),
            bounds: None,
            n_negative: 0,
        };
        HopColumn {
            at: "mean".to_owned(),
            n: 100,
            total_s: 0.114_8,
            parts: sides.iter().map(|(side, mean_s, _)| part(*side, *mean_s)).collect(),
            sides: sides.map(|(side, mean_s, doubt_s)| HopSideSum { side, mean_s, doubt_s }).to_vec(),
        }
    }

    fn line(kind: Kind, certainty: Sure) -> String {
        let cause = VerdictRow {
            rule: "made",
            kind,
            what: String::new(),
            route: String::new(),
            n: 100,
            of: 100,
            evidence: Vec::new(),
            at_stake: Some(Stake {
                metric: Metric::Ttft,
                seconds: Estimate::within(0.053_3, 0.04, 0.06, 100),
            }),
            certainty,
            products: Vec::new(),
            remedies: Vec::new(),
        };
        let path = HopPath {
            of: Metric::Ttft,
            n_total: 100,
            n: 100,
            rule: String::new(),
            columns: vec![column()],
            lacking: Vec::new(),
        };
        let nothing = Breakdown {
            of: Metric::Ttft,
            source: crate::record::correlated::Evidence::None,
            n_total: 0,
            n: 0,
            columns: Vec::new(),
            rule: String::new(),
            by: Vec::new(),
            lacking: None,
        };
        of(&nothing, Some(&path), &[cause]).unwrap()
    }

    #[test]
    fn a_hold_is_of_the_way_back_and_a_queue_of_both() {
        insta::assert_snapshot!(line(Kind::Hold, Sure::Likely), @"client TTFT 114.8 ms = connect 0.100 + path out 38.30 ± 0.200 + server 61.40 + path back 15.00 ± 0.200 (hold 53.30) (means of 100 requests; ±: what stamps and clocks leave open)");
        insta::assert_snapshot!(line(Kind::Queue, Sure::Likely), @"client TTFT 114.8 ms = connect 0.100 + path out 38.30 ± 0.200 + server 61.40 + path back 15.00 ± 0.200; queue 53.30 on both ways (means of 100 requests; ±: what stamps and clocks leave open)");
        assert!(!line(Kind::Queue, Sure::Hint).contains("queue"), "a hint is no ground");
    }
}
