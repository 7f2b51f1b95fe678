//! What the runs of a level say: whether the server kept up with the rate, whether enough requests met their objectives. Each
//! verdict is on an interval; where that holds the limit it is unclear. This file must not know what is run next.
//!
//! **Keeping up.** The knee of a throughput curve is taken as the highest offered rate of which at least [`KEEPS_UP`] is
//! answered: 1 − growth / offered − failed, where growth is the slope of the requests in flight. Curvature rules (Satopää,
//! Albrecht, Irwin and Raghavan, *Finding a "Kneedle" in a haystack*, 2011) find where a curve bends between its ends,
//! so that their knee moves with the range that was swept and with its scaling; this one does not, and each rate
//! can be judged by itself, on an interval. A latency that has grown [`EXPLODED`] times over that of the lowest level is no
//! keeping up either, whatever is answered.

use serde::{Deserialize, Serialize};

use super::search::Verdict;
use crate::stats::goodput::{Goodput, pooled};
use crate::stats::{Estimate, linear};

/// The share of what is offered that must be answered.
pub const KEEPS_UP: f64 = 0.95;
/// A median of the request duration so many times that at the lowest level is an explosion.
pub const EXPLODED: f64 = 5.0;

/// What one run says of its level.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// It was ended before its time, since its requests piled up for good.
    pub saturated: bool,
    /// Requests that met the objectives while the load was full, or of all where it never was.
    pub met: Option<Goodput>,
    /// Of those that ended, the share that failed.
    pub failed: f64,
    /// Requests held back by the cap on concurrency and never sent.
    pub unsent: u64,
    pub offered_rps: f64,
    pub growth_rps: Option<Estimate>,
    /// Median of the request duration.
    pub e2e_s: Option<f64>,
}

/// A verdict, on what, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub verdict: Verdict,
    /// The share that is judged, of all runs of the level together; of one that was ended before its time there is none,
    /// since it would have fallen as long as the run went on.
    pub share: Option<Estimate>,
    /// On which side of the limit it lies.
    pub value_passes: bool,
    pub why: String,
}

/// Whether at least `target` of the requests met their objectives.
pub fn by_slo(runs: &[Seen], target: f64) -> Judgement {
    let met: Vec<Goodput> = runs.iter().filter_map(|run| run.met).collect();
    with_saturated(
        runs,
        match pooled(&met) {
            Some(share) => on_interval(share, target, "met the objectives"),
            None => too_little(false, "no request could be judged"),
        },
    )
}

/// What those runs say of which some may have been ended since their requests piled up: where most were, the level fails;
/// where some were, nothing is clear, for a stall of the machine can look like it once.
fn with_saturated(runs: &[Seen], by_all: Judgement) -> Judgement {
    let saturated = runs.iter().filter(|run| run.saturated).count();
    if 2 * saturated > runs.len() {
        return fails(None, "over-saturated: waiting grows without end");
    }
    if saturated == 0 || by_all.verdict == Verdict::Fails {
        return by_all;
    }
    let of = runs.len();
    Judgement {
        verdict: Verdict::Unclear,
        share: None,
        value_passes: by_all.value_passes && 2 * saturated < of,
        why: format!("{saturated} of {of} runs over-saturated; of all: {}", by_all.why),
    }
}

/// Whether the server kept up with the rate; `calm_e2e_s` is the median request duration at the lowest level.
pub fn keeps_up(runs: &[Seen], calm_e2e_s: Option<f64>) -> Judgement {
    let shares: Vec<Estimate> = runs.iter().filter_map(answered).collect();
    let share = linear::mean(&shares);
    with_saturated(runs, kept_up(runs, share, calm_e2e_s))
}

fn kept_up(runs: &[Seen], share: Option<Estimate>, calm_e2e_s: Option<f64>) -> Judgement {
    // What a run that was ended before its time did not send, no cap held back.
    if let Some(run) = runs.iter().find(|run| run.unsent > 0 && !run.saturated) {
        let why =
            format!("{} requests were due and never sent: the cap on concurrency held them back", run.unsent);
        return fails(share, &why);
    }
    let medians: Vec<f64> = runs.iter().filter_map(|run| run.e2e_s).collect();
    let median = medians.iter().sum::<f64>() / medians.len() as f64;
    if let Some(calm) = calm_e2e_s.filter(|calm| median > EXPLODED * calm) {
        let why =
            format!("the median request takes {:.1} times as long as at the lowest level", median / calm);
        return fails(share, &why);
    }
    match share {
        Some(share) => on_interval(share, KEEPS_UP, "of what was offered was answered"),
        // A level at which too little was sent must not read as one that the server does not keep up with.
        None => too_little(
            runs.iter().all(|run| run.failed <= 1.0 - KEEPS_UP),
            "the load was never full for a time: its runs are too short to tell",
        ),
    }
}

/// Of a level of which no run came to its end.
pub fn nothing_seen() -> Judgement {
    Judgement {
        verdict: Verdict::Unclear,
        share: None,
        value_passes: false,
        why: "no run of it came to its end".to_owned(),
    }
}

/// Nothing is shown either way; where the search must decide, it takes what little was seen.
fn too_little(value_passes: bool, why: &str) -> Judgement {
    Judgement { verdict: Verdict::Unclear, share: None, value_passes, why: why.to_owned() }
}

