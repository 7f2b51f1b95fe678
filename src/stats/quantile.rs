//! Quantiles by linear interpolation (numpy's default, Hyndman and Fan's type 7), and their exact
//! interval from order statistics. This file must not know what the numbers measure.
//!
//! The interval: the number of independent values below the true quantile is binomial(n, q) whatever
//! the law of the values, so the l-th and u-th smallest value bracket it with a probability that can
//! be computed exactly (Conover, *Practical Nonparametric Statistics*, 3.2). That is cheaper and, in
//! the tails, more honest than a bootstrap: where n is too small for any value to be the bound (the
//! 99th percentile of 100 requests has no upper one), the bound is infinite.
//!
//! Values in time order that depend on each other are worth fewer: the bracket is that of the
//! effective n, its ranks stretched to the n values, outwards. The dependence that counts is that of
//! the series 1{x ≤ quantile}, whose mean the quantile inverts: a burst of slow requests costs the
//! p99 more than the median. The level is at least 95 % for independent values.

use super::blocks::{Blocks, Cells};
use super::bootstrap::MIN_ROWS;
use super::dependence::Dependence;
use super::estimate::{Estimate, LEVEL};

/// The values in ascending order, as [`quantile`] wants them.
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut out = values.to_vec();
    out.sort_unstable_by(f64::total_cmp);
    out
}

/// The `q`-quantile (0 ≤ q ≤ 1) of ascending values.
///
/// `None` for no values, a value that is not finite, or a `q` out of range.
pub fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else {
        return None;
    };
    // In the order of total_cmp whatever is not finite stands at an end.
    if !first.is_finite() || !last.is_finite() || !(0.0..=1.0).contains(&q) {
        return None;
    }
    let position = (sorted.len() - 1) as f64 * q;
    let below = position.floor() as usize;
    let lower = *sorted.get(below)?;
    let upper = sorted.get(below + 1).copied().unwrap_or(lower);
    let value = interpolate(lower, upper, position - below as f64);
    value.is_finite().then_some(value)
}

/// From this quantile on an upper bound wants [`ENOUGH_FOR_TAILS`] effective values.
pub const TAIL: f64 = 0.99;
/// 0.99 to the power of 299 is 5 %: with fewer values the largest of them is no upper bound of the
/// 99th percentile, at whatever level.
pub const ENOUGH_FOR_TAILS: f64 = 300.0;

/// The quantiles `levels` (each in [0, 1]) of `values` **in time order**, with their intervals at the
/// effective n. What cannot be computed is left out, as [`quantile`] says.
pub fn estimates(values: &[f64], levels: &[f64], blocks: Blocks<'_>) -> Vec<Estimate> {
    let sorted = sorted(values);
    let cells = Cells::new(values.len(), blocks);
    levels
        .iter()
        .filter_map(|&q| {
            let value = quantile(&sorted, q)?;
            if cells.len() < MIN_ROWS.min(values.len()) {
                // A few known blocks: nothing can be said of how alike they are.
                return Some(Estimate::unbounded(value, values.len()).effective(cells.len() as f64));
            }
            let below: Vec<f64> = values.iter().map(|v| f64::from(u8::from(*v <= value))).collect();
            let n_eff = Dependence::of(&below, &cells).n_eff;
            Some(at_effective(sorted.len(), |rank| sorted.get(rank).copied(), q, value, n_eff))
        })
        .collect()
}

/// The interval of `value`, the `q`-quantile of `n` ascending values that are worth `n_eff`; `at`: the one at a rank.
pub(super) fn at_effective(
    n: usize,
    at: impl Fn(usize) -> Option<f64>,
    q: f64,
    value: f64,
    n_eff: f64,
) -> Estimate {
    // What is as good as n by rounding is n.
    let worth = ((n_eff + 1e-6) as usize).clamp(1, n.max(1));
    let stretch = n as f64 / worth as f64;
    let (lower, upper) = bracket(worth, q);
    let lower = lower.map(|rank| (rank as f64 * stretch).floor() as usize);
    let upper = upper.map(|rank| ((rank + 1) as f64 * stretch).ceil() as usize - 1);
    let upper = upper.filter(|_| q < TAIL || n_eff >= ENOUGH_FOR_TAILS);
    let lo = lower.and_then(&at).unwrap_or(f64::NEG_INFINITY);
    let hi = upper.and_then(|rank| at(rank.min(n - 1))).unwrap_or(f64::INFINITY);
    Estimate::within(value, lo, hi, n).effective(n_eff)
}

/// numpy's interpolation: from the nearer end, so that both ends are hit exactly.
fn interpolate(lower: f64, upper: f64, t: f64) -> f64 {
    let gap = upper - lower;
    if t < 0.5 { lower + gap * t } else { upper - gap * (1.0 - t) }
}

