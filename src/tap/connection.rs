//! The exchanges of one connection: which bytes are whose, which answer belongs to which request, how
//! each ended. This file must not know sockets or files.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::mpsc::Sender;

use super::ending::{Ending, Fate};
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
    fate: Fate,
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
            fate: Fate::default(),
            up: Added::default(),
            down: Added::default(),
        }
    }

    /// Bytes that `sender` sent have been passed on.
    pub(super) fn passed(&mut self, sender: Side, piece: Piece<'_>) {
        let added = if sender == Side::Client { &mut self.up } else { &mut self.down };
        match piece {
            Piece { ends_the_read: false, .. } => {}
            Piece { held_up: true, .. } => added.held_up += 1,
            Piece { stamp, written, .. } => added.record(stamp.kernel, written),
        }
        let mut piece = piece;
        while !piece.bytes.is_empty() {
            let left = match (self.fate.unread, sender) {
                (Some(_), _) => Ok(self.pass_unread(sender, piece)),
                (None, Side::Client) => self.take_request(piece),
                (None, Side::Upstream) => self.take_response(piece),
            };
            match left {
                Ok(left) => piece.bytes = left,
                Err(unread) => self.fate.unread = Some(unread),
            }
            self.end_whole();
        }
    }

    /// A side has closed its way, or its connection broke (`reset`).
    pub(super) fn closed(&mut self, side: Side, reset: bool) {
        self.fate.closed_first.get_or_insert(side);
        self.fate.upstream_closed |= side == Side::Upstream && !reset;
        self.fate.reset |= reset;
    }

    /// Whether a side's connection broke.
    pub(super) fn is_reset(&self) -> bool {
        self.fate.reset
    }

    /// The connection is over; `stopped`: because the tap is.
    pub(super) fn finish(mut self, stopped: bool) {
        self.fate.stopped = stopped;
        while let Some(open) = self.open.pop_front() {
            self.end(open, self.fate);
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
        let Some(open) = self.open.front_mut() else { return Err(Unread::Unasked) };
        let response = open.response.get_or_insert_with(|| Response::new(open.row.method.as_deref()));
        // It answered before the request had ended, and goes on.
        if response.is_done() {
            return Err(Unread::Unasked);
        }
        let left = response.push(piece, &mut open.row)?;
        if let Some(batch) = response.full_batch() {
            let message = Message::Events { of: open.row.number(), batch };
            let _ = self.messages.send(message);
        }
        Ok(left)
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
        while self.fate.unread.is_none()
            && let Some(open) = self.open.pop_front_if(is_whole)
        {
            self.end(open, Fate::default());
        }
    }

    fn end(&self, open: Open, fate: Fate) {
        let Open { row, response, .. } = open;
        // The writer ends when this connection's sender does, not before.
        let _ = self.messages.send(Message::Ending(Box::new(Ending { row, response, fate })));
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
