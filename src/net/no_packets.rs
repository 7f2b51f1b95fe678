//! In place of `packets` where the system has no packet sockets: says so. This file must not know
//! anything else.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::clock::UnixNs;
use crate::error::{Failure, usage};

/// What a capture saw.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct PacketCounts {
    pub dropped: u64,
    pub queue_bytes: usize,
}

/// A capture, which there is none of.
pub struct Packets(Infallible);

impl Packets {
    pub fn open(_: SocketAddr) -> Result<Self, Failure> {
        Err(usage("packets can be captured on Linux only").hint("use --stamps auto"))
    }

    pub fn take(&mut self) -> io::Result<()> {
        match self.0 {}
    }

    pub fn arrival(&self, _: SocketAddr, _: u64) -> Option<UnixNs> {
        match self.0 {}
    }

    pub fn forget(&mut self, _: SocketAddr, _: u64) {
        match self.0 {}
    }

    pub fn counts(&self) -> PacketCounts {
        match self.0 {}
    }
}
