//! How wide the kernel of a density should be. This file must not know what is drawn.
//!
//! The improved Sheather–Jones rule (Botev, Grotowski and Kroese, *Kernel density estimation via
//! diffusion*, Annals of Statistics 38, 2010) looks at the data's own curvature instead of taking
//! them for normal, so that two modes (short and long prompts, idle and queueing) stay two. It works
//! on the cosine transform of the binned data, whose even extension is the very reflection that
//! [`super::kde`] draws with.
//!
//! It is kept between an eighth of Silverman's rule and the rule itself: many equal values (stamps
//! of a coarse clock) would make it vanish, and no density here should be smoother than Silverman's.

use super::moments;
use super::quantile::quantile;

const BINS: usize = 1_024;
/// Cosine coefficients that are looked at: features down to 1 / 500 of the range.
const COEFFICIENTS: usize = 512;

/// The bandwidth for ascending values that are finite and not all equal.
pub fn bandwidth(sorted: &[f64]) -> Option<f64> {
    let silverman = silverman(sorted)?;
    let improved = improved_sheather_jones(sorted).unwrap_or(silverman);
    Some(improved.clamp(silverman / 8.0, silverman))
}

/// Silverman's rule of thumb: 0.9 · min(standard deviation, IQR / 1.34) · n^(−1/5) (*Density
/// Estimation*, 1986, eq. 3.31); the standard deviation alone where the IQR is zero.
pub fn silverman(sorted: &[f64]) -> Option<f64> {
    let std = moments::std(sorted)?;
    let iqr = quantile(sorted, 0.75)? - quantile(sorted, 0.25)?;
    let spread = if iqr > 0.0 { std.min(iqr / 1.34) } else { std };
    let bandwidth = 0.9 * spread * (sorted.len() as f64).powf(-0.2);
    (bandwidth.is_finite() && bandwidth > 0.0).then_some(bandwidth)
}

/// The improved Sheather–Jones bandwidth; `None` when its equation has no solution.
pub fn improved_sheather_jones(sorted: &[f64]) -> Option<f64> {
    let range = sorted.last()? - sorted.first()?;
    if !range.is_finite() || range <= 0.0 {
        return None;
    }
    let distinct = 1 + sorted.windows(2).filter(|w| matches!(w, [a, b] if a < b)).count();
    let energy = energies(sorted, range);
    let excess = |t: f64| t - next_time(t, distinct as f64, &energy);
    // The smallest solution lies below 0.1; the excess is negative before it.
    let (mut below, mut above) = (0.0, 0.1);
    if excess(above) < 0.0 {
        return None;
    }
    for _ in 0..50 {
        let middle = f64::midpoint(below, above);
        if excess(middle) < 0.0 {
            below = middle;
        } else {
            above = middle;
        }
    }
    let bandwidth = above.sqrt() * range;
    (bandwidth.is_finite() && bandwidth > 0.0).then_some(bandwidth)
}

/// The squared cosine coefficients 1, 2, … of the binned values.
fn energies(sorted: &[f64], range: f64) -> Vec<f64> {
    let first = sorted.first().copied().unwrap_or(0.0);
    let mut bins = vec![0.0; BINS];
    for value in sorted {
        let i = ((value - first) / range * BINS as f64) as usize;
        if let Some(bin) = bins.get_mut(i.min(BINS - 1)) {
            *bin += 1.0 / sorted.len() as f64;
        }
    }
    // cos(π k (2 j + 1) / 2 N) has period 4 N in k (2 j + 1).
    let cosines: Vec<f64> =
        (0..4 * BINS).map(|i| (std::f64::consts::PI * i as f64 / (2 * BINS) as f64).cos()).collect();
    (1..=COEFFICIENTS)
        .map(|k| {
            let coefficient: f64 = bins
                .iter()
                .enumerate()
                .filter(|(_, weight)| **weight > 0.0)
                .filter_map(|(j, weight)| Some(weight * cosines.get(k * (2 * j + 1) % (4 * BINS))?))
                .sum();
            coefficient * coefficient
        })
        .collect()
}

/// One turn of the fixed-point equation t = ξ γ⁽⁵⁾(t) of the paper, in units of the range squared.
fn next_time(t: f64, n: f64, energy: &[f64]) -> f64 {
    const PI: f64 = std::f64::consts::PI;
    // ‖f⁽ˢ⁾‖² of the density smoothed for this time.
    let norm = |s: i32, time: f64| {
        let sum: f64 = energy
            .iter()
            .zip(1..)
            .map(|(e, k)| {
                let k2 = f64::from(k) * f64::from(k);
                k2.powi(s) * e * (-k2 * PI * PI * time).exp()
            })
            .sum();
        2.0 * PI.powi(2 * s) * sum
    };
    let mut f = norm(7, t);
    for s in (2..7).rev() {
        let odd: f64 = (1..2 * s).step_by(2).map(f64::from).product();
        let moment = odd / (2.0 * PI).sqrt();
        let factor = (1.0 + 0.5f64.powf(f64::from(s) + 0.5)) / 3.0;
        let time = (2.0 * factor * moment / (n * f)).powf(2.0 / (3.0 + 2.0 * f64::from(s)));
        f = norm(s, time);
    }
    (2.0 * n * PI.sqrt() * f).powf(-0.4)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::super::normal;
    use super::super::quantile::sorted;
    use super::*;

    fn normal_values(n: usize) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        (0..n).map(|_| normal::inverse_cdf((f64::from(rng.next_u32()) + 0.5) / 4_294_967_296.0)).collect()
    }

    #[test]
    fn silvermans_rule_is_silvermans() {
        // numpy: IQR = 2.85 − 0.95 = 1.9; 0.9 · min(np.std, 1.9 / 1.34) · 7^−0.2
        let values = sorted(&[0.8, 1.2, 3.5, 0.9, 2.2, 7.1, 1.0]);
        assert!((silverman(&values).unwrap() - 0.864_712_434).abs() < 1e-8);
    }

    #[test]
    fn on_normal_values_the_improved_rule_is_near_the_best_there_is() {
        // The bandwidth of least mean integrated squared error is (4 / 3n)^(1/5) σ.
        let best = (4.0 / 3_000.0f64).powf(0.2);
        let got = improved_sheather_jones(&sorted(&normal_values(1_000))).unwrap();
        assert!((got / best - 1.0).abs() < 0.2, "{got} against {best}");
    }

    #[test]
    fn two_modes_far_apart_get_the_bandwidth_of_each() {
        let values: Vec<f64> =
            normal_values(1_000).iter().enumerate().map(|(i, v)| v + 20.0 * (i % 2) as f64).collect();
        let values = sorted(&values);
        let each = (4.0 / 1_500.0f64).powf(0.2);
        let got = bandwidth(&values).unwrap();
        assert!((got / each - 1.0).abs() < 0.25, "{got} against {each}");
        assert!(silverman(&values).unwrap() > 6.0 * got);
    }

    #[test]
    fn equal_values_do_not_make_it_vanish() {
        let coarse: Vec<f64> = normal_values(2_000).iter().map(|v| v.round()).collect();
        let coarse = sorted(&coarse);
        assert!(bandwidth(&coarse).unwrap() >= silverman(&coarse).unwrap() / 8.0);
        assert_eq!(bandwidth(&[2.0; 10]), None);
        assert_eq!(improved_sheather_jones(&[]), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn odd_input_never_breaks_it(values in prop::collection::vec(any::<f64>(), 0..20)) {
            if let Some(h) = bandwidth(&sorted(&values)) {
                prop_assert!(h.is_finite() && h > 0.0);
            }
        }
    }
}