/// Ranks (from 0) of the order statistics that bracket the `q`-quantile of `n` values.
///
/// With B ~ binomial(n, q): the highest rank l (from 1) with P(B < l) ≤ α/2, and the lowest
/// rank u with P(B ≥ u) ≤ α/2.
fn bracket(n: usize, q: f64) -> (Option<usize>, Option<usize>) {
    if q <= 0.0 {
        return (None, Some(0));
    }
    if q >= 1.0 {
        return (n.checked_sub(1), None);
    }
    let alpha_half = (1.0 - LEVEL) / 2.0;
    let (first, probabilities) = binomial(n, q);
    let mut below = 0.0; // P(B < k)
    let mut lower = None;
    for (i, p) in probabilities.iter().enumerate() {
        let k = first + i;
        if below <= alpha_half {
            lower = Some(k);
        }
        below += p;
    }
    let mut above = 0.0; // P(B ≥ k)
    let mut upper = first + probabilities.len();
    for (i, p) in probabilities.iter().enumerate().rev() {
        above += p;
        if above > alpha_half {
            break;
        }
        upper = first + i;
    }
    // Rank 0 does not exist from 1, rank n + 1 neither.
    let lower = lower.filter(|rank| (1..=n).contains(rank)).map(|rank| rank - 1);
    let upper = Some(upper).filter(|rank| (1..=n).contains(rank)).map(|rank| rank - 1);
    (lower, upper)
}

