//! The metrics endpoint: which histograms, and what their buckets cannot tell.

use std::fmt::Write as _;

use crate::doctor::seen::Seen;
use crate::record::diagnosis::{Level, State};
use crate::record::{SampleRow, ScrapeRow};
use crate::units;

/// Queueing is told from none by some milliseconds: a first bucket beyond this hides it.
const USEFUL_S: f64 = 0.05;
const QUEUE: &str = "queue";
const PREFILL: &str = "prefill";
const DECODE: &str = "decode";

pub fn level(seen: &Seen<'_>) -> Level {
    let pages = || seen.read.scrapes.iter().rev();
    // Of a server without histograms a page with anything of its own will do.
    let own = |scrape: &&ScrapeRow| {
        scrape.error.is_none() && seen.kind.totals(&scrape.samples) != crate::server::Totals::default()
    };
    let page = pages().find(|scrape| has_buckets(scrape)).or_else(|| pages().find(own));
    let samples: &[SampleRow] = page.map_or(&[], |page| &page.samples);
    let names = &seen.kind.metrics;
    let histograms = [
        ("TTFT", names.ttft),
        ("ITL", names.itl),
        ("TPOT", names.tpot),
        ("E2E", names.e2e),
        (QUEUE, names.queue),
        (PREFILL, names.prefill),
        (DECODE, names.decode),
    ];
    let found: Vec<(&str, f64)> = histograms
        .into_iter()
        .filter_map(|(name, spellings)| Some((name, first_bucket(samples, spellings)?)))
        .collect();
    let (state, said) = match (page, seen.config.observe.no_metrics) {
        (_, true) => (State::Unknown, "not asked for (--no-server-metrics)".to_owned()),
        (None, false) => (State::Off, why_not(seen)),
        (Some(page), false) => (State::On, on(page, &found)),
    };
    let unlock = match state {
        State::On => None,
        _ if seen.kind.metrics_path.is_none() => None,
        _ if seen.kind.metrics_flag.is_some() => {
            seen.kind.metrics_flag.map(|flag| format!("start the server with `{flag}`"))
        }
        _ => Some("name the server's own endpoint, past any gateway, with `--server-metrics URL`".to_owned()),
    };
    Level {
        name: "metrics endpoint",
        state,
        seen: said,
        adds: "exact means of TTFT, ITL, E2E, queue, prefill and decode over a run, of all its requests together; counts to check with",
        unlock,
        advice: None,
        give: None,
    }
}

fn has_buckets(scrape: &ScrapeRow) -> bool {
    scrape.error.is_none() && scrape.samples.iter().any(|sample| sample.name.ends_with("_bucket"))
}

/// The end of the first bucket; of several spellings the first that is there.
fn first_bucket(samples: &[SampleRow], spellings: &[&str]) -> Option<f64> {
    spellings.iter().find_map(|name| {
        let ends = samples
            .iter()
            .filter(|s| s.name.strip_prefix(name) == Some("_bucket"))
            .filter_map(|s| s.label("le")?.parse::<f64>().ok());
        ends.filter(|end| *end > 0.0).min_by(f64::total_cmp)
    })
}

fn on(page: &ScrapeRow, found: &[(&str, f64)]) -> String {
    if found.is_empty() {
        return format!(
            "{} samples, counters and gauges, and no histogram that is known",
            page.samples.len()
        );
    }
    let listed = |all: &[(&str, f64)]| all.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let mut said = format!("histograms of {}", listed(found));
    let coarse: Vec<(&str, f64)> = found
        .iter()
        .filter(|(name, end)| [QUEUE, PREFILL, DECODE].contains(name) && *end > USEFUL_S)
        .copied()
        .collect();
    if let Some((_, end)) = coarse.first() {
        let _ = write!(
            said,
            "; the first bucket of {} ends at {}: below it only means are known",
            listed(&coarse),
            units::seconds(*end)
        );
    }
    said
}

fn why_not(seen: &Seen<'_>) -> String {
    let notes = &seen.read.manifest.notes;
    notes
        .iter()
        .find(|note| note.starts_with("no metrics from"))
        .cloned()
        .unwrap_or_else(|| "no page of metrics with histograms".to_owned())
}
