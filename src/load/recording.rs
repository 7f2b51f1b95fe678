//! What is kept of one answer while it streams in, and how that becomes a row when it has ended.
//! Between two reads only stamps and bytes are put aside; JSON is read when enough has gathered or
//! when the answer is over. This file must not know sockets or schedules.

mod bounds;
mod pattern;
pub mod played;
mod reading;
mod room;

use tare_parsers::sse::SseDecoder;

pub(super) use self::bounds::BadAnswer;
use self::bounds::{
    KEPT_OF_TOO_MANY, MAX_BODY_BYTES, MAX_EVENTS, MAX_REFUSAL_BYTES, MAX_SILENT_BYTES, MAX_TEXT_BYTES,
};
use self::pattern::Pattern;
use self::room::Share;
use super::http1::ResponseDecoder;
use super::openai::{self, InBand, Usage};
use crate::clock::UnixNs;
use crate::net::{ReadStamp, Received};
use crate::record::{Endpoint, EventRow, Status};

/// Chunk bytes put aside before they are read: bounds memory per stream, keeps parsing out of the
/// way of most reads. Not the same for all streams, or a server that writes to all of them at once
/// would have all of them read at once.
const GATHER_BYTES: std::ops::Range<usize> = 512..1536;
/// Events put aside before they are read, however little they say.
const GATHER_EVENTS: usize = 256;
/// Events that room is made for before they come, at most: more are made room for as they come.
const EXPECTED_EVENTS: u32 = 4096;

/// How reading an answer came to its end.
#[derive(Debug)]
pub(super) enum End {
    /// The HTTP response is complete.
    Complete,
    /// The peer closed, or the connection broke.
    Closed(Option<std::io::Error>),
    Bad(BadAnswer),
    Timeout,
    /// The run was over.
    Stopped,
}

/// One event, stamped, its JSON not yet read.
#[derive(Clone, Copy)]
struct Gathered {
    row: EventRow,
    data_end: usize,
    /// Where it ended in the connection's stream.
    offset: u64,
}

/// One answer as it comes in.
#[derive(Default)]
pub(super) struct Recording {
    /// By whose words the answer is read.
    endpoint: Endpoint,
    pub(super) response: ResponseDecoder,
    pub(super) head: Option<ReadStamp>,
    pub(super) last_read: Option<ReadStamp>,
    /// Token-bearing events so far.
    pub(super) events: Vec<EventRow>,
    /// Where each of them ended in the connection's stream; kept if they are to be looked up.
    pub(super) offsets: Vec<u64>,
    keeps_offsets: bool,
    /// What the answer says will be asked for.
    pub(super) keeps_text: bool,
    /// The chunks as they came, a line each; only if they are to be read again.
    kept: Vec<u8>,
    gather_bytes: usize,
    /// Which of them was the first with visible text.
    pub(super) first_content: Option<usize>,
    pub(super) response_id: Option<String>,
    pub(super) finish_reason: Option<String>,
    pub(super) usage: Usage,
    pub(super) cached_tokens: Option<u32>,
    pub(super) in_band: InBand,
    sse: SseDecoder,
    gathered: Vec<Gathered>,
    data: Vec<u8>,
    body: Vec<u8>,
    /// Events of any kind so far.
    n_events: usize,
    /// The event was seen that ends a whole answer.
    done_seen: bool,
    /// Choices that chunks were about, and those that were ended: a bit each.
    choices: u64,
    finished: u64,
    /// Cumulative completion tokens of the last chunk that told.
    tokens_so_far: Option<u32>,
    /// The event without text by which the model ended its answer, and where it ended in the stream.
    closing: Option<(EventRow, u64)>,
    /// What most chunks look like.
    pattern: Pattern,
    stream_error: Option<String>,
    decode_error: Option<String>,
    /// Of the memory that all open answers share.
    share: Share,
}

