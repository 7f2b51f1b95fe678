//! Chance for faults: numbers that are the same for the same server seed, fault, request and place for
//! ever, and independent of each other. This file must not know what is decided by them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The draws of one fault for one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draws {
    /// The server's.
    pub seed: u64,
    /// Differs from fault to fault, or two of them would always strike together.
    pub fault: u64,
    /// The request's number.
    pub request: u64,
}

impl Draws {
    /// A number from 0 to 1, uniform, below 1; `place` counts the draws of one request.
    pub fn unit(self, place: u64) -> f64 {
        let mut seed = [0_u8; 32];
        let parts = [self.seed, self.fault, self.request, place];
        for (slot, part) in seed.chunks_exact_mut(8).zip(parts) {
            slot.copy_from_slice(&part.to_le_bytes());
        }
        unit(&mut ChaCha8Rng::from_seed(seed))
    }
}

/// The top 53 bits of the next word as a number from 0 to 1, below 1.
pub fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Correlation of two series of equal length.
    fn correlation(a: &[f64], b: &[f64]) -> f64 {
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let (ma, mb) = (mean(a), mean(b));
        let covariance: f64 = a.iter().zip(b).map(|(x, y)| (x - ma) * (y - mb)).sum();
        let spread = |v: &[f64], m: f64| v.iter().map(|x| (x - m).powi(2)).sum::<f64>().sqrt();
        covariance / (spread(a, ma) * spread(b, mb))
    }

    #[test]
    fn draws_are_repeated_uniform_and_independent() {
        let series = |seed, fault, place| -> Vec<f64> {
            (0..10_000).map(|request| Draws { seed, fault, request }.unit(place)).collect()
        };
        let first = series(1, 1, 0);
        assert_eq!(first, series(1, 1, 0));
        assert!(first.iter().all(|x| (0.0..1.0).contains(x)));
        let below = first.iter().filter(|x| **x < 0.05).count();
        // 500 expected, with a standard deviation of 22.
        assert!((400..600).contains(&below), "{below}");
        for other in [series(2, 1, 0), series(1, 2, 0), series(1, 1, 1)] {
            // Of 10,000 independent pairs it has a standard deviation of 0.01.
            assert!(correlation(&first, &other).abs() < 0.05);
        }
    }
}
