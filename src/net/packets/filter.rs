//! The kernel's filter (classic BPF) for TCP segments of one server, cut to their headers. This file
//! must not know what is done with them.

use std::net::{IpAddr, SocketAddr};

use socket2::SockFilter;

// linux/bpf_common.h.
const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF_INDEXED: u16 = 0x48;
/// X = 4 * (byte & 0xf): the length of an IPv4 header.
const LOAD_X_IPV4_HEADER: u16 = 0xb1;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;

const TCP: u32 = 6;

/// Lets pass, cut to `snap` bytes, the IP packets whose source is `server`. The packet begins with
/// its IP header.
pub(super) fn from_server(server: SocketAddr, snap: u32) -> Vec<SockFilter> {
    // (what to load, what it must be), one after the other.
    let mut checks: Vec<(Vec<(u16, u32)>, u32)> = Vec::new();
    match server.ip() {
        IpAddr::V4(ip) => {
            checks.push((vec![(LOAD_BYTE, 9)], TCP));
            checks.push((vec![(LOAD_WORD, 12)], u32::from(ip)));
            checks.push((vec![(LOAD_X_IPV4_HEADER, 0), (LOAD_HALF_INDEXED, 0)], u32::from(server.port())));
        }
        IpAddr::V6(ip) => {
            checks.push((vec![(LOAD_BYTE, 6)], TCP));
            let octets = ip.octets();
            for (i, word) in octets.chunks_exact(4).enumerate() {
                let word = word.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
                checks.push((vec![(LOAD_WORD, 8 + 4 * i as u32)], word));
            }
            checks.push((vec![(LOAD_HALF, 40)], u32::from(server.port())));
        }
    }
    let length: usize = checks.iter().map(|(loads, _)| loads.len() + 1).sum();
    let mut program = Vec::with_capacity(length + 2);
    for (loads, wanted) in checks {
        program.extend(loads.into_iter().map(|(code, at)| SockFilter::new(code, 0, 0, at)));
        // To the refusal, which is the last instruction.
        let to_the_end = (length - program.len()) as u8;
        program.push(SockFilter::new(JUMP_IF_EQUAL, 0, to_the_end, wanted));
    }
    program.push(SockFilter::new(RETURN, 0, 0, snap));
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program
}
