//! The density behind a violin: a Gaussian kernel estimate that never leaves the data. This file
//! must not know what is drawn.
//!
//! Bandwidth: see [`super::bandwidth`]; never below one step of the grid, so that no value falls
//! between its points.
//!
//! A plain Gaussian estimate puts mass below the smallest and above the largest value: negative
//! latencies. Here the mass that would fall outside is reflected back in at both ends, so the
//! density is zero outside [min, max] and its integral over [min, max] is 1.

use super::bandwidth::bandwidth;
use super::quantile::quantile;

/// Beyond this many bandwidths a kernel is zero to double precision.
const REACH: f64 = 8.0;
/// More values than this are thinned to so many evenly spaced quantiles: a picture cannot tell.
const ENOUGH: usize = 20_000;

/// A density on an even grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Density {
    /// Grid points, ascending.
    pub at: Vec<f64>,
    /// Density at each: per unit of the values.
    pub density: Vec<f64>,
    pub bandwidth: f64,
}

/// The density of ascending values on `points` grid points from `lo` to `hi`.
///
/// The grid may be narrower than the data (a clipped axis): the density is still that of all of
/// them, with the bandwidth that suits those in sight. `None` for fewer than two values, all equal ones, one that is not finite, or no grid.
pub fn kde(sorted: &[f64], lo: f64, hi: f64, points: usize) -> Option<Density> {
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let range = max - min;
    let step = (hi - lo) / points.saturating_sub(1) as f64;
    let usable = |width: f64| width.is_finite() && width > 0.0;
    if !usable(range) || !usable(step) || points < 2 {
        return None;
    }
    let in_sight = sorted
        .get(sorted.partition_point(|v| *v < lo)..sorted.partition_point(|v| *v <= hi))
        .unwrap_or_default();
    let bandwidth = bandwidth(in_sight).or_else(|| bandwidth(sorted))?.max(step);
    let thinned = thin(sorted);
    let sum = KernelSum { values: &thinned, bandwidth };
    let at: Vec<f64> = (0..points).map(|i| lo + step * i as f64).collect();
    let tolerance = step * 1e-9;
    let density = at
        .iter()
        .map(|x| {
            if *x < min - tolerance || *x > max + tolerance {
                return 0.0;
            }
            // Two mirrors repeat the data for ever; the images that can be in reach are these.
            let images = (REACH * bandwidth / range).ceil().min(8.0) as i32;
            (-images..=images)
                .map(|k| f64::from(k) * 2.0 * range)
                .map(|shift| sum.at(x + shift) + sum.at(2.0 * min - x + shift))
                .sum()
        })
        .collect();
    Some(Density { at, density, bandwidth })
}

/// At most [`ENOUGH`] values with the same distribution, both ends kept.
fn thin(sorted: &[f64]) -> Vec<f64> {
    if sorted.len() <= ENOUGH {
        return sorted.to_vec();
    }
    (0..ENOUGH).filter_map(|i| quantile(sorted, i as f64 / (ENOUGH - 1) as f64)).collect()
}

struct KernelSum<'a> {
    values: &'a [f64],
    bandwidth: f64,
}

impl KernelSum<'_> {
    /// The unreflected density at `x`.
    fn at(&self, x: f64) -> f64 {
        let reach = REACH * self.bandwidth;
        let from = self.values.partition_point(|v| *v < x - reach);
        let to = self.values.partition_point(|v| *v <= x + reach);
        let near = self.values.get(from..to).unwrap_or_default();
        let sum: f64 = near
            .iter()
            .map(|v| {
                let z = (x - v) / self.bandwidth;
                (-0.5 * z * z).exp()
            })
            .sum();
        let norm = self.bandwidth * (2.0 * std::f64::consts::PI).sqrt();
        sum / (norm * self.values.len() as f64)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::quantile::sorted;
    use super::*;

    fn integral(d: &Density) -> f64 {
        d.at.windows(2)
            .zip(d.density.windows(2))
            .map(|(x, y)| (x[1] - x[0]) * f64::midpoint(y[0], y[1]))
            .sum()
    }

    #[test]
    fn the_density_is_zero_outside_the_data() {
        let values = sorted(&[0.1, 0.2, 0.2, 0.3, 0.9]);
        let d = kde(&values, -1.0, 2.0, 301).unwrap();
        for (x, y) in d.at.iter().zip(&d.density) {
            if *x < 0.1 - 1e-6 || *x > 0.9 + 1e-6 {
                assert!(*y <= 0.0, "at {x}");
            } else {
                assert!(*y > 0.0, "at {x}");
            }
        }
    }

    #[test]
    fn a_uniform_law_stays_flat_up_to_its_ends() {
        let values: Vec<f64> = (0..=1_000).map(|i| f64::from(i) / 1_000.0).collect();
        let d = kde(&values, 0.0, 1.0, 101).unwrap();
        // Without reflection both ends would be at a half.
        assert!(d.density.iter().all(|y| (y - 1.0).abs() < 0.02), "{:?}", d.density);
    }

    #[test]
    fn two_modes_stay_two() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20) / 100.0 + f64::from(i % 2)).collect();
        let values = sorted(&values);
        let d = kde(&values, 0.0, 1.2, 241).unwrap();
        let near = |x: f64| d.density[(x * 200.0) as usize];
        assert!(near(0.1) > 4.0 * near(0.6) && near(1.1) > 4.0 * near(0.6));
    }

    #[test]
    fn a_million_values_are_thinned_without_changing_the_picture() {
        let values: Vec<f64> = (0..1_000_000).map(|i| (f64::from(i) / 1e6).powi(3)).collect();
        let fewer: Vec<f64> = values.iter().step_by(50).copied().collect();
        let many = kde(&values, 0.2, 0.8, 61).unwrap();
        let few = kde(&fewer, 0.2, 0.8, 61).unwrap();
        for (a, b) in many.density.iter().zip(&few.density) {
            assert!((a / b - 1.0).abs() < 0.02, "{a} {b}");
        }
    }

    #[test]
    fn what_has_no_density_is_none() {
        assert_eq!(kde(&[], 0.0, 1.0, 10), None);
        assert_eq!(kde(&[1.0], 0.0, 1.0, 10), None);
        assert_eq!(kde(&[1.0; 9], 0.0, 1.0, 10), None);
        assert_eq!(kde(&[1.0, 2.0, f64::NAN], 0.0, 1.0, 10), None);
        assert_eq!(kde(&[1.0, 2.0], 1.0, 1.0, 10), None);
        assert_eq!(kde(&[1.0, 2.0], 1.0, 2.0, 1), None);
        // More than half equal: the IQR is zero, the standard deviation serves.
        assert!(kde(&[1.0, 1.0, 1.0, 1.0, 2.0], 1.0, 2.0, 50).is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn odd_input_never_breaks_it(values in prop::collection::vec(any::<f64>(), 0..20), lo: f64, hi: f64) {
            if let Some(d) = kde(&sorted(&values), lo, hi, 16) {
                prop_assert!(d.density.iter().all(|y| !y.is_nan()));
            }
        }

        #[test]
        fn the_mass_is_one(values in prop::collection::vec(0.0..50.0f64, 2..200)) {
            let s = sorted(&values);
            if let Some(d) = kde(&s, s[0], s[s.len() - 1], 2_001) {
                prop_assert!(d.density.iter().all(|y| y.is_finite() && *y >= 0.0));
                prop_assert!((integral(&d) - 1.0).abs() < 2e-3, "{}", integral(&d));
            }
        }
    }
}
