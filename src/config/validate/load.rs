//! Checks `load`: what ends the run, connections and threads; the law of arrivals is checked beside.

use std::net::IpAddr;

use super::{DEFAULT_REQUESTS, POSITIVE_SPAN, SPAN, arrival, stages, trace};
use crate::config::check::Check;
use crate::config::file::{self, File};
use crate::config::{CpuList, Load};

const MAX_THREADS: u16 = 256;

pub fn load(file: &File, check: &mut Check<'_>) -> Load {
    let given = &file.load;
    let mut duration_s = check.real_or_none(
        "load.duration_s",
        given.duration_s,
        POSITIVE_SPAN,
        "left out, the number of requests ends the run",
    );
    let stages = stages::stages(given, check);
    if let Some((_, length_s)) = &stages {
        duration_s = Some(*length_s);
    }
    let mut requests = check.whole_or_none(
        "load.requests",
        given.requests,
        1..=1_000_000_000,
        "left out, the duration ends the run",
    );
    // A trace says itself how many there are.
    if given.requests.is_none() && duration_s.is_none() && given.duration_s.is_none() && !trace::is_one(file)
    {
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
    let arrival = arrival::arrival(file, stages.map(|(stages, _)| stages), requests, duration_s, check);
    Load {
        max_concurrency: given.max_concurrency,
        arrival,
        requests,
        duration_s,
        grace_period_s: check.real("load.grace_period_s", given.grace_period_s, grace_s, SPAN),
        timeout_s,
        connect_timeout_s: check.real("load.connect_timeout_s", given.connect_timeout_s, 30.0, POSITIVE_SPAN),
        warmups: check.whole("load.warmups", given.warmups, 0, 0..=100_000),
        stamps: given.stamps.unwrap_or_default(),
        connections: given.connections.unwrap_or_default(),
        source_addresses: source_addresses(given, check),
        threads: check.whole_or_none(
            "load.threads",
            given.threads,
            1..=MAX_THREADS,
            "left out, there is one per CPU, at most 4, and one alone for up to 64 users with warm connections",
        ),
        affinity: affinity(given, check),
        request_id_prefix: prefix,
        keep_texts: false,
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
