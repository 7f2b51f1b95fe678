//! Checks the law of arrivals: users, a rate and its gaps, a ramp of the rate, a trace's times; and that
//! only one of them was asked for.

use super::{SPAN, trace};
use crate::config::check::{Check, Limits};
use crate::config::file::{self, ArrivalName, File, Rate};
use crate::config::{Arrival, Change, Gaps, Over, Times, UserStage};

pub const MAX_USERS: u32 = 100_000;
pub const RATES: Limits = Limits::from(0.0, 1e6, "requests per second");
/// Below, nearly all gaps are nothing; above, all are equal.
const BURSTINESS: Limits = Limits::from(0.001, 1e6, "");

/// The law of arrivals: stages, else users, else a ramp, else a rate, else a trace's times, else what
/// `vllm bench serve` does without a rate: all at once, or as many at once as `max_concurrency` lets, which
/// is a closed loop.
pub fn arrival(
    file: &File,
    stages: Option<Arrival>,
    requests: Option<u64>,
    duration_s: Option<f64>,
    check: &mut Check<'_>,
) -> Arrival {
    let given = &file.load;
    let rate = given.request_rate.map(|Rate(rate)| rate).filter(|rate| *rate != f64::INFINITY);
    let self_timed = trace::self_timed(file, check);
    let limit_is_users = given.max_concurrency.is_some()
        && rate.is_none()
        && !self_timed
        && given.ramp_up_strategy.is_none()
        && given.stages.is_none();
    let closed = given.users.is_some() || limit_is_users;
    conflicts(given, rate, check);
    let cap = check.whole_or_none(
        "load.max_concurrency",
        given.max_concurrency,
        1..=MAX_USERS,
        "left out, there is no limit",
    );
    let users = check.whole_or_none(
        "load.users",
        given.users,
        1..=MAX_USERS,
        "left out, the rate or --max-concurrency says how to send",
    );
    let closed_loop = self::closed(given, closed, users.or(cap), duration_s, check);
    let has_gaps = rate.is_some() || given.ramp_up_strategy.is_some() || given.stages.is_some();
    let gaps = top_gaps(given, has_gaps && !closed, check);
    let ramp = ramp_up(given, gaps, requests, duration_s, check);
    if let Some(stages) = stages {
        return stages;
    }
    if closed {
        return closed_loop;
    }
    if let Some(ramp) = ramp {
        return ramp;
    }
    if let Some(rate) = rate {
        // Less often than once in eleven days is never.
        let limits = Limits::from(1e-6, 1e6, "requests per second");
        let rate_rps = check
            .real_or_none("load.request_rate", Some(rate), limits, "`inf` sends all at once")
            .unwrap_or(1.0);
        return match gaps {
            Gaps::Poisson => Arrival::Poisson { rate_rps },
            Gaps::Constant => Arrival::Constant { rate_rps },
            Gaps::Gamma { burstiness } => Arrival::Gamma { rate_rps, burstiness },
        };
    }
    if self_timed {
        let limits = Limits::above(0.0, 1e6, "times as fast");
        let speed = check.real("load.trace_speed", given.trace_speed, 1.0, limits);
        return Arrival::Trace { speed, times: Times::default() };
    }
    if given.ramp_up_strategy.is_some() {
        // What is wrong with it is noted.
        return Arrival::Burst;
    }
    let fits = |requests: &u64| (1..=u64::from(MAX_USERS)).contains(requests);
    match (requests, given.requests) {
        // A burst that fits; no requests at all, which is noted as out of range; a trace's.
        (Some(requests), _) if fits(&requests) => {}
        (None, Some(0)) => {}
        (None, None) if trace::is_one(file) && duration_s.is_none() => {}
        (_, Some(_)) => check.problem(
            "load.requests",
            format!("without users or a rate all are sent at once, {MAX_USERS} at most"),
            "give --users, --max-concurrency or --request-rate",
        ),
        (_, None) => check.problem(
            "load.users",
            "missing: a duration alone does not say how to send",
            "give --users or --request-rate",
        ),
    }
    Arrival::Burst
}

