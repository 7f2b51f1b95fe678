//! What other tools recorded → our rows. One file per format and one line in [`FORMATS`]; a file's
//! format is found by looking at it, or named. Good rows survive bad ones, and both are counted.
//! This module must not know what is done with the rows.
//!
//! - [`tare_results`], [`client_stamps`], [`token_times`]: the client's side, stamp by stamp
//! - [`vllm_bench`], [`aiperf`], [`guidellm`], [`inference_perf`]: what other load tools save
//! - [`client_csv`], [`client_parquet`]: tables whose columns say what they hold; `columns` is what the
//!   two share; [`text_log`]: the log of a load test as text
//! - [`vllm_bench_summary`], [`aiperf_summary`], [`inference_perf_summary`]: figures without requests
//! - [`prometheus`]: a page of metrics; [`metrics_lines`], [`prometheus_pages`], [`prometheus_api`],
//!   [`aiperf_metrics`], [`scrapes_parquet`]: pages with their times
//! - [`otlp_json`], [`span_lines`]: spans; `json_span` is what the two share
//! - [`packets`]: captures of the packets on either side of a hop
//! - [`server_stamps`]: what a server that is no vLLM stamped itself
//! - [`tare_stat_log`], [`vllm_finished_requests`]: finished requests by a stat logger
//! - `input`, `instants`, `ended`: what any format comes to

pub mod aiperf;
pub mod aiperf_metrics;
pub mod aiperf_summary;
pub mod client_csv;
pub mod client_parquet;
pub mod client_stamps;
mod columns;
mod ended;
pub mod guidellm;
pub mod inference_perf;
pub mod inference_perf_summary;
mod input;
mod instants;
mod json_span;
pub mod metrics_lines;
pub mod otlp_json;
pub mod packets;
pub mod prometheus;
pub mod prometheus_api;
pub mod prometheus_pages;
pub mod scrapes_parquet;
pub mod server_stamps;
pub mod span_lines;
pub mod tare_results;
pub mod tare_stat_log;
pub mod text_log;
pub mod token_times;
pub mod vllm_bench;
pub mod vllm_bench_summary;
pub mod vllm_finished_requests;

use std::path::Path;

use crate::clock::UnixNs;
use crate::error::{Failure, usage};
use crate::ingest::scrape::Page;
use crate::record::client_totals::ClientTotals;
use crate::record::{Finished, SpanRow, StatRow};
use crate::server::Server;
use crate::store::columns::Columns;

pub use self::input::Reading;

/// Every format, by what it is of; of several that recognise a file the first is taken.
pub static FORMATS: &[Format] = &[
    tare_results::FORMAT,
    client_stamps::FORMAT,
    token_times::FORMAT,
    vllm_bench::FORMAT,
    aiperf::FORMAT,
    guidellm::FORMAT,
    inference_perf::FORMAT,
    client_csv::FORMAT,
    client_parquet::FORMAT,
    text_log::FORMAT,
    vllm_bench_summary::FORMAT,
    aiperf_summary::FORMAT,
    inference_perf_summary::FORMAT,
    prometheus::FORMAT,
    metrics_lines::FORMAT,
    aiperf_metrics::FORMAT,
    prometheus_api::FORMAT,
    prometheus_pages::FORMAT,
    scrapes_parquet::FORMAT,
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
    pub reads: Reads,
}

/// What a format's file is made of, whether one looks like it, and how it is read.
#[derive(Debug)]
pub enum Reads {
    Text {
        recognises: fn(&str) -> bool,
        read: fn(&str, &mut Reading<'_>),
    },
    /// A Parquet file; by the names of its columns.
    Columns {
        recognises: fn(&[&str]) -> bool,
        read: fn(&Columns, &mut Reading<'_>),
    },
}

/// What of a file is meant, where it leaves that open.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Which of several benchmarks in it: its number from 1, or its name.
    pub part: Option<String>,
    /// What the ids began with that its requests were sent with: their numbers follow.
    pub id_prefix: Option<String>,
}

/// The stamps are of one clock that is not the wall clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Loose {
    /// They were placed on the wall clock to within so much; `None`: they stand anywhere.
    pub slack_s: Option<f64>,
}

