//! How much the values of a series in time order depend on each other, and what that costs: the
//! long-run variance, the effective number of values, the length of blocks that a bootstrap must
//! keep together. This file must not know what the values measure.
//!
//! Requests that shared a queue are alike, so a thousand of them say less than a thousand
//! independent ones would. With autocovariances R(k), the variance of a mean of n values is the
//! long-run variance Σ R(k) over n, not R(0) over n.
//!
//! Method: Politis and White, *Automatic block-length selection for the dependent bootstrap*
//! (Econometric Reviews 23, 2004) with the correction by Patton, Politis and White (28, 2009):
//!
//! - the autocorrelations count up to the lag m after which [`QUIET_RUN`] in a row are within
//!   ±2 √(log₁₀ n / n); M = 2 m lags are looked at, as the published programs count them (their m is
//!   one more than the paper's; they then cover better, measured on autoregressive series). Where no
//!   autocorrelation counts at all, M = 0 and values are independent, where those programs would
//!   still look at two lags of noise
//! - Σ λ(k / M) R(k) with the flat-top window λ(x) = min(1, 2 (1 − |x|)) estimates the long-run
//!   variance; it is divided by 1 − Σ λ(k / M) (1 − |k| / n) / n, the share that taking the mean off
//!   has left, which for M = 0 makes n − 1 of the divisor n
//! - blocks of the circular bootstrap have the length (2 G² / D)^⅓ n^⅓ with G = Σ λ(k / M) |k| R(k)
//!   and D = 4/3 (Σ λ(k / M) R(k))², at most min(3 √n, n / 3); and for a studentised bootstrap at
//!   least 4/3 M (the window's ∫ λ²), so that a resample's standard error, from n / length blocks, is
//!   as uncertain as the sample's
//!
//! The long-run variance is never taken to be less than the variance: values that alternate would
//! make it so, and then `n_eff` would be more than n. That would be a claim to know more than n
//! independent values could tell, which an estimate from a few lags is no ground for.

use super::blocks::Cells;

/// So many autocorrelations in a row that do not count end the search for the last that does:
/// the paper's max(5, √log₁₀ n).
const QUIET_RUN: usize = 5;
/// Taking off the mean leaves at least this share of a long-run variance, by decree: beyond it the
/// series is too short for its window, and the correction would be noise.
const LEAST_LEFT: f64 = 0.5;

/// What a series says about its own dependence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dependence {
    /// Of one value, divisor n − 1.
    pub variance: f64,
    /// n times the variance of the series' mean; at least `variance` where every value is a cell.
    pub long_run_variance: f64,
    /// How many cells a bootstrap must keep together.
    pub block: usize,
    /// n · variance / long-run variance, in [1, n].
    pub n_eff: f64,
}

impl Dependence {
    /// Of `values` in time order, taken apart into `cells`.
    pub fn of(values: &[f64], cells: &Cells) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let sums: Vec<f64> = cells.of(values).map(|cell| cell.iter().map(|v| v - mean).sum()).collect();
        let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / (n - 1.0);
        let found = Automatic::of(&sums);
        let long_run_variance = found.long_run_variance * sums.len() as f64 / n;
        let n_eff = n * variance / long_run_variance;
        Self {
            variance,
            long_run_variance,
            block: found.block,
            // Equal values are as good as independent ones: 0 / 0.
            n_eff: if n_eff.is_finite() { n_eff.clamp(1.0, n.max(1.0)) } else { n },
        }
    }
}

/// The automatic choices for one series.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Automatic {
    /// M: the lags that the window reaches over.
    lags: usize,
    block_length: f64,
    /// The length that is used: whole, and no shorter than the window asks for.
    block: usize,
    /// n times the variance of the mean.
    long_run_variance: f64,
}

