//! Some requests that wait long on the way, while most do not: no median shows them, a mean hides how few
//! they are. Said only beside requests that went straight to the server and did not. This file must not know
//! why they wait.

use super::super::added::{Added, Against};
use super::super::case::{Case, Part, at, share};
use super::super::signature::{was_late, was_starved};
use super::falling_behind::falls_behind;
use super::{ALIKE, Ground, Rule, queueing};
use crate::clock::UnixNs;
use crate::metric::Metric;
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::units;

pub(super) const RULE: Rule = Rule {
    name: "stragglers",
    about: "some requests wait long, most do not",
    ground: Ground::Few,
    judge,
    explains: Some(explains),
};

/// Fewer requests show no share of a few hundredths.
const LEAST_REQUESTS: usize = 30;
/// A wait that is long.
const LONG_S: f64 = 0.050;
/// So many of them, and so much of all at least; half of all at most: what most do is another rule's.
const LEAST: usize = 5;
const LEAST_SHARE: f64 = 0.03;
const MOST_SHARE: f64 = 0.5;
/// Straight to the server fewer wait so long, than chance would have it in so many of 100 such comparisons.
const BY_CHANCE: f64 = 0.02;
/// What was sent within such a time of the one before may have met the same: a pause of the host, the begin of a part
/// of the plan. It counts once.
const APART_S: f64 = 0.5;

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    if case.added.len() < LEAST_REQUESTS || was_late(case.route.own) || was_starved(case.route.own) {
        return None;
    }
    let late = |a: &Added| a.first_s - case.without_s().0;
    let usual_s = usual_s(case)?;
    let is_long = |a: &Added| is_long(case, usual_s, a);
    let long: Vec<f64> = case.added.iter().filter(|a| is_long(a)).map(late).collect();
    let part = share(long.len(), case.added.len());
    let moments = moments(case.added.iter().filter(|a| is_long(a)).map(|a| a.sent));
    if moments < LEAST || !(LEAST_SHARE..=MOST_SHARE).contains(&part) {
        return None;
    }
    // Where all are late some are late by more: that is one delay, and another rule's.
    if usual_s > LONG_S / 2.0 || falls_behind(case).is_some() {
        return None;
    }
    // So it is where those are late that have many beside them.
    if queueing::wait_for_turn(case) {
        return None;
    }
    // Against twins a request that was slow straight to the server looks like one that was quick through.
    let (straight, of) = match case.against {
        Against::Server => (case.added_direct.iter().filter(|a| is_long(a)).count(), case.added_direct.len()),
        Against::Twin => (case.added.iter().filter(|a| late(a) < -LONG_S).count(), case.added.len()),
    };
    if of < LEAST_REQUESTS
        || by_chance(moments, straight, share(case.added.len(), case.added.len() + of)) > BY_CHANCE
    {
        return None;
    }
    let mut verdict = case.verdict(RULE.name, Kind::Queue, None);
    (verdict.n, verdict.of) = (long.len(), case.added.len());
    let q = |q| at(long.iter().copied(), q).map_or_else(String::new, units::seconds);
    verdict.what =
        format!("some requests wait long on the way, {} of {}; most do not", verdict.n, verdict.of);
    verdict.evidence.push(format!(
        "of those {}, sent at {moments} moments, the first token is late by {} (median of {}; p10 {}, p90 {}){}, and the last alike",
        verdict.n,
        q(0.5),
        case.against_words(),
        q(0.1),
        q(0.9),
        case.explained_words()
    ));
    verdict.evidence.push(format!(
        "of all {} requests half are late by less than {}; straight to the server {straight} of {of} are late by over {}",
        verdict.of,
        units::seconds(usual_s),
        units::seconds(LONG_S)
    ));
    verdict.certainty = Sure::Likely;
    let costs: Vec<f64> = explains(case).iter().map(|part| part.first_s).collect();
    verdict.at_stake = case.stake(Metric::Ttft, &costs);
    Some(verdict)
}

/// By how much most are late.
fn usual_s(case: &Case<'_>) -> Option<f64> {
    at(case.added.iter().map(|a| a.first_s - case.without_s().0), 0.5)
}

fn is_long(case: &Case<'_>, usual_s: f64, added: &Added) -> bool {
    let (without_first, without_last) = case.without_s();
    let late_s = added.first_s - without_first;
    late_s > usual_s + LONG_S && added.last_s - without_last > ALIKE * late_s
}

/// What they wait longer than most; what the others lose is no part of it.
fn explains(case: &Case<'_>) -> Vec<Part> {
    let Some(usual_s) = usual_s(case) else { return Vec::new() };
    let (without_first, without_last) = case.without_s();
    let part = |a: &Added| {
        let longer_s = a.first_s - without_first - usual_s;
        Part { first_s: longer_s, last_s: longer_s.min(a.last_s - without_last) }
    };
    case.added.iter().map(|a| if is_long(case, usual_s, a) { part(a) } else { Part::default() }).collect()
}

/// Moments over half a second apart.
fn moments(sent: impl Iterator<Item = UnixNs>) -> usize {
    let mut sent: Vec<UnixNs> = sent.collect();
    sent.sort_unstable();
    let apart = |pair: &[UnixNs]| matches!(pair, [a, b] if b.seconds_since(*a) > APART_S);
    sent.windows(2).filter(|pair| apart(pair)).count() + usize::from(!sent.is_empty())
}

/// How often at least `here` of so many fall on this side by chance, where this side has `part` of all: a binomial law.
fn by_chance(here: usize, there: usize, part: f64) -> f64 {
    let n = here + there;
    let (p, q) = (part, 1.0 - part);
    // P(n), P(n − 1), … down to P(here), each from the one before.
    let mut probability = p.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut sum = 0.0;
    for k in (here..=n).rev() {
        sum += probability;
        probability *= k as f64 / (n - k + 1) as f64 * q / p;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_has_six_of_six_on_one_side_once_in_64() {
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-12, "{found}");
        near(by_chance(6, 0, 0.5), 1.0 / 64.0);
        near(by_chance(7, 1, 0.5), 9.0 / 256.0);
        near(by_chance(0, 5, 0.5), 1.0);
        near(by_chance(2, 0, 0.25), 1.0 / 16.0);
    }

    #[test]
    fn what_one_pause_held_up_counts_once() {
        let at = |ms: i64| UnixNs(ms * 1_000_000);
        assert_eq!(moments([at(900), at(0), at(100), at(450), at(2_000)].into_iter()), 2);
        assert_eq!(moments([].into_iter()), 0);
    }
}
