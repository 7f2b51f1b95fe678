//! The law of arrivals, resolved: what a load asks for, and what follows from that before anything is
//! sent. How arrivals are drawn is `load::arrival`'s business.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::units::count;

/// When requests are sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Arrival {
    /// Closed loop: `users`, started evenly over `ramp_s`; each sends when its last request ended.
    Closed { users: u32, ramp_s: f64 },
    /// Closed loop whose users come and go. A ramp at the end is a last stage without users.
    UserStages { stages: Vec<UserStage> },
    /// Open loop, all at once.
    Burst,
    /// Open loop, evenly spaced.
    Constant { rate_rps: f64 },
    /// Open loop, exponential gaps.
    Poisson { rate_rps: f64 },
    /// Open loop, gamma gaps of shape `burstiness` and mean 1 / rate: below 1 in bursts, above 1 evenly.
    Gamma { rate_rps: f64, burstiness: f64 },
    /// Open loop whose rate goes from one to another over the whole run.
    RateRamp { gaps: Gaps, change: Change, from_rps: f64, to_rps: f64, over: Over },
    /// Open loop with one rate after another.
    RateStages { stages: Vec<RateStage> },
    /// Open loop, at the times of a trace, `speed` times as fast. The times come with the dataset.
    Trace {
        speed: f64,
        #[serde(skip)]
        times: Times,
    },
}

/// The law of the gaps of an open loop, whatever its rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "law", rename_all = "snake_case")]
pub enum Gaps {
    Constant,
    Poisson,
    Gamma { burstiness: f64 },
}

/// How a rate goes from one to another.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// By so much a second.
    #[default]
    Linear,
    /// By such a factor a second.
    Exponential,
}

/// What a ramp of the rate extends over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// As in `vllm bench serve`: request i of n follows the one before it at the rate of
    /// i / (n − 1) of the way. In time, a linear ramp is then an exponential one.
    Requests(u64),
    /// At time t, the rate of t / duration of the way.
    Seconds(f64),
}

/// So many users, for so long; the number changes evenly over the stage's first `ramp_s`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct UserStage {
    pub users: u32,
    pub duration_s: f64,
    pub ramp_s: f64,
}

/// A rate, or a change of it, for so long.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateStage {
    pub gaps: Gaps,
    pub from_rps: f64,
    pub to_rps: f64,
    pub change: Change,
    pub duration_s: f64,
}

/// When the requests of a trace are wanted: seconds from the start, ascending, at the speed asked for.
#[derive(Clone, Default, PartialEq)]
pub struct Times(pub Arc<[f64]>);

impl fmt::Debug for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} times", self.0.len())
    }
}

impl Arrival {
    /// Whether requests are sent whatever became of the others.
    pub fn is_open(&self) -> bool {
        self.users().is_none()
    }

    /// Users of a closed loop, the most at one time.
    pub fn users(&self) -> Option<u32> {
        match self {
            Self::Closed { users, .. } => Some(*users),
            Self::UserStages { stages } => Some(stages.iter().map(|s| s.users).max().unwrap_or(0)),
            _ => None,
        }
    }

    /// The rate and the gaps of an open loop whose rate stays the same.
    pub fn steady(&self) -> Option<(f64, Gaps)> {
        match *self {
            Self::Constant { rate_rps } => Some((rate_rps, Gaps::Constant)),
            Self::Poisson { rate_rps } => Some((rate_rps, Gaps::Poisson)),
            Self::Gamma { rate_rps, burstiness } => Some((rate_rps, Gaps::Gamma { burstiness })),
            _ => None,
        }
    }

    /// Of an open loop, about so many arrivals come within `window_s` where most of them do.
    pub fn most_within(&self, window_s: f64) -> u64 {
        let at = |rate_rps: f64| (rate_rps * window_s).ceil() as u64;
        match self {
            Self::Closed { .. } | Self::UserStages { .. } => 0,
            Self::Burst => u64::MAX,
            Self::Constant { rate_rps } | Self::Poisson { rate_rps } | Self::Gamma { rate_rps, .. } => {
                at(*rate_rps)
            }
            Self::RateRamp { from_rps, to_rps, .. } => at(from_rps.max(*to_rps)),
            Self::RateStages { stages } => {
                at(stages.iter().map(|s| s.from_rps.max(s.to_rps)).fold(0.0, f64::max))
            }
            Self::Trace { times, .. } => most_times_within(&times.0, window_s),
        }
    }

