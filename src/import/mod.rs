//! What other tools recorded → our rows. One file per format and one line in [`FORMATS`]; a file's
//! format is found by looking at it, or named. Good rows survive bad ones, and both are counted.
//! This module must not know what is done with the rows.
//!
//! - [`client_stamps`], [`token_times`], [`vllm_bench`], [`tare_results`]: the client's side
//! - [`prometheus`], [`metrics_lines`]: pages of metrics, single ones and many with their times
//! - [`otlp_json`], [`span_lines`]: spans; `json_span` is what the two share
//! - [`packets`]: captures of the packets on either side of a hop
//! - [`server_stamps`]: what a server that is no vLLM stamped itself
//! - [`tare_stat_log`], [`vllm_finished_requests`]: finished requests by a stat logger

pub mod client_stamps;
mod input;
mod json_span;
pub mod metrics_lines;
pub mod otlp_json;
pub mod packets;
pub mod prometheus;
pub mod server_stamps;
pub mod span_lines;
pub mod tare_results;
pub mod tare_stat_log;
pub mod token_times;
pub mod vllm_bench;
pub mod vllm_finished_requests;

use std::path::Path;

use crate::clock::UnixNs;
use crate::error::{Failure, usage};
use crate::ingest::scrape::Page;
use crate::record::{Finished, SpanRow, StatRow};
use crate::server::Server;

pub use self::input::Reading;

/// Every format, by what it is of; of several that recognise a file the first is taken.
pub static FORMATS: &[Format] = &[
    tare_results::FORMAT,
    client_stamps::FORMAT,
    token_times::FORMAT,
    vllm_bench::FORMAT,
    prometheus::FORMAT,
    metrics_lines::FORMAT,
    otlp_json::FORMAT,
    span_lines::FORMAT,
    server_stamps::FORMAT,
    tare_stat_log::FORMAT,
    vllm_finished_requests::FORMAT,
];

/// What a file is of, and so which flag names it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Of {
    Client,
    /// One page of metrics, without a time.
    Page,
    /// Pages of metrics with the times at which they were asked for and came.
    Pages,
    Spans,
    StatLog,
}

impl Of {
    /// Its name in the manifest's sources.
    pub fn kind(self) -> &'static str {
        match self {
            Of::Client => "client",
            Of::Page | Of::Pages => "metrics",
            Of::Spans => "spans",
            Of::StatLog => "stat_log",
        }
    }

    /// In sentences.
    fn words(self) -> &'static str {
        match self {
            Of::Client => "a client's records",
            Of::Page => "a page of metrics",
            Of::Pages => "metrics over time",
            Of::Spans => "spans",
            Of::StatLog => "a stat log",
        }
    }

    /// The flag that names the format.
    fn flag(self) -> Option<&'static str> {
        match self {
            Of::Client => Some("--client-format"),
            Of::Spans => Some("--spans-format"),
            Of::StatLog => Some("--stat-log-format"),
            Of::Page | Of::Pages => None,
        }
    }
}

/// One format.
#[derive(Debug)]
pub struct Format {
    pub name: &'static str,
    pub of: Of,
    pub description: &'static str,
    /// Whether the text looks like it.
    pub recognises: fn(&str) -> bool,
    pub read: fn(&str, &mut Reading<'_>),
}

/// The rows of a file.
#[derive(Debug, Default)]
pub struct Rows {
    pub requests: Vec<Finished>,
    pub pages: Vec<PageAt>,
    pub spans: Vec<SpanRow>,
    pub stats: Vec<StatRow>,
}

/// A page of metrics.
#[derive(Clone, Debug)]
pub struct PageAt {
    /// When it was asked for and when it had come, where that is known.
    pub at: Option<(UnixNs, UnixNs)>,
    pub page: Page,
}

/// One file, read: `seen = taken + bad`.
#[derive(Debug)]
pub struct Imported {
    pub format: &'static Format,
    pub rows: Rows,
    pub seen: u64,
    pub taken: u64,
    pub bad: u64,
    /// What the reader of the report should know of it.
    pub notes: Vec<String>,
}

/// Reads the file at `path`, packed with gzip or not. `format` names its format; else it is found.
/// A file that cannot be read, or of which nothing can be, is an error.
pub fn read(path: &Path, of: Of, format: Option<&str>, server: &'static Server) -> Result<Imported, Failure> {
    let shown = path.display().to_string();
    let text = input::text(path)?;
    let format = match format {
        Some(name) => named(name, of)?,
        None => detect(&text, of).ok_or_else(|| unknown(&shown, &text, of))?,
    };
    let mut reading = Reading::new(path, server);
    (format.read)(&text, &mut reading);
    reading.finish(&shown, format)
}

fn detect(text: &str, of: Of) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.of == of && (format.recognises)(text))
}

fn named(name: &str, of: Of) -> Result<&'static Format, Failure> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    FORMATS.iter().find(|format| format.of == of && plain(format.name) == plain(name)).ok_or_else(|| {
        usage(format!("`{name}` is no format for {} that is known", of.words()))
            .hint(format!("known formats: {}", names(of)))
    })
}

fn names(of: Of) -> String {
    let names: Vec<&str> =
        FORMATS.iter().filter(|format| format.of == of).map(|format| format.name).collect();
    names.join(", ")
}

/// Which formats there are, and how to name one.
fn known(of: Of) -> String {
    match of.flag() {
        Some(flag) => format!("known formats: {}; {flag} names one", names(of)),
        None => format!("known formats: {}", names(of)),
    }
}

/// A file of another kind is sent to its flag.
fn unknown(shown: &str, text: &str, of: Of) -> Failure {
    if text.trim().is_empty() {
        return usage(format!("{shown} is empty: expected {}", of.words())).hint("check the path");
    }
    let begins = crate::ingest::problem::excerpt(text.trim_start(), 80);
    let failure =
        usage(format!("{shown}: expected {}, found no known format: it begins with `{begins}`", of.words()));
    let failure = failure.hint(known(of));
    let other = [Of::Client, Of::Page, Of::Pages, Of::Spans, Of::StatLog]
        .into_iter()
        .filter(|other| *other != of)
        .find_map(|other| detect(text, other));
    match other.map(|format| format.of) {
        Some(Of::Client) => failure.hint("it looks like a client's records: give it with --client"),
        Some(Of::Page) => {
            failure.hint("it is one page of metrics: give it with --metrics-before or --metrics-after")
        }
        Some(Of::Pages) => failure.hint("it holds pages of metrics with their times: give it with --metrics"),
        Some(Of::Spans) => failure.hint("it looks like spans: give it with --spans"),
        Some(Of::StatLog) => failure.hint("it looks like a stat log: give it with --stat-log"),
        None => failure,
    }
}
