//! What the server says while the load runs: metrics, log, spans, its stat logger's lines. The [`Collector`] starts and
//! stops the sources and hands every row to the writer. This module must not know the load.

mod collector;
pub mod follower;
pub mod hop;
pub mod hop_headers;
pub mod hops_seen;
pub mod lines;
pub mod live;
pub mod log;
mod log_event;
pub mod log_time;
pub mod metrics;
pub mod otlp;
mod partial;
pub mod problem;
pub mod reader;
pub mod resets;
mod rotation;
pub mod scrape;
pub mod snapshot;
pub mod span;
pub mod stat_log;
pub mod stream;
pub mod tail;
pub mod trouble;
mod zone;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::clock::UnixNs;
use crate::config::{Hop, Observe};
use crate::record::{HopRow, LogRow, ScrapeRow, SpanRow, StatRow};
use crate::server::Server;
use crate::server::trust::Trust;
pub use collector::{Collector, LogWatch};
use hop::HopReader;
use log::{LogCounts, LogReader};
use problem::{Notes, Problem};
use reader::{Kind, LineReader};
use resets::Reset;
use stat_log::StatReader;
use tail::Begin;

/// One row from the server's side.
#[derive(Clone, Debug)]
pub enum Ingested {
    Scrape(ScrapeRow),
    Log(LogRow),
    Span(SpanRow),
    Stat(StatRow),
    Hop(Box<HopRow>),
}

/// What to collect.
#[derive(Clone, Debug)]
pub struct Plan {
    pub server: &'static Server,
    pub observe: Observe,
    /// What lies between client and server.
    pub hops: Vec<Hop>,
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
    /// `scrape`, `log`, `stat_log`, `hop_log` or `otlp`.
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

/// Reads a whole log that was given afterwards. Civil times without a year are taken as nearest to
/// the file's last change.
pub fn read_log(
    path: &Path,
    server: &Server,
    sink: impl FnMut(LogRow),
) -> Result<(SourceReport, Vec<String>), Problem> {
    read_log_near(path, server, None, sink)
}

/// As [`read_log`], civil times being taken as nearest to `near`.
pub fn read_log_near(
    path: &Path,
    server: &Server,
    near: Option<UnixNs>,
    mut sink: impl FnMut(LogRow),
) -> Result<(SourceReport, Vec<String>), Problem> {
    let notes = Notes::default();
    let mut reader = LogReader::new(path.display().to_string(), server.log_format, notes.clone())
        .ok_or_else(|| Problem::new("no log format is known"))?;
    read_file(path, &mut reader, near, &notes, |row| {
        if let Ingested::Log(row) = row {
            sink(row);
        }
    })
}

/// Reads a whole stat log that was given afterwards.
pub fn read_stat_log(
    path: &Path,
    mut sink: impl FnMut(StatRow),
) -> Result<(SourceReport, Vec<String>), Problem> {
    let mut reader = StatReader::new(path.display().to_string());
    read_file(path, &mut reader, None, &Notes::default(), |row| {
        if let Ingested::Stat(row) = row {
            sink(row);
        }
    })
}

/// Reads a whole log of a hop that was given afterwards, civil times being taken as nearest to `near`,
/// else to the file's last change.
pub fn read_hop_log(
    hop: &Hop,
    near: Option<UnixNs>,
    mut sink: impl FnMut(HopRow),
) -> Result<(SourceReport, Vec<String>), Problem> {
    let notes = Notes::default();
    let source = hop.log.display().to_string();
    let mut reader = HopReader::new(&hop.name, hop.kind.as_deref(), source, notes.clone());
    read_file(&hop.log, &mut reader, near, &notes, |row| {
        if let Ingested::Hop(row) = row {
            sink(*row);
        }
    })
}

fn read_file(
    path: &Path,
    reader: &mut dyn LineReader,
    near: Option<UnixNs>,
    notes: &Notes,
    sink: impl FnMut(Ingested),
) -> Result<(SourceReport, Vec<String>), Problem> {
    let (counts, problem) = tail::read_whole(path, reader, near, sink)?;
    if let Some(problem) = problem {
        notes.add(problem.note());
    }
    Ok((log_report(reader.kind(), path.display().to_string(), counts), notes.all()))
}

fn log_report(kind: &Kind, source: String, counts: LogCounts) -> SourceReport {
    let LogCounts { seen, parsed, other, unparsed, bad, blank, lossy, cut, files_between, files_lost } =
        counts;
    let rotated = [("files_between", files_between), ("files_lost", files_lost)];
    SourceReport {
        kind: kind.name.to_owned(),
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
        .into_iter()
        .chain(rotated.into_iter().filter(|(_, n)| *n > 0))
        .map(|(key, n)| (key.to_owned(), n))
        .collect(),
    }
}
