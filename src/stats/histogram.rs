//! What cumulative buckets (Prometheus histograms) and counters say about a time window. A bucket
//! knows only bounds, so a quantile comes out as an interval, never as a point interpolated
//! inside. This file must not know where the samples come from.

/// A histogram: upper bounds (inclusive, ascending, the last one +∞) and how many values lie at or
/// below each.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    upper: Vec<f64>,
    cumulative: Vec<f64>,
}

/// What came between two readings.
#[derive(Clone, Debug, PartialEq)]
pub struct Delta {
    pub buckets: Buckets,
    /// A count went down: the server restarted in between. `buckets` then holds what came since.
    pub reset: bool,
}

impl Buckets {
    /// From `(upper bound, cumulative count)` pairs in any order.
    ///
    /// `None` unless there is a +∞ bucket, bounds differ, and counts are finite, not negative and
    /// never fall with the bound.
    pub fn new(pairs: &[(f64, f64)]) -> Option<Self> {
        let mut pairs = pairs.to_vec();
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (upper, cumulative): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let ascending = upper.windows(2).all(|w| matches!(w, [a, b] if a < b));
        let growing = cumulative.windows(2).all(|w| matches!(w, [a, b] if a <= b));
        let counts = cumulative.iter().all(|c| c.is_finite() && *c >= 0.0);
        let ends = upper.last().is_some_and(|bound| *bound == f64::INFINITY);
        (ascending && growing && counts && ends).then_some(Self { upper, cumulative })
    }

    /// How many values there are.
    pub fn total(&self) -> f64 {
        self.cumulative.last().copied().unwrap_or(0.0)
    }

    /// Both together, for several replicas; `None` when their bounds differ.
    pub fn plus(&self, other: &Self) -> Option<Self> {
        self.combined(other, |a, b| a + b)
    }

    /// What came since `before`; `None` when the bounds differ.
    pub fn since(&self, before: &Self) -> Option<Delta> {
        let increase = self.combined(before, |after, before| after - before)?;
        // A reading is not atomic over buckets, so the increase may fall with the bound by a value
        // or two; only a count below the earlier one is a restart.
        let reset = increase.cumulative.iter().any(|c| *c < 0.0);
        let buckets = if reset { self.clone() } else { increase.monotone() };
        Some(Delta { buckets, reset })
    }

    /// Bounds `(lo, hi]` that surely hold the `q`-quantile (by linear interpolation) of the values.
    ///
    /// They span two buckets where the interpolation does. The first bucket starts at 0 if its
    /// bound is positive, as latencies and counts do; the last one has no upper end.
    pub fn quantile(&self, q: f64) -> Option<(f64, f64)> {
        let n = self.total();
        if n < 1.0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let position = (n - 1.0) * q;
        let (lo, _) = self.bucket_of(position.floor() + 1.0)?;
        let (_, hi) = self.bucket_of(position.ceil() + 1.0)?;
        Some((lo, hi))
    }

    /// Bounds `(lo, hi]` that surely hold the `q`-quantile of any `n` of the values: the others may be
    /// the smallest or the largest of all. `None` for more than there are.
    pub fn quantile_of_some(&self, q: f64, n: f64) -> Option<(f64, f64)> {
        let others = self.total() - n;
        if n < 1.0 || others < 0.0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let position = (n - 1.0) * q;
        let (lo, _) = self.bucket_of(position.floor() + 1.0)?;
        let (_, hi) = self.bucket_of(position.ceil() + 1.0 + others)?;
        Some((lo, hi))
    }

    /// Bounds of the sum of any `n` of the values: the smallest at the lower ends of their buckets, the
    /// largest at the upper ones.
    pub fn sum_of_some(&self, n: f64) -> (f64, f64) {
        let mut before = 0.0;
        let (mut least, mut most) = (0.0, 0.0);
        let (mut smallest_left, skip) = (n.max(0.0), (self.total() - n).max(0.0));
        for (i, (upper, cumulative)) in self.upper.iter().zip(&self.cumulative).enumerate() {
            let lower = i.checked_sub(1).and_then(|p| self.upper.get(p)).copied().unwrap_or(0.0);
            let here = cumulative - before;
            let small = here.min(smallest_left);
            smallest_left -= small;
            // An empty share of the last bucket must not make 0 × ∞.
            least += if small > 0.0 { small * lower } else { 0.0 };
            let large = (cumulative - skip).max(0.0).min(here);
            most += if large > 0.0 { large * upper } else { 0.0 };
            before = *cumulative;
        }
        (least, most)
    }

