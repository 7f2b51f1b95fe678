//! One request of the client, several of the server: something on the way sent it again, and its tokens were
//! late by what the first tries took. This file must not know by what a record tells of tries.

use std::collections::BTreeMap;

use super::super::LEAST_REQUESTS;
use super::super::case::{Case, Part, at, median};
use super::super::remedies::Ailment;
use super::super::signature::was_late;
use super::super::tries::{self, Tries};
use super::{Ground, Rule};
use crate::metric::Metric;
use crate::record::Status;
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::units;

pub(super) const RULE: Rule = Rule {
    name: "retries",
    about: "requests tried more than once on the way",
    ground: Ground::Records,
    judge,
    explains: Some(explains),
};

fn judge(case: &Case<'_>) -> Option<VerdictRow> {
    let all: Vec<&Tries> = case.tries.iter().flatten().collect();
    if all.is_empty() {
        return None;
    }
    let mut verdict = case.verdict(RULE.name, Kind::Work, Some(Ailment::Retried));
    (verdict.n, verdict.of) = (all.len(), case.route.passages.iter().filter(|p| tries::tells(p)).count());
    verdict.certainty = Sure::Certain;
    let by_server = all.iter().filter(|tries| tries.at_server.is_some()).count();
    if by_server > 0 {
        "requests are sent to the server again: one of the client's is several there"
    } else {
        "requests are tried again on the way"
    }
    .clone_into(&mut verdict.what);
    if by_server > 0 {
        let passages = case.route.passages.iter().filter(|p| tries::tells(p));
        let at_server: Vec<usize> =
            passages.map(|p| p.row.server_attempts as usize).filter(|n| *n > 0).collect();
        verdict.evidence.push(format!(
            "{} records of the server are of {} requests; {by_server} of these were there more than once",
            at_server.iter().sum::<usize>(),
            at_server.len()
        ));
    }
    let by_hop: Vec<u32> = all.iter().filter_map(|tries| tries.by_hop).collect();
    if !by_hop.is_empty() {
        verdict.evidence.push(format!(
            "by the hops' own account {} requests took {} tries",
            by_hop.len(),
            by_hop.iter().sum::<u32>()
        ));
    }
    let tried = case.route.passages.iter().zip(&case.tries).filter(|(_, tries)| tries.is_some());
    let unreached = tried.filter(|(passage, _)| tries::reached_nobody(passage, case.route)).count();
    if unreached > 0 {
        verdict.evidence.push(format!("no try of {unreached} of these had a connection"));
    }
    let by_header = all.iter().filter(|tries| tries.by_header).count();
    if by_header > 0 {
        verdict.evidence.push(format!("headers of {by_header} answers tell of retries"));
    }
    verdict.evidence.extend(recorded(&all));
    let unrecorded = Unrecorded::of(case);
    verdict.evidence.extend(unrecorded.as_ref().map(|some| some.words(case)));
    verdict.at_stake = case.stake(Metric::Ttft, &costs(case, unrecorded.as_ref()));
    Some(verdict)
}

/// How long it was until the try that was answered, where records tell.
fn recorded(all: &[&Tries]) -> Option<String> {
    let before: Vec<f64> = all.iter().filter_map(|tries| tries.before_s).collect();
    let q = |q| at(before.iter().copied(), q).map(units::seconds);
    Some(format!(
        "from the first try to the one that was answered it took {} (median of {}; p10 {}, p90 {})",
        q(0.5)?,
        before.len(),
        q(0.1)?,
        q(0.9)?
    ))
}

/// Requests of whose tries it is not recorded how long they took: what they lost beyond those that were
/// sent once, or all of it where those are too few.
struct Unrecorded {
    /// What those sent once lost alike, the median, s, and how many they are.
    once: Option<(f64, usize)>,
    /// Passage, and what its first and last token lost alike beyond that, s.
    beyond: BTreeMap<usize, f64>,
}

impl Unrecorded {
    fn of(case: &Case<'_>) -> Option<Self> {
        let (mut beyond, mut once) = (BTreeMap::new(), Vec::new());
        for added in &case.added {
            let alike_s = added.alike_s(case.without_s());
            match case.tries.get(added.passage) {
                Some(Some(Tries { before_s: None, .. })) => {
                    beyond.insert(added.passage, alike_s);
                }
                Some(None) if case.route.passages.get(added.passage).is_some_and(tries::tells) => {
                    once.push(alike_s);
                }
                _ => {}
            }
        }
        // Of a program that reads late all answers are late.
        if beyond.is_empty() || was_late(case.route.own) {
            return None;
        }
        let n = once.len();
        let once = median(once).filter(|_| n >= LEAST_REQUESTS);
        for s in beyond.values_mut() {
            *s = (*s - once.unwrap_or(0.0)).max(0.0);
        }
        Some(Self { once: once.map(|once| (once, n)), beyond })
    }

    fn words(&self, case: &Case<'_>) -> String {
        let lost = median(self.beyond.values().copied()).map_or_else(String::new, units::seconds);
        let (n, against) = (self.beyond.len(), case.against_words());
        let unknown = "how long the first tries took no record tells";
        match self.once {
            Some((once, of)) => format!(
                "{unknown}: of {n} requests all tokens are later by {lost} (median of {against}) than those of the {of} that were sent once ({})",
                units::seconds(once)
            ),
            None => format!(
                "{unknown}: that all tokens of {n} requests are late by {lost} (median of {against}) may be that, or less of it"
            ),
        }
    }
}

/// What it cost each request that ended well; none where that of one is not known, for a mean without it were too low.
fn costs(case: &Case<'_>, unrecorded: Option<&Unrecorded>) -> Vec<f64> {
    let mut costs = Vec::new();
    for (i, (passage, tries)) in case.route.passages.iter().zip(&case.tries).enumerate() {
        if passage.row.client.status != Status::Ok || !tries::tells(passage) {
            continue;
        }
        let cost = tries.as_ref().map(|tries| tries.before_s.or_else(|| unrecorded?.beyond.get(&i).copied()));
        let Some(cost) = cost.unwrap_or(Some(0.0)) else { return Vec::new() };
        costs.push(cost);
    }
    costs
}

/// All tokens are late by the time before the try that was answered.
fn explains(case: &Case<'_>) -> Vec<Part> {
    let unrecorded = Unrecorded::of(case);
    let of_one = |passage: usize| {
        let recorded = case.tries.get(passage).and_then(|tries| tries.as_ref()?.before_s);
        recorded.or_else(|| unrecorded.as_ref()?.beyond.get(&passage).copied()).unwrap_or(0.0)
    };
    case.added.iter().map(|added| Part::alike(of_one(added.passage))).collect()
}
