//! Sweeps and searches: the file's section `sweep`, the flags over it, and what they ask for. This file must not know how a
//! sweep is run.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use super::check::{Check, Limits, Origins};
use super::file::{File, Rate, Scalar};
use super::{Arrival, Gaps};
use crate::cli::{SearchName, SweepArgs};
use crate::sweep::asked::{Asked, Axis, Plan, Search};
use crate::sweep::levels;

/// Points of a sweep last so long where nothing says how long.
const DURATION_S: f64 = 30.0;
const SHARE: f64 = 0.95;

/// `sweep:` several runs instead of one.
#[derive(Clone, Debug, Default, PartialEq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sweep {
    pub request_rate: Option<Levels>,
    pub max_concurrency: Option<Levels>,
    pub search: Option<SearchAxis>,
    pub goodput_share: Option<f64>,
    pub from: Option<f64>,
    pub least: Option<f64>,
    pub most: Option<f64>,
    pub tolerance: Option<f64>,
    pub repeats: Option<u32>,
    pub max_runs: Option<u32>,
    pub num_runs: Option<u32>,
    pub reset_prefix_cache: Option<bool>,
    pub stop_over_saturated: Option<bool>,
}

/// `sweep.search`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SearchAxis {
    Rate,
    Concurrency,
}

/// Levels as text: `[1, 2, 5]`, `"1..64x2"`, `8` and `auto` alike.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Levels(pub String);

impl<'de> Deserialize<'de> for Levels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Written;
        impl<'de> Visitor<'de> for Written {
            type Value = Levels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of numbers, or a range such as `1..64x2`")
            }

            fn visit_u64<E: de::Error>(self, level: u64) -> Result<Levels, E> {
                Ok(Levels(level.to_string()))
            }

            fn visit_i64<E: de::Error>(self, level: i64) -> Result<Levels, E> {
                Ok(Levels(level.to_string()))
            }

            fn visit_f64<E: de::Error>(self, level: f64) -> Result<Levels, E> {
                Ok(Levels(level.to_string()))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Levels, E> {
                Ok(Levels(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut levels: A) -> Result<Levels, A::Error> {
                let mut all = Vec::new();
                while let Some(Scalar(level)) = levels.next_element()? {
                    all.push(level);
                }
                Ok(Levels(all.join(",")))
            }
        }
        from.deserialize_any(Written)
    }
}

/// Lays the flags over the section. One kind of sweep in place of another, as with laws of arrivals; and a sweep of rates
/// takes the place of a file's users, as a rate does.
pub fn lay(flags: &SweepArgs, users: bool, file: &mut File, origins: &mut Origins) {
    let rates = flags.sweep_request_rate.clone().or_else(|| flags.find_knee.then(|| "auto".to_owned()));
    let rate_flag = if flags.find_knee { "--find-knee" } else { "--sweep-request-rate" };
    let search = flags.search_slo.map(|name| match name {
        SearchName::Rate => SearchAxis::Rate,
        SearchName::Concurrency => SearchAxis::Concurrency,
    });
    let into = file.sweep.get_or_insert_default();
    if rates.is_some() || flags.sweep_max_concurrency.is_some() || search.is_some() {
        (into.request_rate, into.max_concurrency, into.search) = (None, None, None);
    }
    origins.set("sweep.request_rate", rate_flag, rates.map(Levels), &mut into.request_rate);
    let concurrency = flags.sweep_max_concurrency.clone().map(Levels);
    origins.set("sweep.max_concurrency", "--sweep-max-concurrency", concurrency, &mut into.max_concurrency);
    origins.set("sweep.search", "--search-slo", search, &mut into.search);
    origins.set("sweep.goodput_share", "--goodput-share", flags.goodput_share, &mut into.goodput_share);
    origins.set("sweep.from", "--search-from", flags.search_from, &mut into.from);
    origins.set("sweep.least", "--search-least", flags.search_least, &mut into.least);
    origins.set("sweep.most", "--search-most", flags.search_most, &mut into.most);
    origins.set("sweep.tolerance", "--search-tolerance", flags.search_tolerance, &mut into.tolerance);
    origins.set("sweep.repeats", "--search-repeats", flags.search_repeats, &mut into.repeats);
    origins.set("sweep.max_runs", "--search-max-runs", flags.search_max_runs, &mut into.max_runs);
    origins.set("sweep.num_runs", "--num-runs", flags.num_runs, &mut into.num_runs);
    let reset = flags.reset_prefix_cache.then_some(true);
    origins.set("sweep.reset_prefix_cache", "--reset-prefix-cache", reset, &mut into.reset_prefix_cache);
    let on = flags.stop_over_saturated.then_some(true);
    origins.set("sweep.stop_over_saturated", "--stop-over-saturated", on, &mut into.stop_over_saturated);
    let off = flags.no_stop_over_saturated.then_some(false);
    origins.set("sweep.stop_over_saturated", "--no-stop-over-saturated", off, &mut into.stop_over_saturated);
    let by_rate = flags.sweep_request_rate.is_some() || flags.find_knee || search == Some(SearchAxis::Rate);
    let by_users = flags.sweep_max_concurrency.is_some() || search == Some(SearchAxis::Concurrency);
    if by_rate && !users {
        (file.load.users, file.load.ramp_s) = (None, None);
    }
    if by_users && !origins.is_flag("load.request_rate") {
        (file.load.request_rate, file.load.arrival) = (None, None);
    }
}