/// The binomial law where it is not negligible: the first k, and P(B = k) from there on.
///
/// Built outwards from the mode by the ratio of neighbours and normalised by its sum, so that no
/// gamma function is needed; terms below 1e-18 of the mode's are left out.
fn binomial(n: usize, q: f64) -> (usize, Vec<f64>) {
    const NEGLIGIBLE: f64 = 1e-18;
    let odds = q / (1.0 - q);
    let mode = (((n + 1) as f64 * q).floor() as usize).min(n);
    let mut down = Vec::new();
    let mut p = 1.0;
    for k in (0..mode).rev() {
        p *= (k + 1) as f64 / ((n - k) as f64 * odds);
        if p < NEGLIGIBLE {
            break;
        }
        down.push(p);
    }
    let first = mode - down.len();
    let mut law: Vec<f64> = down.into_iter().rev().collect();
    law.push(1.0);
    p = 1.0;
    for k in mode..n {
        p *= (n - k) as f64 * odds / (k + 1) as f64;
        if p < NEGLIGIBLE {
            break;
        }
        law.push(p);
    }
    let total: f64 = law.iter().sum();
    for p in &mut law {
        *p /= total;
    }
    (first, law)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::{normal, series};
    use super::*;

    #[test]
    fn quantiles_are_numpys() {
        // numpy: np.percentile([0.8, 1.2, 3.5, 0.9, 2.2, 7.1, 1.0], [0, 10, 25, 50, 90, 99, 100])
        let values = sorted(&[0.8, 1.2, 3.5, 0.9, 2.2, 7.1, 1.0]);
        let expected = [0.8, 0.86, 0.95, 1.2, 4.94, 6.884, 7.1];
        for (q, want) in [0.0, 0.1, 0.25, 0.5, 0.9, 0.99, 1.0].iter().zip(expected) {
            let got = quantile(&values, *q).unwrap();
            assert!((got - want).abs() < 1e-12, "q {q}: {got} is not {want}");
        }
    }

    #[test]
    fn what_cannot_be_computed_is_none() {
        assert_eq!(quantile(&[], 0.5), None);
        assert_eq!(quantile(&sorted(&[1.0, f64::NAN, 2.0]), 0.5), None);
        assert_eq!(quantile(&sorted(&[1.0, -f64::NAN, 2.0]), 0.5), None);
        assert_eq!(quantile(&[1.0, 2.0], 1.01), None);
        assert_eq!(quantile(&[1.0, 2.0], f64::NAN), None);
        assert_eq!(quantile(&[-f64::MAX, f64::MAX], 0.5), None);
    }

    #[test]
    fn the_bracket_is_the_binomials() {
        // n = 16, median: P(B ≤ 3) = 0.0106, P(B ≤ 4) = 0.0384 (scipy's binom.cdf), so
        // the 4th and the 13th smallest value.
        assert_eq!(bracket(16, 0.5), (Some(3), Some(12)));
        // n = 100, q = 0.99: P(B ≥ 100) = 0.366, so no value is an upper bound;
        // P(B ≤ 96) = 0.0184 and P(B ≤ 97) = 0.0794: the 97th smallest (from 1) is the lower one.
        assert_eq!(bracket(100, 0.99), (Some(96), None));
        // A hundred values have no bound of the extremes beyond themselves.
        assert_eq!(bracket(100, 1.0), (Some(99), None));
        assert_eq!(bracket(100, 0.0), (None, Some(0)));
        assert_eq!(bracket(2, 0.5), (None, None));
        assert_eq!(bracket(0, 0.5), (None, None));
    }

    #[test]
    fn the_binomial_law_is_right() {
        let (first, law) = binomial(4, 0.25);
        assert_eq!(first, 0);
        for (got, want) in law.iter().zip([81.0, 108.0, 54.0, 12.0, 1.0]) {
            assert!((got - want / 256.0).abs() < 1e-14);
        }
        let (first, law) = binomial(1_000_000, 0.99);
        let mean: f64 = law.iter().enumerate().map(|(i, p)| (first + i) as f64 * p).sum();
        assert!((mean - 990_000.0).abs() < 1e-3);
        assert!(law.len() < 3_000, "only what matters is kept");
    }

    fn at(values: &[f64], q: f64) -> Estimate {
        estimates(values, &[q], Blocks::Rows)[0]
    }

    #[test]
    fn the_interval_covers_the_true_quantile_as_often_as_it_says() {
        // Exponential values: the true q-quantile is −ln(1 − q).
        for (n, q) in [(60, 0.5), (400, 0.9), (1_000, 0.99)] {
            let truth = -(1.0f64 - q).ln();
            let covered = (0..1_000)
                .map(|seed| at(&series::exponential(n, seed), q))
                .filter(|e| e.lo <= truth && truth <= e.hi)
                .count();
            assert!((940..=995).contains(&covered), "n {n}, q {q}: {covered} of 1000");
        }
    }

    #[test]
    fn dependent_values_have_wider_intervals_that_cover_as_often() {
        for (phi, n) in [(0.5, 300), (0.5, 1_500), (0.8, 300), (0.8, 1_500)] {
            for q in [0.5, 0.9] {
                let truth = normal::inverse_cdf(q) / (1.0_f64 - phi * phi).sqrt();
                let covered = (0..1_000)
                    .map(|seed| at(&series::autoregressive(n, phi, seed), q))
                    .filter(|e| e.lo <= truth && truth <= e.hi)
                    .count();
                assert!((930..=975).contains(&covered), "phi {phi}, n {n}, q {q}: {covered} of 1000");
            }
        }
    }

    #[test]
    fn the_bracket_of_fewer_is_stretched_outwards() {
        // Each value twice is worth half: the bracket of 16 (the 4th and the 13th) holds.
        let twice: Vec<f64> = (0..32).map(|i| f64::from(i / 2)).collect();
        let e = at_effective(twice.len(), |rank| twice.get(rank).copied(), 0.5, 7.5, 16.0);
        assert!((e.lo - 3.0).abs() < 1e-12 && (e.hi - 12.0).abs() < 1e-12, "{e:?}");
        let all = at_effective(twice.len(), |rank| twice.get(rank).copied(), 0.5, 7.5, 32.0);
        assert!(all.lo > e.lo && all.hi < e.hi, "{all:?}");
    }

    #[test]
    fn a_99th_percentile_of_few_is_one_sided() {
        let e = at(&series::exponential(290, 1), 0.99);
        assert!(e.lo.is_finite() && e.hi.is_infinite(), "{e:?}");
        assert!(at(&series::exponential(1_000, 1), 0.99).is_bounded());
        // A thousand, of which ten at a time are the same.
        let alike: Vec<f64> =
            series::exponential(100, 1).iter().flat_map(|v| std::iter::repeat_n(*v, 10)).collect();
        let e = at(&alike, 0.99);
        assert!(e.n == 1_000 && e.n_eff < ENOUGH_FOR_TAILS && e.hi.is_infinite(), "{e:?}");
    }

    #[test]
    fn a_burst_of_slow_requests_costs_the_tail_not_the_median() {
        let mut values = series::exponential(2_000, 2);
        for v in &mut values[900..960] {
            *v += 20.0;
        }
        let tail = at(&values, 0.99);
        assert!(at(&values, 0.5).n_eff > 1_500.0 && tail.n_eff < 200.0, "{tail:?}");
    }

    #[test]
    fn a_few_known_rounds_have_no_interval() {
        let labels: Vec<u32> = (0..90).map(|i| i / 30).collect();
        let e = estimates(&series::exponential(90, 1), &[0.5], Blocks::Labelled(&labels))[0];
        assert!(!e.lo.is_finite() && !e.hi.is_finite() && (e.n_eff - 3.0).abs() < 1e-9, "{e:?}");
    }

    proptest! {
        #[test]
        fn a_quantile_is_the_naive_one(values in prop::collection::vec(-1e9..1e9f64, 1..80), q in 0.0..=1.0f64) {
            let s = sorted(&values);
            let position = q * (s.len() - 1) as f64;
            let (i, t) = (position.floor() as usize, position.fract());
            let naive = s[i] * (1.0 - t) + s[(i + 1).min(s.len() - 1)] * t;
            prop_assert!((quantile(&s, q).unwrap() - naive).abs() <= 1e-6);
        }

        #[test]
        fn an_estimate_is_ordered_and_within_the_data(values in prop::collection::vec(-1e9..1e9f64, 1..300), q in 0.0..=1.0f64) {
            let s = sorted(&values);
            let e = estimates(&values, &[q], Blocks::Rows)[0];
            prop_assert!(e.lo <= e.value && e.value <= e.hi);
            prop_assert!(s[0] <= e.value && e.value <= s[s.len() - 1]);
            prop_assert!(!e.lo.is_finite() || e.lo >= s[0]);
            prop_assert!(!e.hi.is_finite() || e.hi <= s[s.len() - 1]);
        }
    }
}
