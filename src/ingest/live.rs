//! What the server says right now, for the progress line: written once per scrape, read whenever
//! the line is drawn. This file must not know who draws it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock::UnixNs;
use crate::server::{Hist, Totals};

/// The latest values of all endpoints together. `None`: the server does not say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LiveValues {
    /// When the newest scrape came in.
    pub at: Option<UnixNs>,
    pub running: Option<f64>,
    pub waiting: Option<f64>,
    pub kv_cache_usage: Option<f64>,
    /// Sum in seconds and count, since the snapshot before the load.
    pub ttft: Option<(f64, f64)>,
    pub itl: Option<(f64, f64)>,
}

/// A handle to the live values; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Live(Arc<Mutex<BTreeMap<usize, Latest>>>);

#[derive(Clone, Debug, Default)]
struct Latest {
    at: UnixNs,
    now: Totals,
    since_before: Option<Totals>,
}

impl Live {
    /// Takes what endpoint number `index` said at `at`.
    pub fn update(&self, index: usize, at: UnixNs, now: &Totals, since_before: Option<Totals>) {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        latest.insert(index, Latest { at, now: now.clone(), since_before });
    }

    /// The values now.
    pub fn get(&self) -> LiveValues {
        let latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = latest.values().fold(Totals::default(), |sum, one| sum.plus(&one.now));
        let since = latest
            .values()
            .filter_map(|one| one.since_before.as_ref())
            .fold(None, |sum: Option<Totals>, one| Some(sum.unwrap_or_default().plus(one)));
        let summed = |of: fn(&Totals) -> Option<&Hist>| {
            let hist = since.as_ref().and_then(of)?;
            Some((hist.sum, hist.count))
        };
        LiveValues {
            at: latest.values().map(|one| one.at).max(),
            running: now.running,
            waiting: now.waiting,
            kv_cache_usage: now.kv_cache_usage,
            ttft: summed(|since| since.ttft.as_ref()),
            itl: summed(|since| since.itl.as_ref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_added_up() {
        let live = Live::default();
        assert_eq!(live.get(), LiveValues::default());
        let totals = |running: f64, sum: f64, count: f64| Totals {
            running: Some(running),
            ttft: Some(Hist { sum, count, buckets: Vec::new() }),
            ..Totals::default()
        };
        live.update(0, UnixNs(5), &totals(3.0, 0.0, 0.0), Some(totals(0.0, 1.0, 10.0)));
        live.update(1, UnixNs(4), &totals(2.0, 0.0, 0.0), Some(totals(0.0, 5.0, 10.0)));
        let values = live.get();
        assert_eq!((values.at, values.running, values.ttft), (Some(UnixNs(5)), Some(5.0), Some((6.0, 20.0))));
    }
}
