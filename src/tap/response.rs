//! What a response says, and when: its head, its body, its events. Events are put aside as they pass;
//! their JSON is read elsewhere. This file must not know sockets.

use tare_parsers::sse::SseDecoder;

use super::exchange::{Exchange, Unread};
use super::piece::Piece;
use super::tokens::{Batch, Tokens};
use crate::load::http1::{Head, ResponseDecoder};
use crate::load::openai;

/// Event bytes put aside before they are handed over: bounds the memory of a stream.
const BATCH_BYTES: usize = 8 * 1024;
/// The same for events that say next to nothing.
const BATCH_EVENTS: usize = 1024;
/// An unstreamed answer is looked into for its id up to this length.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// One response as it passes.
pub(super) struct Response {
    decoder: ResponseDecoder,
    sse: SseDecoder,
    batch: Batch,
    /// Of an unstreamed answer; nothing once it is too long.
    body: Option<Vec<u8>>,
    done_seen: bool,
}

impl Response {
    /// To a request of this method.
    pub(super) fn new(method: Option<&str>) -> Self {
        let is_head = method == Some("HEAD");
        Self {
            decoder: if is_head { ResponseDecoder::without_body() } else { ResponseDecoder::default() },
            sse: SseDecoder::new(),
            batch: Batch::default(),
            body: Some(Vec::new()),
            done_seen: false,
        }
    }

    /// Whether the response is complete.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Events that are to be read by now.
    pub(super) fn full_batch(&mut self) -> Option<Batch> {
        let is_full = self.batch.data.len() >= BATCH_BYTES || self.batch.events.len() >= BATCH_EVENTS;
        is_full.then(|| std::mem::take(&mut self.batch))
    }

    /// Takes the next bytes, at most up to the response's end, and writes into `row` what they say;
    /// returns what is left.
    pub(super) fn push<'a>(&mut self, piece: Piece<'a>, row: &mut Exchange) -> Result<&'a [u8], Unread> {
        let bytes = piece.bytes;
        row.response_first.get_or_insert_with(|| piece.within());
        let first = self.batch.events.len();
        let mut body_end = 0;
        let Self { decoder, sse, batch, body, done_seen } = self;
        let had_head = decoder.head().is_some();
        let left = decoder.push_some(bytes, |head, part| {
            // Where the part ends within this read; parts are slices of it.
            body_end = part.as_ptr() as usize - bytes.as_ptr() as usize + part.len();
            if is_read(head) {
                sse.push(part, |event| {
                    *done_seen |= event.data == b"[DONE]";
                    batch.data.extend_from_slice(event.data);
                    batch.events.push((piece.within(), batch.data.len()));
                });
            } else if body.as_ref().is_some_and(|kept| kept.len() + part.len() <= MAX_BODY_BYTES) {
                body.get_or_insert_default().extend_from_slice(part);
            } else {
                *body = None;
            }
        });
        let left = left.map_err(|_| Unread::Response)?;
        // An event (and its chunk's CRLF) is exact if it ended the read: no comment after it, no
        // beginning of the next.
        if bytes.len() - body_end <= 2
            && self.sse.bytes_since_event() == 0
            && let Some((when, _)) = self.batch.events.get_mut(first..).and_then(|new| new.last_mut())
        {
            *when = piece.at_end();
        }
        if body_end > 0 {
            row.body_first.get_or_insert_with(|| piece.within());
        }
        if !had_head && self.decoder.head().is_some() {
            let ends_with_it = body_end == 0 && bytes.ends_with(b"\r\n\r\n");
            row.head = Some(if ends_with_it { piece.at_end() } else { piece.within() });
            self.tell_head(row);
        }
        row.response_bytes += (bytes.len() - left.len()) as u64;
        row.response_last = Some(piece.before(left.len()));
        Ok(left)
    }

    /// The response is over, or no more of it will come: reads what is left, writes it into `row`, and
    /// says whether the response is whole. If the upstream closed, that may have been its proper end.
    pub(super) fn conclude(mut self, upstream_closed: bool, mut tokens: Tokens, row: &mut Exchange) -> bool {
        tokens.read(&self.batch);
        let by_close = !self.is_done() && upstream_closed && self.decoder.close();
        let Some(head) = self.decoder.head() else { return false };
        if !is_read(head) {
            let body = self.body.filter(|_| self.decoder.is_done());
            let id = body.and_then(|body| openai::parse_any(&body).ok()?.id.map(Into::into));
            row.response_id = id;
            return self.decoder.is_done();
        }
        let coding = head.header("content-encoding").unwrap_or("identity");
        if !["identity", "none"].iter().any(|plain| coding.eq_ignore_ascii_case(plain)) {
            // What the events of a compressed stream say, nobody has read.
            return self.decoder.is_done();
        }
        let says_whole = self.done_seen || tokens.all_finished();
        row.answer_whole = Some(says_whole);
        tokens.tell(row);
        // A stream that any close would end properly was cut if it does not say that it is whole.
        self.decoder.is_done() && (says_whole || !by_close || head.status >= 300)
    }

    fn tell_head(&self, row: &mut Exchange) {
        let Some(head) = self.decoder.head() else { return };
        row.status = Some(head.status);
        row.streamed = Some(head.event_stream);
        row.response_request_id = head.header("x-request-id").map(str::to_owned);
    }
}

/// Whether the body is events that can be looked into: packed ones cannot, and say nothing of their end.
fn is_read(head: &Head) -> bool {
    let coding = head.header("content-encoding").unwrap_or("identity");
    head.event_stream && coding.eq_ignore_ascii_case("identity")
}
