//! Tokens kept back and let through together: by a buffer, a corked sender, a timer. It must be seen on
//! the way (most events share their moment) and at its cost (the first token lost what the last did
//! not), or against the requests that went straight to the server; a server that writes several events
//! at once costs nothing of the sort. This file must not know what a whole answer held back is.

use super::super::LEAST_REQUESTS;
use super::super::added::Added;
use super::super::case::{Case, Part, at, median, share};
use super::super::remedies::Ailment;
use super::super::signature::{LEAST_FLUSHES, Released, Stream, TOGETHER, released, was_late};
use super::{Ground, MOST, Rule, head_held, whole_answer};
use crate::metric::Metric;
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::units;

pub(super) const RULE: Rule = Rule {
    name: "coalescing",
    about: "tokens kept back and let through several at a time",
    ground: Ground::Streams,
    judge,
    explains: Some(hold_explains),
};

/// The hold is worth so many of the server's steps at least, and this.
const LEAST_STEPS: f64 = 1.5;
const LEAST_HOLD_S: f64 = 0.002;
/// Of what is added to the first token so much is hold.
const LEAST_PART: f64 = 0.5;
/// What is added to the last token where only the first are held, of the hold.
const CLEAN: f64 = 0.2;
/// A first burst of so many events is one.
const FIRST_BURST: f64 = 3.0;
/// The longest hold but for a few.
const LONGEST: f64 = 0.9;

/// A hold that is sure, whatever its shape.
pub struct Held {
    /// The median of what the first token lost and the last did not, s.
    pub median_s: f64,
    /// Requests that show it, of those compared.
    pub n: usize,
    pub of: usize,
}

/// Whether tokens were held at all: by what was added to the first and the last of them.
pub fn held(case: &Case<'_>) -> Option<Held> {
    let step = case.clear_step_s()?;
    if case.added.len() < LEAST_REQUESTS || was_late(case.route.own) {
        return None;
    }
    let least = (LEAST_STEPS * step).max(LEAST_HOLD_S);
    let median_s = median(case.added.iter().map(Added::held_s))?;
    // Where most of what the first token lost the last has lost, too, requests wait; that the last of a crowd
    // is served quicker makes a difference between the two that no buffer made.
    let least = least.max(LEAST_PART * median(case.added.iter().map(|a| a.first_s))?);
    let n = case.added.iter().filter(|a| a.held_s() > least / 2.0).count();
    (median_s > least && share(n, case.added.len()) >= MOST).then_some(Held {
        median_s,
        n,
        of: case.added.len(),
    })
}

/// What a hold explains: all that the first token lost and the last did not, and what both lost as far as holds last,
/// for the last token waits for its burst as well.
pub fn hold_explains(case: &Case<'_>) -> Vec<Part> {
    let longest_s = at(case.added.iter().map(Added::held_s), LONGEST).filter(|_| held(case).is_some());
    let Some(longest_s) = longest_s else { return Vec::new() };
    let (without_first, without_last) = case.without_s();
    let part = |added: &Added| {
        let (first_s, last_s) = (added.first_s - without_first, added.last_s - without_last);
        let waited_s = last_s.clamp(0.0, longest_s.max(0.0));
        Part { first_s: first_s - last_s + waited_s, last_s: waited_s }
    };
    case.added.iter().map(part).collect()
}

/// Moments / events, the median over streams.
pub fn moments(streams: &[Stream]) -> Option<f64> {
    (streams.len() >= LEAST_REQUESTS).then(|| median(streams.iter().map(Stream::share))).flatten()
}

/// What comes together straight from the server as well is the server's doing.
fn is_as_direct(case: &Case<'_>, moments_share: f64) -> bool {
    moments(&case.direct_streams).is_some_and(|direct| moments_share > 0.6 * direct)
}

