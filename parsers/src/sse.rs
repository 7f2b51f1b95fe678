//! Incremental decoder for server-sent events (WHATWG HTML, "Server-sent events"): bytes in, events
//! out, right under any chunking. It must not know HTTP framing, JSON or time.

/// One dispatched event. `data` lines are joined by `\n`; comments never make an event.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SseEvent<'a> {
    /// The `event` field; empty when absent.
    pub name: &'a [u8],
    pub data: &'a [u8],
    /// Bytes of the event on the wire, its closing blank line included.
    pub wire_bytes: usize,
    /// Where it ended in the slice that was pushed: the number of its bytes up to there.
    pub end: usize,
}

/// Bytes are pushed as they come; each event is handed out as soon as its blank line is there.
///
/// An event that lies whole in the pushed slice is a slice of it: nothing is copied. Only what a
/// push leaves unfinished is kept, in a buffer that is used again.
#[derive(Clone, Debug)]
pub struct SseDecoder {
    /// The block so far: the lines since the last blank line.
    partial: Vec<u8>,
    /// Bytes of the block so far, whether kept or not.
    block_len: usize,
    /// The current line has no byte yet, so a line end would be a blank line.
    at_line_start: bool,
    /// The last byte was `\r`: a `\n` now is the second half of that line end.
    after_cr: bool,
    /// Bytes of a byte order mark seen at the start of the stream; `BOM.len()` once that is decided.
    bom_seen: usize,
    /// The block is over the limit and is skipped.
    skipping: bool,
    limit: usize,
    joined: Vec<u8>,
    /// Bytes since the last event handed out.
    since_event: usize,
    comments: u64,
    oversize: u64,
}

const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];
const DEFAULT_LIMIT: usize = 16 << 20;
/// A buffer that one large event made is not kept for the life of the connection.
const KEPT_CAPACITY: usize = 1 << 20;

