//! How fast requests came and went while a load was full: a rate over a run's whole time holds its beginning, when
//! nothing can have ended yet, and its end, when nothing comes any more, and so is too low for what it is asked:
//! whether the server kept up. This file must not know what is sent or to whom.
//!
//! - The window ends where sending did: in an open loop with the last request scheduled, in a closed loop when the
//!   first user left. It begins where the load was complete (in an open loop with the first request scheduled, in a
//!   closed loop when all users had started) plus the time in which 95 % of the requests ended, but never later
//!   than half way: until then fewer end than come, whatever the server can do.
//! - It is cut into [`SLICES`] equal parts, in each of which is counted. Rates are the counts' means with intervals by the
//!   block bootstrap of [`super::bootstrap`]: parts that lie together are alike.

use serde::{Deserialize, Serialize};

use super::blocks::Blocks;
use super::trend::Slope;
use super::{Estimate, bootstrap, quantile};

/// Parts of a window: enough for blocks of them, and few enough that each has something to count.
pub const SLICES: usize = 40;
/// How often the requests in flight are counted over a window.
const LOOKS: usize = 400;
/// Fewer requests in a window say nothing about a rate.
const FEWEST: usize = 10;
/// The share of requests whose time passes before the window begins.
const SETTLED: f64 = 0.95;

/// One request, in seconds from any common instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Passage {
    pub scheduled_s: f64,
    pub started_s: f64,
    pub done_s: f64,
    /// It ended well.
    pub ok: bool,
    /// In a closed loop: who sent it.
    pub user: Option<u32>,
}

/// What was counted while the load was full.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Seconds from the instant that the passages are given from.
    pub begin_s: f64,
    pub end_s: f64,
    /// Requests scheduled, and requests that ended well, in the window.
    pub scheduled: usize,
    pub completed: usize,
    /// Scheduled per second; in a closed loop that is what the answers let.
    pub offered_rps: f64,
    /// Ended well per second.
    pub achieved_rps: Estimate,
    /// Completed / scheduled: below 1 where requests pile up or fail.
    pub kept_up: f64,
    /// Output tokens that arrived per second, of whatever requests; `None` where events do not say how many they hold.
    pub output_tps: Option<Estimate>,
    /// Requests in flight, averaged over the window's time.
    pub in_flight_mean: f64,
    /// How many more requests are in flight from second to second: what comes and does not go. `None` in a closed loop.
    pub growth_rps: Option<Estimate>,
}

impl Rates {
    /// Whether something happened in the window.
    pub fn holds(&self, at_s: f64) -> bool {
        (self.begin_s..self.end_s).contains(&at_s)
    }
}

/// The time in which the load was full, in its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Full {
    pub begin_s: f64,
    pub end_s: f64,
}

impl Full {
    /// In words why there is none.
    pub fn of(passages: &[Passage]) -> Result<Self, String> {
        let (begin_s, end_s) = window(passages)?;
        Ok(Self { begin_s, end_s })
    }

    /// Counts `n` more in its part; what came at another time counts in none.
    pub fn count(&self, sums: &mut [f64; SLICES], at_s: f64, n: f64) {
        let part = (at_s - self.begin_s) / (self.end_s - self.begin_s) * SLICES as f64;
        if (0.0..SLICES as f64).contains(&part)
            && let Some(sum) = sums.get_mut(part as usize)
        {
            *sum += n;
        }
    }
}

