//! What is taken of one answer at most, so that a server that never stops, or sends what no answer holds,
//! costs its own request and no more. This file must not know how an answer is read.

use super::room::MAX_TOGETHER_BYTES;
use crate::load::http1::HttpError;

/// Events of one answer: more than the tokens of the longest contexts there are. An event kept takes 40
/// bytes, so an open request takes at most 40 MiB for them.
pub(super) const MAX_EVENTS: usize = 1 << 20;
/// So many of an answer that has more are kept: what it sent is no measurement any more.
pub(super) const KEPT_OF_TOO_MANY: usize = 4096;
/// Bytes of a stream that end no event: one long line, or nothing but comments. A comment every 15 s, as
/// servers send them to keep a connection alive, would take months to get there.
pub(super) const MAX_SILENT_BYTES: usize = 16 << 20;
/// An answer that is not streamed.
pub(super) const MAX_BODY_BYTES: usize = 32 << 20;
/// The body of a refusal, of which a line is shown.
pub(super) const MAX_REFUSAL_BYTES: usize = 1 << 20;
/// Chunks kept because somebody asks for the answer's text.
pub(super) const MAX_TEXT_BYTES: usize = 64 << 20;
/// An answer's id, and why it ended. Real ones have some tens of bytes.
pub(super) const MAX_NAME_BYTES: usize = 1024;

/// Why an answer is not read on.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(in crate::load) enum BadAnswer {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the stream has more than {MAX_EVENTS} events; its first {KEPT_OF_TOO_MANY} are kept")]
    TooManyEvents,
    #[error("an event of the stream is too long, or none ends within {} MiB", MAX_SILENT_BYTES >> 20)]
    NoEvent,
    #[error("the answer is longer than {} MiB", MAX_BODY_BYTES >> 20)]
    BodyTooLong,
    /// Of an answer that is a failure anyway.
    #[error("the refusal is longer than {} MiB", MAX_REFUSAL_BYTES >> 20)]
    RefusalTooLong,
    #[error("the answer's text, which is to be kept, is longer than {} MiB", MAX_TEXT_BYTES >> 20)]
    TextTooLong,
    #[error(
        "all open answers together take more than {} MiB in memory, and this one more than its share",
        MAX_TOGETHER_BYTES >> 20
    )]
    NoRoom,
}

impl BadAnswer {
    /// Whether the answer failed even if its end had been seen before.
    pub(super) fn spoils_all(&self) -> bool {
        !matches!(self, Self::Http(_))
    }
}

/// An error about a name that is no name.
pub(super) fn name_too_long(what: &str, found: usize) -> String {
    format!("expected {what} of at most {MAX_NAME_BYTES} bytes, found {found}")
}
