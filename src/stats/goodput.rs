//! Goodput: requests per second that met every objective. A failed request misses, however fast it
//! failed. This file must not know which objectives there are.

use super::estimate::{Estimate, LEVEL};
use super::normal;

/// How many requests met all objectives, as a share and as a rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goodput {
    pub met: usize,
    /// All requests that ended, failures included.
    pub n: usize,
    /// Met / n, with Wilson's score interval.
    pub share: Estimate,
    /// Met / duration; its interval is the share's, at the same number of requests.
    pub rps: Estimate,
}

/// One upper limit and what a request reached; `None` reached nothing (it failed, or the value does
/// not exist for it) and misses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Objective {
    pub value: Option<f64>,
    pub at_most: f64,
}

/// Whether a request met all of its objectives. With none to meet, it did.
pub fn meets(objectives: &[Objective]) -> bool {
    objectives.iter().all(|o| o.value.is_some_and(|value| value <= o.at_most))
}

/// Goodput of requests over `duration_s`: one flag per ended request, false for failed ones.
pub fn goodput(met: &[bool], duration_s: f64) -> Option<Goodput> {
    if met.is_empty() || !duration_s.is_finite() || duration_s <= 0.0 {
        return None;
    }
    let n = met.len();
    let good = met.iter().filter(|met| **met).count();
    let share = wilson(good, n);
    let rps = share.scaled(n as f64 / duration_s);
    Some(Goodput { met: good, n, share, rps })
}

/// So many of so many as a share, with Wilson's score interval; `None` of none.
pub fn share(of: usize, n: usize) -> Option<Estimate> {
    (n > 0 && of <= n).then(|| wilson(of, n))
}

/// A proportion with Wilson's score interval, which stays within [0, 1] and works at 0 and n
/// (E. B. Wilson, 1927).
fn wilson(good: usize, n: usize) -> Estimate {
    let (k, count) = (good as f64, n as f64);
    let p = k / count;
    let z = normal::inverse_cdf(f64::midpoint(1.0, LEVEL));
    let spread = z * (p * (1.0 - p) / count + z * z / (4.0 * count * count)).sqrt();
    let scale = 1.0 + z * z / count;
    let centre = p + z * z / (2.0 * count);
    let lo = ((centre - spread) / scale).max(0.0);
    let hi = ((centre + spread) / scale).min(1.0);
    Estimate::within(p, lo, hi, n)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn goodput_counts_only_requests_that_met_everything() {
        let limit = |value, at_most| Objective { value, at_most };
        assert!(meets(&[limit(Some(0.2), 0.2), limit(Some(0.01), 0.05)]));
        assert!(!meets(&[limit(Some(0.1), 0.2), limit(Some(0.06), 0.05)]));
        assert!(!meets(&[limit(None, 0.2)]));
        assert!(!meets(&[limit(Some(f64::NAN), 0.2)]));
        assert!(meets(&[]));

        let mut met = vec![true; 90];
        met.extend([false; 10]);
        let g = goodput(&met, 20.0).unwrap();
        assert_eq!((g.met, g.n), (90, 100));
        assert!((g.rps.value - 4.5).abs() < 1e-12);
        // statsmodels: proportion_confint(90, 100, method="wilson") = (0.8256, 0.9448)
        assert!((g.share.lo - 0.825_63).abs() < 1e-4 && (g.share.hi - 0.944_77).abs() < 1e-4);
    }

    #[test]
    fn nothing_or_everything_met_still_has_an_interval() {
        let none = goodput(&[false; 20], 10.0).unwrap();
        assert!(none.rps.value <= 0.0 && none.rps.lo >= 0.0 && none.rps.hi > 0.1);
        let all = goodput(&[true; 20], 10.0).unwrap();
        assert!(all.share.value >= 1.0 && all.share.hi <= 1.0 && all.share.lo < 0.9);
        assert_eq!(goodput(&[], 1.0), None);
        assert_eq!(goodput(&[true], 0.0), None);
        assert_eq!(goodput(&[true], f64::NAN), None);
    }
}
