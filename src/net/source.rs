//! Where connections come from: a socket bound to one of the local addresses that were asked for,
//! taken in turn, each of which has source ports of its own. What differs between systems is in `source/linux.rs` and
//! `source/elsewhere.rs`. This file must not know what is sent.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpSocket;

#[cfg_attr(target_os = "linux", path = "source/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "source/elsewhere.rs")]
mod system;

pub use self::system::ADDRESSES_LISTED_BY;
use self::system::{LOOPBACK_HAS, port_at_connecting};
use crate::error::{Failure, usage};

/// Local addresses, given out in turn.
#[derive(Debug, Default)]
pub struct Sources {
    addresses: Vec<IpAddr>,
    next: AtomicUsize,
}

impl Sources {
    pub fn new(addresses: Vec<IpAddr>) -> Self {
        Self { addresses, next: AtomicUsize::new(0) }
    }

    /// The next connection's; `None` leaves it to the system.
    pub fn next(&self) -> Option<IpAddr> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.addresses.get(turn % self.addresses.len().max(1)).copied()
    }

    /// Refuses addresses from which `target` cannot be reached: another host's, another family's, the
    /// loopback interface's for a target elsewhere.
    pub fn check(addresses: &[IpAddr], target: SocketAddr) -> Result<(), Failure> {
        let problem = |address: &IpAddr| {
            let refused = |found: String, hint: &str| Some(usage(found).hint(hint));
            if address.is_ipv4() != target.is_ipv4() {
                let family = if target.is_ipv4() { "IPv4" } else { "IPv6" };
                return refused(
                    format!(
                        "expected source addresses of {family}, as the target {target} is, found {address}"
                    ),
                    "a name with addresses of both families is taken as IPv4",
                );
            }
            if address.is_loopback() && !target.ip().is_loopback() {
                return refused(
                    format!("expected source addresses that reach {target}, found {address}"),
                    "a loopback address reaches this host alone",
                );
            }
            // Binding says whose it is: only a host's own addresses can be bound.
            let error = UdpSocket::bind((*address, 0)).err()?;
            Some(
                usage(format!("expected source addresses of this host, found {address}"))
                    .caused_by(error)
                    .hint(format!("{ADDRESSES_LISTED_BY}; {LOOPBACK_HAS}")),
            )
        };
        Failure::all(addresses.iter().filter_map(problem).collect()).map_or(Ok(()), Err)
    }
}

/// A socket that will connect to `target`, from `source` if one is given.
pub(super) fn socket(target: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpSocket> {
    let socket = if target.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(source) = source {
        port_at_connecting(&socket);
        socket.bind(SocketAddr::new(source, 0))?;
    }
    Ok(socket)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|t| t.parse().unwrap()).collect()
    }

    fn refused(sources: &[&str], target: &str) -> String {
        let failure = Sources::check(&addresses(sources), target.parse().unwrap()).unwrap_err();
        let mut out = Vec::new();
        crate::error::print(&mut out, &failure.into()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn addresses_are_given_out_in_turn() {
        let sources = Sources::new(addresses(&["127.0.0.1", "127.0.0.2"]));
        let given: Vec<_> = (0..4).filter_map(|_| sources.next()).map(|a| a.to_string()).collect();
        assert_eq!(given, ["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"]);
        assert_eq!(Sources::default().next(), None);
    }

    #[cfg_attr(not(target_os = "linux"), ignore = "only Linux's loopback interface has all of 127.0.0.0/8")]
    #[test]
    fn addresses_that_cannot_reach_the_target_are_refused() {
        let local = "127.0.0.1:80";
        assert!(Sources::check(&addresses(&["127.0.0.1", "127.9.9.9"]), local.parse().unwrap()).is_ok());
        // TEST-NET-1: nobody's address.
        insta::assert_snapshot!(refused(&["192.0.2.1"], local), @r"
        error: expected source addresses of this host, found 192.0.2.1
        caused by: Cannot assign requested address (os error 99)
        hint: `ip -brief address` lists this host's addresses; all of 127.0.0.0/8 is its own
        ");
        insta::assert_snapshot!(refused(&["::1"], local), @r"
        error: expected source addresses of IPv4, as the target 127.0.0.1:80 is, found ::1
        hint: a name with addresses of both families is taken as IPv4
        ");
        insta::assert_snapshot!(refused(&["127.0.0.2"], "192.0.2.1:80"), @r"
        error: expected source addresses that reach 192.0.2.1:80, found 127.0.0.2
        hint: a loopback address reaches this host alone
        ");
    }

    #[cfg_attr(not(target_os = "linux"), ignore = "only Linux's loopback interface has all of 127.0.0.0/8")]
    #[test]
    fn a_connection_comes_from_the_address_it_was_given() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connected = runtime.block_on(async {
            socket(target, Some("127.0.0.7".parse().unwrap())).unwrap().connect(target).await
        });
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip().to_string(), "127.0.0.7");
        drop(connected);
    }
}
