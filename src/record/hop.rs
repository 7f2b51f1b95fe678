//! A request's passage through one hop between client and server, whatever told of it: a gateway's
//! access log, the headers it puts on answers, a tap's rows, a packet capture. What a source does not say
//! is null, never 0. This file must not know how a row is read, joined or shown.

use serde::{Deserialize, Serialize};

use crate::clock::UnixNs;

/// One request at one hop; appended to `hops.jsonl`.
///
/// Instants are by the hop's clock: an instant lies from `_slack_ns` before its stamp to `_slack_ns` after
/// the end of its resolution. Durations count from the hop's start, in seconds. The head of an answer is
/// never its first token: servers send it before the first token is made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HopRow {
    /// The hop's name in the run's list.
    pub hop: String,
    /// The product whose words these are, as its log format is called.
    pub product: String,
    pub told_by: ToldBy,
    /// The file (or `headers`), and the number of the line or exchange in it, from 1.
    pub source: String,
    pub line_no: u64,
    /// When tare read it.
    pub read_unix_ns: Option<UnixNs>,

    /// The client's `X-Request-Id` as the hop got it, or the one that it put in its place.
    pub request_id: Option<String>,
    /// The hop's own name for the request.
    pub own_id: Option<String>,
    /// The request id in the upstream's answer, where the hop hands it on under another name.
    #[serde(default)]
    pub upstream_request_id: Option<String>,
    /// `id` of the answer's body.
    pub response_id: Option<String>,
    /// 32 hexadecimal digits.
    pub trace_id: Option<String>,
    /// `address:port` of whoever sent the request here; some products log no port.
    pub client: Option<String>,
    /// `address:port` from which the hop asked its upstream.
    pub outgoing: Option<String>,
    pub path: Option<String>,

    pub start_unix_ns: Option<UnixNs>,
    pub start_resolution_ns: Option<i64>,
    pub start_slack_ns: Option<i64>,
    pub end_unix_ns: Option<UnixNs>,
    pub end_resolution_ns: Option<i64>,
    pub end_slack_ns: Option<i64>,
    /// What each of the durations below is cut down to; a sum of several is early by as many of these.
    pub timer_resolution_ns: Option<i64>,

    /// From the start until the request's head was there.
    pub request_head_s: Option<f64>,
    /// … all of the request was there.
    pub request_received_s: Option<f64>,
    /// … it left the hop's queue.
    pub queue_s: Option<f64>,
    /// … there was a connection to the upstream.
    pub connected_s: Option<f64>,
    /// … all of the request was sent to the upstream.
    pub upstream_sent_s: Option<f64>,
    /// … the head of the upstream's answer came.
    pub upstream_head_s: Option<f64>,
    /// … the first byte of its body came.
    pub upstream_first_body_s: Option<f64>,
    /// … its first token came, and had gone on to the client.
    pub first_token_in_s: Option<f64>,
    pub first_token_out_s: Option<f64>,
    /// … its last token came, and had gone on.
    pub last_token_in_s: Option<f64>,
    pub last_token_out_s: Option<f64>,
    /// … the last byte of the upstream's answer came.
    pub upstream_end_s: Option<f64>,
    /// … the answer's head went to the client.
    pub head_sent_s: Option<f64>,
    /// … the hop was over.
    pub total_s: Option<f64>,

    /// Durations that the hop states without saying from when: as its headers name them; and how early an
    /// instant above may be at most (`…_early_by_at_most`).
    pub stated: Vec<(String, f64)>,
    /// The upstreams asked, in order, as far as they are named.
    pub tries: Vec<HopTry>,
    pub attempts: Option<u32>,
    /// The status that the client got.
    pub status: Option<u16>,
    pub completeness: Completeness,
    /// How it ended, in the product's words.
    pub end_reason: Option<String>,
    pub received_bytes: Option<u64>,
    pub sent_bytes: Option<u64>,
}

/// What told of a passage.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToldBy {
    /// The hop's access log.
    #[default]
    Log,
    /// The headers of its answer.
    Headers,
    /// `tare tap`.
    Tap,
    /// Packets captured on either side of it.
    Packets,
}

impl ToldBy {
    /// The word used in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            ToldBy::Log => "log",
            ToldBy::Headers => "headers",
            ToldBy::Tap => "tap",
            ToldBy::Packets => "packets",
        }
    }
}

/// One try at an upstream; its times count from its own beginning.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HopTry {
    pub address: Option<String>,
    pub status: Option<u16>,
    pub connect_s: Option<f64>,
    /// To the answer's head.
    pub head_s: Option<f64>,
    pub end_s: Option<f64>,
}

/// Whether the client got all of the answer, by the hop's own signs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Completeness {
    /// HTTP ended as it should. Whether a stream had all its tokens only its content tells.
    Complete,
    /// It ended early: by the upstream, or it is not said by whom.
    Cut,
    /// The client left.
    Aborted,
    /// The hop gives no sign, or gives the same one to cut answers.
    #[default]
    Unknown,
}

impl Completeness {
    /// The word used in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Completeness::Complete => "complete",
            Completeness::Cut => "cut",
            Completeness::Aborted => "aborted",
            Completeness::Unknown => "unknown",
        }
    }
}