impl Automatic {
    fn of(series: &[f64]) -> Self {
        let n = series.len() as f64;
        let most_lags = (n.sqrt().ceil() as usize + QUIET_RUN).min(series.len().saturating_sub(1));
        let covariances = autocovariances(series, most_lags);
        let variance = covariances.first().copied().unwrap_or(0.0);
        let lags = match last_that_counts(&covariances, n) {
            0 => 0,
            last => (2 * (last + 1)).min(most_lags),
        };
        let mut flat = variance; // Σ λ R
        let mut spread = 0.0; // Σ λ |k| R
        let mut taken = 1.0; // Σ λ (1 − |k| / n)
        for (k, covariance) in (0..=lags).zip(&covariances).skip(1) {
            let x = k as f64 / lags as f64;
            let both_sides = 2.0 * (2.0 * (1.0 - x)).min(1.0);
            flat += both_sides * covariance;
            spread += both_sides * k as f64 * covariance;
            taken += both_sides * (1.0 - k as f64 / n);
        }
        let longest = (3.0 * n.sqrt()).min(n / 3.0).ceil().max(1.0);
        let length = (2.0 * spread * spread / (4.0 / 3.0 * flat * flat) * n).cbrt();
        // Equal values, or a window that sums to nothing: 0 / 0, and no blocks.
        let block_length = if length.is_nan() { 1.0 } else { length.clamp(1.0, longest) };
        Self {
            lags,
            block_length,
            block: (block_length.round() as usize).max(4 * lags / 3).min(longest as usize),
            long_run_variance: (flat / (1.0 - taken / n).max(LEAST_LEFT)).max(variance * n / (n - 1.0)),
        }
    }
}

/// R(0) … R(`most_lags`), divisor n.
fn autocovariances(series: &[f64], most_lags: usize) -> Vec<f64> {
    let n = series.len() as f64;
    let mean = series.iter().sum::<f64>() / n;
    let centred: Vec<f64> = series.iter().map(|v| v - mean).collect();
    (0..=most_lags)
        .map(|k| {
            let later = centred.get(k..).unwrap_or_default();
            centred.iter().zip(later).map(|(a, b)| a * b).sum::<f64>() / n
        })
        .collect()
}

