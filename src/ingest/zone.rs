//! The time zone that a log's civil times are of, found by the lines that were read as soon as they were
//! written. This file does no I/O and must not know what a line says.

use chrono::Local;
use tare_parsers::LogTime;

use super::log::Freshness;
use super::log_time::{Stamp, resolve, zone_shift_ns};
use crate::clock::UnixNs;

/// A piped log's zone is believed once it held for so many seconds, within so many.
const CONFIRM_S: f64 = 2.0;

/// What is known of one log's zone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Zone {
    /// Added to civil times once the zone is known to differ from this host's; `None`: not yet looked at.
    shift_ns: Option<i64>,
    /// The shift that a piped line suggested, its own time and when it was read.
    guess: Option<(i64, UnixNs, UnixNs)>,
}

impl Zone {
    /// A line's own time, and its resolution. The first fresh line that carries a civil time shows whether
    /// the log is of this host's zone; a difference is corrected from there on.
    pub fn stamp(&mut self, time: LogTime, read: UnixNs, freshness: Freshness) -> Option<(UnixNs, i64)> {
        let stamp = resolve(time, read, &Local)?;
        if !stamp.civil {
            return Some((stamp.at, stamp.resolution_ns));
        }
        if self.shift_ns.is_none() {
            self.shift_ns = match freshness {
                Freshness::Fresh => zone_shift_ns(stamp, read),
                Freshness::Piped => self.confirmed(stamp, read),
                Freshness::Old => None,
            };
        }
        Some((UnixNs(stamp.at.0.saturating_add(self.shift_ns.unwrap_or(0))), stamp.resolution_ns))
    }

    /// By how many minutes the log's clock is ahead of this host's, where it is of another zone.
    pub fn minutes_ahead(&self) -> Option<i64> {
        self.shift_ns.filter(|shift| *shift != 0).map(|shift| -shift / 60_000_000_000)
    }

    /// A replayed line can look like one of another zone. Only fresh ones go on to do so while their
    /// times advance as fast as the clock.
    fn confirmed(&mut self, stamp: Stamp, read: UnixNs) -> Option<i64> {
        let shift = zone_shift_ns(stamp, read);
        let Some((guess, stamped, seen)) = self.guess.filter(|(guess, ..)| Some(*guess) == shift) else {
            self.guess = shift.map(|shift| (shift, stamp.at, read));
            return None;
        };
        let (by_clock, by_log) = (read.seconds_since(seen), stamp.at.seconds_since(stamped));
        if by_clock < CONFIRM_S {
            return None;
        }
        self.guess = None;
        ((by_log - by_clock).abs() < CONFIRM_S).then_some(guess)
    }
}
