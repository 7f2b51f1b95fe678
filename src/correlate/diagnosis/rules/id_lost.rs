//! The client's `X-Request-Id` does not reach the server, or another one does: joins by it find nothing,
//! and nobody's logs can be put side by side. Told only by servers that keep the id they are given (vLLM),
//! or whose records have the header. This file must not know how the two sides were joined otherwise.

use std::collections::HashMap;

use super::super::LEAST_REQUESTS;
use super::super::case::{Case, share};
use super::super::remedies::Ailment;
use super::{Ground, NEARLY_ALL, Rule};
use crate::correlate::ids::candidates;
use crate::record::SpanRow;
use crate::record::verdicts::{Kind, Sure, VerdictRow};

pub(super) const RULE: Rule = Rule {
    name: "id_lost",
    about: "the request's id dropped or replaced on the way",
    ground: Ground::Records,
    judge,
    explains: None,
};

/// How records of servers call a header of the request.
const HEADER: &str = "http.request.header.";

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    let mut by_id: HashMap<&str, &SpanRow> = HashMap::new();
    let mut by_trace: HashMap<&str, &SpanRow> = HashMap::new();
    for span in case.route.spans {
        if let Some(id) = &span.request_id {
            by_id.insert(id, span);
        }
        if !span.trace_id.is_empty() {
            by_trace.insert(&span.trace_id, span);
        }
    }
    let (mut kept, mut dropped, mut replaced, mut traces_lost) = (0_usize, 0_usize, 0_usize, 0_usize);
    let mut either = 0_usize;
    for passage in &case.route.passages {
        let client = &passage.row.client;
        let by_answer = client.response_id.as_deref().and_then(|id| by_id.get(id));
        let Some(span) = by_trace.get(client.trace_id.as_str()).or(by_answer) else { continue };
        let has_headers = span.attributes.keys().any(|key| key.starts_with(HEADER));
        let header = span.attributes.get(&format!("{HEADER}x-request-id"));
        let in_id =
            span.request_id.as_deref().is_some_and(|id| candidates(id).contains(&client.request_id.as_str()));
        match header {
            Some(id) if *id == client.request_id => kept += 1,
            Some(_) => replaced += 1,
            None if in_id => kept += 1,
            None if has_headers => dropped += 1,
            None if case.route.server.name == "vllm" => match span.request_id.as_deref() {
                Some(id) if !candidates(id).into_iter().any(is_random) => replaced += 1,
                _ => either += 1,
            },
            None => continue,
        }
        traces_lost += usize::from(!client.trace_id.is_empty() && span.trace_id != client.trace_id);
    }
    let n = dropped + replaced + either;
    let of = kept + n;
    if of < LEAST_REQUESTS || share(n, of) < NEARLY_ALL {
        return None;
    }
    let mut verdict = case.verdict(RULE.name, Kind::Record, Some(Ailment::IdLost));
    let how = match () {
        () if replaced > dropped.max(either) => "replaced",
        () if dropped >= either => "dropped",
        () => "dropped, or replaced by one that looks like the server's own,",
    };
    verdict.what = format!("X-Request-Id is {how} on the way: the server knows the requests by other ids");
    (verdict.n, verdict.of) = (n, of);
    verdict.evidence.push(format!(
        "of {of} requests found at the server by the answer's id or the trace, {n} have another id there"
    ));
    if traces_lost > 0 {
        verdict.evidence.push(format!("`traceparent` did not come through either in {traces_lost} of them"));
    }
    verdict.certainty = Sure::Certain;
    Some(verdict)
}

/// Whether a server may have drawn this id itself: 16 or 32 hexadecimal digits (vLLM), or a UUID.
fn is_random(id: &str) -> bool {
    let digits = id.bytes().filter(|b| *b != b'-').count();
    matches!((digits, id.len()), (16, 16) | (32, 32 | 36))
        && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
}
