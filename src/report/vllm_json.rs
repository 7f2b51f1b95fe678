//! The flat keys of `vllm bench serve --save-result`, so that scripts made for it go on working.
//! Percentiles are numpy's linear ones, standard deviations are of the population, times in ms.

use serde_json::{Map, Value, json};

use super::Report;
use super::distributions::PERCENTILES;
use crate::metric::Metric;

/// The keys, at the top level of `summary.json`.
pub(super) fn keys(report: &Report<'_>) -> Map<String, Value> {
    let (summary, manifest) = (report.summary, report.manifest);
    let at = |pointer: &str| manifest.config.pointer(pointer).cloned().unwrap_or(Value::Null);
    let endpoint = at("/target/endpoint");
    let backend = match endpoint.as_str() {
        Some("chat") => "openai-chat",
        Some("responses") => "openai-responses",
        _ => "openai",
    };
    let rate = at("/load/arrival/rate_rps");
    let date = chrono::DateTime::from_timestamp_nanos(manifest.created_unix_ns.0)
        .format("%Y%m%d-%H%M%S")
        .to_string();
    let users = at("/load/arrival/users");
    let evenly = at("/load/arrival/kind").as_str() == Some("constant");
    let gamma = manifest.config.pointer("/load/arrival/burstiness").cloned();
    let mut keys = Map::new();
    for (key, value) in [
        ("date", json!(date)),
        ("endpoint_type", json!(backend)),
        ("backend", json!(backend)),
        ("label", at("/label")),
        ("model_id", json!(manifest.target.model)),
        ("tokenizer_id", Value::Null),
        ("num_prompts", json!(summary.counts.total)),
        ("request_rate", if rate.is_null() { json!("inf") } else { rate }),
        ("burstiness", if evenly { json!("inf") } else { gamma.unwrap_or(json!(1.0)) }),
        ("max_concurrency", if users.is_null() { at("/load/max_concurrency") } else { users }),
        ("duration", json!(summary.duration_s)),
        ("completed", json!(summary.counts.ok)),
        ("failed", json!(summary.counts.failed)),
        ("total_input_tokens", json!(summary.totals.input_tokens)),
        ("total_output_tokens", json!(summary.totals.output_tokens)),
        ("request_throughput", json!(summary.totals.requests_rps)),
        ("request_goodput", json!(summary.slo.as_ref().map(|found| found.all.rps.value))),
        ("output_throughput", json!(summary.totals.output_tps)),
        ("total_token_throughput", json!(summary.totals.total_tps)),
        ("max_output_tokens_per_s", json!(summary.totals.peak_output_tps)),
        ("max_concurrent_requests", json!(summary.totals.peak_concurrency)),
    ] {
        keys.insert(key.to_owned(), value);
    }
    for (name, metric) in
        [("ttft", Metric::Ttft), ("tpot", Metric::Tpot), ("itl", Metric::Itl), ("e2el", Metric::E2e)]
    {
        let m = summary.of(metric);
        let ms = |value: Option<f64>| json!(value.map(|v| v * 1e3));
        keys.insert(format!("mean_{name}_ms"), ms(m.map(|m| m.mean.value)));
        keys.insert(format!("median_{name}_ms"), ms(m.and_then(|m| m.percentiles.first()).map(|p| p.value)));
        keys.insert(format!("std_{name}_ms"), ms(m.map(|m| m.std)));
        for (i, p) in PERCENTILES.iter().enumerate() {
            keys.insert(format!("p{p}_{name}_ms"), ms(m.and_then(|m| m.percentiles.get(i)).map(|p| p.value)));
        }
    }
    keys
}
