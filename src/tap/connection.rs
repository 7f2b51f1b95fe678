//! The exchanges of one connection: which bytes are whose, which answer belongs to which request, how
//! each ended. This file must not know sockets or files.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;

use super::exchange::{End, Exchange, Passed, Side, Unread};
use super::piece::Piece;
use super::request::RequestDecoder;
use super::response::Response;
use super::summary::Added;
use super::writer::Message;
use crate::clock::UnixNs;

/// What all rows of a connection begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) connection: u64,
    pub(super) client: SocketAddr,
    pub(super) outgoing: Option<SocketAddr>,
    pub(super) upstream: SocketAddr,
    pub(super) accepted: UnixNs,
    pub(super) connected: UnixNs,
}

/// One connection through the tap. Rows leave as their exchanges end; [`finish`](Self::finish) sends the
/// rest.
pub(super) struct Connection {
    facts: Facts,
    messages: Sender<Message>,
    exchanges: u64,
    /// In the order of their requests.
    open: VecDeque<Open>,
    unread: Option<Unread>,
    closed_first: Option<Side>,
    upstream_closed: bool,
    reset: bool,
    up: Added,
    down: Added,
}

struct Open {
    row: Exchange,
    request: RequestDecoder,
    /// From its first byte on.
    response: Option<Response>,
}

impl Connection {
    pub(super) fn new(facts: Facts, messages: Sender<Message>) -> Self {
        Self {
            facts,
            messages,
            exchanges: 0,
            open: VecDeque::new(),
            unread: None,
            closed_first: None,
            upstream_closed: false,
            reset: false,
            up: Added::default(),
            down: Added::default(),
        }
    }

    /// Bytes that `sender` sent have been passed on.
    pub(super) fn passed(&mut self, sender: Side, piece: Piece<'_>) {
        let added = if sender == Side::Client { &mut self.up } else { &mut self.down };
        if piece.ends_the_read {
            added.record(piece.stamp.kernel, piece.written);
        }
        let mut piece = piece;
        while !piece.bytes.is_empty() {
            let left = match (self.unread, sender) {
                (Some(_), _) => Ok(self.pass_unread(sender, piece)),
                (None, Side::Client) => self.take_request(piece),
                (None, Side::Upstream) => self.take_response(piece),
            };
            match left {
                Ok(left) => piece.bytes = left,
                Err(unread) => self.unread = Some(unread),
            }
            self.end_whole();
        }
    }

    /// A side has closed its way, or its connection broke (`reset`).
    pub(super) fn closed(&mut self, side: Side, reset: bool) {
        self.closed_first.get_or_insert(side);
        self.upstream_closed |= side == Side::Upstream && !reset;
        self.reset |= reset;
    }

    /// Whether a side's connection broke.
    pub(super) fn is_reset(&self) -> bool {
        self.reset
    }

    /// The connection is over; `stopped`: because the tap is.
    pub(super) fn finish(mut self, stopped: bool) {
        while let Some(mut open) = self.open.pop_front() {
            let response_whole = open.response.as_mut().is_some_and(|response| {
                response.conclude(self.upstream_closed && !self.reset, &mut open.row);
                response.is_done()
            });
            open.row.end = match (self.unread, self.closed_first) {
                (Some(_), _) => End::Unread,
                _ if response_whole => End::Complete,
                _ if stopped => End::InFlight,
                (_, Some(Side::Client)) => End::AbortedByClient,
                (_, Some(Side::Upstream)) => End::CutByUpstream,
                (_, None) => End::InFlight,
            };
            open.row.unread = self.unread;
            (open.row.closed_first, open.row.reset) = (self.closed_first, self.reset);
            self.send(open.row);
        }
        let _ = self.messages.send(Message::Connection { up: self.up, down: self.down });
    }

