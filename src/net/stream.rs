//! A TCP connection, perhaps under TLS, whose every read comes with the kernel's receive stamp and
//! the program's own. This file must not know HTTP.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv};
use tokio::net::TcpStream;

use super::halves::{Incoming, Outgoing};
use super::receiving::{BUFFER, ReadStamp, Received, Receiving};
use super::source::socket;
use super::stamps;
use super::tls::{self, Tls};
use crate::clock::UnixNs;

/// One TCP connection.
pub struct StampedStream {
    socket: TcpStream,
    tls: Option<Box<Tls>>,
    receiving: Receiving,
    local: Option<SocketAddr>,
}

impl StampedStream {
    /// Connects, from `source` if one is given, with `TCP_NODELAY`, and asks the kernel for receive
    /// stamps (it may have none).
    pub async fn connect(
        address: SocketAddr,
        source: Option<IpAddr>,
        kernel_stamps: bool,
        time_limit: Duration,
    ) -> io::Result<Self> {
        let socket = socket(address, source)?;
        socket.set_nodelay(true)?;
        if kernel_stamps {
            stamps::ask_for(&socket);
        }
        let socket = tokio::time::timeout(time_limit, socket.connect(address))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection within the time limit"))??;
        Ok(Self::new(socket, UnixNs::now()))
    }

    /// Over an open connection, into which nothing had come at `empty_at`.
    pub(super) fn new(socket: TcpStream, empty_at: UnixNs) -> Self {
        let local = socket.local_addr().ok();
        Self { socket, tls: None, receiving: Receiving::new(empty_at), local }
    }

    /// Both ways of a connection without TLS, each for itself.
    pub fn halves(&mut self) -> (Incoming<'_>, Outgoing<'_>) {
        (Incoming::new(&self.socket, &mut self.receiving), Outgoing::new(&self.socket))
    }

    /// Closes with a reset: what is still to be sent is thrown away, and the peer is told so.
    pub fn reset(self) {
        // Where this is not taken, dropping closes in the usual way: all that can be done.
        let _ = socket2::SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
    }

    /// Puts TLS over the connection: from here on it reads and writes what is under it.
    pub async fn secure(&mut self, client: &tls::Client, time_limit: Duration) -> io::Result<()> {
        let mut session = client.session()?;
        let handshake = async {
            loop {
                let out = session.outgoing()?;
                self.write_raw(&out).await?;
                if session.is_ready() {
                    return Ok(());
                }
                let took = self.read_raw(|raw, _, begin| {
                    if raw.is_empty() {
                        return Err(io::Error::new(
                            io::ErrorKind::UnexpectedEof,
                            "closed in the TLS handshake",
                        ));
                    }
                    session.take(raw, begin).map(|_| ())
                });
                if let Err(error) = took.await.and_then(|taken| taken) {
                    // The peer is told why, as far as it still listens.
                    let alert = session.outgoing().unwrap_or_default();
                    let _ = self.write_raw(&alert).await;
                    return Err(error);
                }
            }
        };
        tokio::time::timeout(time_limit, handshake).await.map_err(|_| {
            io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake within the time limit")
        })??;
        self.tls = Some(Box::new(session));
        Ok(())
    }

    /// The client's port, by which access logs name the connection.
    pub fn local_port(&self) -> Option<u16> {
        self.local.map(|a| a.port())
    }

    /// The client's address, by which a packet capture knows the connection.
    pub fn local(&self) -> Option<SocketAddr> {
        self.local
    }

