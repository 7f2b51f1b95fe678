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
