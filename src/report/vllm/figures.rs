//! The figures of `vllm bench serve` (`vllm/benchmarks/serve.py`, `calculate_metrics`), by its laws. This file
//! must not know how they are written.

use super::One;
use crate::record::RequestRow;
use crate::record::results::{METRICS, Results};
use crate::record::slo::Slo;
use crate::stats::{moments, quantile};

/// All that is one number of the run.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) duration_s: f64,
    pub(super) completed: usize,
    pub(super) failed: usize,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    /// Requests that met every objective, where there are some.
    pub(super) good: Option<usize>,
    /// The most events in one second, and the most requests of which some part lay in one, seconds counted
    /// from the first start.
    pub(super) peak_events: f64,
    pub(super) peak_requests: usize,
    /// Those asked for, in vLLM's order.
    pub(super) metrics: Vec<Metric>,
}

/// One metric's distribution, in seconds; 0 of nothing.
#[derive(Debug, PartialEq)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) short: &'static str,
    pub(super) heading: &'static str,
    pub(super) mean_s: f64,
    pub(super) median_s: f64,
    pub(super) std_s: f64,
    /// Each percentile with its value.
    pub(super) percentiles: Vec<(f64, f64)>,
}

impl Figures {
    pub(super) fn new(requests: &[One<'_>], duration_s: f64, slo: &Slo, results: &Results) -> Self {
        let ok: Vec<&One<'_>> = requests.iter().filter(|one| one.ok).collect();
        let sum = |count: fn(&RequestRow) -> Option<u32>| {
            ok.iter().filter_map(|one| count(&one.joined.client)).map(u64::from).sum()
        };
        let (peak_events, peak_requests) = peaks(&ok);
        let good = (!slo.is_empty())
            .then(|| ok.iter().filter(|one| slo.met(&one.joined.client) == Some(true)).count());
        Self {
            duration_s,
            completed: ok.len(),
            failed: requests.len() - ok.len(),
            input_tokens: sum(|row| row.input_tokens),
            output_tokens: sum(|row| row.output_tokens),
            good,
            peak_events,
            peak_requests,
            metrics: metrics(&ok, results),
        }
    }

    /// Per second of the run.
    pub(super) fn rate(&self, n: f64) -> f64 {
        if self.duration_s > 0.0 { n / self.duration_s } else { 0.0 }
    }
}

fn metrics(ok: &[&One<'_>], results: &Results) -> Vec<Metric> {
    let column = |value: fn(&RequestRow) -> Option<f64>| -> Vec<f64> {
        ok.iter().filter_map(|one| value(&one.joined.client)).collect()
    };
    // A queue at the client is only spoken of where there is a limit to wait for.
    let limited = results.asked.max_concurrency.is_some();
    let paced = limited && results.asked.request_rate.is_some();
    let values = |name: &str| -> Option<Vec<f64>> {
        Some(match name {
            "ttft" => column(|row| row.ttft_s),
            "tpot" => column(|row| row.tpot_s),
            "itl" => ok.iter().flat_map(|one| one.gaps_s.iter().copied()).collect(),
            "e2el" => column(|row| row.e2e_s),
            "client_queue_time" if limited => ok.iter().map(|one| one.queue_s).collect(),
            "e2el_including_client_queue" if paced => {
                ok.iter().map(|one| one.latency_s + one.queue_s).collect()
            }
            _ => return None,
        })
    };
    let asked = METRICS.iter().filter(|(name, ..)| results.metrics.iter().any(|asked| asked == name));
    asked
        .filter_map(|&(name, short, heading)| {
            let values = values(name)?;
            let sorted = quantile::sorted(&values);
            let at = |percent: f64| quantile::quantile(&sorted, percent / 100.0).unwrap_or(0.0);
            Some(Metric {
                name,
                short,
                heading,
                mean_s: moments::mean(&values).unwrap_or(0.0),
                median_s: at(50.0),
                std_s: moments::std(&values).unwrap_or(0.0),
                percentiles: results.percentiles.iter().map(|&percent| (percent, at(percent))).collect(),
            })
        })
        .collect()
}

/// By whole seconds from the first start of a request that went well.
fn peaks(ok: &[&One<'_>]) -> (f64, usize) {
    let Some(zero) = ok.iter().map(|one| one.joined.client.started_unix_ns).min() else { return (0.0, 0) };
    let start = |one: &One<'_>| one.joined.client.started_unix_ns.seconds_since(zero);
    let end = ok.iter().map(|one| start(one) + one.latency_s).fold(0.0, f64::max);
    let seconds = end.ceil() as usize + 1;
    let (mut events, mut active) = (vec![0_u64; seconds], vec![0_usize; seconds]);
    for one in ok {
        let mut at = start(one) + one.ttft_s;
        for gap in [0.0].iter().chain(&one.gaps_s) {
            at += gap;
            if let Some(second) = events.get_mut(at as usize) {
                *second += 1;
            }
        }
        let (first, last) = (start(one) as usize, (start(one) + one.latency_s) as usize);
        for second in active.iter_mut().take(last + 1).skip(first) {
            *second += 1;
        }
    }
    (events.into_iter().max().unwrap_or(0) as f64, active.into_iter().max().unwrap_or(0))
}
