//! All tokens come later alike: a request waits for its turn in the gateway, or each token is worked on.
//! That it is waiting is said only where it grows with what is under way at once. A network, or a server
//! that is slow to read, delays alike, too: without a sign of a gateway it takes more, and is a hint. This
//! file must not know of holds.

use super::super::LEAST_REQUESTS;
use super::super::added::{Added, Against};
use super::super::case::{Case, at, median, share};
use super::super::own_word;
use super::super::remedies::Ailment;
use super::super::signature::{was_late, was_starved};
use super::coalescing::{held, in_bursts};
use super::falling_behind::falls_behind;
use super::{ALIKE, Ground, MOST, Rule};
use crate::metric::Metric;
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::units;

pub(super) const RULE: Rule = Rule {
    name: "queueing",
    about: "all tokens late alike: waiting, or work in the gateway",
    ground: Ground::Lateness,
    judge,
    explains: None,
};

/// The median that is worth a word.
const LEAST_S: f64 = 0.005;
/// A wait that is long.
const LONG_S: f64 = 0.020;
/// Where nothing shows that there is a gateway: twice that, and even the quickest wait.
const UNSEEN_S: f64 = 0.010;
/// So much of the delay is the gateway's by its own word.
const SAID: f64 = 0.5;
/// Two levels of requests at once are compared if they differ by so much; it grows if the medians do.
const LEVELS: f64 = 1.5;
const GROWS: f64 = 1.3;

/// Requests that are late alike.
struct Late {
    growth: Growth,
    /// They wait for each other.
    grows: bool,
}

/// Whether they are, and how that goes with the requests at once.
fn late_alike(case: &Case<'_>) -> Option<Late> {
    if case.added.len() < LEAST_REQUESTS || was_late(case.route.own) {
        return None;
    }
    // Of requests straight to the server, which waited likewise, the difference still tells.
    if case.route.same_host
        && case.without.is_none()
        && case.against == Against::Server
        && was_starved(case.route.own)
    {
        return None;
    }
    let (without_first, without_last) = case.without_s();
    let first = median(case.added.iter().map(|a| a.first_s))? - without_first;
    let last = median(case.added.iter().map(|a| a.last_s))? - without_last;
    // Whatever holds the first token may hold the last for a while.
    if held(case).is_some() || falls_behind(case).is_some() {
        return None;
    }
    // Twins do not tell a hold from a wait to a few steps: where tokens come in bursts it is the former.
    if case.against == Against::Twin && in_bursts(case) {
        return None;
    }
    let late = |a: &Added| a.first_s - without_first;
    let quickest = at(case.added.iter().map(late), 0.05)?;
    let seen = case.has_gateway();
    let growth = growth(&case.added, late);
    // Of few at once none need wait at all, where many wait long.
    let grows = !was_starved(case.route.own)
        && matches!(&growth, Growth::Grows { many, .. } if many.median_s >= LONG_S && many.late >= MOST);
    if first < LEAST_S || last < ALIKE * first || (quickest <= 0.0 && !(grows && seen)) {
        return None;
    }
    if !seen && (first < UNSEEN_S || quickest < LEAST_S) {
        return None;
    }
    Some(Late { growth, grows })
}

/// Whether requests surely wait for each other.
pub fn wait_for_turn(case: &Case<'_>) -> bool {
    late_alike(case).is_some_and(|late| late.grows)
}

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    let Late { growth, .. } = late_alike(case)?;
    let seen = case.has_gateway();
    let late = |a: &Added| a.first_s - case.without_s().0;
    let mut verdict = case.verdict(RULE.name, Kind::Queue, Some(Ailment::Waiting));
    verdict.what = match (&growth, seen) {
        (Growth::Grows { .. }, true) => "requests wait for their turn in the gateway".to_owned(),
        (_, true) => "the gateway delays all tokens alike: waiting, or work on each".to_owned(),
        (_, false) => {
            "all tokens are late alike: a gateway, the network, or the server's own front end".to_owned()
        }
    };
    verdict.n = case.added.iter().filter(|a| late(a) > LEAST_S / 2.0).count();
    verdict.of = case.added.len();
    verdict.evidence.extend(case.added_words());
    verdict.evidence.push(growth.words());
    let (said, by_word) = by_its_own_word(case, late).unzip();
    let is_sure = by_word == Some(true) || case.is_beside_direct();
    verdict.certainty = if seen && is_sure { Sure::Likely } else { Sure::Hint };
    verdict.evidence.extend(said);
    if seen && !is_sure {
        verdict.evidence.push(format!(
            "{} would look the same: requests straight to the server tell",
            if case.route.same_host {
                "a server that reads requests late (long prompts, many at once)"
            } else {
                "a slow network between, or a server that reads requests late,"
            }
        ));
    }
    let costs: Vec<f64> = case.added.iter().map(late).collect();
    verdict.at_stake = case.stake(Metric::Ttft, &costs);
    Some(verdict)
}

