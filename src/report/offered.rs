//! What an open loop was asked to send and what it sent: two rates by one estimator, and how late requests
//! started. This file must not know how arrivals are drawn.

use serde::Serialize;

use super::Report;
use super::summary::MetricLike;
use crate::clock::UnixNs;
use crate::record::RequestRow;
use crate::units;

/// The load asked for, and the load delivered.
#[derive(Clone, Debug, Serialize)]
pub struct Offered {
    /// The law of arrivals, in words.
    pub law: String,
    /// What arrives: requests, or conversations, whose later turns wait for answers.
    pub of: &'static str,
    /// Those whose time came; of those, the ones that were sent, and the ones that never were.
    pub due: u64,
    pub sent: u64,
    pub unsent: u64,
    /// From the first to the last: (n − 1) / (last − first), of the times wanted (`scheduled`), and of the
    /// times begun (`started`). `None` where all were wanted at one moment.
    pub offered_rps: Option<f64>,
    pub delivered_rps: Option<f64>,
    /// From the first start to the last.
    pub started_within_s: f64,
    /// Started − scheduled.
    pub lateness: Option<MetricLike>,
}

/// `None` for a closed loop, and where the records do not say what was asked for.
pub(super) fn offered(report: &Report<'_>) -> Option<Offered> {
    let manifest = report.manifest;
    let asked = manifest.extra.get("asked")?;
    if !asked.get("is_open")?.as_bool()? {
        return None;
    }
    let all = report.correlated.rows.iter().map(|joined| &joined.client);
    let of = if all.clone().any(|row| row.turn.is_some()) { "conversations" } else { "requests" };
    let rows: Vec<&RequestRow> = all.filter(|row| row.turn.is_none_or(|turn| turn == 1)).collect();
    let of_load = |key: &str| manifest.extra.get("load")?.get(key)?.as_i64();
    let is_cut = report.summary.window.is_cut();
    // What was never sent has no row, and so no place in a window.
    let unsent = if is_cut { 0 } else { of_load("unsent").unwrap_or(0).unsigned_abs() };
    let last_due = of_load("last_due_unix_ns").filter(|_| !is_cut).map(UnixNs);
    let (sent, due) = (rows.len() as u64, rows.len() as u64 + unsent);
    let wanted = span(rows.iter().map(|r| r.scheduled_unix_ns).chain(last_due))?;
    let begun = span(rows.iter().map(|r| r.started_unix_ns))?;
    let rate = |n: u64, span_s: f64| (span_s > 0.0 && wanted > 0.0 && n > 1).then(|| (n - 1) as f64 / span_s);
    Some(Offered {
        law: asked.get("law")?.as_str()?.to_owned(),
        of,
        due,
        sent,
        unsent,
        offered_rps: rate(due, wanted),
        delivered_rps: rate(sent, begun),
        started_within_s: begun,
        lateness: report.summary.stamps.schedule_lateness,
    })
}

/// Seconds from the first to the last.
fn span(times: impl Iterator<Item = UnixNs> + Clone) -> Option<f64> {
    Some(times.clone().max()?.seconds_since(times.min()?))
}

impl Offered {
    /// In one line.
    pub(super) fn words(&self) -> String {
        let mut parts = Vec::new();
        match (self.offered_rps, self.delivered_rps) {
            (Some(offered), Some(delivered)) => parts.push(format!(
                "{offered:.2} {}/s wanted, {delivered:.2} begun ({})",
                self.of,
                units::percent(delivered / offered)
            )),
            _ => parts
                .push(format!("all wanted at once, begun within {}", units::seconds(self.started_within_s))),
        }
        let never = match self.unsent {
            0 => String::new(),
            n => format!(", {} of them never sent", units::count(n)),
        };
        parts.push(format!("{} were due{never}", units::count(self.due)));
        if let Some(late) = &self.lateness {
            let [p50, p99, max] = [late.p50_s, late.p99_s, late.max_s].map(units::seconds);
            parts.push(format!("started late by {p50} (p50), {p99} (p99), {max} (max)"));
        }
        parts.join("; ")
    }
}
