//! Whole numbers that come one by one, each with its time, and may be hundreds of millions: kept while they are
//! few, counted in fine buckets beyond. This file must not know what they measure.
//!
//! Up to [`KEPT`] values everything is exact. Beyond, a value is known to its bucket: numbers below 2,048 have a
//! bucket each, larger ones share those of [`STEPS`] to an octave (the scheme of `HdrHistogram`), so that a
//! quantile is within [`ERROR`] of the true one; the mean, the standard deviation and both ends stay exact, from
//! sums of integers. Time is cut into [`SLICES`] even parts, each with counts of its own: what an interval needs
//! is how alike values are that came at one time, and that is read off the parts:
//!
//! - the mean is a ratio of sums over the parts, Σ values / Σ how many, with the interval of
//!   [`super::bootstrap::ratio_of_sums`]
//! - the interval of a quantile is that of the order statistics at the effective n (see [`super::quantile`]), where the
//!   dependence is that of how many of each part lie at or below the quantile, less how many were to be expected

use super::blocks::{Blocks, Cells};
use super::dependence::Dependence;
use super::{Estimate, bootstrap, quantile};

/// So many are kept as they are.
pub const KEPT: usize = 1 << 21;
/// A quantile of more is within this share of the true one.
pub const ERROR: f64 = 1.0 / (1 << (BITS + 1)) as f64;
/// Buckets to an octave.
pub const STEPS: i64 = 1 << BITS;
const BITS: u32 = 10;
/// Parts of the time.
pub const SLICES: usize = 250;

/// Values that are still coming.
#[derive(Clone, Debug)]
pub struct Many {
    time: (i64, i64),
    /// When each came, and the value.
    kept: Vec<(i64, i64)>,
    at_most: usize,
    counted: Option<Counted>,
}

/// All that came.
#[derive(Clone, Debug)]
pub enum Values {
    /// Each of them, in the order of time.
    Kept(Vec<f64>),
    Counted(Counted),
}

impl Many {
    /// Of values that come from `begin` to `end`: earlier ones count as of the beginning, later ones as of the end.
    pub fn new(begin: i64, end: i64) -> Self {
        Self::keeping(KEPT, begin, end)
    }

    fn keeping(at_most: usize, begin: i64, end: i64) -> Self {
        Self { time: (begin, end.max(begin)), kept: Vec::new(), at_most, counted: None }
    }

    pub fn push(&mut self, at: i64, value: i64) {
        match &mut self.counted {
            Some(counted) => counted.add(at, value),
            None if self.kept.len() < self.at_most => self.kept.push((at, value)),
            None => {
                let mut counted = Counted::new(self.time);
                for (at, value) in std::mem::take(&mut self.kept) {
                    counted.add(at, value);
                }
                counted.add(at, value);
                self.counted = Some(counted);
            }
        }
    }

    /// All of them, each divided by `unit`.
    pub fn values(mut self, unit: f64) -> Values {
        if let Some(counted) = self.counted {
            return Values::Counted(Counted { unit, ..counted });
        }
        self.kept.sort_unstable();
        Values::Kept(self.kept.into_iter().map(|(_, value)| value as f64 / unit).collect())
    }
}

