//! What the real `vllm bench serve` wrote and printed, made again from its own times: the same numbers from the
//! same times, the same lines from the same numbers. Where the samples are from:
//! `tests/samples/vllm-bench/README.md`.

use serde::Deserialize;

use super::figures::Figures;
use super::{One, block};
use crate::clock::UnixNs;
use crate::record::results::{Asked, METRICS, Results};
use crate::record::slo::Slo;
use crate::record::{JoinedRow, RequestRow, Status};

macro_rules! samples {
    ($($name:literal),*) => {
        [$((
            $name,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/vllm-bench/", $name, ".json")),
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/vllm-bench/", $name, ".txt")),
        )),*]
    };
}

/// The file, as far as it is needed.
#[derive(Deserialize)]
struct Real {
    duration: f64,
    max_concurrency: Option<u32>,
    request_rate: serde_json::Value,
    request_goodput: Option<f64>,
    input_lens: Vec<u32>,
    output_lens: Vec<u32>,
    ttfts: Vec<f64>,
    itls: Vec<Vec<f64>>,
    latencies: Vec<f64>,
    start_times: Vec<f64>,
    queue_times: Vec<f64>,
    errors: Vec<String>,
    #[serde(flatten)]
    all: serde_json::Map<String, serde_json::Value>,
}

impl Real {
    fn joined(&self) -> Vec<JoinedRow> {
        let row = |i: usize| {
            let ok = self.errors[i].is_empty();
            let tokens = self.output_lens[i];
            let (ttft, latency) = (self.ttfts[i], self.latencies[i]);
            let started = UnixNs(0).plus_seconds(self.start_times[i]);
            RequestRow {
                index: i as u64,
                status: if ok { Status::Ok } else { Status::HttpError },
                started_unix_ns: started,
                scheduled_unix_ns: started.plus_seconds(-self.queue_times[i]),
                input_tokens: Some(self.input_lens[i]),
                output_tokens: Some(tokens),
                ttft_s: ok.then_some(ttft),
                e2e_s: ok.then_some(latency),
                tpot_s: (ok && tokens > 1).then(|| (latency - ttft) / f64::from(tokens - 1)),
                ..RequestRow::default()
            }
        };
        (0..self.ttfts.len()).map(|i| JoinedRow::of(row(i))).collect()
    }

    fn results(&self) -> Results {
        let with_figures = |name: &&str| self.all.contains_key(&format!("mean_{name}_ms"));
        let percentiles = [50.0, 90.0, 99.0, 99.9];
        let given = |p: &f64| self.all.contains_key(&format!("p{p}_ttft_ms"));
        Results {
            metrics: METRICS
                .map(|(name, ..)| name)
                .iter()
                .filter(|n| with_figures(n))
                .map(|&n| n.into())
                .collect(),
            percentiles: percentiles.into_iter().filter(given).collect(),
            asked: Asked {
                max_concurrency: self.max_concurrency,
                request_rate: self.request_rate.as_f64(),
                ..Asked::default()
            },
            ..Results::default()
        }
    }
}

#[test]
fn its_own_times_give_its_own_figures_and_lines() {
    let slo = Slo { ttft_s: Some(0.2), tpot_s: Some(0.05), e2e_s: Some(5.0) };
    for (name, json, text) in samples!["completions", "chat", "responses", "failed"] {
        let real: Real = serde_json::from_str(json).unwrap();
        let (joined, results) = (real.joined(), real.results());
        let requests: Vec<One<'_>> = joined
            .iter()
            .enumerate()
            .map(|(i, joined)| One {
                joined,
                ok: joined.client.status == Status::Ok,
                ttft_s: real.ttfts[i],
                latency_s: real.latencies[i],
                gaps_s: real.itls[i].clone(),
                queue_s: real.queue_times[i],
            })
            .collect();
        let slo = if real.request_goodput.is_some() { slo } else { Slo::default() };
        let figures = Figures::new(&requests, real.duration, &slo, &results);
        let told = |key: &str| real.all[key].as_f64().unwrap();
        let near = |key: &str, ours: f64| {
            let theirs = told(key);
            assert!(
                (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1e-3),
                "{name} {key}: {ours}, not {theirs}"
            );
        };
        near("completed", figures.completed as f64);
        near("failed", figures.failed as f64);
        near("total_input_tokens", figures.input_tokens as f64);
        near("total_output_tokens", figures.output_tokens as f64);
        near("output_throughput", figures.rate(figures.output_tokens as f64));
        near("max_output_tokens_per_s", figures.peak_events);
        near("max_concurrent_requests", figures.peak_requests as f64);
        assert!(figures.metrics.len() >= 3 && figures.metrics.len() == results.metrics.len(), "{name}");
        for metric in &figures.metrics {
            let key = |what: &str| format!("{what}_{}_ms", metric.name);
            near(&key("mean"), metric.mean_s * 1e3);
            near(&key("median"), metric.median_s * 1e3);
            near(&key("std"), metric.std_s * 1e3);
            for (percent, value) in &metric.percentiles {
                near(&key(&format!("p{percent}")), value * 1e3);
            }
        }
        let errors: Vec<String> = real.errors.iter().filter(|e| !e.is_empty()).cloned().collect();
        let mut ours = Vec::new();
        block::print(&mut ours, &results.asked, &figures, &errors).unwrap();
        let ours = String::from_utf8(ours).unwrap();
        // It says so where gnuplot is missing.
        let theirs = text.replace("tip: install termplotlib and gnuplot to plot the metrics\n", "");
        assert_eq!(ours, theirs, "{name}");
    }
}
