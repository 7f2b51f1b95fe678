//! The two ways of one connection, each for itself: what comes in can be read while what goes out
//! waits. This file must not know what passes.

use std::io;
use std::net::Shutdown;

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::receiving::{Received, Receiving};

/// What the peer sends.
pub struct Incoming<'a> {
    socket: &'a TcpStream,
    receiving: &'a mut Receiving,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(socket: &'a TcpStream, receiving: &'a mut Receiving) -> Self {
        Self { socket, receiving }
    }

    /// As `StampedStream::read`.
    pub async fn read<T>(&mut self, take: impl FnOnce(Received<'_>) -> T) -> io::Result<T> {
        self.receiving
            .read(self.socket, |bytes, stamp, begin| take(Received::plain(bytes, stamp, begin)))
            .await
    }
}

/// What is sent to the peer.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    socket: &'a TcpStream,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(socket: &'a TcpStream) -> Self {
        Self { socket }
    }

    /// Writes what finds room at once, and says how much that was.
    pub fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.socket.try_write(bytes) {
                Ok(0) if !bytes.is_empty() => return Err(io::ErrorKind::WriteZero.into()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    /// Waits until there may be room.
    pub async fn room(&self) -> io::Result<()> {
        self.socket.writable().await
    }

    /// Writes all of `bytes`. The socket is writable nearly always: it is tried first, and waited for
    /// only when told to.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_now(bytes)? {
                0 => self.room().await?,
                n => bytes = bytes.get(n..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// Says that nothing more will be sent; reading goes on.
    pub fn end(&self) -> io::Result<()> {
        socket2::SockRef::from(self.socket).shutdown(Shutdown::Write)
    }

    /// Waits until the connection is broken: the peer has reset it, or cannot be reached any more.
    pub async fn broken(&self) {
        loop {
            match self.socket.ready(Interest::ERROR).await {
                Ok(ready) if !ready.is_error() => {}
                _ => return,
            }
        }
    }
}
