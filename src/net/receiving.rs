//! Reads of one TCP connection, each with the kernel's receive stamp and the program's own.
//!
//! Linux stamps a read with the time of the *last* segment it touches, and queued segments are
//! coalesced under the newest stamp. A stamp is therefore the time of the read's last byte, and only
//! if the read emptied the socket is that byte the last one that had arrived. `ReadStamp` carries
//! what a caller needs to tell exact from bounded: the stamp, whether the read drained the socket,
//! and the last moment before it at which the socket was seen empty. `Received` tells in addition
//! where in the TCP stream a byte lay, by which its segment can be found in a packet capture. This
//! file must not know TLS or who reads.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::prompt::PROMPT;
use super::reordering::Reordering;
use super::{paths, stamps};
use crate::clock::{Moment, UnixNs};

/// Bytes one read takes at most. One buffer per worker thread, so it can be generous.
pub(super) const READ_BYTES: usize = 256 * 1024;

thread_local! {
    /// Lent to the closure of one read at a time: reading and decoding happen without a suspension
    /// between them, so connections need no buffer of their own.
    pub(super) static BUFFER: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::new((vec![0; READ_BYTES], stamps::control_space()));
}

/// When the bytes of one read arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReadStamp {
    /// The kernel's stamp of the read's last byte; `None` when it gave none.
    pub kernel: Option<UnixNs>,
    /// When the program had the bytes.
    pub user: UnixNs,
    /// The read took everything that had arrived.
    pub drained: bool,
    /// The last moment before this read at which the socket was seen empty: nothing in this read
    /// arrived earlier.
    pub empty_before: UnixNs,
}

impl ReadStamp {
    /// `kernel` is the stamp as the kernel gave it, on the wall clock; `now` is the moment after the
    /// read.
    ///
    /// A segment stamped before the socket was last seen empty had waited elsewhere: in another queue
    /// of the kernel for a moment, or behind a lost one for long; or the wall clock was set forward
    /// since. Its stamp is no arrival here, but bounds it. A stamp from the future tells that the
    /// wall clock was set back since: it says nothing.
    ///
    /// `waited`: whether bytes stamped so had waited behind a lost segment until then. Then the stamp bounds
    /// nothing but the beginning: what was lost before it came later.
    pub(super) fn new(
        kernel: Option<UnixNs>,
        now: Moment,
        drained: bool,
        empty_before: UnixNs,
        waited: impl FnOnce(UnixNs, UnixNs) -> bool,
    ) -> Self {
        let user = now.axis;
        match kernel.map(|wall| now.place(wall)) {
            Some(early) if early < empty_before => Self { kernel: None, user, drained, empty_before: early },
            Some(late) if late > user => Self { kernel: None, user, drained, empty_before },
            Some(behind) if waited(behind, user) => Self { kernel: None, user, drained, empty_before },
            kernel => Self { kernel, user, drained, empty_before },
        }
    }

    /// The best single stamp: the kernel's, else the program's.
    pub fn best(&self) -> UnixNs {
        self.kernel.unwrap_or(self.user)
    }
}

/// The bytes of one read, with their stamp.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// As the peer's program wrote them (under TLS: decrypted). Empty at the peer's end.
    pub bytes: &'a [u8],
    pub stamp: ReadStamp,
    /// Where the read began in the TCP stream.
    pub(super) begin: u64,
    /// Under TLS: for each record, where it ends in `bytes` and in the TCP stream.
    pub(super) records: &'a [(usize, u64)],
}

impl<'a> Received<'a> {
    /// A read without TLS that began at byte `begin` of the connection's stream.
    pub fn plain(bytes: &'a [u8], stamp: ReadStamp, begin: u64) -> Self {
        Self { bytes, stamp, begin, records: &[] }
    }

    /// Where in the TCP stream the segment lies that made byte `at - 1` of `bytes` readable: the
    /// offset after that byte, under TLS after its record.
    pub fn offset_after(&self, at: usize) -> u64 {
        if self.records.is_empty() {
            return self.begin + at as u64;
        }
        let record = self.records.partition_point(|&(end, _)| end < at);
        self.records.get(record).or(self.records.last()).map_or(self.begin, |&(_, offset)| offset)
    }
}

/// What is known of a connection's incoming side between two reads.
#[derive(Debug)]
pub(super) struct Receiving {
    /// The last moment at which the socket was seen empty.
    pub(super) empty_at: UnixNs,
    /// Bytes read from the TCP stream since its beginning.
    pub(super) offset: u64,
    /// Bytes read since this connection last let others run.
    since_pause: usize,
    reordering: Reordering,
}

impl Receiving {
    /// Of a connection into which nothing had come at `empty_at`.
    pub(super) fn new(empty_at: UnixNs) -> Self {
        Self { empty_at, offset: 0, since_pause: 0, reordering: Reordering::new(empty_at) }
    }

    /// Waits for bytes of `socket` and hands them, with their stamp and where they begin in the stream,
    /// to `take`; an empty slice is the peer's end. Bytes and stamp never part: `take` runs before
    /// anything else can happen on this task.
    pub(super) async fn read<T>(
        &mut self,
        socket: &TcpStream,
        take: impl FnOnce(&[u8], ReadStamp, u64) -> T,
    ) -> io::Result<T> {
        // A peer that always has more must not keep this thread from other connections and time limits.
        if self.since_pause >= READ_BYTES {
            self.since_pause = 0;
            tokio::task::yield_now().await;
        }
        loop {
            socket.readable().await?;
            let before = UnixNs::now();
            let (mut looked, mut got) = (false, None);
            let tried = socket.try_io(Interest::READABLE, || {
                looked = true;
                let (length, kernel) = BUFFER.with_borrow_mut(|(buffer, control)| {
                    stamps::receive(socket.as_raw_fd(), buffer, control)
                })?;
                let drained = length < READ_BYTES;
                let waited = |stamped, read| {
                    PROMPT.hints_at_waiting(stamped, read)
                        && self.reordering.since(stamped, read, || out_of_order(socket))
                };
                let stamp = ReadStamp::new(kernel, Moment::now(), drained, self.empty_at, waited);
                if let Some(came) = stamp.kernel {
                    PROMPT.note(came, stamp.user);
                }
                got = Some((length, stamp));
                // A short read emptied the socket (epoll(7) says so for streams): the readiness is
                // taken back here, without a second read that would only be told so.
                if drained && length > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            if looked && matches!(&tried, Err(e) if e.kind() == io::ErrorKind::WouldBlock) {
                self.empty_at = before;
            }
            match (got, tried) {
                (Some((length, stamp)), _) => {
                    let begin = self.offset;
                    self.offset += length as u64;
                    self.since_pause += length;
                    return Ok(BUFFER.with_borrow(|(buffer, _)| {
                        take(buffer.get(..length).unwrap_or_default(), stamp, begin)
                    }));
                }
                (None, Err(e))
                    if !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) =>
                {
                    return Err(e);
                }
                (None, _) => {}
            }
        }
    }
}

/// The segments of this connection that came after later ones, if the kernel tells.
fn out_of_order(socket: &TcpStream) -> Option<u32> {
    paths::path(socket.local_addr().ok()?, socket.peer_addr().ok()?).ok()?.out_of_order
}
