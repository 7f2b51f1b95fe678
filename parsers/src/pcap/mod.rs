//! Packet captures: the bytes of a `.pcap` or `.pcapng` file → packets → TCP segments → what each side
//! of each connection sent, when. Nothing is copied, nothing is written, and a capture cut anywhere
//! gives what is whole in it. This module must not know what the bytes of a connection mean.
//!
//! - `classic` and `ng`: the two kinds of file; `bytes`: numbers in either order
//! - [`segment`]: link layers, IP, TCP
//! - [`streams`]: segments → connections

mod bytes;
mod classic;
mod ng;
pub mod segment;
pub mod streams;

/// One packet as it was captured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Packet<'a> {
    /// When, on the capturing host's clock.
    pub unix_ns: i64,
    /// The kind of its first header (<https://www.tcpdump.org/linktypes.html>).
    pub link: u32,
    pub bytes: &'a [u8],
    /// Its length on the wire; more than was captured if the capture cuts packets.
    pub wire_len: u32,
}

/// What was read of a capture.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Capture<'a> {
    pub packets: Vec<Packet<'a>>,
    /// The coarsest resolution of its stamps.
    pub resolution_ns: i64,
    /// Bytes at the end that are no whole packet: it was cut, or is still being written.
    pub torn_bytes: u64,
    /// Packets without a stamp, which are left out.
    pub unstamped: u64,
    /// Packets of an interface that was not described, which are left out.
    pub unplaced: u64,
}

/// Why bytes are no capture.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoCapture {
    #[error("expected a packet capture (pcap or pcapng), found bytes that begin with {0}")]
    Magic(String),
    #[error("the capture ends within its file header")]
    Short,
    #[error("expected version 2.4 of the pcap format, found {0}.{1}")]
    Version(u16, u16),
    #[error("expected a byte order mark of the pcapng format, found {0:#010x}")]
    ByteOrder(u32),
}

/// Whether the bytes begin as a capture does.
pub fn recognises(bytes: &[u8]) -> bool {
    classic::recognises(bytes) || ng::recognises(bytes)
}

/// Reads a whole capture.
pub fn read(bytes: &[u8]) -> Result<Capture<'_>, NoCapture> {
    if ng::recognises(bytes) {
        ng::read(bytes)
    } else if classic::recognises(bytes) {
        classic::read(bytes)
    } else {
        let begins: Vec<String> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        Err(NoCapture::Magic(begins.join(" ")))
    }
}