/// The rows of a file.
#[derive(Debug, Default)]
pub struct Rows {
    pub requests: Vec<Finished>,
    /// What a file without requests says of the run as a whole.
    pub totals: Option<ClientTotals>,
    pub pages: Vec<PageAt>,
    pub spans: Vec<SpanRow>,
    pub stats: Vec<StatRow>,
}

/// A page of metrics.
#[derive(Clone, Debug)]
pub struct PageAt {
    /// Between which instants what it holds was so, where that is known: it was asked for at the first,
    /// and had come by the second.
    pub at: Option<(UnixNs, UnixNs)>,
    /// Which of several endpoints it is of, where the file has several.
    pub source: Option<String>,
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
    /// Its stamps are not of the wall clock.
    pub loose: Option<Loose>,
}

/// Reads the file at `path`, packed with gzip or not. `format` names its format; else it is found.
/// A file that cannot be read, or of which nothing can be, is an error.
pub fn read(path: &Path, of: Of, format: Option<&str>, server: &'static Server) -> Result<Imported, Failure> {
    read_chosen(path, of, format, server, &Choice::default())
}

/// The same, of what is chosen in the file.
pub fn read_chosen(
    path: &Path,
    of: Of,
    format: Option<&str>,
    server: &'static Server,
    choice: &Choice,
) -> Result<Imported, Failure> {
    let shown = path.display().to_string();
    let content = Content::of(path)?;
    let format = match format {
        Some(name) => named(name, of)?,
        None => content.format(of).ok_or_else(|| unknown(&shown, &content, of))?,
    };
    let mut reading = Reading::new(path, server, choice);
    match (&format.reads, &content) {
        (Reads::Text { read, .. }, Content::Text(text)) => read(text, &mut reading),
        (Reads::Columns { read, .. }, Content::Columns(columns)) => read(columns, &mut reading),
        (Reads::Text { .. }, Content::Columns(_)) => {
            return Err(
                usage(format!("{shown} is a Parquet file: `{}` is text", format.name)).hint(known(of))
            );
        }
        (Reads::Columns { .. }, Content::Text(_)) => {
            return Err(
                usage(format!("{shown} is text: `{}` is a Parquet file", format.name)).hint(known(of))
            );
        }
    }
    reading.finish(&shown, format)
}

/// What is in a file.
enum Content {
    Text(String),
    Columns(Columns),
}

impl Content {
    fn of(path: &Path) -> Result<Self, Failure> {
        let bytes = input::bytes(path)?;
        if !Columns::recognises(&bytes) {
            return input::text(bytes, path).map(Self::Text);
        }
        Columns::read(bytes).map(Self::Columns).map_err(|error| {
            usage(format!("cannot read {} as Parquet", path.display()))
                .caused_by(error)
                .hint("is it whole? A Parquet file ends with its table of contents")
        })
    }

    /// The first format of this kind that recognises it.
    fn format(&self, of: Of) -> Option<&'static Format> {
        let fits = |format: &&Format| match (&format.reads, self) {
            (Reads::Text { recognises, .. }, Self::Text(text)) => recognises(text),
            (Reads::Columns { recognises, .. }, Self::Columns(columns)) => recognises(&columns.names()),
            _ => false,
        };
        FORMATS.iter().filter(|format| format.of == of).find(fits)
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Text(text) => text.trim().is_empty(),
            Self::Columns(columns) => columns.height() == 0,
        }
    }

    /// How it begins, for people.
    fn begins(&self) -> String {
        match self {
            Self::Text(text) => {
                format!("it begins with `{}`", crate::ingest::problem::excerpt(text.trim_start(), 80))
            }
            Self::Columns(columns) => {
                format!(
                    "its columns are {}",
                    crate::ingest::problem::excerpt(&columns.names().join(", "), 200)
                )
            }
        }
    }
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
fn unknown(shown: &str, content: &Content, of: Of) -> Failure {
    if content.is_empty() {
        return usage(format!("{shown} is empty: expected {}", of.words())).hint("check the path");
    }
    let begins = content.begins();
    let failure = usage(format!("{shown}: expected {}, found no known format: {begins}", of.words()));
    let failure = failure.hint(known(of));
    let other = [Of::Client, Of::Page, Of::Pages, Of::Spans, Of::StatLog]
        .into_iter()
        .filter(|other| *other != of)
        .find_map(|other| content.format(other));
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
