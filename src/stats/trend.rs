//! Whether a series in time rises: its slope by least squares with an uncertainty that knows that neighbours are
//! alike. This file must not know what the series is.
//!
//! The series is averaged over [`BINS`] equal parts of its time. Residuals of the straight line through them are taken as
//! autoregressive: with their correlation ρ from part to part, and Kendall's correction of its bias (*Note on bias in the
//! estimation of autocorrelation*, Biometrika 41, 1954), the slope's variance is (1 + ρ) / (1 − ρ) times that of
//! independent residuals, and there are as many times fewer of them for the degrees of freedom of Student's t.
//! A series that wanders for longer than it was watched looks like one that rises: no test can tell the two apart.

use super::{Estimate, LEVEL, student};

/// Parts that a series is averaged over.
const BINS: usize = 20;
/// Fewer parts with something in them have no residuals to speak of.
const FEWEST: usize = 8;
/// Never fewer degrees of freedom: what they are of, the residuals' steps from part to part, are many more; below this
/// no slope however steep would be told from none.
const FEWEST_DEGREES: f64 = 3.0;
/// ρ is believed up to here.
const MOST: f64 = 0.9;

/// A slope, per second, with its standard error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slope {
    pub per_s: f64,
    pub error: f64,
    pub degrees: f64,
    /// Parts of time that it rests on.
    pub n: usize,
}

impl Slope {
    /// The slope of `(seconds, value)` points in any order; `None` where they are too few, or not finite.
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        let parts = binned(points);
        let n = parts.len() as f64;
        if parts.len() < FEWEST {
            return None;
        }
        let (mean_t, mean_y) = (mean(parts.iter().map(|p| p.0), n), mean(parts.iter().map(|p| p.1), n));
        let spread: f64 = parts.iter().map(|(t, _)| (t - mean_t) * (t - mean_t)).sum();
        let per_s = parts.iter().map(|(t, y)| (t - mean_t) * (y - mean_y)).sum::<f64>() / spread;
        let left: Vec<f64> = parts.iter().map(|(t, y)| y - mean_y - per_s * (t - mean_t)).collect();
        let squares: f64 = left.iter().map(|r| r * r).sum();
        let neighbours: f64 = left.windows(2).map(|w| w.iter().product::<f64>()).sum();
        // Where the line is exact nothing is left to be correlated.
        let seen = if squares > 0.0 { neighbours / squares } else { 0.0 };
        let rho = (seen + (1.0 + 4.0 * seen) / n).clamp(0.0, MOST);
        let wider = (1.0 + rho) / (1.0 - rho);
        let error = (squares / (n - 2.0) / spread * wider).sqrt();
        (per_s.is_finite() && error.is_finite()).then(|| Self {
            per_s,
            error,
            degrees: (n / wider - 2.0).max(FEWEST_DEGREES),
            n: parts.len(),
        })
    }

    /// With its interval.
    pub fn estimate(&self) -> Estimate {
        let reach = student::quantile(f64::midpoint(1.0, LEVEL), self.degrees) * self.error;
        Estimate::within(self.per_s, self.per_s - reach, self.per_s + reach, self.n)
            .effective(self.degrees + 2.0)
    }

    /// What it is above with this probability.
    pub fn at_least(&self, probability: f64) -> f64 {
        self.per_s - student::quantile(probability, self.degrees) * self.error
    }
}

fn mean(values: impl Iterator<Item = f64>, n: f64) -> f64 {
    values.sum::<f64>() / n
}

/// Means over equal parts of the time, at the mean time of what is in each; empty parts left out.
fn binned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite = || points.iter().filter(|(t, y)| t.is_finite() && y.is_finite());
    let from = finite().map(|p| p.0).fold(f64::INFINITY, f64::min);
    let to = finite().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max);
    if to.is_nan() || from.is_nan() || to <= from {
        return Vec::new();
    }
    let mut sums = vec![(0.0, 0.0, 0.0); BINS];
    for (t, y) in finite() {
        let at = ((t - from) / (to - from) * BINS as f64) as usize;
        if let Some((n, ts, ys)) = sums.get_mut(at.min(BINS - 1)) {
            (*n, *ts, *ys) = (*n + 1.0, *ts + t, *ys + y);
        }
    }
    sums.into_iter().filter(|(n, ..)| *n > 0.0).map(|(n, t, y)| (t / n, y / n)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::series::exponential;
    use super::*;

    #[test]
    fn a_line_has_its_slope() {
        let points: Vec<(f64, f64)> =
            (0..400).map(|i| (0.1 * f64::from(i), 3.0 + 0.2 * f64::from(i))).collect();
        let slope = Slope::of(&points).unwrap();
        assert!((slope.per_s - 2.0).abs() < 1e-9 && slope.error < 1e-9, "{slope:?}");
        assert!((slope.at_least(0.99) - 2.0).abs() < 1e-6);
        assert_eq!(Slope::of(&points[..7]), None, "too few");
        assert_eq!(Slope::of(&[(1.0, 2.0); 50]), None, "no time passed");
    }

    /// Noise that is alike from value to value, around a line: the interval holds its slope about as often as it says.
    #[test]
    fn the_interval_holds_the_slope_of_autoregressive_noise() {
        for (alike, least) in [(0.0, 900), (0.8, 900), (0.95, 850)] {
            let held = (0..1_000)
                .filter(|seed| {
                    let mut now = 0.0;
                    let points: Vec<(f64, f64)> = exponential(400, *seed)
                        .into_iter()
                        .enumerate()
                        .map(|(i, e)| {
                            now = alike * now + e - 1.0;
                            (i as f64, 0.5 * i as f64 + now)
                        })
                        .collect();
                    let e = Slope::of(&points).unwrap().estimate();
                    e.lo <= 0.5 && 0.5 <= e.hi
                })
                .count();
            assert!(held >= least, "{held} of 1000 at {alike}");
        }
    }

    proptest! {
        #[test]
        fn odd_input_never_breaks_it(points in prop::collection::vec((any::<f64>(), any::<f64>()), 0..60)) {
            if let Some(slope) = Slope::of(&points) {
                prop_assert!(slope.per_s.is_finite() && slope.error >= 0.0);
            }
        }
    }
}
