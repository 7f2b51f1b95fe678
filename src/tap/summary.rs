//! What a tap did, in counts, and what it added itself. This file must not know how it is printed.

use std::collections::BTreeMap;

use super::exchange::{End, Exchange, Unread};
use crate::clock::UnixNs;
use crate::stats::log_histogram::LogHistogram;

/// What the tap added on one way: for each read, the moment after its write to the other side − the
/// kernel's stamp of the read, in seconds. A read's stamp is that of its last segment: what waited
/// longer in the same read waited longer than this says.
#[derive(Clone, Debug, Default)]
pub struct Added {
    histogram: LogHistogram,
    max_s: f64,
    /// Reads without a usable stamp.
    pub unstamped: u64,
    /// Reads that waited for room at the receiver, or came while others did: that delay is the receiver's.
    pub held_up: u64,
}

impl Added {
    pub(super) fn record(&mut self, came: Option<UnixNs>, written: UnixNs) {
        let Some(came) = came else {
            self.unstamped += 1;
            return;
        };
        let added_s = written.seconds_since(came);
        self.histogram.record(added_s);
        self.max_s = self.max_s.max(added_s);
    }

    fn add(&mut self, other: &Self) {
        self.histogram.add(&other.histogram);
        self.max_s = self.max_s.max(other.max_s);
        self.unstamped += other.unstamped;
        self.held_up += other.held_up;
    }

    /// Reads with a stamp.
    pub fn reads(&self) -> u64 {
        self.histogram.total()
    }

    /// Within 2.5 %.
    pub fn quantile_s(&self, q: f64) -> Option<f64> {
        self.histogram.quantile(q).map(|value| value.min(self.max_s))
    }

    pub fn max_s(&self) -> f64 {
        self.max_s
    }
}

/// What a tap did.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Connections that were passed on.
    pub connections: u64,
    /// Connections that the upstream did not take.
    pub refused: u64,
    pub ends: BTreeMap<End, u64>,
    pub unread: BTreeMap<Unread, u64>,
    /// Rows that could not be written.
    pub unwritten: u64,
    /// From the client to the upstream, and back.
    pub up: Added,
    pub down: Added,
}

impl Summary {
    /// Rows, whether they could be written or not.
    pub fn exchanges(&self) -> u64 {
        self.ends.values().sum()
    }

    pub(super) fn count(&mut self, row: &Exchange) {
        *self.ends.entry(row.end).or_default() += 1;
        if let Some(reason) = row.unread {
            *self.unread.entry(reason).or_default() += 1;
        }
    }

    pub(super) fn connection(&mut self, up: &Added, down: &Added) {
        self.connections += 1;
        self.up.add(up);
        self.down.add(down);
    }
}
