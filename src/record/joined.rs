//! One request with both sides side by side, and where its server's numbers come from. This file must not
//! know how the two were joined.

use serde::{Deserialize, Serialize};

use super::{RequestRow, correlated, hops};
use crate::clock::UnixNs;

/// One request with both sides side by side: a row of `joined.parquet`.
#[derive(Clone, Debug, Serialize)]
pub struct JoinedRow {
    pub client: RequestRow,
    /// The best source that speaks of this request: `span`, `stat_log`, `in_band`, `log` or `none`.
    pub source: Source,
    /// Which source gave the arrival, TTFT, E2E, and the engine's times (queue, prefill, decode).
    pub arrival_source: Option<Source>,
    pub ttft_source: Option<Source>,
    pub e2e_source: Option<Source>,
    pub engine_source: Option<Source>,
    /// Why nothing matched, when `source` is `none`.
    pub unmatched: Option<String>,
    /// Arrival at the server's front end, on the server's clock (spans, stat log).
    pub server_arrival_unix_ns: Option<UnixNs>,
    /// The arrival, the first and the last token at the server's front end, on the client's clock:
    /// somewhere within (equal where both sides read one clock).
    pub arrival_here: Option<correlated::Within>,
    pub first_here: Option<correlated::Within>,
    pub last_here: Option<correlated::Within>,
    /// Arrival → first token there (spans only; never made from prefill).
    pub server_ttft_s: Option<f64>,
    pub server_e2e_s: Option<f64>,
    pub server_queue_s: Option<f64>,
    pub server_prefill_s: Option<f64>,
    pub server_decode_s: Option<f64>,
    /// Prefill and decode together, where the server does not tell them apart.
    pub server_inference_s: Option<f64>,
    pub server_input_tokens: Option<u32>,
    pub server_output_tokens: Option<u32>,
    /// How often the server's spans have it between the client's stamps; 0 without a span.
    pub server_attempts: u32,
    /// From its first arrival there to that of the attempt that was answered; null where there was one.
    pub server_before_s: Option<f64>,
    /// When the log said `Received`, `Added`, the first output, the end of the answer, and that it was
    /// aborted, on the server's clock, with the resolution of the coarsest of these stamps.
    pub log_received_unix_ns: Option<UnixNs>,
    pub log_added_unix_ns: Option<UnixNs>,
    pub log_first_output_unix_ns: Option<UnixNs>,
    pub log_complete_unix_ns: Option<UnixNs>,
    pub log_aborted_unix_ns: Option<UnixNs>,
    pub log_resolution_ns: Option<i64>,
    /// The HTTP status of its access line, found by the client's port.
    pub log_access_status: Option<u16>,
    /// All of these lines, in the order of their stamps, also on the client's clock.
    pub log_lines: Vec<LogLine>,
    /// Whether the span lies inside the client's stamps (false: joined by trace id, but flagged);
    /// null without a span.
    pub span_fits_client: Option<bool>,
    /// Where the time to first token went.
    pub parts: correlated::Parts,
    /// Its passage through each hop of the run's list; null where it is not known.
    pub hops: Vec<Option<Box<hops::Passage>>>,
}

impl JoinedRow {
    /// A request of whose server side nothing is known (yet).
    pub fn of(client: RequestRow) -> Self {
        Self {
            source: Source::None,
            arrival_source: None,
            ttft_source: None,
            e2e_source: None,
            engine_source: None,
            unmatched: None,
            server_arrival_unix_ns: None,
            arrival_here: None,
            first_here: None,
            last_here: None,
            server_ttft_s: None,
            server_e2e_s: None,
            server_queue_s: None,
            server_prefill_s: None,
            server_decode_s: None,
            server_inference_s: None,
            server_input_tokens: None,
            server_output_tokens: None,
            log_received_unix_ns: None,
            log_added_unix_ns: None,
            log_first_output_unix_ns: None,
            log_complete_unix_ns: None,
            log_aborted_unix_ns: None,
            log_resolution_ns: None,
            log_access_status: None,
            server_attempts: 0,
            server_before_s: None,
            log_lines: Vec::new(),
            span_fits_client: None,
            parts: correlated::Parts::default(),
            hops: Vec::new(),
            client,
        }
    }
}

/// A line of the server's log that is about one request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LogLine {
    pub says: LogSays,
    /// On the server's clock, as [`written`, `written` + resolution); null for a line without a stamp.
    pub written_unix_ns: Option<UnixNs>,
    pub resolution_ns: Option<i64>,
    /// On the client's clock, between what caused it and what it caused (a line without a stamp: and when
    /// it was read); null where the clocks cannot be compared.
    pub here: Option<correlated::Within>,
    /// No instant of its stamp lies between these: `here` is then its stamp alone.
    pub contradicts: bool,
}

/// What such a line says.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogSays {
    Received,
    Added,
    FirstOutput,
    Complete,
    Aborted,
    /// An access line, with its HTTP status.
    Access(u16),
}

/// Where a request's server-side numbers come from, best first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Span,
    /// Stamps that the server kept itself, in a file of its own.
    ServerStamps,
    StatLog,
    InBand,
    Log,
    None,
}

impl Source {
    /// The word used in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Span => "span",
            Source::ServerStamps => "server_stamps",
            Source::StatLog => "stat_log",
            Source::InBand => "in_band",
            Source::Log => "log",
            Source::None => "none",
        }
    }
}
