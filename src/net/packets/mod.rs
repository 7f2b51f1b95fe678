//! A capture of the segments that a server sends here: one kernel stamp per segment, where a read of
//! a socket has one for all that it touches. Only headers are kept, so TLS makes no difference: a
//! byte is found by its place in the TCP stream. This module must not know requests or tokens.
//!
//! The capture is a packet socket with a filter on the server's address and port; it needs
//! `CAP_NET_RAW`. Its queue is emptied in batches, a few hundred times a second; what does not find
//! room there is dropped and counted, and the bytes concerned have no stamp here.

mod filter;
mod flow;
mod header;

use std::collections::HashMap;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::sockopt::{RcvBuf, RcvBufForce, RxqOvfl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, getsockopt, recvmmsg, setsockopt};
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};

use self::flow::{Flow, Kind};
use super::stamps;
use crate::clock::{Moment, UnixNs};
use crate::error::{Failure, usage};

/// Bytes kept of each segment: the longest IPv4 and TCP headers, or IPv6's and TCP's.
const SNAP_BYTES: usize = 120;
const BATCH: usize = 128;
/// Room asked for, in the kernel's count of what a queued packet costs (1 to 2 kB each).
const QUEUE_BYTES: usize = 64 << 20;

/// What a capture saw.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct PacketCounts {
    /// Segments with data.
    pub segments: u64,
    /// Packets that the queue had no room for.
    pub dropped: u64,
    /// Segments whose bytes had been seen before.
    pub retransmitted: u64,
    /// Segments that came after a gap: an earlier one was lost, late or dropped.
    pub after_gap: u64,
    /// Packets that could not be read as TCP segments of the server.
    pub unread: u64,
    /// What the queue may hold, as the kernel counts.
    pub queue_bytes: usize,
}

/// A running capture.
pub struct Packets {
    socket: Socket,
    server: SocketAddr,
    flows: HashMap<SocketAddr, Flow>,
    counts: PacketCounts,
    buffers: Vec<[u8; SNAP_BYTES]>,
}

impl Packets {
    /// Begins to capture what `server` sends to this host. Connections opened later are known from
    /// their first byte on; older ones are not.
    pub fn open(server: SocketAddr) -> Result<Self, Failure> {
        let socket = socket(server).map_err(|error| {
            let permitted = error.raw_os_error().map(Errno::from_raw) != Some(Errno::EPERM);
            let failure = usage("packets cannot be captured here").caused_by(error);
            if permitted {
                failure.hint("use --stamps kernel")
            } else {
                failure.hint(
                    "it takes the right to open raw sockets: run as root, or once `sudo setcap cap_net_raw+ep $(command -v tare)`; or use --stamps kernel",
                )
            }
        })?;
        let queue_bytes = getsockopt(&socket, RcvBuf).unwrap_or(0);
        Ok(Self {
            socket,
            server,
            flows: HashMap::new(),
            counts: PacketCounts { queue_bytes, ..PacketCounts::default() },
            buffers: vec![[0; SNAP_BYTES]; BATCH],
        })
    }

    /// Takes all that has been captured by now.
    pub fn take(&mut self) -> io::Result<()> {
        while self.take_batch()? == BATCH {}
        Ok(())
    }

    /// When the byte before offset `end` of the stream from the server to `client` had arrived
    /// together with all before it. `None` when its segment was not seen.
    pub fn arrival(&self, client: SocketAddr, end: u64) -> Option<UnixNs> {
        self.flows.get(&client)?.arrival(end)
    }

    /// Nobody will ask for what lies before `end` any more.
    pub fn forget(&mut self, client: SocketAddr, end: u64) {
        if let Some(flow) = self.flows.get_mut(&client) {
            flow.forget(end);
        }
    }

    pub fn counts(&self) -> PacketCounts {
        self.counts
    }

    fn take_batch(&mut self) -> io::Result<usize> {
        // Made anew each time: the kernel writes the lengths it used into the one of before.
        let control = nix::cmsg_space!(nix::sys::time::TimeSpec, u32);
        let mut headers = MultiHeaders::<()>::preallocate(BATCH, Some(control));
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.buffers.iter_mut().map(|b| [IoSliceMut::new(b)]).collect();
        let flags = MsgFlags::MSG_DONTWAIT;
        let got = match recvmmsg(self.socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None) {
            Ok(got) => got,
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(0),
            Err(error) => return Err(error.into()),
        };
        let now = Moment::now();
        let seen: Vec<(usize, Option<UnixNs>, Option<u32>)> = got
            .map(|message| {
                let (mut stamp, mut dropped) = (None, None);
                for control in message.cmsgs().into_iter().flatten() {
                    match control {
                        ControlMessageOwned::RxqOvfl(total) => dropped = Some(total),
                        other => stamp = stamp.or(stamps::stamp_in(&other)),
                    }
                }
                (message.bytes, stamp, dropped)
            })
            .collect();
        for (buffer, &(length, stamp, dropped)) in self.buffers.iter().zip(&seen) {
            // The kernel counts since the socket was opened.
            self.counts.dropped = self.counts.dropped.max(u64::from(dropped.unwrap_or(0)));
            let segment = header::read(buffer.get(..length).unwrap_or_default());
            let (Some(segment), Some(stamp)) = (segment.filter(|s| s.from == self.server), stamp) else {
                self.counts.unread += 1;
                continue;
            };
            match self.flows.entry(segment.to).or_default().add(&segment, now.place(stamp)) {
                Kind::Control => {}
                Kind::Next => self.counts.segments += 1,
                Kind::AfterGap => {
                    self.counts.segments += 1;
                    self.counts.after_gap += 1;
                }
                Kind::Again => {
                    self.counts.segments += 1;
                    self.counts.retransmitted += 1;
                }
            }
        }
        Ok(seen.len())
    }
}

/// A packet socket of received IP packets only, without their link's header.
fn socket(server: SocketAddr) -> io::Result<Socket> {
    let protocol: u16 = if server.is_ipv4() { 0x0800 } else { 0x86dd };
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(i32::from(protocol.to_be()))))?;
    // From the first packet on that the filter let pass; what came before it is not the server's, or
    // is sorted out by its header.
    socket.attach_filter(&filter::from_server(server, SNAP_BYTES as u32))?;
    stamps::ask_for(&socket);
    setsockopt(&socket, RxqOvfl, &1)?;
    // Beyond the system's limit where that is allowed, else up to it.
    if setsockopt(&socket, RcvBufForce, &QUEUE_BYTES).is_err() {
        setsockopt(&socket, RcvBuf, &QUEUE_BYTES)?;
    }
    Ok(socket)
}
