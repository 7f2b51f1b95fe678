//! Checks `load.stages`: all of users, or all of rates, each with its length.

use super::arrival::{MAX_USERS, RATES, gaps};
use super::{POSITIVE_SPAN, SPAN};
use crate::config::check::Check;
use crate::config::file::{Load, Stage};
use crate::config::{Arrival, Change, Gaps, RateStage, UserStage};

const FIELD: &str = "load.stages";

/// The stages and how long they are, if there are any.
pub fn stages(given: &Load, check: &mut Check<'_>) -> Option<(Arrival, f64)> {
    let stages = given.stages.as_ref()?;
    conflicts(given, check);
    let length_s: f64 =
        stages.iter().filter_map(|s| s.duration_s).filter(|s| s.is_finite() && *s > 0.0).sum();
    let by_users = stages.iter().any(|s| s.users.is_some());
    let by_rate = stages.iter().any(|s| s.rate.is_some());
    let arrival = match (by_users, by_rate) {
        (true, true) => {
            let hint = "a run is a closed loop or an open one: give all of them users, or all a rate";
            check.problem(FIELD, "some stages have `users`, others a `rate`", hint);
            return None;
        }
        (false, false) => {
            let hint = "for example `stages: [{rate: 2, duration_s: 60}, {rate: 8, duration_s: 60}]`";
            check.problem(FIELD, "no stage has `users` or a `rate`", hint);
            return None;
        }
        (true, false) => {
            let stages = stages.iter().enumerate().map(|(i, s)| of_users(i, s, check)).collect();
            Arrival::UserStages { stages }
        }
        (false, true) => {
            let usual = gaps("", given.arrival, given.burstiness, check).unwrap_or(Gaps::Poisson);
            let stages = stages.iter().enumerate().map(|(i, s)| of_a_rate(i, s, usual, check)).collect();
            Arrival::RateStages { stages }
        }
    };
    let sends = match &arrival {
        Arrival::UserStages { stages } => stages.iter().any(|s| s.users > 0),
        Arrival::RateStages { stages } => stages.iter().any(|s| s.from_rps > 0.0 || s.to_rps > 0.0),
        _ => true,
    };
    if !sends {
        check.problem(
            FIELD,
            "nothing would be sent in any of them",
            "give one of them users or a rate above 0",
        );
    }
    check.real_or_none(FIELD, Some(length_s).filter(|s| *s > 0.0), POSITIVE_SPAN, "of all stages together");
    Some((arrival, length_s))
}

/// What the stages say themselves.
fn conflicts(given: &Load, check: &mut Check<'_>) {
    let by_users = given.stages.iter().flatten().any(|s| s.users.is_some());
    for (field, is_given) in [
        ("load.users", given.users.is_some()),
        ("load.request_rate", given.request_rate.is_some()),
        ("load.ramp_s", given.ramp_s.is_some()),
        ("load.ramp_down_s", given.ramp_down_s.is_some()),
        ("load.ramp_up_strategy", given.ramp_up_strategy.is_some()),
        ("load.duration_s", given.duration_s.is_some()),
        ("load.self_timed", given.self_timed == Some(true)),
        ("load.max_concurrency", given.max_concurrency.is_some() && by_users),
        ("load.arrival", given.arrival.is_some() && by_users),
        ("load.burstiness", given.burstiness.is_some() && by_users),
    ] {
        if is_given {
            let message = format!("{} already says it", check.name(FIELD));
            check.problem(field, message, "leave it out, or leave the stages out");
        }
    }
}

/// The stage's length; any, where it is wrong.
fn length(of: &str, stage: &Stage, check: &mut Check<'_>) -> f64 {
    match stage.duration_s {
        Some(s) if POSITIVE_SPAN.hold(s) => s,
        Some(s) => {
            let message = format!("{of}`duration_s`: expected {}, found {s}", POSITIVE_SPAN.words());
            check.problem(FIELD, message, "each stage says how long it is");
            1.0
        }
        None => {
            check.problem(FIELD, format!("{of}`duration_s` is missing"), "each stage says how long it is");
            1.0
        }
    }
}

fn of_users(i: usize, stage: &Stage, check: &mut Check<'_>) -> UserStage {
    let of = format!("stage {}: ", i + 1);
    misplaced(
        &of,
        "users",
        &[
            ("to_rate", stage.to_rate.is_some()),
            ("ramp", stage.ramp.is_some()),
            ("arrival", stage.arrival.is_some()),
            ("burstiness", stage.burstiness.is_some()),
        ],
        check,
    );
    let duration_s = length(&of, stage, check);
    let users = stage.users.unwrap_or_else(|| {
        check.problem(FIELD, format!("{of}`users` is missing"), "0 is a pause");
        0
    });
    if users > MAX_USERS {
        let message = format!("{of}`users`: expected a whole number from 0 to {MAX_USERS}, found {users}");
        check.problem(FIELD, message, "0 is a pause");
    }
    let ramp_s = stage.ramp_s.unwrap_or(0.0);
    if !SPAN.hold(ramp_s) || ramp_s > duration_s {
        let message = format!("{of}`ramp_s`: {ramp_s} s do not fit into the stage ({duration_s} s)");
        check.problem(
            FIELD,
            message,
            "within it the number of users changes from the last stage's to this one's",
        );
    }
    UserStage { users, duration_s, ramp_s }
}

fn of_a_rate(i: usize, stage: &Stage, usual: Gaps, check: &mut Check<'_>) -> RateStage {
    let of = format!("stage {}: ", i + 1);
    misplaced(&of, "a rate", &[("ramp_s", stage.ramp_s.is_some())], check);
    let duration_s = length(&of, stage, check);
    if stage.rate.is_none() {
        check.problem(FIELD, format!("{of}`rate` is missing"), "0 is a pause");
    }
    let from_rps = stage.rate.unwrap_or(0.0);
    let to_rps = stage.to_rate.unwrap_or(from_rps);
    for (key, rate) in [("rate", from_rps), ("to_rate", to_rps)] {
        if !RATES.hold(rate) {
            let message = format!("{of}`{key}`: expected {}, found {rate}", RATES.words());
            check.problem(FIELD, message, "0 is a pause");
        }
    }
    if stage.ramp.is_some() && stage.to_rate.is_none() {
        let message = format!("{of}`ramp` says how the rate changes, and `to_rate` not to what");
        check.problem(FIELD, message, "give `to_rate`, or leave `ramp` out");
    }
    let change = stage.ramp.unwrap_or_default();
    if change == Change::Exponential && (from_rps <= 0.0 || to_rps <= 0.0) {
        let message = format!("{of}nothing grows from 0, or falls to it, by a factor");
        check.problem(FIELD, message, "a small rate, such as 0.1, or `ramp: linear`");
    }
    let gaps = gaps(&of, stage.arrival, stage.burstiness, check).unwrap_or(usual);
    RateStage { gaps, from_rps, to_rps, change, duration_s }
}

fn misplaced(of: &str, kind: &str, keys: &[(&str, bool)], check: &mut Check<'_>) {
    for (key, _) in keys.iter().filter(|(_, is_given)| *is_given) {
        let message = format!("{of}`{key}` is not for a stage with {kind}");
        let hint = match kind {
            "users" => "users have `ramp_s`, the seconds within which their number changes",
            _ => "a rate has `to_rate`, to which it changes over the whole stage",
        };
        check.problem(FIELD, message, hint);
    }
}
