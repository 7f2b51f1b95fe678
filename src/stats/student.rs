//! Student's t law: its quantiles, and the interval of the mean of a few independent values. This file must not know
//! what the values measure.

use super::estimate::{Estimate, LEVEL};

/// The mean of independent values with Student's interval (*The probable error of a mean*, Biometrika 6, 1908), such as
/// the estimates of repeated runs: it holds everything that differs from one to the next. Of one value there is no
/// interval; `None` for no values, or where one is not finite.
pub fn mean(values: &[f64]) -> Option<Estimate> {
    let n = values.len();
    let mean = super::moments::mean(values)?;
    if n < 2 {
        return Some(Estimate::unbounded(mean, n));
    }
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    let error = (squares / (n as f64 - 1.0) / n as f64).sqrt();
    let reach = quantile(f64::midpoint(1.0, LEVEL), n as f64 - 1.0) * error;
    // Where no value is negative the mean is none, and so is no bound of it.
    let least = if values.iter().all(|v| *v >= 0.0) { 0.0 } else { f64::NEG_INFINITY };
    reach.is_finite().then(|| Estimate::within(mean, (mean - reach).max(least), mean + reach, n))
}

/// The x with P(T ≤ x) = p for T of so many degrees of freedom, which need not be whole; ±∞ at 0 and 1.
pub fn quantile(p: f64, degrees: f64) -> f64 {
    if p <= 0.0 || p >= 1.0 || degrees.is_nan() || degrees <= 0.0 {
        return if p >= 1.0 { f64::INFINITY } else { f64::NEG_INFINITY };
    }
    if p < 0.5 {
        return -quantile(1.0 - p, degrees);
    }
    let (mut lo, mut hi) = (0.0, 1.0);
    while cdf(hi, degrees) < p && hi < 1e300 {
        hi *= 2.0;
    }
    // Halving gains a bit each time; 200 are more than any number has.
    for _ in 0..200 {
        let middle = f64::midpoint(lo, hi);
        if middle <= lo || middle >= hi {
            break;
        }
        if cdf(middle, degrees) < p {
            lo = middle;
        } else {
            hi = middle;
        }
    }
    f64::midpoint(lo, hi)
}

/// P(T ≤ x) for x ≥ 0: 1 − I(ν / (ν + x²); ν / 2, 1 / 2) / 2 (Abramowitz and Stegun 26.7.1 with 26.5.27).
fn cdf(x: f64, degrees: f64) -> f64 {
    let whole = degrees + x * x;
    1.0 - 0.5 * incomplete_beta(degrees / whole, x * x / whole, 0.5 * degrees, 0.5)
}

/// The regularised incomplete beta function I(x; a, b), by its continued fraction (Abramowitz and Stegun 26.5.8,
/// evaluated as Lentz does). `rest` is 1 − x, told apart because near 1 nothing of it is left in x.
fn incomplete_beta(x: f64, rest: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || rest <= 0.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    // The fraction converges quickly below this point; above it the mirror image does.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(rest, x, b, a);
    }
    let gammas = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b);
    let front = (a * x.ln() + b * rest.ln() + gammas).exp() / a;
    let nonzero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut upper = 1.0;
    let mut lower = 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = lower;
    for term in 1..1_000 {
        let m = f64::from(term);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut step = 1.0;
        for numerator in [even, odd] {
            lower = 1.0 / nonzero(1.0 + numerator * lower);
            upper = nonzero(1.0 + numerator / upper);
            step = upper * lower;
            fraction *= step;
        }
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * fraction
}

/// ln Γ(x) for x > 0: Stirling's series from 10 up (Abramowitz and Stegun 6.1.41), below by Γ(x) = Γ(x + 1) / x.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut less) = (x, 0.0);
    while x < 10.0 {
        less += x.ln();
        x += 1.0;
    }
    let i = 1.0 / (x * x);
    let series = (1.0 / 12.0 - i * (1.0 / 360.0 - i * (1.0 / 1_260.0 - i / 1_680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - less
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Abramowitz and Stegun, table 26.10; the last by Simpson's rule over the density, in Python.
        for (p, degrees, expected) in [
            (0.975, 1.0, 12.706_204_736),
            (0.975, 2.0, 4.302_652_730),
            (0.975, 9.0, 2.262_157_163),
            (0.99, 4.0, 3.746_947_388),
            (0.975, 1e6, 1.959_966_3),
            (0.975, 2.5, 3.574_654_842),
        ] {
            let found = quantile(p, degrees);
            assert!((found / expected - 1.0).abs() < 2e-5, "{p} {degrees}: {found}");
            assert!((quantile(1.0 - p, degrees) + found).abs() < 1e-6 * found);
        }
        assert!(quantile(1.0, 3.0).is_infinite() && quantile(0.0, 3.0).is_infinite());
    }

    #[test]
    fn a_few_runs_have_students_interval() {
        // By hand: mean 12, s² = 4, 4.3027 · √(4 / 3) = 4.9684.
        let e = mean(&[10.0, 12.0, 14.0]).unwrap();
        assert!((e.value - 12.0).abs() < 1e-12 && (e.hi - 16.968_3).abs() < 1e-3 && e.n == 3, "{e:?}");
        assert!(mean(&[1.0, 9.0]).unwrap().lo >= 0.0 && mean(&[-1.0, 9.0]).unwrap().lo < -1.0);
        assert!(!mean(&[3.0]).unwrap().is_bounded(), "one run has nothing between runs");
        assert_eq!(mean(&[]), None);
        assert_eq!(mean(&[1.0, f64::NAN]), None);
    }

    proptest! {
        #[test]
        fn a_quantile_has_its_probability(p in 0.5..0.9999_f64, degrees in 0.5..500.0_f64) {
            prop_assert!((cdf(quantile(p, degrees), degrees) - p).abs() < 1e-9);
        }

        #[test]
        fn odd_input_never_breaks_it(p in any::<f64>(), degrees in any::<f64>(), values in prop::collection::vec(any::<f64>(), 0..5)) {
            let _ = (quantile(p, degrees), mean(&values));
        }
    }
}
