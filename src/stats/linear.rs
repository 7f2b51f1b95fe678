//! Sums and differences of independent estimates with their intervals. This file must not know how these
//! came about.
//!
//! Method of variance estimates recovery (Zou and Donner, *Construction of confidence intervals about effect
//! measures*, Statistics in Medicine 27, 2008; linear functions: Zou, Huang and Zhang, Computational
//! Statistics and Data Analysis 53, 2009): for Σ cᵢ θᵢ the distance to the lower bound is
//! √Σ (cᵢ θᵢ − min(cᵢ lᵢ, cᵢ uᵢ))², to the upper one accordingly. Intervals may be skewed.

use super::Estimate;

/// Σ coefficient · estimate; `None` without terms. A bound that one of the terms lacks is not known.
pub fn combine(terms: &[(f64, Estimate)]) -> Option<Estimate> {
    if terms.is_empty() {
        return None;
    }
    let value: f64 = terms.iter().map(|(c, e)| c * e.value).sum();
    let distance = |bound: fn(f64, f64) -> f64| {
        let squares = terms.iter().filter(|(c, _)| *c != 0.0).map(|(c, e)| {
            let off = c * e.value - bound(c * e.lo, c * e.hi);
            off * off
        });
        // What cannot be computed bounds nothing.
        Some(squares.sum::<f64>().sqrt()).filter(|distance| !distance.is_nan()).unwrap_or(f64::INFINITY)
    };
    let n = terms.iter().map(|(_, e)| e.n).sum();
    let n_eff = terms.iter().map(|(_, e)| e.n_eff).sum();
    value.is_finite().then(|| {
        Estimate::within(value, value - distance(f64::min), value + distance(f64::max), n).effective(n_eff)
    })
}

/// The mean of several estimates, each weighing the same.
pub fn mean(estimates: &[Estimate]) -> Option<Estimate> {
    let share = 1.0 / estimates.len() as f64;
    combine(&estimates.iter().map(|e| (share, *e)).collect::<Vec<_>>())
}

/// The slope of the straight line through `(x, estimate)` by least squares, all weighing the same: by how
/// much more for each one more of x. `None` where all x are the same.
pub fn slope(points: &[(f64, Estimate)]) -> Option<Estimate> {
    let mean = points.iter().map(|(x, _)| x).sum::<f64>() / points.len() as f64;
    let spread: f64 = points.iter().map(|(x, _)| (x - mean) * (x - mean)).sum();
    if spread.is_nan() || spread <= 0.0 {
        return None;
    }
    combine(&points.iter().map(|(x, e)| ((x - mean) / spread, *e)).collect::<Vec<_>>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::blocks::Blocks;
    use super::super::bootstrap;
    use super::super::series::exponential;
    use super::*;

    fn e(value: f64, lo: f64, hi: f64) -> Estimate {
        Estimate::within(value, lo, hi, 10)
    }

    #[test]
    fn a_difference_has_the_bounds_of_the_formula() {
        // By hand: 5 − 2 = 3; √(1² + 4²) below, √(2² + 1²) above.
        let d = combine(&[(1.0, e(5.0, 4.0, 7.0)), (-1.0, e(2.0, 1.0, 6.0))]).unwrap();
        assert!((d.value - 3.0).abs() < 1e-12);
        assert!((d.lo - (3.0 - 17_f64.sqrt())).abs() < 1e-12 && (d.hi - (3.0 + 5_f64.sqrt())).abs() < 1e-12);
        assert_eq!(d.n, 20);
    }

    #[test]
    fn a_slope_is_that_of_the_line() {
        let line = |x: f64| (x, e(1.0 + 0.5 * x, 0.5 * x, 2.0 + 0.5 * x));
        let s = slope(&[line(1.0), line(8.0), line(32.0)]).unwrap();
        // Each known to ±1: 1 / √Σ (x − mean)² = 1 / √528.667.
        assert!((s.value - 0.5).abs() < 1e-12 && (s.hi - s.value - 0.043_492).abs() < 1e-6, "{s:?}");
        assert_eq!(slope(&[line(1.0), line(1.0)]), None);
        assert_eq!(slope(&[]), None);
    }

    #[test]
    fn what_is_not_bounded_bounds_nothing() {
        let open = combine(&[(1.0, Estimate::unbounded(5.0, 3)), (-1.0, e(2.0, 1.0, 3.0))]).unwrap();
        assert!((open.value - 3.0).abs() < 1e-12 && !open.lo.is_finite() && !open.hi.is_finite());
        // Not asked about, it does not matter.
        assert!(
            combine(&[(0.0, Estimate::unbounded(5.0, 3)), (1.0, e(2.0, 1.0, 3.0))]).unwrap().is_bounded()
        );
        assert_eq!(combine(&[]), None);
        assert_eq!(mean(&[]), None);
    }

    #[test]
    fn the_difference_of_two_means_is_covered_as_often_as_it_says() {
        let held = (0..1_000)
            .filter(|seed| {
                let of = |n, seed| bootstrap::mean(&exponential(n, seed), Blocks::Rows, 1).unwrap();
                let d = combine(&[(1.0, of(40, *seed)), (-3.0, of(60, seed + 90_000))]).unwrap();
                d.lo <= -2.0 && -2.0 <= d.hi
            })
            .count();
        assert!((930..=970).contains(&held), "{held} of 1000");
    }

    proptest! {
        #[test]
        fn odd_input_never_breaks_it(terms in prop::collection::vec((any::<f64>(), any::<f64>(), any::<f64>()), 0..5)) {
            let terms: Vec<(f64, Estimate)> =
                terms.into_iter().map(|(c, v, w)| (c, e(v, v - w.abs(), v + w.abs()))).collect();
            if let Some(e) = combine(&terms) {
                prop_assert!(e.value.is_finite() && e.lo <= e.value && e.value <= e.hi);
            }
            let _ = slope(&terms);
        }
    }
}
