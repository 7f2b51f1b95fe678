//! Answers that the server made and the client did not get, and requests that the gateway refused without
//! asking the server. What failed at the server itself is none of the gateway's doing. This file must not
//! know how a failure is recognised.

use super::super::LEAST_REQUESTS;
use super::super::case::Case;
use super::Rule;
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::record::{JoinedRow, Source, Status};

pub(super) const RULE: Rule =
    Rule { name: "lost_answers", about: "answers lost between server and client", judge };

/// A gateway's own words for "no server".
const GATEWAYS: [u16; 3] = [502, 503, 504];

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    let rows: Vec<&JoinedRow> = case.route.passages.iter().map(|p| p.row).collect();
    let joined = rows.iter().filter(|row| row.source != Source::None).count();
    if joined < LEAST_REQUESTS || !case.has_gateway() {
        return None;
    }
    let swallowed = rows.iter().filter(|row| was_swallowed(row)).count();
    let refused = rows.iter().filter(|row| {
        row.source == Source::None && row.client.http_status.is_some_and(|status| GATEWAYS.contains(&status))
    });
    let refused = refused.count();
    if swallowed + refused == 0 {
        return None;
    }
    let mut verdict = case.verdict(RULE.name, Kind::Loss, None);
    "answers are lost between server and client".clone_into(&mut verdict.what);
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
    }
    verdict.certainty = Sure::Likely;
    Some(verdict)
}

/// The server wrote more tokens than came, and the client did not end it itself.
fn was_swallowed(row: &JoinedRow) -> bool {
    let client = &row.client;
    let by_client = client.error.as_deref().is_some_and(|error| error.contains("client"));
    let wrote = row.server_output_tokens.unwrap_or(0);
    // An event may bear several tokens.
    let came = client.n_events.max(client.output_tokens.unwrap_or(0));
    client.status == Status::Cut && !by_client && wrote > came + (came / 10).max(2)
}
