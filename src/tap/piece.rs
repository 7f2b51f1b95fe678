//! Bytes that have passed, with when they came and when they had gone. This file must not know what
//! they say.

use super::exchange::Passed;
use crate::clock::UnixNs;
use crate::net::ReadStamp;

/// What one write took of one read: nearly always all of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) stamp: ReadStamp,
    /// It had to wait for room at the receiver, or came while others did.
    pub(super) held_up: bool,
    /// The read ends with it.
    pub(super) ends_the_read: bool,
    /// After the write.
    pub(super) written: UnixNs,
}

impl Piece<'_> {
    /// Of any byte in it: it came after the socket was last seen empty, and no later than the stamp.
    pub(super) fn within(&self) -> Passed {
        Passed {
            lo_unix_ns: self.stamp.empty_before.min(self.stamp.best()),
            hi_unix_ns: self.stamp.best(),
            written_unix_ns: self.written,
        }
    }

    /// Of its last byte: the kernel's stamp is that of the read's last byte, and of the last that had
    /// come only if the read drained the socket.
    pub(super) fn at_end(&self) -> Passed {
        match self.stamp.kernel {
            Some(kernel) if self.stamp.drained && self.ends_the_read => {
                Passed { lo_unix_ns: kernel, ..self.within() }
            }
            _ => self.within(),
        }
    }

    /// Of the byte before the last `left` ones.
    pub(super) fn before(&self, left: usize) -> Passed {
        if left == 0 { self.at_end() } else { self.within() }
    }
}
