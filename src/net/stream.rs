//! A TCP connection whose every read comes with the kernel's receive stamp and the program's own.
//!
//! Linux stamps a read with the time of the *last* segment it touches, and queued segments are
//! coalesced under the newest stamp. A stamp is therefore the time of the read's last byte, and only
//! if the read emptied the socket is that byte the last one that had arrived. `ReadStamp` carries
//! what a caller needs to tell exact from bounded: the stamp, whether the read drained the socket,
//! and the last moment before it at which the socket was seen empty.

use std::cell::RefCell;
use std::io::{self, IoSliceMut, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::sockopt::ReceiveTimestampns;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recv, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};

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
}

impl StampedStream {
    /// Connects, with `TCP_NODELAY` and kernel receive stamps on (where the kernel has them).
    pub async fn connect(address: SocketAddr, time_limit: Duration) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_nodelay(true)?;
        // Where stamps are not supported, the reads say so by bringing none.
        let _ = setsockopt(&socket, ReceiveTimestampns, &true);
        let socket = tokio::time::timeout(time_limit, socket.connect(address))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection within the time limit"))??;
        let local_port = socket.local_addr().ok().map(|a| a.port());
        Ok(Self { socket, empty_at: UnixNs::now(), local_port })
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
        loop {
            self.socket.readable().await?;
            let before = UnixNs::now();
            let mut got = None;
            let tried = self.socket.try_io(Interest::READABLE, || {
                let (length, kernel) = receive(self.socket.as_raw_fd())?;
                let user = UnixNs::now();
                let drained = length < READ_BYTES;
                got = Some((length, ReadStamp { kernel, user, drained, empty_before: self.empty_at }));
                // A short read emptied the socket (epoll(7) says so for streams): the readiness is
                // taken back here, without a second read that would only be told so.
                if drained && length > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            if matches!(&tried, Err(e) if e.kind() == io::ErrorKind::WouldBlock) {
                self.empty_at = before;
            }
            match (got, tried) {
                (Some((length, stamp)), _) => {
                    return Ok(BUFFER.with_borrow(|(buffer, _)| take(buffer.get(..length).unwrap_or_default(), stamp)));
                }
                (None, Err(e)) if !matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                    return Err(e);
                }
                (None, _) => {}
            }
        }
    }

    /// Whether the peer has closed or sent something unasked: such a kept connection is not reused.
    pub fn is_stale(&self) -> bool {
        let mut probe = [0_u8; 1];
        let peeked = recv(self.socket.as_raw_fd(), &mut probe, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT);
        !matches!(peeked, Err(Errno::EAGAIN))
    }
}

/// One `recvmsg` into this thread's buffer: its length, and the kernel's stamp.
fn receive(socket: RawFd) -> io::Result<(usize, Option<UnixNs>)> {
    BUFFER.with_borrow_mut(|(buffer, control)| {
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<()>(socket, &mut slices, Some(control), MsgFlags::empty())?;
        let stamp = message.cmsgs().ok().and_then(|mut messages| {
            messages.find_map(|m| match m {
                ControlMessageOwned::ScmTimestampns(t) => Some(UnixNs(t.tv_sec() * 1_000_000_000 + t.tv_nsec())),
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
