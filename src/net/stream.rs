//! A TCP connection whose every read comes with the kernel's receive stamp and the program's own.
//!
//! Linux stamps a read with the time of the *last* segment it touches, and queued segments are
//! coalesced under the newest stamp. A stamp is therefore the time of the read's last byte, and only
//! if the read emptied the socket is that byte the last one that had arrived. `ReadStamp` carries
//! what a caller needs to tell exact from bounded: the stamp, whether the read drained the socket,
//! and the last moment before it at which the socket was seen empty.

use std::cell::RefCell;
use std::io::{self, IoSliceMut, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recv, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::source::socket;
use crate::clock::UnixNs;

/// Bytes one read takes at most. One buffer per worker thread, so it can be generous.
const READ_BYTES: usize = 256 * 1024;
/// Milliseconds to wait for the kernel to begin stamping; it takes one or two.
const ARMING_TRIES: u32 = 200;

thread_local! {
    /// Lent to the closure of one read at a time: reading and decoding happen without a suspension
    /// between them, so connections need no buffer of their own.
    static BUFFER: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::new((vec![0; READ_BYTES], cmsg_space!(TimeSpec)));
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
    /// A segment stamped before the socket was last seen empty had waited elsewhere: in another queue
    /// of the kernel for a moment, or behind a lost one for long. Its stamp is no arrival here, but
    /// bounds it.
    fn new(kernel: Option<UnixNs>, user: UnixNs, drained: bool, empty_before: UnixNs) -> Self {
        match kernel {
            Some(early) if early < empty_before => Self { kernel: None, user, drained, empty_before: early },
            kernel => Self { kernel, user, drained, empty_before },
        }
    }

    /// The best single stamp: the kernel's, else the program's.
    pub fn best(&self) -> UnixNs {
        self.kernel.unwrap_or(self.user)
    }
}

/// One TCP connection.
pub struct StampedStream {
    socket: TcpStream,
    empty_at: UnixNs,
    local_port: Option<u16>,
    /// Bytes read since this connection last let others run.
    since_pause: usize,
}

impl StampedStream {
    /// Connects, from `source` if one is given, with `TCP_NODELAY` and kernel receive stamps on (where
    /// the kernel has them).
    pub async fn connect(
        address: SocketAddr,
        source: Option<IpAddr>,
        time_limit: Duration,
    ) -> io::Result<Self> {
        let socket = socket(address, source)?;
        socket.set_nodelay(true)?;
        // Where stamps are not supported, the reads say so by bringing none.
        let _ = setsockopt(&socket, ReceiveTimestampns, &true);
        let socket = tokio::time::timeout(time_limit, socket.connect(address))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection within the time limit"))??;
        let local_port = socket.local_addr().ok().map(|a| a.port());
        Ok(Self { socket, empty_at: UnixNs::now(), local_port, since_pause: 0 })
    }

    /// The client's port, by which access logs name the connection.
    pub fn local_port(&self) -> Option<u16> {
        self.local_port
    }

    /// Writes all of `bytes`.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // The socket is writable nearly always: try first, wait only when told to.
            match self.socket.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.socket.writable().await?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Waits for bytes and hands them, with their stamps, to `take`; an empty slice is the peer's
    /// end. Bytes and stamp never part: `take` runs before anything else can happen on this task.
    pub async fn read<T>(&mut self, take: impl FnOnce(&[u8], ReadStamp) -> T) -> io::Result<T> {
        // A peer that always has more must not keep this thread from other connections and time limits.
        if self.since_pause >= READ_BYTES {
            self.since_pause = 0;
            tokio::task::yield_now().await;
        }
        loop {
            self.socket.readable().await?;
            let before = UnixNs::now();
            let (mut looked, mut got) = (false, None);
            let tried = self.socket.try_io(Interest::READABLE, || {
                looked = true;
                let (length, kernel) = receive(self.socket.as_raw_fd())?;
                let drained = length < READ_BYTES;
                got = Some((length, ReadStamp::new(kernel, UnixNs::now(), drained, self.empty_at)));
                // A short read emptied the socket (epoll(7) says so for streams): the readiness is
                // taken back here, without a second read that would only be told so.
                if drained && length > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            if looked && matches!(&tried, Err(e) if e.kind() == io::ErrorKind::WouldBlock) {
                self.empty_at = before;
            }
            match (got, tried) {
                (Some((length, stamp)), _) => {
                    self.since_pause += length;
                    return Ok(BUFFER
                        .with_borrow(|(buffer, _)| take(buffer.get(..length).unwrap_or_default(), stamp)));
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

    /// Whether the peer has closed or sent something unasked: such a kept connection is not reused.
    /// One that is reused was seen empty here.
    pub fn is_stale(&mut self) -> bool {
        let before = UnixNs::now();
        let mut probe = [0_u8; 1];
        let peeked = recv(self.socket.as_raw_fd(), &mut probe, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT);
        let is_empty = matches!(peeked, Err(Errno::EAGAIN));
        if is_empty {
            self.empty_at = before;
        }
        !is_empty
    }
}

/// One `recvmsg` into this thread's buffer: its length, and the kernel's stamp.
fn receive(socket: RawFd) -> io::Result<(usize, Option<UnixNs>)> {
    BUFFER.with_borrow_mut(|(buffer, control)| {
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<()>(socket, &mut slices, Some(control), MsgFlags::empty())?;
        let stamp = message.cmsgs().ok().and_then(|mut messages| {
            messages.find_map(|m| match m {
                ControlMessageOwned::ScmTimestampns(t) => {
                    Some(UnixNs(t.tv_sec() * 1_000_000_000 + t.tv_nsec()))
                }
                _ => None,
            })
        });
        Ok((message.bytes, stamp))
    })
}

/// Holds kernel stamping on for as long as the returned socket lives. The kernel switches it on
/// some time after the first socket asks, and packets of that time go unstamped: this waits until
/// one that it sends to itself comes stamped, if that ever happens here.
pub fn arm_kernel_stamps() -> io::Result<std::net::TcpStream> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let socket = std::net::TcpStream::connect(listener.local_addr()?)?;
    setsockopt(&socket, ReceiveTimestampns, &true).map_err(io::Error::from)?;
    let (mut peer, _) = listener.accept()?;
    for _ in 0..ARMING_TRIES {
        peer.write_all(b"?")?;
        if receive(socket.as_raw_fd())?.1.is_some() {
            break;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(socket)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener};

    use super::*;

    fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    async fn pair() -> (StampedStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = StampedStream::connect(listener.local_addr().unwrap(), None, Duration::from_secs(60))
            .await
            .unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn a_stamp_from_before_the_socket_was_empty_is_a_bound_and_no_point() {
        let late = ReadStamp::new(Some(UnixNs(5)), UnixNs(9), true, UnixNs(7));
        assert_eq!(late, ReadStamp { kernel: None, user: UnixNs(9), drained: true, empty_before: UnixNs(5) });
        assert_eq!(ReadStamp::new(Some(UnixNs(8)), UnixNs(9), true, UnixNs(7)).best(), UnixNs(8));
    }

    /// Each stamp lies between the peer's write and the read, each bound before the write.
    #[test]
    fn stamps_and_bounds_keep_their_order() {
        let _armed = arm_kernel_stamps();
        on_a_runtime(async {
            let (mut client, mut server) = pair().await;
            for _ in 0..200 {
                let before = UnixNs::now();
                server.write_all(b"data").unwrap();
                let (length, stamp) = client.read(|bytes, stamp| (bytes.len(), stamp)).await.unwrap();
                assert_eq!((length, stamp.drained), (4, true));
                assert!(before <= stamp.best() && stamp.best() <= stamp.user, "{before:?} {stamp:?}");
                assert!(stamp.empty_before <= before, "{before:?} {stamp:?}");
            }
        });
    }

    /// Readiness is taken back after a short read; the end must be seen all the same.
    #[test]
    fn the_end_is_seen_however_it_comes() {
        on_a_runtime(async {
            for both_at_once in [true, false] {
                let (mut client, mut server) = pair().await;
                server.write_all(b"last").unwrap();
                if both_at_once {
                    server.shutdown(Shutdown::Write).unwrap();
                }
                assert_eq!(client.read(|bytes, _| bytes.to_vec()).await.unwrap(), b"last");
                if !both_at_once {
                    server.shutdown(Shutdown::Write).unwrap();
                }
                assert_eq!(client.read(|bytes, _| bytes.len()).await.unwrap(), 0);
                assert!(client.is_stale());
            }
        });
    }

    /// More than one buffer full: only a read that leaves nothing says so.
    #[test]
    fn large_data_comes_whole_and_only_the_last_read_drains() {
        on_a_runtime(async {
            let (mut client, mut server) = pair().await;
            let sent: Vec<u8> = (0..3 * READ_BYTES + 17).map(|i| i as u8).collect();
            let copy = sent.clone();
            let writer = std::thread::spawn(move || server.write_all(&copy).map(|()| server));
            let mut got = Vec::new();
            let mut last = None;
            while got.len() < sent.len() {
                let stamp = client
                    .read(|bytes, stamp| {
                        got.extend_from_slice(bytes);
                        assert_eq!(stamp.drained, bytes.len() < READ_BYTES);
                        stamp
                    })
                    .await
                    .unwrap();
                assert!(stamp.empty_before <= stamp.best());
                assert!(last.is_none_or(|last| last <= stamp.user));
                last = Some(stamp.user);
            }
            assert!(got == sent);
            assert!(!client.is_stale());
            drop(writer.join());
        });
    }
}
