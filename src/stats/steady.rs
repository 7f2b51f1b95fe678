//! The part of a run that is in a steady state: after the warm-up, before the drain. This file must
//! not know what the value is that must have become steady, nor what is done with the window.
//!
//! - It begins when MSER-5 says so: of the series in time order, in batches of five, so many are left
//!   out at the start that the squared standard error of the mean of the rest, Σ (z − z̄)² / k² over
//!   the k batches left, is smallest (White, *An effective truncation heuristic for bias reduction in
//!   simulation output*, Simulation 69, 1997; the batches of five: Spratt 1998). In a closed loop it
//!   begins at the earliest when every user has sent its first request.
//! - It ends, in a closed loop, when the first user left: when its last request was done. In an open
//!   loop, when arrivals ended: after the last request started.
//!
//! A minimum in the second half of the series is no truncation but a series that never settled, or is
//! too short to tell; then there is no steady state.

use std::collections::BTreeMap;

const BATCH: usize = 5;
/// Fewer batches say nothing: a hundred values.
const FEWEST_BATCHES: usize = 20;

/// One request, in seconds from any common instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    pub start_s: f64,
    pub done_s: f64,
    /// In a closed loop: who sent it.
    pub user: Option<u32>,
    /// What must be steady; `None` where the request has none (it failed).
    pub value: Option<f64>,
}

/// A window and the rule it was found by. A request belongs to it if it started in
/// [`begin_s`, `end_s`).
#[derive(Clone, Debug, PartialEq)]
pub struct Steady {
    pub begin_s: f64,
    pub end_s: f64,
    pub rule: String,
}

/// The steady state of a run, in seconds from its first start; why there is none, in words. `what` is
/// what the values are called.
pub fn find(requests: &[Request], what: &str) -> Result<Steady, String> {
    let mut requests: Vec<Request> = requests.to_vec();
    requests.retain(|r| r.start_s.is_finite() && r.done_s.is_finite());
    requests.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    let (Some(first), Some(last)) = (requests.first(), requests.last()) else {
        return Err("there are no requests".to_owned());
    };
    let zero_s = first.start_s;
    let users = Users::of(&requests);
    let (loaded, end) = match &users {
        Some(users) => (users.all_there_s, users.first_left_s),
        // The last arrival belongs to the window.
        None => (zero_s, last.start_s.next_up()),
    };
    if loaded >= end {
        return Err(format!(
            "the first user left before all {} were there",
            users.as_ref().map_or(0, |u| u.users)
        ));
    }
    let series: Vec<(f64, f64)> = requests
        .iter()
        .filter(|r| r.start_s < end)
        .filter_map(|r| Some((r.start_s, r.value.filter(|v| v.is_finite())?)))
        .collect();
    let values: Vec<f64> = series.iter().map(|(_, value)| *value).collect();
    let cut = mser5(&values).map_err(|why| format!("{what}: {why}"))?;
    let settled = series.get(cut).map_or(zero_s, |(start_s, _)| *start_s);
    let settled = if cut == 0 { zero_s } else { settled };
    let start = match cut {
        0 => format!("MSER-5 on {what} leaves out nothing at the start"),
        _ => format!("MSER-5 on {what} leaves out the first {cut} values, {:.1} s", settled - zero_s),
    };
    let rule = match &users {
        Some(u) => format!(
            "{start}; all {} users were there at {:.1} s, the first left at {:.1} s",
            u.users,
            u.all_there_s - zero_s,
            u.first_left_s - zero_s
        ),
        None => format!("{start}; arrivals ended at {:.1} s", last.start_s - zero_s),
    };
    Ok(Steady { begin_s: settled.max(loaded) - zero_s, end_s: end - zero_s, rule })
}

/// When the users of a closed loop came and went.
struct Users {
    users: usize,
    all_there_s: f64,
    first_left_s: f64,
}

impl Users {
    /// `None` for an open loop.
    fn of(requests: &[Request]) -> Option<Self> {
        let mut stays: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        for r in requests {
            let stay = stays.entry(r.user?).or_insert((r.start_s, r.done_s));
            *stay = (stay.0.min(r.start_s), stay.1.max(r.done_s));
        }
        Some(Self {
            users: stays.len(),
            all_there_s: stays.values().map(|(came_s, _)| *came_s).fold(f64::NEG_INFINITY, f64::max),
            first_left_s: stays.values().map(|(_, left_s)| *left_s).fold(f64::INFINITY, f64::min),
        })
    }
}