/// What is asked for, if several runs are; and fills in the load what its first run needs.
pub fn resolve(given: &Sweep, file: &mut File, check: &mut Check<'_>) -> Option<Asked> {
    let kinds = [
        ("sweep.request_rate", given.request_rate.is_some()),
        ("sweep.max_concurrency", given.max_concurrency.is_some()),
        ("sweep.search", given.search.is_some()),
    ];
    let asked: Vec<&str> = kinds.iter().filter(|(_, is)| *is).map(|(field, _)| *field).collect();
    if let [one, other, ..] = asked.as_slice() {
        let message = format!("{} is asked for as well", check.name(one));
        check.problem(other, message, "one sweep or search at a time");
    }
    let num_runs = check.whole("sweep.num_runs", given.num_runs, 1, 1..=1_000);
    let (axis, levels) = match (&given.request_rate, &given.max_concurrency, given.search) {
        (Some(Levels(text)), ..) if text == "auto" => (Axis::Rate, None),
        (Some(Levels(text)), ..) => (Axis::Rate, Some(read("sweep.request_rate", text, 1e6, false, check))),
        (_, Some(Levels(text)), _) => {
            (Axis::Concurrency, Some(read("sweep.max_concurrency", text, 100_000.0, true, check)))
        }
        (_, _, Some(SearchAxis::Rate)) => (Axis::Rate, None),
        (_, _, Some(SearchAxis::Concurrency)) => (Axis::Concurrency, None),
        (None, None, None) => (Axis::AsConfigured, Some(vec![0.0])),
    };
    let searches = levels.is_none();
    misplaced(given, file, (axis, searches), check);
    if axis == Axis::AsConfigured && num_runs == 1 {
        return None;
    }
    if file.calibrate == Some(true) {
        check.problem(
            "calibrate",
            "several runs are asked for, and one is calibrated",
            "leave one of the two out",
        );
    }
    let plan = if let Some(levels) = levels {
        Plan::List { levels }
    } else {
        let search = search(given, file, axis, check);
        match given.search {
            Some(_) => Plan::Slo { share: share(given, file, check), search },
            None => Plan::Knee(search),
        }
    };
    let first = match &plan {
        Plan::List { levels } => levels.first().copied().unwrap_or(1.0),
        Plan::Knee(search) | Plan::Slo { search, .. } => search.from,
    };
    fill_in(file, axis, first);
    Some(Asked {
        axis,
        plan,
        num_runs,
        reset_prefix_cache: given.reset_prefix_cache.unwrap_or(false),
        saturation_stop: given.stop_over_saturated.unwrap_or(true),
    })
}

