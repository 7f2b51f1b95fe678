//! Objectives of a request (SLO), and whether a request met them all: the one rule of goodput. This file must
//! not know where objectives are written or what is concluded from a share.

use serde::{Deserialize, Serialize};

use super::{RequestRow, Status};
use crate::stats::goodput::{Goodput, Objective, meets};
use crate::units;

/// Upper limits, each inclusive; those that are not given are not asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Slo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttft_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpot_s: Option<f64>,
    /// Of the whole request, to its last token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub e2e_s: Option<f64>,
}

impl Slo {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each limit with the name that `--goodput` has for it.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let all = [("ttft", self.ttft_s), ("tpot", self.tpot_s), ("e2el", self.e2e_s)];
        all.into_iter().filter_map(|(name, limit)| Some((name, limit?)))
    }

    /// `ttft ≤ 200.0 ms, e2el ≤ 5,000 ms`.
    pub fn words(&self) -> String {
        let words: Vec<String> =
            self.named().map(|(name, limit)| format!("{name} ≤ {}", units::seconds(limit))).collect();
        words.join(", ")
    }

    /// Whether a request met every limit; `None` where that cannot be told: it was still in flight when the run
    /// ended, and had not yet overstepped one.
    ///
    /// A request that failed missed. An answer of one token has no gap that could be too long, so TPOT asks nothing of
    /// it (as in `vllm bench serve`, which takes its TPOT for 0).
    pub fn met(&self, row: &RequestRow) -> Option<bool> {
        match row.status {
            Status::Ok => {
                let one_token = row.output_tokens.is_some_and(|n| n <= 1);
                let limits = [
                    (self.ttft_s, row.ttft_s),
                    (self.tpot_s.filter(|_| !one_token), row.tpot_s),
                    (self.e2e_s, row.e2e_s),
                ];
                let objectives: Vec<Objective> = limits
                    .into_iter()
                    .filter_map(|(limit, value)| Some(Objective { value, at_most: limit? }))
                    .collect();
                Some(meets(&objectives))
            }
            Status::InFlight => {
                let age_s = row.done_unix_ns.seconds_since(row.started_unix_ns);
                let beyond = |limit: Option<f64>, value: f64| limit.is_some_and(|limit| value > limit);
                let late = beyond(self.ttft_s, row.ttft_s.unwrap_or(age_s)) || beyond(self.e2e_s, age_s);
                late.then_some(false)
            }
            _ => Some(false),
        }
    }
}

/// What a run's requests made of the objectives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SloFound {
    pub slo: Slo,
    /// Of all requests of the report; per second of its duration.
    pub all: Goodput,
    /// Of those scheduled while the load was full (`rates`), per second of that time.
    pub full: Option<Goodput>,
    /// In flight at the end and within every limit until then: neither met nor missed.
    pub undecided: usize,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::fixture;

    fn row(status: Status) -> RequestRow {
        RequestRow {
            status,
            ttft_s: Some(0.2),
            tpot_s: Some(0.05),
            e2e_s: Some(5.0),
            output_tokens: Some(20),
            ..fixture::request(0)
        }
    }

    const ALL: Slo = Slo { ttft_s: Some(0.2), tpot_s: Some(0.05), e2e_s: Some(5.0) };

    #[test]
    fn limits_are_inclusive_and_all_must_hold() {
        assert_eq!(ALL.met(&row(Status::Ok)), Some(true));
        assert_eq!(ALL.met(&RequestRow { tpot_s: Some(0.051), ..row(Status::Ok) }), Some(false));
        assert_eq!(ALL.met(&RequestRow { ttft_s: None, ..row(Status::Ok) }), Some(false));
        assert_eq!(Slo::default().met(&row(Status::Ok)), Some(true));
        assert_eq!(Slo::default().met(&row(Status::HttpError)), Some(false), "what failed missed");
    }

    #[test]
    fn one_token_has_no_gap_to_be_too_long() {
        let one = RequestRow { output_tokens: Some(1), tpot_s: None, ..row(Status::Ok) };
        assert_eq!(ALL.met(&one), Some(true));
        assert_eq!(ALL.met(&RequestRow { output_tokens: None, ..one }), Some(false), "tokens are not known");
    }

    #[test]
    fn in_flight_is_a_miss_only_once_it_is_late() {
        let row = row(Status::InFlight);
        let at = |age_s: f64, ttft_s| RequestRow {
            done_unix_ns: row.started_unix_ns.plus_seconds(age_s),
            ttft_s,
            ..row.clone()
        };
        assert_eq!(ALL.met(&at(0.1, None)), None);
        assert_eq!(ALL.met(&at(0.3, None)), Some(false), "no first token in time");
        assert_eq!(ALL.met(&at(3.0, Some(0.1))), None);
        assert_eq!(ALL.met(&at(5.1, Some(0.1))), Some(false));
    }

    #[test]
    fn limits_are_said_in_the_words_of_the_flag() {
        assert_eq!(ALL.words(), "ttft ≤ 200.0 ms, tpot ≤ 50.00 ms, e2el ≤ 5,000 ms");
        assert!(Slo::default().is_empty() && !ALL.is_empty());
    }
}
