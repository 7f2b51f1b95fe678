//! Whole answers kept back until their end: all events at one moment, though the server took many steps
//! for them. Without the server's times, or requests that went straight to it, it may be a server that
//! does not stream: no verdict. This file must not know of bursts within an answer.

use super::super::LEAST_REQUESTS;
use super::super::added::Added;
use super::super::case::{Case, median, share};
use super::super::remedies::Ailment;
use super::super::signature::{Stream, was_late};
use super::coalescing::{held, hold_explains};
use super::{Ground, MOST, Rule};
use crate::metric::Metric;
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::units;

pub(super) const RULE: Rule = Rule {
    name: "whole_answer",
    about: "answers kept back until they are whole",
    ground: Ground::Streams,
    judge,
    explains: Some(hold_explains),
};

/// An answer whose events span less of their time at the server than this came as a whole.
const AT_ONCE: f64 = 0.1;
/// Of fewer steps it is only a large burst.
const LEAST_STEPS: f64 = 5.0;
/// An answer with fewer bytes may have been too short for any buffer to be full.
const SHORT_BYTES: f64 = 16_384.0;

/// Whether most answers came as a whole, in far less time than the server took for them.
pub fn is_whole(case: &Case<'_>) -> bool {
    let Some(step) = case.clear_step_s() else { return false };
    let whole = case.streams.iter().filter(|s| at_once(s, step)).count();
    case.streams.len() >= LEAST_REQUESTS && share(whole, case.streams.len()) >= MOST
}

fn at_once(stream: &Stream, step_s: f64) -> bool {
    let gaps = stream.events.saturating_sub(1) as f64;
    gaps >= LEAST_STEPS && stream.spread_s() < AT_ONCE * gaps * step_s
}

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    if !is_whole(case) || was_late(case.route.own) {
        return None;
    }
    let step = case.clear_step_s()?;
    if case.direct_streams.iter().filter(|s| at_once(s, step)).count() * 2 > case.direct_streams.len() {
        return None;
    }
    let held = held(case)?;
    let mut verdict = case.verdict(RULE.name, Kind::Hold, Some(Ailment::Held));
    "whole answers are kept back: every token comes with the last".clone_into(&mut verdict.what);
    verdict.n = case.streams.iter().filter(|s| at_once(s, step)).count();
    verdict.of = case.streams.len();
    let spread = median(case.streams.iter().map(Stream::spread_s)).unwrap_or_default();
    let made = median(case.streams.iter().map(|s| (s.events - 1) as f64 * step)).unwrap_or_default();
    verdict.evidence.push(format!(
        "the events of an answer came {}, and the server took {} for them (medians, {} streams)",
        if spread < 1e-6 { "at one moment".to_owned() } else { format!("within {}", units::seconds(spread)) },
        units::seconds(made),
        verdict.of
    ));
    verdict.evidence.push(format!(
        "the first token lost {} that the last did not (median of {}, {} requests)",
        units::seconds(held.median_s),
        case.against_words(),
        held.of
    ));
    let bytes = median(case.streams.iter().map(|s| s.bursts.iter().map(|b| f64::from(b.bytes)).sum()));
    if let Some(bytes) = bytes.filter(|bytes| *bytes < SHORT_BYTES) {
        verdict.evidence.push(format!(
            "the answers are short ({} bytes of events): a buffer that is larger, or a timer that is longer, would do the same; longer answers tell",
            units::count(bytes.round() as u64)
        ));
    }
    verdict.certainty =
        if case.direct_streams.len() >= LEAST_REQUESTS { Sure::Certain } else { Sure::Likely };
    let costs: Vec<f64> = case.added.iter().map(Added::held_s).collect();
    verdict.at_stake = case.stake(Metric::Ttft, &costs);
    Some(verdict)
}
