//! How many passages each hop's log has told of so far, for whoever waits for the last of them: gateways
//! write a line when a request is over, and some of them later (Envoy every ten seconds). This file must
//! not know how a log is read.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::record::HopRow;

/// A handle to the counts; clones share them.
#[derive(Clone, Debug, Default)]
pub struct HopsSeen(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    hops: Mutex<Vec<Hop>>,
    changed: Condvar,
}

/// What one hop's log has told so far.
#[derive(Debug, Default)]
struct Hop {
    name: String,
    /// Request id and trace id of each row; empty where it has none.
    ids: Vec<[String; 2]>,
}

impl HopsSeen {
    /// A hop whose log is followed from now on.
    pub fn expect(&self, name: &str) {
        self.lock().push(Hop { name: name.to_owned(), ..Hop::default() });
    }

    pub fn note(&self, row: &HopRow) {
        if let Some(hop) = self.lock().iter_mut().find(|hop| hop.name == row.hop) {
            hop.ids.push([&row.request_id, &row.trace_id].map(|id| id.clone().unwrap_or_default()));
        }
        self.0.changed.notify_all();
    }

    /// Waits until every hop has told of so many requests, whose ids begin as given, or `max_wait` is
    /// over. Rows without ids may be anyone's, and are taken for them.
    pub fn wait(&self, max_wait: Duration, expected: u64, request_ids: &str, trace_ids: &str) -> bool {
        let deadline = Instant::now() + max_wait;
        let may_be_ours = |[request_id, trace_id]: &&[String; 2]| {
            let is_nameless = request_id.is_empty() && trace_id.is_empty();
            is_nameless || request_id.starts_with(request_ids) || trace_id.starts_with(trace_ids)
        };
        // Of each hop: ids looked at, and those of them that may be ours. Whoever reads the log waits
        // meanwhile, so none is looked at twice.
        let mut told: Vec<(usize, u64)> = Vec::new();
        let mut hops = self.lock();
        loop {
            told.resize(hops.len(), (0, 0));
            for (hop, (seen, ours)) in hops.iter().zip(&mut told) {
                let new = hop.ids.get(*seen..).unwrap_or_default();
                *ours += new.iter().filter(may_be_ours).count() as u64;
                *seen = hop.ids.len();
            }
            if told.iter().all(|(_, ours)| *ours >= expected) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            hops = self.0.changed.wait_timeout(hops, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Hop>> {
        self.0.hops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn row(hop: &str, request_id: Option<&str>, trace_id: Option<&str>) -> HopRow {
        let owned = |id: Option<&str>| id.map(str::to_owned);
        HopRow {
            hop: hop.to_owned(),
            request_id: owned(request_id),
            trace_id: owned(trace_id),
            ..HopRow::default()
        }
    }

    #[test]
    fn every_hop_is_waited_for_and_only_ours_count() {
        let seen = HopsSeen::default();
        let enough = |expected| seen.wait(Duration::ZERO, expected, "tare-12-", "ab");
        assert!(enough(5), "no hop, nothing to wait for");
        seen.expect("edge");
        seen.expect("inner");
        assert!(enough(0) && !enough(1));
        seen.note(&row("edge", Some("tare-12-0"), None));
        seen.note(&row("edge", Some("foreign"), Some("ba")));
        // As where a gateway has put an id of its own in place of ours.
        seen.note(&row("inner", Some("own"), Some("abc")));
        assert!(enough(1) && !enough(2));
        seen.note(&row("edge", None, None));
        seen.note(&row("inner", None, None));
        assert!(enough(2) && !enough(3));
    }

    #[test]
    fn a_late_row_ends_the_wait() {
        let seen = HopsSeen::default();
        seen.expect("edge");
        let late = seen.clone();
        let writer = std::thread::spawn(move || late.note(&row("edge", Some("tare-12-0"), None)));
        assert!(seen.wait(Duration::from_mins(1), 1, "tare-12-", "ab"));
        writer.join().unwrap();
    }
}
