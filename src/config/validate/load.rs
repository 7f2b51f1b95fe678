//! Checks `load`: the law of arrivals, what ends the run, connections and threads.

use std::net::IpAddr;

use super::{DEFAULT_REQUESTS, POSITIVE_SPAN, SPAN};
use crate::config::check::{Check, Limits};
use crate::config::file::{self, ArrivalName, File, Rate};
use crate::config::{Arrival, CpuList, Load};

const MAX_USERS: u32 = 100_000;
const MAX_THREADS: u16 = 256;

pub fn load(file: &File, check: &mut Check<'_>) -> Load {
    let given = &file.load;
    let duration_s = check.real_or_none(
        "load.duration_s",
        given.duration_s,
        POSITIVE_SPAN,
        "left out, the number of requests ends the run",
    );
    let mut requests = check.whole_or_none(
        "load.requests",
        given.requests,
        1..=1_000_000_000,
        "left out, the duration ends the run",
    );
    if given.requests.is_none() && given.duration_s.is_none() {
        requests = Some(DEFAULT_REQUESTS);
    }
    let timeout_s = check.real("load.timeout_s", given.timeout_s, 3600.0, POSITIVE_SPAN);
    // With a duration, the run should end soon after it. Without, it ends when the last request did,
    // and a burst's last request is sent at the very start.
    let grace_s = if duration_s.is_some() { 30.0 } else { timeout_s };
    let prefix = given.request_id_prefix.clone().unwrap_or_else(|| "tare-".to_owned());
    if prefix.len() > 64 || !prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b)) {
        check.problem(
            "load.request_id_prefix",
            format!(
                "expected at most 64 letters, digits, `-`, `_`, `.` or `:`, found `{}`",
                prefix.escape_debug()
            ),
            "it stands at the beginning of a header and of ids in logs",
        );
    }
    Load {
        arrival: arrival(file, requests, duration_s, check),
        requests,
        duration_s,
        grace_period_s: check.real("load.grace_period_s", given.grace_period_s, grace_s, SPAN),
        timeout_s,
        connect_timeout_s: check.real("load.connect_timeout_s", given.connect_timeout_s, 30.0, POSITIVE_SPAN),
        warmups: check.whole("load.warmups", given.warmups, 0, 0..=100_000),
        max_concurrency: given
            .max_concurrency
            .filter(|_| given.request_rate.is_some_and(|rate| rate.0.is_finite())),
        stamps: given.stamps.unwrap_or_default(),
        connections: given.connections.unwrap_or_default(),
        source_addresses: source_addresses(given, check),
        threads: check.whole_or_none(
            "load.threads",
            given.threads,
            1..=MAX_THREADS,
            "left out, there is one per CPU, at most 4",
        ),
        affinity: affinity(given, check),
        request_id_prefix: prefix,
    }
}

fn source_addresses(given: &file::Load, check: &mut Check<'_>) -> Vec<IpAddr> {
    let mut addresses = Vec::new();
    for text in given.source_addresses.iter().flatten() {
        match text.trim().parse::<IpAddr>() {
            Ok(address) if addresses.contains(&address) => check.problem(
                "load.source_addresses",
                format!("`{address}` is there twice"),
                "each address gives ports of its own once",
            ),
            Ok(address) if address.is_unspecified() => check.problem(
                "load.source_addresses",
                format!("expected an address of this host, found `{address}`"),
                "left out, the system chooses",
            ),
            Ok(address) => addresses.push(address),
            Err(_) => check.problem(
                "load.source_addresses",
                format!("expected an address, found `{}`", text.escape_debug()),
                "for example `--source-address 127.0.0.1,127.0.0.2`; names are not looked up",
            ),
        }
    }
    addresses
}

fn affinity(given: &file::Load, check: &mut Check<'_>) -> Option<CpuList> {
    match given.affinity.as_ref()?.0.parse() {
        Ok(cpus) => Some(cpus),
        Err(error) => {
            check.problem("load.affinity", error, "for example `0,2-3`, as `taskset -c` takes it");
            None
        }
    }
}

/// The law of arrivals: users, else a rate, else what `vllm bench serve` does without a rate: all
/// at once, or as many at once as `max_concurrency` lets, which is a closed loop.
fn arrival(file: &File, requests: Option<u64>, duration_s: Option<f64>, check: &mut Check<'_>) -> Arrival {
    let given = &file.load;
    let rate = given.request_rate.map(|Rate(rate)| rate).filter(|rate| *rate != f64::INFINITY);
    conflicts(given, rate, check);
    let in_range = |n: &u32| (1..=MAX_USERS).contains(n);
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
    let ramp_s = ramp(given, rate, duration_s, check);
    if given.users.is_some() || (given.max_concurrency.is_some() && rate.is_none()) {
        // Where the number is wrong, the problem is noted and any will do.
        return Arrival::Closed { users: users.or(cap).unwrap_or(1), ramp_s };
    }
    if let Some(rate) = rate {
        let limits = Limits::above(0.0, 1e6, "requests per second");
        let rate_rps = check
            .real_or_none("load.request_rate", Some(rate), limits, "`inf` sends all at once")
            .unwrap_or(1.0);
        return match given.arrival.unwrap_or(ArrivalName::Poisson) {
            ArrivalName::Poisson => Arrival::Poisson { rate_rps },
            ArrivalName::Constant => Arrival::Constant { rate_rps },
        };
    }
    let burst = requests.and_then(|requests| u32::try_from(requests).ok()).filter(in_range);
    match (burst, given.requests) {
        // A burst that fits; or no requests at all, which is noted as out of range.
        (Some(_), _) | (None, Some(0)) => {}
        (None, Some(_)) => check.problem(
            "load.requests",
            format!("without users or a rate all are sent at once, {MAX_USERS} at most"),
            "give --users, --max-concurrency or --request-rate",
        ),
        (None, None) => check.problem(
            "load.users",
            "missing: a duration alone does not say how to send",
            "give --users or --request-rate",
        ),
    }
    Arrival::Closed { users: burst.unwrap_or(1), ramp_s: 0.0 }
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
    if given.arrival.is_some() && (given.users.is_some() || rate.is_none()) {
        check.problem(
            "load.arrival",
            "only a rate has gaps to draw",
            "give a rate with --request-rate, or leave it out",
        );
    }
}

/// The ramp, which users alone have, and which ends before the run does.
fn ramp(given: &file::Load, rate: Option<f64>, duration_s: Option<f64>, check: &mut Check<'_>) -> f64 {
    let ramp_s = check.real("load.ramp_s", given.ramp_s, 0.0, SPAN);
    let closed = given.users.is_some() || (given.max_concurrency.is_some() && rate.is_none());
    if given.ramp_s.is_some() && !closed {
        check.problem("load.ramp_s", "only users are ramped", "say how many with --users, or leave it out");
    }
    if let Some(duration_s) = duration_s
        && ramp_s > duration_s
    {
        let message = format!("{ramp_s} s is longer than {} ({duration_s} s)", check.name("load.duration_s"));
        check.problem("load.ramp_s", message, "a ramp ends before the run does");
    }
    ramp_s
}
