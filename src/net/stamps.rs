//! What the operating system can say of the time at which bytes came in: Linux's receive stamps
//! (`SO_TIMESTAMPNS`), and nothing elsewhere. This file must not know connections or axes: its
//! stamps are the wall clock's.

use std::io::{self, IoSliceMut};
use std::os::fd::{AsRawFd, RawFd};

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};

use crate::clock::UnixNs;

/// Room for the control message of one stamp.
pub(super) fn control_space() -> Vec<u8> {
    nix::cmsg_space!(nix::sys::time::TimeSpec)
}

/// One `recvmsg`: how many bytes it put into `buffer`, and the kernel's stamp of the last of them.
pub(super) fn receive(
    socket: RawFd,
    buffer: &mut [u8],
    control: &mut [u8],
) -> io::Result<(usize, Option<UnixNs>)> {
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket, &mut slices, Some(control), MsgFlags::empty())?;
    let stamp = message.cmsgs().ok().and_then(|mut messages| messages.find_map(|m| stamp_in(&m)));
    Ok((message.bytes, stamp))
}

#[cfg(target_os = "linux")]
pub(super) fn stamp_in(message: &ControlMessageOwned) -> Option<UnixNs> {
    match message {
        ControlMessageOwned::ScmTimestampns(t) => Some(UnixNs(t.tv_sec() * 1_000_000_000 + t.tv_nsec())),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn stamp_in(_: &ControlMessageOwned) -> Option<UnixNs> {
    None
}

/// Asks for stamps on a socket. Where there are none, its reads say so by bringing none.
#[cfg(target_os = "linux")]
pub(super) fn ask_for(socket: &(impl AsRawFd + std::os::fd::AsFd)) {
    let _ = nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::ReceiveTimestampns, &true);
}

#[cfg(not(target_os = "linux"))]
pub(super) fn ask_for(_: &impl AsRawFd) {}

/// Kernel stamping, held on for as long as this lives.
#[derive(Debug)]
pub struct Armed(#[allow(dead_code)] std::net::TcpStream);

/// Holds kernel stamping on. The kernel switches it on some time after the first socket asks, and
/// packets of that time go unstamped: this waits until one that it sends to itself comes stamped.
/// `None` when that never happens here: then there are no kernel stamps.
pub fn arm() -> Option<Armed> {
    /// Milliseconds to wait; it takes one or two.
    const TRIES: u32 = 200;
    let listener = std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0)).ok()?;
    let socket = std::net::TcpStream::connect(listener.local_addr().ok()?).ok()?;
    ask_for(&socket);
    let (mut peer, _) = listener.accept().ok()?;
    let (mut buffer, mut control) = ([0; 8], control_space());
    for _ in 0..TRIES {
        io::Write::write_all(&mut peer, b"?").ok()?;
        if receive(socket.as_raw_fd(), &mut buffer, &mut control).ok()?.1.is_some() {
            return Some(Armed(socket));
        }
        if cfg!(not(target_os = "linux")) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    None
}
