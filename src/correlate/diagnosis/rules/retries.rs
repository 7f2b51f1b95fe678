//! One request of the client, several of the server: something on the way sent it again. Counted by the
//! server's records of one request, by a hop's own count, or by the gateway's header. This file must not
//! know of the client's own second tries: those are left out.

use super::super::case::Case;
use super::super::remedies::Ailment;
use super::{super::Passage, Rule};
use crate::record::Connection;
use crate::record::verdicts::{Kind, Sure, VerdictRow};

pub(super) const RULE: Rule =
    Rule { name: "retries", about: "requests sent to the server more than once", judge };

const HEADERS: [&str; 2] = ["x-litellm-attempted-retries", "x-envoy-attempt-count"];

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    let own = |p: &&Passage<'_>| p.row.client.connection != Connection::Retried;
    let passages: Vec<&Passage<'_>> = case.route.passages.iter().filter(own).collect();
    let at_server: Vec<usize> = passages.iter().map(|p| p.row.server_attempts as usize).collect();
    let by_server = at_server.iter().filter(|n| **n > 1).count();
    let by_hop: Vec<u32> = passages
        .iter()
        .flat_map(|p| &p.hops)
        .map(|hop| hop.attempts.unwrap_or(0).max(hop.tries.len() as u32))
        .filter(|n| *n > 1)
        .collect();
    let by_header = passages.iter().filter(|p| said_in_header(p)).count();
    let n = by_server.max(by_hop.len()).max(by_header);
    if n == 0 {
        return None;
    }
    let mut verdict = case.verdict(RULE.name, Kind::Work, Some(Ailment::Retried));
    "requests are sent to the server again: one of the client's is several there"
        .clone_into(&mut verdict.what);
    (verdict.n, verdict.of) = (n, passages.len());
    verdict.certainty = Sure::Certain;
    if by_server > 0 {
        let all: usize = at_server.iter().sum();
        let seen = at_server.iter().filter(|n| **n > 0).count();
        verdict.evidence.push(format!(
            "{all} records of the server are of {seen} requests; {by_server} of these were there more than once"
        ));
    }
    if !by_hop.is_empty() {
        verdict.evidence.push(format!(
            "by the hops' own account {} requests took {} tries",
            by_hop.len(),
            by_hop.iter().sum::<u32>()
        ));
    }
    if by_header > 0 {
        verdict.evidence.push(format!("headers of {by_header} answers tell of retries"));
    }
    Some(verdict)
}

fn said_in_header(p: &Passage<'_>) -> bool {
    p.row.client.answer_headers.iter().any(|(name, value)| {
        let least = u32::from(name == HEADERS[1]);
        HEADERS.contains(&name.as_str()) && value.trim().parse::<u32>().is_ok_and(|n| n > least)
    })
}
