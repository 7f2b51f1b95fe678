//! What a load needs of this machine, asked for before anything is sent: CPUs, open files, source
//! ports and addresses. This file must not know how any of them is used.

use std::net::SocketAddr;

use super::connections::spare;
use super::{Outcome, affinity};
use crate::config::{Arrival, Connections, Load};
use crate::net::Sources;
use crate::net::limits::{self, Demand, Ports};

/// An open loop without a limit of concurrency is taken to have so many seconds of arrivals in flight:
/// answers of a minute.
const ANSWER_S: f64 = 60.0;

/// CPUs and open files, which need no target. What is lacking is an error, or where the need is a guess,
/// a warning.
pub fn prepare(load: &Load) -> anyhow::Result<Option<String>> {
    if let Some(cpus) = &load.affinity {
        affinity::check(cpus, affinity::available().as_ref())?;
    }
    Ok(limits::raise_files(demand(load))?)
}

/// Source addresses and ports for connections to `target`; warnings as above.
pub fn reach(load: &Load, target: SocketAddr) -> anyhow::Result<Vec<String>> {
    Sources::check(&load.source_addresses, target)?;
    let Some(ports) = Ports::read(target, &load.source_addresses) else { return Ok(Vec::new()) };
    let few = ports.check(demand(load))?;
    let rate = match (load.connections, load.arrival) {
        (Connections::PerRequest, Arrival::Constant { rate_rps } | Arrival::Poisson { rate_rps }) => rate_rps,
        _ => 0.0,
    };
    let opened = load.requests.unwrap_or(u64::MAX).min(arrivals(rate, load.duration_s));
    Ok(few.into_iter().chain(ports.check_turnover(opened, rate)).collect())
}

/// A warning if a closed loop, whose pace nobody knows before, opened connections faster than ports
/// become free.
pub fn outrun(load: &Load, target: SocketAddr, outcome: &Outcome) -> Option<String> {
    let seconds = outcome.ended_unix_ns.seconds_since(outcome.begun_unix_ns);
    let opened = outcome.connections.opened();
    if !matches!(load.arrival, Arrival::Closed { .. }) || seconds <= 0.0 {
        return None;
    }
    Ports::read(target, &load.source_addresses)?.check_turnover(opened, opened as f64 / seconds)
}

/// Connections open at one time.
fn demand(load: &Load) -> Demand {
    let requests = load.requests.unwrap_or(u64::MAX);
    match load.arrival {
        Arrival::Closed { users, .. } => Demand { at_once: u64::from(users).min(requests), certain: true },
        Arrival::Constant { rate_rps } | Arrival::Poisson { rate_rps } => {
            let guess = arrivals(rate_rps, Some(load.duration_s.unwrap_or(ANSWER_S).min(ANSWER_S)));
            let most = load.max_concurrency.map_or(guess, u64::from).min(requests);
            Demand { at_once: most.saturating_add(spare(load) as u64), certain: false }
        }
    }
}

/// Arrivals within a time, about; without a time, no end of them.
fn arrivals(rate_rps: f64, within_s: Option<f64>) -> u64 {
    within_s.map_or(u64::MAX, |s| (rate_rps * s).ceil() as u64)
}