/// The rates of a run; in words why there are none. `tokens`: how many arrived in each part of the time in which
/// the load was full.
pub fn rates(passages: &[Passage], tokens: Option<&[f64; SLICES]>, seed: u64) -> Result<Rates, String> {
    let full = Full::of(passages)?;
    let Full { begin_s, end_s } = full;
    let length_s = end_s - begin_s;
    let inside = |at_s: &f64| (begin_s..end_s).contains(at_s);
    let scheduled = passages.iter().map(|p| p.scheduled_s).filter(inside).count();
    let done = || passages.iter().filter(|p| p.ok).map(|p| p.done_s);
    let completed = done().filter(inside).count();
    if scheduled.max(completed) < FEWEST {
        return Err(format!(
            "{scheduled} requests were scheduled while the load was full, {FEWEST} are enough"
        ));
    }
    let per_second = |sums: &[f64; SLICES]| {
        bootstrap::mean(sums, Blocks::Rows, seed).map(|e| e.scaled(SLICES as f64 / length_s))
    };
    let mut done_in = [0.0; SLICES];
    done().for_each(|at_s| full.count(&mut done_in, at_s, 1.0));
    let overlap_s = |p: &Passage| (p.done_s.min(end_s) - p.started_s.max(begin_s)).max(0.0);
    let open = passages.iter().any(|p| p.user.is_none());
    Ok(Rates {
        begin_s,
        end_s,
        scheduled,
        completed,
        offered_rps: scheduled as f64 / length_s,
        achieved_rps: per_second(&done_in).ok_or("the counts are no numbers")?,
        kept_up: completed as f64 / (scheduled as f64).max(1.0),
        output_tps: tokens.and_then(per_second),
        in_flight_mean: passages.iter().map(overlap_s).sum::<f64>() / length_s,
        growth_rps: open.then(|| growth(passages, begin_s, end_s)).flatten(),
    })
}

/// The slope of the requests in flight, looked at [`LOOKS`] times.
fn growth(passages: &[Passage], begin_s: f64, end_s: f64) -> Option<Estimate> {
    let sorted = |of: fn(&Passage) -> f64| quantile::sorted(&passages.iter().map(of).collect::<Vec<_>>());
    let (started, done) = (sorted(|p| p.started_s), sorted(|p| p.done_s));
    let by = |times: &[f64], at_s: f64| times.partition_point(|t| *t <= at_s) as f64;
    let looks: Vec<(f64, f64)> = (0..LOOKS)
        .map(|i| begin_s + (end_s - begin_s) * (i as f64 + 0.5) / LOOKS as f64)
        .map(|at_s| (at_s, by(&started, at_s) - by(&done, at_s)))
        .collect();
    Slope::of(&looks).map(|slope| slope.estimate())
}

fn window(passages: &[Passage]) -> Result<(f64, f64), String> {
    if passages.len() < FEWEST {
        return Err(format!("{} requests are too few to tell a rate, {FEWEST} are enough", passages.len()));
    }
    let (full_s, end_s) = if passages.iter().all(|p| p.user.is_some()) {
        closed(passages)
    } else {
        let scheduled = || passages.iter().map(|p| p.scheduled_s);
        (scheduled().fold(f64::INFINITY, f64::min), scheduled().fold(f64::NEG_INFINITY, f64::max))
    };
    let lasted: Vec<f64> = passages.iter().filter(|p| p.ok).map(|p| p.done_s - p.started_s).collect();
    let settling_s = quantile::quantile(&quantile::sorted(&lasted), SETTLED).unwrap_or(0.0).max(0.0);
    let begin_s = full_s + settling_s.min(0.5 * (end_s - full_s));
    // Also where something is not a number.
    if (end_s - begin_s).is_finite() && end_s > begin_s {
        Ok((begin_s, end_s))
    } else {
        Err("the load was never full for a time".to_owned())
    }
}

