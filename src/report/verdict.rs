//! The run in one line: what the client's TTFT is made of, on which side of the server, how sure that is,
//! and what is the matter on the way. This file must not know how a part was found.

use super::Report;
use crate::metric::Metric;
use crate::record::breakdown::Bounds;
use crate::record::correlated::{Breakdown, BreakdownColumn, PartRow};
use crate::record::hops::{HopColumn, HopPath, HopSide};
use crate::record::verdicts::{Kind, VerdictRow};
use crate::units::{count, milliseconds};

/// `client TTFT 334.0 ms = connect and send 0.1 + path out 21.4 ± 0.2 + server 198.0 + path back 114.5 ± 0.2
/// (hold 112.0: HAProxy …); client lag 0.1 beside it`; `None` where no server's side is known, and of an audit,
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
    let cause = cause(causes);
    let last = parts.len().saturating_sub(1);
    let parts: Vec<String> = parts
        .into_iter()
        .enumerate()
        .map(|(i, part)| if i == last { format!("{part}{cause}") } else { part })
        .collect();
    let lag = mean
        .and_then(|mean| mean.parts.iter().find(|p| p.row == PartRow::ClientLag))
        // Where tokens are dated when they are in hand, the lag is no finding.
        .filter(|p| p.mean_s.abs() > 0.0)
        .map(|p| format!("; client lag {} beside it", milliseconds(p.mean_s)))
        .unwrap_or_default();
    Some(format!(
        "client TTFT {} ms = {}{lag} (means of {} requests)",
        milliseconds(total_s),
        parts.join(" + "),
        count(n as u64)
    ))
}

/// By the way of the first token, where both ends of the server's part are known.
fn by_path(column: &HopColumn) -> Option<Vec<String>> {
    column.parts.iter().find(|p| p.side == HopSide::Server && p.hops.is_empty())?;
    let side = |side: HopSide, name: &str| {
        let of_side: Vec<_> = column.parts.iter().filter(|p| p.side == side).collect();
        let mean_s = of_side.iter().map(|p| p.mean_s).sum();
        // Neighbours share their doubtful cuts: the outer ends alone leave the side open.
        let doubt = of_side.iter().filter_map(|p| p.bounds).map(Bounds::width_s).fold(0.0, f64::max);
        let chance = of_side.iter().filter_map(|p| p.interval).map(Bounds::width_s).fold(0.0, f64::max);
        let shown = if doubt > 1e-5 || side == HopSide::Client || side == HopSide::Server {
            doubt
        } else {
            chance.max(doubt)
        };
        (!of_side.is_empty()).then(|| format!("{name} {}", within(mean_s, shown / 2.0)))
    };
    let sides = [
        side(HopSide::Client, "connect"),
        side(HopSide::Request, "path out"),
        side(HopSide::Server, "server"),
        side(HopSide::Response, "path back"),
    ];
    Some(sides.into_iter().flatten().collect())
}

/// By the breakdown: what of the server's part the evidence tells.
fn by_breakdown(mean: &BreakdownColumn) -> Option<Vec<String>> {
    let part = |row: PartRow| mean.parts.iter().find(|p| p.row == row);
    let sum = |rows: &[PartRow]| {
        let parts: Vec<f64> = rows.iter().filter_map(|row| part(*row)).map(|p| p.mean_s).collect();
        (!parts.is_empty()).then(|| milliseconds(parts.iter().sum()))
    };
    let server = if part(PartRow::FrontEnd).is_some() { "server" } else { "server's queue and prefill" };
    let named = |row: PartRow, name: &str| {
        part(row).map(|p| {
            let half = p.bounds.or(p.interval).map_or(0.0, |b| b.width_s() / 2.0);
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

/// What is chiefly the matter on the way, and what mends it.
fn cause(causes: &[VerdictRow]) -> String {
    let stake = |v: &VerdictRow| v.at_stake.filter(|s| s.metric == Metric::Ttft).map(|s| s.seconds.value);
    let costs = causes.iter().filter(|v| matches!(v.kind, Kind::Hold | Kind::Queue));
    let worst = costs.filter_map(|v| Some((v, stake(v)?))).max_by(|(_, a), (_, b)| a.total_cmp(b));
    let Some((worst, seconds)) = worst else { return String::new() };
    let named =
        worst.remedies.iter().find(|r| worst.products.iter().any(|p| p.eq_ignore_ascii_case(r.product)));
    let mends = named.map(|r| format!(": {} `{}`", r.product, r.setting)).unwrap_or_default();
    format!(" ({} {}{mends})", worst.kind.as_str(), milliseconds(seconds))
}
