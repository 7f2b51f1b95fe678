//! Connections of a load: opened ahead of their requests, kept between them, given up before servers
//! close them. This file must not know HTTP, schedules or rows.
//!
//! Servers close idle connections, uvicorn after five seconds. One that has been idle for longer than
//! [`MAX_IDLE`] is therefore never used again: it might be closed while a request is on its way.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use super::Shared;
use super::arrival::{shifts, user_start_s};
use super::client::NO_PORT;
use super::pause::Pause;
use crate::clock::UnixNs;
use crate::config::{Arrival, Connections, Load};
use crate::net::StampedStream;
use crate::record::{Connection, RequestRow, Status};

/// A connection idle for longer is replaced.
pub(super) const MAX_IDLE: Duration = Duration::from_secs(4);
/// Connections are opened so long before they are needed.
pub(super) const AHEAD_S: f64 = 0.5;
/// An open loop keeps at most so many spare connections.
const MOST_SPARE: u64 = 256;
/// Before the load begins, so many are opened at a time: enough to hide a far server's round trips,
/// far fewer than a server lets wait to be accepted (uvicorn: 2,048).
const OPENERS: u32 = 256;
/// Off the clock a connection is tried so many times before its request tries on the clock.
const TRIES: u32 = 2;

/// An open connection between requests.
pub(super) struct Connected {
    pub(super) stream: StampedStream,
    pub(super) connect_begin: UnixNs,
    pub(super) connect_end: UnixNs,
    pub(super) tls_end: Option<UnixNs>,
    /// Requests that were answered over it.
    pub(super) carried: u32,
    idle_since: Instant,
}

impl Connected {
    pub(super) fn new(
        stream: StampedStream,
        connect_begin: UnixNs,
        connect_end: UnixNs,
        tls_end: Option<UnixNs>,
    ) -> Self {
        Self { stream, connect_begin, connect_end, tls_end, carried: 0, idle_since: Instant::now() }
    }

    /// After an answer that came whole.
    pub(super) fn carried_one(mut self) -> Self {
        self.carried += 1;
        self.idle_since = Instant::now();
        self
    }

    pub(super) fn is_old(&self) -> bool {
        self.idle_since.elapsed() > MAX_IDLE
    }

    /// Itself, if it may carry a request: not idle for too long, and not closed by the server.
    pub(super) fn if_usable(mut self) -> Option<Self> {
        (!self.is_old() && !self.stream.is_stale()).then_some(self)
    }

    /// As if its last request had ended so long ago.
    #[cfg(test)]
    pub(super) fn aged(mut self, by: Duration) -> Option<Self> {
        self.idle_since = self.idle_since.checked_sub(by)?;
        Some(self)
    }
}

/// Idle connections that an open loop of this load keeps ready: what it needs in the next half second.
pub(super) fn spare(load: &Load) -> usize {
    // After a burst nothing more is needed.
    if load.connections != Connections::Warm || !load.arrival.is_open() || load.arrival == Arrival::Burst {
        return 0;
    }
    let soon = load.arrival.most_within(AHEAD_S);
    let most = load.max_concurrency.map_or(u64::MAX, u64::from).min(load.requests.unwrap_or(u64::MAX));
    soon.min(most).clamp(1, MOST_SPARE) as usize
}

/// Connections to open before the load begins: those of the users who start within [`AHEAD_S`], or the
/// spare ones of an open loop.
pub(super) fn before_the_start(load: &Load) -> u32 {
    if load.connections != Connections::Warm {
        return 0;
    }
    let with_requests = u32::try_from(load.requests.unwrap_or(u64::MAX)).unwrap_or(u32::MAX);
    let soon = |user: &u32| match &load.arrival {
        Arrival::Closed { users, ramp_s } => user_start_s(*user, *users, *ramp_s) < AHEAD_S,
        Arrival::UserStages { stages } => shifts(stages, *user).first().is_some_and(|s| s.from_s < AHEAD_S),
        _ => false,
    };
    match load.arrival.users() {
        Some(users) => ((0..users).take_while(soon).count() as u32).min(with_requests),
        None if load.arrival == Arrival::Burst => with_requests.min(load.max_concurrency.unwrap_or(u32::MAX)),
        None => spare(load) as u32,
    }
}

