//! Linux's own: who lists a host's addresses, which of them loopback has, and when a port is chosen. This file must
//! not know which addresses were asked for.

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use tokio::net::TcpSocket;

/// Of an address that is not this host's, as hints say it.
pub const ADDRESSES_LISTED_BY: &str = "`ip -brief address` lists this host's addresses";
pub(super) const LOOPBACK_HAS: &str = "all of 127.0.0.0/8 is its own";

/// To be called before binding. Without it the port is chosen then, for all targets; with it at connecting, for
/// that target, so that connections to others take none away.
pub(super) fn port_at_connecting(socket: &TcpSocket) {
    let _ = setsockopt(socket, IpBindAddressNoPort, &true);
}
