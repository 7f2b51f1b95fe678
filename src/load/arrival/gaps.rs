//! Gaps between arrivals, with mean 1, whatever the rate: from a seeded stream, the same for ever. This
//! file must not know rates or times.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::config::Gaps;

/// A stream of gaps; their law may change from gap to gap.
#[derive(Clone, Debug)]
pub(super) struct Drawn(Box<ChaCha12Rng>);

impl Drawn {
    pub(super) fn new(seed: u64) -> Self {
        Self(Box::new(ChaCha12Rng::seed_from_u64(seed)))
    }

    /// The next gap under this law.
    pub(super) fn next(&mut self, law: Gaps) -> f64 {
        match law {
            Gaps::Constant => 1.0,
            Gaps::Poisson => self.exponential(),
            Gaps::Gamma { burstiness } => self.gamma(burstiness) / burstiness,
        }
    }

    fn exponential(&mut self) -> f64 {
        -self.unit_open().ln()
    }

    /// A gamma variate of this shape and scale 1: Marsaglia and Tsang, *A simple method for generating
    /// gamma variables*, ACM TOMS 26 (2000). Below shape 1, that of shape + 1 times u^(1/shape), as
    /// they show there.
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let above = self.gamma(shape + 1.0);
            return above * self.unit_open().powf(1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit_open().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    /// A standard normal variate by Marsaglia's polar method; its twin is not used, so that each gap
    /// depends on nothing but the stream.
    fn normal(&mut self) -> f64 {
        loop {
            let (x, y) = (2.0 * self.unit_open() - 1.0, 2.0 * self.unit_open() - 1.0);
            let s = x * x + y * y;
            if s > 0.0 && s < 1.0 {
                return x * (-2.0 * s.ln() / s).sqrt();
            }
        }
    }

    /// A number in (0, 1] from 53 random bits; never 0, whose logarithm has no end.
    fn unit_open(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(law: Gaps, seed: u64, n: usize) -> Vec<f64> {
        let mut gaps = Drawn::new(seed);
        (0..n).map(|_| gaps.next(law)).collect()
    }

    /// The regularised lower incomplete gamma function by its power series, P(a, x) = x^a e^(−x) / Γ(a + 1) ·
    /// Σ x^n / ((a + 1) … (a + n)): a gamma variate's distribution, by the book and not by the sampler.
    fn gamma_cdf(shape: f64, x: f64) -> f64 {
        if x <= 0.0 {
            return 0.0;
        }
        let (mut term, mut sum, mut n) = (1.0, 1.0, 1.0);
        while term > 1e-16 * sum {
            term *= x / (shape + n);
            sum += term;
            n += 1.0;
        }
        (shape * x.ln() - x - ln_gamma(shape + 1.0)).exp() * sum
    }

    /// Stirling's series, after moving the argument above 10 by Γ(x + 1) = x Γ(x).
    fn ln_gamma(x: f64) -> f64 {
        if x < 10.0 {
            return ln_gamma(x + 1.0) - x.ln();
        }
        let tail = 1.0 / (12.0 * x) - 1.0 / (360.0 * x.powi(3)) + 1.0 / (1260.0 * x.powi(5));
        (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + tail
    }

    /// The largest distance between the share of values up to x and the law's.
    fn ks(mut values: Vec<f64>, cdf: impl Fn(f64) -> f64) -> f64 {
        values.sort_by(f64::total_cmp);
        let n = values.len() as f64;
        values.iter().enumerate().fold(0.0, |most: f64, (i, &x)| {
            let at = cdf(x);
            most.max((at - i as f64 / n).abs()).max(((i + 1) as f64 / n - at).abs())
        })
    }

    #[test]
    fn the_reference_law_is_right() {
        // Shape 1 is exponential; shape 1/2 at x is erf(√x): erf(1) = 0.842700792949715.
        assert!((gamma_cdf(1.0, 0.7) - (1.0 - (-0.7_f64).exp())).abs() < 1e-10);
        assert!((gamma_cdf(0.5, 1.0) - 0.842_700_792_949_715).abs() < 1e-10);
        // Shape 5, x = 4 (a Poisson tail): 1 − e⁻⁴ (1 + 4 + 8 + 32/3 + 32/3).
        assert!((gamma_cdf(5.0, 4.0) - (1.0 - (-4.0_f64).exp() * (13.0 + 64.0 / 3.0))).abs() < 1e-10);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Mean 1, variance 1 / burstiness, and the whole law: the KS distance of n values exceeds
        /// 3.3 / √n once in 1.4 billion seeds.
        #[test]
        fn gamma_gaps_have_their_law(burstiness in 0.05_f64..20.0, seed in any::<u64>()) {
            let n = 4000;
            let gaps = drawn(Gaps::Gamma { burstiness }, seed, n);
            let distance = ks(gaps.clone(), |gap| gamma_cdf(burstiness, gap * burstiness));
            prop_assert!(distance < 3.3 / (n as f64).sqrt(), "{distance}");
            let mean = gaps.iter().sum::<f64>() / n as f64;
            // 8 standard deviations of the mean.
            prop_assert!((mean - 1.0).abs() < 8.0 / (burstiness * n as f64).sqrt(), "{mean}");
        }

        #[test]
        fn exponential_gaps_have_their_law(seed in any::<u64>()) {
            let n = 4000;
            let distance = ks(drawn(Gaps::Poisson, seed, n), |gap| 1.0 - (-gap).exp());
            prop_assert!(distance < 3.3 / (n as f64).sqrt(), "{distance}");
        }
    }

    #[test]
    fn the_variance_is_one_over_the_burstiness() {
        for burstiness in [0.1, 0.5, 1.0, 4.0] {
            let gaps = drawn(Gaps::Gamma { burstiness }, 7, 400_000);
            let variance = gaps.iter().map(|g| (g - 1.0).powi(2)).sum::<f64>() / gaps.len() as f64;
            assert!((variance * burstiness - 1.0).abs() < 0.05, "{burstiness}: {variance}");
        }
    }

    #[test]
    fn gaps_stay_the_same_for_ever() {
        let first =
            |law| drawn(law, 42, 3).iter().map(|gap| format!("{gap:.9}")).collect::<Vec<_>>().join(" ");
        insta::assert_snapshot!(first(Gaps::Poisson), @"0.641394914 0.611152146 0.451825695");
        insta::assert_snapshot!(first(Gaps::Gamma { burstiness: 3.0 }), @"2.075239363 0.841008194 1.164866041");
        insta::assert_snapshot!(first(Gaps::Gamma { burstiness: 0.25 }), @"0.375720255 1.129320959 0.002929307");
        insta::assert_snapshot!(first(Gaps::Constant), @"1.000000000 1.000000000 1.000000000");
    }
}
