//! Checks `workload.multi_turn`: how conversations are held.

use crate::config::check::Check;
use crate::config::file::{File, MultiTurnChoice};
use crate::config::{Dataset, MultiTurn};

/// Turns of made conversations.
const MADE_TURNS: u32 = 3;
const MAX_TURNS: u32 = 10_000;
/// A day: longer thoughts are a mistake in the unit.
const MAX_THINK_S: f64 = 86_400.0;
const TIMES: &str = "in seconds, for example 2, 1..5, normal:2,0.5, lognormal:5,4 (mean, standard deviation) or exponential:2";

pub fn multi_turn(file: &mut File, dataset: &Dataset, check: &mut Check<'_>) -> Option<MultiTurn> {
    let is_audit = file.audit.is_some();
    let MultiTurnChoice::On(given) = file.workload.multi_turn.take()? else { return None };
    if is_audit {
        check.problem("workload.multi_turn", "an audit sends single requests in pairs", "leave it out");
    }
    if matches!(dataset, Dataset::PrefixRepetition { .. } | Dataset::Sonnet { .. }) {
        check.problem(
            "workload.multi_turn",
            "this dataset has no conversations",
            "conversations are in sharegpt, custom, csv, parquet, and can be made: random",
        );
    }
    let is_random = matches!(dataset, Dataset::Random { .. });
    let turns = 1..=MAX_TURNS;
    let usual = if is_random { given.max_turns.filter(|&n| n > 0).unwrap_or(MADE_TURNS) } else { 1 };
    let min_turns = check.whole("workload.multi_turn.min_turns", given.min_turns, usual, turns.clone());
    let left_out = "left out, all turns are held";
    let max_turns = check.whole_or_none("workload.multi_turn.max_turns", given.max_turns, turns, left_out);
    let max_turns = max_turns.or(is_random.then_some(min_turns.max(MADE_TURNS)));
    if let Some(most) = max_turns.filter(|&most| most < min_turns) {
        let name = check.name("workload.multi_turn.min_turns");
        check.problem(
            "workload.multi_turn.max_turns",
            format!("{most} is less than {name} ({min_turns})"),
            "a conversation cannot have both",
        );
    }
    if given.turn_input_len.is_some() && !is_random {
        check.problem(
            "workload.multi_turn.turn_input_len",
            "this is for conversations that are made, and the dataset is a file",
            "leave it out, or choose --dataset-name random",
        );
    }
    if let Some(law) = &given.turn_input_len {
        super::dataset::length_law("workload.multi_turn.turn_input_len", law, check);
    }
    if let Some(law) = &given.think_time_s
        && law.mean().is_none_or(|mean| !(0.0..=MAX_THINK_S).contains(&mean))
    {
        let message = format!("expected seconds, from 0 to those of a day, found `{law}`");
        check.problem("workload.multi_turn.think_time_s", message, TIMES);
    }
    Some(MultiTurn {
        history: given.history,
        think_time_s: given.think_time_s,
        min_turns,
        max_turns,
        turn_input_len: given.turn_input_len,
    })
}