/// How many values MSER-5 leaves out at the start; an error in words where it cannot say.
pub fn mser5(values: &[f64]) -> Result<usize, String> {
    let batches: Vec<f64> =
        values.chunks_exact(BATCH).map(|batch| batch.iter().sum::<f64>() / BATCH as f64).collect();
    if batches.len() < FEWEST_BATCHES {
        return Err(format!("{} values are too few to tell (100 are enough)", values.len()));
    }
    // From the back: sums over what is left, about the mean of all, since squares lose digits.
    let centre = batches.iter().sum::<f64>() / batches.len() as f64;
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    let mut best: Option<(f64, usize)> = None;
    for (cut, batch) in batches.iter().enumerate().rev() {
        let z = batch - centre;
        count += 1.0;
        sum += z;
        squares += z * z;
        // The last few batches are always alike; White's rule looks no further than five before the end.
        if count < BATCH as f64 {
            continue;
        }
        let error = (squares - sum * sum / count).max(0.0) / (count * count);
        // At equal errors the longer rest.
        if best.is_none_or(|(least, _)| error <= least) {
            best = Some((error, cut));
        }
    }
    match best {
        Some((error, cut)) if error.is_finite() && cut <= batches.len() / 2 => Ok(cut * BATCH),
        Some((error, _)) if error.is_finite() => {
            Err("the values never settled: MSER-5 would leave out more than half of them".to_owned())
        }
        _ => Err("the values are too large to tell".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A request each 0.1 s, done 0.35 s later.
    fn request(i: usize, user: Option<u32>, value: f64) -> Request {
        let start_s = 100.0 + 0.1 * i as f64;
        Request { start_s, done_s: start_s + 0.35, user, value: Some(value) }
    }

    /// Settled values that differ.
    fn settled(i: usize) -> f64 {
        1.0 + 0.1 * (i % 7) as f64
    }

    #[test]
    fn mser5_is_the_independent_implementations() {
        // Python, by the definition:
        //   x = [1.0 + 0.1 * (i % 7) + (4.0 * 0.9 ** i) for i in range(300)]
        //   z = [statistics.fmean(x[i:i + 5]) for i in range(0, 300, 5)]
        //   mser = lambda d: sum((v - statistics.fmean(z[d:])) ** 2 for v in z[d:]) / len(z[d:]) ** 2
        //   min(range(56), key=mser) * 5
        let values: Vec<f64> = (0..300).map(|i| settled(i) + 4.0 * 0.9_f64.powf(i as f64)).collect();
        assert_eq!(mser5(&values), Ok(35));
        assert_eq!(mser5(&[2.0; 300]), Ok(0), "equal values need no cut");
    }

    #[test]
    fn an_open_loop_ends_with_its_arrivals() {
        let requests: Vec<Request> =
            (0..200).map(|i| request(i, None, if i < 20 { 5.0 } else { settled(i) })).collect();
        let found = find(&requests, "TTFT").unwrap();
        assert!((found.begin_s - 2.0).abs() < 1e-9, "{found:?}");
        assert!(found.end_s > 19.9 && found.end_s < 19.9 + 1e-9, "the last arrival is inside: {found:?}");
        assert_eq!(
            found.rule,
            "MSER-5 on TTFT leaves out the first 20 values, 2.0 s; arrivals ended at 19.9 s"
        );
    }

    #[test]
    fn a_closed_loop_is_steady_while_all_users_are_there() {
        // Four users take turns; the last comes late, user 1 leaves early.
        let mut requests: Vec<Request> =
            (0..200).map(|i| request(i, Some(i as u32 % 4), settled(i))).collect();
        requests.retain(|r| r.user != Some(3) || r.start_s >= 103.0);
        requests.retain(|r| r.user != Some(1) || r.start_s <= 116.0);
        requests.reverse();
        let found = find(&requests, "TTFT").unwrap();
        assert!((found.begin_s - 3.1).abs() < 1e-9 && (found.end_s - 16.05).abs() < 0.11, "{found:?}");
        assert!(found.rule.contains("all 4 users were there at 3.1 s"), "{}", found.rule);
    }

    #[test]
    fn what_is_not_steady_is_said() {
        assert_eq!(find(&[], "TTFT"), Err("there are no requests".to_owned()));
        let few: Vec<Request> = (0..40).map(|i| request(i, None, 1.0)).collect();
        assert_eq!(find(&few, "TTFT").unwrap_err(), "TTFT: 40 values are too few to tell (100 are enough)");
        // A queue that grows to the end.
        let growing: Vec<Request> = (0..200).map(|i| request(i, None, (i * i) as f64)).collect();
        assert!(find(&growing, "TTFT").unwrap_err().contains("never settled"));
        let one_each: Vec<Request> = (0..200).map(|i| request(i, Some(i as u32), 1.0)).collect();
        assert_eq!(find(&one_each, "TTFT").unwrap_err(), "the first user left before all 200 were there");
    }

    proptest! {
        #[test]
        fn odd_input_never_breaks_it(rows in prop::collection::vec(
            (any::<f64>(), any::<f64>(), prop::option::of(0..3_u32), prop::option::of(any::<f64>())), 0..150,
        )) {
            let requests: Vec<Request> = rows
                .into_iter()
                .map(|(start_s, done_s, user, value)| Request { start_s, done_s, user, value })
                .collect();
            let _ = find(&requests, "TTFT");
        }

        #[test]
        fn a_window_lies_inside_the_run(values in prop::collection::vec(0.0..9.0_f64, 100..300)) {
            let requests: Vec<Request> = values.iter().enumerate().map(|(i, v)| request(i, None, *v)).collect();
            if let Ok(found) = find(&requests, "TTFT") {
                let last = 0.1 * (values.len() - 1) as f64;
                prop_assert!(0.0 <= found.begin_s && found.begin_s <= last / 2.0 + 0.5);
                prop_assert!(found.end_s > last - 1e-6 && found.end_s < last + 1e-6);
            }
        }
    }
}
