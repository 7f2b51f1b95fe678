//! What the kernel knows of the network between here and a server: of each open connection the round trip
//! times it has measured, segments it sent again, and those that came out of order. How it is asked is each
//! system's own: `paths/netlink.rs` on Linux, elsewhere nobody is (`paths/untold.rs`). This file must not know
//! who asks, nor what is concluded.

use std::net::SocketAddr;

#[cfg_attr(target_os = "linux", path = "paths/netlink.rs")]
#[cfg_attr(not(target_os = "linux"), path = "paths/untold.rs")]
mod asked;

pub(super) use asked::path;
pub use asked::paths_to;

/// One open TCP connection to a server.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Path {
    /// This end of it.
    pub local: SocketAddr,
    /// The kernel's smoothed round trip time, and the shortest that it has seen.
    pub rtt_us: u32,
    pub min_rtt_us: Option<u32>,
    /// Segments sent again from here, since the connection was opened.
    pub sent_again: u32,
    /// Segments that came here after later ones: what lay before them was lost or overtaken.
    pub out_of_order: Option<u32>,
}