/// Settings that say two things at once.
fn conflicts(given: &file::Load, rate: Option<f64>, check: &mut Check<'_>) {
    let name = check.name("load.users");
    if given.users.is_some() && given.request_rate.is_some() {
        let message = format!("a rate is for an open loop, {name} for a closed one");
        check.problem("load.request_rate", message, "give one of them");
    }
    if given.users.is_some() && given.max_concurrency.is_some() {
        check.problem(
            "load.max_concurrency",
            format!("{name} already says how many at once"),
            "give one of them",
        );
    }
    if given.users.is_some() && given.ramp_up_strategy.is_some() {
        let message = format!("a ramp of the rate is for an open loop, {name} for a closed one");
        check.problem("load.ramp_up_strategy", message, "`ramp_s` and `ramp_down_s` ramp users");
    }
    if rate.is_some() && given.ramp_up_strategy.is_some() {
        let message = format!("{} already says the rate", check.name("load.ramp_up_strategy"));
        check.problem("load.request_rate", message, "give one of them");
    }
}

/// A closed loop, with the ramps that users alone have, and which end before the run does.
fn closed(
    given: &file::Load,
    is_closed: bool,
    users: Option<u32>,
    duration_s: Option<f64>,
    check: &mut Check<'_>,
) -> Arrival {
    let ramp_s = check.real("load.ramp_s", given.ramp_s, 0.0, SPAN);
    let down_s = check.real("load.ramp_down_s", given.ramp_down_s, 0.0, SPAN);
    for (field, is_given) in
        [("load.ramp_s", given.ramp_s.is_some()), ("load.ramp_down_s", given.ramp_down_s.is_some())]
    {
        if is_given && !is_closed && given.stages.is_none() {
            check.problem(field, "only users are ramped", "say how many with --users, or leave it out");
        }
    }
    // Where the number is wrong, the problem is noted and any will do.
    let users = users.unwrap_or(1);
    let whole = Arrival::Closed { users, ramp_s };
    match duration_s {
        Some(duration_s) if ramp_s > duration_s => {
            let message =
                format!("{ramp_s} s is longer than {} ({duration_s} s)", check.name("load.duration_s"));
            check.problem("load.ramp_s", message, "a ramp ends before the run does");
        }
        Some(duration_s) if ramp_s + down_s > duration_s => {
            let message = format!(
                "{down_s} s and {} ({ramp_s} s) are longer than {} ({duration_s} s)",
                check.name("load.ramp_s"),
                check.name("load.duration_s")
            );
            check.problem("load.ramp_down_s", message, "one ramp ends before the other begins");
        }
        Some(duration_s) if down_s > 0.0 => {
            let up = UserStage { users, duration_s: duration_s - down_s, ramp_s };
            let down = UserStage { users: 0, duration_s: down_s, ramp_s: down_s };
            return Arrival::UserStages { stages: vec![up, down] };
        }
        None if down_s > 0.0 => check.problem(
            "load.ramp_down_s",
            "a ramp down needs an end to be before",
            "say how long the run is with --duration",
        ),
        _ => {}
    }
    whole
}

/// `arrival` and `burstiness` of the load itself; `has_gaps`: whether there is a rate to draw gaps for.
fn top_gaps(given: &file::Load, has_gaps: bool, check: &mut Check<'_>) -> Gaps {
    if given.arrival.is_some() && !has_gaps {
        check.problem(
            "load.arrival",
            "only a rate has gaps to draw",
            "give a rate with --request-rate, or leave it out",
        );
    }
    // 1 is the default of `vllm bench serve`, and there, too, has no meaning without a rate.
    if let Some(shape) = given.burstiness
        && !has_gaps
        && shape.total_cmp(&1.0).is_ne()
    {
        let message = format!("only a rate has gaps to draw, and {shape} says how");
        check.problem("load.burstiness", message, "give a rate with --request-rate, or leave it out");
    }
    gaps("", given.arrival, given.burstiness, check).unwrap_or(Gaps::Poisson)
}

