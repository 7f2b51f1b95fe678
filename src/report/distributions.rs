//! The distribution of each metric over requests: mean and percentiles with their intervals, from
//! values in time order. This file must not know how they are laid out.

use serde::Serialize;

use crate::metric::Metric;
use crate::record::correlated::Correlated;
use crate::record::{JoinedRow, RequestRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::many::{self, Counted, Values};
use crate::stats::rounds::Rounds;
use crate::stats::{Estimate, bootstrap, moments, quantile};

/// Seeds every bootstrap of a report, so that a report can be made again byte by byte.
const SEED: u64 = 0;

/// The percentiles every metric is reported at.
pub const PERCENTILES: [f64; 4] = [50.0, 90.0, 95.0, 99.0];
const LEVELS: [f64; 4] = [0.5, 0.9, 0.95, 0.99];

/// One metric's distribution.
#[derive(Clone, Debug, Serialize)]
pub struct MetricSummary {
    pub metric: Metric,
    pub title: String,
    pub definition: &'static str,
    pub n: usize,
    pub mean: Estimate,
    pub std: f64,
    pub min: f64,
    pub max: f64,
    /// At `PERCENTILES`, linear interpolation, order-statistic intervals at the effective n.
    pub percentiles: Vec<Estimate>,
    /// Of so many values that they were counted in buckets: percentiles are within this share of the true ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentile_error: Option<f64>,
}

/// What the client measured of the successful requests, which are in time order.
pub(super) fn client(ok: &[&RequestRow], gaps_s: &Values, rounds: &Rounds) -> Vec<MetricSummary> {
    let column = |metric: Metric, value: fn(&RequestRow) -> Option<f64>| {
        let rows = ok.iter().filter_map(|r| Some((r.index, value(r)?)));
        of_requests(metric, metric.name(), rows, rounds)
    };
    let summaries = vec![
        column(Metric::Ttft, |r| r.ttft_s),
        column(Metric::Throughput, |r| r.user_throughput_tps),
        column(Metric::ItlMean, |r| r.itl_mean_s),
        column(Metric::E2e, |r| r.e2e_s),
        column(Metric::Tpot, |r| r.tpot_s),
        of_gaps(gaps_s),
        column(Metric::TtftUser, |r| r.ttft_user_s),
        column(Metric::TtftScheduled, |r| r.ttft_scheduled_s),
        column(Metric::TtftContent, |r| r.ttft_content_s),
    ];
    summaries.into_iter().flatten().collect()
}

/// What the server said of each of the successful requests.
pub(super) fn server(correlated: &Correlated) -> Vec<MetricSummary> {
    let column = |metric: Metric, title: &str, value: fn(&JoinedRow) -> Option<f64>| {
        let ok = correlated.rows.iter().filter(|j| j.client.status == Status::Ok);
        let rows = ok.filter_map(|j| Some((j.client.index, value(j)?)));
        of_requests(metric, title, rows, &correlated.rounds)
    };
    let summaries = vec![
        column(Metric::Ttft, "TTFT at the server", |j| j.server_ttft_s),
        column(Metric::Queue, "Queue", |j| j.server_queue_s),
        column(Metric::Prefill, "Prefill", |j| j.server_prefill_s),
        column(Metric::Decode, "Decode", |j| j.server_decode_s),
        column(Metric::E2e, "Request duration at the server", |j| j.server_e2e_s),
    ];
    summaries.into_iter().flatten().collect()
}

/// Of requests, each with its number.
fn of_requests(
    metric: Metric,
    title: &str,
    rows: impl Iterator<Item = (u64, f64)>,
    rounds: &Rounds,
) -> Option<MetricSummary> {
    let (indices, values): (Vec<u64>, Vec<f64>) = rows.unzip();
    let labels = rounds.labels(indices.into_iter());
    summarise(metric, title, &values, Blocks::known(labels.as_deref()))
}

/// Of values in time order.
fn summarise(metric: Metric, title: &str, values: &[f64], blocks: Blocks<'_>) -> Option<MetricSummary> {
    let value = moments::mean(values)?;
    let mean =
        bootstrap::mean(values, blocks, SEED).unwrap_or_else(|| Estimate::unbounded(value, values.len()));
    Some(MetricSummary {
        metric,
        title: title.to_owned(),
        definition: metric.definition(),
        n: values.len(),
        mean,
        std: moments::std(values)?,
        min: values.iter().copied().min_by(f64::total_cmp)?,
        max: values.iter().copied().max_by(f64::total_cmp)?,
        percentiles: quantile::estimates(values, &LEVELS, blocks),
        percentile_error: None,
    })
}

/// The gaps between all tokens, pooled in the order of time: what one step of the server gave to all of its
/// requests stands together.
fn of_gaps(gaps_s: &Values) -> Option<MetricSummary> {
    match gaps_s {
        Values::Kept(gaps_s) => summarise(Metric::Itl, Metric::Itl.name(), gaps_s, Blocks::Rows),
        Values::Counted(counted) => of_counted(Metric::Itl, counted),
    }
}

fn of_counted(metric: Metric, counted: &Counted) -> Option<MetricSummary> {
    let (min, max) = counted.ends();
    Some(MetricSummary {
        metric,
        title: metric.name().to_owned(),
        definition: metric.definition(),
        n: counted.len(),
        mean: counted.mean_estimate(SEED)?,
        std: counted.std(),
        min,
        max,
        percentiles: counted.estimates(&LEVELS),
        percentile_error: Some(many::ERROR),
    })
}
