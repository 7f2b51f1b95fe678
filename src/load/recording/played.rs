//! An answer read from pieces of bytes as the load reads it from a socket, without one: for whoever attacks the
//! reading. This file must not know sockets or schedules.

use super::{End, Recording};
use crate::clock::UnixNs;
use crate::net::{ReadStamp, Received};
use crate::record::{Endpoint, EventRow, Status};

/// What became of it.
#[derive(Debug)]
pub struct Played {
    pub events: Vec<EventRow>,
    pub said: Said,
}

/// What the answer said; the same however it came in pieces.
#[derive(Debug, Eq, PartialEq)]
pub struct Said {
    /// Of the head, if it came whole.
    pub http_status: Option<u16>,
    pub status: Status,
    pub error: Option<String>,
    /// Token-bearing events.
    pub n_events: usize,
    pub response_id: Option<String>,
    pub finish_reason: Option<String>,
    pub input_tokens: Option<u32>,
    pub output_tokens: Option<u32>,
    pub text: String,
}

/// Takes the pieces as one read each, a microsecond apart; then the server closes, or the run is over.
pub fn play<'a>(endpoint: Endpoint, pieces: impl Iterator<Item = &'a [u8]>, closes: bool) -> Played {
    let mut recording = Recording::new(endpoint, 0, None, true);
    recording.keeps_text = true;
    let mut end = if closes { End::Closed(None) } else { End::Stopped };
    let (mut at, mut begin) = (UnixNs(1_000_000), 0);
    for bytes in pieces {
        let stamp = ReadStamp {
            kernel: Some(at),
            user: UnixNs(at.0 + 100),
            drained: true,
            empty_before: UnixNs(at.0 - 500),
        };
        match recording.take(Received::plain(bytes, stamp, begin)) {
            Ok(false) => {}
            Ok(true) => {
                end = End::Complete;
                break;
            }
            Err(bad) => {
                end = End::Bad(bad);
                break;
            }
        }
        (at, begin) = (UnixNs(at.0 + 1000), begin + bytes.len() as u64);
    }
    let (status, error) = recording.conclude(&end);
    let said = Said {
        http_status: recording.response.head().map(|head| head.status),
        status,
        error,
        n_events: recording.events.len(),
        response_id: recording.response_id.take(),
        finish_reason: recording.finish_reason.take(),
        input_tokens: recording.usage.prompt_tokens,
        output_tokens: recording.output_tokens(),
        text: recording.text(),
    };
    Played { events: recording.events, said }
}
