//! A number with its uncertainty in the type: value, interval, level and n travel together. This
//! file must not know how an interval is made.

use serde::{Deserialize, Serialize, Serializer};

/// The confidence level of every interval.
pub const LEVEL: f64 = 0.95;

/// A point value with its confidence interval.
///
/// A bound that the data do not set is infinite: three requests say nothing about how high the
/// 99th percentile can be. In JSON such a bound is `null`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct Estimate {
    pub value: f64,
    #[serde(serialize_with = "bound")]
    pub lo: f64,
    #[serde(serialize_with = "bound")]
    pub hi: f64,
    /// How many observations (requests, pairs) it rests on.
    pub n: usize,
    /// How many independent observations would say as much, in [1, n]; fewer than n where they
    /// depend on each other, as requests do that shared a queue.
    pub n_eff: f64,
    /// Confidence level of [`lo`, `hi`].
    pub level: f64,
}

impl Estimate {
    /// A value whose interval the data do not bound.
    pub fn unbounded(value: f64, n: usize) -> Self {
        Self::within(value, f64::NEG_INFINITY, f64::INFINITY, n)
    }

    /// A value with its interval; widened to contain the value where a skewed resampling
    /// distribution would leave it outside.
    pub fn within(value: f64, lo: f64, hi: f64, n: usize) -> Self {
        Self { value, lo: lo.min(value), hi: hi.max(value), n, n_eff: n as f64, level: LEVEL }
    }

    /// The same estimate, of so many effective observations.
    #[must_use]
    pub fn effective(self, n_eff: f64) -> Self {
        Self { n_eff, ..self }
    }

    /// Whether the effective n is so much smaller that a reader must know.
    pub fn is_dependent(&self) -> bool {
        self.n_eff < 0.95 * self.n as f64
    }

    /// Whether both ends of the interval are known.
    pub fn is_bounded(&self) -> bool {
        self.lo.is_finite() && self.hi.is_finite()
    }

    /// The same estimate, so much more: a ratio less 1.
    #[must_use]
    pub fn moved(&self, by: f64) -> Self {
        Self { value: self.value + by, lo: self.lo + by, hi: self.hi + by, ..*self }
    }

    /// The same estimate in another unit; `factor` must be positive.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        Self { value: self.value * factor, lo: self.lo * factor, hi: self.hi * factor, ..*self }
    }
}

// Serde calls these by reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn bound<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    value.is_finite().then_some(*value).serialize(serializer)
}

/// As it stands in JSON; versions before `n_eff` took observations as independent.
#[derive(Deserialize)]
struct Written {
    value: f64,
    lo: Option<f64>,
    hi: Option<f64>,
    n: usize,
    n_eff: Option<f64>,
    level: f64,
}

impl From<Written> for Estimate {
    fn from(w: Written) -> Self {
        Self {
            value: w.value,
            lo: w.lo.unwrap_or(f64::NEG_INFINITY),
            hi: w.hi.unwrap_or(f64::INFINITY),
            n: w.n,
            n_eff: w.n_eff.unwrap_or(w.n as f64),
            level: w.level,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_bound_is_null_in_json_and_comes_back_infinite() {
        let open = Estimate::within(2.0, 1.5, f64::INFINITY, 7);
        let json = serde_json::to_string(&open).unwrap();
        assert_eq!(json, r#"{"value":2.0,"lo":1.5,"hi":null,"n":7,"n_eff":7.0,"level":0.95}"#);
        assert_eq!(serde_json::from_str::<Estimate>(&json).unwrap(), open);
    }

    #[test]
    fn an_estimate_of_an_older_version_counts_every_observation() {
        let older = r#"{"value":2.0,"lo":1.5,"hi":null,"n":7,"level":0.95}"#;
        assert_eq!(serde_json::from_str::<Estimate>(older).unwrap().n_eff.to_bits(), 7.0_f64.to_bits());
    }

    #[test]
    fn dependence_is_told_from_five_percent_on() {
        let e = Estimate::within(1.0, 0.9, 1.1, 100);
        assert!(!e.effective(96.0).is_dependent() && e.effective(94.0).is_dependent());
    }

    #[test]
    fn an_interval_contains_its_value() {
        let e = Estimate::within(1.0, 1.2, 1.4, 9);
        assert!(e.lo <= e.value && e.value <= e.hi);
        assert!(!Estimate::unbounded(1.0, 1).is_bounded());
    }
}
