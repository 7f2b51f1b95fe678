//! Sockets and stamps: addresses, connections, and reads that carry the kernel's receive time.
//! This module must not know HTTP, servers or what a token is.

mod halves;
pub mod limits;
mod listener;
#[cfg_attr(not(target_os = "linux"), path = "no_packets.rs")]
mod packets;
pub mod paths;
mod prompt;
mod pulse;
mod receiving;
mod reordering;
mod source;
mod stamps;
mod stream;
pub mod tls;
mod url;
mod whereabouts;

pub use halves::{Incoming, Outgoing};
pub use listener::StampedListener;
pub use packets::{PacketCounts, Packets};
pub use prompt::{falls_asleep, wakes};
pub use pulse::{PulseReceiver, PulseSender, pulse};
pub use receiving::{ReadStamp, Received};
pub use source::{ADDRESSES_LISTED_BY, Sources};
pub use stamps::{Armed, arm};
pub use stream::StampedStream;
pub use url::HttpUrl;
pub use whereabouts::{Following, History, Whereabouts};
