//! The run in one line: what the client's TTFT is made of, on which side of the server, and how sure that
//! is. This file must not know how a part was found.

use super::Report;
use crate::metric::Metric;
use crate::record::correlated::{Breakdown, BreakdownColumn, Evidence, Part, PartRow};
use crate::record::verdicts::{Kind, VerdictRow};
use crate::units::milliseconds;

/// `client TTFT 334.0 ms = connect and send 0.100 + path out 21.4 ± 0.2 + server 198.0 + path back 114.5 ± 0.2;
/// client lag 0.1 beside it`; `None` where no server's side is known.
pub fn line(report: &Report<'_>) -> Option<String> {
    if report.audit.is_some() {
        return None;
    }
    of(&report.correlated.breakdown, &report.correlated.verdicts)
}

/// The same of some requests, with what is concluded about their way.
pub fn of(breakdown: &Breakdown, causes: &[VerdictRow]) -> Option<String> {
    if breakdown.of != Metric::Ttft || breakdown.source == Evidence::None {
        return None;
    }
    let mean = breakdown.columns.first()?;
    let client = sum(mean, &[PartRow::Connect, PartRow::Send]).map(|s| ("connect and send", s));
    let out = part(mean, PartRow::PathOut).map(|p| ("path out", said(p)));
    let out =
        out.or_else(|| part(mean, PartRow::PathOutAndReceipt).map(|p| ("path out and receipt", said(p))));
    let server = sum(mean, &[PartRow::FrontEnd, PartRow::Queue, PartRow::Prefill]);
    let whole = part(mean, PartRow::FrontEnd).is_some();
    let server = server.map(|s| (if whole { "server" } else { "server's queue and prefill" }, s));
    let rest = [
        (PartRow::PathBack, "path back"),
        (PartRow::FrontEndAndPathBack, "front end and path back"),
        (PartRow::ServerAndPathBack, "server and path back"),
        (PartRow::Path, "path out and back"),
        (PartRow::PathAndFrontEnd, "path and front end"),
        (PartRow::PathAndServer, "path and server"),
    ];
    let cause = cause(causes);
    let rest =
        rest.into_iter().filter_map(|(row, name)| Some((name, format!("{}{cause}", said(part(mean, row)?)))));
    let unexplained = part(mean, PartRow::Unexplained)
        .filter(|p| milliseconds(p.mean_s.abs()) != milliseconds(0.0))
        .map(|p| ("unexplained", said(p)));
    let parts: Vec<String> = client
        .into_iter()
        .chain(out)
        .chain(server)
        .chain(rest)
        .chain(unexplained)
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let lag = part(mean, PartRow::ClientLag)
        .map(|p| format!("; client lag {} beside it", milliseconds(p.mean_s)))
        .unwrap_or_default();
    Some(format!(
        "client TTFT {} ms = {}{lag} (means of {} requests)",
        milliseconds(mean.total_s),
        parts.join(" + "),
        crate::units::count(mean.n as u64)
    ))
}

fn part(column: &BreakdownColumn, row: PartRow) -> Option<&Part> {
    column.parts.iter().find(|p| p.row == row)
}

fn sum(column: &BreakdownColumn, rows: &[PartRow]) -> Option<String> {
    let parts: Vec<&Part> = rows.iter().filter_map(|row| part(column, *row)).collect();
    (!parts.is_empty()).then(|| milliseconds(parts.iter().map(|p| p.mean_s).sum()))
}

/// What is chiefly the matter on the way, and what mends it.
fn cause(causes: &[VerdictRow]) -> String {
    let costs = |v: &&VerdictRow| matches!(v.kind, Kind::Hold | Kind::Queue) && v.at_stake.is_some();
    let stake = |v: &VerdictRow| v.at_stake.map_or(0.0, |s| s.seconds.value);
    let worst = causes.iter().filter(costs).max_by(|a, b| stake(a).total_cmp(&stake(b)));
    let Some(worst) = worst else { return String::new() };
    let named =
        worst.remedies.iter().find(|r| worst.products.iter().any(|p| p.eq_ignore_ascii_case(r.product)));
    let mends = named.map(|r| format!(": {} `{}`", r.product, r.setting)).unwrap_or_default();
    format!(" ({} {}{mends})", worst.kind.as_str(), milliseconds(stake(worst)))
}

/// The mean, and how far the evidence leaves it open: by both clocks where they are two, else by its 95 %
/// interval.
fn said(part: &Part) -> String {
    let mean = milliseconds(part.mean_s);
    match part.bounds.or(part.interval) {
        Some(b) if milliseconds(b.width_s() / 2.0) != milliseconds(0.0) => {
            format!("{mean} ± {}", milliseconds(b.width_s() / 2.0))
        }
        _ => mean,
    }
}
