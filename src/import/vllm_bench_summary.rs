//! `vllm bench serve --save-result` without `--save-detailed`: its summary, no request is in it. It must not
//! know what is done with the figures.

use serde_json::{Map, Value};

use super::input::Reading;
use super::{Format, Of, Reads, instants};
use crate::metric::Metric;
use crate::record::client_totals::{ClientTotals, Figure};

pub(super) const FORMAT: Format = Format {
    name: "vllm_bench_summary",
    of: Of::Client,
    description: "vllm bench serve --save-result without --save-detailed: its summary, without requests",
    reads: Reads::Text {
        recognises: |text| {
            let begins = text.trim_start().starts_with('{');
            begins
                && text.contains("\"mean_ttft_ms\"")
                && text.contains("\"completed\"")
                && !text.contains("\"ttfts\"")
        },
        read,
    },
};

/// Its ITL is of all gaps, pooled.
const METRICS: [(&str, Metric); 4] =
    [("ttft", Metric::Ttft), ("itl", Metric::Itl), ("tpot", Metric::Tpot), ("e2el", Metric::E2e)];

fn read(text: &str, reading: &mut Reading<'_>) {
    let all: Map<String, Value> = match serde_json::from_str(text) {
        Ok(all) => all,
        Err(error) => return reading.count("the result", Err(error)),
    };
    let number = |name: &str| all.get(name).and_then(Value::as_f64);
    let whole = |name: &str| all.get(name).and_then(Value::as_u64);
    let completed = whole("completed");
    let mut totals = ClientTotals {
        tool: "vllm bench serve".to_owned(),
        completed,
        failed: whole("failed"),
        duration_s: number("duration"),
        output_tokens: whole("total_output_tokens"),
        figures: Vec::new(),
    };
    for (name, metric) in METRICS {
        let Some(mean) = number(&format!("mean_{name}_ms")) else { continue };
        let seconds = |key: String| number(&key).map(|ms| instants::duration(ms, 1e-3)).transpose();
        let figure = || {
            Ok::<_, String>(Figure {
                metric,
                called: format!("mean_{name}_ms"),
                n: completed.filter(|_| metric != Metric::Itl),
                mean_s: instants::duration(mean, 1e-3)?,
                std_s: seconds(format!("std_{name}_ms"))?,
                p50_s: seconds(format!("median_{name}_ms"))?,
                p99_s: seconds(format!("p99_{name}_ms"))?,
            })
        };
        let taken = figure().map(|figure| totals.figures.push(figure));
        reading.count(&format!("`mean_{name}_ms`"), taken);
    }
    reading.rows.totals = Some(totals);
    reading.notes.push(format!(
        "{}: a summary without requests: both sides are compared as a whole. `vllm bench serve --save-detailed` keeps each request, `--request-id-prefix` gives them ids that are known",
        reading.path.display()
    ));
}