    /// Where the load asked for stays the same, in seconds from its begin; `None`: wherever it is sent.
    pub fn level_spans_s(&self) -> Option<Vec<(f64, f64)>> {
        match self {
            Self::Burst => Some(Vec::new()),
            Self::RateRamp { from_rps, to_rps, .. } if from_rps.total_cmp(to_rps).is_ne() => Some(Vec::new()),
            Self::RateStages { stages } => {
                let level = |s: &RateStage| s.from_rps.total_cmp(&s.to_rps).is_eq() && s.from_rps > 0.0;
                Some(spans(stages.iter().map(|s| (s.duration_s, 0.0, level(s)))))
            }
            Self::UserStages { stages } => {
                Some(spans(stages.iter().map(|s| (s.duration_s, s.ramp_s, s.users > 0))))
            }
            _ => None,
        }
    }

    /// The law in words, as the plan and the report say it.
    pub fn words(&self) -> String {
        match self {
            Self::Closed { users, ramp_s } => {
                let ramp =
                    if *ramp_s > 0.0 { format!(", started evenly over {ramp_s} s") } else { String::new() };
                format!("closed loop of {} users{ramp}", count((*users).into()))
            }
            Self::UserStages { stages } => user_words(stages),
            Self::Burst => "open loop, all requests at once".to_owned(),
            Self::Constant { rate_rps } => format!("open loop, {rate_rps} requests/s evenly spaced"),
            Self::Poisson { rate_rps } => format!("open loop, {rate_rps} requests/s on average (Poisson)"),
            Self::Gamma { rate_rps, burstiness } => {
                format!("open loop, {rate_rps} requests/s on average (gamma gaps, burstiness {burstiness})")
            }
            Self::RateRamp { gaps, change, from_rps, to_rps, over } => {
                let over = match over {
                    Over::Requests(n) => format!("the count of {} requests", count(*n)),
                    Over::Seconds(s) => format!("{s} s"),
                };
                format!(
                    "open loop, {} ramp from {from_rps} to {to_rps} requests/s over {over} ({})",
                    change.as_str(),
                    gaps.words()
                )
            }
            Self::RateStages { stages } => {
                let stages: Vec<String> = stages.iter().map(RateStage::words).collect();
                format!("open loop in stages: {}", stages.join(", then "))
            }
            Self::Trace { speed, times } => {
                let times = match times.0.last() {
                    Some(last) => format!(" ({} requests within {last:.1} s)", count(times.0.len() as u64)),
                    None => String::new(),
                };
                let speed = if speed.total_cmp(&1.0).is_eq() {
                    String::new()
                } else {
                    format!(", {speed} times as fast")
                };
                format!("open loop at the trace's times{speed}{times}")
            }
        }
    }
}

impl Gaps {
    pub fn words(self) -> String {
        match self {
            Self::Constant => "evenly spaced".to_owned(),
            Self::Poisson => "Poisson".to_owned(),
            Self::Gamma { burstiness } => format!("gamma gaps, burstiness {burstiness}"),
        }
    }
}

impl Change {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Exponential => "exponential",
        }
    }
}

impl RateStage {
    fn words(&self) -> String {
        let Self { gaps, from_rps, to_rps, change, duration_s } = self;
        if from_rps.total_cmp(to_rps).is_ne() {
            return format!(
                "{from_rps} to {to_rps} requests/s ({}, {}) for {duration_s} s",
                change.as_str(),
                gaps.words()
            );
        }
        if *to_rps > 0.0 {
            format!("{to_rps} requests/s ({}) for {duration_s} s", gaps.words())
        } else {
            format!("none for {duration_s} s")
        }
    }
}

fn user_words(stages: &[UserStage]) -> String {
    if let [all, none] = stages
        && none.users == 0
        && none.ramp_s.total_cmp(&none.duration_s).is_eq()
    {
        let started = Arrival::Closed { users: all.users, ramp_s: all.ramp_s }.words();
        return format!("{started}, stopped evenly over the last {} s", none.duration_s);
    }
    let words = |s: &UserStage| {
        let ramp = if s.ramp_s > 0.0 { format!(" reached within {} s", s.ramp_s) } else { String::new() };
        let users = if s.users == 0 { "no".to_owned() } else { count(s.users.into()) };
        format!("{users} users{ramp} for {} s", s.duration_s)
    };
    format!("closed loop in stages: {}", stages.iter().map(words).collect::<Vec<_>>().join(", then "))
}