impl Recording {
    /// For the request of this number, whose answer may have so many tokens.
    pub(super) fn new(endpoint: Endpoint, index: u64, max_tokens: Option<u32>, keeps_offsets: bool) -> Self {
        let spread = (GATHER_BYTES.end - GATHER_BYTES.start) as u64;
        // Neighbours far apart, whatever the number of streams.
        let gather_bytes = GATHER_BYTES.start + (index.wrapping_mul(0x9e37_79b9) % spread) as usize;
        let events = Vec::with_capacity(max_tokens.unwrap_or(0).min(EXPECTED_EVENTS) as usize);
        Self { endpoint, events, keeps_offsets, gather_bytes, ..Self::default() }
    }

    /// Whether all signs but the chunks' own words are that the answer came whole.
    pub(super) fn looks_whole(&self) -> bool {
        let Some(head) = self.response.head() else { return false };
        head.status < 300 && (self.done_seen || !head.event_stream)
    }

    /// Takes the bytes of one read. True when the response is complete.
    pub(super) fn take(&mut self, received: Received<'_>) -> Result<bool, BadAnswer> {
        let Received { bytes, stamp, .. } = received;
        if self.last_read.is_some_and(|last| last.best() > stamp.best()) {
            self.bound_earlier(stamp.best());
        }
        let first = self.gathered.len();
        let mut body_end = 0;
        let ends = openai::api(self.endpoint).ends;
        let Self { response, sse, gathered, data, body, done_seen, .. } = self;
        let mut too_long = None;
        let pushed = response.push(bytes, |head, piece| {
            // Where the piece lies within this read; pieces are slices of it.
            let body_begin = piece.as_ptr() as usize - bytes.as_ptr() as usize;
            body_end = body_begin + piece.len();
            if !head.event_stream || head.status >= 300 {
                let (most, error) = match head.status {
                    300.. => (MAX_REFUSAL_BYTES, BadAnswer::RefusalTooLong),
                    _ => (MAX_BODY_BYTES, BadAnswer::BodyTooLong),
                };
                let room = most.saturating_sub(body.len()).min(piece.len());
                if room < piece.len() {
                    too_long = Some(error);
                }
                body.extend_from_slice(piece.get(..room).unwrap_or_default());
                return;
            }
            sse.push(piece, |event| {
                *done_seen |= ends(&event);
                data.extend_from_slice(event.data);
                let row = EventRow {
                    stamp_lo_unix_ns: stamp.empty_before,
                    stamp_hi_unix_ns: stamp.best(),
                    user_unix_ns: stamp.user,
                    events_in_read: 1,
                    tokens: None,
                    bytes: event.wire_bytes as u32,
                };
                let offset = received.offset_after(body_begin + event.end);
                gathered.push(Gathered { row, data_end: data.len(), offset });
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
        self.n_events += n;
        pushed?;
        if self.data.len() >= self.gather_bytes || self.gathered.len() >= GATHER_EVENTS {
            self.read_gathered();
        }
        too_long.map_or(Ok(()), Err)?;
        self.within_bounds()?;
        Ok(self.response.is_done())
    }

    fn within_bounds(&mut self) -> Result<(), BadAnswer> {
        if self.n_events > MAX_EVENTS {
            self.keep_few();
            return Err(BadAnswer::TooManyEvents);
        }
        let bytes = self.bytes();
        if !self.share.holds(bytes) {
            self.keep_few();
            return Err(BadAnswer::NoRoom);
        }
        if self.sse.is_over_limit()
            || self.sse.oversize() > 0
            || self.sse.bytes_since_event() > MAX_SILENT_BYTES
        {
            return Err(BadAnswer::NoEvent);
        }
        if self.kept.len() > MAX_TEXT_BYTES {
            return Err(BadAnswer::TextTooLong);
        }
        Ok(())
    }

    /// What is kept of it takes so much, about.
    fn bytes(&self) -> usize {
        self.events.len() * size_of::<EventRow>()
            + self.offsets.len() * size_of::<u64>()
            + self.gathered.len() * size_of::<Gathered>()
            + self.data.len()
            + self.body.len()
            + self.kept.len()
            + self.pattern.bytes()
            + self.sse.bytes_since_event()
    }

    /// It is no measurement any more.
    fn keep_few(&mut self) {
        self.events.truncate(KEPT_OF_TOO_MANY);
        self.events.shrink_to_fit();
        self.offsets.truncate(KEPT_OF_TOO_MANY);
        self.offsets.shrink_to_fit();
        for bytes in [&mut self.body, &mut self.kept] {
            *bytes = Vec::new();
        }
    }

    /// What came before a stamped segment came no later than it: better than the time at which it had
    /// been read, where the kernel's stamp of that read could not be used.
    fn bound_earlier(&mut self, latest: UnixNs) {
        let gathered = self.gathered.iter_mut().rev().map(|gathered| &mut gathered.row);
        let late = |row: &&mut EventRow| row.stamp_hi_unix_ns > latest;
        for row in gathered.chain(self.events.iter_mut().rev()).take_while(late) {
            row.stamp_hi_unix_ns = latest.max(row.stamp_lo_unix_ns);
        }
    }

    /// Reads what is still put aside and tells how the request ended, and why.
    pub(super) fn conclude(&mut self, end: &End) -> (Status, Option<String>) {
        self.read_gathered();
        self.read_closing();
        let Some(head) = self.response.head() else {
            return match end {
                End::Timeout => (Status::Timeout, Some("no response head within the time limit".to_owned())),
                End::Stopped => (Status::InFlight, None),
                End::Bad(error) => (Status::DecodeError, Some(error.to_string())),
                End::Closed(Some(error)) => {
                    (Status::ConnectError, Some(format!("the connection broke before the answer: {error}")))
                }
                End::Closed(None) | End::Complete => (
                    Status::ConnectError,
                    Some("the server closed the connection before the answer".to_owned()),
                ),
            };
        };
        if head.status >= 300 {
            return (
                Status::HttpError,
                Some(format!("HTTP {}: {}", head.status, openai::error_message(&self.body))),
            );
        }
        // `content-encoding: none`, unlawful and common, is not among them.
        let compressed = |coding: &&str| {
            ["gzip", "x-gzip", "deflate", "br", "zstd", "compress"]
                .iter()
                .any(|c| coding.to_ascii_lowercase().contains(c))
        };
        if let Some(coding) = head.header("content-encoding").filter(compressed) {
            let what = format!(
                "the answer is compressed (`content-encoding: {coding}`), though that was not asked for"
            );
            return (Status::DecodeError, Some(what));
        }
        if !head.event_stream && matches!(end, End::Complete) {
            self.read_body();
        }
        if let Some(error) = &self.stream_error {
            return (Status::StreamError, Some(error.clone()));
        }
        if let Some(error) = &self.decode_error {
            return (Status::DecodeError, Some(error.clone()));
        }
        if let End::Bad(error) = end
            && error.spoils_all()
        {
            return (Status::DecodeError, Some(error.to_string()));
        }
        // The event that ends an answer, or a finish reason for every choice, says that the answer is
        // whole, whatever became of the connection.
        if self.done_seen || (self.finished != 0 && self.finished == self.choices) {
            return (Status::Ok, None);
        }
        match end {
            End::Bad(error) => (Status::DecodeError, Some(error.to_string())),
            End::Timeout => {
                (Status::Timeout, Some("the answer did not end within the time limit".to_owned()))
            }
            End::Stopped => (Status::InFlight, None),
            End::Closed(Some(error)) => (Status::Cut, Some(format!("the connection broke: {error}"))),
            End::Closed(None) => {
                (Status::Cut, Some("the server closed the connection in the middle of the answer".to_owned()))
            }
            End::Complete => {
                let end = openai::api(self.endpoint).end_in_words;
                (Status::Cut, Some(format!("the answer ended without {end}")))
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

    /// What the answer says, if that was to be kept.
    pub(super) fn text(&self) -> String {
        let streamed = self.response.head().is_some_and(|head| head.event_stream);
        if streamed {
            openai::answer_text(self.kept.split(|&byte| byte == b'\n'))
        } else {
            openai::answer_text(std::iter::once(self.body.as_slice()))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod samples;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
