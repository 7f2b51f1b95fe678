//! 95 % intervals of everything that is a function of sums: means, ratios of sums, and their paired
//! differences, from rows **in time order**. This file must not know what the numbers measure.
//!
//! Method: the studentised moving-block bootstrap (Götze and Künsch, *Second-order correctness of the
//! blockwise bootstrap*, Annals of Statistics 24, 1996). Requests that shared a queue are alike, so
//! blocks of neighbouring rows are drawn, of a length that [`super::dependence`] finds (1 for rows
//! that are independent); a row holds both sides of a request, so that a pair stays a pair. Each
//! resample's statistic is divided by its own standard error, from the blocks it drew, and the
//! interval is value − t · standard error with the 2.5 % and 97.5 % points of those t and the
//! long-run standard error of the sample.
//!
//! - fewer than [`MIN_ROWS`] rows, or known blocks: no interval (both bounds infinite)
//! - up to [`super::blocks::MAX_CELLS`] rows stand alone, more are condensed to so many sums of
//!   neighbours first: the same sums, the same standard error, and no more work
//! - [`RESAMPLES`] resamples, `ChaCha8` seeded by the caller: the same rows and seed give the same
//!   interval for ever
//!
//! Standard errors are those of the linearised statistic (the infinitesimal jackknife): a row's
//! influence is the statistic's gradient, by central differences, times the row's distance from the
//! mean.

use super::blocks::{Blocks, Cells};
use super::dependence::Dependence;
use super::estimate::Estimate;
use super::resample::Sample;

/// Resamples of each bootstrap.
pub const RESAMPLES: usize = 2_000;
/// Below this many rows (or known blocks) a resampling distribution says too little to print.
pub const MIN_ROWS: usize = 5;
/// Influences below this share of the terms that they are differences of are rounding errors.
const ROUNDING: f64 = 1e-13;

/// The mean.
///
/// Where no value is negative the mean is none, and so is no bound of it.
pub fn mean(values: &[f64], blocks: Blocks<'_>, seed: u64) -> Option<Estimate> {
    let rows: Vec<[f64; 1]> = values.iter().map(|v| [*v]).collect();
    let estimate = of_sums(&rows, blocks, |sums, n| sums[0] / n, seed)?;
    Some(from_zero(estimate, values.iter().all(|v| *v >= 0.0)))
}

/// No bound below 0 of what cannot be.
fn from_zero(estimate: Estimate, cannot: bool) -> Estimate {
    let lo = if cannot && estimate.lo.is_finite() { estimate.lo.max(0.0) } else { estimate.lo };
    Estimate { lo, ..estimate }
}

/// Σ numerator / Σ denominator over `(numerator, denominator)` pairs: the ratio of sums, as servers'
/// counters give it, not the mean of ratios. Where no numerator and no denominator is negative, no bound is.
pub fn ratio_of_sums(pairs: &[(f64, f64)], blocks: Blocks<'_>, seed: u64) -> Option<Estimate> {
    let rows: Vec<[f64; 2]> = pairs.iter().map(|(num, den)| [*num, *den]).collect();
    let estimate = of_sums(&rows, blocks, |sums, _| sums[0] / sums[1], seed)?;
    Some(from_zero(estimate, pairs.iter().all(|(num, den)| *num >= 0.0 && *den >= 0.0)))
}

/// One request's contribution to a ratio of sums on both sides: `(numerator, denominator)` each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BothSides {
    pub client: (f64, f64),
    pub server: (f64, f64),
}

/// Client's ratio of sums − server's, over the same requests: resampled together, so that what the
/// two sides share cancels out of the interval.
pub fn ratio_difference(rows: &[BothSides], blocks: Blocks<'_>, seed: u64) -> Option<Estimate> {
    let rows: Vec<[f64; 4]> = rows.iter().map(|r| [r.client.0, r.client.1, r.server.0, r.server.1]).collect();
    of_sums(&rows, blocks, |sums, _| sums[0] / sums[1] - sums[2] / sums[3], seed)
}

/// The mean of `client − server` over `(client, server)` pairs.
pub fn mean_difference(pairs: &[(f64, f64)], blocks: Blocks<'_>, seed: u64) -> Option<Estimate> {
    let differences: Vec<f64> = pairs.iter().map(|(client, server)| client - server).collect();
    mean(&differences, blocks, seed)
}