/// What gateways themselves say of how long they had the requests, and whether that alone makes most of the delay
/// theirs. Of those that were sent again the first tries are in what is said.
fn by_its_own_word(case: &Case<'_>, late: impl Fn(&Added) -> f64) -> Option<(String, bool)> {
    let once = |a: &&Added| case.tries.get(a.passage).is_none_or(Option::is_none);
    let all: Vec<(f64, own_word::Had)> = case
        .added
        .iter()
        .filter(once)
        .filter_map(|added| {
            Some((late(added), own_word::before_upstream(case.route.passages.get(added.passage)?)))
        })
        .collect();
    let said = |of: fn(&own_word::Had) -> Option<f64>| {
        let told: Vec<(f64, f64)> = all.iter().filter_map(|(late, had)| Some((*late, of(had)?))).collect();
        let (late_s, said_s) = (median(told.iter().map(|t| t.0))?, median(told.iter().map(|t| t.1))?);
        (told.len() >= LEAST_REQUESTS).then_some((said_s, said_s >= SAID * late_s, told.len()))
    };
    let words = |who: &str, s: f64, is_most: bool, n: usize| {
        let no_more = if is_most { "" } else { "no more than " };
        let s = units::seconds(s);
        format!(
            "{who} says that it had a request for {no_more}{s} before it asked the server (median of {n})"
        )
    };
    match (said(|had| had.own_s), said(|had| had.with_more_s)) {
        (Some((s, true, n)), _) => Some((words("the gateway itself", s, true, n), true)),
        (_, Some((s, is_most, n))) => Some((
            words("Kong", s, is_most, n)
                + "; how long the client took to send it, and tries that failed, are in that",
            false,
        )),
        (Some((s, false, n)), None) => Some((words("the gateway itself", s, false, n), false)),
        (None, None) => None,
    }
}

/// How the delay goes with the requests under way at once.
enum Growth {
    Grows {
        few: Level,
        many: Level,
    },
    Same {
        few: Level,
        many: Level,
    },
    /// Not two levels that differ enough, with enough requests.
    Unknown {
        about: f64,
    },
}

#[derive(Clone, Copy)]
struct Level {
    at_once: f64,
    median_s: f64,
    /// Of them so many are late at all.
    late: f64,
    n: usize,
}

fn growth(added: &[Added], late: impl Fn(&Added) -> f64) -> Growth {
    let mut by: Vec<(usize, f64)> = added.iter().map(|a| (a.at_once, late(a))).collect();
    by.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let level = |part: &[(usize, f64)]| {
        let at_once = part.iter().map(|(n, _)| *n as f64).sum::<f64>() / part.len().max(1) as f64;
        let late = share(part.iter().filter(|(_, s)| *s > LEAST_S).count(), part.len());
        Some(Level { at_once, median_s: median(part.iter().map(|(_, s)| *s))?, late, n: part.len() })
    };
    let about = median(by.iter().map(|(n, _)| *n as f64)).unwrap_or(1.0);
    let (Some(&(least, _)), Some(&(most, _))) = (by.first(), by.last()) else {
        return Growth::Unknown { about };
    };
    // The lowest and the highest third of the range.
    let third = (most - least) as f64 / 3.0;
    let few: Vec<_> = by.iter().copied().filter(|(n, _)| *n as f64 <= least as f64 + third).collect();
    let many: Vec<_> = by.iter().copied().filter(|(n, _)| *n as f64 >= most as f64 - third).collect();
    match (level(&few), level(&many)) {
        (Some(few), Some(many))
            if few.n >= LEAST_REQUESTS
                && many.n >= LEAST_REQUESTS
                && many.at_once >= LEVELS * few.at_once =>
        {
            if many.median_s >= GROWS * few.median_s {
                Growth::Grows { few, many }
            } else {
                Growth::Same { few, many }
            }
        }
        _ => Growth::Unknown { about },
    }
}

impl Growth {
    fn words(&self) -> String {
        let level = |l: &Level| {
            format!(
                "{} with {:.1} requests at once (median of {})",
                units::seconds(l.median_s),
                l.at_once,
                l.n
            )
        };
        match self {
            Growth::Grows { few, many } => format!("it grows: {}, {}", level(few), level(many)),
            Growth::Same { few, many } => format!("it does not grow: {}, {}", level(few), level(many)),
            Growth::Unknown { about } => {
                format!("about {about:.0} requests at once: whether it grows takes two concurrencies to tell")
            }
        }
    }
}
