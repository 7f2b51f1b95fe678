//! What the server says while the load runs: metrics, log, spans. The [`Collector`] starts and
//! stops the sources and hands every row to the writer. This module must not know the load.

mod collector;
pub mod follower;
pub mod lines;
pub mod live;
pub mod log;
mod log_event;
pub mod log_time;
pub mod metrics;
pub mod otlp;
pub mod problem;
pub mod resets;
pub mod scrape;
pub mod snapshot;
pub mod span;
pub mod stream;
pub mod tail;
pub mod trouble;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::Observe;
use crate::record::{LogRow, ScrapeRow, SpanRow};
use crate::server::Server;
use crate::server::trust::Trust;
pub use collector::{Collector, LogWatch};
use log::{LogCounts, LogReader};
use problem::{Notes, Problem};
use resets::Reset;
use tail::Begin;

/// One row from the server's side.
#[derive(Clone, Debug)]
pub enum Ingested {
    Scrape(ScrapeRow),
    Log(LogRow),
    Span(SpanRow),
}

/// What to collect.
#[derive(Clone, Debug)]
pub struct Plan {
    pub server: &'static Server,
    pub observe: Observe,
    /// `None` while the server is still to be started: [`Collector::set_base_url`] tells it later.
    pub base_url: Option<String>,
    /// Whose certificates are believed, of `https` endpoints.
    pub trust: Trust,
    /// Where to begin in a log file that is already there.
    pub log_begin: Begin,
}

/// What one source gave: `seen = parsed + rejected`, and more of it by name.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SourceReport {
    /// `scrape`, `log` or `otlp`.
    pub kind: String,
    pub source: String,
    pub seen: u64,
    pub parsed: u64,
    pub rejected: u64,
    pub details: BTreeMap<String, u64>,
}

/// What was collected, for the manifest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct IngestReport {
    pub sources: Vec<SourceReport>,
    pub resets: Vec<Reset>,
    /// What the reader of the report should know: sources that were lacking, and why.
    pub notes: Vec<String>,
}

/// Reads a whole log that was given afterwards.
pub fn read_log(
    path: &Path,
    server: &Server,
    sink: impl FnMut(LogRow),
) -> Result<(SourceReport, Vec<String>), Problem> {
    let notes = Notes::default();
    let source = path.display().to_string();
    let reader = LogReader::new(&source, server.log_format, notes.clone())
        .ok_or_else(|| Problem::new("no log format is known"))?;
    let (counts, problem) = tail::read_whole(path, reader, sink)?;
    if let Some(problem) = problem {
        notes.add(problem.note());
    }
    Ok((log_report(source, counts), notes.all()))
}

fn log_report(source: String, counts: LogCounts) -> SourceReport {
    let LogCounts { seen, parsed, other, unparsed, bad, blank, lossy, cut } = counts;
    SourceReport {
        kind: "log".to_owned(),
        source,
        seen: seen - blank,
        parsed: parsed + other,
        rejected: unparsed + bad,
        details: [
            ("events", parsed),
            ("other", other),
            ("unparsed", unparsed),
            ("bad", bad),
            ("blank", blank),
            ("lossy", lossy),
            ("cut", cut),
        ]
        .map(|(key, n)| (key.to_owned(), n))
        .into(),
    }
}