/// From stages of (length, how much of its begin is not level, whether the rest is) to the spans that are.
fn spans(stages: impl Iterator<Item = (f64, f64, bool)>) -> Vec<(f64, f64)> {
    let mut begin_s = 0.0;
    let mut spans = Vec::new();
    for (duration_s, unlevel_s, is_level) in stages {
        let end_s = begin_s + duration_s;
        if is_level && unlevel_s < duration_s {
            spans.push((begin_s + unlevel_s, end_s));
        }
        begin_s = end_s;
    }
    spans
}

/// The most of ascending `times` that lie within a window of this length.
fn most_times_within(times: &[f64], window_s: f64) -> u64 {
    let (mut from, mut most) = (0, 0);
    for (at, time) in times.iter().enumerate() {
        while times.get(from).is_some_and(|first| time - first > window_s) {
            from += 1;
        }
        most = most.max(at + 1 - from);
    }
    most as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_load_is_known_by_what_was_asked_for() {
        let stage = |from_rps, to_rps, duration_s| RateStage {
            gaps: Gaps::Poisson,
            from_rps,
            to_rps,
            change: Change::Linear,
            duration_s,
        };
        let rates =
            vec![stage(5.0, 5.0, 10.0), stage(5.0, 9.0, 20.0), stage(0.0, 0.0, 5.0), stage(9.0, 9.0, 7.0)];
        assert_eq!(
            Arrival::RateStages { stages: rates }.level_spans_s(),
            Some(vec![(0.0, 10.0), (35.0, 42.0)])
        );
        let users = |users, duration_s, ramp_s| UserStage { users, duration_s, ramp_s };
        let stages = vec![users(8, 30.0, 5.0), users(0, 4.0, 4.0)];
        assert_eq!(Arrival::UserStages { stages }.level_spans_s(), Some(vec![(5.0, 30.0)]));
        assert_eq!(Arrival::Poisson { rate_rps: 1.0 }.level_spans_s(), None);
    }

    #[test]
    fn the_most_within_a_window_is_counted_where_times_are_known() {
        let times = Times([0.0, 0.0, 0.0, 1.0, 1.4, 1.5, 9.0].into());
        let trace = Arrival::Trace { speed: 1.0, times };
        assert_eq!([0.1, 0.5, 1.4, 100.0].map(|s| trace.most_within(s)), [3, 3, 5, 7]);
        assert_eq!(Arrival::Constant { rate_rps: 9.0 }.most_within(0.5), 5);
    }

    #[test]
    fn every_law_has_words() {
        let ramp = Arrival::RateRamp {
            gaps: Gaps::Gamma { burstiness: 0.5 },
            change: Change::Exponential,
            from_rps: 1.0,
            to_rps: 20.0,
            over: Over::Requests(1500),
        };
        assert_eq!(
            ramp.words(),
            "open loop, exponential ramp from 1 to 20 requests/s over the count of 1,500 requests (gamma gaps, burstiness 0.5)"
        );
        let stage = |users, duration_s, ramp_s| UserStage { users, duration_s, ramp_s };
        let down = Arrival::UserStages { stages: vec![stage(50, 40.0, 5.0), stage(0, 10.0, 10.0)] };
        assert_eq!(
            down.words(),
            "closed loop of 50 users, started evenly over 5 s, stopped evenly over the last 10 s"
        );
        let stages = Arrival::UserStages { stages: vec![stage(5, 4.0, 0.0), stage(2, 10.0, 1.0)] };
        assert_eq!(
            stages.words(),
            "closed loop in stages: 5 users for 4 s, then 2 users reached within 1 s for 10 s"
        );
        let trace = Arrival::Trace { speed: 2.0, times: Times([0.0, 4.5].into()) };
        assert_eq!(
            trace.words(),
            "open loop at the trace's times, 2 times as fast (2 requests within 4.5 s)"
        );
    }
}