/// Any statistic that is a smooth function of the columns' sums and the number of rows, and that
/// stays the same when all of them are doubled.
///
/// `rows` are in time order. `None` for no rows or when the statistic itself is not finite (a zero
/// denominator, a NaN).
pub fn of_sums<const K: usize>(
    rows: &[[f64; K]],
    blocks: Blocks<'_>,
    statistic: impl Fn(&[f64; K], f64) -> f64,
    seed: u64,
) -> Option<Estimate> {
    let n = rows.len();
    let sample = Sample::new(rows, statistic);
    let value = sample.value();
    if n == 0 || !value.is_finite() {
        return None;
    }
    let cells = Cells::new(n, blocks);
    if cells.len() < MIN_ROWS {
        return Some(Estimate::unbounded(value, n).effective(cells.len() as f64));
    }
    let (influences, grain) = sample.influences(rows);
    let dependence = Dependence::of(&influences, &cells);
    if dependence.variance.sqrt() <= grain * ROUNDING {
        return Some(Estimate::within(value, value, value, n));
    }
    let standard_error = (n as f64 * dependence.long_run_variance).sqrt();
    let t = sample.studentised(rows, &cells, dependence.block, RESAMPLES, seed);
    let (lo, hi) = (value - t.upper * standard_error, value - t.lower * standard_error);
    // A bound that came out undefined (resamples whose denominators are all zero) is not known.
    let lo = if lo.is_nan() { f64::NEG_INFINITY } else { lo };
    let hi = if hi.is_nan() { f64::INFINITY } else { hi };
    Some(Estimate::within(value, lo, hi, n).effective(dependence.n_eff))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::blocks::MAX_CELLS;
    use super::super::series::{autoregressive, exponential, of_the_reference, queue};
    use super::*;

    /// How many in a thousand intervals hold the truth.
    fn covered(series: u64, truth: f64, interval: impl Fn(u64) -> Estimate) -> f64 {
        let held = (0..series).map(interval).filter(|e| e.lo <= truth && truth <= e.hi).count();
        1_000.0 * held as f64 / series as f64
    }

    #[test]
    fn the_interval_of_independent_values_covers_the_truth_as_often_as_it_says() {
        for n in [80, 300] {
            let of_mean = covered(500, 1.0, |seed| mean(&exponential(n, seed), Blocks::Rows, 1).unwrap());
            assert!((930.0..=970.0).contains(&of_mean), "n {n}: {of_mean} of 1000");
        }
        let of_ratio = covered(500, 2.0, |seed| {
            let dens = exponential(80, seed);
            let noise = exponential(80, seed + 10_000);
            let pairs: Vec<(f64, f64)> =
                dens.iter().zip(&noise).map(|(d, e)| (d + 0.5 * (e - 1.0), d / 2.0)).collect();
            ratio_of_sums(&pairs, Blocks::Rows, 1).unwrap()
        });
        assert!((920.0..=970.0).contains(&of_ratio), "{of_ratio} of 1000");
    }

    #[test]
    fn the_interval_of_dependent_values_covers_the_truth_as_often_as_it_says() {
        // Measured, in this order: 953, 960, 938, 934, 938, 932 of 1000.
        for (phi, n, series) in [
            (0.0, 300, 400),
            (0.0, 1_500, 200),
            (0.5, 300, 1_000),
            (0.5, 1_500, 1_000),
            (0.8, 300, 4_000),
            (0.8, 1_500, 1_000),
        ] {
            let covered =
                covered(series, 0.0, |seed| mean(&autoregressive(n, phi, seed), Blocks::Rows, 1).unwrap());
            assert!((930.0..=970.0).contains(&covered), "phi {phi}, n {n}: {covered} of 1000");
        }
    }

    /// Waiting times are the worst case: skewed, half of them zero, remembered for long.
    #[test]
    fn the_interval_of_waiting_times_in_a_queue_nearly_covers_the_truth_as_often_as_it_says() {
        for (n, at_least) in [(300, 880.0), (1_500, 910.0)] {
            let covered = covered(1_000, 0.5, |seed| mean(&queue(n, 0.5, seed), Blocks::Rows, 1).unwrap());
            assert!((at_least..=970.0).contains(&covered), "n {n}: {covered} of 1000");
        }
    }

    #[test]
    fn rounds_that_are_known_are_the_blocks() {
        // 40 rounds of 25 requests that share all but a tenth of their deviation: the truth is the
        // rounds' mean.
        let labels: Vec<u32> = (0..1_000).map(|i| i / 25).collect();
        let interval = |seed| {
            let (shared, own) = (exponential(40, seed), exponential(1_000, seed + 50_000));
            let rows: Vec<f64> = own
                .iter()
                .zip(&labels)
                .map(|(own, round)| 0.1 * own + 0.9 * shared[*round as usize])
                .collect();
            mean(&rows, Blocks::Labelled(&labels), 1).unwrap()
        };
        let covered = covered(1_000, 1.0, interval);
        assert!((930.0..=970.0).contains(&covered), "{covered} of 1000");
        let one = interval(1);
        assert!((35.0..=50.0).contains(&one.n_eff), "{one:?}");
        // Three rounds say nothing of how rounds differ.
        let few = mean(&exponential(75, 1), Blocks::Labelled(&labels[..75]), 1).unwrap();
        assert!(!few.is_bounded() && (few.n_eff - 3.0).abs() < 1e-9, "{few:?}");
    }

    #[test]
    fn intervals_agree_with_an_independent_implementation() {
        // numpy 2.4, `series` and `reference` as in series.rs and dependence.rs:
        //   def bt(x, b, se, B):
        //       n = len(x); k = -(-n // b); e = x - x.mean()
        //       bs = np.array([e[(j + np.arange(b)) % n].sum() for j in range(n)])
        //       S = bs[np.random.default_rng(0).integers(0, n, (B, k))]; d = S.sum(1) / (k * b)
        //       s = np.sqrt(k / (k - 1) * ((S - S.mean(1, keepdims=True))**2).sum(1)) / (k * b)
        //       lo, hi = np.quantile(np.clip(d / s, -6, 6), [.025, .975])
        //       return x.mean() - hi * se, x.mean() - lo * se
        // 2,000 resamples scatter around its 100,000 and more.
        let values = [
            0.8, 1.2, 3.5, 0.9, 2.2, 7.1, 1.0, 1.1, 0.7, 2.9, 1.4, 0.8, 2.0, 5.2, 1.3, 0.9, 1.9, 3.1, 1.0,
            2.4,
        ];
        let near = |e: Estimate, lo: f64, hi: f64| {
            let width = hi - lo;
            assert!((e.lo - lo).abs() < 0.05 * width && (e.hi - hi).abs() < 0.05 * width, "{e:?}");
        };
        // bt(x, 1, x.std(ddof=1) / sqrt(20), 400_000)
        near(mean(&values, Blocks::Rows, 42).unwrap(), 1.4636, 3.3854);
        // x = series(300, .8, 1); bt(x, 16, sqrt(lrv / 300), 100_000)
        near(mean(&of_the_reference(300, 0.8, 1), Blocks::Rows, 42).unwrap(), -0.2302, 0.1186);
        // d = 1.5 + series(300, .5, 7); num = 3 * d + series(300, .8, 9), r = num.sum() / d.sum(); as
        // above over blocks of 27, with block sums N and D of each resample:
        //   s² = k / (k − 1) Σ (N − r* D)² / (Σ D)², t = (r* − r) / s
        let dens: Vec<f64> = of_the_reference(300, 0.5, 7).iter().map(|x| 1.5 + x).collect();
        let pairs: Vec<(f64, f64)> =
            dens.iter().zip(of_the_reference(300, 0.8, 9)).map(|(d, x)| (3.0 * d + x, *d)).collect();
        let ratio = ratio_of_sums(&pairs, Blocks::Rows, 42).unwrap();
        near(ratio, 2.7373, 3.0851);
        assert!((ratio.value - 2.934_404_000_635).abs() < 1e-9 && (ratio.n_eff - 20.628_587).abs() < 1e-4);
    }

    #[test]
    fn a_condensed_series_has_the_interval_of_its_rows() {
        let values = exponential(2 * MAX_CELLS + 100, 3);
        let condensed = mean(&values, Blocks::Rows, 1).unwrap();
        let width = condensed.hi - condensed.lo;
        // The theory's standard error of so many exponential values.
        assert!((width / (2.0 * 1.96 / (values.len() as f64).sqrt()) - 1.0).abs() < 0.08, "{condensed:?}");
        let covered =
            covered(150, 0.0, |seed| mean(&autoregressive(20_000, 0.9, seed), Blocks::Rows, 1).unwrap());
        assert!((900.0..=990.0).contains(&covered), "{covered} of 1000");
    }

    #[test]
    fn a_paired_difference_is_narrower_than_the_sides() {
        let server = exponential(300, 5);
        let pairs: Vec<(f64, f64)> =
            server.iter().zip(exponential(300, 6)).map(|(s, e)| (s + 0.01 + 0.001 * e, *s)).collect();
        let e = mean_difference(&pairs, Blocks::Rows, 9).unwrap();
        assert!((e.value - 0.011).abs() < 1e-3);
        assert!(e.hi - e.lo < 0.001);

        let rows: Vec<BothSides> =
            pairs.iter().map(|(c, s)| BothSides { client: (100.0, *c), server: (100.0, *s) }).collect();
        let both = ratio_difference(&rows, Blocks::Rows, 9).unwrap();
        let client: Vec<(f64, f64)> = rows.iter().map(|r| r.client).collect();
        let alone = ratio_of_sums(&client, Blocks::Rows, 9).unwrap();
        assert!(both.value < 0.0, "the client sees fewer tokens a second");
        assert!(both.hi - both.lo < 0.2 * (alone.hi - alone.lo));
    }

    #[test]
    fn a_pair_stays_a_pair_in_its_block() {
        // What both sides share is dependent, their difference is not: it is worth n.
        let shared = autoregressive(600, 0.8, 5);
        let pairs: Vec<(f64, f64)> =
            shared.iter().zip(exponential(600, 6)).map(|(s, e)| (9.0 + s + 0.01 * e, 9.0 + s)).collect();
        let difference = mean_difference(&pairs, Blocks::Rows, 9).unwrap();
        let client: Vec<f64> = pairs.iter().map(|(c, _)| *c).collect();
        assert!(difference.n_eff > 500.0, "{difference:?}");
        assert!(mean(&client, Blocks::Rows, 9).unwrap().n_eff < 120.0);
    }

    #[test]
    fn the_same_seed_gives_the_same_interval() {
        let values = exponential(50, 1);
        assert_eq!(mean(&values, Blocks::Rows, 7), mean(&values, Blocks::Rows, 7));
        assert_ne!(mean(&values, Blocks::Rows, 7), mean(&values, Blocks::Rows, 8));
    }

    #[test]
    fn few_or_odd_rows_never_break_it() {
        assert_eq!(mean(&[], Blocks::Rows, 1), None);
        assert_eq!(mean(&[f64::NAN, 1.0], Blocks::Rows, 1), None);
        assert_eq!(ratio_of_sums(&[(1.0, 0.0), (2.0, 0.0)], Blocks::Rows, 1), None);
        assert_eq!(mean(&[3.0; 4], Blocks::Rows, 1), Some(Estimate::unbounded(3.0, 4)));
        let equal = mean(&[3.1; 41], Blocks::Rows, 1).unwrap();
        assert_eq!((equal.lo, equal.hi), (equal.value, equal.value));
        // Most resamples of these have a zero denominator.
        let mut pairs = vec![(1.0, 0.0); 9];
        pairs.push((1.0, 1.0));
        let e = ratio_of_sums(&pairs, Blocks::Rows, 1).unwrap();
        assert!((e.value - 10.0).abs() < 1e-12 && e.hi.is_infinite());
    }

    #[test]
    fn one_large_value_does_not_make_the_interval_endless() {
        let mut values: Vec<f64> = exponential(999, 4).iter().map(|e| 1e-4 * e).collect();
        values.insert(500, 1.0);
        let e = mean(&values, Blocks::Rows, 1).unwrap();
        // Its count is between 0.025 and 5.57 with 95 % (Poisson).
        assert!(e.hi > 5.57e-3 && e.hi < 8e-3 && e.lo < 0.2e-3, "{e:?}");
    }

    /// A queue that was empty most of the time: the mean wait is uncertain, and not negative.
    #[test]
    fn the_mean_of_values_that_are_not_negative_has_no_bound_that_is() {
        let mut waits = vec![0.0; 38];
        waits.extend([1.0, 30.0]);
        let of_sums_bound = of_sums(
            &waits.iter().map(|w| [*w]).collect::<Vec<[f64; 1]>>(),
            Blocks::Rows,
            |sums, n| sums[0] / n,
            1,
        );
        assert!(of_sums_bound.unwrap().lo < 0.0);
        let e = mean(&waits, Blocks::Rows, 1).unwrap();
        assert!(e.lo >= 0.0 && e.lo < e.value && e.value < e.hi, "{e:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn odd_input_never_breaks_it(
            pairs in prop::collection::vec((any::<f64>(), any::<f64>()), 0..30),
            labels in prop::collection::vec(0..3_u32, 0..30),
        ) {
            for blocks in [Blocks::Rows, Blocks::Labelled(&labels)] {
                if let Some(e) = ratio_of_sums(&pairs, blocks, 1) {
                    prop_assert!(e.value.is_finite() && e.lo <= e.value && e.value <= e.hi);
                    prop_assert!(1.0 <= e.n_eff && e.n_eff <= e.n as f64);
                }
            }
        }

        #[test]
        fn an_interval_moves_and_scales_with_its_values(
            values in prop::collection::vec(0.0..1e3_f64, MIN_ROWS..60),
            shift in -1e3..1e3_f64,
        ) {
            // As it comes out, before a bound below zero is cut off where no value is negative.
            let uncut = |values: &[f64]| {
                let rows: Vec<[f64; 1]> = values.iter().map(|v| [*v]).collect();
                of_sums(&rows, Blocks::Rows, |sums, n| sums[0] / n, 3).unwrap()
            };
            let e = uncut(&values);
            let moved: Vec<f64> = values.iter().map(|v| 4.0 * v + shift).collect();
            let m = uncut(&moved);
            prop_assert!((m.lo - 4.0 * e.lo - shift).abs() < 1e-6 && (m.hi - 4.0 * e.hi - shift).abs() < 1e-6);
        }
    }
}
