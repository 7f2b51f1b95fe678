//! Answers that the server made and the client did not get, and requests that the gateway refused without
//! asking the server. What failed at the server itself is none of the gateway's doing. This file must not
//! know how a failure is recognised.

use super::super::case::{Case, median};
use super::super::tries;
use super::super::{LEAST_REQUESTS, Passage};
use super::{Ground, Rule};
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::record::{HopRow, JoinedRow, LogEvent, LogRow, Source, Status};

pub(super) const RULE: Rule = Rule {
    name: "lost_answers",
    about: "answers lost between server and client, or refused there",
    ground: Ground::Records,
    judge,
    explains: None,
};

/// A gateway's own words for "no server".
const GATEWAYS: [u16; 3] = [502, 503, 504];

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    let rows: Vec<&JoinedRow> = case.route.passages.iter().map(|p| p.row).collect();
    let joined = rows.iter().filter(|row| row.source != Source::None).count();
    if joined < LEAST_REQUESTS || !case.has_gateway() {
        return None;
    }
    let an_event = tokens_an_event(&rows);
    let swallowed = rows.iter().filter(|row| was_swallowed(row, an_event)).count();
    let unrecorded =
        case.route.passages.iter().filter(|p| p.row.source == Source::None && was_refused(p.row));
    let unanswered = || unrecorded.clone().filter(|p| !server_answered(p));
    let mut refused = if servers_own(case) { 0 } else { unanswered().count() };
    // A busy server answers so itself, and keeps no record of it.
    let hops_tell = case.route.passages.iter().flat_map(|p| &p.hops).any(|hop| tells_heads(hop));
    let told = hops_tell || !case.route.direct.is_empty();
    if swallowed > 0 && !told {
        refused = 0;
    }
    if swallowed + refused == 0 {
        return None;
    }
    let mut verdict = case.verdict(RULE.name, Kind::Loss, None);
    if swallowed > 0 {
        "answers are lost between server and client"
    } else {
        "requests are refused on the way"
    }
    .clone_into(&mut verdict.what);
    (verdict.n, verdict.of) = (swallowed + refused, rows.len());
    if swallowed > 0 {
        verdict.evidence.push(format!(
            "answers cut at the client of which the server had written more, a tenth at least: {swallowed}"
        ));
    }
    if refused > 0 {
        verdict.evidence.push(format!(
            "requests refused with 502, 503 or 504 of which the server has no record: {refused}"
        ));
        let unreached = unanswered().filter(|p| tries::reached_nobody(p, case.route)).count();
        if unreached > 0 {
            verdict.evidence.push(format!(
                "of {unreached} of these the gateway's log has a try, and no connection: was the server up, and within reach?"
            ));
        }
    }
    verdict.certainty = Sure::Likely;
    if swallowed == 0 && !told {
        verdict.certainty = Sure::Hint;
        verdict.evidence.push(
            "the server may have refused them itself: the gateway's log, or requests straight to the server, tell"
                .to_owned(),
        );
    }
    Some(verdict)
}

fn was_refused(row: &JoinedRow) -> bool {
    row.client.http_status.is_some_and(|status| GATEWAYS.contains(&status))
}

/// By a hop's account a head came from its upstream, and the status is that one's.
fn server_answered(passage: &Passage<'_>) -> bool {
    let status = passage.row.client.http_status;
    // Of several hops the last one asks the server.
    passage.hops.last().is_some_and(|hop| tells_heads(hop) && hop.status == status)
}

/// nginx has a status of an upstream that it never reached, but no head.
fn tells_heads(hop: &HopRow) -> bool {
    hop.upstream_head_s.is_some() || hop.tries.last().is_some_and(|one| one.head_s.is_some())
}

/// The server is known to refuse requests so itself: straight to it, or by its own access lines.
fn servers_own(case: &Case<'_>) -> bool {
    let logged = |row: &LogRow| match &row.event {
        LogEvent::Access { status, path, .. } => GATEWAYS.contains(status) && path.contains("completions"),
        _ => false,
    };
    case.route.direct.iter().any(|p| was_refused(p.row)) || case.route.log.iter().any(logged)
}

/// Tokens that an event bears: where a server writes several at once, more than one.
fn tokens_an_event(rows: &[&JoinedRow]) -> f64 {
    let whole = rows.iter().filter(|row| row.client.status == Status::Ok && row.client.n_events > 0);
    let of_one =
        |row: &&JoinedRow| Some(f64::from(row.server_output_tokens?) / f64::from(row.client.n_events));
    median(whole.filter_map(of_one)).unwrap_or(1.0).max(1.0)
}

/// The server wrote more tokens than came, and the client did not end it itself.
fn was_swallowed(row: &JoinedRow, tokens_an_event: f64) -> bool {
    let client = &row.client;
    let by_client = client.error.as_deref().is_some_and(|error| error.contains("client"));
    let wrote = f64::from(row.server_output_tokens.unwrap_or(0));
    let came =
        (f64::from(client.n_events) * tokens_an_event).max(f64::from(client.output_tokens.unwrap_or(0)));
    client.status == Status::Cut && !by_client && wrote > came + (came / 10.0).max(2.0)
}
