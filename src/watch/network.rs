//! The connections to the server, looked at about every other second while the load runs: round trip times, segments
//! sent again, segments that came out of order, as the kernel has them. This file must not know how the kernel
//! is asked, nor what is concluded.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::net::paths::{Path, paths_to};
use crate::record::own::{Network, RoundTrip};
use crate::stats::log_histogram::LogHistogram;

/// From one look to the next, at least.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// And so many times as long as a look takes: thousands of connections cost milliseconds.
const REST: u32 = 500;
/// The first look: connections are opened ahead of their requests.
const FIRST_AFTER: Duration = Duration::from_millis(100);

/// What the looks have found.
#[derive(Debug)]
pub(super) struct NetworkWatch {
    next: Instant,
    looks: u64,
    most: u64,
    histogram: LogHistogram,
    sum_us: u64,
    longest_us: u32,
    shortest_us: Option<u32>,
    sent_again: u64,
    out_of_order: Option<u64>,
    /// Of each connection what it had counted at the last look.
    last: HashMap<SocketAddr, Path>,
    /// Asked in vain: not a second time.
    unknown: bool,
}

impl Default for NetworkWatch {
    fn default() -> Self {
        Self {
            next: Instant::now() + FIRST_AFTER,
            looks: 0,
            most: 0,
            histogram: LogHistogram::default(),
            sum_us: 0,
            longest_us: 0,
            shortest_us: None,
            sent_again: 0,
            out_of_order: None,
            last: HashMap::new(),
            unknown: false,
        }
    }
}

impl NetworkWatch {
    /// Looks at what is open to `server` now, if it is time.
    pub(super) fn look_if_due(&mut self, server: impl Fn() -> SocketAddr) {
        let begun = Instant::now();
        if self.unknown || begun < self.next {
            return;
        }
        match paths_to(server()) {
            Ok(paths) => self.note(&paths),
            Err(_) => self.unknown = true,
        }
        self.next = Instant::now() + LOOK_EVERY.max(begun.elapsed() * REST);
    }

    fn note(&mut self, paths: &[Path]) {
        self.looks += 1;
        self.most = self.most.max(paths.len() as u64);
        let mut last = HashMap::with_capacity(paths.len());
        for path in paths {
            self.histogram.record(f64::from(path.rtt_us) / 1e6);
            self.sum_us += u64::from(path.rtt_us);
            self.longest_us = self.longest_us.max(path.rtt_us);
            let shortest = path.min_rtt_us.unwrap_or(path.rtt_us);
            self.shortest_us = Some(self.shortest_us.map_or(shortest, |known| known.min(shortest)));
            // A port that was used again has a connection that counts from nothing.
            let before = self.last.get(&path.local).filter(|before| {
                before.sent_again <= path.sent_again && before.out_of_order <= path.out_of_order
            });
            self.sent_again += u64::from(path.sent_again - before.map_or(0, |b| b.sent_again));
            if let Some(now) = path.out_of_order {
                let new = now - before.and_then(|b| b.out_of_order).unwrap_or(0);
                self.out_of_order = Some(self.out_of_order.unwrap_or(0) + u64::from(new));
            }
            last.insert(path.local, *path);
        }
        self.last = last;
    }

    /// All of it; `None` where no connection was ever seen.
    pub(super) fn conclude(&self) -> Option<Network> {
        let longest_s = f64::from(self.longest_us) / 1e6;
        // A bucket's middle may lie beyond the largest value in it.
        let at = |q| self.histogram.quantile(q).map(|value: f64| value.min(longest_s));
        Some(Network {
            looks: self.looks,
            most_connections: self.most,
            round_trip: RoundTrip {
                n: self.histogram.total(),
                min_s: f64::from(self.shortest_us?) / 1e6,
                mean_s: self.sum_us as f64 / 1e6 / self.histogram.total() as f64,
                p50_s: at(0.5)?,
                p90_s: at(0.9)?,
                p99_s: at(0.99)?,
                max_s: longest_s,
            },
            sent_again: self.sent_again,
            out_of_order: self.out_of_order,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path(port: u16, rtt_us: u32, sent_again: u32, out_of_order: u32) -> Path {
        let local = SocketAddr::from(([127, 0, 0, 1], port));
        let out_of_order = Some(out_of_order);
        Path { local, rtt_us, min_rtt_us: Some(rtt_us / 2), sent_again, out_of_order }
    }

    #[test]
    fn counts_are_what_came_since_the_last_look() {
        let mut watch = NetworkWatch::default();
        assert_eq!(watch.conclude(), None, "nothing was seen");
        watch.note(&[path(1, 1000, 2, 0), path(2, 3000, 0, 4)]);
        watch.note(&[path(1, 1000, 5, 0), path(3, 9000, 1, 1)]);
        // The third has ended, and its port is another connection's.
        watch.note(&[path(1, 1000, 5, 0), path(3, 500, 0, 2)]);
        let network = watch.conclude().unwrap();
        assert_eq!((network.looks, network.most_connections), (3, 2));
        assert_eq!((network.sent_again, network.out_of_order), (2 + 3 + 1, Some(4 + 1 + 2)));
        let trip = network.round_trip;
        assert_eq!((trip.n, trip.min_s, trip.max_s), (6, 0.000_25, 0.009));
        assert!((trip.mean_s - (3.0 + 3.0 + 9.0 + 0.5) / 6e3).abs() < 1e-9, "{trip:?}");
        assert!((trip.p50_s - 0.001).abs() < 0.000_03, "{trip:?}");
    }

    #[test]
    fn where_the_kernel_does_not_tell_it_is_not_asked_again() {
        let mut watch = NetworkWatch { unknown: true, next: Instant::now(), ..NetworkWatch::default() };
        watch.look_if_due(|| "127.0.0.1:80".parse().unwrap());
        assert_eq!(watch.looks, 0);
    }
}
