//! The answer's head kept back until the first token: no token is late, but whatever takes the head for
//! the first token is wrong, and limits on the head's time run out. Said only where the server is known to
//! send it early. This file must not know of tokens held.

use super::super::LEAST_REQUESTS;
use super::super::case::{Case, median, share};
use super::super::own_word;
use super::super::remedies::Ailment;
use super::super::signature::{HEAD_WAIT_S, HEAD_WITH_TOKEN_S, TOGETHER, around_head};
use super::coalescing::{held, moments};
use super::{Ground, NEARLY_ALL, Rule, whole_answer};
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::record::{HopRow, JoinedRow, RequestRow};
use crate::units;

pub(super) const RULE: Rule = Rule {
    name: "head_held",
    about: "the answer's head kept back until the first token",
    ground: Ground::Streams,
    judge,
    explains: None,
};

/// That the head came with the first token, though the server had sent it long before.
pub struct KeptBack {
    /// Requests whose head came so, of those that tell.
    n: usize,
    of: usize,
    evidence: Vec<String>,
}

/// What shows that heads are kept back, whatever else is; `None` where nothing does.
pub fn kept_back(case: &Case<'_>) -> Option<KeptBack> {
    let waits: Vec<(f64, f64)> = case.whole().filter_map(|row| around_head(&row.client)).collect();
    let together =
        waits.iter().filter(|(before, after)| *after < HEAD_WITH_TOKEN_S && before + after > HEAD_WAIT_S);
    let n = together.count();
    if waits.len() < LEAST_REQUESTS || share(n, waits.len()) < NEARLY_ALL {
        return None;
    }
    let before = median(waits.iter().map(|w| w.0))?;
    // What is known of requests straight to the server is final, the contrary as well.
    let straight: Vec<(f64, f64)> =
        case.route.direct.iter().filter_map(|p| around_head(&p.row.client)).collect();
    let early = if straight.len() >= LEAST_REQUESTS {
        by_direct(&straight)?
    } else {
        by_hop(case, before).or_else(|| by_header(case))?
    };
    let with_token = format!(
        "the head came with the first token, {} after sending (median; {n} of {} within {})",
        units::seconds(before),
        waits.len(),
        units::seconds(HEAD_WITH_TOKEN_S)
    );
    Some(KeptBack { n, of: waits.len(), evidence: vec![with_token, early] })
}

impl KeptBack {
    /// In words, with its numbers.
    pub fn evidence(&self) -> &[String] {
        &self.evidence
    }
}

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    // Whatever keeps tokens keeps the head with them.
    let tokens_held = held(case).is_some() || moments(&case.streams).is_some_and(|share| share < TOGETHER);
    if tokens_held || whole_answer::is_whole(case) {
        return None;
    }
    let back = kept_back(case)?;
    let mut verdict = case.verdict(RULE.name, Kind::Head, Some(Ailment::HeadHeld));
    "the answer's head is kept back until the first token; no token is".clone_into(&mut verdict.what);
    (verdict.n, verdict.of) = (back.n, back.of);
    verdict.evidence.extend(back.evidence);
    verdict.certainty = Sure::Certain;
    Some(verdict)
}

/// Straight from the server it comes long before the first token.
fn by_direct(waits: &[(f64, f64)]) -> Option<String> {
    let (before, after) = (median(waits.iter().map(|w| w.0))?, median(waits.iter().map(|w| w.1))?);
    (after > HEAD_WAIT_S && after > before).then(|| {
        format!(
            "straight from the server it comes {} after sending, {} before the first token (medians of {})",
            units::seconds(before),
            units::seconds(after),
            waits.len()
        )
    })
}

/// By a hop's own log it had the head long before the client did: whatever keeps it is there, or before it.
fn by_hop(case: &Case<'_>, here: f64) -> Option<String> {
    case.by_hop().into_iter().find_map(|(name, rows)| {
        let heads: Vec<f64> =
            rows.iter().filter_map(|(passage, row)| head_s(&passage.row.client, row)).collect();
        let there = median(heads.iter().copied())?;
        // A long way to the hop keeps no head: by the server's account it came before the token.
        let token = median(rows.iter().filter_map(|(passage, _)| passage.row.server_ttft_s));
        let is_before = token.is_none_or(|token| token - there > HEAD_WAIT_S);
        let is_early = there < 0.5 * here && here - there > HEAD_WAIT_S;
        (heads.len() >= LEAST_REQUESTS && is_early && is_before).then(|| {
            format!(
                "hop `{name}` had it after {} (median of {} log lines)",
                units::seconds(there),
                heads.len()
            )
        })
    })
}

/// By what it says in that head, it had it long before the server had the first token: of two durations, each from the
/// request's coming, the difference, so that it is all one how long the request was on its way.
fn by_header(case: &Case<'_>) -> Option<String> {
    let of_row = |row: &JoinedRow| Some((own_word::head_s(&row.client)?, row.server_ttft_s?));
    let told: Vec<(f64, f64)> = case.whole().filter_map(of_row).collect();
    let (there, first) = (median(told.iter().map(|t| t.0))?, median(told.iter().map(|t| t.1))?);
    (told.len() >= LEAST_REQUESTS && first - there > HEAD_WAIT_S && there < 0.5 * first).then(|| {
        format!(
            "by headers of the answers the gateway had it after {}, and the server the first token after {} (medians of {})",
            units::seconds(there),
            units::seconds(first),
            told.len()
        )
    })
}

/// When the hop had it. Some products count from their try at the upstream, and not how long a request waited before
/// that: from the end, which both sides see, it is told backwards.
fn head_s(client: &RequestRow, hop: &HopRow) -> Option<f64> {
    let by_try = || {
        let last = hop.tries.last()?;
        let took_s = client.done_unix_ns.seconds_since(client.send_begin_unix_ns?);
        Some(took_s - (last.end_s? - last.head_s?))
    };
    hop.upstream_head_s.or_else(by_try)
}
