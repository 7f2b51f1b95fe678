//! A packet → the TCP segment in it: Ethernet (with VLAN tags), Linux "cooked" captures, loopback and
//! raw IP; IPv4 and IPv6. This file must not know other segments.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::Packet;
use super::bytes::{Order, array};

/// One TCP segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Segment<'a> {
    pub unix_ns: i64,
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub sequence: u32,
    pub syn: bool,
    pub ack: bool,
    pub fin: bool,
    pub rst: bool,
    /// As far as it was captured.
    pub payload: &'a [u8],
    /// The payload's length on the wire.
    pub wire_len: usize,
}

/// Why a packet holds no segment that can be read.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum NoSegment {
    /// Its link type is not known.
    Link(u32),
    /// It is not IP, or not TCP.
    Other,
    /// A fragment of an IP packet.
    Fragment,
    /// Its headers are damaged, or were cut off.
    Headers,
}

/// Reads the segment in a packet.
pub fn segment<'a>(packet: &Packet<'a>) -> Result<Segment<'a>, NoSegment> {
    let ip = network(packet)?;
    let before = packet.bytes.len() - ip.len();
    let wire_len = (packet.wire_len as usize).saturating_sub(before);
    let (from, to, tcp, tcp_wire_len) = match ip.first().map(|byte| byte >> 4) {
        Some(4) => v4(ip, wire_len)?,
        Some(6) => v6(ip, wire_len)?,
        _ => return Err(NoSegment::Headers),
    };
    let word = |at| Order::Big.u16(tcp, at).ok_or(NoSegment::Headers);
    let (source, target) = (word(0)?, word(2)?);
    let sequence = Order::Big.u32(tcp, 4).ok_or(NoSegment::Headers)?;
    let lengths_and_flags = word(12)?;
    let header = usize::from(lengths_and_flags >> 12) * 4;
    if header < 20 || tcp.len() < header || tcp_wire_len < header {
        return Err(NoSegment::Headers);
    }
    let flag = |bit: u16| lengths_and_flags & bit != 0;
    Ok(Segment {
        unix_ns: packet.unix_ns,
        from: SocketAddr::new(from, source),
        to: SocketAddr::new(to, target),
        sequence,
        fin: flag(0x01),
        syn: flag(0x02),
        rst: flag(0x04),
        ack: flag(0x10),
        payload: tcp.get(header..).unwrap_or_default(),
        wire_len: tcp_wire_len - header,
    })
}

const ETHERNET: u32 = 1;
const NULL: u32 = 0;
const LOOP: u32 = 108;
const COOKED: u32 = 113;
const COOKED_2: u32 = 276;
/// `LINKTYPE_RAW`, and what `DLT_RAW` is written as by some systems.
const RAW: [u32; 3] = [101, 12, 14];
const IPV4: u32 = 228;
const IPV6: u32 = 229;

/// The packet from its IP header on.
fn network<'a>(packet: &Packet<'a>) -> Result<&'a [u8], NoSegment> {
    let bytes = packet.bytes;
    let after = |n: usize| bytes.get(n..).ok_or(NoSegment::Headers);
    match packet.link {
        ETHERNET => ether_type(Order::Big.u16(bytes, 12), after(14)?),
        COOKED => ether_type(Order::Big.u16(bytes, 14), after(16)?),
        COOKED_2 => ether_type(Order::Big.u16(bytes, 0), after(20)?),
        NULL | LOOP => {
            // In the order of the host that captured, whichever that was.
            let family = |order: Order| order.u32(bytes, 0);
            let is_ip = |family: Option<u32>| matches!(family, Some(2 | 10 | 24 | 28 | 30));
            if is_ip(family(Order::Little)) || is_ip(family(Order::Big)) {
                after(4)
            } else {
                Err(NoSegment::Other)
            }
        }
        IPV4 | IPV6 => Ok(bytes),
        link if RAW.contains(&link) => Ok(bytes),
        link => Err(NoSegment::Link(link)),
    }
}

/// Passes over VLAN tags, to IP.
fn ether_type(kind: Option<u16>, rest: &[u8]) -> Result<&[u8], NoSegment> {
    match kind.ok_or(NoSegment::Headers)? {
        0x0800 | 0x86dd => Ok(rest),
        0x8100 | 0x88a8 | 0x9100 => {
            ether_type(Order::Big.u16(rest, 2), rest.get(4..).ok_or(NoSegment::Headers)?)
        }
        _ => Err(NoSegment::Other),
    }
}

type Transport<'a> = (IpAddr, IpAddr, &'a [u8], usize);

/// What follows the IP header as far as captured, and its length on the wire. An IP length of 0 is
/// what the kernel writes before it leaves the cutting into packets to the card.
fn v4(ip: &[u8], wire_len: usize) -> Result<Transport<'_>, NoSegment> {
    let address =
        |at| array::<4>(ip, at).map(|raw| IpAddr::V4(Ipv4Addr::from(raw))).ok_or(NoSegment::Headers);
    let (from, to) = (address(12)?, address(16)?);
    let header = usize::from(ip.first().copied().unwrap_or_default() & 0x0f) * 4;
    let stated = usize::from(Order::Big.u16(ip, 2).unwrap_or_default());
    let length = if stated == 0 { wire_len } else { stated };
    if ip.get(9) != Some(&TCP) {
        return Err(NoSegment::Other);
    }
    // More fragments follow, or it is not the first.
    if Order::Big.u16(ip, 6).unwrap_or_default() & 0x3fff != 0 {
        return Err(NoSegment::Fragment);
    }
    if header < 20 || length < header {
        return Err(NoSegment::Headers);
    }
    // What follows an IP packet in its frame is padding.
    let captured = ip.get(..length.min(ip.len())).unwrap_or_default();
    Ok((from, to, captured.get(header..).ok_or(NoSegment::Headers)?, length - header))
}

fn v6(ip: &[u8], wire_len: usize) -> Result<Transport<'_>, NoSegment> {
    const HEADER: usize = 40;
    let address =
        |at| array::<16>(ip, at).map(|raw| IpAddr::V6(Ipv6Addr::from(raw))).ok_or(NoSegment::Headers);
    let (from, to) = (address(8)?, address(24)?);
    let stated = usize::from(Order::Big.u16(ip, 4).unwrap_or_default());
    let length = if stated == 0 { wire_len } else { stated + HEADER };
    let captured = ip.get(..length.min(ip.len())).unwrap_or_default();
    let mut next = ip.get(6).copied().ok_or(NoSegment::Headers)?;
    let mut at = HEADER;
    loop {
        match next {
            TCP => break,
            FRAGMENT => return Err(NoSegment::Fragment),
            HOP_BY_HOP | ROUTING | DESTINATION => {
                let [following, eights] = array(captured, at).ok_or(NoSegment::Headers)?;
                next = following;
                at += (usize::from(eights) + 1) * 8;
            }
            _ => return Err(NoSegment::Other),
        }
    }
    let rest = captured.get(at..).ok_or(NoSegment::Headers)?;
    Ok((from, to, rest, length.checked_sub(at).ok_or(NoSegment::Headers)?))
}

const TCP: u8 = 6;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
