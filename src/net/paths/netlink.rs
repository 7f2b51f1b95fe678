//! Linux's way: asked over a netlink socket (`sock_diag`), so that no connection is touched. This file must not
//! know who asks, nor what is concluded.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};

use super::Path;

/// Asks for the connections to `server`, of all programs in this network namespace.
pub fn paths_to(server: SocketAddr) -> io::Result<Vec<Path>> {
    use nix::sys::socket::sockopt::ReceiveTimeout;
    use nix::sys::socket::{MsgFlags, NetlinkAddr, recv, sendto, setsockopt};
    use nix::sys::time::{TimeVal, TimeValLike};

    let socket = netlink()?;
    // The kernel answers at once; a thread that asks must not be held up all the same.
    setsockopt(&socket, ReceiveTimeout, &TimeVal::milliseconds(200))?;
    sendto(socket.as_raw_fd(), &request(None, server), &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    let mut found = Vec::new();
    let mut buffer = vec![0_u8; ANSWER_BYTES];
    loop {
        let n = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        if take(buffer.get(..n).unwrap_or_default(), server, &mut found)? || n == 0 {
            return Ok(found);
        }
    }
}

/// Asks for one connection, by both its ends: some microseconds, of which nothing is waited for. The socket that
/// asks stays with the thread.
pub(in crate::net) fn path(local: SocketAddr, server: SocketAddr) -> io::Result<Path> {
    use nix::sys::socket::{MsgFlags, NetlinkAddr, recv, sendto};

    thread_local! {
        static SOCKET: Option<OwnedFd> = netlink().ok();
    }
    SOCKET.with(|socket| {
        let socket = socket.as_ref().ok_or(io::ErrorKind::Unsupported)?.as_raw_fd();
        sendto(socket, &request(Some(local), server), &NetlinkAddr::new(0, 0), MsgFlags::MSG_DONTWAIT)?;
        // The answer is there when the question has been sent.
        let mut buffer = [0_u8; ONE_ANSWER_BYTES];
        let n = recv(socket, &mut buffer, MsgFlags::MSG_DONTWAIT)?;
        let mut found = Vec::new();
        take(buffer.get(..n).unwrap_or_default(), server, &mut found)?;
        found.into_iter().find(|path| path.local == local).ok_or(io::ErrorKind::NotFound.into())
    })
}

fn netlink() -> io::Result<OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};

    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socket(AddressFamily::Netlink, SockType::Datagram, flags, SockProtocol::NetlinkSockDiag)?)
}

/// The kernel fills at most 32 KiB at a time.
const ANSWER_BYTES: usize = 64 << 10;
/// One connection is told of in about 600 bytes.
const ONE_ANSWER_BYTES: usize = 4 << 10;
/// Of `linux/netlink.h`, `linux/sock_diag.h` and `linux/inet_diag.h`.
const HEADER_BYTES: usize = 16;
const REQUEST_BYTES: u32 = 72;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const INET_DIAG_INFO: u8 = 2;
const IPPROTO_TCP: u8 = 6;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `ESTABLISHED` and `CLOSE_WAIT`: not closed from here.
const OPEN_STATES: u32 = 1 << 1 | 1 << 8;
/// A message's own part, before its attributes.
const MESSAGE_BYTES: usize = 72;

/// A question for the connection between these, or for every one to this port. The address is then looked at here:
/// the kernel's own filter on it is a program in another language.
fn request(local: Option<SocketAddr>, server: SocketAddr) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(REQUEST_BYTES as usize);
    bytes.extend(REQUEST_BYTES.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend((NLM_F_REQUEST | if local.is_some() { 0 } else { NLM_F_DUMP }).to_ne_bytes());
    bytes.extend([0; 8]);
    let family = if server.is_ipv4() { AF_INET } else { AF_INET6 };
    bytes.extend([family, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0]);
    bytes.extend(OPEN_STATES.to_ne_bytes());
    bytes.extend(local.map_or(0, |local| local.port()).to_be_bytes());
    bytes.extend(server.port().to_be_bytes());
    for end in [local, local.map(|_| server)] {
        bytes.extend(end.map_or([0; 16], |end| address_bytes(end.ip())));
    }
    // Any interface; no cookie.
    bytes.extend([0; 4]);
    bytes.extend([0xff; 8]);
    bytes
}

fn address_bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V6(ip) => ip.octets(),
        IpAddr::V4(ip) => {
            let mut bytes = [0; 16];
            for (to, from) in bytes.iter_mut().zip(ip.octets()) {
                *to = from;
            }
            bytes
        }
    }
}