    /// Returns what is left of the piece when the request has ended.
    fn take_request<'a>(&mut self, piece: Piece<'a>) -> Result<&'a [u8], Unread> {
        if self.open.back().is_none_or(|open| open.request.is_done()) {
            // Old clients send an empty line after a body; it begins no request.
            let begin = piece.bytes.iter().position(|b| !b"\r\n".contains(b));
            let Some(begin) = begin else { return Ok(&[]) };
            self.begin(Some(piece.within()));
            if begin > 0 {
                return Ok(piece.bytes.get(begin..).unwrap_or_default());
            }
        }
        let Some(open) = self.open.back_mut() else { return Ok(&[]) };
        let left = open.request.push(piece.bytes)?;
        open.row.request_bytes += (piece.bytes.len() - left.len()) as u64;
        open.row.request_last = Some(piece.before(left.len()));
        open.row.request_whole = open.request.is_done();
        if let (None, Some(head)) = (&open.row.method, open.request.head()) {
            open.row.method = Some(head.method.clone());
            open.row.path = Some(head.path.clone());
            open.row.request_id.clone_from(&head.request_id);
            open.row.trace_id.clone_from(&head.trace_id);
        }
        Ok(left)
    }

    fn take_response<'a>(&mut self, piece: Piece<'a>) -> Result<&'a [u8], Unread> {
        let connection = self.facts.connection;
        let Some(open) = self.open.front_mut() else { return Err(Unread::Unasked) };
        let response =
            open.response.get_or_insert_with(|| Response::new(open.row.method.as_deref(), connection));
        // It answered before the request had ended, and goes on.
        if response.is_done() {
            return Err(Unread::Unasked);
        }
        response.push(piece, &mut open.row)
    }

    /// Counts what cannot be read with the last exchange.
    fn pass_unread<'a>(&mut self, sender: Side, piece: Piece<'a>) -> &'a [u8] {
        if self.open.is_empty() {
            self.begin(None);
        }
        let Some(open) = self.open.back_mut() else { return &[] };
        let bytes = piece.bytes.len() as u64;
        let (count, first, last) = match sender {
            Side::Client => {
                (&mut open.row.request_bytes, &mut open.row.request_first, &mut open.row.request_last)
            }
            Side::Upstream => {
                (&mut open.row.response_bytes, &mut open.row.response_first, &mut open.row.response_last)
            }
        };
        *count += bytes;
        first.get_or_insert_with(|| piece.within());
        *last = Some(piece.at_end());
        &[]
    }

    /// Sends the rows of exchanges of which both sides have passed.
    fn end_whole(&mut self) {
        let is_whole =
            |open: &mut Open| open.request.is_done() && open.response.as_ref().is_some_and(Response::is_done);
        while self.unread.is_none()
            && let Some(mut open) = self.open.pop_front_if(is_whole)
        {
            if let Some(response) = &mut open.response {
                response.conclude(false, &mut open.row);
            }
            open.row.end = End::Complete;
            self.send(open.row);
        }
    }

    fn send(&self, row: Exchange) {
        // The writer ends when this connection's sender does, not before.
        let _ = self.messages.send(Message::Exchange(Box::new(row)));
    }

    fn begin(&mut self, request_first: Option<Passed>) {
        self.exchanges += 1;
        let Facts { connection, client, outgoing, upstream, accepted, connected } = self.facts;
        let row = Exchange {
            connection,
            exchange: self.exchanges,
            client,
            outgoing,
            upstream,
            method: None,
            path: None,
            request_id: None,
            response_request_id: None,
            trace_id: None,
            response_id: None,
            status: None,
            streamed: None,
            accepted_unix_ns: accepted,
            connected_unix_ns: connected,
            request_first,
            request_last: None,
            request_whole: false,
            response_first: None,
            head: None,
            body_first: None,
            first_token: None,
            last_token: None,
            response_last: None,
            token_events: 0,
            request_bytes: 0,
            response_bytes: 0,
            answer_whole: None,
            end: End::InFlight,
            closed_first: None,
            reset: false,
            unread: None,
        };
        self.open.push_back(Open { row, request: RequestDecoder::default(), response: None });
    }
}
