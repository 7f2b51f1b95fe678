//! What is kept of one answer while it streams in, and how that becomes a row when it has ended.
//! Between two reads only stamps and bytes are put aside; JSON is read when enough has gathered or
//! when the answer is over. This file must not know sockets or schedules.

mod bounds;

use tare_parsers::sse::SseDecoder;

pub(super) use self::bounds::BadAnswer;
use self::bounds::{
    KEPT_OF_TOO_MANY, MAX_BODY_BYTES, MAX_EVENTS, MAX_NAME_BYTES, MAX_REFUSAL_BYTES, MAX_SILENT_BYTES,
    MAX_TEXT_BYTES, name_too_long,
};
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
    stream_error: Option<String>,
    decode_error: Option<String>,
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
            self.events.truncate(KEPT_OF_TOO_MANY);
            self.events.shrink_to_fit();
            self.offsets.truncate(KEPT_OF_TOO_MANY);
            self.offsets.shrink_to_fit();
            return Err(BadAnswer::TooManyEvents);
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

    fn read_gathered(&mut self) {
        let gathered = std::mem::take(&mut self.gathered);
        let data = std::mem::take(&mut self.data);
        let mut begin = 0;
        for event in &gathered {
            let json = data.get(begin..event.data_end).unwrap_or_default();
            begin = event.data_end;
            if json != b"[DONE]" && !json.is_empty() {
                if self.keeps_text {
                    self.kept.extend_from_slice(json);
                    self.kept.push(b'\n');
                }
                self.read_chunk(json, event.row, event.offset);
            }
        }
        // Hand the allocations back for the next batch.
        self.gathered = gathered;
        self.gathered.clear();
        self.data = data;
        self.data.clear();
    }

    fn read_chunk(&mut self, json: &[u8], mut row: EventRow, offset: u64) {
        let chunk = match (openai::api(self.endpoint).parse)(json) {
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
            self.response_id = self.name("an id", chunk.id.map(std::borrow::Cow::into_owned));
        }
        self.cached_tokens = chunk.cached_tokens.or(self.cached_tokens);
        if chunk.finish_reason.is_some() {
            self.finish_reason = self.name("a finish reason", chunk.finish_reason);
        }
        self.choices |= chunk.choices;
        self.finished |= chunk.finished;
        self.done_seen |= chunk.ends;
        // Of several choices, a chunk counts its own only: not the answer's tokens, and none of the
        // differences that they are made into. The closing chunk, of no choice, counts all.
        let counts_one_of_many = chunk.choices != 0 && self.choices.count_ones() > 1;
        if counts_one_of_many {
            (self.usage.completion_tokens, self.tokens_so_far) = (None, None);
        }
        let new_tokens =
            chunk.usage.filter(|_| !counts_one_of_many).and_then(|usage| self.tokens_since(usage));
        if let Some(in_band) = chunk.in_band {
            self.in_band = in_band;
        }
        // A token may come as a chunk without text (half a character): then only usage tells.
        if chunk.has_text || (chunk.choices != 0 && new_tokens.is_some_and(|n| n > 0)) {
            row.tokens = new_tokens;
            if chunk.has_content {
                self.first_content.get_or_insert(self.events.len());
            }
            self.events.push(row);
            if self.keeps_offsets {
                self.offsets.push(offset);
            }
        }
    }

    /// What a chunk gives as the name of something, if that can be one.
    fn name(&mut self, what: &str, said: Option<String>) -> Option<String> {
        let said = said?;
        if said.len() > MAX_NAME_BYTES {
            self.decode_error.get_or_insert_with(|| name_too_long(what, said.len()));
            return None;
        }
        Some(said)
    }

    /// Tokens since the last chunk that told; `None` when usage comes only at the end, where the
    /// difference would be the whole answer.
    fn tokens_since(&mut self, usage: Usage) -> Option<u32> {
        let told_all_along = self.events.is_empty() || self.tokens_so_far.is_some();
        let before = self.tokens_so_far.unwrap_or(0);
        self.tokens_so_far = usage.completion_tokens.or(self.tokens_so_far);
        self.usage = usage.or(self.usage);
        usage.completion_tokens.filter(|_| told_all_along).map(|now| now.saturating_sub(before))
    }

    fn read_body(&mut self) {
        let body = std::mem::take(&mut self.body);
        match (openai::api(self.endpoint).parse)(&body) {
            Ok(chunk) => {
                self.response_id = self.name("an id", chunk.id.map(std::borrow::Cow::into_owned));
                self.stream_error = chunk.error;
                (self.choices, self.finished) = (chunk.choices, chunk.finished);
                self.done_seen |= chunk.ends;
                self.finish_reason = self.name("a finish reason", chunk.finish_reason);
                self.cached_tokens = chunk.cached_tokens;
                self.usage = chunk.usage.unwrap_or_default();
                self.in_band = chunk.in_band.unwrap_or_default();
            }
            Err(error) => self.decode_error = Some(error),
        }
        // Its text may be asked for.
        self.body = body;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod samples;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::load::http1::HttpError;

    const HEAD: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

    const DONE: &str = "data: [DONE]\n\n";

    fn stamp(at: i64) -> ReadStamp {
        ReadStamp {
            kernel: Some(UnixNs(at)),
            user: UnixNs(at + 5),
            drained: true,
            empty_before: UnixNs(at - 50),
        }
    }

    fn chunk(body: &str) -> Vec<u8> {
        format!("{:x}\r\n{body}\r\n", body.len()).into_bytes()
    }

    fn token(text: &str, more: &str) -> String {
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}{more}}}]}}\n\n")
    }

    /// Takes the reads one after another, 100 ns apart, and concludes with `end`.
    fn record(reads: &[Vec<u8>], end: &End) -> (Recording, Status, Option<String>) {
        let mut recording = Recording::default();
        let mut at = 1000;
        for read in reads {
            let _ = recording.take(Received::plain(read, stamp(at), 0));
            at += 100;
        }
        let (status, error) = recording.conclude(end);
        (recording, status, error)
    }

    fn exact(recording: &Recording) -> Vec<bool> {
        recording.events.iter().map(|e| e.stamp_lo_unix_ns == e.stamp_hi_unix_ns).collect()
    }

    #[test]
    fn only_what_ends_a_read_is_exact() {
        let two = [chunk(&token("a", "")), chunk(&token("b", ""))].concat();
        let with_ping = [chunk(&token("c", "")), chunk(": ping\n\n")].concat();
        let ping_inside = chunk(&(token("d", "") + ": ping\n\n"));
        let begun = [chunk(&token("e", "")), b"b\r\ndata".to_vec()].concat();
        let rest = [b": \"x\"\n\n\r\n".as_slice(), &chunk(&token("f", ""))].concat();
        let (recording, status, _) =
            record(&[HEAD.to_vec(), two, with_ping, ping_inside, begun, rest], &End::Stopped);
        assert_eq!(status, Status::DecodeError); // `"x"` is no chunk
        assert_eq!(exact(&recording), [false, true, false, false, false, true]);
        let intervals: Vec<(i64, i64)> =
            recording.events.iter().map(|e| (e.stamp_lo_unix_ns.0, e.stamp_hi_unix_ns.0)).collect();
        assert_eq!(
            intervals,
            [(1050, 1100), (1100, 1100), (1150, 1200), (1250, 1300), (1350, 1400), (1500, 1500)]
        );
    }

    /// By its offset an event is found in a capture: it ends where its blank line does.
    #[test]
    fn an_event_is_known_by_where_it_ended_in_the_stream() {
        let mut recording = Recording::new(Endpoint::Chat, 0, None, true);
        let stream = [HEAD, &chunk(": ping\n\n"), &chunk(&token("a", "")), &chunk(&token("b", ""))].concat();
        let ends: Vec<u64> = (1..stream.len())
            .filter(|&at| stream[..at].ends_with(b"]}\n\n"))
            .map(|at| at as u64 + 700)
            .collect();
        for (i, piece) in stream.chunks(7).enumerate() {
            recording.take(Received::plain(piece, stamp(1000), 700 + 7 * i as u64)).unwrap();
        }
        recording.conclude(&End::Stopped);
        assert_eq!((recording.offsets, ends.len()), (ends, 2));
    }

    #[test]
    fn a_read_that_leaves_something_or_has_no_stamp_is_not_exact() {
        let mut recording = Recording::default();
        let mut take = |bytes: &[u8], stamp| recording.take(Received::plain(bytes, stamp, 0)).unwrap();
        take(HEAD, stamp(1000));
        take(&chunk(&token("a", "")), ReadStamp { drained: false, ..stamp(1100) });
        take(&chunk(&token("b", "")), ReadStamp { kernel: None, ..stamp(1200) });
        recording.conclude(&End::Stopped);
        assert_eq!(exact(&recording), [false, false]);
        assert_eq!(recording.events.last().unwrap().stamp_hi_unix_ns, UnixNs(1205));
    }

    /// The kernel's stamp of the first read could not be used, so it has the program's, which is later
    /// than the kernel's stamp of the second.
    #[test]
    fn a_later_segments_stamp_bounds_what_came_before_it() {
        let mut recording = Recording::new(Endpoint::Chat, 0, None, false);
        let mut take = |bytes: &[u8], stamp| recording.take(Received::plain(bytes, stamp, 0)).unwrap();
        take(HEAD, stamp(1000));
        take(&chunk(&token("a", "")), ReadStamp { kernel: None, ..stamp(1100) });
        take(&chunk(&token("b", "")), stamp(1102));
        recording.conclude(&End::Stopped);
        let bounds: Vec<(i64, i64)> =
            recording.events.iter().map(|e| (e.stamp_lo_unix_ns.0, e.stamp_hi_unix_ns.0)).collect();
        assert_eq!(bounds, [(1050, 1102), (1102, 1102)]);
    }

    #[test]
    fn every_choice_must_have_ended() {
        let second = token("x", "").replace("\"index\":0", "\"index\":1");
        let first = token("a", ",\"finish_reason\":\"stop\"");
        let reads = [HEAD.to_vec(), chunk(&second), chunk(&first)];
        assert_eq!(record(&reads, &End::Closed(None)).1, Status::Cut);
        let second_ends = second.replace("\"delta\"", "\"finish_reason\":\"length\",\"delta\"");
        let all = [&reads[..], &[chunk(&second_ends)]].concat();
        assert_eq!(record(&all, &End::Closed(None)).1, Status::Ok);
    }

    #[test]
    fn tokens_of_several_choices_are_not_guessed() {
        let usage = |n: u32| format!("}}],\"usage\":{{\"completion_tokens\":{n}}},\"x\":[{{\"y\":0");
        let first = token("a", &usage(1));
        let second = token("b", &usage(1)).replace("\"index\":0", "\"index\":1");
        let closing = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":9}}\n\n";
        let reads = [HEAD.to_vec(), chunk(&first), chunk(&second), chunk(&first)];
        let (cut, ..) = record(&reads, &End::Closed(None));
        assert_eq!(cut.output_tokens(), None);
        let all = [&reads[..], &[chunk(closing), chunk("data: [DONE]\n\n")]].concat();
        let (whole, status, _) = record(&all, &End::Complete);
        assert_eq!(
            (status, whole.output_tokens(), whole.usage.prompt_tokens),
            (Status::Ok, Some(9), Some(3))
        );
        let tokens: Vec<Option<u32>> = whole.events.iter().map(|e| e.tokens).collect();
        assert_eq!(tokens, [Some(1), None, None]);
    }

    #[test]
    fn a_compressed_answer_is_named() {
        let head =
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n".to_vec();
        let (_, status, error) = record(&[head, b"\x1f\x8b\x08data: x\n\n".to_vec()], &End::Complete);
        assert_eq!(status, Status::DecodeError);
        assert!(error.unwrap().contains("`content-encoding: gzip`"));
    }

    /// Whatever an event says, it is counted; the request ends where the bound is, and little is kept.
    #[test]
    fn a_stream_without_end_is_given_up() {
        for event in [token("a", ""), "data:\n\n".to_owned(), "data: {]\n\n".to_owned(), DONE.to_owned()] {
            let mut recording = Recording::default();
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            recording.take(Received::plain(head, stamp(1000), 0)).unwrap();
            let read = event.repeat(1024).into_bytes();
            let reads = (0..).find_map(|n| {
                recording.take(Received::plain(&read, stamp(1100), 0)).err().map(|error| (n, error))
            });
            assert_eq!(reads, Some((MAX_EVENTS / 1024, BadAnswer::TooManyEvents)), "{event}");
            assert!(recording.gathered.len() <= GATHER_EVENTS + 1024 && recording.data.len() < 1 << 20);
            let (status, error) = recording.conclude(&End::Bad(BadAnswer::TooManyEvents));
            assert_eq!(status, Status::DecodeError);
            assert!(error.is_some());
            assert!(recording.events.len() <= KEPT_OF_TOO_MANY, "{event}");
        }
    }

    #[test]
    fn bytes_that_end_no_event_are_given_up() {
        for filling in ["x", ": ping\n", ": ping\n\n", "data: x\n", "id: 1\n\n"] {
            let mut recording = Recording::default();
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
            recording.take(Received::plain(head, stamp(1000), 0)).unwrap();
            let read = filling.repeat(65_536 / filling.len()).into_bytes();
            let taken = (0..)
                .map(|n| n * read.len())
                .find(|_| recording.take(Received::plain(&read, stamp(1100), 0)) == Err(BadAnswer::NoEvent));
            assert!(taken.is_some_and(|taken| taken.abs_diff(MAX_SILENT_BYTES) < 1 << 17), "{filling:?}");
        }
    }

    #[test]
    fn bodies_without_end_are_given_up() {
        for (status, most, error) in [
            ("200 OK", MAX_BODY_BYTES, BadAnswer::BodyTooLong),
            ("500 X", MAX_REFUSAL_BYTES, BadAnswer::RefusalTooLong),
        ] {
            let mut recording = Recording::default();
            let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\n\r\n");
            recording.take(Received::plain(head.as_bytes(), stamp(1000), 0)).unwrap();
            let read = vec![b'['; 1 << 16];
            for _ in 0..most >> 16 {
                assert_eq!(recording.take(Received::plain(&read, stamp(1100), 0)), Ok(false));
            }
            assert_eq!(recording.take(Received::plain(&read, stamp(1100), 0)), Err(error.clone()));
            assert_eq!(recording.body.len(), most);
            let (concluded, said) = recording.conclude(&End::Bad(error));
            let expected = if status == "200 OK" { Status::DecodeError } else { Status::HttpError };
            assert_eq!(concluded, expected, "{said:?}");
        }
    }

    #[test]
    fn a_name_of_many_bytes_is_none() {
        let long = "f".repeat(MAX_NAME_BYTES + 1);
        let id = format!("data: {{\"id\":\"{long}\",\"choices\":[]}}\n\n");
        let reason = token("a", &format!(",\"finish_reason\":\"{long}\""));
        for event in [id, reason] {
            let (recording, status, error) =
                record(&[HEAD.to_vec(), chunk(&event), chunk(DONE)], &End::Stopped);
            assert_eq!(status, Status::DecodeError);
            assert!(error.unwrap().contains("at most 1024 bytes, found 1025"));
            assert_eq!((recording.response_id, recording.finish_reason), (None, None));
        }
    }

    /// What came in the same read as the violation is kept, with its stamps.
    #[test]
    fn a_violation_of_http_loses_nothing_that_came_before() {
        let read = [HEAD, &chunk(&token("a", "")), b"zz\r\n"].concat();
        let (recording, status, error) =
            record(&[read], &End::Bad(HttpError::ChunkSize("zz".to_owned()).into()));
        assert_eq!((status, recording.events.len()), (Status::DecodeError, 1));
        assert!(recording.head.is_some() && error.unwrap().contains("zz"));
    }
}
