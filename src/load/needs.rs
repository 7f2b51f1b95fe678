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
    if load.connections != Connections::PerRequest || !load.arrival.is_open() {
        return Ok(few.into_iter().collect());
    }
    // The kernel holds a port for a minute: what counts is the rate within one.
    let rate = load.arrival.most_within(ANSWER_S) as f64 / ANSWER_S;
    let opened = load.requests.unwrap_or(u64::MAX).min(arrivals(load, load.duration_s));
    Ok(few.into_iter().chain(ports.check_turnover(opened, rate)).collect())
}

/// The remedy, after a load in which requests found no free port: the pace of a closed loop is known
/// only then.
pub fn outrun(load: &Load, target: SocketAddr, outcome: &Outcome) -> Option<String> {
    let counts = outcome.connections;
    let seconds = outcome.ended_unix_ns.seconds_since(outcome.begun_unix_ns);
    if counts.without_port == 0 || seconds <= 0.0 {
        return None;
    }
    let ports = Ports::read(target, &load.source_addresses)?;
    ports.check_turnover(u64::MAX, counts.opened() as f64 / seconds)
}

/// Connections open at one time.
fn demand(load: &Load) -> Demand {
    let requests = load.requests.unwrap_or(u64::MAX);
    if let Some(users) = load.arrival.users() {
        return Demand { at_once: u64::from(users).min(requests), certain: true };
    }
    let guess = arrivals(load, Some(load.duration_s.unwrap_or(ANSWER_S).min(ANSWER_S)));
    let most = load.max_concurrency.map_or(guess, u64::from).min(requests);
    // All at once is no guess.
    let certain = load.arrival == Arrival::Burst && load.max_concurrency.is_none();
    Demand { at_once: most.saturating_add(spare(load) as u64), certain }
}

/// Arrivals within a time, about; without a time, no end of them.
fn arrivals(load: &Load, within_s: Option<f64>) -> u64 {
    within_s.map_or(u64::MAX, |s| load.arrival.most_within(s))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Times;
    use crate::load::connections::tests::load;

    #[test]
    fn users_are_counted_and_rates_are_guessed() {
        let of = |arrival, requests, max_concurrency| {
            let load =
                Load { requests, max_concurrency, duration_s: None, ..load(arrival, Connections::Cold) };
            let Demand { at_once, certain } = demand(&load);
            (at_once, certain)
        };
        let users = Arrival::Closed { users: 500, ramp_s: 9.0 };
        assert_eq!((of(users.clone(), None, None), of(users, Some(20), None)), ((500, true), (20, true)));
        let rate = Arrival::Constant { rate_rps: 5.0 };
        assert_eq!(of(rate.clone(), None, None), (300, false));
        assert_eq!(
            (of(rate.clone(), Some(20), None), of(rate.clone(), None, Some(8))),
            ((20, false), (8, false))
        );
        // Those of the last half second are held ready beside.
        let warm = Load { duration_s: Some(10.0), ..load(rate, Connections::Warm) };
        assert_eq!(demand(&warm).at_once, 50 + 3);
        assert_eq!(of(Arrival::Burst, Some(70), None), (70, true));
        assert_eq!(of(Arrival::Burst, Some(70), Some(8)), (8, false));
        let trace = Arrival::Trace { speed: 1.0, times: Times([0.0, 59.0, 61.0, 200.0].into()) };
        assert_eq!(of(trace, None, None), (2, false));
    }

    #[cfg_attr(not(target_os = "linux"), ignore = "how many ports there are is read from /proc")]
    #[test]
    fn a_new_connection_for_each_request_may_outrun_the_ports() {
        let target = "127.0.0.1:80".parse().unwrap();
        let warned = |rate_rps, connections, requests| {
            let arrival = Arrival::Poisson { rate_rps };
            let load = Load { requests, max_concurrency: Some(9), ..load(arrival, connections) };
            reach(&load, target).unwrap().len()
        };
        // More in a second than there are ports, which are held for that long at least.
        assert_eq!(warned(1e6, Connections::PerRequest, None), 1);
        assert_eq!(warned(1e6, Connections::PerRequest, Some(100)), 0);
        assert_eq!(
            (warned(1e6, Connections::Cold, None), warned(0.1, Connections::PerRequest, None)),
            (0, 0)
        );
    }

    #[cfg_attr(not(target_os = "linux"), ignore = "how many ports there are is read from /proc")]
    #[test]
    fn users_beyond_the_ports_are_refused_before_the_run() {
        let target = "127.0.0.1:80".parse().unwrap();
        let users = load(Arrival::Closed { users: 70_000, ramp_s: 0.0 }, Connections::Warm);
        let error = reach(&users, target).unwrap_err();
        assert_eq!(crate::error::exit(&error), crate::error::Exit::Usage);
        assert!(
            error.to_string().starts_with("expected a source port for each of 70,000 connections, found ")
        );
        let source_addresses = (1..=9).map(|n| format!("127.0.0.{n}").parse().unwrap()).collect();
        // Where the range is so narrow that nine addresses do not do, that is said; else all is well.
        let nine = Load { source_addresses, ..users };
        let ports = Ports::read(target, &nine.source_addresses).unwrap();
        assert_eq!(reach(&nine, target).is_ok(), ports.check(demand(&nine)).is_ok());
    }
}
