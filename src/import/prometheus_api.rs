//! What the Prometheus server's own API answers: `/api/v1/query_range` (or `/api/v1/query` with a range
//! such as `{job="vllm"}[10m]`), one JSON document or several after each other. Series with their values
//! over time become pages, one an endpoint and moment. It must not know what a series means.
//!
//! A range query repeats at each of its steps what the last scrape before it saw: its moments are the
//! query's, up to a scrape interval too late. A query with a range in brackets has the moments of the
//! scrapes themselves. Which it was, an answer does not say, so a page counts as up to a step old.
//! Endpoints are told apart by the label `instance`, which, as `job`, is
//! Prometheus's own and not the server's.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use super::input::Reading;
use super::{Format, Of, PageAt, Reads, instants};
use crate::clock::UnixNs;
use crate::ingest::scrape::read_page;

pub(super) const FORMAT: Format = Format {
    name: "prometheus_api",
    of: Of::Pages,
    description: "answers of Prometheus's /api/v1/query_range, or /api/v1/query with a range",
    reads: Reads::Text {
        recognises: |text| {
            let begins = text.trim_start().starts_with('{');
            begins && (text.contains("\"resultType\"") || text.contains("\"errorType\""))
        },
        read,
    },
};

#[derive(Deserialize)]
struct Answer {
    status: String,
    error: Option<String>,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

#[derive(Deserialize)]
struct Series {
    metric: BTreeMap<String, String>,
    values: Option<Vec<(f64, String)>>,
    value: Option<(f64, String)>,
}

/// The samples of an endpoint at a moment, as lines of text.
type Pages = BTreeMap<(String, i64), String>;

fn read(text: &str, reading: &mut Reading<'_>) {
    let mut pages = Pages::new();
    for (document, n) in serde_json::Deserializer::from_str(text).into_iter::<Answer>().zip(1..) {
        let series = document.map_err(|error| error.to_string()).and_then(series);
        match series {
            Err(error) => {
                reading.count(&format!("answer {n}"), Err(error));
                // After broken JSON nothing can be found again.
                break;
            }
            Ok(all) => {
                for (series, i) in all.into_iter().zip(1..) {
                    let taken = Series::deserialize(series)
                        .map_err(|error| error.to_string())
                        .and_then(|series| series.add_to(&mut pages));
                    reading.count(&format!("answer {n}, series {i}"), taken);
                }
            }
        }
    }
    let n = pages.len();
    let lag_s = step_s(&pages);
    for ((instance, at), page) in pages {
        // Every line was made here of a name, labels and a number.
        if let Ok(page) = read_page(&page, "") {
            let source = (!instance.is_empty()).then_some(instance);
            reading.rows.pages.push(PageAt { at: Some((UnixNs(at), UnixNs(at))), lag_s, source, page });
        }
    }
    if n > 0 {
        reading.notes.push(format!(
            "{}: {n} moments of Prometheus's: those of a range query are its steps, up to a scrape interval after the scrape; `/api/v1/query` with `[10m]` behind the selector gives the scrapes' own",
            reading.path.display()
        ));
    }
}

/// The least time between two pages of an endpoint.
fn step_s(pages: &Pages) -> f64 {
    let pairs = pages.keys().zip(pages.keys().skip(1)).filter(|((one, _), (other, _))| one == other);
    let least = pairs.map(|((_, a), (_, b))| UnixNs(*b).seconds_since(UnixNs(*a))).reduce(f64::min);
    least.unwrap_or(0.0)
}

fn series(answer: Answer) -> Result<Vec<serde_json::Value>, String> {
    let Answer { status, error, data } = answer;
    let data = match data {
        Some(data) if status == "success" => data,
        _ => return Err(format!("Prometheus answered `{status}`: {}", error.unwrap_or_default())),
    };
    match (data.kind.as_str(), data.result) {
        ("matrix" | "vector", serde_json::Value::Array(series)) => Ok(series),
        (kind, _) => Err(format!("expected series (`matrix`), found `{kind}`")),
    }
}

impl Series {
    fn add_to(self, pages: &mut Pages) -> Result<(), String> {
        let Self { mut metric, values, value } = self;
        let Some(name) = metric.remove("__name__") else {
            return Err("a series without a name: ask for the series themselves, such as `{__name__=~\"vllm:.*\"}`, not for a function of them".to_owned());
        };
        let instance = metric.remove("instance").unwrap_or_default();
        metric.remove("job");
        let labels: Vec<String> =
            metric.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        for (at, value) in values.into_iter().flatten().chain(value) {
            let at = instants::since_1970(at, 1e9)?;
            let page = pages.entry((instance.clone(), at.0)).or_default();
            // Writing into text does not fail.
            let _ = writeln!(page, "{name}{labels} {value}");
        }
        Ok(())
    }
}

pub(super) fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