/// The law of gaps by name and shape; `None` where neither is given. `of`: which stage is meant.
pub fn gaps(of: &str, name: Option<ArrivalName>, shape: Option<f64>, check: &mut Check<'_>) -> Option<Gaps> {
    let (field_name, field_shape) =
        if of.is_empty() { ("load.arrival", "load.burstiness") } else { ("load.stages", "load.stages") };
    let by_shape = match shape {
        None => None,
        Some(f64::INFINITY) => Some(Gaps::Constant),
        Some(shape) if shape.total_cmp(&1.0).is_eq() => Some(Gaps::Poisson),
        Some(shape) if BURSTINESS.hold(shape) => Some(Gaps::Gamma { burstiness: shape }),
        Some(shape) => {
            let message = format!("{of}expected {}, or inf (constant), found {shape}", BURSTINESS.words());
            check.problem(
                field_shape,
                message,
                "below 1 arrivals come in bursts, above more evenly; 1 is poisson",
            );
            return None;
        }
    };
    let agrees = match (name, by_shape) {
        (None, None) => return None,
        (Some(ArrivalName::Gamma), None) => {
            let message = format!("{of}gamma gaps need a shape");
            check.problem(field_name, message, "say it with `burstiness`, such as 0.5");
            return None;
        }
        (Some(ArrivalName::Poisson), None | Some(Gaps::Poisson)) => return Some(Gaps::Poisson),
        (Some(ArrivalName::Constant), None | Some(Gaps::Constant)) => return Some(Gaps::Constant),
        (Some(ArrivalName::Gamma), Some(gaps)) => !matches!(gaps, Gaps::Constant),
        (None, Some(_)) => true,
        (Some(_), Some(_)) => false,
    };
    if !agrees {
        let arrival = if of.is_empty() { check.name("load.arrival") } else { "`arrival`".to_owned() };
        let message = format!("{of}says another law of arrivals than {arrival}");
        check.problem(field_shape, message, "give one of them");
    }
    by_shape
}

/// The rate's ramp over the whole run.
fn ramp_up(
    given: &file::Load,
    gaps: Gaps,
    requests: Option<u64>,
    duration_s: Option<f64>,
    check: &mut Check<'_>,
) -> Option<Arrival> {
    let ends = [
        ("load.ramp_up_start_rps", given.ramp_up_start_rps),
        ("load.ramp_up_end_rps", given.ramp_up_end_rps),
    ];
    let Some(change) = given.ramp_up_strategy else {
        for (field, _) in ends.iter().filter(|(_, rate)| rate.is_some()) {
            check.problem(
                field,
                "there is no ramp",
                "say which with --ramp-up-strategy linear or exponential",
            );
        }
        return None;
    };
    let [from_rps, to_rps] = ends.map(|(field, rate)| {
        if rate.is_none() {
            check.problem(
                field,
                "missing: a ramp goes from one rate to another",
                "for example `--ramp-up-start-rps 1 --ramp-up-end-rps 20`",
            );
        }
        check.real_or_none(field, rate, RATES, "a ramp goes from one rate to another")
    });
    let (from_rps, to_rps) = (from_rps?, to_rps?);
    if from_rps > to_rps || to_rps <= 0.0 {
        let message = format!("{from_rps} is not below {} ({to_rps})", check.name("load.ramp_up_end_rps"));
        check.problem(
            "load.ramp_up_start_rps",
            message,
            "a rate that falls is a stage: `load: {stages: [{rate: 9, to_rate: 1, duration_s: 60}]}`",
        );
        return None;
    }
    if from_rps <= 0.0 && change == Change::Exponential {
        let hint = "a small rate, such as 0.1; a linear ramp over a duration may begin at 0";
        check.problem("load.ramp_up_start_rps", "nothing grows from 0 by a factor", hint);
        return None;
    }
    let over = match (duration_s, requests) {
        (Some(seconds), _) => Over::Seconds(seconds),
        (None, Some(_)) if from_rps <= 0.0 => {
            let message = "over a count of requests, the first would wait for ever at a rate of 0";
            check.problem(
                "load.ramp_up_start_rps",
                message,
                "give a --duration to ramp over, or a small rate",
            );
            return None;
        }
        (None, Some(n)) => Over::Requests(n),
        (None, None) => {
            let hint = "say it with --duration or --num-prompts";
            check.problem("load.ramp_up_strategy", "it is not known what the ramp extends over", hint);
            return None;
        }
    };
    Some(Arrival::RateRamp { gaps, change, from_rps, to_rps, over })
}
