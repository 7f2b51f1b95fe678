//! One cell's figures: both ways, and the differences of its pairs. This file must not know other cells.

use std::collections::{BTreeMap, BTreeSet};

use super::pairs::Pair;
use crate::metric::Metric;
use crate::record::audit::{Arm, Cell, CellFound, Distribution, Figure, Outside};
use crate::record::{JoinedRow, RequestRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::{Estimate, bootstrap, moments, quantile};

/// Fewer rounds, or pairs, are no ground for a conclusion.
const FEWEST_ROUNDS: usize = 5;
const FEWEST_PAIRS: usize = 10;
/// A join of fewer pairs may lack the slow ones.
const COVERAGE: f64 = 0.9;

/// What both ways have in common with each other.
type Value = fn(&JoinedRow) -> Option<f64>;

const METRICS: [(Metric, Value); 3] = [
    (Metric::Ttft, |row| row.client.ttft_s),
    (Metric::ItlMean, |row| row.client.itl_mean_s),
    (Metric::E2e, |row| row.client.e2e_s),
];

/// `pairs`: the cell's, in the order of the run.
pub(super) fn found(number: u32, cell: Cell, pairs: &[&Pair<'_>], each: u32, seed: u64) -> CellFound {
    let mut lost: BTreeMap<String, usize> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| pair.both().is_none()) {
        *lost.entry(pair.lost()).or_default() += 1;
    }
    let good: Vec<&Pair<'_>> = pairs.iter().copied().filter(|pair| pair.both().is_some()).collect();
    let rounds = good.iter().map(|pair| pair.round).collect::<BTreeSet<_>>().len();
    let failed = Arm::BOTH.map(|arm| {
        pairs.iter().filter_map(|pair| pair.side(arm)).filter(|row| row.client.status.is_failure()).count()
    });
    let uneven = good.iter().filter_map(|pair| pair.both());
    let uneven = uneven.filter(|(d, t)| d.client.output_tokens != t.client.output_tokens).count();
    CellFound {
        number,
        cell,
        rounds,
        pairs: good.len(),
        begun: pairs.len(),
        lost,
        failed,
        uneven,
        too_few: too_few(rounds, good.len()),
        figures: METRICS.iter().filter_map(|(metric, of)| figure(*metric, &good, *of, seed)).collect(),
        outside: outside(&good, seed),
        throughput: throughput(pairs, cell.concurrency as usize * each as usize, seed),
    }
}

fn too_few(rounds: usize, pairs: usize) -> Option<String> {
    if pairs == 0 {
        Some("no pair".to_owned())
    } else if rounds < FEWEST_ROUNDS {
        Some(format!("{rounds} rounds of {FEWEST_ROUNDS} at least"))
    } else {
        (pairs < FEWEST_PAIRS).then(|| format!("{pairs} pairs of {FEWEST_PAIRS} at least"))
    }
}

fn figure(metric: Metric, pairs: &[&Pair<'_>], of: Value, seed: u64) -> Option<Figure> {
    let values: Vec<Both> = pairs
        .iter()
        .filter_map(|pair| {
            let (direct, through) = pair.both()?;
            Some(Both { round: pair.round, first: pair.first, direct: of(direct)?, through: of(through)? })
        })
        .collect();
    of_values(metric, &values, seed)
}

/// Where nine tenths of the pairs have the server's own TTFT, that is taken off; else the engine's queue and
/// prefill, if so many have these.
fn outside(pairs: &[&Pair<'_>], seed: u64) -> Option<(Outside, Figure)> {
    let of: [(Outside, Value); 2] = [
        (Outside::Server, |row| Some(row.client.ttft_s? - row.server_ttft_s?)),
        (Outside::Engine, |row| Some(row.client.ttft_s? - row.server_queue_s? - row.server_prefill_s?)),
    ];
    of.into_iter().find_map(|(of, value)| {
        let figure = figure(Metric::Ttft, pairs, value, seed)?;
        (figure.added_mean.n as f64 >= COVERAGE * pairs.len() as f64).then_some((of, figure))
    })
}

/// One value by both ways.
#[derive(Clone, Copy)]
struct Both {
    round: u32,
    /// The arm that came first in the round.
    first: Arm,
    direct: f64,
    through: f64,
}

/// Those of a round stand together.
fn of_values(metric: Metric, values: &[Both], seed: u64) -> Option<Figure> {
    let labels: Vec<u32> = values.iter().map(|both| both.round).collect();
    let blocks = Blocks::Labelled(&labels);
    let direct: Vec<f64> = values.iter().map(|both| both.direct).collect();
    let through: Vec<f64> = values.iter().map(|both| both.through).collect();
    let (added, stretch) = without_order(values);
    let stretched = |e: Estimate| Estimate {
        lo: e.value - stretch * (e.value - e.lo),
        hi: e.value + stretch * (e.hi - e.value),
        ..e
    };
    Some(Figure {
        metric,
        direct: distribution(&direct, blocks, seed)?,
        through: distribution(&through, blocks, seed)?,
        added_mean: stretched(bootstrap::of_sums(&rows(&added), blocks, |sums, n| sums[0] / n, seed)?),
        added_median: stretched(quantile::estimates(&added, &[0.5], blocks).first().copied()?),
    })
}

fn rows(values: &[f64]) -> Vec<[f64; 1]> {
    values.iter().map(|v| [*v]).collect()
}

/// Through − direct, with the effect of order taken out: what the mean of the rounds with one order lies off
/// the middle of both. So the mean is that middle, whether or not both orders were equally frequent, and
/// order is no scatter in its interval. Two means were taken instead of one: intervals are to be stretched
/// accordingly, by the second value, whose square is (rounds − 1) / (rounds − 2).
fn without_order(values: &[Both]) -> (Vec<f64>, f64) {
    let added = |both: &Both| both.through - both.direct;
    let of_order = |first: Arm| {
        let of: Vec<f64> = values.iter().filter(|both| both.first == first).map(added).collect();
        moments::mean(&of)
    };
    let rounds = values.iter().map(|both| both.round).collect::<BTreeSet<_>>().len() as f64;
    let (Some(direct_first), Some(through_first), true) =
        (of_order(Arm::Direct), of_order(Arm::Through), rounds > 2.0)
    else {
        return (values.iter().map(added).collect(), 1.0);
    };
    let middle = f64::midpoint(direct_first, through_first);
    let stretch = ((rounds - 1.0) / (rounds - 2.0)).sqrt();
    let own = |both: &Both| if both.first == Arm::Direct { direct_first } else { through_first };
    (values.iter().map(|both| middle + added(both) - own(both)).collect(), stretch)
}

fn distribution(values: &[f64], blocks: Blocks<'_>, seed: u64) -> Option<Distribution> {
    let sorted = quantile::sorted(values);
    let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|q| quantile::quantile(&sorted, q));
    Some(Distribution { mean: bootstrap::mean(values, blocks, seed)?, p50: p50?, p90: p90?, p99: p99? })
}

/// Output tokens a second of each leg whose requests all ended: of both legs of its round, in pairs.
fn throughput(pairs: &[&Pair<'_>], requests: usize, seed: u64) -> Option<Figure> {
    let mut rounds: BTreeMap<(u32, Arm), [Vec<&RequestRow>; 2]> = BTreeMap::new();
    for pair in pairs {
        for (arm, rows) in Arm::BOTH.iter().zip(rounds.entry((pair.round, pair.first)).or_default()) {
            rows.extend(pair.side(*arm).map(|row| &row.client));
        }
    }
    let values: Vec<Both> = rounds
        .iter()
        .filter_map(|((round, first), [direct, through])| {
            let direct = tokens_per_second(direct, requests)?;
            let through = tokens_per_second(through, requests)?;
            Some(Both { round: *round, first: *first, direct, through })
        })
        .collect();
    of_values(Metric::Throughput, &values, seed)
}

fn tokens_per_second(leg: &[&RequestRow], requests: usize) -> Option<f64> {
    if leg.len() < requests || leg.iter().any(|r| r.status == Status::InFlight) {
        return None;
    }
    let tokens: u32 = leg.iter().filter(|r| r.status == Status::Ok).filter_map(|r| r.output_tokens).sum();
    let begun = leg.iter().map(|r| r.started_unix_ns).min()?;
    let ended = leg.iter().map(|r| r.done_unix_ns).max()?;
    Some(f64::from(tokens) / ended.seconds_since(begun)).filter(|tps| tps.is_finite())
}
