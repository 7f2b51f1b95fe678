//! What the metrics endpoints' histograms say beside the client's figures: exact means, quantiles as
//! the buckets they fall in, and what the differences can be. Others' requests among the observations
//! widen the bounds, they are never assumed away. This file must not know how a page was read.

use crate::metric::Metric;
use crate::record::correlated::{Aggregate, Bounds, WindowMean, WindowQuantile, WindowRow};
use crate::record::{JoinedRow, RequestRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::histogram::Buckets;
use crate::stats::rounds::Rounds;
use crate::stats::{Estimate, bootstrap, quantile};

const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];

/// One row for each histogram with observations in the window.
pub fn rows(joined: &[JoinedRow], aggregate: &Aggregate, rounds: &Rounds, seed: u64) -> Vec<WindowRow> {
    if aggregate.unusable.is_some() {
        return Vec::new();
    }
    aggregate.histograms.iter().filter_map(|h| row(h, joined, rounds, seed)).collect()
}

fn row(hist: &WindowMean, joined: &[JoinedRow], rounds: &Rounds, seed: u64) -> Option<WindowRow> {
    let buckets = hist.buckets.as_ref()?;
    let server_mean = hist.mean?;
    let client = client(hist.metric, joined);
    let (indices, values): (Vec<u64>, Vec<f64>) = client.iter().flatten().copied().unzip();
    let labels = rounds.labels(indices.into_iter());
    let blocks = Blocks::known(labels.as_deref());
    let levels = quantile::estimates(&values, &QUANTILES, blocks);
    let ours = ours(hist.metric, joined);
    // Fewer observations than requests: some are missing, and nothing is known of which.
    let others = hist.count - ours as f64;
    let of_ours = if others > 0.0 { ours as f64 } else { hist.count };
    let quantiles: Vec<WindowQuantile> = QUANTILES
        .into_iter()
        .enumerate()
        .filter_map(|(i, q)| {
            let (lo, hi) = buckets.quantile_of_some(q, of_ours)?;
            Some(beside(q, lo, hi, levels.get(i).copied()))
        })
        .collect();
    let first = buckets.finest()?;
    let all_in_it = quantiles.iter().all(|q| q.server_hi == Some(first)) && !quantiles.is_empty();
    Some(WindowRow {
        metric: hist.metric,
        server_n: hist.count,
        ours_n: ours,
        server_mean,
        ours_mean: (others > 0.0 && ours > 0).then(|| own_mean(hist, buckets, ours, others, &values)),
        client_mean: client.and_then(|_| bootstrap::mean(&values, blocks, seed)),
        quantiles,
        unresolved_below: all_in_it.then_some(first),
    })
}

/// The client's figure that means the same, of every request that the server can have observed, by number.
fn client(metric: Metric, joined: &[JoinedRow]) -> Option<Vec<(u64, f64)>> {
    let of = |value: fn(&RequestRow) -> Option<f64>| {
        let told = joined.iter().filter(|r| counts(metric, r));
        Some(told.filter_map(|r| Some((r.client.index, value(&r.client)?))).collect())
    };
    match metric {
        Metric::Ttft => of(|r| r.ttft_s),
        Metric::E2e => of(|r| r.e2e_s),
        Metric::Tpot => of(|r| r.tpot_s),
        _ => None,
    }
}

/// How many observations this run's own requests make: first tokens count when they come, everything
/// else when the request ends well.
fn ours(metric: Metric, joined: &[JoinedRow]) -> usize {
    if metric == Metric::Itl {
        // One for each step of the engine that gave an output: not known from here.
        return joined
            .iter()
            .filter_map(|r| r.client.output_tokens)
            .map(|n| n.saturating_sub(1) as usize)
            .sum();
    }
    joined.iter().filter(|r| counts(metric, r)).count()
}

fn counts(metric: Metric, row: &JoinedRow) -> bool {
    match metric {
        Metric::Ttft => row.client.first_token_unix_ns.is_some() || row.client.status == Status::Ok,
        _ => row.client.status == Status::Ok,
    }
}

fn beside(q: f64, lo: f64, hi: f64, client: Option<Estimate>) -> WindowQuantile {
    let known = |bound: f64| bound.is_finite().then_some(bound);
    WindowQuantile {
        q,
        server_lo: lo,
        server_hi: known(hi),
        client,
        difference_lo: client.and_then(|c| known(c.lo - hi)),
        difference_hi: client.and_then(|c| known(c.hi - lo)),
    }
}

/// Where the mean of this run's own requests lies, when so many others are in the sum: the others' sum
/// is at least that of the smallest observations and at most that of the largest; and a request takes
/// no longer at the server than at the client.
fn own_mean(hist: &WindowMean, buckets: &Buckets, ours: usize, others: f64, client: &[f64]) -> Bounds {
    let at_client = if client.len() == ours { client.iter().sum() } else { f64::INFINITY };
    let ours = ours as f64;
    let (least, most) = buckets.sum_of_some(others);
    let (own_least, own_most) = buckets.sum_of_some(ours);
    Bounds {
        lo_s: (hist.sum - most).max(own_least) / ours,
        hi_s: (hist.sum - least).min(own_most).min(at_client) / ours,
    }
}
