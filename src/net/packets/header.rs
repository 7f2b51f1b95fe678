//! IP and TCP headers, as far as a segment's place in its stream needs them. This file must not know
//! sockets or stamps.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const TCP: u8 = 6;

/// One TCP segment, its content left out.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Segment {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// Sequence number of its first byte.
    pub(super) seq: u32,
    /// Bytes of content.
    pub(super) length: u32,
    /// It opens the connection; its sequence number counts one.
    pub(super) syn: bool,
    /// It ends the connection, at once.
    pub(super) rst: bool,
}

/// Reads a packet that begins with its IP header and may be cut after its TCP header. `None` for
/// what is no TCP segment, a fragment, or larger than its header can say.
pub(super) fn read(packet: &[u8]) -> Option<Segment> {
    let (from, to, header_bytes, total_bytes) = match packet.first()? >> 4 {
        4 => ipv4(packet)?,
        6 => ipv6(packet)?,
        _ => return None,
    };
    let tcp = packet.get(header_bytes..)?;
    let offset = usize::from(tcp.get(12)? >> 4) * 4;
    let flags = tcp.get(13)?;
    let length = total_bytes.checked_sub(header_bytes + offset)?;
    Some(Segment {
        from: SocketAddr::new(from, half(tcp, 0)?),
        to: SocketAddr::new(to, half(tcp, 2)?),
        seq: u32::from(half(tcp, 4)?) << 16 | u32::from(half(tcp, 6)?),
        length: u32::try_from(length).ok()?,
        syn: flags & 0x02 != 0,
        rst: flags & 0x04 != 0,
    })
}

/// Addresses, header length, total length.
type Ip = (IpAddr, IpAddr, usize, usize);

fn ipv4(packet: &[u8]) -> Option<Ip> {
    let header = usize::from(packet.first()? & 0x0f) * 4;
    let fragment = half(packet, 6)? & 0x3fff;
    if *packet.get(9)? != TCP || fragment != 0 {
        return None;
    }
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 4] = packet.get(at..at + 4)?.try_into().ok()?;
        Some(Ipv4Addr::from(octets).into())
    };
    Some((address(12)?, address(16)?, header, usize::from(half(packet, 2)?)))
}

fn ipv6(packet: &[u8]) -> Option<Ip> {
    const HEADER: usize = 40;
    if *packet.get(6)? != TCP {
        return None;
    }
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = packet.get(at..at + 16)?.try_into().ok()?;
        Some(Ipv6Addr::from(octets).into())
    };
    Some((address(8)?, address(24)?, HEADER, HEADER + usize::from(half(packet, 4)?)))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A segment of 46 bytes from 127.0.0.1:8000 to 127.0.0.1:43210, as captured on loopback.
    const PACKET: [u8; 52] = [
        0x45, 0x00, 0x00, 0x62, 0x3d, 0x1f, 0x40, 0x00, 0x40, 0x06, 0xff, 0x74, 127, 0, 0, 1, 127, 0, 0, 1,
        0x1f, 0x40, 0xa8, 0xca, 0x83, 0x7d, 0x11, 0x02, 0x09, 0x6b, 0x44, 0x9e, 0x80, 0x18, 0x02, 0x00, 0xfe,
        0x56, 0x00, 0x00, 0x01, 0x01, 0x08, 0x0a, 0x7c, 0x0b, 0xa1, 0x10, 0x7c, 0x0b, 0xa1, 0x0f,
    ];

    #[test]
    fn a_segment_is_read_from_its_headers_alone() {
        let segment = read(&PACKET).unwrap();
        assert_eq!(
            segment,
            Segment {
                from: "127.0.0.1:8000".parse().unwrap(),
                to: "127.0.0.1:43210".parse().unwrap(),
                seq: 0x837d_1102,
                length: 46,
                syn: false,
                rst: false,
            }
        );
    }

    #[test]
    fn a_fragment_or_a_packet_too_large_for_its_header_is_none() {
        let with = |at: usize, bytes: [u8; 2]| {
            let mut packet = PACKET;
            packet[at..at + 2].copy_from_slice(&bytes);
            read(&packet)
        };
        assert_eq!(with(6, [0x20, 0x00]), None, "more fragments follow");
        assert_eq!(with(2, [0, 0]), None, "larger than 64 kB: the length says 0");
        assert_eq!(with(8, [0x40, 17]), None, "UDP");
    }

    #[test]
    fn ipv6_is_read_as_well() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 32 + 5, TCP, 64];
        packet.extend(Ipv6Addr::LOCALHOST.octets());
        packet.extend(Ipv6Addr::LOCALHOST.octets());
        packet.extend(&PACKET[20..]);
        let segment = read(&packet).unwrap();
        assert_eq!((segment.length, segment.from), (5, "[::1]:8000".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..140)) {
            let _ = read(&bytes);
        }
    }
}
