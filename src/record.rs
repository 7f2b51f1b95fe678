//! The rows that flow between the stages: what one finished request, one token event, one scrape,
//! one log line and one span look like. A stage reaches another only through these types or through
//! the run folder. This file must not know how a row is made, stored or drawn.
//!
//! Field names are column names: they end in their unit; instants are `_unix_ns`.

mod any_float;
pub mod audit;
pub mod begun;
pub mod breakdown;
pub mod calibration;
pub mod client_totals;
pub mod clocks;
pub mod comparison;
pub mod correlated;
mod dataset;
pub mod diagnosis;
pub mod figure;
#[cfg(test)]
pub mod fixture;
pub mod hop;
pub mod hops;
mod joined;
pub mod measure;
pub mod own;
mod prompt;
pub mod results;
pub mod selection;
mod server_side;
pub mod shard;
pub mod share;
mod sink;
pub mod slo;
pub mod timeline;
mod trace_ids;
pub mod verdicts;
pub mod waterfall;
mod whose;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

pub use self::audit::Arm;
pub use self::dataset::{DATASETS, DatasetKind, DatasetName};
pub use self::hop::{HopRow, HopTry, ToldBy};
pub use self::joined::{JoinedRow, LogLine, LogSays, Source};
pub use self::prompt::{History, Message, Prompt, PromptKind, Turn};
pub use self::server_side::{
    LogEvent, LogRow, OWN_STAMPS, SampleRow, ScrapePhase, ScrapeRow, SpanRow, StatRow,
};
pub use self::sink::Sink;
pub use self::trace_ids::TraceIds;
pub use self::whose::Whose;
use crate::clock::UnixNs;

/// How a request ended. Only `Ok` is a success.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The answer came whole: `finish_reason`, `[DONE]` or `response.completed` was seen.
    Ok,
    /// An HTTP status of 300 or more: no redirect is followed.
    HttpError,
    /// No connection, or it broke before the first byte of the answer.
    ConnectError,
    /// The per-request time limit passed.
    Timeout,
    /// The stream ended without any of these, however cleanly.
    Cut,
    /// The server reported an error inside the stream.
    StreamError,
    /// The answer was not what the API promises (HTTP, chunking, JSON).
    DecodeError,
    /// Not ended when the run ended: neither a success nor a failure.
    #[default]
    InFlight,
}

impl Status {
    /// Every status, in the order reports list them.
    pub const ALL: [Status; 8] = [
        Status::Ok,
        Status::HttpError,
        Status::ConnectError,
        Status::Timeout,
        Status::Cut,
        Status::StreamError,
        Status::DecodeError,
        Status::InFlight,
    ];

    /// The word used in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Ok => "ok",
            Status::HttpError => "http_error",
            Status::ConnectError => "connect_error",
            Status::Timeout => "timeout",
            Status::Cut => "cut",
            Status::StreamError => "stream_error",
            Status::DecodeError => "decode_error",
            Status::InFlight => "in_flight",
        }
    }

    /// Failed for good (neither ok nor merely unfinished).
    pub fn is_failure(self) -> bool {
        !matches!(self, Status::Ok | Status::InFlight)
    }
}

/// What the request travelled on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Connection {
    /// Opened for this request, inside its time.
    #[default]
    New,
    /// Opened ahead of this request, outside its time; no request had used it.
    Warm,
    /// Kept from an earlier request.
    Reused,
    /// An older connection (kept, or opened ahead) turned out closed before any byte of the answer came;
    /// sent again on a new one.
    Retried,
}

impl Connection {
    /// The word used in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Connection::New => "new",
            Connection::Warm => "warm",
            Connection::Reused => "reused",
            Connection::Retried => "retried",
        }
    }
}

/// The API a request was sent to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Endpoint {
    #[default]
    Chat,
    Completions,
    Responses,
}

impl Endpoint {
    pub const ALL: [Endpoint; 3] = [Endpoint::Chat, Endpoint::Completions, Endpoint::Responses];

