//! Where connections come in: each with the moment before which nothing can have come over it. This
//! file must not know what is done with them.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};
use tokio::task::coop::unconstrained;

use super::StampedStream;
use super::stamps;
use crate::clock::UnixNs;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 2048;

/// A listening socket.
pub struct StampedListener {
    socket: TcpListener,
    local: SocketAddr,
    /// The last moment at which no connection waited.
    empty_at: UnixNs,
    /// The last look found a connection, so the next one is a look and not a guess: nothing has said
    /// meanwhile that none waits.
    looks: bool,
}

impl StampedListener {
    /// Listens on `address`; within a runtime. A port that connections of an earlier program still
    /// linger on is taken, one that another program listens on is not.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let empty_at = UnixNs::now();
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let local = socket.local_addr()?;
        Ok(Self { socket, local, empty_at, looks: false })
    }

    /// Where it listens: the port that was found, if any was asked for.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The next connection and its peer, with `TCP_NODELAY` and receive stamps. Nothing can have come
    /// over it before the last moment at which no connection waited here: its stamps' bound. Can be
    /// dropped while it waits; a caller that never waits long must let others run itself.
    pub async fn accept(&mut self) -> io::Result<(StampedStream, SocketAddr)> {
        // Constrained, it might say that none waits without having looked.
        let accepted = unconstrained(poll_fn(|context| {
            let before = UnixNs::now();
            let polled = self.socket.poll_accept(context);
            if std::mem::replace(&mut self.looks, polled.is_ready()) && polled.is_pending() {
                self.empty_at = before;
            }
            polled
        }));
        let (stream, peer) = accepted.await?;
        // Some systems refuse it of a connection that its peer has reset meanwhile, which the first read tells.
        let _ = stream.set_nodelay(true);
        stamps::ask_for(&stream);
        Ok((StampedStream::new(stream, self.empty_at), peer))
    }
}
