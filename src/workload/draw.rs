//! Seeded chance: the same seed draws the same numbers on every machine and in every version. This
//! file must not know what is drawn.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers.
#[derive(Debug)]
pub struct Draw(ChaCha12Rng);

impl Draw {
    /// Streams of one seed with different purposes are independent of each other.
    pub fn new(seed: u64, purpose: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&purpose.to_le_bytes());
        Self(ChaCha12Rng::from_seed(key))
    }

    /// A whole number below `n`, each as likely as the other; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        if n < 2 {
            return 0;
        }
        // Lemire's method: the high half of a product, with the few low halves redrawn that would
        // make some numbers likelier than others.
        let unfair = n.wrapping_neg() % n;
        loop {
            let product = u128::from(self.0.next_u64()) * u128::from(n);
            if product as u64 >= unfair {
                return (product >> 64) as u64;
            }
        }
    }

    /// A whole number from `least` to `most`, both included.
    pub fn between(&mut self, least: u32, most: u32) -> u32 {
        let span = u64::from(most.saturating_sub(least)) + 1;
        least.saturating_add(self.below(span) as u32)
    }

    /// A number in (0, 1], from 53 random bits.
    pub fn unit(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
    }

    /// A number of the standard normal law, by Box and Muller's method.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// `n` of the items, none twice, in random order; all of them when there are no more.
    pub fn sample<T>(&mut self, mut items: Vec<T>, n: usize) -> Vec<T> {
        // Fisher and Yates, stopped after n steps.
        let n = n.min(items.len());
        for i in 0..n {
            let rest = (items.len() - i) as u64;
            items.swap(i, i + self.below(rest) as usize);
        }
        items.truncate(n);
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_for_ever() {
        let mut draw = Draw::new(42, 1);
        let drawn: Vec<u64> = (0..6).map(|_| draw.below(1000)).collect();
        assert_eq!(drawn, [454, 942, 602, 143, 179, 968]);
        assert_eq!(Draw::new(42, 1).sample((0..10).collect(), 4), [4, 9, 6, 0]);
    }

    #[test]
    fn purposes_and_seeds_are_independent() {
        let first = |seed, purpose| Draw::new(seed, purpose).below(u64::MAX);
        assert_ne!(first(1, 1), first(1, 2));
        assert_ne!(first(1, 1), first(2, 1));
    }

    #[test]
    fn every_item_is_as_likely() {
        let mut draw = Draw::new(7, 0);
        let mut counts = [0_u32; 6];
        for _ in 0..60_000 {
            for item in draw.sample(vec![0_usize, 1, 2, 3, 4, 5], 2) {
                counts[item] += 1;
            }
        }
        // 20,000 expected, standard deviation 115.
        assert!(counts.iter().all(|count| count.abs_diff(20_000) < 700), "{counts:?}");
    }

    #[test]
    fn both_ends_are_reached_and_nothing_beyond() {
        let mut draw = Draw::new(0, 0);
        let drawn: std::collections::BTreeSet<u32> = (0..1000).map(|_| draw.between(3, 6)).collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert_eq!(draw.between(5, 5), 5);
        assert_eq!(draw.below(0), 0);
    }
}
