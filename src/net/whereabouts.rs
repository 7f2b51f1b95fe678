//! Where a server's name leads while a long load runs: looked up again now and then, on a thread of its own, so
//! that a server that moved gets its next connections at its new address. What is open stays open. This file must
//! not know what is sent.

use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;

use super::HttpUrl;
use crate::clock::UnixNs;

/// From one look-up to the next.
pub const LOOK_UP_EVERY: Duration = Duration::from_secs(5);
/// How long a new address is tried before another one is.
const TRY_FOR: Duration = Duration::from_secs(3);

/// The address that new connections go to.
#[derive(Debug)]
pub struct Whereabouts {
    current: RwLock<SocketAddr>,
    history: Mutex<History>,
}

/// Where a name led, in order.
#[derive(Clone, Debug, Default, Serialize)]
pub struct History {
    pub addresses: Vec<Since>,
    /// Look-ups that gave no address: the last one was kept.
    pub failed: u64,
    pub last_error: Option<String>,
}

/// An address, and when connections began to go there.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Since {
    pub address: SocketAddr,
    pub since_unix_ns: UnixNs,
}

/// A name that is followed until this is dropped.
pub struct Following {
    whereabouts: Arc<Whereabouts>,
    _stop: Sender<()>,
}

impl Whereabouts {
    pub fn new(address: SocketAddr) -> Self {
        let history = History {
            addresses: vec![Since { address, since_unix_ns: UnixNs::now() }],
            ..History::default()
        };
        Self { current: RwLock::new(address), history: Mutex::new(history) }
    }

    pub fn current(&self) -> SocketAddr {
        *self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn history(&self) -> History {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes what a look-up gave. An address that still is among those stays: a name with several, given in
    /// another order each time, is no move. `choose` picks among new ones.
    fn take(
        &self,
        found: std::io::Result<Vec<SocketAddr>>,
        choose: impl FnOnce(&[SocketAddr]) -> Option<SocketAddr>,
    ) {
        let found = found.and_then(|all| {
            if all.is_empty() { Err(std::io::Error::other("the name has no address")) } else { Ok(all) }
        });
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Err(error) => {
                history.failed += 1;
                history.last_error = Some(error.to_string());
            }
            Ok(all) if all.contains(&self.current()) => {}
            Ok(all) => {
                let Some(address) = choose(&all) else { return };
                history.addresses.push(Since { address, since_unix_ns: UnixNs::now() });
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = address;
            }
        }
    }
}

impl Following {
    /// Follows the name in `url`, which led to `address`. An address in place of a name leads nowhere else.
    pub fn begin(url: &HttpUrl, address: SocketAddr) -> Self {
        let whereabouts = Arc::new(Whereabouts::new(address));
        let (stop, stopped) = channel::<()>();
        if url.host.parse::<IpAddr>().is_err() {
            let (url, whereabouts) = (url.clone(), Arc::clone(&whereabouts));
            // Not waited for at the end: a resolver may take its time. Without it the first address stays.
            let _ = std::thread::Builder::new().name("tare-resolve".to_owned()).spawn(move || {
                while stopped.recv_timeout(LOOK_UP_EVERY) == Err(RecvTimeoutError::Timeout) {
                    whereabouts.take(url.resolve(), first_reachable);
                }
            });
        }
        Self { whereabouts, _stop: stop }
    }

    pub fn whereabouts(&self) -> &Arc<Whereabouts> {
        &self.whereabouts
    }
}

/// The first that takes a connection, else the first: then its requests say what is wrong.
fn first_reachable(all: &[SocketAddr]) -> Option<SocketAddr> {
    let takes = |address: &&SocketAddr| std::net::TcpStream::connect_timeout(address, TRY_FOR).is_ok();
    all.iter().find(takes).or(all.first()).copied()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_stays_as_long_as_the_name_has_it() {
        let (a, b, c) = (address("192.0.2.1:80"), address("192.0.2.2:80"), address("192.0.2.3:80"));
        let here = Whereabouts::new(a);
        let last = |all: &[SocketAddr]| all.last().copied();
        here.take(Ok(vec![b, a]), last);
        assert_eq!(here.current(), a, "another order is no move");
        here.take(Err(std::io::Error::other("no such host")), last);
        here.take(Ok(Vec::new()), last);
        assert_eq!(here.current(), a, "a resolver that fails moves nothing");
        here.take(Ok(vec![b, c]), last);
        assert_eq!(here.current(), c);
        here.take(Ok(vec![a]), last);
        let history = here.history();
        let led: Vec<SocketAddr> = history.addresses.iter().map(|since| since.address).collect();
        assert_eq!((led, history.failed), (vec![a, c, a], 2));
        assert_eq!(history.last_error.as_deref(), Some("the name has no address"));
    }

    #[test]
    fn of_several_new_addresses_the_first_that_takes_a_connection_is_taken() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(first_reachable(&[closed, there]), Some(there));
        assert_eq!(first_reachable(&[closed]), Some(closed));
        assert_eq!(first_reachable(&[]), None);
    }
}
