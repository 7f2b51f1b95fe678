//! Some requests that wait long on the way, while most do not: no median shows them, a mean hides how few
//! they are. Said only beside requests that went straight to the server and did not. This file must not know
//! why they wait.

use super::super::added::{Added, Against};
use super::super::case::{Case, at, share};
use super::super::signature::{was_late, was_starved};
use super::Rule;
use super::falling_behind::falls_behind;
use crate::metric::Metric;
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::units;

pub(super) const RULE: Rule =
    Rule { name: "stragglers", about: "some requests wait long, most do not", judge };

/// Fewer requests show no share of a few hundredths.
const LEAST_REQUESTS: usize = 30;
/// A wait that is long.
const LONG_S: f64 = 0.050;
/// So many of them, and so much of all at least; half of all at most: what most do is another rule's.
const LEAST: usize = 5;
const LEAST_SHARE: f64 = 0.03;
const MOST_SHARE: f64 = 0.5;
/// Straight to the server so much fewer wait so long.
const FEWER: f64 = 0.2;
/// The last token is late by so much of what the first is: it waited, and was not held.
const ALIKE: f64 = 0.3;

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    if case.added.len() < LEAST_REQUESTS || was_late(case.route.own) || was_starved(case.route.own) {
        return None;
    }
    let (without_first, without_last) = case.without.unwrap_or((0.0, 0.0));
    let late = |a: &Added| a.first_s - without_first;
    let is_long = |a: &Added| late(a) > LONG_S && a.last_s - without_last > ALIKE * late(a);
    let long: Vec<f64> = case.added.iter().filter(|a| is_long(a)).map(late).collect();
    let part = share(long.len(), case.added.len());
    if long.len() < LEAST || !(LEAST_SHARE..=MOST_SHARE).contains(&part) {
        return None;
    }
    // Where all are late some are late by more: that is one delay, and another rule's.
    if at(case.added.iter().map(late), 0.5)? > LONG_S / 2.0 || falls_behind(case).is_some() {
        return None;
    }
    // Against twins a request that was slow straight to the server looks like one that was quick through.
    let (straight, of) = match case.against {
        Against::Server => (case.added_direct.iter().filter(|a| is_long(a)).count(), case.added_direct.len()),
        Against::Twin => (case.added.iter().filter(|a| late(a) < -LONG_S).count(), case.added.len()),
    };
    if of < LEAST_REQUESTS || share(straight, of) > FEWER * part {
        return None;
    }
    let mut verdict = case.verdict(RULE.name, Kind::Queue, None);
    (verdict.n, verdict.of) = (long.len(), case.added.len());
    let q = |q| at(long.iter().copied(), q).map_or_else(String::new, units::seconds);
    verdict.what =
        format!("some requests wait long on the way, {} of {}; most do not", verdict.n, verdict.of);
    verdict.evidence.push(format!(
        "of those {} the first token is late by {} (median of {}; p10 {}, p90 {}), and the last alike",
        verdict.n,
        q(0.5),
        case.against_words(),
        q(0.1),
        q(0.9)
    ));
    verdict.evidence.push(format!(
        "of all {} requests half are late by less than {}; straight to the server {straight} of {of} are late by over {}",
        verdict.of,
        at(case.added.iter().map(late), 0.5).map_or_else(String::new, units::seconds),
        units::seconds(LONG_S)
    ));
    verdict.certainty = Sure::Likely;
    // What the others lose is no part of it.
    let costs: Vec<f64> = case.added.iter().map(|a| if is_long(a) { late(a) } else { 0.0 }).collect();
    verdict.at_stake = case.stake(Metric::Ttft, &costs);
    Some(verdict)
}