/// The share of what was offered that was answered in the long run.
fn answered(run: &Seen) -> Option<Estimate> {
    let growth = run.growth_rps.filter(|_| run.offered_rps > 0.0)?;
    let less = |growth: f64| (1.0 - growth / run.offered_rps) * (1.0 - run.failed);
    Some(Estimate { lo: less(growth.hi), hi: less(growth.lo), value: less(growth.value), ..growth })
}

fn on_interval(share: Estimate, limit: f64, what: &str) -> Judgement {
    let percent = |v: f64| (v * 1e3).round() / 10.0;
    let verdict = if share.lo >= limit {
        Verdict::Passes
    } else if share.hi < limit {
        Verdict::Fails
    } else {
        Verdict::Unclear
    };
    let why = format!(
        "{} % {what} [{}, {}], {} % asked for",
        percent(share.value),
        percent(share.lo),
        percent(share.hi),
        percent(limit)
    );
    Judgement { verdict, share: Some(share), value_passes: share.value >= limit, why }
}

fn fails(share: Option<Estimate>, why: &str) -> Judgement {
    Judgement { verdict: Verdict::Fails, share, value_passes: false, why: why.to_owned() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::stats::goodput::goodput;

    fn met(good: usize, n: usize) -> Option<Goodput> {
        // Spread evenly.
        let flags: Vec<bool> = (0..n).map(|i| (i + 1) * good / n > i * good / n).collect();
        goodput(&flags, 10.0)
    }

    fn seen(good: usize, n: usize) -> Seen {
        Seen { met: met(good, n), ..Seen::default() }
    }

    #[test]
    fn a_share_is_judged_on_its_interval_and_runs_are_put_together() {
        assert_eq!(by_slo(&[seen(200, 200)], 0.95).verdict, Verdict::Passes);
        assert_eq!(by_slo(&[seen(170, 200)], 0.95).verdict, Verdict::Fails);
        let unclear = by_slo(&[seen(98, 100)], 0.95);
        assert_eq!((unclear.verdict, unclear.value_passes), (Verdict::Unclear, true));
        assert_eq!(unclear.why, "98 % met the objectives [93, 99.4], 95 % asked for");
        assert_eq!(by_slo(&[seen(98, 100), seen(98, 100), seen(99, 100)], 0.95).verdict, Verdict::Passes);
        assert_eq!(by_slo(&[Seen { saturated: true, ..seen(98, 100) }], 0.95).verdict, Verdict::Fails);
        let none = by_slo(&[Seen::default()], 0.95);
        assert_eq!((none.verdict, none.value_passes), (Verdict::Unclear, false));
    }

    #[test]
    fn one_stall_among_several_runs_decides_nothing() {
        let (calm, stalled) = (seen(200, 200), Seen { saturated: true, ..seen(190, 200) });
        let once = by_slo(&[calm.clone(), stalled.clone()], 0.95);
        assert_eq!((once.verdict, once.value_passes), (Verdict::Unclear, false));
        assert!(once.why.starts_with("1 of 2 runs over-saturated; of all: 97.5 %"), "{}", once.why);
        let of_three = by_slo(&[calm.clone(), stalled.clone(), calm.clone()], 0.95);
        assert_eq!((of_three.verdict, of_three.value_passes), (Verdict::Unclear, true));
        assert_eq!(by_slo(&[stalled.clone(), calm, stalled], 0.95).verdict, Verdict::Fails);
    }

    fn grows(by: f64, reach: f64) -> Seen {
        let growth_rps = Some(Estimate::within(by, by - reach, by + reach, 20));
        Seen { offered_rps: 10.0, growth_rps, e2e_s: Some(1.0), ..Seen::default() }
    }

    #[test]
    fn keeping_up_is_judged_by_what_piles_up_and_fails() {
        let verdict = |run: Seen| keeps_up(&[run], Some(1.0)).verdict;
        assert_eq!(verdict(grows(0.0, 0.3)), Verdict::Passes);
        assert_eq!(verdict(grows(0.0, 0.8)), Verdict::Unclear);
        assert_eq!(verdict(grows(2.0, 0.8)), Verdict::Fails);
        assert_eq!(verdict(Seen { failed: 0.1, ..grows(0.0, 0.3) }), Verdict::Fails);
        assert_eq!(verdict(Seen { saturated: true, ..grows(0.0, 0.3) }), Verdict::Fails);
        assert_eq!(verdict(Seen { unsent: 3, ..grows(0.0, 0.3) }), Verdict::Fails);
        assert_eq!(verdict(Seen { e2e_s: Some(5.1), ..grows(0.0, 0.3) }), Verdict::Fails);
        // Five requests of a low rate say nothing: a search that took that for a failure would go down for good.
        let short = |failed: f64| keeps_up(&[Seen { growth_rps: None, failed, ..grows(0.0, 0.3) }], None);
        assert_eq!((short(0.0).verdict, short(0.0).value_passes), (Verdict::Unclear, true));
        assert_eq!((short(0.5).verdict, short(0.5).value_passes), (Verdict::Unclear, false));
    }

    #[test]
    fn more_runs_make_it_clear() {
        let runs = [grows(0.1, 0.8), grows(-0.2, 0.8), grows(0.0, 0.8)];
        assert_eq!(keeps_up(&runs[..1], None).verdict, Verdict::Unclear);
        assert_eq!(keeps_up(&runs, None).verdict, Verdict::Passes);
    }
}