impl Values {
    pub fn len(&self) -> usize {
        match self {
            Self::Kept(values) => values.len(),
            Self::Counted(counted) => counted.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn mean(&self) -> Option<f64> {
        match self {
            Self::Kept(values) => super::moments::mean(values),
            Self::Counted(counted) => Some(counted.mean()),
        }
    }

    /// The smallest and the largest.
    pub fn ends(&self) -> Option<(f64, f64)> {
        match self {
            Self::Kept(values) => {
                let least = values.iter().copied().min_by(f64::total_cmp)?;
                Some((least, values.iter().copied().max_by(f64::total_cmp)?))
            }
            Self::Counted(counted) => Some(counted.ends()),
        }
    }

    /// Quantiles without their intervals; none where there are no values.
    pub fn quantiles<const N: usize>(&self, levels: [f64; N]) -> Option<[f64; N]> {
        let found: Vec<f64> = match self {
            Self::Kept(values) => {
                let sorted = quantile::sorted(values);
                levels.iter().filter_map(|q| quantile::quantile(&sorted, *q)).collect()
            }
            Self::Counted(counted) => {
                let whole = counted.whole();
                levels.iter().filter_map(|q| counted.quantile(&whole, *q)).collect()
            }
        };
        found.try_into().ok()
    }
}

/// Values that were counted.
#[derive(Clone, Debug)]
pub struct Counted {
    time: (i64, i64),
    parts: Vec<Part>,
    n: u64,
    squares: i128,
    least: i64,
    most: i64,
    unit: f64,
}

/// What came in one part of the time.
#[derive(Clone, Debug, Default)]
struct Part {
    n: u64,
    sum: i128,
    counts: Counts,
}

/// How many lie in each of the buckets from `first` on.
#[derive(Clone, Debug, Default)]
struct Counts {
    first: i32,
    counts: Vec<u64>,
}

impl Counted {
    fn new(time: (i64, i64)) -> Self {
        let parts = vec![Part::default(); SLICES];
        Self { time, parts, n: 0, squares: 0, least: i64::MAX, most: i64::MIN, unit: 1.0 }
    }

    fn add(&mut self, at: i64, value: i64) {
        let (begin, end) = self.time;
        let after = i128::from(at.clamp(begin, end)) - i128::from(begin);
        let length = i128::from(end) - i128::from(begin) + 1;
        let part = (after * SLICES as i128 / length) as usize;
        if let Some(part) = self.parts.get_mut(part) {
            part.n += 1;
            part.sum += i128::from(value);
            part.counts.add(bucket(value), 1);
        }
        self.n += 1;
        self.squares += i128::from(value) * i128::from(value);
        (self.least, self.most) = (self.least.min(value), self.most.max(value));
    }

    /// How many there are: more than none.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.n as usize
    }

    /// The smallest and the largest.
    pub fn ends(&self) -> (f64, f64) {
        (self.least as f64 / self.unit, self.most as f64 / self.unit)
    }

    fn sum(&self) -> i128 {
        self.parts.iter().map(|part| part.sum).sum()
    }

    pub fn mean(&self) -> f64 {
        self.sum() as f64 / self.n as f64 / self.unit
    }

    /// Of all of them: divisor n.
    pub fn std(&self) -> f64 {
        let (n, mean) = (self.n as f64, self.sum() as f64 / self.n as f64);
        // Of integers the sums are exact; what is taken from them is not, and can come out below 0.
        (self.squares as f64 / n - mean * mean).max(0.0).sqrt() / self.unit
    }

    /// The mean with its interval.
    pub fn mean_estimate(&self, seed: u64) -> Option<Estimate> {
        let mean = self.sum() as f64 / self.n as f64;
        let pairs: Vec<(f64, f64)> =
            self.filled().map(|part| (part.sum as f64 / self.unit, part.n as f64)).collect();
        let found = bootstrap::ratio_of_sums(&pairs, Blocks::Rows, seed)?;
        let beyond: Vec<f64> = self.filled().map(|part| part.sum as f64 - mean * part.n as f64).collect();
        let std = self.std() * self.unit;
        Some(Estimate { n: self.n as usize, ..found }.effective(self.effective(std * std, &beyond)))
    }

    /// The quantiles with their intervals; as [`quantile::estimates`] makes them.
    pub fn estimates(&self, levels: &[f64]) -> Vec<Estimate> {
        let whole = self.whole();
        let n = self.n as usize;
        let one = |&q: &f64| {
            let value = self.quantile(&whole, q)?;
            if self.filled().count() < bootstrap::MIN_ROWS {
                return Some(Estimate::unbounded(value, n).effective(self.filled().count() as f64));
            }
            let at = bucket((value * self.unit).round() as i64);
            let share = whole.up_to(at) as f64 / self.n as f64;
            let beyond: Vec<f64> =
                self.filled().map(|part| part.counts.up_to(at) as f64 - share * part.n as f64).collect();
            let n_eff = self.effective(share * (1.0 - share), &beyond);
            let ranked = |rank: usize| self.ranked(&whole, rank as u64);
            Some(quantile::at_effective(n, ranked, q, value, n_eff))
        };
        levels.iter().filter_map(one).collect()
    }

    /// How many independent values say as much: n · variance of one / (n · variance of the mean), where the parts'
    /// sums less what was expected of them are `beyond`.
    fn effective(&self, variance: f64, beyond: &[f64]) -> f64 {
        let n = self.n as f64;
        let parts = Dependence::of(beyond, &Cells::new(beyond.len(), Blocks::Rows));
        let n_eff = n * n * variance / (parts.long_run_variance * beyond.len() as f64);
        if n_eff.is_finite() { n_eff.clamp(1.0, n) } else { n }
    }

    fn filled(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.n > 0)
    }

