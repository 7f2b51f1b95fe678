//! When requests should be sent: pure, seeded iterators of offsets in seconds from the start.
//! This file must not know clocks, sockets or requests.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::config::Arrival;

/// Offsets, in seconds from the start, at which an open loop wants its requests sent; endless.
#[derive(Clone, Debug)]
pub enum Offsets {
    Constant { gap_s: f64, next: u64 },
    Poisson { rate_rps: f64, at_s: f64, random: Box<ChaCha12Rng> },
}

impl Offsets {
    /// The schedule of an open loop; `None` for a closed one, whose sends depend on the answers.
    pub fn new(arrival: Arrival, seed: u64) -> Option<Self> {
        match arrival {
            Arrival::Closed { .. } => None,
            Arrival::Constant { rate_rps } => Some(Self::Constant { gap_s: 1.0 / rate_rps, next: 0 }),
            Arrival::Poisson { rate_rps } => Some(Self::Poisson {
                rate_rps,
                at_s: 0.0,
                random: Box::new(ChaCha12Rng::seed_from_u64(seed)),
            }),
        }
    }
}

impl Iterator for Offsets {
    type Item = f64;

    fn next(&mut self) -> Option<f64> {
        match self {
            // A product, not a running sum: rounding errors must not add up to a wrong rate.
            Self::Constant { gap_s, next } => {
                let offset = *gap_s * *next as f64;
                *next += 1;
                Some(offset)
            }
            Self::Poisson { rate_rps, at_s, random } => {
                *at_s += -unit_open(random.next_u64()).ln() / *rate_rps;
                Some(*at_s)
            }
        }
    }
}

/// When user `user` of `users` starts, ramped linearly over `ramp_s`: the first at once, the last at
/// `ramp_s · (users − 1) / users`.
pub fn user_start_s(user: u32, users: u32, ramp_s: f64) -> f64 {
    ramp_s * f64::from(user) / f64::from(users.max(1))
}

/// A number in (0, 1] from 53 random bits; never 0, whose logarithm has no end.
fn unit_open(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The n-th arrival of a Poisson process of rate r comes at n/r ± 5 standard deviations, and
        /// the gaps' coefficient of variation is 1.
        #[test]
        fn poisson_has_its_rate_and_its_law(rate in 0.5_f64..500.0, seed in any::<u64>()) {
            let n = 4000;
            let offsets: Vec<f64> =
                Offsets::new(Arrival::Poisson { rate_rps: rate }, seed).unwrap().take(n).collect();
            prop_assert!(offsets.windows(2).all(|w| w[0] <= w[1]));
            let expected = n as f64 / rate;
            prop_assert!((offsets[n - 1] - expected).abs() < 5.0 * (n as f64).sqrt() / rate);
            let gaps: Vec<f64> = offsets.windows(2).map(|w| w[1] - w[0]).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            let variance = gaps.iter().map(|g| (g - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
            prop_assert!((variance.sqrt() / mean - 1.0).abs() < 0.15);
        }

        #[test]
        fn constant_never_drifts(rate in 0.1_f64..10_000.0, n in 1_usize..100_000) {
            let last = Offsets::new(Arrival::Constant { rate_rps: rate }, 0).unwrap().nth(n).unwrap();
            prop_assert!((last - n as f64 / rate).abs() <= 1e-9 * (1.0 + last));
        }

        #[test]
        fn the_same_seed_gives_the_same_schedule(seed in any::<u64>()) {
            let make = || Offsets::new(Arrival::Poisson { rate_rps: 10.0 }, seed).unwrap().take(50).collect::<Vec<_>>();
            prop_assert_eq!(make(), make());
        }
    }

    #[test]
    fn the_ramp_is_linear() {
        let starts: Vec<f64> = (0..50).map(|u| user_start_s(u, 50, 20.0)).collect();
        assert!(
            (starts[0]).abs() < 1e-12 && (starts[1] - 0.4).abs() < 1e-12 && (starts[49] - 19.6).abs() < 1e-9
        );
    }

    #[test]
    fn a_schedule_stays_the_same_for_ever() {
        let first: Vec<String> = Offsets::new(Arrival::Poisson { rate_rps: 1.0 }, 42)
            .unwrap()
            .take(3)
            .map(|o| format!("{o:.9}"))
            .collect();
        assert_eq!(first, ["0.641394914", "1.252547061", "1.704372756"]);
    }
}