impl Default for SseDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl SseDecoder {
    pub fn new() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }

    /// A decoder that drops, and counts, events longer than `limit` bytes on the wire: a stream
    /// without blank lines must not fill the memory.
    pub fn with_limit(limit: usize) -> Self {
        Self {
            partial: Vec::new(),
            block_len: 0,
            at_line_start: true,
            after_cr: false,
            bom_seen: 0,
            skipping: false,
            limit,
            joined: Vec::new(),
            since_event: 0,
            comments: 0,
            oversize: 0,
        }
    }

    /// Takes the next bytes of the stream and hands every event that they end to `sink`.
    pub fn push(&mut self, bytes: &[u8], mut sink: impl FnMut(SseEvent<'_>)) {
        let mut rest = self.without_bom(bytes);
        while !rest.is_empty() {
            if self.after_cr && self.block_len == 0 && rest.first() == Some(&b'\n') {
                // It ended the block before; `wire_bytes` has counted it there.
                self.after_cr = false;
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let Some(end) = self.find_block_end(rest) else {
                self.keep(rest);
                return;
            };
            let (last, after) = rest.split_at(end);
            rest = after;
            let end = bytes.len() - rest.len();
            self.end_block(last, |event| sink(SseEvent { end, ..event }));
        }
    }

    /// Whether bytes of an event that has not ended are held: at the end of a stream, whether it
    /// was cut.
    pub fn has_partial(&self) -> bool {
        self.block_len > 0
    }

    /// Bytes that came after the end of the last event handed out: comments, blocks without data,
    /// the beginning of the next event. The `\n` of its closing `\r\n` is the event's own.
    pub fn bytes_since_event(&self) -> usize {
        self.since_event
    }

    /// Whether the event that is coming in is already over the limit: it will be dropped, however it ends.
    pub fn is_over_limit(&self) -> bool {
        self.skipping
    }

    /// Comment lines seen in ended blocks; a keep-alive is one.
    pub fn comments(&self) -> u64 {
        self.comments
    }

    /// Events dropped for their size.
    pub fn oversize(&self) -> u64 {
        self.oversize
    }

    /// Swallows a byte order mark at the start of the stream, wherever it is cut.
    fn without_bom<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut rest = bytes;
        while let Some(wanted) = BOM.get(self.bom_seen) {
            match rest.first() {
                Some(byte) if byte == wanted => {
                    self.bom_seen += 1;
                    rest = rest.get(1..).unwrap_or_default();
                }
                Some(_) => {
                    // It was none, so what looked like its beginning is text.
                    let begun = BOM.get(..self.bom_seen).unwrap_or_default();
                    self.bom_seen = BOM.len();
                    if !begun.is_empty() {
                        self.at_line_start = false;
                        self.keep(begun);
                    }
                }
                None => break,
            }
        }
        rest
    }

    /// The length of the part of `bytes` that ends the block, its blank line included: up to the
    /// `\r` of a `\r\n`, since the `\n` may not be there yet and the event should not wait for it.
    fn find_block_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut from = 0;
        while let Some(rest) = bytes.get(from..).filter(|rest| !rest.is_empty()) {
            if std::mem::take(&mut self.after_cr) && rest.first() == Some(&b'\n') {
                from += 1;
                continue;
            }
            let Some(at) = memchr::memchr2(b'\n', b'\r', rest) else {
                self.at_line_start = false;
                return None;
            };
            let is_blank = self.at_line_start && at == 0;
            self.after_cr = rest.get(at) == Some(&b'\r');
            self.at_line_start = true;
            from += at + 1;
            if is_blank {
                return Some(from);
            }
        }
        None
    }

    /// Keeps the beginning of a block that a later push will end.
    fn keep(&mut self, bytes: &[u8]) {
        self.block_len += bytes.len();
        self.since_event += bytes.len();
        self.skipping |= self.block_len > self.limit;
        if self.skipping {
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    fn end_block(&mut self, last: &[u8], mut sink: impl FnMut(SseEvent<'_>)) {
        let block_len = self.block_len + last.len();
        self.block_len = 0;
        self.since_event += last.len();
        let mut handed_out = false;
        let mut sink = |event: SseEvent<'_>| {
            handed_out = true;
            sink(event);
        };
        if std::mem::take(&mut self.skipping) || block_len > self.limit {
            self.oversize += 1;
        } else if self.partial.is_empty() {
            dispatch(last, &mut self.joined, &mut self.comments, &mut sink);
        } else {
            self.partial.extend_from_slice(last);
            dispatch(&self.partial, &mut self.joined, &mut self.comments, &mut sink);
        }
        if handed_out {
            self.since_event = 0;
        }
        for buffer in [&mut self.partial, &mut self.joined] {
            buffer.clear();
            buffer.shrink_to(KEPT_CAPACITY);
        }
    }
}

/// Reads the fields of a block and hands out its event, if it has data.
fn dispatch(block: &[u8], joined: &mut Vec<u8>, comments: &mut u64, sink: &mut impl FnMut(SseEvent<'_>)) {
    let mut name: &[u8] = &[];
    let mut first: Option<&[u8]> = None;
    let mut is_joined = false;
    let mut rest = block;
    while !rest.is_empty() {
        let (line, after) = split_line(rest);
        rest = after;
        if line.first() == Some(&b':') {
            *comments += 1;
            continue;
        }
        let (field, value) = split_field(line);
        match (field, first) {
            (b"data", None) => first = Some(value),
            (b"data", Some(first)) => {
                if !is_joined {
                    joined.extend_from_slice(first);
                    is_joined = true;
                }
                joined.push(b'\n');
                joined.extend_from_slice(value);
            }
            (b"event", _) => name = value,
            // `id` and `retry` serve reconnection; unknown fields are ignored.
            _ => {}
        }
    }
    if let Some(first) = first {
        sink(SseEvent {
            name,
            data: if is_joined { joined } else { first },
            // Where lines end in `\r\n`, the last `\n` is on the wire too, if not in the block yet.
            wire_bytes: block.len() + usize::from(block.ends_with(b"\r\n\r")),
            end: 0,
        });
    }
}

/// The first line without its end, and what follows.
fn split_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some(at) = memchr::memchr2(b'\n', b'\r', bytes) else {
        return (bytes, &[]);
    };
    let (line, end) = bytes.split_at(at);
    let end_len = if end.starts_with(b"\r\n") { 2 } else { 1 };
    (line, end.get(end_len..).unwrap_or_default())
}

/// `field: value`; one blank after the colon is not part of the value, and a line without a colon
/// is a field with an empty value.
fn split_field(line: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b':', line) {
        Some(at) => {
            let (field, value) = line.split_at(at);
            let value = value.get(1..).unwrap_or_default();
            (field, value.strip_prefix(b" ").unwrap_or(value))
        }
        None => (line, &[]),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_whole_event_is_a_slice_of_what_was_pushed() {
        let mut decoder = SseDecoder::new();
        let bytes = b"data: one\n\nevent: x\ndata: two\n\n";
        let mut seen = 0;
        decoder.push(bytes, |event| {
            let pushed = bytes.as_ptr_range();
            assert!(pushed.contains(&event.data.as_ptr()));
            assert!(event.name.is_empty() || pushed.contains(&event.name.as_ptr()));
            seen += 1;
        });
        assert_eq!(seen, 2);
        assert_eq!((decoder.partial.capacity(), decoder.joined.capacity()), (0, 0));
    }

    #[test]
    fn an_event_over_the_limit_is_dropped_and_the_next_one_is_not() {
        let mut decoder = SseDecoder::with_limit(12);
        let mut seen = Vec::new();
        for piece in [&b"data: 1234"[..], b"5678901234", b"\n\ndata: ok\n", b"\n"] {
            decoder.push(piece, |event| seen.push(event.data.to_vec()));
            assert!(decoder.partial.len() <= 12);
            assert_eq!(decoder.is_over_limit(), piece.starts_with(b"5678"));
        }
        assert_eq!(seen, [b"ok".to_vec()]);
        assert_eq!((decoder.oversize(), decoder.has_partial()), (1, false));
    }

    #[test]
    fn what_follows_an_event_is_told_from_its_end() {
        let mut decoder = SseDecoder::new();
        let mut after = |bytes: &[u8]| {
            decoder.push(bytes, |_| {});
            decoder.bytes_since_event()
        };
        assert_eq!(after(b"data: a\n\n"), 0);
        assert_eq!(after(b"data: a\n\n: ping\n\n"), 8);
        assert_eq!(after(b"data: b"), 8 + 7);
        assert_eq!(after(b"\n\n"), 0);
        assert_eq!(after(b"data: a\r\n\r"), 0);
        assert_eq!(after(b"\n"), 0);
        assert_eq!(after(b"event: nothing\n\n\n"), 17);
    }

    #[test]
    fn an_event_does_not_wait_for_the_second_half_of_its_line_end() {
        let mut decoder = SseDecoder::new();
        let mut sizes = Vec::new();
        decoder.push(b"data: a\r\n\r", |event| sizes.push(event.wire_bytes));
        assert_eq!(sizes, [11]);
        decoder.push(b"\ndata: b\r\n\r\n", |event| sizes.push(event.wire_bytes));
        assert_eq!(sizes, [11, 11]);
        assert!(!decoder.has_partial());
    }
}
