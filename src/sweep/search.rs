//! Which level a search runs next: doubled until one fails, halved until one passes, then the middle of the two, until they
//! lie close together or the budget is used. A pure function of what was found so far. This file must not know what
//! passing means, nor how anything is run.
//!
//! Before it ends, the two levels that the answer lies between are run again: where that contradicts the first run, the
//! search goes on from there.
//!
//! It assumes that what fails at a level fails at every higher one; [`not_falling`] looks whether the levels that were run
//! contradict that.

use serde::{Deserialize, Serialize};

use super::asked::Search;
use crate::stats::Estimate;

/// So many runs must speak for each of the two levels that the answer lies between.
const CONFIRMED: u32 = 2;

/// What a level's runs say.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Passes,
    Fails,
    /// The interval holds the limit: more runs may tell.
    Unclear,
}

/// A level that was run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    pub level: f64,
    pub runs: u32,
    pub verdict: Verdict,
    /// On which side of the limit the value lies: what decides where runs do not.
    pub value_passes: bool,
}

impl Tried {
    /// The decision, by the interval or, where that holds the limit however often it was run, by the value.
    pub fn passes(&self) -> bool {
        match self.verdict {
            Verdict::Passes => true,
            Verdict::Fails => false,
            Verdict::Unclear => self.value_passes,
        }
    }
}

/// What comes next.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    Run { level: f64, why: String },
    Done(Answer),
}

/// How a search ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The highest level that passes, below every one that fails.
    pub highest: Option<f64>,
    /// The lowest that fails.
    pub lowest_failing: Option<f64>,
    /// The two lie as close together as was asked.
    pub narrow: bool,
    /// Why it ended.
    pub why: String,
}

/// The next run, where levels are whole numbers or not.
pub fn next(search: &Search, whole: bool, tried: &[Tried]) -> Next {
    let runs: u32 = tried.iter().map(|t| t.runs).sum();
    let done = |why: &str, narrow| Next::Done(answer(tried, narrow, why));
    let (low, high) = bounds(tried);
    let narrow = low.zip(high).is_some_and(|(low, high)| is_narrow(search, whole, low, high));
    if runs >= search.max_runs {
        return done(&format!("{runs} runs were made, as many as it may have"), narrow);
    }
    // The last one first: as long as it is not clear, nothing else is.
    if let Some(last) = tried.last().filter(|t| t.verdict == Verdict::Unclear && t.runs < search.repeats) {
        return Next::Run {
            level: last.level,
            why: "its interval holds the limit: it is run again".to_owned(),
        };
    }
    let run = |level: f64, why: &str| {
        let level = fitting(level, whole);
        // What is known already is not asked again.
        if tried.iter().any(|t| t.level.to_bits() == level.to_bits()) {
            return done("no level lies between those that pass and fail", low.is_some() && high.is_some());
        }
        Next::Run { level, why: why.to_owned() }
    };
    match (low, high) {
        (None, None) => run(search.from, "the first"),
        (Some(low), None) if low >= search.most => done("the highest level that may be run passes", false),
        (Some(low), None) => run((2.0 * low).min(search.most), "doubled, since all pass so far"),
        (None, Some(high)) if high <= search.least => done("the lowest level that may be run fails", false),
        (None, Some(high)) => run((0.5 * high).max(search.least), "halved, since none passes so far"),
        (Some(low), Some(high)) if narrow => match unsure(search, tried, [low, high]) {
            Some((level, why)) => Next::Run { level, why: why.to_owned() },
            None => done("the levels that pass and fail lie close together", true),
        },
        (Some(low), Some(high)) => {
            run((low * high).sqrt(), "between the highest that passes and the lowest that fails")
        }
    }
}

/// One of the levels that the answer would rest on, if one run alone says so of it, or its interval holds the limit: a level
/// that fails by chance would keep the search below it for good.
fn unsure(search: &Search, tried: &[Tried], ends: [f64; 2]) -> Option<(f64, &'static str)> {
    let is_end = |t: &&Tried| ends.iter().any(|end| end.to_bits() == t.level.to_bits());
    tried.iter().filter(is_end).find_map(|t| {
        if t.runs < search.repeats.min(CONFIRMED) {
            Some((t.level, "the answer rests on it: it is run again"))
        } else {
            (t.verdict == Verdict::Unclear && t.runs < search.repeats)
                .then_some((t.level, "its interval holds the limit: it is run again"))
        }
    })
}

/// The end of what is no search: there is nothing to find.
pub fn next_of_none() -> Next {
    Next::Done(answer(&[], false, "all were run"))
}

/// Levels at which more pass than at a lower one, by intervals that do not overlap: pairs of `(lower, higher)`. Then a
/// highest level is not well defined.
pub fn not_falling(shares: &[(f64, Estimate)]) -> Vec<(f64, f64)> {
    let mut found = Vec::new();
    for (low, at_low) in shares {
        for (high, at_high) in shares.iter().filter(|(level, _)| level > low) {
            if at_high.lo > at_low.hi {
                found.push((*low, *high));
            }
        }
    }
    found
}

