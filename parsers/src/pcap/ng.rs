//! The pcapng file format (<https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html>): sections
//! of blocks, interfaces with their own link types and clocks. Blocks that hold no packets are passed
//! over. This file must not know what packets hold.

use super::bytes::{Order, array};
use super::{Capture, NoCapture, Packet};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const PACKET: u32 = 6;
/// Options of an interface: the unit of its stamps, and seconds to add to them.
const RESOLUTION: u16 = 9;
const OFFSET: u16 = 14;

pub(super) fn recognises(bytes: &[u8]) -> bool {
    bytes.starts_with(&SECTION.to_be_bytes())
}

/// One interface of a section.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link: u32,
    /// Units in a second.
    units: u64,
    offset_s: i64,
}

pub(super) fn read(bytes: &[u8]) -> Result<Capture<'_>, NoCapture> {
    let mut capture = Capture { resolution_ns: 1, ..Capture::default() };
    let mut order = section_order(bytes)?;
    let mut interfaces: Vec<Interface> = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        // A section's type reads the same in both orders, and its own order follows.
        if recognises(rest) {
            match section_order(rest) {
                Ok(found) => order = found,
                Err(NoCapture::Short) => break,
                Err(error) => return Err(error),
            }
            interfaces.clear();
        }
        let Some((kind, body, after)) = block(rest, order) else { break };
        match kind {
            INTERFACE => interfaces.extend(interface(body, order)),
            PACKET | OLD_PACKET => match packet(kind, body, order, &interfaces) {
                Some((packet, resolution_ns)) => {
                    capture.resolution_ns = capture.resolution_ns.max(resolution_ns);
                    capture.packets.push(packet);
                }
                None => capture.unplaced += 1,
            },
            SIMPLE_PACKET => capture.unstamped += 1,
            _ => {}
        }
        rest = after;
    }
    capture.torn_bytes = rest.len() as u64;
    Ok(capture)
}

fn section_order(bytes: &[u8]) -> Result<Order, NoCapture> {
    match array(bytes, 8).ok_or(NoCapture::Short)? {
        [0x1a, 0x2b, 0x3c, 0x4d] => Ok(Order::Big),
        [0x4d, 0x3c, 0x2b, 0x1a] => Ok(Order::Little),
        other => Err(NoCapture::ByteOrder(u32::from_be_bytes(other))),
    }
}

/// A whole block: its type, what is in it, what follows.
fn block(bytes: &[u8], order: Order) -> Option<(u32, &[u8], &[u8])> {
    let (kind, length) = (order.u32(bytes, 0)?, order.u32(bytes, 4)? as usize);
    // Its type, its length, and its length again.
    if length < 12 || !length.is_multiple_of(4) {
        return None;
    }
    let (block, after) = bytes.split_at_checked(length)?;
    Some((kind, block.get(8..length - 4)?, after))
}

fn interface(body: &[u8], order: Order) -> Option<Interface> {
    let mut interface = Interface { link: u32::from(order.u16(body, 0)?), units: 1_000_000, offset_s: 0 };
    let mut options = body.get(8..).unwrap_or_default();
    while let Some((code, length)) = order.u16(options, 0).zip(order.u16(options, 2)) {
        let value = options.get(4..4 + usize::from(length)).unwrap_or_default();
        match (code, value) {
            (RESOLUTION, [exponent, ..]) => {
                let (base, exponent) =
                    if exponent & 0x80 == 0 { (10_u64, *exponent) } else { (2, exponent & 0x7f) };
                interface.units = base.checked_pow(u32::from(exponent))?;
            }
            (OFFSET, _) => interface.offset_s = order.i64(value, 0).unwrap_or(0),
            (0, _) => break,
            _ => {}
        }
        options = options.get(4 + usize::from(length).next_multiple_of(4)..).unwrap_or_default();
    }
    Some(interface)
}

fn packet<'a>(
    kind: u32,
    body: &'a [u8],
    order: Order,
    interfaces: &[Interface],
) -> Option<(Packet<'a>, i64)> {
    let number = if kind == PACKET { order.u32(body, 0)? } else { u32::from(order.u16(body, 0)?) };
    let Interface { link, units, offset_s } = *interfaces.get(number as usize)?;
    let stamp = u64::from(order.u32(body, 4)?) << 32 | u64::from(order.u32(body, 8)?);
    let (length, wire_len) = (order.u32(body, 12)?, order.u32(body, 16)?);
    let bytes = body.get(20..)?.get(..length as usize)?;
    let (s, fraction) = (stamp / units, stamp % units);
    let fraction_ns = i64::try_from(u128::from(fraction) * 1_000_000_000 / u128::from(units)).ok()?;
    let s = i64::try_from(s).ok()?.checked_add(offset_s)?;
    let unix_ns = s.checked_mul(1_000_000_000)?.checked_add(fraction_ns)?;
    let resolution_ns = i64::try_from(1_000_000_000_u64.div_ceil(units)).ok()?;
    Some((Packet { unix_ns, link, bytes, wire_len: wire_len.max(length) }, resolution_ns))
}