    /// The upper end of the first bucket: nothing below it can be told apart.
    pub fn finest(&self) -> Option<f64> {
        self.upper.first().copied().filter(|bound| bound.is_finite())
    }

    /// The bucket that holds the value of this rank (from 1).
    fn bucket_of(&self, rank: f64) -> Option<(f64, f64)> {
        let i = self.cumulative.partition_point(|c| *c < rank);
        let hi = *self.upper.get(i)?;
        let lo = match i.checked_sub(1) {
            Some(previous) => *self.upper.get(previous)?,
            None if hi > 0.0 => 0.0,
            None => f64::NEG_INFINITY,
        };
        Some((lo, hi))
    }

    fn combined(&self, other: &Self, f: impl Fn(f64, f64) -> f64) -> Option<Self> {
        (self.upper == other.upper).then(|| Self {
            upper: self.upper.clone(),
            cumulative: self.cumulative.iter().zip(&other.cumulative).map(|(a, b)| f(*a, *b)).collect(),
        })
    }

    fn monotone(mut self) -> Self {
        let mut highest = 0.0f64;
        for c in &mut self.cumulative {
            highest = highest.max(*c);
            *c = highest;
        }
        self
    }
}

/// How far a counter rose over a series of readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Increase {
    pub total: f64,
    /// How often it fell, that is, restarted from zero. `total` then lacks what came between the
    /// last reading before a restart and the restart.
    pub resets: usize,
}

