//! Counts in buckets that grow by 5 %, for values that come one by one for hours and must not be
//! kept. This file must not know what the values measure.

/// Values up to this lie in the first bucket.
const SMALLEST: f64 = 1e-6;
const GROWTH: f64 = 1.05;
/// The last bucket, far beyond any duration: larger values lie in it.
const LAST: usize = 1_000;

/// A histogram of positive values; a quantile of it is within 2.5 % of the true one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogHistogram {
    counts: Vec<u64>,
    total: u64,
}

impl LogHistogram {
    /// Counts one value.
    pub fn record(&mut self, value: f64) {
        let bucket = ((value.max(SMALLEST) / SMALLEST).log(GROWTH) as usize).min(LAST);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.total += 1;
        }
    }

    /// Counts what `other` has counted too.
    pub fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The value at quantile `q`; `None` when nothing was counted.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q * self.total as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        self.counts.iter().enumerate().find_map(|(bucket, count)| {
            seen += count;
            (self.total > 0 && seen >= rank).then(|| SMALLEST * GROWTH.powf(bucket as f64 + 0.5))
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_their_promise() {
        assert_eq!(LogHistogram::default().quantile(0.5), None);
        let mut histogram = LogHistogram::default();
        (1..=1000).for_each(|ms| histogram.record(f64::from(ms) / 1e3));
        assert_eq!(histogram.total(), 1000);
        for q in [0.01, 0.5, 0.9, 0.99, 1.0] {
            assert!((histogram.quantile(q).unwrap() / q - 1.0).abs() < 0.026, "{q}");
        }
    }

    #[test]
    fn counts_of_parts_are_those_of_the_whole() {
        let (mut whole, mut parts) = (LogHistogram::default(), LogHistogram::default());
        for values in [[1e-5, 3e-4, 0.2], [1e-6, 1e-5, 7.0]] {
            let mut part = LogHistogram::default();
            for value in values {
                whole.record(value);
                part.record(value);
            }
            parts.add(&part);
        }
        assert_eq!((parts.total(), &parts), (6, &whole));
    }

    #[test]
    fn no_value_is_too_strange() {
        let mut histogram = LogHistogram::default();
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 0.0, f64::MAX] {
            histogram.record(value);
        }
        assert_eq!(histogram.total(), 6);
        assert!(histogram.quantile(0.1).unwrap() < 2e-6 && histogram.quantile(1.0).unwrap() > 1e12);
    }
}
