//! AIPerf's `server_metrics_export.jsonl` (`--server-metrics-formats jsonl`): one JSON object for each
//! page of metrics that it asked for. It must not know what a series means.
//!
//! `timestamp_ns` is when the page had come, on the wall clock, `endpoint_latency_ns` how long that took;
//! `metrics` has each name with its series: `value`, or `buckets`, `sum` and `count` of a histogram.
//! Pages that were as the last one are left out by AIPerf. It keeps the names of counters without `_total`.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use super::input::{Reading, has_keys, json};
use super::prometheus_api::escaped;
use super::{Format, Of, PageAt, Reads, instants};
use crate::ingest::scrape::{Wanted, read_page};

pub(super) const FORMAT: Format = Format {
    name: "aiperf_metrics",
    of: Of::Pages,
    description: "AIPerf's server_metrics_export.jsonl",
    reads: Reads::Text {
        recognises: |text| has_keys(text, &["endpoint_url", "timestamp_ns", "metrics"]),
        read,
    },
};

#[derive(Deserialize)]
struct Given {
    endpoint_url: String,
    timestamp_ns: i64,
    endpoint_latency_ns: Option<i64>,
    metrics: BTreeMap<String, Vec<Series>>,
}

#[derive(Deserialize)]
struct Series {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    value: Option<f64>,
    buckets: Option<BTreeMap<String, f64>>,
    sum: Option<f64>,
    count: Option<f64>,
}

fn read(text: &str, reading: &mut Reading<'_>) {
    reading.each_line(text, |_, line, rows| {
        let given: Given = json(line)?;
        let recv = instants::unix_ns(given.timestamp_ns)?;
        let took = given.endpoint_latency_ns.unwrap_or(0).max(0);
        let send = instants::unix_ns(given.timestamp_ns.saturating_sub(took))?;
        let mut page = String::new();
        for (name, series) in &given.metrics {
            for series in series {
                series.write(name, &mut page);
            }
        }
        let page = read_page(&page, "", Wanted::All).map_err(|trouble| trouble.to_string())?;
        rows.pages.push(PageAt { at: Some((send, recv)), source: Some(given.endpoint_url), page });
        Ok(())
    });
}

impl Series {
    /// As a page of text has it. Writing into text does not fail.
    fn write(&self, name: &str, page: &mut String) {
        let pairs: Vec<String> =
            self.labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = |more: Option<String>| {
            let all: Vec<String> = pairs.iter().cloned().chain(more).collect();
            if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
        };
        if let Some(value) = self.value {
            let _ = writeln!(page, "{name}{} {value}", labels(None));
        }
        for (le, count) in self.buckets.iter().flatten() {
            let _ = writeln!(page, "{name}_bucket{} {count}", labels(Some(format!("le=\"{le}\""))));
        }
        for (suffix, value) in [("sum", self.sum), ("count", self.count)] {
            if let Some(value) = value {
                let _ = writeln!(page, "{name}_{suffix}{} {value}", labels(None));
            }
        }
    }
}
