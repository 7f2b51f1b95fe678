//! What is known of the server's clock against the client's: how they relate, between which bounds,
//! and on what evidence. This file must not know how any of it is found.

use serde::Serialize;

use super::correlated::Bounds;
use crate::clock::UnixNs;

/// How the two clocks relate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockRelation {
    /// Both sides read one clock: the offset is zero, and every pair agrees with that.
    OneClock,
    /// Two clocks; the offset lies between bounds.
    Bounded,
    /// Two clocks whose pairs no offset and drift can satisfy: instants are not compared.
    Contradict,
    /// Nothing bounds the offset.
    #[default]
    Unknown,
}

/// The server's clock against the client's over a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Clocks {
    pub relation: ClockRelation,
    /// Pairs that bound the offset from above: a request's first byte leaves the client before the
    /// server sees it.
    pub pairs_out: usize,
    /// Pairs that bound it from below: a token leaves the server before the client has it.
    pub pairs_back: usize,
    /// Pairs that contradict one clock, where one host was given.
    pub against_one_clock: usize,
    /// Pairs left out because they contradict most of the others: of something else.
    pub strays: usize,
    /// Stretches without a step, in the order of time; one where no clock was stepped.
    pub stretches: Vec<Stretch>,
    /// The bound that the user gave for the difference of the clocks, s.
    pub stated_bound_s: Option<f64>,
    /// Whether that bound fits the pairs; it is not used where it does not.
    pub stated_bound_fits: Option<bool>,
}

/// A stretch of time over which the server's clock ran evenly against the client's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Stretch {
    /// On the client's clock.
    pub begin_unix_ns: UnixNs,
    pub end_unix_ns: UnixNs,
    /// Server − client in the middle of the stretch, s: the truth lies within, if the clock ran evenly.
    pub offset_lo_s: f64,
    pub offset_hi_s: f64,
    /// How much faster the server's clock runs, in parts per million.
    pub drift_lo_ppm: f64,
    pub drift_hi_ppm: f64,
    /// How far a clock was stepped between the stretch before and this one.
    pub step_before: Option<Bounds>,
}

impl Stretch {
    /// Half the width of the offset's bounds, s.
    pub fn reach_s(&self) -> f64 {
        (self.offset_hi_s - self.offset_lo_s) / 2.0
    }
}
