//! In place of `linux`: BSDs and macOS, whose loopback interface has the addresses it was told of, and whose ports
//! are chosen at binding, for all targets. This file must not know which addresses were asked for.

use tokio::net::TcpSocket;

/// Of an address that is not this host's, as hints say it.
pub const ADDRESSES_LISTED_BY: &str = "`ifconfig` lists this host's addresses";
pub(super) const LOOPBACK_HAS: &str =
    "of 127.0.0.0/8 only 127.0.0.1 is, until others are added (`sudo ifconfig lo0 alias 127.0.0.2`)";

/// There is no way to ask for it.
pub(super) fn port_at_connecting(_: &TcpSocket) {}