/// The smallest lag (the paper's m) after which a run of autocorrelations does not count.
fn last_that_counts(covariances: &[f64], n: f64) -> usize {
    let critical = 2.0 * (n.log10() / n).sqrt() * covariances.first().copied().unwrap_or(0.0);
    let counts = |lag: usize| covariances.get(lag).is_some_and(|c| c.abs() >= critical && critical > 0.0);
    let quiet_after = |lag: &usize| !(lag + 1..=lag + QUIET_RUN).any(counts);
    (0..covariances.len()).find(quiet_after).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::blocks::{Blocks, MAX_CELLS};
    use super::super::series;
    use super::*;

    fn of(values: &[f64]) -> Dependence {
        Dependence::of(values, &Cells::new(values.len(), Blocks::Rows))
    }

    #[test]
    fn block_lengths_and_effective_n_are_the_independent_implementations() {
        // numpy 2.4; `series` stands in series.rs, seed 1:
        //   def reference(x):
        //       n = len(x); e = x - x.mean()
        //       R = np.correlate(e, e, 'full')[n - 1:] / n
        //       most = int(np.ceil(np.sqrt(n))) + 5
        //       loud = np.abs(R[:most + 1] / R[0]) >= 2 * np.sqrt(np.log10(n) / n)
        //       m = next(h for h in range(most + 1) if not loud[h + 1:h + 6].any())
        //       M = min(2 * (m + 1), most) if m else 0
        //       k = np.arange(-M, M + 1)
        //       lam = np.clip(2 * (1 - np.abs(k) / max(M, 1)), 0, 1)
        //       S = (lam * R[abs(k)]).sum(); G = (lam * abs(k) * R[abs(k)]).sum()
        //       b = max(1, (2 * G**2 / (4 / 3 * S**2))**(1 / 3) * n**(1 / 3))
        //       lrv = max(S / (1 - (lam * (1 - abs(k) / n)).sum() / n), R[0] * n / (n - 1))
        //       return M, b, lrv, R[0] * n / (n - 1) * n / lrv
        // b is also what `optimal_block_length(x)["circular"]` of arch 8.0 says wherever M > 0
        // (all digits; for the independent series it says 1.554, as it looks at two lags of noise).
        for (n, phi, lags, length, variance, n_eff) in [
            (300, 0.0, 0, 1.0, 0.077_819_282_984_882, 300.0),
            (300, 0.5, 6, 8.463_317_658_616_644, 0.364_989_082_093_169, 92.349_992_509_116),
            (300, 0.8, 16, 16.345_442_977_117, 2.054_513_066_761_486, 35.353_841_442_093),
            (1_500, 0.5, 8, 14.648_866_213_624, 0.363_155_542_444_094, 476.050_386_583_165),
            (1_500, 0.8, 18, 28.008_945_309_533, 1.974_164_865_402_912, 187.783_881_610_655),
            (1_500, -0.5, 8, 12.872_072_970_224, 0.109_220_409_107_052, 1_500.0),
        ] {
            let values = series::of_the_reference(n, phi, 1);
            let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 1e-9;
            let automatic = Automatic::of(&values);
            assert_eq!(automatic.lags, lags, "n {n}, phi {phi}");
            assert!(near(automatic.block_length, length), "n {n}, phi {phi}: {automatic:?}");
            let found = of(&values);
            assert!(near(found.long_run_variance, variance), "n {n}, phi {phi}: {found:?}");
            assert!(near(found.n_eff, n_eff), "n {n}, phi {phi}: {found:?}");
            assert_eq!(found.block, (length.round() as usize).max(4 * lags / 3));
        }
    }

    #[test]
    fn the_effective_n_of_an_autoregressive_series_is_the_theorys() {
        // n (1 − φ) / (1 + φ); the mean over 40 series.
        for (phi, n) in [(0.0, 3_000), (0.5, 3_000), (0.8, 3_000), (0.8, 20_000)] {
            let theory = f64::from(n) * (1.0 - phi) / (1.0 + phi);
            let found: f64 =
                (0..40).map(|seed| of(&series::autoregressive(n as usize, phi, seed)).n_eff).sum::<f64>()
                    / 40.0;
            assert!((found / theory - 1.0).abs() < 0.08, "phi {phi}, n {n}: {found} is not {theory}");
        }
    }

    #[test]
    fn values_that_come_in_equal_runs_count_once() {
        let runs = |length: usize| -> Vec<f64> {
            series::exponential(600, 3).iter().flat_map(|v| std::iter::repeat_n(*v, length)).collect()
        };
        let n_eff = of(&runs(5)).n_eff;
        assert!((n_eff / 600.0 - 1.0).abs() < 0.15, "{n_eff}");
        // The same, known beforehand.
        let labels: Vec<u32> = (0..3_000).map(|i| i / 5).collect();
        let known = Dependence::of(&runs(5), &Cells::new(3_000, Blocks::Labelled(&labels)));
        assert!((known.n_eff / 600.0 - 1.0).abs() < 0.02 && known.block == 1, "{known:?}");
        // Far longer than any window of lags would be: the cells hold them.
        let long = of(&runs(500));
        assert!((long.n_eff / 600.0 - 1.0).abs() < 0.15, "{long:?}");
        assert!(long.block < MAX_CELLS / 10);
    }

    #[test]
    fn alternating_values_are_worth_no_more_than_n() {
        let alternating: Vec<f64> = (0..200).map(|i| f64::from(i % 2)).collect();
        let found = of(&alternating);
        assert!((found.n_eff - 200.0).abs() < 1e-9 && found.long_run_variance >= found.variance, "{found:?}");
    }

    #[test]
    fn equal_values_are_worth_n_and_few_are_worth_something() {
        assert!((of(&[2.5; 40]).n_eff - 40.0).abs() < 1e-9 && of(&[2.5; 40]).block == 1);
        for n in 0..8 {
            let found = of(&series::exponential(n, 1));
            assert!(found.block >= 1 && !found.n_eff.is_nan(), "{n}: {found:?}");
        }
    }

    proptest! {
        #[test]
        fn odd_input_never_breaks_it(values in prop::collection::vec(any::<f64>(), 0..60)) {
            let found = of(&values);
            prop_assert!(found.block >= 1 && found.block <= values.len().max(1));
            prop_assert!(values.is_empty() || (1.0..=values.len() as f64).contains(&found.n_eff));
        }

        #[test]
        fn a_unit_changes_nothing(phi in -0.9..0.9_f64, seed: u64, factor in 1e-9..1e9_f64) {
            let values = series::autoregressive(120, phi, seed);
            let scaled: Vec<f64> = values.iter().map(|v| v * factor).collect();
            let (a, b) = (of(&values), of(&scaled));
            prop_assert_eq!(a.block, b.block);
            prop_assert!((a.n_eff / b.n_eff - 1.0).abs() < 1e-6);
        }
    }
}
