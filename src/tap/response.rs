//! What a response says, and when: its head, its events, which of them bear tokens. Stamps and bytes
//! are put aside as events pass; their JSON is read when enough has gathered or when the response is
//! over, so that it is not read while other streams' tokens wait to be passed on. This file must not
//! know sockets.

use tare_parsers::sse::SseDecoder;

use super::exchange::{Exchange, Passed, Unread};
use super::piece::Piece;
use crate::load::http1::ResponseDecoder;
use crate::load::openai;

/// Event bytes put aside before they are read. Not the same for all connections, or a server that
/// writes to all of them at once would have all of them read at once.
const GATHER_BYTES: std::ops::Range<u64> = 512..1536;
/// An unstreamed answer is looked into for its id up to this length.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// One response as it passes.
pub(super) struct Response {
    decoder: ResponseDecoder,
    sse: SseDecoder,
    /// Events whose JSON is not yet read: when they passed, and where their data ends.
    gathered: Vec<(Passed, usize)>,
    data: Vec<u8>,
    gather_bytes: usize,
    /// Of an unstreamed answer; nothing once it is too long.
    body: Option<Vec<u8>>,
    done_seen: bool,
    /// It ended as HTTP lets it, and not as a stream of tokens does.
    is_cut: bool,
    /// Choices that chunks were about, and those that were ended: a bit each.
    choices: u64,
    finished: u64,
    /// Cumulative completion tokens of the last chunk that told.
    tokens_so_far: Option<u32>,
}

impl Response {
    /// To a request of this method, over the connection of this number.
    pub(super) fn new(method: Option<&str>, connection: u64) -> Self {
        let is_head = method == Some("HEAD");
        let spread = connection.wrapping_mul(0x9e37_79b9) % (GATHER_BYTES.end - GATHER_BYTES.start);
        Self {
            decoder: if is_head { ResponseDecoder::without_body() } else { ResponseDecoder::default() },
            sse: SseDecoder::new(),
            gathered: Vec::new(),
            data: Vec::new(),
            gather_bytes: (GATHER_BYTES.start + spread) as usize,
            body: Some(Vec::new()),
            done_seen: false,
            is_cut: false,
            choices: 0,
            finished: 0,
            tokens_so_far: None,
        }
    }

    /// Whether the response is complete.
    pub(super) fn is_done(&self) -> bool {
        self.decoder.is_done() && !self.is_cut
    }

    /// Takes the next bytes, at most up to the response's end, and writes into `row` what they say;
    /// returns what is left.
    pub(super) fn push<'a>(&mut self, piece: Piece<'a>, row: &mut Exchange) -> Result<&'a [u8], Unread> {
        let bytes = piece.bytes;
        row.response_first.get_or_insert_with(|| piece.within());
        let first = self.gathered.len();
        let mut body_end = 0;
        let Self { decoder, sse, gathered, data, body, done_seen, .. } = self;
        let had_head = decoder.head().is_some();
        let left = decoder.push_some(bytes, |head, part| {
            // Where the part ends within this read; parts are slices of it.
            body_end = part.as_ptr() as usize - bytes.as_ptr() as usize + part.len();
            if head.event_stream {
                sse.push(part, |event| {
                    *done_seen |= event.data == b"[DONE]";
                    data.extend_from_slice(event.data);
                    gathered.push((piece.within(), data.len()));
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
            && let Some((when, _)) = self.gathered.get_mut(first..).and_then(|new| new.last_mut())
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
        if self.data.len() >= self.gather_bytes {
            self.read_gathered(row);
        }
        Ok(left)
    }

    /// The response is over, or no more of it will come: reads what is still put aside. If the upstream
    /// closed, that may have been its proper end.
    pub(super) fn conclude(&mut self, upstream_closed: bool, row: &mut Exchange) {
        self.read_gathered(row);
        let was_done = self.is_done();
        let by_close = upstream_closed && self.decoder.close() && !was_done;
        let Some(head) = self.decoder.head() else { return };
        if head.event_stream {
            let whole = self.done_seen || (self.finished != 0 && self.finished == self.choices);
            row.answer_whole = Some(whole);
            // A stream that any close would end properly was cut if it does not say that it is whole.
            if by_close && !whole && head.status < 300 {
                self.is_cut = true;
            }
        } else if let Some(body) = self.body.take()
            && self.decoder.is_done()
        {
            row.response_id = openai::parse(&body).ok().and_then(|answer| answer.id).map(Into::into);
        }
    }

    fn tell_head(&self, row: &mut Exchange) {
        let Some(head) = self.decoder.head() else { return };
        row.status = Some(head.status);
        row.streamed = Some(head.event_stream);
        row.response_request_id = head.header("x-request-id").map(str::to_owned);
    }

    fn read_gathered(&mut self, row: &mut Exchange) {
        let (mut gathered, mut data) = (std::mem::take(&mut self.gathered), std::mem::take(&mut self.data));
        let mut begin = 0;
        for &(passed, end) in &gathered {
            let json = data.get(begin..end).unwrap_or_default();
            begin = end;
            if self.bears_token(json, row) {
                row.first_token.get_or_insert(passed);
                row.last_token = Some(passed);
                row.token_events += 1;
            }
        }
        // Hand the allocations back for the next batch.
        gathered.clear();
        data.clear();
        (self.gathered, self.data) = (gathered, data);
    }

    /// The load's rule: text, or a chunk of a choice that counts a new token (half a character has no
    /// text yet). Of several choices a chunk counts its own only, which tells nothing.
    fn bears_token(&mut self, json: &[u8], row: &mut Exchange) -> bool {
        if json.is_empty() || json == b"[DONE]" {
            return false;
        }
        let Ok(chunk) = openai::parse(json) else { return false };
        if chunk.error.is_some() {
            return false;
        }
        if row.response_id.is_none() {
            row.response_id = chunk.id.map(Into::into);
        }
        self.choices |= chunk.choices;
        self.finished |= chunk.finished;
        let counts_one_of_many = chunk.choices != 0 && self.choices.count_ones() > 1;
        if counts_one_of_many {
            self.tokens_so_far = None;
        }
        let told = chunk.usage.filter(|_| !counts_one_of_many).and_then(|usage| usage.completion_tokens);
        let told_all_along = row.token_events == 0 || self.tokens_so_far.is_some();
        let new = told_all_along && told.is_some_and(|now| now > self.tokens_so_far.unwrap_or(0));
        self.tokens_so_far = told.or(self.tokens_so_far);
        chunk.has_text || (chunk.choices != 0 && new)
    }
}
