//! What is kept of one answer while it streams in, and how that becomes a row when it has ended.
//! Between two reads only stamps and bytes are put aside; JSON is read when enough has gathered or
//! when the answer is over. This file must not know sockets or schedules.

use tare_parsers::sse::SseDecoder;

use super::http1::{HttpError, ResponseDecoder};
use super::openai::{self, InBand, Usage};
use crate::clock::UnixNs;
use crate::net::ReadStamp;
use crate::record::{EventRow, Status};

/// Chunk bytes put aside before they are read: bounds memory per stream, keeps parsing out of the
/// way of most reads.
const GATHER_BYTES: usize = 16 * 1024;
/// An unstreamed answer or an error body longer than this is cut (and an answer then fails).
const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// How reading an answer came to its end.
#[derive(Debug)]
pub(super) enum End {
    /// The HTTP response is complete.
    Complete,
    /// The peer closed, or the connection broke.
    Closed(Option<std::io::Error>),
    Http(HttpError),
    Timeout,
    /// The run was over.
    Stopped,
}

/// One event, stamped, its JSON not yet read.
#[derive(Clone, Copy)]
struct Gathered {
    row: EventRow,
    data_end: usize,
}

/// One answer as it comes in.
#[derive(Default)]
pub(super) struct Recording {
    pub(super) response: ResponseDecoder,
    pub(super) head: Option<ReadStamp>,
    pub(super) last_read: Option<ReadStamp>,
    /// Token-bearing events so far.
    pub(super) events: Vec<EventRow>,
    pub(super) first_content: Option<UnixNs>,
    pub(super) first_token_user: Option<UnixNs>,
    pub(super) response_id: Option<String>,
    pub(super) finish_reason: Option<String>,
    pub(super) usage: Usage,
    pub(super) in_band: InBand,
    sse: SseDecoder,
    gathered: Vec<Gathered>,
    data: Vec<u8>,
    body: Vec<u8>,
    body_too_long: bool,
    done_seen: bool,
    /// Cumulative completion tokens of the last chunk that told.
    tokens_so_far: Option<u32>,
    stream_error: Option<String>,
    decode_error: Option<String>,
}

impl Recording {
    /// Takes the bytes of one read. True when the response is complete.
    pub(super) fn take(&mut self, bytes: &[u8], stamp: ReadStamp) -> Result<bool, HttpError> {
        let first = self.gathered.len();
        let mut body_end = 0;
        let Self { response, sse, gathered, data, body, body_too_long, done_seen, .. } = self;
        let pushed = response.push(bytes, |head, piece| {
            // Where the piece ends within this read; pieces are slices of it.
            body_end = piece.as_ptr() as usize + piece.len() - bytes.as_ptr() as usize;
            if !head.event_stream || head.status >= 300 {
                let room = MAX_BODY_BYTES.saturating_sub(body.len()).min(piece.len());
                *body_too_long |= room < piece.len();
                body.extend_from_slice(piece.get(..room).unwrap_or_default());
                return;
            }
            sse.push(piece, |event| {
                *done_seen |= event.data == b"[DONE]";
                data.extend_from_slice(event.data);
                let row = EventRow {
                    stamp_lo_unix_ns: stamp.empty_before,
                    stamp_hi_unix_ns: stamp.best(),
                    user_unix_ns: stamp.user,
                    events_in_read: 1,
                    tokens: None,
                    bytes: event.wire_bytes as u32,
                };
                gathered.push(Gathered { row, data_end: data.len() });
            });
        });
        let n = self.gathered.len() - first;
        for event in self.gathered.iter_mut().skip(first) {
            event.row.events_in_read = n as u32;
        }
        // Exact: the kernel's stamp is that of the read's last byte, so it is the event's own only
        // if the read drained the socket and ended with this event (and its chunk's CRLF): not with
        // a comment, not with the beginning of the next.
        let ends_the_read = bytes.len() - body_end <= 2 && self.sse.bytes_since_event() == 0;
        if let Some(last) = self.gathered.get_mut(first..).and_then(|new| new.last_mut())
            && let Some(kernel) = stamp.kernel
            && stamp.drained
            && ends_the_read
        {
            last.row.stamp_lo_unix_ns = kernel;
        }
        if self.head.is_none() && self.response.head().is_some() {
            self.head = Some(stamp);
        }
        self.last_read = Some(stamp);
        pushed?;
        if self.data.len() >= GATHER_BYTES {
            self.read_gathered();
        }
        Ok(self.response.is_done())
    }