    /// Its usual path below the base URL.
    pub fn path(self) -> &'static str {
        match self {
            Endpoint::Chat => "/v1/chat/completions",
            Endpoint::Completions => "/v1/completions",
            Endpoint::Responses => "/v1/responses",
        }
    }

    /// The API that a path's end tells of, whatever stands before it.
    pub fn of_path(path: &str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        let end = |endpoint: &Self| endpoint.path().trim_start_matches("/v1");
        Self::ALL.into_iter().find(|endpoint| path.ends_with(end(endpoint)))
    }

    /// The word used in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Endpoint::Chat => "chat",
            Endpoint::Completions => "completions",
            Endpoint::Responses => "responses",
        }
    }
}

/// Who dated an event's arrival, least exact first.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StampSource {
    /// The program, when it had read the bytes.
    #[default]
    User,
    /// The kernel, once per read of the socket.
    Kernel,
    /// The kernel, once per segment captured.
    Packet,
}

impl StampSource {
    /// The word used in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            StampSource::User => "user",
            StampSource::Kernel => "kernel",
            StampSource::Packet => "packet",
        }
    }
}

/// One request as the client saw it; appended to `results.jsonl` when it ends.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct RequestRow {
    /// The `X-Request-Id` sent.
    pub request_id: String,
    /// The trace id of the `traceparent` sent: 32 hex digits.
    pub trace_id: String,
    /// `id` of the answer's body or chunks.
    pub response_id: Option<String>,
    /// Number of the request in the order it was scheduled, from 0.
    pub index: u64,
    /// Which prompt of the workload.
    pub prompt_index: u32,
    /// Which user of a closed loop.
    pub user: Option<u32>,
    /// Of a run that several processes sent: which of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<u32>,
    /// Of a conversation: which, from 0, and which of its turns this is, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turn: Option<u32>,
    /// Of an audit: which way it went, in which cell and round, and which request of either arm it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arm: Option<Arm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<u64>,
    pub endpoint: Endpoint,
    pub streamed: bool,

    pub scheduled_unix_ns: UnixNs,
    pub started_unix_ns: UnixNs,
    pub connect_begin_unix_ns: Option<UnixNs>,
    pub connect_end_unix_ns: Option<UnixNs>,
    /// End of the TLS handshake, which begins at `connect_end`; null without TLS.
    pub tls_end_unix_ns: Option<UnixNs>,
    pub send_begin_unix_ns: Option<UnixNs>,
    pub sent_unix_ns: Option<UnixNs>,
    /// Kernel stamp of the read that completed the response head.
    pub head_unix_ns: Option<UnixNs>,
    /// `stamp_hi` of the first token-bearing event; `_lo` is its lower bound (equal when exact).
    pub first_token_unix_ns: Option<UnixNs>,
    pub first_token_lo_unix_ns: Option<UnixNs>,
    pub first_token_user_unix_ns: Option<UnixNs>,
    /// First event with visible text (not reasoning).
    pub first_content_unix_ns: Option<UnixNs>,
    pub last_token_unix_ns: Option<UnixNs>,
    pub last_token_lo_unix_ns: Option<UnixNs>,
    /// When the answer's end was read (or the failure seen), user clock.
    pub done_unix_ns: UnixNs,
    /// Where the stamps of its events come from. Older records only say whether it was the kernel.
    #[serde(alias = "kernel_stamps", deserialize_with = "source_or_flag")]
    pub stamps: StampSource,

    pub status: Status,
    pub http_status: Option<u16>,
    pub error: Option<String>,
    pub finish_reason: Option<String>,
    pub connection: Connection,
    pub local_port: Option<u16>,

    /// From the answer's `usage`; null when the server sent none.
    pub input_tokens: Option<u32>,
    pub output_tokens: Option<u32>,
    /// Tokens that the prompt was built or counted to have before it was sent, by the run's tokenizer,
    /// special tokens included, a chat template not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_input_tokens: Option<u32>,
    /// Of the input tokens those that the server had cached, where its usage says that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached_input_tokens: Option<u32>,
    /// Asked for (`max_tokens`).
    pub max_tokens: Option<u32>,
    pub prompt_chars: u32,
    /// Token-bearing events, and how many of them carry an exact stamp.
    pub n_events: u32,
    pub n_exact_events: u32,

    pub ttft_s: Option<f64>,
    pub ttft_user_s: Option<f64>,
    pub ttft_scheduled_s: Option<f64>,
    pub ttft_content_s: Option<f64>,
    /// (last − first token) / (output tokens − 1).
    pub itl_mean_s: Option<f64>,
    /// (E2E − TTFT) / (output tokens − 1): the same value for a streamed answer, by its own formula.
    pub tpot_s: Option<f64>,
    pub e2e_s: Option<f64>,
    /// Output tokens / E2E.
    pub user_throughput_tps: Option<f64>,

    /// What the answer told of its times: scheduled → first token (`metrics` of vLLM, `timings` of llama.cpp).
    pub in_band_prefill_s: Option<f64>,
    pub in_band_queue_s: Option<f64>,
    pub in_band_decode_s: Option<f64>,
    /// Prefill and decode together, and the whole request at the server (headers of TGI).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_band_inference_s: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_band_e2e_s: Option<f64>,

    /// Of the answer's headers those that tell of what lay between, names in lower case
    /// (`tare_parsers::hop_headers`): never a cookie, a key or what is not known to be harmless.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answer_headers: Vec<(String, String)>,
    /// What the answer says; null unless it was asked to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generated_text: Option<String>,
}

