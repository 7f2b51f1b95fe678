//! A sweep in sentences: what was asked, what was found, what must be known with it. This file must not know how a table
//! looks.

use super::{Point, RunEnd, Sweep};
use crate::store::manifest::RunState;
use crate::sweep::asked::{Axis, Plan, Search};
use crate::sweep::judge::{EXPLODED, KEEPS_UP};
use crate::sweep::search::{Verdict, not_falling};
use crate::units;

/// What was asked.
pub(super) fn head(sweep: &Sweep) -> Vec<String> {
    let asked = &sweep.asked;
    let what = match asked.axis {
        Axis::Rate => "requests per second",
        Axis::Concurrency => "requests at once",
        Axis::AsConfigured => "the load as configured",
    };
    let mut said = vec![match &asked.plan {
        Plan::List { levels } if asked.axis == Axis::AsConfigured => {
            let _ = levels;
            format!("{} runs of {what}", asked.num_runs)
        }
        Plan::List { levels } => {
            let list: Vec<String> = levels.iter().map(f64::to_string).collect();
            let runs =
                if asked.num_runs > 1 { format!(", {} runs each", asked.num_runs) } else { String::new() };
            format!("Sweep over {what}: {}{runs}", list.join(", "))
        }
        Plan::Knee(search) => format!(
            "Search for the knee: the highest rate of which at least {} is answered and whose median request takes at most {EXPLODED} times as long as at the lowest rate; {}",
            units::percent(KEEPS_UP),
            bounds(search)
        ),
        Plan::Slo { share, search } => format!(
            "Search for the most {what} at which at least {} of the requests keep to {}; {}",
            units::percent(*share),
            sweep.slo.words(),
            bounds(search)
        ),
    }];
    if !sweep.slo.is_empty() && matches!(asked.plan, Plan::List { .. } | Plan::Knee(_)) {
        said.push(format!("Objectives: {}", sweep.slo.words()));
    }
    let done: usize = sweep.points.iter().map(|point| point.runs.len()).sum();
    said.push(match sweep.state {
        RunState::Finished => format!("{done} runs"),
        RunState::Interrupted => {
            format!("Stopped by the user after {done} runs: what is here is what there was by then")
        }
        RunState::Running => format!("{done} runs; it has not ended: it was killed, or is still going on"),
        RunState::Failed => format!("Ended after {done} runs, before its end"),
    });
    said
}

fn bounds(search: &Search) -> String {
    format!(
        "from {}, to within {}, {} runs at most",
        search.from,
        units::percent(search.tolerance),
        search.max_runs
    )
}

/// What a search found.
pub fn answer(sweep: &Sweep) -> Vec<String> {
    let Some(answer) = &sweep.answer else { return Vec::new() };
    let axis = sweep.asked.axis;
    let at = |level: f64| sweep.points.iter().find(|point| point.level.to_bits() == level.to_bits());
    let about = |level: f64| {
        let judgement = at(level).and_then(|point| point.judgement.as_ref());
        let why = judgement.map(|j| j.why.clone()).unwrap_or_default();
        let by_value = match judgement.filter(|j| j.verdict == Verdict::Unclear) {
            Some(j) if j.share.is_some() => "; decided by the value, since the interval holds the limit",
            Some(_) => "; not clear, and decided by what was seen",
            None => "",
        };
        format!("{} ({why}{by_value})", axis.words(level))
    };
    let what = match &sweep.asked.plan {
        Plan::Slo { share, .. } => format!("{} keep to {}", units::percent(*share), sweep.slo.words()),
        _ => "The server keeps up".to_owned(),
    };
    let found = match (answer.highest, answer.lowest_failing) {
        (Some(low), Some(high)) => format!("{what} up to {}; no longer at {}.", about(low), about(high)),
        (Some(low), None) => format!("{what} at {}, and at every level that was run.", about(low)),
        (None, Some(high)) => format!("At no level that was run; the lowest was {}.", about(high)),
        (None, None) => "Nothing was found out.".to_owned(),
    };
    let close = if answer.narrow { "" } else { " Not narrowed down as far as asked." };
    vec![format!("{found} It ended because {}.{close}", answer.why)]
}

/// What must be known with the figures.
pub(super) fn notes(sweep: &Sweep) -> Vec<String> {
    let mut said = Vec::new();
    let runs = || sweep.points.iter().flat_map(|point| &point.runs);
    let count = |end: RunEnd| runs().filter(|run| run.end == end).count();
    let early = count(RunEnd::OverSaturated);
    if early > 0 {
        said.push(format!(
            "{early} runs were ended before their time, since their requests piled up for good: requests in flight then are neither ok nor failed, and rates are of what was sent. `--no-stop-over-saturated` lets them go on"
        ));
    }
    for run in runs().filter(|run| run.error.is_some()) {
        said.push(format!("{}: {}", run.folder, run.error.clone().unwrap_or_default()));
    }
    if matches!(sweep.asked.plan, Plan::Knee(_) | Plan::Slo { .. }) {
        said.push(match contradictions(&sweep.points).as_slice() {
            [] => "The search assumes that what fails at one level fails at every higher one; the shares of the levels that were run do not contradict that. Each decision is at 95 %, or by the value where it says so".to_owned(),
            some => format!(
                "The search assumes that what fails at one level fails at every higher one, and the levels that were run contradict that: {}. A highest level is not well defined then",
                some.join("; ")
            ),
        });
    }
    let warned = runs().filter(|run| run.figures.as_ref().is_some_and(|f| !f.warnings.is_empty())).count();
    if warned > early {
        said.push(format!("{warned} runs have warnings: see their report.md"));
    }
    said.extend(sweep.notes.iter().cloned());
    said
}

fn contradictions(points: &[Point]) -> Vec<String> {
    let share = |point: &Point| Some((point.level, point.judgement.as_ref()?.share?));
    let shares: Vec<_> = points.iter().filter_map(share).collect();
    not_falling(&shares).into_iter().map(|(low, high)| format!("more pass at {high} than at {low}")).collect()
}
