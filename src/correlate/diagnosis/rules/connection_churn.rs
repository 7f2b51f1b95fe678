//! The gateway opens a connection to the server for each request, though its client keeps its own: each
//! pays for a handshake, and a busy gateway runs out of ports. Seen by the ports that the server names, by
//! those that a hop names, or by what the gateway asks the server to do. This file must not know what a
//! handshake costs.

use std::collections::HashSet;

use super::super::LEAST_REQUESTS;
use super::super::case::{Case, median, share};
use super::super::remedies::Ailment;
use super::{Ground, NEARLY_ALL, Rule};
use crate::record::Connection;
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::units;

pub(super) const RULE: Rule = Rule {
    name: "connection_churn",
    about: "a new connection to the server for each request",
    ground: Ground::Records,
    judge,
    explains: None,
};

/// What the server was asked in the request, as records of servers call it.
const CONNECTION: &str = "http.request.header.connection";

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    let clients: Vec<Connection> = case.route.passages.iter().map(|p| p.row.client.connection).collect();
    let kept = clients.iter().filter(|c| **c == Connection::Reused).count();
    // A client that opens one each time may be what makes the gateway do so.
    if clients.len() < LEAST_REQUESTS || share(kept, clients.len()) < 0.5 {
        return None;
    }
    let found = [by_log(case), by_hop(case), by_header(case)];
    let mut verdict = case.verdict(RULE.name, Kind::Work, Some(Ailment::Reconnecting));
    for (n, of, said) in found.into_iter().flatten() {
        if verdict.of == 0 {
            (verdict.n, verdict.of) = (n, of);
        }
        verdict.evidence.push(said);
    }
    if verdict.evidence.is_empty() {
        return None;
    }
    "the gateway opens a new connection to the server for each request".clone_into(&mut verdict.what);
    verdict.evidence.push(format!("the client keeps its own: {kept} of {} requests", clients.len()));
    verdict.evidence.extend(connect_times(case));
    verdict.certainty = Sure::Certain;
    Some(verdict)
}

fn by_log(case: &Case<'_>) -> Option<(usize, usize, String)> {
    let ports = case.route.access_ports();
    let distinct = ports.iter().collect::<HashSet<_>>().len();
    (ports.len() >= LEAST_REQUESTS && share(distinct, ports.len()) >= NEARLY_ALL).then(|| {
        (distinct, ports.len(), format!("{} access lines of the server name {distinct} ports", ports.len()))
    })
}

/// The first of the hops that does: what the others do is no part of it.
fn by_hop(case: &Case<'_>) -> Option<(usize, usize, String)> {
    case.by_hop().into_iter().find_map(|(name, rows)| {
        let outgoing: Vec<&str> = rows.iter().filter_map(|(_, row)| row.outgoing.as_deref()).collect();
        let (n, distinct) = (outgoing.len(), outgoing.iter().collect::<HashSet<_>>().len());
        (n >= LEAST_REQUESTS && share(distinct, n) >= NEARLY_ALL)
            .then(|| (distinct, n, format!("{n} requests left hop `{name}` from {distinct} ports")))
    })
}

/// `Connection: close`, which is said to the next neighbour only.
fn by_header(case: &Case<'_>) -> Option<(usize, usize, String)> {
    let ours: HashSet<&str> = case.route.passages.iter().flat_map(|p| ids(p.row)).collect();
    let spans = case.route.spans.iter().filter(|span| {
        span.request_id.as_deref().is_some_and(|id| ours.contains(id))
            || ours.contains(span.trace_id.as_str())
    });
    let told: Vec<Option<&String>> = spans.map(|span| span.attributes.get(CONNECTION)).collect();
    let closing = told.iter().flatten().filter(|value| value.eq_ignore_ascii_case("close")).count();
    (closing >= LEAST_REQUESTS && share(closing, told.len()) >= NEARLY_ALL).then(|| {
        (
            closing,
            told.len(),
            format!("{closing} of {} requests reached the server with `Connection: close`", told.len()),
        )
    })
}

/// The ids under which the server may know a request.
fn ids(row: &crate::record::JoinedRow) -> impl Iterator<Item = &str> {
    let client = &row.client;
    let ids =
        [Some(client.request_id.as_str()), client.response_id.as_deref(), Some(client.trace_id.as_str())];
    ids.into_iter().flatten().filter(|id| !id.is_empty())
}

/// What the handshakes took by the hop's own timers, where these show them.
fn connect_times(case: &Case<'_>) -> Option<String> {
    let tries = case.route.passages.iter().flat_map(|p| &p.hops).flat_map(|hop| &hop.tries);
    let took: Vec<f64> = tries.filter_map(|t| t.connect_s).filter(|s| *s > 0.0).collect();
    let median_s = median(took.iter().copied())?;
    Some(format!(
        "a handshake took {} (median of {} that the hop's timer shows)",
        units::seconds(median_s),
        took.len()
    ))
}
