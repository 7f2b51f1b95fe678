//! The look-alike's wall clock, and how wrong it is: off by an offset, drifting, once stepped, as told.
//! Everything the server *says* of an instant is on this clock; its truth stays on the host's.
//! This file must not know what is said.

use chrono::{DateTime, Local, Utc};
use serde::{Deserialize, Serialize};

use crate::clock::UnixNs;
use crate::config::Embedded;

/// How the server's wall clock differs from the host's. The default is a clock that is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerClock {
    /// When the server started, by the host's clock; the drift begins here.
    pub started_unix_ns: UnixNs,
    /// Ahead of the host's clock by so much at the start; negative: behind.
    pub offset_ns: i64,
    /// Gains so many microseconds in a second; negative: loses.
    pub drift_ppm: f64,
    /// Set forward by so much, once; negative: back.
    pub step_ns: i64,
    /// When it is set, by the host's clock; `None`: never.
    pub step_at_unix_ns: Option<UnixNs>,
}

impl ServerClock {
    /// The clock of a server that starts now.
    pub fn start(embedded: &Embedded) -> Self {
        let started = UnixNs::now();
        Self {
            started_unix_ns: started,
            offset_ns: (embedded.clock_offset_ms * 1e6).round() as i64,
            drift_ppm: embedded.clock_drift_ppm,
            step_ns: (embedded.clock_step_ms * 1e6).round() as i64,
            step_at_unix_ns: embedded.clock_step_at_s.map(|s| started.plus_seconds(s)),
        }
    }

    /// What this clock shows at an instant of the host's.
    pub fn says(&self, at: UnixNs) -> UnixNs {
        UnixNs(at.0 + self.ahead_ns(at))
    }

    /// What it shows now.
    pub fn now(&self) -> UnixNs {
        self.says(UnixNs::now())
    }

    /// What it shows now, as a date. Where somebody sets the host's own clock, this one goes with it.
    pub fn date(&self) -> DateTime<Utc> {
        Utc::now() + chrono::Duration::nanoseconds(self.ahead_ns(UnixNs::now()))
    }

    /// The same in the local time zone, as logs give it.
    pub fn local(&self) -> DateTime<Local> {
        self.date().with_timezone(&Local)
    }

    /// How far this clock is ahead of the host's.
    fn ahead_ns(&self, at: UnixNs) -> i64 {
        let drift_ns = ((at.0 - self.started_unix_ns.0) as f64 * self.drift_ppm / 1e6).round() as i64;
        let stepped = self.step_at_unix_ns.is_some_and(|step_at| at >= step_at);
        self.offset_ns + drift_ns + if stepped { self.step_ns } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    #[test]
    fn a_clock_that_is_right_says_what_it_is_asked() {
        let clock = ServerClock::start(&Embedded::default());
        let at = UnixNs(1_795_533_163_895_882_153);
        assert_eq!(clock.says(at), at);
        assert!((clock.date() - Utc::now()).abs() < chrono::Duration::seconds(1));
    }

    #[test]
    fn offset_drift_and_step_add_up() {
        let start = UnixNs(1_000 * SECOND);
        let clock = ServerClock {
            started_unix_ns: start,
            offset_ns: -250_000_000,
            drift_ppm: 100.0,
            step_ns: 3 * SECOND,
            step_at_unix_ns: Some(start.plus_seconds(20.0)),
        };
        let ahead_ns = |s: f64| clock.says(start.plus_seconds(s)).0 - start.plus_seconds(s).0;
        assert_eq!(ahead_ns(0.0), -250_000_000);
        // 100 millionths of ten seconds are a millisecond.
        assert_eq!(ahead_ns(10.0), -249_000_000);
        assert_eq!(ahead_ns(19.999_999_999), -248_000_000);
        assert_eq!(ahead_ns(20.0), 2_752_000_000);
    }
}