impl RequestRow {
    /// Whether it went the way on which the hops lie.
    pub fn passes_hops(&self) -> bool {
        self.arm != Some(Arm::Direct)
    }

    /// [`Self::answer_headers`] as parsers take them.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.answer_headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Ids that the answer's head told.
    pub fn answered_ids(&self) -> impl Iterator<Item = &str> {
        let is_id = |name: &str| name.ends_with("request-id") || name.ends_with("call-id");
        self.answer_headers.iter().filter(move |(name, _)| is_id(name)).map(|(_, id)| id.as_str())
    }
}

fn source_or_flag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<StampSource, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Source(StampSource),
        Kernel(bool),
    }
    Ok(match Either::deserialize(deserializer)? {
        Either::Source(source) => source,
        Either::Kernel(true) => StampSource::Kernel,
        Either::Kernel(false) => StampSource::User,
    })
}

/// One token-bearing event of a stream; a request's events are contiguous in `events.arrows`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EventRow {
    /// Last moment at which the socket was seen empty before this event.
    pub stamp_lo_unix_ns: UnixNs,
    /// Kernel stamp of the read that brought the event's last byte; equal to `lo` when exact.
    pub stamp_hi_unix_ns: UnixNs,
    /// When the program had the bytes in hand.
    pub user_unix_ns: UnixNs,
    /// Events that came in the same read.
    pub events_in_read: u32,
    /// Tokens of this event; `None` when the server does not say.
    pub tokens: Option<u32>,
    /// Bytes of the event on the wire (without HTTP framing).
    pub bytes: u32,
}

/// A finished request with its events: what the load hands to the writer.
#[derive(Clone, Debug)]
pub struct Finished {
    pub row: RequestRow,
    pub events: Vec<EventRow>,
    /// Where the events lay, when there was a connection.
    pub place: Option<Place>,
}

/// By what a request's events are found in a capture of its connection.
#[derive(Clone, Debug)]
pub struct Place {
    pub client: SocketAddr,
    /// Where each event ended in the stream to the client; empty when that was not asked for.
    pub offsets: Vec<u64>,
    /// The first event with visible text.
    pub first_content: Option<usize>,
}
