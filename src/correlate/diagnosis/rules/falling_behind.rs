//! Tokens that pass slower than the server makes them: each is later than the one before, and the last the
//! most. A limit on bytes or on a gateway's work does that. This file must not know of what is late alike.

use super::super::LEAST_REQUESTS;
use super::super::added::Added;
use super::super::case::{Case, Part, at, median, share};
use super::super::signature::{Stream, was_late, was_starved};
use super::coalescing::in_bursts;
use super::{Ground, MOST, Rule};
use crate::metric::Metric;
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::units;

pub(super) const RULE: Rule = Rule {
    name: "falling_behind",
    about: "tokens that pass slower than the server makes them",
    ground: Ground::Streams,
    judge,
    explains: Some(explains),
};

/// The last token loses this more than the first, and so much of the time in which the server made them.
const LEAST_S: f64 = 0.020;
const LEAST_PART: f64 = 0.1;
/// Where tokens come in bursts, the last waits for its own as long as they are apart: that is no falling behind.
const BURSTS: f64 = 1.5;

/// What the last token loses more than the first, the median, s; `None` where that is no matter.
pub fn falls_behind(case: &Case<'_>) -> Option<f64> {
    if case.added.len() < LEAST_REQUESTS || was_late(case.route.own) {
        return None;
    }
    let made_s =
        median(case.streams.iter().map(|s| s.events.saturating_sub(1) as f64))? * case.clear_step_s()?;
    let least = LEAST_S.max(LEAST_PART * made_s);
    let (without_first, without_last) = case.without_s();
    let direct = without_last - without_first;
    let more = |a: &Added| a.last_s - a.first_s - direct;
    let median_s = median(case.added.iter().map(more))?;
    let n = case.added.iter().filter(|a| more(a) > least / 2.0).count();
    let waits_for_burst = in_bursts(case) && between_bursts_s(case).is_some_and(|s| median_s < BURSTS * s);
    (median_s > least && share(n, case.added.len()) >= MOST && !waits_for_burst).then_some(median_s)
}

/// From one burst to the next, the median.
fn between_bursts_s(case: &Case<'_>) -> Option<f64> {
    let of_stream =
        |s: &Stream| Some(s.spread_s() / s.bursts.len().checked_sub(1).filter(|n| *n > 0)? as f64);
    median(case.streams.iter().filter_map(of_stream))
}

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    let behind_s = falls_behind(case)?;
    // A host without a CPU to spare slows everyone.
    if !case.has_gateway() || (case.without.is_none() && was_starved(case.route.own)) {
        return None;
    }
    let (without_first, without_last) = case.without_s();
    let mut verdict = case.verdict(RULE.name, Kind::Work, None);
    "tokens pass slower than the server makes them: each is later than the one before"
        .clone_into(&mut verdict.what);
    let direct = without_last - without_first;
    verdict.n = case.added.iter().filter(|a| a.last_s - a.first_s - direct > behind_s / 2.0).count();
    verdict.of = case.added.len();
    verdict.evidence.extend(case.added_words());
    if let Some(rate) = bytes_per_second(case) {
        verdict.evidence.push(format!(
            "an answer's events came at {} bytes/s (median; p10 to p90 {} to {})",
            units::count(rate.1.round() as u64),
            units::count(rate.0.round() as u64),
            units::count(rate.2.round() as u64),
        ));
    }
    verdict.certainty = if case.is_beside_direct() { Sure::Likely } else { Sure::Hint };
    let costs: Vec<f64> = case.added.iter().map(|a| a.last_s - without_last).collect();
    verdict.at_stake = case.stake(Metric::E2e, &costs);
    Some(verdict)
}

/// Whatever is late at all is late by it: the first tokens pass as slowly as the others.
fn explains(case: &Case<'_>) -> Vec<Part> {
    let (without_first, without_last) = case.without_s();
    let part = |a: &Added| Part { first_s: a.first_s - without_first, last_s: a.last_s - without_last };
    case.added.iter().map(part).collect()
}

/// Of the answers' events, p10, median and p90: a limit on bytes makes them alike.
fn bytes_per_second(case: &Case<'_>) -> Option<(f64, f64, f64)> {
    let rates: Vec<f64> = case
        .streams
        .iter()
        .filter(|s| s.spread_s() > 0.0)
        .map(|s| s.bursts.iter().skip(1).map(|b| f64::from(b.bytes)).sum::<f64>() / s.spread_s())
        .collect();
    let q = |q| at(rates.iter().copied(), q);
    Some((q(0.1)?, q(0.5)?, q(0.9)?))
}
