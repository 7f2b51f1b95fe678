//! A run in the words, the units and by the laws of `vllm bench serve`, for those whose scripts read its result
//! file or its block of text. Its laws are kept also where tare's own are others: its peaks are of whole seconds
//! and count a chunk as a token, its percentiles and standard deviations are numpy's. Where it writes 0 for what
//! it did not see, so does this: in the distributions of nothing, and for requests that failed.
//!
//! What stays tare's is where a stamp comes from, that a role is no token, and what a success is.

mod block;
mod figures;
mod file;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use self::figures::Figures;
pub use self::file::Object;
use super::Report;
use crate::clock::UnixNs;
use crate::record::results::Results;
use crate::record::slo::Slo;
use crate::record::{JoinedRow, Status};
use crate::store::Events;

/// A run, seen by `vllm bench serve`.
pub struct Bench<'a> {
    report: &'a Report<'a>,
    results: &'a Results,
    requests: Vec<One<'a>>,
    figures: Figures,
    /// When the run had ended, in this host's zone, as file names have it.
    date: String,
}

/// One request, in the order in which they were to be sent.
struct One<'a> {
    joined: &'a JoinedRow,
    ok: bool,
    /// Seconds; 0 where it failed, as there.
    ttft_s: f64,
    latency_s: f64,
    gaps_s: Vec<f64>,
    /// From when it was wanted to when it was begun.
    queue_s: f64,
}

/// When every request was wanted, where that is one moment: with a limit and no rate, `vllm bench serve` makes all at
/// once and has them wait for a place, where here a user is free when its last request has ended.
fn all_wanted(config: &Value, extra: &serde_json::Map<String, Value>) -> Option<UnixNs> {
    let at = |pointer: &str| config.pointer(pointer);
    let is_closed = at("/load/arrival/kind")?.as_str() == Some("closed");
    let at_once = at("/load/arrival/ramp_s")?.as_f64() == Some(0.0);
    let counted = at("/load/requests").is_some_and(Value::is_u64);
    let begun = extra.get("load")?.get("begun_unix_ns")?.as_i64()?;
    (is_closed && at_once && counted).then_some(UnixNs(begun))
}

impl<'a> Bench<'a> {
    pub fn new(report: &'a Report<'a>, events: &Events, results: &'a Results) -> Self {
        let mut rows: Vec<&JoinedRow> = report.correlated.rows.iter().collect();
        rows.sort_by_key(|joined| joined.client.index);
        let single = rows.iter().all(|joined| joined.client.turn.is_none());
        let wanted = all_wanted(&report.manifest.config, &report.manifest.extra).filter(|_| single);
        let requests: Vec<One<'a>> =
            rows.into_iter().map(|joined| One::new(joined, events, wanted)).collect();
        let slo = report.manifest.config.get("slo").and_then(|slo| Slo::deserialize(slo).ok());
        let figures = Figures::new(&requests, report.summary.duration_s, &slo.unwrap_or_default(), results);
        let ended = report.manifest.ended_unix_ns.unwrap_or(report.manifest.created_unix_ns);
        let date = chrono::DateTime::from_timestamp_nanos(ended.0)
            .with_timezone(&chrono::Local)
            .format("%Y%m%d-%H%M%S")
            .to_string();
        Self { report, results, requests, figures, date }
    }

    /// Prints the block of text.
    pub fn print(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        let failed: Vec<String> = self.requests.iter().filter(|one| !one.ok).map(file::error).collect();
        block::print(out, &self.results.asked, &self.figures, &failed)
    }

    /// The result as it is written, keys in its order.
    pub fn object(&self, detailed: bool) -> Object {
        file::object(self, detailed)
    }

    /// Where it is written, when the name is not given.
    pub fn file(&self) -> Option<PathBuf> {
        file::place(self)
    }

    fn model(&self) -> Option<&str> {
        self.results.asked.model.as_deref().or(self.report.manifest.target.model.as_deref())
    }

    fn label(&self) -> Option<&str> {
        self.report.manifest.config.get("label").and_then(Value::as_str)
    }
}

impl<'a> One<'a> {
    /// `wanted`: when it was, where that is not as it was scheduled here.
    fn new(joined: &'a JoinedRow, events: &Events, wanted: Option<UnixNs>) -> Self {
        let row = &joined.client;
        let ok = row.status == Status::Ok;
        let stamps = events.of(&row.request_id).and_then(|rows| events.stamp_hi_unix_ns.get(rows));
        let gap = |pair: &[i64]| match pair {
            [a, b] => (b - a) as f64 / 1e9,
            _ => 0.0,
        };
        Self {
            joined,
            ok,
            ttft_s: row.ttft_s.filter(|_| ok).unwrap_or(0.0),
            latency_s: row.e2e_s.filter(|_| ok).unwrap_or(0.0),
            gaps_s: stamps.unwrap_or_default().windows(2).map(gap).collect(),
            queue_s: row.started_unix_ns.seconds_since(wanted.unwrap_or(row.scheduled_unix_ns)),
        }
    }
}
