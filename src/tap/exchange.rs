//! The row of one HTTP exchange that passed the tap: who, what, when, how much and how it ended.
//! Nothing of a request but its method, path and ids is in it: no other header, no query, no body.
//! This file must not know how a row comes about.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::clock::UnixNs;

/// When a byte passed: within `lo..=hi` it came in, by the kernel's stamps (both are equal where that
/// is exact), and at `written` it had been handed to the other side's socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Passed {
    pub lo_unix_ns: UnixNs,
    pub hi_unix_ns: UnixNs,
    pub written_unix_ns: UnixNs,
}

/// One of the two sides.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    Client,
    Upstream,
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The whole response passed.
    Complete,
    /// The upstream closed or reset the connection before that.
    CutByUpstream,
    /// The client did.
    AbortedByClient,
    /// The tap was stopped before that.
    #[default]
    InFlight,
    /// Bytes passed that are no HTTP/1.1: see `unread`.
    Unread,
}

/// Why bytes were passed on without being understood.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unread {
    /// A TLS handshake: the tap belongs where the traffic is plain.
    Tls,
    /// HTTP/2 without TLS.
    Http2,
    /// What the client sent is no HTTP/1.1 request.
    Request,
    /// What the upstream sent is no HTTP/1.1 response (after an upgrade, say).
    Response,
    /// The upstream sent what no request had asked for.
    Unasked,
}

/// One exchange; or, where bytes could not be read, the rest of its connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// Connections in the order in which they were accepted, from 1.
    pub connection: u64,
    /// Exchanges of the connection in order, from 1.
    pub exchange: u64,
    pub client: SocketAddr,
    /// The tap's own address towards the upstream, by which the upstream's log names the connection.
    pub outgoing: Option<SocketAddr>,
    pub upstream: SocketAddr,
    pub method: Option<String>,
    /// Without its query.
    pub path: Option<String>,
    /// `X-Request-Id` of the request, and of the response.
    pub request_id: Option<String>,
    pub response_request_id: Option<String>,
    /// Of the request's `traceparent`.
    pub trace_id: Option<String>,
    /// The `id` in the response's body.
    pub response_id: Option<String>,
    pub status: Option<u16>,
    /// The response is `text/event-stream`.
    pub streamed: Option<bool>,
    /// The tap had the connection; the kernel may have had it earlier.
    pub accepted_unix_ns: UnixNs,
    /// The connection to the upstream was open.
    pub connected_unix_ns: UnixNs,
    /// The request's first byte and, of those that passed, its last.
    pub request_first: Option<Passed>,
    pub request_last: Option<Passed>,
    /// The whole request passed.
    pub request_whole: bool,
    /// The response's first byte, the end of its head, the first byte of its body.
    pub response_first: Option<Passed>,
    pub head: Option<Passed>,
    pub body_first: Option<Passed>,
    /// The first and the last event that bears a token.
    pub first_token: Option<Passed>,
    pub last_token: Option<Passed>,
    /// The last byte of the response that passed.
    pub response_last: Option<Passed>,
    pub token_events: u64,
    /// Bytes on the wire, heads and framing included.
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// Of a stream that is not packed (gzip): `[DONE]`, or a finish reason for each choice, was seen.
    pub answer_whole: Option<bool>,
    pub end: End,
    /// Which side closed while the exchange was open, the first of them.
    pub closed_first: Option<Side>,
    /// By a reset.
    pub reset: bool,
    pub unread: Option<Unread>,
}

impl Exchange {
    /// Which exchange of which connection.
    pub fn number(&self) -> (u64, u64) {
        (self.connection, self.exchange)
    }
}
