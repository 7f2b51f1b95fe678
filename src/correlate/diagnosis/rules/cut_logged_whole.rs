//! Answers that were cut, and a log that does not say so: whoever counts errors by the log counts none.
//! This file must not know how a cut is recognised.

use super::super::case::Case;
use super::super::remedies::Ailment;
use super::{Ground, Rule};
use crate::record::Status;
use crate::record::hop::Completeness;
use crate::record::verdicts::{Kind, Sure, VerdictRow};

pub(super) const RULE: Rule = Rule {
    name: "cut_logged_whole",
    about: "cut answers that the gateway's log calls complete",
    ground: Ground::Records,
    judge,
    explains: None,
};

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    let cut = case
        .route
        .passages
        .iter()
        .filter(|p| matches!(p.row.client.status, Status::Cut | Status::StreamError));
    let told = cut.filter_map(|p| {
        // Of a request that was tried twice by the client the later line is the answer's.
        let hop = p.hops.last()?;
        let ok = hop.status.is_some_and(|status| status < 300);
        Some((hop, ok && matches!(hop.completeness, Completeness::Complete | Completeness::Unknown)))
    });
    let told: Vec<_> = told.collect();
    let unsaid: Vec<_> = told.iter().filter(|(_, unsaid)| *unsaid).collect();
    let (first, _) = unsaid.first()?;
    let mut verdict = case.verdict(RULE.name, Kind::Record, Some(Ailment::CutUnlogged));
    verdict.what = format!("cut answers stand in the log of `{}` as if they were whole", first.hop);
    (verdict.n, verdict.of) = (unsaid.len(), told.len());
    let complete = unsaid.iter().filter(|(hop, _)| hop.completeness == Completeness::Complete).count();
    verdict.evidence.push(format!(
        "of {} answers that ended without `finish_reason` or `[DONE]`, or with an error in the stream, its log has {} with status {}{}",
        told.len(),
        unsaid.len(),
        first.status.map_or_else(String::new, |status| status.to_string()),
        if complete > 0 { format!(", {complete} of them as complete") } else { String::new() }
    ));
    verdict.certainty = Sure::Certain;
    Some(verdict)
}