    /// Writes all of `bytes`.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            None => self.write_raw(bytes).await,
            Some(tls) => {
                let sealed = tls.seal(bytes)?;
                self.write_raw(&sealed).await
            }
        }
    }

    async fn write_raw(&self, bytes: &[u8]) -> io::Result<()> {
        Outgoing::new(&self.socket).write_all(bytes).await
    }

    /// Waits for bytes and hands them, with their stamps, to `take`; an empty slice is the peer's
    /// end. Bytes and stamp never part: `take` runs before anything else can happen on this task.
    /// Under TLS a read may bring no whole record: then it waits for the next.
    pub async fn read<T>(&mut self, mut take: impl FnMut(Received<'_>) -> T) -> io::Result<T> {
        let Some(mut tls) = self.tls.take() else {
            return self.read_raw(|bytes, stamp, begin| take(Received::plain(bytes, stamp, begin))).await;
        };
        // Given back below on every way out but a dropped future, after which nobody reads on.
        let outcome = loop {
            let step = self.read_raw(|raw, mut stamp, begin| -> io::Result<Option<T>> {
                if raw.is_empty() {
                    return Ok(Some(take(Received { bytes: &[], stamp, begin, records: &[] })));
                }
                let opened = tls.take(raw, begin)?;
                if opened.bytes.is_empty() && !opened.closed {
                    return Ok(None);
                }
                // The stamp is that of the read's last byte: of a record only if that ends there.
                stamp.drained &= opened.whole;
                Ok(Some(take(Received { bytes: opened.bytes, stamp, begin, records: opened.records })))
            });
            let step = match step.await {
                Ok(Ok(step)) => step,
                Ok(Err(error)) | Err(error) => break Err(error),
            };
            // What the protocol itself has to say: a changed key, an alert.
            let reply = tls.outgoing()?;
            if !reply.is_empty() {
                self.write_raw(&reply).await?;
            }
            if let Some(taken) = step {
                break Ok(taken);
            }
        };
        self.tls = Some(tls);
        outcome
    }

    async fn read_raw<T>(&mut self, take: impl FnOnce(&[u8], ReadStamp, u64) -> T) -> io::Result<T> {
        self.receiving.read(&self.socket, take).await
    }

    /// Whether the peer has closed or sent something unasked: such a kept connection is not reused.
    /// One that is reused was seen empty here.
    pub fn is_stale(&mut self) -> bool {
        loop {
            let before = UnixNs::now();
            let mut probe = [0_u8; 1];
            let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
            match recv(self.socket.as_raw_fd(), &mut probe, flags) {
                Err(Errno::EAGAIN) => {
                    self.receiving.empty_at = before;
                    return false;
                }
                // Under TLS the peer may have had something to say that is no data: session tickets.
                Ok(1..) if self.tls.is_some() => {}
                _ => return true,
            }
            if !self.take_protocol_messages() {
                return true;
            }
        }
    }

    /// Takes what is there, if it is TLS's own.
    fn take_protocol_messages(&mut self) -> bool {
        let Some(tls) = &mut self.tls else { return false };
        let begin = self.receiving.offset;
        let taken = BUFFER.with_borrow_mut(|(buffer, control)| {
            let (length, _) = stamps::receive(self.socket.as_raw_fd(), buffer, control)?;
            let opened = tls.take(buffer.get(..length).unwrap_or_default(), begin)?;
            io::Result::Ok((length, opened.bytes.is_empty() && !opened.closed))
        });
        let Ok((length, is_protocol)) = taken else { return false };
        self.receiving.offset += length as u64;
        length > 0 && is_protocol
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;
    use std::net::{Shutdown, TcpListener};

    use super::super::receiving::READ_BYTES;
    use super::*;
    use crate::clock::Moment;

    fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    async fn pair() -> (StampedStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client =
            StampedStream::connect(listener.local_addr().unwrap(), None, true, Duration::from_mins(1))
                .await
                .unwrap();
        (client, listener.accept().unwrap().0)
    }

    /// A moment whose wall clock has been set forward by `step_ns` since the axis began.
    fn moment(axis: i64, step_ns: i64) -> Moment {
        Moment { axis: UnixNs(axis), ahead_ns: step_ns }
    }

    fn interval(lo: i64, user: i64) -> ReadStamp {
        ReadStamp { kernel: None, user: UnixNs(user), drained: true, empty_before: UnixNs(lo) }
    }

    #[test]
    fn a_stamp_from_before_the_socket_was_empty_is_a_bound_and_no_point() {
        let late = ReadStamp::new(Some(UnixNs(5)), moment(9, 0), true, UnixNs(7), |_, _| false);
        assert_eq!(late, interval(5, 9));
        assert_eq!(
            ReadStamp::new(Some(UnixNs(8)), moment(9, 0), true, UnixNs(7), |_, _| false).best(),
            UnixNs(8)
        );
    }

    /// It came at 8, but an earlier one that was lost came again only later.
    #[test]
    fn a_stamp_of_bytes_that_waited_behind_a_lost_segment_is_no_point() {
        let behind = ReadStamp::new(Some(UnixNs(8)), moment(9, 0), true, UnixNs(7), |came, read| {
            (came, read) == (UnixNs(8), UnixNs(9))
        });
        assert_eq!(behind, interval(7, 9));
    }

    /// The segment arrives at 8,000 of the axis and is read at 9,000; the socket was empty at 7,000.
    #[test]
    fn a_step_of_the_wall_clock_hurts_only_the_stamp_that_lay_in_the_socket() {
        for step in [-2_000_000, 2_000_000] {
            let before =
                ReadStamp::new(Some(UnixNs(8_000)), moment(9_000, 0), true, UnixNs(7_000), |_, _| false);
            let amid =
                ReadStamp::new(Some(UnixNs(8_000)), moment(9_000, step), true, UnixNs(7_000), |_, _| false);
            let after = ReadStamp::new(
                Some(UnixNs(8_000 + step)),
                moment(9_000, step),
                true,
                UnixNs(7_000),
                |_, _| false,
            );
            assert_eq!(before.kernel, Some(UnixNs(8_000)));
            assert_eq!(after, before, "both stamped after the step: as if there had been none");
            let lo = if step > 0 { 8_000 - step } else { 7_000 };
            assert_eq!(amid, interval(lo, 9_000), "no point, and the truth lies within");
        }
    }

    /// Two streams are woken together after their thread was busy; the one that is read first had another segment
    /// just before, and looks as if nothing had been late. Nothing was lost on the way, so the other's bytes were there.
    #[cfg_attr(not(target_os = "linux"), ignore = "only Linux stamps what a TCP socket receives")]
    #[test]
    fn what_waited_for_a_busy_thread_had_not_waited_in_the_kernel() {
        const BUSY: Duration = Duration::from_millis(5);
        let _armed = stamps::arm();
        on_a_runtime(async {
            let ((mut first, mut to_first), (mut second, mut to_second)) = (pair().await, pair().await);
            for _ in 0..5 {
                let waits_first = tokio::spawn(async move {
                    let read = first.read(|got| {
                        std::thread::sleep(BUSY);
                        got.stamp
                    });
                    (read.await.unwrap(), first)
                });
                let waits_second =
                    tokio::spawn(async move { (second.read(|got| got.stamp).await.unwrap(), second) });
                // Both wait now.
                tokio::time::sleep(BUSY).await;
                to_first.write_all(b"token").unwrap();
                to_second.write_all(b"token").unwrap();
                std::thread::sleep(BUSY);
                to_first.write_all(b"token").unwrap();
                let (of_first, of_second);
                (of_first, first) = waits_first.await.unwrap();
                (of_second, second) = waits_second.await.unwrap();
                assert!(of_first.user < of_second.user, "{of_first:?} {of_second:?}");
                assert!(of_second.kernel.is_some(), "{of_first:?} {of_second:?}");
                assert!(of_second.kernel < of_first.kernel, "{of_first:?} {of_second:?}");
            }
        });
    }

    /// Each stamp lies between the peer's write and the read, each bound before the write.
    #[test]
    fn stamps_and_bounds_keep_their_order() {
        let _armed = stamps::arm();
        on_a_runtime(async {
            let (mut client, mut server) = pair().await;
            for _ in 0..200 {
                let before = UnixNs::now();
                server.write_all(b"data").unwrap();
                let (length, stamp) = client.read(|got| (got.bytes.len(), got.stamp)).await.unwrap();
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
                assert_eq!(client.read(|got| got.bytes.to_vec()).await.unwrap(), b"last");
                if !both_at_once {
                    server.shutdown(Shutdown::Write).unwrap();
                }
                assert_eq!(client.read(|got| got.bytes.len()).await.unwrap(), 0);
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
                    .read(|read| {
                        assert_eq!(read.offset_after(0), got.len() as u64);
                        got.extend_from_slice(read.bytes);
                        assert_eq!(read.stamp.drained, read.bytes.len() < READ_BYTES);
                        read.stamp
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
