//! The metrics endpoint: which histograms, and what their buckets cannot tell.

use crate::doctor::seen::Seen;
use crate::metric::Metric;
use crate::record::diagnosis::{Level, State};
use crate::record::{SampleRow, ScrapeRow};
use crate::units;

/// Queueing is told from none by some milliseconds: a first bucket beyond this hides it.
const USEFUL_S: f64 = 0.05;

pub fn level(seen: &Seen<'_>) -> Level {
    let page = seen.read.scrapes.iter().rev().find(|scrape| has_buckets(scrape));
    let samples: &[SampleRow] = page.map_or(&[], |page| &page.samples);
    let names = &seen.kind.metrics;
    let histograms = [
        (Metric::Ttft, names.ttft),
        (Metric::Itl, names.itl),
        (Metric::Tpot, names.tpot),
        (Metric::E2e, names.e2e),
        (Metric::Queue, names.queue),
        (Metric::Prefill, names.prefill),
        (Metric::Decode, names.decode),
    ];
    let found: Vec<(Metric, f64)> = histograms
        .into_iter()
        .filter_map(|(metric, spellings)| Some((metric, first_bucket(samples, spellings)?)))
        .collect();
    let (state, said) = match (page, seen.config.observe.no_metrics) {
        (_, true) => (State::Unknown, "not asked for (--no-server-metrics)".to_owned()),
        (None, false) => (State::Off, why_not(seen)),
        (Some(page), false) => (State::On, on(page, &found)),
    };
    let unlock = match state {
        State::On => None,
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

fn on(page: &ScrapeRow, found: &[(Metric, f64)]) -> String {
    if found.is_empty() {
        return format!("{} samples, and no histogram that is known", page.samples.len());
    }
    let named: Vec<&str> = found.iter().map(|(metric, _)| metric.name()).collect();
    let mut said = format!("histograms of {}", named.join(", "));
    let blind = |metric: &Metric| matches!(metric, Metric::Queue | Metric::Prefill | Metric::Decode);
    let coarse: Vec<&(Metric, f64)> =
        found.iter().filter(|(metric, end)| blind(metric) && *end > USEFUL_S).collect();
    if let Some((_, end)) = coarse.first() {
        let names: Vec<String> = coarse.iter().map(|(metric, _)| metric.name().to_lowercase()).collect();
        said.push_str(&format!(
            "; the first bucket of {} ends at {}: below it only means are known",
            names.join(", "),
            units::seconds(*end)
        ));
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
