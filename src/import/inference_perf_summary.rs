//! inference-perf's `summary_lifecycle_metrics.json` (and those of its stages): its summary, no request is
//! in it. It must not know what is done with the figures.

use serde_json::Value;

use super::input::Reading;
use super::{Format, Of, Reads, instants};
use crate::metric::Metric;
use crate::record::client_totals::{ClientTotals, Figure};

pub(super) const FORMAT: Format = Format {
    name: "inference_perf_summary",
    of: Of::Client,
    description: "inference-perf's summary_lifecycle_metrics.json: its summary, without requests",
    reads: Reads::Text {
        recognises: |text| {
            let begins = text.trim_start().starts_with('{');
            begins && text.contains("\"load_summary\"") && text.contains("\"successes\"")
        },
        read,
    },
};

const METRICS: [(&str, Metric); 3] = [
    ("time_to_first_token", Metric::Ttft),
    ("time_per_output_token", Metric::Tpot),
    ("request_latency", Metric::E2e),
];

fn read(text: &str, reading: &mut Reading<'_>) {
    let all: Value = match serde_json::from_str(text) {
        Ok(all) => all,
        Err(error) => return reading.count("the summary", Err(error)),
    };
    let whole = |at: &str| all.pointer(at).and_then(Value::as_u64);
    let completed = whole("/successes/count");
    let mut totals = ClientTotals {
        tool: "inference-perf".to_owned(),
        completed,
        failed: whole("/failures/count"),
        duration_s: all.get("benchmark_time_seconds").and_then(Value::as_f64),
        output_tokens: None,
        figures: Vec::new(),
    };
    for (name, metric) in METRICS {
        let Some(found) = all.pointer(&format!("/successes/latency/{name}")).filter(|found| !found.is_null())
        else {
            continue;
        };
        let seconds = |key: &str| {
            found.get(key).and_then(Value::as_f64).map(|s| instants::duration(s, 1.0)).transpose()
        };
        let figure = || {
            Ok::<_, String>(Figure {
                metric,
                called: name.to_owned(),
                n: completed,
                mean_s: seconds("mean")?.ok_or("expected `mean`, found none")?,
                std_s: None,
                p50_s: seconds("median")?,
                p99_s: seconds("p99")?,
            })
        };
        let taken = figure().map(|figure| totals.figures.push(figure));
        reading.count(&format!("`{name}`"), taken);
    }
    reading.rows.totals = Some(totals);
    reading.notes.push(format!(
        "{}: a summary without requests: both sides are compared as a whole. `report.request_lifecycle.per_request: true` makes inference-perf write each request",
        reading.path.display()
    ));
}
