//! Not like with like: conditions that are not the same in all runs, and what follows from each. This file
//! must not know how a figure was measured.

use std::collections::{BTreeMap, BTreeSet};

use super::series::Run;
use crate::record::comparison::{Against, Figure, Told, Unlike};
use crate::record::measure::{Key, Measure, Stat};
use crate::units;

/// So much of a long value is shown.
const SHOWN: usize = 60;
/// Answers whose mean lengths differ by less than this share are alike.
const SAME_LENGTH: f64 = 0.01;

/// What follows from a condition, by how its label begins, most important first. What has none is
/// shown without.
const RULES: &[(&str, Option<&str>)] = &[
    ("server", Some("if this is what is compared, all else should be alike")),
    ("model", Some("other models answer with other lengths, at other speeds")),
    (
        "load.arrival",
        Some("latencies grow with the load: figures of different loads say little of the servers"),
    ),
    (
        "load.max_concurrency",
        Some("latencies grow with the load: figures of different loads say little of the servers"),
    ),
    ("load.requests", Some("longer runs hold less warm-up")),
    ("load.duration_s", Some("longer runs hold less warm-up")),
    ("load.connections", Some("connections opened on the clock are part of TTFT")),
    ("load.stamps", Some("user stamps contain the client's own lag")),
    ("load", None),
    ("prompts", Some("other prompts take other times")),
    ("workload", Some("other prompts, or other answers, take other times")),
    ("seed", Some("the order of prompts and the moments of arrival are others")),
    ("window", Some("figures are of different parts of the runs")),
    ("embedded", Some("the embedded engine was set otherwise")),
    ("target", None),
    ("stamps", Some("user stamps contain the client's own lag")),
    ("client", Some("the client's own speed and its way to the server are in every figure")),
    ("tare", None),
    ("state", Some("a run that did not end by itself may lack its slow requests")),
    ("observe", Some("what the server records costs it time")),
];

/// Everything that is not alike.
pub(super) fn unlike(runs: &[Run], figures: &[Figure], baseline: usize) -> Vec<Unlike> {
    let mut all = failures(runs);
    all.extend(lengths(runs, figures, baseline));
    let conditions: Vec<&BTreeMap<String, String>> = runs.iter().map(|run| &run.conditions).collect();
    all.extend(differing(&conditions));
    all
}

/// The same of what is known as conditions alone.
pub fn of_conditions(conditions: &[BTreeMap<String, String>]) -> Vec<Unlike> {
    differing(&conditions.iter().collect::<Vec<_>>())
}

fn differing(conditions: &[&BTreeMap<String, String>]) -> Vec<Unlike> {
    let labels: BTreeSet<&String> = conditions.iter().flat_map(|c| c.keys()).collect();
    let mut differing: Vec<(usize, Unlike)> =
        labels.into_iter().filter_map(|label| one(conditions, label)).collect();
    differing.sort_by_key(|(rank, _)| *rank);
    differing.into_iter().map(|(_, unlike)| unlike).collect()
}

fn one(conditions: &[&BTreeMap<String, String>], label: &str) -> Option<(usize, Unlike)> {
    let values: Vec<String> = conditions
        .iter()
        .map(|c| c.get(label).map_or_else(|| "–".to_owned(), |value| shortened(value)))
        .collect();
    let first = conditions.first()?.get(label);
    if conditions.iter().all(|c| c.get(label) == first) {
        return None;
    }
    let named = |prefix: &str| {
        label.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', ' ', '_']))
    };
    let rank = RULES.iter().position(|(prefix, _)| named(prefix));
    let so = rank.and_then(|rank| RULES.get(rank)).and_then(|(_, so)| *so);
    Some((rank.unwrap_or(RULES.len()), Unlike { what: label.to_owned(), values, so: so.map(str::to_owned) }))
}

fn shortened(value: &str) -> String {
    if value.chars().count() <= SHOWN {
        return value.to_owned();
    }
    value.chars().take(SHOWN - 1).chain(['…']).collect()
}

/// Figures are of successful requests: what failed is in none of them.
fn failures(runs: &[Run]) -> Vec<Unlike> {
    if runs.iter().all(|run| run.counts.failed + run.counts.in_flight == 0) {
        return Vec::new();
    }
    let n = |n: usize| units::count(n as u64);
    let values = runs.iter().map(|run| {
        let c = run.counts;
        let all = n(c.ok + c.failed + c.in_flight);
        let open = if c.in_flight > 0 { format!(", {} not ended", n(c.in_flight)) } else { String::new() };
        format!("{} of {all}{open}", n(c.failed))
    });
    vec![Unlike {
        what: "failed requests".to_owned(),
        values: values.collect(),
        so: Some(
            "latencies are of requests that succeeded; those that did not may be the slow ones".to_owned(),
        ),
    }]
}

/// Prompts and answers of other lengths.
fn lengths(runs: &[Run], figures: &[Figure], baseline: usize) -> Vec<Unlike> {
    let of = [
        (
            Measure::OutputTokens,
            "answers' tokens, mean",
            "answers of different lengths: Request Duration and Requests/s differ by that, TTFT and TPOT need not",
        ),
        (
            Measure::InputTokens,
            "prompts' tokens, mean",
            "prompts of different lengths in tokens (another tokenizer or template, or other prompts): TTFT and prefill differ by that",
        ),
    ];
    let row = |(measure, what, so): &(Measure, &str, &str)| {
        let key = Key { measure: *measure, stat: Stat::Mean };
        let figure = figures.iter().find(|figure| figure.key == key)?;
        let base = figure.of.get(baseline)?.as_ref()?.value;
        let unlike = |against: &Against| {
            matches!(against.told, Told::More | Told::Less)
                && (against.difference.value / base).abs() >= SAME_LENGTH
        };
        if !figure.against.iter().flatten().any(unlike) {
            return None;
        }
        let shown = |i: usize| {
            let value = figure.of.get(i).copied().flatten().map(|e| e.value);
            value.map_or_else(|| "–".to_owned(), |v| format!("{v:.1}"))
        };
        Some(Unlike {
            what: (*what).to_owned(),
            values: (0..runs.len()).map(shown).collect(),
            so: Some((*so).to_owned()),
        })
    };
    of.iter().filter_map(row).collect()
}