/// The increase of a counter over its readings in time order, restarts recognised as Prometheus
/// does: a fall means that the counter began again at zero. `None` for fewer than two readings or
/// one that is not finite.
pub fn increase(readings: &[f64]) -> Option<Increase> {
    if readings.len() < 2 || readings.iter().any(|r| !r.is_finite()) {
        return None;
    }
    let mut sum = Increase { total: 0.0, resets: 0 };
    for pair in readings.windows(2) {
        if let [before, after] = pair {
            if after < before {
                sum.resets += 1;
                sum.total += after;
            } else {
                sum.total += after - before;
            }
        }
    }
    Some(sum)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::quantile::{quantile, sorted};
    use super::*;

    const INF: f64 = f64::INFINITY;

    #[test]
    fn what_some_of_the_values_can_be_is_bounded_by_hand() {
        // Two up to 1, three more up to 2, one beyond.
        let all = Buckets::new(&[(1.0, 2.0), (2.0, 5.0), (INF, 6.0)]).unwrap();
        assert_eq!(all.quantile_of_some(0.5, 5.0), Some((1.0, 2.0)));
        assert_eq!(all.quantile_of_some(0.5, 3.0), Some((0.0, 2.0)));
        assert_eq!(all.quantile_of_some(0.5, 7.0), None);
        assert_eq!(all.sum_of_some(1.0), (0.0, INF));
        assert_eq!(all.sum_of_some(3.0), (1.0, INF));
        let closed = Buckets::new(&[(1.0, 2.0), (2.0, 5.0), (INF, 5.0)]).unwrap();
        assert_eq!(closed.sum_of_some(4.0), (2.0, 7.0));
        assert_eq!(closed.sum_of_some(0.0), (0.0, 0.0));
        assert_eq!(closed.finest(), Some(1.0));
    }

    fn buckets(counts: [f64; 4]) -> Buckets {
        let upper = [0.1, 0.5, 1.0, INF];
        let pairs: Vec<(f64, f64)> = upper.into_iter().zip(counts).collect();
        Buckets::new(&pairs).unwrap()
    }

    #[test]
    fn a_quantile_is_the_bucket_that_holds_it() {
        let b = buckets([10.0, 90.0, 99.0, 100.0]);
        assert_eq!(b.quantile(0.05), Some((0.0, 0.1)));
        assert_eq!(b.quantile(0.5), Some((0.1, 0.5)));
        assert_eq!(b.quantile(0.95), Some((0.5, 1.0)));
        // The 99th percentile of 100 values lies between the 99th and the 100th.
        assert_eq!(b.quantile(0.99), Some((0.5, INF)));
        assert_eq!(b.quantile(1.0), Some((1.0, INF)));
        assert_eq!(buckets([0.0; 4]).quantile(0.5), None);
        assert_eq!(b.quantile(f64::NAN), None);
    }

    #[test]
    fn a_window_is_the_difference_and_a_restart_is_seen() {
        let before = buckets([5.0, 20.0, 30.0, 30.0]);
        let after = buckets([7.0, 60.0, 71.0, 72.0]);
        let delta = after.since(&before).unwrap();
        assert_eq!(delta.buckets, buckets([2.0, 40.0, 41.0, 42.0]));
        assert!(!delta.reset);

        let restarted = buckets([1.0, 2.0, 2.0, 40.0]);
        let delta = restarted.since(&before).unwrap();
        assert!(delta.reset);
        assert_eq!(delta.buckets, restarted);
    }

    #[test]
    fn replicas_add_up_only_with_equal_bounds() {
        let b = buckets([1.0, 2.0, 3.0, 4.0]);
        assert_eq!(b.plus(&b), Some(buckets([2.0, 4.0, 6.0, 8.0])));
        let other = Buckets::new(&[(0.2, 1.0), (INF, 2.0)]).unwrap();
        assert_eq!(b.plus(&other), None);
        assert_eq!(b.since(&other), None);
    }

    #[test]
    fn what_is_no_histogram_is_refused() {
        assert_eq!(Buckets::new(&[]), None);
        assert_eq!(Buckets::new(&[(0.1, 1.0)]), None, "no +Inf");
        assert_eq!(Buckets::new(&[(0.1, 2.0), (INF, 1.0)]), None, "falls");
        assert_eq!(Buckets::new(&[(0.1, 1.0), (0.1, 1.0), (INF, 1.0)]), None, "twice");
        assert_eq!(Buckets::new(&[(f64::NAN, 1.0), (INF, 1.0)]), None, "NaN");
        assert_eq!(Buckets::new(&[(0.1, -1.0), (INF, 1.0)]), None, "negative");
        assert!(Buckets::new(&[(INF, 3.0), (0.1, 2.0)]).is_some(), "any order");
    }

    #[test]
    fn a_counter_that_restarts_keeps_counting() {
        assert_eq!(increase(&[5.0, 9.0, 12.0]), Some(Increase { total: 7.0, resets: 0 }));
        assert_eq!(increase(&[5.0, 9.0, 2.0, 4.0]), Some(Increase { total: 8.0, resets: 1 }));
        assert_eq!(increase(&[5.0]), None);
        assert_eq!(increase(&[5.0, f64::NAN]), None);
    }

    proptest! {
        /// Any choice of some values lies within what the buckets of all of them allow.
        #[test]
        fn some_of_the_values_lie_within_their_bounds(
            values in prop::collection::vec(0.0..10.0f64, 1..40),
            chosen in prop::collection::vec(any::<bool>(), 40),
            q in 0.0..=1.0f64,
        ) {
            let bounds = [0.5, 1.0, 2.0, 5.0, INF];
            let count = |le: f64| values.iter().filter(|v| **v <= le).count() as f64;
            let all = Buckets::new(&bounds.map(|le| (le, count(le)))).unwrap();
            let some: Vec<f64> =
                values.iter().zip(&chosen).filter(|(_, c)| **c).map(|(v, _)| *v).collect();
            prop_assume!(!some.is_empty());
            let (lo, hi) = all.quantile_of_some(q, some.len() as f64).unwrap();
            let exact = quantile(&sorted(&some), q).unwrap();
            prop_assert!(lo <= exact && exact <= hi, "{} not in ({}, {}]", exact, lo, hi);
            let (least, most) = all.sum_of_some(some.len() as f64);
            let sum: f64 = some.iter().sum();
            prop_assert!(least <= sum + 1e-9 && sum <= most + 1e-9, "{} not in {}..{}", sum, least, most);
        }

        #[test]
        fn the_bounds_hold_the_true_quantile(values in prop::collection::vec(0.0..2.0f64, 1..200), q in 0.0..=1.0f64) {
            let upper = [0.05, 0.1, 0.3, 0.8, 1.5, INF];
            let pairs = upper.map(|bound| (bound, values.iter().filter(|v| **v <= bound).count() as f64));
            let (lo, hi) = Buckets::new(&pairs).unwrap().quantile(q).unwrap();
            let truth = quantile(&sorted(&values), q).unwrap();
            prop_assert!(lo <= truth && truth <= hi, "{lo} {truth} {hi}");
        }

        #[test]
        fn odd_input_never_breaks_it(pairs in prop::collection::vec((any::<f64>(), any::<f64>()), 0..8), q: f64) {
            if let Some(b) = Buckets::new(&pairs) {
                let _ = b.quantile(q);
                prop_assert!(b.since(&b).is_some_and(|d| !d.reset && d.buckets.total() == 0.0));
            }
        }
    }
}