    fn whole(&self) -> Counts {
        let mut whole = Counts::default();
        for part in &self.parts {
            for (bucket, n) in part.counts.each() {
                whole.add(bucket, n);
            }
        }
        whole
    }

    /// By linear interpolation, as [`quantile::quantile`].
    fn quantile(&self, whole: &Counts, q: f64) -> Option<f64> {
        let position = (self.n.checked_sub(1)?) as f64 * q;
        let below = self.ranked(whole, position as u64)?;
        let above = self.ranked(whole, position as u64 + 1).unwrap_or(below);
        Some(below + (above - below) * position.fract())
    }

    /// The value at a rank, from 0.
    fn ranked(&self, whole: &Counts, rank: u64) -> Option<f64> {
        let mut seen = 0;
        let bucket = whole.each().find_map(|(bucket, n)| {
            seen += n;
            (seen > rank).then_some(bucket)
        })?;
        Some(middle(bucket).clamp(self.least as f64, self.most as f64) / self.unit)
    }
}

impl Counts {
    fn add(&mut self, bucket: i32, n: u64) {
        if self.counts.is_empty() {
            self.first = bucket;
        }
        if bucket < self.first {
            let more = (self.first - bucket) as usize;
            self.counts.splice(0..0, std::iter::repeat_n(0, more));
            self.first = bucket;
        }
        let place = (bucket - self.first) as usize;
        if self.counts.len() <= place {
            self.counts.resize(place + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(place) {
            *count += n;
        }
    }

    fn each(&self) -> impl Iterator<Item = (i32, u64)> {
        (self.first..).zip(self.counts.iter().copied())
    }

    fn up_to(&self, bucket: i32) -> u64 {
        self.each().take_while(|(b, _)| *b <= bucket).map(|(_, n)| n).sum()
    }
}

/// The bucket's number: the value's own below twice [`STEPS`], and on from there without a hole.
fn bucket(value: i64) -> i32 {
    let size = value.unsigned_abs();
    let number = if size < 2 * STEPS as u64 {
        size as i32
    } else {
        let shift = u64::BITS - 1 - size.leading_zeros() - BITS;
        ((shift << BITS) + (size >> shift) as u32).cast_signed()
    };
    if value < 0 { -number } else { number }
}

/// The middle of a bucket's values.
fn middle(bucket: i32) -> f64 {
    let number = i64::from(bucket.unsigned_abs());
    let size = if number < 2 * STEPS {
        number as f64
    } else {
        let width = (((number >> BITS) - 1) as f64).exp2();
        let first = ((number & (STEPS - 1)) + STEPS) as f64 * width;
        first + (width - 1.0) / 2.0
    };
    if bucket < 0 { -size } else { size }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::series;
    use super::*;

    /// An autoregressive series, one value a second, in millionths around 50: kept, and counted.
    fn both(n: usize, phi: f64, seed: u64) -> (Vec<f64>, Counted) {
        let (mut all, mut few) = (Many::new(0, 60_000), Many::keeping(10, 0, 60_000));
        for (at, value) in (0..).zip(series::autoregressive(n, phi, seed)) {
            let value = ((50.0 + value) * 1e6) as i64;
            all.push(at, value);
            few.push(at, value);
        }
        match (all.values(1e6), few.values(1e6)) {
            (Values::Kept(kept), Values::Counted(counted)) => (kept, counted),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_counted_says_what_is_kept() {
        for (phi, seed) in [(0.0, 1), (0.8, 2), (0.99, 3)] {
            let (kept, counted) = both(60_000, phi, seed);
            let near =
                |a: f64, b: f64, by: f64| assert!((a / b - 1.0).abs() <= by, "phi {phi}: {a} is not {b}");
            let mean = bootstrap::mean(&kept, Blocks::Rows, 0).unwrap();
            let counted_mean = counted.mean_estimate(0).unwrap();
            near(counted_mean.value, mean.value, 1e-12);
            near(counted.std(), super::super::moments::std(&kept).unwrap(), 1e-6);
            near(counted_mean.hi - counted_mean.lo, mean.hi - mean.lo, 0.3);
            near(counted_mean.n_eff, mean.n_eff, 0.5);
            let levels = [0.5, 0.9, 0.99];
            let exact = quantile::estimates(&kept, &levels, Blocks::Rows);
            for (found, exact) in counted.estimates(&levels).iter().zip(&exact) {
                near(found.value, exact.value, ERROR);
                for (bound, known) in [(found.lo, exact.lo), (found.hi, exact.hi)] {
                    let room = 0.3 * (exact.hi - exact.lo) + 2.0 * ERROR * known;
                    assert!((bound - known).abs() <= room, "phi {phi}: {found:?} is not {exact:?}");
                }
                assert_eq!(found.n, exact.n);
            }
        }
    }

    #[test]
    fn intervals_of_what_is_counted_hold_the_truth_as_often_as_they_say() {
        // 95 % of 300: 285; ± 3.5 standard deviations of that count.
        let held = (0..300)
            .map(|seed| both(8_000, 0.6, seed).1)
            .map(|counted| [counted.mean_estimate(0).unwrap(), counted.estimates(&[0.5])[0]])
            .fold([0, 0], |mut held, found| {
                for (held, e) in held.iter_mut().zip(found) {
                    *held += u32::from(e.lo <= 50.0 && 50.0 <= e.hi);
                }
                held
            });
        assert!(held.iter().all(|n| (271..=298).contains(n)), "{held:?} of 300");
    }

    #[test]
    fn few_are_kept_in_the_order_of_time() {
        let mut many = Many::new(0, 10);
        for (at, value) in [(7, 30), (2, 10), (7, 20)] {
            many.push(at, value);
        }
        let values = many.values(10.0);
        assert_eq!((values.len(), values.ends(), values.mean()), (3, Some((1.0, 3.0)), Some(2.0)));
        assert_eq!(values.quantiles([0.0, 0.25]), Some([1.0, 1.5]));
        let Values::Kept(kept) = values else { panic!("counted") };
        assert_eq!(kept, [1.0, 2.0, 3.0]);
        let none = Many::new(0, 0).values(1.0);
        assert_eq!((none.is_empty(), none.ends(), none.quantiles([0.5])), (true, None, None));
    }

    proptest! {
        #[test]
        fn a_bucket_is_as_narrow_as_promised_and_in_order(a: i64, b in -5_000..5_000_i64) {
            for value in [a, b] {
                let said = middle(bucket(value));
                prop_assert!((said - value as f64).abs() <= ERROR * (value as f64).abs(), "{value}: {said}");
            }
            prop_assert_eq!(bucket(a).cmp(&bucket(b)).is_le(), a <= b || bucket(a) == bucket(b));
        }

        #[test]
        fn counted_quantiles_are_within_their_error(values in prop::collection::vec(-1_000_000_000..1_000_000_000_000_i64, 1..300)) {
            let mut many = Many::keeping(0, 5, 4);
            for v in &values {
                many.push(*v, *v);
            }
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let Values::Counted(counted) = many.values(1.0) else { panic!("kept") };
            let whole = counted.whole();
            for (rank, exact) in sorted.iter().enumerate() {
                let found = counted.ranked(&whole, rank as u64).unwrap();
                prop_assert!((found - *exact as f64).abs() <= ERROR * (*exact as f64).abs());
            }
        }
    }
}