/// The load of the first run, so that all of it is checked as that of any run.
fn fill_in(file: &mut File, axis: Axis, first: f64) {
    let load = &mut file.load;
    match axis {
        // What contradicts it is told already, and would be told again.
        Axis::Rate if load.users.is_some() => {}
        Axis::Concurrency if load.request_rate.is_some_and(|rate| rate.0.is_finite()) => {}
        Axis::Rate => load.request_rate = Some(Rate(first)),
        Axis::Concurrency => (load.users, load.max_concurrency) = (Some(first as u32), None),
        Axis::AsConfigured => return,
    }
    if load.requests.is_none() && load.duration_s.is_none() {
        load.duration_s = Some(DURATION_S);
    }
}

fn read(field: &'static str, text: &str, most: f64, whole: bool, check: &mut Check<'_>) -> Vec<f64> {
    let hint = "for example `1,2,5`, `1..64x2` (times two) or `1..10+1` (plus one)";
    let levels = match levels::parse(text) {
        Ok(levels) => levels,
        Err(why) => {
            check.problem(
                field,
                why,
                match (whole, text) {
                    (true, "auto") => {
                        "a knee is of rates: `--find-knee`; or `--search-slo concurrency` with objectives"
                            .to_owned()
                    }
                    (true, _) => hint.to_owned(),
                    (false, _) => format!("{hint}; `auto` finds the knee"),
                },
            );
            return vec![1.0];
        }
    };
    if let Some(level) = levels.iter().find(|level| **level > most || (whole && level.fract() != 0.0)) {
        let kind = if whole { "whole numbers from 1" } else { "numbers" };
        check.problem(field, format!("expected {kind} to {most}, found {level}"), hint);
        return vec![1.0];
    }
    levels
}

fn search(given: &Sweep, file: &File, axis: Axis, check: &mut Check<'_>) -> Search {
    let (least, most, unit) = match axis {
        Axis::Concurrency => (1.0, 10_000.0, "requests at once"),
        _ => (0.01, 100_000.0, "requests per second"),
    };
    let limits = Limits::above(0.0, 1e6, unit);
    let configured = match axis {
        Axis::Concurrency => file.load.users.or(file.load.max_concurrency).map(f64::from),
        _ => file.load.request_rate.map(|rate| rate.0).filter(|rate| rate.is_finite()),
    };
    let search = Search {
        least: check.real("sweep.least", given.least, least, limits),
        most: check.real("sweep.most", given.most, most, limits),
        from: check.real("sweep.from", given.from.or(configured), 1.0, limits),
        tolerance: check.real("sweep.tolerance", given.tolerance, 0.05, Limits::from(0.001, 1.0, "a share")),
        repeats: check.whole("sweep.repeats", given.repeats, 3, 1..=100),
        max_runs: check.whole("sweep.max_runs", given.max_runs, 30, 1..=10_000),
    };
    let Search { from, least, most, .. } = search;
    if least > most || !(least..=most).contains(&from) {
        let message = format!("expected a level from {least} to {most} to begin with, found {from}");
        let hint = "--search-least and --search-most say between which levels is searched";
        check.problem("sweep.from", message, hint);
    }
    if axis == Axis::Concurrency && [from, least, most].iter().any(|level| level.fract() != 0.0) {
        check.problem(
            "sweep.from",
            "expected whole numbers of requests at once",
            "for example --search-from 4",
        );
    }
    search
}

fn share(given: &Sweep, file: &File, check: &mut Check<'_>) -> f64 {
    if file.slo.is_empty() {
        let hint = "for example `--goodput ttft:200 tpot:50`, or `slo:` in the file";
        check.problem("sweep.search", "missing: the objectives that requests must meet", hint);
    }
    check.real("sweep.goodput_share", given.goodput_share, SHARE, Limits::above(0.0, 0.999, "a share"))
}