/// Takes one answer apart; whether it was the last.
fn take(mut answer: &[u8], server: SocketAddr, found: &mut Vec<Path>) -> io::Result<bool> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "a netlink message is cut off");
    while !answer.is_empty() {
        let length = u32_at(answer, 0).ok_or_else(broken)? as usize;
        let kind = u16_at(answer, 4).ok_or_else(broken)?;
        let body = answer.get(HEADER_BYTES..length).ok_or_else(broken)?;
        match kind {
            NLMSG_DONE => return Ok(true),
            NLMSG_ERROR => {
                let number = u32_at(body, 0).ok_or_else(broken)?.cast_signed();
                return Err(io::Error::from_raw_os_error(number.wrapping_neg()));
            }
            SOCK_DIAG_BY_FAMILY => found.extend(told(body, server)),
            _ => {}
        }
        answer = answer.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

/// One connection, if it goes to `server` and the kernel has measured it.
fn told(message: &[u8], server: SocketAddr) -> Option<Path> {
    let family = *message.first()?;
    let port = |at: usize| Some(u16::from_be_bytes(message.get(at..at + 2)?.try_into().ok()?));
    let address = |at: usize| -> Option<IpAddr> {
        match family {
            AF_INET => Some(Ipv4Addr::from(<[u8; 4]>::try_from(message.get(at..at + 4)?).ok()?).into()),
            AF_INET6 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(message.get(at..at + 16)?).ok()?).into()),
            _ => None,
        }
    };
    let local = SocketAddr::new(address(8)?, port(4)?);
    if SocketAddr::new(address(24)?, port(6)?) != SocketAddr::new(server.ip(), server.port()) {
        return None;
    }
    let mut rest = message.get(MESSAGE_BYTES..)?;
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        if kind == u16::from(INET_DIAG_INFO) {
            return measured(local, rest.get(4..length)?);
        }
        rest = rest.get(length.max(4).next_multiple_of(4)..)?;
    }
    None
}

/// Of `struct tcp_info`, which only ever grows: an older kernel's is shorter.
fn measured(local: SocketAddr, info: &[u8]) -> Option<Path> {
    let rtt_us = u32_at(info, 68).filter(|us| *us > 0)?;
    Some(Path {
        local,
        rtt_us,
        // Before anything was measured it is the largest number there is.
        min_rtt_us: u32_at(info, 148).filter(|us| *us < u32::MAX && *us > 0),
        sent_again: u32_at(info, 100)?,
        out_of_order: u32_at(info, 224),
    })
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// The kernel's own answer about connections that are there: only those to this server, each with the
    /// address of its end here, and a round trip as short as the loopback interface's.
    #[test]
    fn the_connections_to_a_server_are_found_and_no_others() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else { continue };
            let server = listener.local_addr().unwrap();
            let other = TcpListener::bind(host).unwrap();
            let _elsewhere = TcpStream::connect(other.local_addr().unwrap()).unwrap();
            let mut open: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(server).unwrap()).collect();
            let _accepted: Vec<_> = open.iter().map(|_| listener.accept().unwrap()).collect();
            open.sort_by_key(|stream| stream.local_addr().unwrap());
            let mut paths = paths_to(server).unwrap();
            paths.sort_by_key(|path| path.local);
            let here: Vec<SocketAddr> = open.iter().map(|stream| stream.local_addr().unwrap()).collect();
            assert_eq!(paths.iter().map(|path| path.local).collect::<Vec<_>>(), here);
            for path in paths {
                assert!(
                    path.rtt_us > 0 && path.min_rtt_us.is_none_or(|least| least <= path.rtt_us),
                    "{path:?}"
                );
                assert_eq!(path.out_of_order.unwrap_or(0), 0);
                // Asked for alone, it is the same one.
                let alone = super::path(path.local, server).unwrap();
                assert_eq!((alone.local, alone.out_of_order), (path.local, path.out_of_order));
            }
            drop(open);
            assert_eq!(paths_to(server).unwrap().len(), 0, "those closed are gone");
            assert!(super::path(other.local_addr().unwrap(), server).is_err(), "there is none");
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error_and_no_panic() {
        let server: SocketAddr = "127.0.0.1:80".parse().unwrap();
        let mut message = vec![0_u8; 16 + 72 + 4 + 232];
        let length = message.len() as u32;
        message[..4].copy_from_slice(&length.to_ne_bytes());
        message[4..6].copy_from_slice(&SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        let body = &mut message[16..];
        body[0] = AF_INET;
        body[4..6].copy_from_slice(&4000_u16.to_be_bytes());
        body[6..8].copy_from_slice(&80_u16.to_be_bytes());
        body[8..12].copy_from_slice(&[127, 0, 0, 2]);
        body[24..28].copy_from_slice(&[127, 0, 0, 1]);
        body[72..74].copy_from_slice(&236_u16.to_ne_bytes());
        body[74..76].copy_from_slice(&u16::from(INET_DIAG_INFO).to_ne_bytes());
        for (at, value) in [(68, 1500_u32), (100, 7), (148, 900), (224, 3)] {
            body[76 + at..80 + at].copy_from_slice(&value.to_ne_bytes());
        }
        let mut found = Vec::new();
        assert!(!take(&message, server, &mut found).unwrap());
        let expected = Path {
            local: "127.0.0.2:4000".parse().unwrap(),
            rtt_us: 1500,
            min_rtt_us: Some(900),
            sent_again: 7,
            out_of_order: Some(3),
        };
        assert_eq!(found, [expected]);
        for cut in 1..message.len() {
            assert!(take(&message[..cut], server, &mut Vec::new()).is_err(), "{cut}");
        }
        let mut shorter = message[..16 + 72 + 4 + 104].to_vec();
        let length = shorter.len() as u32;
        shorter[..4].copy_from_slice(&length.to_ne_bytes());
        shorter[16 + 72..16 + 74].copy_from_slice(&108_u16.to_ne_bytes());
        found.clear();
        take(&shorter, server, &mut found).unwrap();
        assert_eq!(found, [Path { min_rtt_us: None, out_of_order: None, ..expected }], "an older kernel");
    }
}
