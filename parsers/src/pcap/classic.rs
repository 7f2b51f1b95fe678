//! The pcap file format (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html>): a header of
//! 24 bytes, then each packet after 16 bytes of its own. This file must not know what packets hold.

use super::bytes::{Order, array};
use super::{Capture, NoCapture, Packet};

const HEADER: usize = 24;
const RECORD: usize = 16;
/// libpcap takes no longer packet from a file.
const LONGEST: u32 = 256 << 10;

pub(super) fn recognises(bytes: &[u8]) -> bool {
    kind(bytes).is_some()
}

/// The order of its numbers, and nanoseconds in a unit of its fractions of a second.
fn kind(bytes: &[u8]) -> Option<(Order, i64)> {
    match array(bytes, 0)? {
        [0xa1, 0xb2, 0xc3, 0xd4] => Some((Order::Big, 1000)),
        [0xd4, 0xc3, 0xb2, 0xa1] => Some((Order::Little, 1000)),
        [0xa1, 0xb2, 0x3c, 0x4d] => Some((Order::Big, 1)),
        [0x4d, 0x3c, 0xb2, 0xa1] => Some((Order::Little, 1)),
        _ => None,
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<Capture<'_>, NoCapture> {
    let (order, unit_ns) = kind(bytes).ok_or(NoCapture::Short)?;
    let version = order.u16(bytes, 4).zip(order.u16(bytes, 6));
    let (version, link) = version.zip(order.u32(bytes, 20)).ok_or(NoCapture::Short)?;
    if version != (2, 4) {
        return Err(NoCapture::Version(version.0, version.1));
    }
    // The upper bits tell of checksums behind each packet.
    let link = link & 0xffff;
    let mut capture = Capture { resolution_ns: unit_ns, ..Capture::default() };
    let mut rest = bytes.get(HEADER..).unwrap_or_default();
    while let Some((packet, after)) = record(rest, order, unit_ns, link) {
        capture.packets.push(packet);
        rest = after;
    }
    capture.torn_bytes = rest.len() as u64;
    Ok(capture)
}

fn record(bytes: &[u8], order: Order, unit: i64, link: u32) -> Option<(Packet<'_>, &[u8])> {
    let (whole_s, fraction) = (order.u32(bytes, 0)?, order.u32(bytes, 4)?);
    let (length, wire_len) = (order.u32(bytes, 8)?, order.u32(bytes, 12)?);
    if length > LONGEST {
        return None;
    }
    let (packet, rest) = bytes.get(RECORD..)?.split_at_checked(length as usize)?;
    let unix_ns = i64::from(whole_s) * 1_000_000_000 + i64::from(fraction) * unit;
    Some((Packet { unix_ns, link, bytes: packet, wire_len: wire_len.max(length) }, rest))
}
