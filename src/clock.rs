//! Instants and durations: what a nanosecond since the Unix epoch means here, and the anchors that
//! tie the wall clock to the monotonic one.
//!
//! All stamps that leave the program are wall-clock nanoseconds, since the kernel stamps packets on
//! that clock and servers log on it. The anchors in the manifest tell whether it was stepped while
//! a run went on. This file must not know who asks for the time.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

const NANOS_PER_SECOND: i64 = 1_000_000_000;

/// An instant: nanoseconds since the Unix epoch, wall clock of the host named by its context.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixNs(pub i64);

impl UnixNs {
    /// Now, on this host's wall clock.
    pub fn now() -> Self {
        Self(read(ClockId::CLOCK_REALTIME))
    }

    /// From seconds since the epoch, as servers write them (`%(created).6f`); exact to about 256 ns.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * NANOS_PER_SECOND as f64).round() as i64)
    }

    /// Seconds from `earlier` to `self`; negative if `self` is the earlier one.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0) as f64 / NANOS_PER_SECOND as f64
    }

    /// The instant `seconds` later.
    #[must_use]
    pub fn plus_seconds(self, seconds: f64) -> Self {
        Self(self.0 + (seconds * NANOS_PER_SECOND as f64).round() as i64)
    }

    /// Time left from now until `self`; zero when it has passed.
    pub fn remaining(self) -> Duration {
        Duration::from_nanos((self.0 - Self::now().0).max(0) as u64)
    }
}

/// Nanoseconds of the monotonic clock; only differences mean something.
pub fn monotonic_ns() -> i64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// The two clocks read together. The difference of two anchors tells a wall-clock step.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Anchor {
    pub wall_unix_ns: UnixNs,
    pub monotonic_ns: i64,
}

impl Anchor {
    /// Both clocks now, read back to back.
    pub fn now() -> Self {
        Self { wall_unix_ns: UnixNs::now(), monotonic_ns: monotonic_ns() }
    }

    /// Seconds by which the wall clock moved against the monotonic one since `self`:
    /// microseconds of slewing are normal, more is a step.
    pub fn wall_drift_s(&self, later: &Anchor) -> f64 {
        let wall = later.wall_unix_ns.0 - self.wall_unix_ns.0;
        let monotonic = later.monotonic_ns - self.monotonic_ns;
        (wall - monotonic) as f64 / NANOS_PER_SECOND as f64
    }
}

fn read(clock: ClockId) -> i64 {
    // These two clocks exist on every system this builds for; a failure has no meaning but zero.
    clock_gettime(clock).map_or(0, |t| t.tv_sec() * NANOS_PER_SECOND + t.tv_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_keeps_its_nanoseconds() {
        let t = UnixNs(1_795_533_163_895_882_153);
        assert_eq!(t.plus_seconds(0.25).0 - t.0, 250_000_000);
        assert!((t.plus_seconds(1.5).seconds_since(t) - 1.5).abs() < 1e-9);
    }

    #[test]
    fn anchors_see_a_step_of_the_wall_clock() {
        let a = Anchor { wall_unix_ns: UnixNs(1_000), monotonic_ns: 50 };
        let stepped = Anchor { wall_unix_ns: UnixNs(3_000_001_000), monotonic_ns: 1_000_000_050 };
        assert!((a.wall_drift_s(&stepped) - 2.0).abs() < 1e-9);
    }
}