/// Whether events come in bursts that those straight from the server do not come in.
pub fn in_bursts(case: &Case<'_>) -> bool {
    moments(&case.streams).is_some_and(|share| share < TOGETHER && !is_as_direct(case, share))
}

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    let moments_share = moments(&case.streams)?;
    if whole_answer::is_whole(case) || is_as_direct(case, moments_share) || was_late(case.route.own) {
        return None;
    }
    let (by, flushes) = released(&case.streams, case.step_s);
    let held = held(case);
    let only_first = moments_share >= TOGETHER;
    if only_first && !(held.as_ref().is_some_and(|held| first_tokens(case, held))) {
        return None;
    }
    let with_head = head_held::kept_back(case);
    let certainty = match (&held, case.direct_streams.len() >= LEAST_REQUESTS) {
        (Some(_), true) => Sure::Certain,
        // By the server's times; or: many come together, straight from the server they do not, and the
        // first token is no later: a hold between tokens.
        (Some(_), false) | (None, true) => Sure::Likely,
        // The server may write several at once. That the gateway had the answer's head long before, and sent
        // it with them, says that it was no server; else what released them must, or the server's own pace.
        (None, false) if case.added.len() < LEAST_REQUESTS && flushes >= LEAST_FLUSHES => {
            if with_head.is_some() {
                Sure::Likely
            } else if by.is_specific() || (case.has_gateway() && case.route.server_itl_s.is_some()) {
                Sure::Hint
            } else {
                return None;
            }
        }
        (None, false) => return None,
    };
    let ailment = if matches!(by, Released::DelayedAck { .. }) { Ailment::Nagle } else { Ailment::Held };
    let mut verdict = case.verdict(RULE.name, Kind::Hold, Some(ailment));
    verdict.what = if only_first {
        "the first tokens are kept back and come together".to_owned()
    } else {
        format!(
            "tokens are kept back and come together{}",
            if flushes >= LEAST_FLUSHES { by.words() } else { String::new() }
        )
    };
    verdict.certainty = certainty;
    (verdict.n, verdict.of) = match &held {
        Some(held) => (held.n, held.of),
        None => (case.streams.iter().filter(|s| s.share() < TOGETHER).count(), case.streams.len()),
    };
    verdict.evidence = evidence(case, held.as_ref(), flushes);
    verdict.evidence.extend(with_head.iter().flat_map(|kept| kept.evidence().iter().cloned()));
    let costs: Vec<f64> = case.added.iter().map(Added::held_s).collect();
    verdict.at_stake = held.and_then(|_| case.stake(Metric::Ttft, &costs));
    Some(verdict)
}

/// Whether the hold is what the first burst took to gather, and everything else came as it was made.
fn first_tokens(case: &Case<'_>, held: &Held) -> bool {
    let first = median(case.streams.iter().filter_map(|s| Some(s.bursts.first()?.events as f64)));
    let Some((first, step)) = first.filter(|n| *n >= FIRST_BURST).zip(case.step_s) else { return false };
    let last = median(case.added.iter().map(|a| a.last_s)).unwrap_or(f64::INFINITY);
    last < CLEAN * held.median_s && (0.5..2.0).contains(&(held.median_s / ((first - 1.0) * step)))
}

fn evidence(case: &Case<'_>, held: Option<&Held>, flushes: usize) -> Vec<String> {
    let events: usize = case.streams.iter().map(|s| s.events).sum();
    let bursts: usize = case.streams.iter().map(Stream::moments).sum();
    let mut out = vec![format!(
        "{} events came at {} moments ({} streams; {} complete bursts)",
        units::count(events as u64),
        units::count(bursts as u64),
        case.streams.len(),
        flushes
    )];
    out.extend(case.step_s.map(|step| format!("the server's step takes {}", units::seconds(step))));
    if let Some(direct) = moments(&case.direct_streams) {
        out.push(format!(
            "straight from the server they come one by one (moments / events {direct:.2}, {} streams)",
            case.direct_streams.len()
        ));
    }
    if let Some(held) = held {
        let first = median(case.added.iter().map(|a| a.first_s)).unwrap_or(f64::NAN);
        let last = median(case.added.iter().map(|a| a.last_s)).unwrap_or(f64::NAN);
        out.push(format!(
            "added to the first token {}, to the last {} (medians of {}, {} requests){}: held {} (p10 {}, p90 {})",
            units::seconds(first),
            units::seconds(last),
            case.against_words(),
            held.of,
            case.explained_words(),
            units::seconds(held.median_s),
            spread(case, 0.1),
            spread(case, 0.9),
        ));
    }
    if held.is_none() && !case.has_gateway() {
        out.push(
            "nothing shows that there is a gateway: a server that writes like this looks the same".to_owned(),
        );
    }
    out.extend(inside_hop(case));
    out
}

fn spread(case: &Case<'_>, q: f64) -> String {
    at(case.added.iter().map(Added::held_s), q).map_or_else(String::new, units::seconds)
}

/// A hop that stamped tokens on both its sides says itself that it held them.
fn inside_hop(case: &Case<'_>) -> Option<String> {
    case.by_hop().into_iter().find_map(|(name, rows)| {
        let held = rows.iter().filter_map(|(_, row)| Some(row.first_token_out_s? - row.first_token_in_s?));
        let held: Vec<f64> = held.collect();
        let kept = median(held.iter().copied()).filter(|s| *s > LEAST_HOLD_S)?;
        Some(format!(
            "hop `{name}` had the first token {} before it passed it on (median of {})",
            units::seconds(kept),
            held.len()
        ))
    })
}
