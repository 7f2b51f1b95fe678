//! AIPerf's `profile_export_aiperf.json`, its summary of a run: no request is in it. genai-perf's
//! `profile_export_genai_perf.json`, from which it descends, has the same keys by its documentation. It
//! must not know what is done with the figures.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::input::Reading;
use super::{Format, Of, Reads, instants};
use crate::metric::Metric;
use crate::record::client_totals::{ClientTotals, Figure};

pub(super) const FORMAT: Format = Format {
    name: "aiperf_summary",
    of: Of::Client,
    description: "AIPerf's profile_export_aiperf.json: its summary, without requests",
    reads: Reads::Text {
        recognises: |text| {
            let begins = text.trim_start().starts_with('{');
            begins
                && text.contains("\"request_latency\"")
                && text.contains("\"request_throughput\"")
                && text.contains("\"avg\"")
        },
        read,
    },
};

/// Its latency between tokens is a request's mean, as TPOT.
const METRICS: [(&str, Metric); 3] = [
    ("time_to_first_token", Metric::Ttft),
    ("inter_token_latency", Metric::Tpot),
    ("request_latency", Metric::E2e),
];

#[derive(Deserialize)]
struct Measured {
    unit: Option<String>,
    avg: Option<f64>,
    std: Option<f64>,
    p50: Option<f64>,
    p99: Option<f64>,
    count: Option<u64>,
}

fn read(text: &str, reading: &mut Reading<'_>) {
    let all: Map<String, Value> = match serde_json::from_str(text) {
        Ok(all) => all,
        Err(error) => return reading.count("the summary", Err(error)),
    };
    let of = |name: &str| Measured::deserialize(all.get(name)?).ok();
    let whole = |name: &str| of(name)?.avg.filter(|n| *n >= 0.0).map(|n| n as u64);
    let completed = whole("request_count");
    let mut totals = ClientTotals {
        tool: "AIPerf".to_owned(),
        completed,
        failed: whole("error_request_count"),
        duration_s: of("benchmark_duration").and_then(|duration| duration.avg),
        output_tokens: whole("total_output_tokens"),
        figures: Vec::new(),
    };
    for (name, metric) in METRICS {
        let Some(measured) = of(name) else { continue };
        let taken = figure(name, metric, &measured, completed).map(|figure| totals.figures.push(figure));
        reading.count(&format!("`{name}`"), taken);
    }
    reading.rows.totals = Some(totals);
    reading.notes.push(format!(
        "{}: a summary without requests: both sides are compared as a whole. `profile_export.jsonl` beside it (`aiperf profile --export-level records`) has each request with its id",
        reading.path.display()
    ));
}

fn figure(name: &str, metric: Metric, measured: &Measured, completed: Option<u64>) -> Result<Figure, String> {
    let unit = measured.unit.as_deref().unwrap_or("ms");
    let unit_s = instants::unit_s(unit)?;
    let seconds = |value: Option<f64>| value.map(|value| instants::duration(value, unit_s)).transpose();
    let Some(mean_s) = seconds(measured.avg)? else { return Err("expected `avg`, found none".to_owned()) };
    Ok(Figure {
        metric,
        called: name.to_owned(),
        n: measured.count.or(completed),
        mean_s,
        std_s: seconds(measured.std)?,
        p50_s: seconds(measured.p50)?,
        p99_s: seconds(measured.p99)?,
    })
}