    /// Reads what is still put aside and tells how the request ended, and why.
    pub(super) fn conclude(&mut self, end: &End) -> (Status, Option<String>) {
        self.read_gathered();
        let Some(head) = self.response.head() else {
            return match end {
                End::Timeout => (Status::Timeout, Some("no response head within the time limit".to_owned())),
                End::Stopped => (Status::InFlight, None),
                End::Http(error) => (Status::DecodeError, Some(error.to_string())),
                End::Closed(Some(error)) => {
                    (Status::ConnectError, Some(format!("the connection broke before the answer: {error}")))
                }
                End::Closed(None) | End::Complete => {
                    (Status::ConnectError, Some("the server closed the connection before the answer".to_owned()))
                }
            };
        };
        if head.status >= 300 {
            return (Status::HttpError, Some(format!("HTTP {}: {}", head.status, openai::error_message(&self.body))));
        }
        let streamed = head.event_stream;
        if !streamed && matches!(end, End::Complete) {
            self.read_body();
        }
        if let Some(error) = &self.stream_error {
            return (Status::StreamError, Some(error.clone()));
        }
        if let Some(error) = &self.decode_error {
            return (Status::DecodeError, Some(error.clone()));
        }
        // `[DONE]` or a finish reason says that the answer is whole, whatever became of the connection.
        if self.done_seen || self.finish_reason.is_some() {
            return (Status::Ok, None);
        }
        match end {
            End::Http(error) => (Status::DecodeError, Some(error.to_string())),
            End::Timeout => (Status::Timeout, Some("the answer did not end within the time limit".to_owned())),
            End::Stopped => (Status::InFlight, None),
            End::Closed(Some(error)) => (Status::Cut, Some(format!("the connection broke: {error}"))),
            End::Closed(None) => (Status::Cut, Some("the server closed the connection in the middle of the answer".to_owned())),
            End::Complete => {
                (Status::Cut, Some("the answer ended without `finish_reason` or `[DONE]`".to_owned()))
            }
        }
    }

    /// The stamp by which an unstreamed answer is dated: its last read.
    pub(super) fn unstreamed_end(&self) -> Option<UnixNs> {
        let whole = self.response.is_done() && self.response.head().is_some_and(|h| !h.event_stream);
        self.last_read.filter(|_| whole).map(|stamp| stamp.best())
    }

    /// Output tokens: the server's count, else the sum of what its chunks told.
    pub(super) fn output_tokens(&self) -> Option<u32> {
        self.usage.completion_tokens.or(self.tokens_so_far)
    }

    fn read_gathered(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        let data = std::mem::take(&mut self.data);
        let mut begin = 0;
        for event in &gathered {
            let json = data.get(begin..event.data_end).unwrap_or_default();
            begin = event.data_end;
            if json != b"[DONE]" && !json.is_empty() {
                self.read_chunk(json, event.row);
            }
        }
        // Hand the allocations back for the next batch.
        self.gathered = gathered;
        self.gathered.clear();
        self.data = data;
        self.data.clear();
    }

    fn read_chunk(&mut self, json: &[u8], mut row: EventRow) {
        let chunk = match openai::parse(json) {
            Ok(chunk) => chunk,
            Err(error) => {
                self.decode_error.get_or_insert(error);
                return;
            }
        };
        if let Some(error) = chunk.error {
            self.stream_error.get_or_insert(error);
            return;
        }
        if self.response_id.is_none() {
            self.response_id = chunk.id.map(std::borrow::Cow::into_owned);
        }
        if chunk.finish_reason.is_some() {
            self.finish_reason = chunk.finish_reason;
        }
        let new_tokens = chunk.usage.and_then(|usage| self.tokens_since(usage));
        if let Some(in_band) = chunk.in_band {
            self.in_band = in_band;
        }
        // A token may come as a chunk without text (half a character): then only usage tells.
        if chunk.has_text || (chunk.has_choice && new_tokens.is_some_and(|n| n > 0)) {
            row.tokens = new_tokens;
            if chunk.has_content {
                self.first_content.get_or_insert(row.stamp_hi_unix_ns);
            }
            self.first_token_user.get_or_insert(row.user_unix_ns);
            self.events.push(row);
        }
    }

    /// Tokens since the last chunk that told; `None` when usage comes only at the end, where the
    /// difference would be the whole answer.
    fn tokens_since(&mut self, usage: Usage) -> Option<u32> {
        let told_all_along = self.events.is_empty() || self.tokens_so_far.is_some();
        let before = self.tokens_so_far.unwrap_or(0);
        self.tokens_so_far = usage.completion_tokens.or(self.tokens_so_far);
        self.usage = usage;
        usage.completion_tokens.filter(|_| told_all_along).map(|now| now.saturating_sub(before))
    }

    fn read_body(&mut self) {
        if self.body_too_long {
            self.decode_error = Some(format!("the answer is longer than {MAX_BODY_BYTES} bytes"));
            return;
        }
        match openai::parse(&self.body) {
            Ok(chunk) => {
                self.response_id = chunk.id.map(std::borrow::Cow::into_owned);
                self.stream_error = chunk.error;
                self.finish_reason = chunk.finish_reason;
                self.usage = chunk.usage.unwrap_or_default();
                self.in_band = chunk.in_band.unwrap_or_default();
            }
            Err(error) => self.decode_error = Some(error),
        }
    }
}
