//! When requests should be sent: pure, seeded iterators of offsets in seconds from the start.
//! This module must not know clocks, sockets or requests.
//!
//! - [`gaps`]: the law of the gaps, at rate 1; [`course`]: a rate that changes, and what it makes of them
//! - [`users`]: when those of a closed loop come and go
//!
//! Nothing is rescaled to come out at the rate asked for: a random schedule keeps its law, and so its own rate.

mod course;
mod gaps;
mod users;

use std::sync::Arc;

use self::course::Course;
use self::gaps::Drawn;
pub use self::users::{Shift, shifts, user_start_s};
use crate::config::{Arrival, Change, Gaps, Over, RateStage};

/// Offsets, in seconds from the start, at which an open loop wants its requests sent; they never fall.
#[derive(Clone, Debug)]
pub struct Offsets {
    /// The sum of gaps so far; before the first, nothing.
    sum: Option<f64>,
    drawn: Drawn,
    law: Law,
}

#[derive(Clone, Debug)]
enum Law {
    Burst,
    /// Endless.
    Steady {
        rate_rps: f64,
        gaps: Gaps,
    },
    /// The rate of each request by its number; endless, at the last rate after the last number.
    ByNumber {
        next: u64,
        of: u64,
        from_rps: f64,
        to_rps: f64,
        change: Change,
        gaps: Gaps,
    },
    /// Until its end.
    Course(Course),
    /// Known beforehand.
    Times {
        times: Arc<[f64]>,
        next: usize,
    },
}

impl Offsets {
    /// The schedule of an open loop; `None` for a closed one, whose sends depend on the answers.
    pub fn new(arrival: &Arrival, seed: u64) -> Option<Self> {
        let law = match arrival {
            Arrival::Closed { .. } | Arrival::UserStages { .. } => return None,
            Arrival::Burst => Law::Burst,
            Arrival::Constant { .. } | Arrival::Poisson { .. } | Arrival::Gamma { .. } => {
                let (rate_rps, gaps) = arrival.steady()?;
                Law::Steady { rate_rps, gaps }
            }
            Arrival::RateRamp { gaps, change, from_rps, to_rps, over } => {
                let (gaps, change, from_rps, to_rps) = (*gaps, *change, *from_rps, *to_rps);
                match *over {
                    Over::Requests(of) => Law::ByNumber { next: 0, of, from_rps, to_rps, change, gaps },
                    Over::Seconds(duration_s) => {
                        Law::Course(Course::new(&[RateStage { gaps, from_rps, to_rps, change, duration_s }]))
                    }
                }
            }
            Arrival::RateStages { stages } => Law::Course(Course::new(stages)),
            Arrival::Trace { times, .. } => Law::Times { times: Arc::clone(&times.0), next: 0 },
        };
        Some(Self { sum: None, drawn: Drawn::new(seed), law })
    }

    /// The sum of one gap more. Even gaps begin with an arrival, drawn ones with a gap.
    fn summed(&mut self, gaps: Gaps, in_units_of: f64) -> f64 {
        let sum = match (self.sum, gaps) {
            (None, Gaps::Constant) => 0.0,
            (sum, _) => sum.unwrap_or(0.0) + self.drawn.next(gaps) / in_units_of,
        };
        self.sum = Some(sum);
        sum
    }
}

impl Iterator for Offsets {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        match &mut self.law {
            Law::Burst => Some(0.0),
            Law::Steady { rate_rps, gaps } => {
                let (rate_rps, gaps) = (*rate_rps, *gaps);
                // A quotient of sums at rate 1, which for even gaps are whole numbers: rounding errors must
                // not add up to a wrong rate.
                Some(self.summed(gaps, 1.0) / rate_rps)
            }
            Law::ByNumber { next, of, from_rps, to_rps, change, gaps } => {
                let way = (*next as f64 / of.saturating_sub(1).max(1) as f64).min(1.0);
                *next += 1;
                let rate_rps = match change {
                    Change::Linear => *from_rps + (*to_rps - *from_rps) * way,
                    Change::Exponential => *from_rps * (*to_rps / *from_rps).powf(way),
                };
                let gaps = *gaps;
                Some(self.summed(gaps, rate_rps))
            }
            Law::Course(course) => {
                let gaps = course.gaps();
                let sum = self.summed(gaps, 1.0);
                let Law::Course(course) = &mut self.law else { return None };
                course.time_of(sum)
            }
            Law::Times { times, next } => {
                let time = times.get(*next).copied();
                *next += 1;
                time
            }
        }
    }
}

#[cfg(test)]
mod tests;