/// When all users of a closed loop had started, and when the first of them was done with its last request.
fn closed(passages: &[Passage]) -> (f64, f64) {
    let mut stays: std::collections::BTreeMap<Option<u32>, (f64, f64)> = std::collections::BTreeMap::new();
    for p in passages {
        let stay = stays.entry(p.user).or_insert((p.started_s, p.done_s));
        *stay = (stay.0.min(p.started_s), stay.1.max(p.done_s));
    }
    let came = stays.values().map(|(came_s, _)| *came_s).fold(f64::NEG_INFINITY, f64::max);
    (came, stays.values().map(|(_, left_s)| *left_s).fold(f64::INFINITY, f64::min))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One each 0.1 s, with this duration and all well.
    fn even(n: usize, lasts_s: impl Fn(usize) -> f64) -> Vec<Passage> {
        let at = |i: usize| 50.0 + 0.1 * i as f64;
        let passage = |i: usize| Passage {
            scheduled_s: at(i),
            started_s: at(i),
            done_s: at(i) + lasts_s(i),
            ok: true,
            user: None,
        };
        (0..n).map(passage).collect()
    }

    #[test]
    fn a_server_that_keeps_up_has_the_rate_that_is_offered() {
        // Each lasts 1.03 s: over the whole time 200 / 20.9 s would be 9.57, and no 10.
        let found = rates(&even(200, |_| 1.03), None, 1).unwrap();
        assert!((found.begin_s - 51.03).abs() < 1e-9 && (found.end_s - 69.9).abs() < 1e-9, "{found:?}");
        assert!((found.achieved_rps.value - 10.0).abs() < 0.1, "{found:?}");
        assert!(found.achieved_rps.lo <= 10.0 && 10.0 <= found.achieved_rps.hi);
        assert!((found.kept_up - 1.0).abs() < 0.01, "{found:?}");
        assert!(found.growth_rps.unwrap().value.abs() < 0.2, "{found:?}");
        // Little's law: 10 a second for 1.03 s each.
        assert!((found.in_flight_mean - 10.3).abs() < 0.1, "{found:?}");
    }

    #[test]
    fn a_server_that_does_not_keep_up_has_its_own() {
        // One at a time, 0.2 s each: 5 a second come out, 10 a second go in.
        let found = rates(&even(200, |i| 0.2 * (i + 1) as f64 - 0.1 * i as f64), None, 1).unwrap();
        assert!((found.achieved_rps.value - 5.0).abs() < 0.2, "{found:?}");
        assert!((found.kept_up - 0.5).abs() < 0.03, "{found:?}");
        assert!((found.growth_rps.unwrap().value - 5.0).abs() < 0.3, "{found:?}");
        assert!((found.begin_s - 59.95).abs() < 0.1, "the second half: {found:?}");
    }

    #[test]
    fn a_closed_loop_counts_while_all_users_are_there() {
        // Four users, one request a second each; user 3 comes at 2 s, user 1 leaves at 17 s.
        let of = |i: usize| {
            let (user, k) = (i as u32 % 4, (i / 4) as f64);
            let start = k + if user == 3 { 2.0 } else { 0.0 };
            Passage { scheduled_s: start, started_s: start, done_s: start + 1.0, ok: true, user: Some(user) }
        };
        let mut all: Vec<Passage> = (0..80).map(of).collect();
        all.retain(|p| p.user != Some(1) || p.done_s <= 17.0);
        let found = rates(&all, None, 1).unwrap();
        assert!((found.begin_s - 3.0).abs() < 1e-9 && (found.end_s - 17.0).abs() < 1e-9, "{found:?}");
        assert!((found.achieved_rps.value - 4.0).abs() < 1e-9 && (found.in_flight_mean - 4.0).abs() < 1e-9);
    }

    #[test]
    fn tokens_are_counted_where_they_arrive() {
        let passages = even(200, |_| 0.5);
        let (full, mut tokens) = (Full::of(&passages).unwrap(), [0.0; SLICES]);
        (0..2_000).for_each(|i| full.count(&mut tokens, 50.0 + 0.01 * f64::from(i), 3.0));
        let found = rates(&passages, Some(&tokens), 1).unwrap();
        assert!((found.output_tps.unwrap().value - 300.0).abs() < 3.0, "{found:?}");
    }

    #[test]
    fn too_few_are_no_rate() {
        assert!(rates(&even(9, |_| 0.1), None, 1).unwrap_err().contains("too few"));
        let burst: Vec<Passage> =
            even(50, |_| 1.0).into_iter().map(|p| Passage { scheduled_s: 50.0, ..p }).collect();
        assert_eq!(rates(&burst, None, 1).unwrap_err(), "the load was never full for a time");
    }

    proptest! {
        #[test]
        fn odd_input_never_breaks_it(rows in prop::collection::vec(
            (any::<f64>(), any::<f64>(), any::<f64>(), any::<bool>(), prop::option::of(0..3_u32)), 0..60,
        )) {
            let passages: Vec<Passage> = rows
                .into_iter()
                .map(|(scheduled_s, started_s, done_s, ok, user)| Passage { scheduled_s, started_s, done_s, ok, user })
                .collect();
            let _ = rates(&passages, Some(&[f64::NAN; SLICES]), 1);
        }
    }
}
