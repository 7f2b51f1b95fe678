//! The file of `vllm bench serve --save-result`: its keys in their order, its arrays in the order of requests,
//! its name. Two arrays are tare's: what the server's own records say of each request. This file must not know
//! how a figure is made.

use std::path::PathBuf;

use serde::ser::{Serialize, Serializer};
use serde_json::{Value, json};

use super::{Bench, One};
use crate::record::Status;

/// A JSON object whose keys keep their order; what is set again keeps its place.
#[derive(Debug, Default)]
pub struct Object(Vec<(String, Value)>);

impl Object {
    fn set(&mut self, key: impl Into<String>, value: Value) {
        let key = key.into();
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.0.push((key, value)),
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

pub(super) fn object(bench: &Bench<'_>, detailed: bool) -> Object {
    let (asked, figures) = (&bench.results.asked, &bench.figures);
    let mut out = Object::default();
    for (key, value) in [
        ("date", json!(bench.date)),
        ("endpoint_type", json!(asked.backend)),
        ("backend", json!(asked.backend)),
        ("label", json!(bench.label())),
        ("model_id", json!(bench.model())),
        ("tokenizer_id", json!(asked.tokenizer)),
        ("num_prompts", json!(asked.num_prompts.unwrap_or(bench.requests.len() as u64))),
    ] {
        out.set(key, value);
    }
    if let Some(Value::Object(metadata)) = bench.report.manifest.config.get("metadata") {
        metadata.iter().for_each(|(key, value)| out.set(key, value.clone()));
    }
    // JSON has no infinity: vLLM writes a word for the one and Python's own for the other.
    let or_inf = |value: Option<f64>| value.map_or_else(|| json!("inf"), |value| json!(value));
    out.set("request_rate", or_inf(asked.request_rate));
    out.set("burstiness", or_inf(asked.burstiness));
    out.set("max_concurrency", json!(asked.max_concurrency));
    if let Some(ramp) = &asked.ramp_up {
        out.set("ramp_up_strategy", json!(ramp.strategy));
        // Whole numbers there.
        let rate = |rps: f64| if rps.fract() == 0.0 { json!(rps as i64) } else { json!(rps) };
        out.set("ramp_up_start_rps", rate(ramp.start_rps));
        out.set("ramp_up_end_rps", rate(ramp.end_rps));
    }
    let (input, output) = (figures.input_tokens, figures.output_tokens);
    for (key, value) in [
        ("duration", json!(figures.duration_s)),
        ("completed", json!(figures.completed)),
        ("failed", json!(figures.failed)),
        ("total_input_tokens", json!(input)),
        ("total_output_tokens", json!(output)),
        ("request_throughput", json!(figures.rate(figures.completed as f64))),
        ("request_goodput", json!(figures.good.map(|good| figures.rate(good as f64)))),
        ("output_throughput", json!(figures.rate(output as f64))),
        ("total_token_throughput", json!(figures.rate((input + output) as f64))),
    ] {
        out.set(key, value);
    }
    arrays(bench, detailed, &mut out);
    out.set("max_output_tokens_per_s", json!(figures.peak_events));
    out.set("max_concurrent_requests", json!(figures.peak_requests));
    // Of sound, which is never sent.
    out.set("rtfx", json!(0.0));
    for metric in &figures.metrics {
        let name = metric.name;
        out.set(format!("mean_{name}_ms"), json!(metric.mean_s * 1e3));
        out.set(format!("median_{name}_ms"), json!(metric.median_s * 1e3));
        out.set(format!("std_{name}_ms"), json!(metric.std_s * 1e3));
        for (percent, value) in &metric.percentiles {
            out.set(format!("p{percent}_{name}_ms"), json!(value * 1e3));
        }
    }
    out
}

/// One entry a request. Without details, these two remain there as well.
fn arrays(bench: &Bench<'_>, detailed: bool, out: &mut Object) {
    let of = |value: fn(&One<'_>) -> Value| Value::Array(bench.requests.iter().map(value).collect());
    if detailed {
        // What failed has counted no tokens; what a server did not tell is not known.
        out.set("input_lens", of(|one| tokens(one, one.joined.client.input_tokens)));
        out.set("output_lens", of(|one| tokens(one, one.joined.client.output_tokens)));
        out.set("ttfts", of(|one| json!(one.ttft_s)));
        out.set("itls", of(|one| json!(one.gaps_s)));
    }
    out.set("latencies", of(|one| json!(one.latency_s)));
    if detailed {
        out.set("start_times", of(|one| json!(one.joined.client.started_unix_ns.0 as f64 / 1e9)));
    }
    out.set("queue_times", of(|one| json!(one.queue_s)));
    let kept = bench.report.manifest.config.pointer("/load/keep_texts") == Some(&json!(true));
    if detailed && kept {
        out.set(
            "generated_texts",
            of(|one| json!(one.joined.client.generated_text.as_deref().unwrap_or(""))),
        );
    }
    if detailed {
        out.set("errors", of(|one| json!(error(one))));
        out.set("server_queue_times", of(|one| json!(one.joined.server_queue_s)));
        out.set("server_ttfts", of(|one| json!(one.joined.server_ttft_s)));
    }
}

fn tokens(one: &One<'_>, told: Option<u32>) -> Value {
    if one.ok { json!(told) } else { json!(told.unwrap_or(0)) }
}

pub(super) fn error(one: &One<'_>) -> String {
    let row = &one.joined.client;
    match (row.status, &row.error) {
        (Status::Ok, _) => String::new(),
        (_, Some(error)) => error.clone(),
        (Status::InFlight, None) => "in flight when the run ended".to_owned(),
        (status, None) => status.as_str().to_owned(),
    }
}

pub(super) fn place(bench: &Bench<'_>) -> Option<PathBuf> {
    let save = bench.results.save.as_ref()?;
    let name = save.file.clone().unwrap_or_else(|| PathBuf::from(usual_name(bench)));
    Some(save.dir.as_ref().map_or(name.clone(), |dir| dir.join(name)))
}

/// `LABEL-RATEqps[-concurrencyN]-MODEL-TIME.json`.
fn usual_name(bench: &Bench<'_>) -> String {
    let asked = &bench.results.asked;
    let label = bench.label().filter(|label| !label.is_empty()).unwrap_or(&asked.backend);
    let rate = match &asked.ramp_up {
        Some(ramp) => format!("ramp-up-{}-{}qps-{}qps", ramp.strategy, ramp.start_rps, ramp.end_rps),
        // As Python writes a number: 10.0, 0.5, inf.
        None => format!("{:?}qps", asked.request_rate.unwrap_or(f64::INFINITY)),
    };
    let limit = asked.max_concurrency.map_or_else(String::new, |n| format!("-concurrency{n}"));
    let model = bench.model().unwrap_or_default();
    let model = model.rsplit('/').next().unwrap_or_default();
    format!("{label}-{rate}{limit}-{model}-{}.json", bench.date)
}