/// Opens `n` connections, several at a time. Where one fails, fewer come back: what becomes of it is
/// the business of the request that needs it.
pub(super) async fn open_several(shared: &Arc<Shared>, n: u32) -> Vec<Connected> {
    let begun = Arc::new(AtomicU32::new(0));
    let mut openers = JoinSet::new();
    for _ in 0..n.min(OPENERS) {
        let (shared, begun) = (Arc::clone(shared), Arc::clone(&begun));
        openers.spawn(async move {
            let mut opened = Vec::new();
            while begun.fetch_add(1, Ordering::Relaxed) < n {
                let Ok(connected) = shared.open().await else { break };
                opened.push(connected);
            }
            opened
        });
    }
    let mut all = Vec::with_capacity(n as usize);
    while let Some(opened) = openers.join_next().await {
        all.extend(opened.unwrap_or_default());
    }
    all
}

impl Shared {
    /// The connection for a user's next request: the `kept` one if that is usable; else, where connections are
    /// opened ahead, a new one; else none, and the request opens its own, on the clock.
    pub(super) async fn ready(&self, kept: &mut Option<Connected>, pause: &mut Pause) {
        *kept = kept.take().and_then(Connected::if_usable);
        if kept.is_none() && self.connections == Connections::Warm {
            *kept = self.open_ahead(pause).await;
        }
    }

    /// Opens a connection off the clock, with a second try after a pause. A server that cannot be
    /// reached is then the finding of the request that wants it.
    async fn open_ahead(&self, pause: &mut Pause) -> Option<Connected> {
        for left in (0..TRIES).rev() {
            match self.open().await {
                Ok(connected) => return Some(connected),
                // That was patience enough.
                Err(error) if error.kind() == ErrorKind::TimedOut => return None,
                Err(_) if left > 0 => {
                    tokio::time::sleep(pause.after(Status::ConnectError).unwrap_or_default()).await;
                }
                Err(_) => {}
            }
        }
        None
    }

    pub(super) async fn open(&self) -> std::io::Result<Connected> {
        // Apart on the heap, as in `Client::drive`: it is done once, and the future of a user is there all along.
        let connected = Box::pin(self.client.connect()).await?;
        self.tellings.counters.opened_ahead.fetch_add(1, Ordering::Relaxed);
        Ok(connected)
    }
}

/// What requests travelled on.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ConnectionCounts {
    /// Opened ahead of requests, used or not.
    pub opened_ahead: u64,
    /// Requests by their `connection`: the first on a connection opened ahead of it …
    pub warm: u64,
    /// … on one that they opened themselves, on the clock …
    pub new: u64,
    /// … on one that had carried others …
    pub reused: u64,
    /// … sent again on a new one, since the older one turned out closed.
    pub retried: u64,
    /// … on none, since no source port was free.
    pub without_port: u64,
}

impl ConnectionCounts {
    /// Connections opened, for whatever.
    pub fn opened(&self) -> u64 {
        self.opened_ahead + self.new + self.retried
    }
}

/// The same while the load runs.
#[derive(Debug, Default)]
pub(super) struct Counters {
    opened_ahead: AtomicU64,
    warm: AtomicU64,
    new: AtomicU64,
    reused: AtomicU64,
    retried: AtomicU64,
    without_port: AtomicU64,
}

