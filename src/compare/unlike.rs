//! Not like with like: conditions that are not the same in all runs, and what follows from each. This file
//! must not know how a figure was measured.

use std::collections::{BTreeMap, BTreeSet};

use super::series::Run;
use crate::record::comparison::{self, Against, Figure, Unlike};
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
    let told = |run: &Run| Told { all: run.conditions.clone(), is_whole: run.conditions_are_whole };
    all.extend(differing(&runs.iter().map(told).collect::<Vec<_>>()));
    all
}

/// The same of what is known as conditions alone.
pub fn of_conditions(conditions: &[BTreeMap<String, String>]) -> Vec<Unlike> {
    let told = |all: &BTreeMap<String, String>| Told { all: all.clone(), is_whole: true };
    differing(&conditions.iter().map(told).collect::<Vec<_>>())
}

/// What one run was under, as far as it says.
struct Told {
    all: BTreeMap<String, String>,
    is_whole: bool,
}

fn differing(told: &[Told]) -> Vec<Unlike> {
    let labels: BTreeSet<&String> = told.iter().flat_map(|c| c.all.keys()).collect();
    let (unsaid, said): (Vec<&String>, Vec<&String>) =
        labels.into_iter().partition(|label| is_only_unsaid(told, label));
    let conditions: Vec<&BTreeMap<String, String>> = told.iter().map(|c| &c.all).collect();
    let mut differing: Vec<(usize, Unlike)> =
        said.into_iter().filter_map(|label| one(&conditions, label)).collect();
    differing.sort_by_key(|(rank, _)| *rank);
    let differing = differing.into_iter().map(|(_, unlike)| unlike);
    differing.chain(left_out(told, &unsaid)).collect()
}

/// Whether the only difference is that a file does not say it.
fn is_only_unsaid(told: &[Told], label: &str) -> bool {
    let says = |c: &&Told| c.is_whole || c.all.contains_key(label);
    let mut known = told.iter().filter(says).map(|c| c.all.get(label));
    let first = known.next().flatten();
    first.is_some() && known.all(|value| value == first) && !told.iter().all(|c| says(&c))
}

/// One line for all of them.
fn left_out(told: &[Told], labels: &[&String]) -> Option<Unlike> {
    let names: Vec<&str> = labels.iter().map(|label| label.as_str()).collect();
    let values = told.iter().map(|c| if c.is_whole { "said" } else { "not said" }.to_owned());
    (!names.is_empty()).then(|| Unlike {
        what: format!("{} more conditions", names.len()),
        values: values.collect(),
        so: Some(format!("a result file does not say them; they may differ: {}", names.join(", "))),
    })
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
            matches!(against.told, comparison::Told::More | comparison::Told::Less)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_does_not_say_is_one_line() {
        let told = |is_whole, all: &[(&str, &str)]| Told {
            all: all.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect(),
            is_whole,
        };
        let run = [("model", "m"), ("seed", "7"), ("workload.max_tokens", "64"), ("load.requests", "9")];
        let file = [("model", "m"), ("load.requests", "10")];
        let shown = |told: &[Told]| -> Vec<String> {
            differing(told).iter().map(|u| format!("{}: {}", u.what, u.values.join(" | "))).collect()
        };
        assert_eq!(
            shown(&[told(true, &run), told(false, &file)]),
            ["load.requests: 9 | 10", "2 more conditions: said | not said"]
        );
        // What a run lacks is a difference, and what two runs say differently is one beside a file, too.
        assert_eq!(shown(&[told(true, &run), told(true, &run[..3])]), ["load.requests: 9 | –"]);
        let other = [("model", "m"), ("seed", "8"), ("workload.max_tokens", "64"), ("load.requests", "9")];
        assert_eq!(
            shown(&[told(true, &run), told(true, &other), told(false, &file)]),
            ["load.requests: 9 | 9 | 10", "seed: 7 | 8 | –", "1 more conditions: said | said | not said"]
        );
    }
}