/// Settings that say two things at once, or that nothing would look at.
fn misplaced(given: &Sweep, file: &File, (axis, searches): (Axis, bool), check: &mut Check<'_>) {
    let field = match (given.search, axis) {
        (Some(_), _) => "sweep.search",
        (None, Axis::Concurrency) => "sweep.max_concurrency",
        (None, _) => "sweep.request_rate",
    };
    let rate = file.load.request_rate.is_some_and(|rate| rate.0.is_finite());
    if axis == Axis::Rate && file.load.users.is_some() {
        let message = format!("a rate is for an open loop, {} for a closed one", check.name("load.users"));
        check.problem(field, message, "leave one of the two out");
    }
    if axis == Axis::Concurrency && rate {
        let message =
            format!("{} is for an open loop, users for a closed one", check.name("load.request_rate"));
        check.problem(field, message, "leave one of the two out");
    }
    if axis == Axis::Concurrency && !searches && (file.load.users.or(file.load.max_concurrency)).is_some() {
        let users = if file.load.users.is_some() { "load.users" } else { "load.max_concurrency" };
        let message = format!("{} already says how many at once", check.name(users));
        check.problem(field, message, "leave one of the two out");
    }
    if axis == Axis::Rate && !searches && file.load.request_rate.is_some() {
        let message = format!("{} already says how many per second", check.name("load.request_rate"));
        check.problem(field, message, "leave one of the two out");
    }
    let of_searches = [
        ("sweep.from", given.from.is_some()),
        ("sweep.least", given.least.is_some()),
        ("sweep.most", given.most.is_some()),
        ("sweep.tolerance", given.tolerance.is_some()),
        ("sweep.repeats", given.repeats.is_some()),
        ("sweep.max_runs", given.max_runs.is_some()),
    ];
    for (field, _) in of_searches.iter().filter(|(_, is)| *is && !searches) {
        check.problem(
            field,
            "this is for a search",
            "search with --search-slo rate or --find-knee, or leave it out",
        );
    }
    if given.goodput_share.is_some() && given.search.is_none() {
        let message = "this is for a search by objectives";
        check.problem("sweep.goodput_share", message, "search with --search-slo rate, or leave it out");
    }
    if given.num_runs.is_some_and(|n| n > 1) && searches {
        let hint = "--search-repeats says how often a level that is not clear is run";
        check.problem("sweep.num_runs", "a search decides itself how often a level is run", hint);
    }
    if given.reset_prefix_cache == Some(true) && file.target.base_url.is_none() {
        let message = "the embedded server is started anew for each run, and knows no prompt";
        check.problem("sweep.reset_prefix_cache", message, "leave it out");
    }
    let changing = [
        ("load.stages", file.load.stages.is_some()),
        ("load.ramp_up_strategy", file.load.ramp_up_strategy.is_some()),
        ("load.self_timed", file.load.self_timed == Some(true)),
    ];
    for (field, is_given) in changing {
        if is_given && axis != Axis::AsConfigured {
            let message = "a load that changes by itself has no level that a sweep could set";
            check.problem(field, message, "leave it out, or leave out the sweep");
        }
    }
    let closed =
        axis == Axis::Concurrency || (axis == Axis::AsConfigured && (file.load.users.is_some() || !rate));
    if given.stop_over_saturated == Some(true) && closed {
        let message = "a closed loop waits for its answers: its requests do not pile up";
        check.problem("sweep.stop_over_saturated", message, "leave it out, or give a rate");
    }
}

impl Arrival {
    /// The same law at another level of a sweep: of an open loop with the same gaps.
    #[must_use]
    pub fn at(&self, axis: Axis, level: f64) -> Self {
        let gaps = || self.steady().map_or(Gaps::Poisson, |(_, gaps)| gaps);
        match (axis, self) {
            (Axis::AsConfigured, same) => same.clone(),
            (Axis::Concurrency, Arrival::Closed { ramp_s, .. }) => {
                Arrival::Closed { users: level as u32, ramp_s: *ramp_s }
            }
            (Axis::Concurrency, _) => Arrival::Closed { users: level as u32, ramp_s: 0.0 },
            (Axis::Rate, _) => match gaps() {
                Gaps::Constant => Arrival::Constant { rate_rps: level },
                Gaps::Poisson => Arrival::Poisson { rate_rps: level },
                Gaps::Gamma { burstiness } => Arrival::Gamma { rate_rps: level, burstiness },
            },
        }
    }
}

#[cfg(test)]
mod tests;