impl Counters {
    pub(super) fn note(&self, row: &RequestRow) {
        let opened_here = row.connect_end_unix_ns.is_some();
        let counter = match row.connection {
            Connection::Warm => &self.warm,
            Connection::Reused => &self.reused,
            Connection::New if opened_here => &self.new,
            Connection::Retried if opened_here => &self.retried,
            _ if row.error.as_deref().is_some_and(|error| error.ends_with(NO_PORT)) => &self.without_port,
            // There was no connection to count.
            Connection::New | Connection::Retried => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> ConnectionCounts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ConnectionCounts {
            opened_ahead: read(&self.opened_ahead),
            warm: read(&self.warm),
            new: read(&self.new),
            reused: read(&self.reused),
            retried: read(&self.retried),
            without_port: read(&self.without_port),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config::{Stamps, UserStage};

    /// A connection, and what keeps it open on the other side.
    pub(in crate::load) async fn connected() -> (Connected, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = listener.local_addr().unwrap();
        let stream = StampedStream::connect(target, None, true, Duration::from_mins(1)).await.unwrap();
        let now = UnixNs::now();
        (Connected::new(stream, now, now, None), listener.accept().unwrap().0)
    }

    pub(in crate::load) fn on_a_runtime<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
    }

    pub(in crate::load) fn load(arrival: Arrival, connections: Connections) -> Load {
        Load {
            arrival,
            requests: None,
            duration_s: Some(1.0),
            grace_period_s: 0.0,
            timeout_s: 1.0,
            connect_timeout_s: 1.0,
            warmups: 0,
            max_concurrency: None,
            stamps: Stamps::Auto,
            connections,
            source_addresses: Vec::new(),
            threads: None,
            affinity: None,
            request_id_prefix: String::new(),
            keep_texts: false,
        }
    }

    #[test]
    fn old_and_closed_connections_are_not_used() {
        on_a_runtime(async {
            let (fresh, _peer) = connected().await;
            let fresh = fresh.if_usable().unwrap();
            let nearly = fresh.aged(Duration::from_secs(1)).unwrap().if_usable().unwrap();
            assert!(nearly.aged(MAX_IDLE).unwrap().if_usable().is_none());

            let (closed, peer) = connected().await;
            drop(peer);
            // The end of a loopback connection is there when closing returns.
            assert!(closed.if_usable().is_none());

            let (used, _peer) = connected().await;
            let again = used.aged(MAX_IDLE + Duration::from_secs(1)).unwrap().carried_one();
            assert!(again.carried == 1 && !again.is_old(), "its idle time begins anew");
        });
    }

    #[test]
    fn an_open_loop_keeps_what_it_needs_in_half_a_second() {
        let spare_at = |rate_rps, max_concurrency, requests| {
            let arrival = Arrival::Poisson { rate_rps };
            spare(&Load { requests, max_concurrency, ..load(arrival, Connections::Warm) })
        };
        assert_eq!([0.1, 3.0, 100.0, 1e6].map(|rate| spare_at(rate, None, None)), [1, 2, 50, 256]);
        assert_eq!((spare_at(100.0, Some(8), None), spare_at(100.0, None, Some(3))), (8, 3));
        for connections in [Connections::Cold, Connections::PerRequest] {
            let load = load(Arrival::Constant { rate_rps: 100.0 }, connections);
            assert_eq!((spare(&load), before_the_start(&load)), (0, 0));
        }
    }

    #[test]
    fn before_the_start_those_are_opened_that_are_needed_at_once() {
        let of = |users, ramp_s, requests| {
            before_the_start(&Load { requests, ..load(Arrival::Closed { users, ramp_s }, Connections::Warm) })
        };
        assert_eq!((of(50, 0.0, None), of(50, 0.0, Some(20))), (50, 20));
        // One every 0.4 s: at 0 and 0.4 s.
        assert_eq!((of(50, 20.0, None), of(1, 20.0, None)), (2, 1));
        assert_eq!(before_the_start(&load(Arrival::Constant { rate_rps: 9.0 }, Connections::Warm)), 5);
        let stage = |users, ramp_s| UserStage { users, duration_s: 10.0, ramp_s };
        let stages = Arrival::UserStages { stages: vec![stage(4, 0.0), stage(9, 0.0)] };
        assert_eq!(before_the_start(&load(stages, Connections::Warm)), 4);
        // All that a burst needs, and no spare ones.
        let burst = Load { requests: Some(700), ..load(Arrival::Burst, Connections::Warm) };
        assert_eq!((before_the_start(&burst), spare(&burst)), (700, 0));
        assert_eq!(before_the_start(&Load { max_concurrency: Some(8), ..burst }), 8);
    }
}
