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
}

#[derive(Clone, Debug, Default)]
pub struct SseDecoder {}

impl SseDecoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// A decoder that drops events longer than `limit` bytes on the wire.
    pub fn with_limit(_limit: usize) -> Self {
        Self::default()
    }

    pub fn push(&mut self, _bytes: &[u8], _sink: impl FnMut(SseEvent<'_>)) {}

    /// Whether bytes of an event that has not ended are held.
    pub fn has_partial(&self) -> bool {
        false
    }

    pub fn comments(&self) -> u64 {
        0
    }

    pub fn oversize(&self) -> u64 {
        0
    }
}