fn answer(tried: &[Tried], narrow: bool, why: &str) -> Answer {
    let (highest, lowest_failing) = bounds(tried);
    Answer { highest, lowest_failing, narrow, why: why.to_owned() }
}

/// The highest level that passes below the lowest that fails.
fn bounds(tried: &[Tried]) -> (Option<f64>, Option<f64>) {
    let high = tried.iter().filter(|t| !t.passes()).map(|t| t.level).min_by(f64::total_cmp);
    let below = |level: &f64| high.is_none_or(|high| *level < high);
    let low = tried.iter().filter(|t| t.passes()).map(|t| t.level).filter(below).max_by(f64::total_cmp);
    (low, high)
}

fn is_narrow(search: &Search, whole: bool, low: f64, high: f64) -> bool {
    high <= low * (1.0 + search.tolerance) || (whole && high - low <= 1.0)
}

/// A level that can be run: whole, or with three digits.
fn fitting(level: f64, whole: bool) -> f64 {
    if whole { level.round().max(1.0) } else { format!("{level:.2e}").parse().unwrap_or(level) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use rand_chacha::ChaCha12Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::stats::goodput::{Goodput, goodput, pooled};

    const SEARCH: Search =
        Search { from: 1.0, least: 0.01, most: 10_000.0, tolerance: 0.05, repeats: 3, max_runs: 60 };

    fn tried(level: f64, verdict: Verdict) -> Tried {
        Tried { level, runs: 1, verdict, value_passes: verdict == Verdict::Passes }
    }

    /// Every level that was run, and how it ended, where `verdict` says what each run of a level says.
    fn all(
        search: &Search,
        whole: bool,
        mut verdict: impl FnMut(f64, u32) -> (Verdict, bool),
    ) -> (Vec<Tried>, Answer) {
        let mut tried: Vec<Tried> = Vec::new();
        loop {
            match next(search, whole, &tried) {
                Next::Done(answer) => return (tried, answer),
                Next::Run { level, .. } => {
                    let at = tried.iter().position(|t| t.level.to_bits() == level.to_bits()).unwrap_or_else(
                        || {
                            tried.push(Tried { runs: 0, ..self::tried(level, Verdict::Unclear) });
                            tried.len() - 1
                        },
                    );
                    tried[at].runs += 1;
                    (tried[at].verdict, tried[at].value_passes) = verdict(level, tried[at].runs);
                }
            }
        }
    }

    fn exact(truth: f64) -> impl FnMut(f64, u32) -> (Verdict, bool) {
        move |level, _| {
            let passes = level <= truth;
            (if passes { Verdict::Passes } else { Verdict::Fails }, passes)
        }
    }

    #[test]
    fn it_doubles_then_halves_the_distance() {
        let (tried, answer) = all(&SEARCH, false, exact(10.0));
        let levels: Vec<f64> = tried.iter().map(|t| t.level).collect();
        assert_eq!(levels, [1.0, 2.0, 4.0, 8.0, 16.0, 11.3, 9.51, 10.4, 9.95]);
        assert_eq!((answer.highest, answer.lowest_failing, answer.narrow), (Some(9.95), Some(10.4), true));
    }

    #[test]
    fn whole_levels_end_next_to_each_other() {
        let (_, answer) = all(&SEARCH, true, exact(6.5));
        assert_eq!((answer.highest, answer.lowest_failing), (Some(6.0), Some(7.0)));
        let (_, answer) = all(&SEARCH, true, exact(1.0));
        assert_eq!((answer.highest, answer.lowest_failing, answer.narrow), (Some(1.0), Some(2.0), true));
    }

    #[test]
    fn it_ends_where_there_is_nothing_to_find() {
        let (_, answer) = all(&Search { most: 8.0, ..SEARCH }, false, exact(1e9));
        assert_eq!((answer.highest, answer.lowest_failing, answer.narrow), (Some(8.0), None, false));
        let (_, answer) = all(&Search { least: 0.3, ..SEARCH }, false, exact(0.0));
        assert_eq!((answer.highest, answer.lowest_failing), (None, Some(0.3)));
        let (tried, answer) = all(&Search { max_runs: 6, ..SEARCH }, false, exact(10.0));
        assert_eq!(tried.len(), 6);
        assert!(!answer.narrow && answer.why.contains("6 runs"), "{answer:?}");
    }

    #[test]
    fn a_level_that_is_not_clear_is_run_again_and_then_decided_by_its_value() {
        let (tried, _) = all(&SEARCH, false, |level, runs| match level {
            l if l < 8.0 => (Verdict::Passes, true),
            // Clear at the second run.
            l if l < 9.0 => (if runs < 2 { Verdict::Unclear } else { Verdict::Passes }, false),
            l if l < 12.0 => (Verdict::Unclear, false),
            _ => (Verdict::Fails, false),
        });
        let runs = |level: f64| tried.iter().find(|t| t.level.to_bits() == level.to_bits()).unwrap().runs;
        assert_eq!([runs(4.0), runs(8.0), runs(11.3), runs(16.0)], [1, 2, 3, 1]);
    }

    #[test]
    fn a_failure_by_chance_does_not_keep_the_search_below_it() {
        // The machine stalls during the first run at 4, of a server that takes 10.
        let (tried, answer) = all(&SEARCH, false, |level, runs| {
            let passes = level <= 10.0 && (level, runs) != (4.0, 1);
            (if passes { Verdict::Passes } else { Verdict::Fails }, passes)
        });
        let (low, high) = (answer.highest.unwrap(), answer.lowest_failing.unwrap());
        assert!(low <= 10.0 && 10.0 < high && high <= low * 1.06, "{tried:?}");
    }

    #[test]
    fn a_share_that_rises_is_noticed() {
        let at = |level: f64, lo: f64, hi: f64| (level, Estimate::within(f64::midpoint(lo, hi), lo, hi, 50));
        assert_eq!(not_falling(&[at(1.0, 0.9, 1.0), at(2.0, 0.8, 0.95), at(4.0, 0.1, 0.2)]), []);
        assert_eq!(not_falling(&[at(4.0, 0.9, 1.0), at(2.0, 0.3, 0.5)]), [(2.0, 4.0)]);
    }

    /// A share that falls with the level through 0.95 at `truth`; a run is so many requests that meet or do not.
    fn noisy(truth: f64, requests: usize, seed: u64) -> (Vec<Tried>, Answer) {
        let mut random = ChaCha12Rng::seed_from_u64(seed);
        let mut runs: Vec<(u64, Vec<Goodput>)> = Vec::new();
        all(&SEARCH, false, |level, _| {
            // 0.95 at the truth, steep as a queue is: 0.99 a tenth below, 0.78 a tenth above.
            let share = 1.0 / (1.0 + (0.05_f64 / 0.95) * (16.0 * (level / truth - 1.0)).exp());
            let met: Vec<bool> = (0..requests)
                .map(|_| (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64 <= share)
                .collect();
            let at = runs.iter().position(|(l, _)| *l == level.to_bits()).unwrap_or_else(|| {
                runs.push((level.to_bits(), Vec::new()));
                runs.len() - 1
            });
            runs[at].1.push(goodput(&met, 10.0).unwrap());
            let e = pooled(&runs[at].1).unwrap();
            let verdict = match e {
                e if e.lo >= 0.95 => Verdict::Passes,
                e if e.hi < 0.95 => Verdict::Fails,
                _ => Verdict::Unclear,
            };
            (verdict, e.value >= 0.95)
        })
    }

    #[test]
    fn it_finds_the_truth_through_noise() {
        let mut off: Vec<f64> = (0..200)
            .map(|seed| {
                let truth = 3.0 + 0.37 * seed as f64;
                let (_, answer) = noisy(truth, 200, seed);
                (answer.highest.unwrap() / truth - 1.0).abs()
            })
            .collect();
        off.sort_by(f64::total_cmp);
        // Half of the tolerance is the grain of the search itself.
        assert!(off[100] < 0.04 && off[190] < 0.10, "median {}, 95 % {}", off[100], off[190]);
    }

    proptest! {
        #[test]
        fn it_ends_close_to_any_truth(truth in 0.02..9_000.0_f64, from in 0.5..50.0_f64, tolerance in 0.02..0.5_f64) {
            let search = Search { from, tolerance, ..SEARCH };
            let (tried, answer) = all(&search, false, exact(truth));
            let (low, high) = (answer.highest.unwrap(), answer.lowest_failing.unwrap());
            prop_assert!(low <= truth && truth < high && high <= low * (1.0 + tolerance) * 1.01, "{tried:?}");
            let is_end = |t: &Tried| [low, high].iter().any(|end| end.to_bits() == t.level.to_bits());
            let runs_fit = |t: &Tried| t.runs == if is_end(t) { CONFIRMED } else { 1 };
            prop_assert!(tried.iter().all(runs_fit), "what is clear and no end is run once: {tried:?}");
        }

        #[test]
        fn it_always_ends_within_its_budget(seed in any::<u64>(), max_runs in 1..40_u32) {
            let mut random = ChaCha12Rng::seed_from_u64(seed);
            let search = Search { max_runs, ..SEARCH };
            let (tried, _) = all(&search, seed % 2 == 0, |_, _| match random.next_u64() % 3 {
                0 => (Verdict::Passes, true),
                1 => (Verdict::Fails, false),
                _ => (Verdict::Unclear, random.next_u64() % 2 == 0),
            });
            prop_assert!(tried.iter().map(|t| t.runs).sum::<u32>() <= max_runs);
            prop_assert!(tried.iter().all(|t| t.runs <= SEARCH.repeats), "{tried:?}");
        }
    }
}
