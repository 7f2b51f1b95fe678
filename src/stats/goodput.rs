//! Goodput: requests per second that met every objective. A failed request misses, however fast it
//! failed. This file must not know which objectives there are.

use serde::{Deserialize, Serialize};

use super::blocks::{Blocks, Cells};
use super::dependence::Dependence;
use super::estimate::{Estimate, LEVEL};
use super::normal;

/// How many requests met all objectives, as a share and as a rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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

/// Goodput of requests over `duration_s`: one flag per ended request **in time order**, false for failed
/// ones.
pub fn goodput(met: &[bool], duration_s: f64) -> Option<Goodput> {
    if met.is_empty() || !duration_s.is_finite() || duration_s <= 0.0 {
        return None;
    }
    let n = met.len();
    let good = met.iter().filter(|met| **met).count();
    let flags: Vec<f64> = met.iter().map(|met| f64::from(u8::from(*met))).collect();
    // Requests that shared a queue miss together: they are worth fewer than they are.
    let n_eff = Dependence::of(&flags, &Cells::new(n, Blocks::Rows)).n_eff;
    let share = wilson(good, n, if n_eff.is_finite() { n_eff } else { n as f64 });
    let rps = share.scaled(n as f64 / duration_s);
    Some(Goodput { met: good, n, share, rps })
}

/// The share of several runs' requests together: counts and effective counts are summed.
pub fn pooled(runs: &[Goodput]) -> Option<Estimate> {
    let (met, n) = runs.iter().fold((0, 0), |(met, n), run| (met + run.met, n + run.n));
    (n > 0).then(|| wilson(met, n, runs.iter().map(|run| run.share.n_eff).sum()))
}

/// So many of so many as a share, with Wilson's score interval; `None` of none.
pub fn share(of: usize, n: usize) -> Option<Estimate> {
    (n > 0 && of <= n).then(|| wilson(of, n, n as f64))
}

/// A proportion with Wilson's score interval, which stays within [0, 1] and works at 0 and n
/// (E. B. Wilson, *Probable inference, the law of succession, and statistical inference*, Journal of the
/// American Statistical Association 22, 1927), as wide as so many independent observations make it.
fn wilson(good: usize, n: usize, n_eff: f64) -> Estimate {
    let count = n_eff.clamp(1.0, n as f64);
    let p = good as f64 / n as f64;
    let z = normal::inverse_cdf(f64::midpoint(1.0, LEVEL));
    let spread = z * (p * (1.0 - p) / count + z * z / (4.0 * count * count)).sqrt();
    let scale = 1.0 + z * z / count;
    let centre = p + z * z / (2.0 * count);
    let lo = ((centre - spread) / scale).max(0.0);
    let hi = ((centre + spread) / scale).min(1.0);
    Estimate::within(p, lo, hi, n).effective(count)
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

        // Every tenth misses.
        let met: Vec<bool> = (0..100).map(|i| i % 10 != 9).collect();
        let g = goodput(&met, 20.0).unwrap();
        assert_eq!((g.met, g.n), (90, 100));
        assert!((g.rps.value - 4.5).abs() < 1e-12);
        // statsmodels: proportion_confint(90, 100, method="wilson") = (0.8256, 0.9448)
        assert!((g.share.lo - 0.825_63).abs() < 1e-4 && (g.share.hi - 0.944_77).abs() < 1e-4);
    }

    #[test]
    fn misses_that_come_together_are_worth_fewer() {
        let mut met = vec![true; 90];
        met.extend([false; 10]);
        let clustered = goodput(&met, 20.0).unwrap().share;
        assert!(clustered.n_eff < 50.0 && clustered.hi - clustered.lo > 0.15, "{clustered:?}");
    }

    #[test]
    fn runs_are_pooled_by_their_counts() {
        let spread = |n: usize, every: usize| {
            let met: Vec<bool> = (0..n).map(|i| i % every != every - 1).collect();
            goodput(&met, 5.0).unwrap()
        };
        let both = pooled(&[spread(50, 10), spread(50, 10)]).unwrap();
        assert!((both.value - 0.9).abs() < 1e-12 && both.n == 100);
        let alone = spread(50, 10).share;
        assert!(both.hi - both.lo < alone.hi - alone.lo);
        assert_eq!(pooled(&[]), None);
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
