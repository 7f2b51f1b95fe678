//! Instants and durations: what a nanosecond since the Unix epoch means here, and how the wall clock
//! and the monotonic one are made one.
//!
//! All stamps of this program lie on one **axis**: the wall clock as it was when the program first
//! asked, carried on by the monotonic clock. A wall clock that is stepped while a run goes on moves no
//! stamp; it only moves away from the axis, by an amount that can be asked for at any time. The
//! kernel stamps packets on the wall clock, so at each read both clocks are looked at, and the
//! stamp's distance from the wall clock's now is what counts. This file must not know who asks for
//! the time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Both clocks are read so often to begin with; the quickest reading pairs them best.
const PAIRINGS: u32 = 16;

/// Wall minus monotonic when the program first asked.
static AXIS_NS: OnceLock<i64> = OnceLock::new();
/// How far the wall clock has been stepped from the axis, as last measured.
static AHEAD_NS: AtomicI64 = AtomicI64::new(0);

/// An instant: nanoseconds since the Unix epoch. Made by this program: on its axis. Read from a
/// server's log or spans: on that server's wall clock.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixNs(pub i64);

impl UnixNs {
    /// Now, on this program's axis: never goes back.
    pub fn now() -> Self {
        Self(monotonic_ns() + axis_ns())
    }

    /// From seconds since the epoch, as servers write them (`%(created).6f`); exact to about 256 ns.
    pub fn from_secs_f64(seconds: f64) -> Self {
        Self((seconds * NANOS_PER_SECOND as f64).round() as i64)
    }

    /// Seconds from `earlier` to `self`; negative if `self` is the earlier one. Instants read from a
    /// server's records can be any number: what lies beyond the range stays at its end.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / NANOS_PER_SECOND as f64
    }

    /// The instant `seconds` later.
    #[must_use]
    pub fn plus_seconds(self, seconds: f64) -> Self {
        Self(self.0.saturating_add((seconds * NANOS_PER_SECOND as f64).round() as i64))
    }

    /// Time left from now until `self`; zero when it has passed.
    pub fn remaining(self) -> Duration {
        Duration::from_nanos((self.0 - Self::now().0).max(0) as u64)
    }
}

/// Nanoseconds of the monotonic clock; only differences mean something. Not the raw one: both of these go at the pace at
/// which the system keeps its time right, so that they part only where the wall clock is stepped. On macOS both count in
/// whole microseconds; its raw clock is finer, and would part from the wall clock by half a millisecond within a minute.
pub fn monotonic_ns() -> i64 {
    read(ClockId::CLOCK_MONOTONIC)
}

/// Both clocks at one moment: what places a kernel stamp on the axis.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Moment {
    /// On the axis.
    pub axis: UnixNs,
    /// How far the wall clock is ahead of the axis: the sum of its steps since the program began.
    pub ahead_ns: i64,
}

impl Moment {
    /// Now. That the wall clock has not been stepped is looked at each time; how far it is ahead is
    /// measured only when it has, so that equal stamps are always placed alike.
    pub fn now() -> Self {
        /// Less may be a pause of this thread between its looks at the two clocks.
        const NOTICED_NS: i64 = 20_000;
        let known = AHEAD_NS.load(Ordering::Relaxed);
        let axis = UnixNs::now();
        let seen = read(ClockId::CLOCK_REALTIME) - axis.0;
        if (seen - known).abs() <= NOTICED_NS {
            return Self { axis, ahead_ns: known };
        }
        let measured = pair().0 - axis_ns();
        if (measured - known).abs() <= NOTICED_NS {
            return Self { axis, ahead_ns: known };
        }
        AHEAD_NS.store(measured, Ordering::Relaxed);
        Self { axis, ahead_ns: measured }
    }

    /// An earlier stamp of the wall clock, on the axis. Wrong by a step's length for a stamp that a
    /// step separates from this moment; it then lies after the moment, or far before it.
    pub fn place(self, wall_stamp: UnixNs) -> UnixNs {
        UnixNs(wall_stamp.0 - self.ahead_ns)
    }
}

/// A step of the wall clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// When it was seen, on the axis: at most one look after it happened.
    pub at_unix_ns: UnixNs,
    /// How far it went; forward is positive.
    pub by_ns: i64,
}

/// Watches the wall clock: looks again and again, and tells when it has jumped.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepWatch {
    /// How far it had gone from the axis.
    known_ns: i64,
}

impl StepWatch {
    /// A jump since the last look, if there was one. Less than half a millisecond is none: it is the
    /// reading's own noise.
    pub fn look(&mut self, moment: Moment) -> Option<Step> {
        const NOISE_NS: i64 = 500_000;
        let by_ns = moment.ahead_ns - self.known_ns;
        (by_ns.abs() > NOISE_NS).then(|| {
            self.known_ns += by_ns;
            Step { at_unix_ns: moment.axis, by_ns }
        })
    }
}

/// What this host's wall clock said at some moment, on the axis. `seen` is a later moment, on the
/// axis: after a step back the wall clock says everything twice, and the last possible moment
/// before `seen` is taken.
pub fn on_axis(steps: &[Step], wall: UnixNs, seen: UnixNs) -> UnixNs {
    let (mut begin, mut ahead) = (i64::MIN, 0);
    let mut found = wall.0;
    for step in steps.iter().map(Some).chain([None]) {
        let end = step.map_or(i64::MAX, |step| step.at_unix_ns.0);
        let axis = wall.0.saturating_sub(ahead);
        if axis >= begin && axis < end && axis <= seen.0 {
            found = axis;
        }
        // What a step forward left out was never said; it is taken for the moment of the step.
        if axis >= end && step.is_some_and(|step| axis < end + step.by_ns) {
            found = end;
        }
        (begin, ahead) = (end, ahead + step.map_or(0, |step| step.by_ns));
    }
    UnixNs(found)
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
        let (wall_minus_monotonic, monotonic_ns) = pair();
        Self { wall_unix_ns: UnixNs(monotonic_ns + wall_minus_monotonic), monotonic_ns }
    }

    /// Seconds by which the wall clock moved against the monotonic one since `self`:
    /// microseconds are noise of the reading, more is a step.
    pub fn wall_drift_s(&self, later: &Anchor) -> f64 {
        let wall = later.wall_unix_ns.0 - self.wall_unix_ns.0;
        let monotonic = later.monotonic_ns - self.monotonic_ns;
        (wall - monotonic) as f64 / NANOS_PER_SECOND as f64
    }
}

/// Wall minus monotonic clock, on which this program's axis lies: of two programs on one system the difference
/// of their axes.
pub fn axis_offset_ns() -> i64 {
    axis_ns()
}

fn axis_ns() -> i64 {
    *AXIS_NS.get_or_init(|| pair().0)
}

/// Wall minus monotonic, and the monotonic time at which it was read: of several readings the one
/// whose two looks at the monotonic clock lay closest together.
fn pair() -> (i64, i64) {
    let once = || {
        let before = monotonic_ns();
        let wall = read(ClockId::CLOCK_REALTIME);
        let after = monotonic_ns();
        let middle = before + (after - before) / 2;
        (after - before, wall - middle, middle)
    };
    let (_, offset, at) = (1..PAIRINGS).map(|_| once()).fold(once(), Ord::min);
    (offset, at)
}

fn read(clock: ClockId) -> i64 {
    // These two clocks exist on every system this builds for; a failure has no meaning but zero.
    clock_gettime(clock).map_or(0, |t| t.tv_sec() * NANOS_PER_SECOND + t.tv_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_beyond_the_range_stay_at_its_end() {
        assert_eq!(UnixNs(i64::MAX).plus_seconds(1e300), UnixNs(i64::MAX));
        assert_eq!(UnixNs(-5).plus_seconds(-1e300), UnixNs(i64::MIN));
        assert!(UnixNs(i64::MAX).seconds_since(UnixNs(i64::MIN)) > 9e9);
    }

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

    #[test]
    fn a_stamp_keeps_its_distance_from_now_whatever_the_wall_clock_says() {
        // The wall clock is 5 s behind the axis by now; the stamp was made 300 ns ago.
        let moment = Moment { axis: UnixNs(10_000_000_000), ahead_ns: -5_000_000_000 };
        assert_eq!(moment.place(UnixNs(4_999_999_700)), UnixNs(9_999_999_700));
    }

    #[test]
    fn a_step_is_seen_once_and_noise_is_none() {
        let mut watch = StepWatch::default();
        let mut look =
            |axis: i64, wall: i64| watch.look(Moment { axis: UnixNs(axis), ahead_ns: wall - axis });
        assert_eq!(look(1_000, 1_300), None);
        let step = Step { at_unix_ns: UnixNs(2_000), by_ns: 3_000_000 };
        assert_eq!(look(2_000, 3_002_000), Some(step));
        assert_eq!(look(3_000, 3_003_100), None);
        assert_eq!(look(4_000, 4_000).map(|step| step.by_ns), Some(-3_000_000));
    }

    /// The wall clock goes with the axis to 100, is set back by 40, and at 200 forward by 30.
    #[test]
    fn what_the_wall_clock_said_finds_its_moment() {
        let steps = [(100, -40), (200, 30)].map(|(at, by_ns)| Step { at_unix_ns: UnixNs(at), by_ns });
        let moment = |wall, seen| on_axis(&steps, UnixNs(wall), UnixNs(seen)).0;
        assert_eq!([moment(50, 500), moment(59, 500)], [50, 59]);
        assert_eq!(moment(80, 90), 80, "said for the first time");
        assert_eq!(moment(80, 500), 120, "said for the second time");
        assert_eq!([moment(150, 500), moment(159, 500)], [190, 199]);
        assert_eq!(moment(175, 500), 200, "never said: the step jumped over it");
        assert_eq!([moment(190, 500), moment(300, 500)], [200, 310]);
        assert_eq!(on_axis(&[], UnixNs(7), UnixNs(9)), UnixNs(7));
    }

    #[test]
    fn the_axis_is_the_wall_clock_where_nothing_stepped_it() {
        let moments: Vec<Moment> = (0..1000).map(|_| Moment::now()).collect();
        assert!(moments.windows(2).all(|w| w[0].axis <= w[1].axis));
        // Unless somebody sets the clock just now; the least is free of that.
        let least = moments.iter().map(|m| m.ahead_ns.abs()).min();
        assert!(least.is_some_and(|ns| ns < 1_000_000), "{least:?}");
    }
}
