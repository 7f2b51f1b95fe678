//! How what is added depends on concurrency and prompt size, and what a new connection for each request
//! adds to it: cells against cells that differ in nothing else. Cells share no request, so their estimates
//! are independent. This file must not know pairs.

use std::collections::BTreeMap;

use crate::metric::Metric;
use crate::record::audit::{Cell, CellFound, ColdAgainstWarm, Factor, Growth, Warmth};
use crate::stats::{Estimate, linear};

const METRICS: [Metric; 2] = [Metric::Ttft, Metric::ItlMean];

/// One line for each factor with several levels.
pub(super) fn growth(cells: &[CellFound]) -> Vec<Growth> {
    let factors: [(Factor, fn(&Cell) -> Option<u32>); 2] = [
        (Factor::Concurrency, |cell| Some(cell.concurrency)),
        (Factor::PromptTokens, |cell| cell.prompt_tokens),
    ];
    let each = factors.into_iter().flat_map(|factor| METRICS.map(|metric| (factor, metric)));
    each.filter_map(|((factor, level), metric)| of_factor(cells, factor, level, metric)).collect()
}

fn of_factor(
    cells: &[CellFound],
    factor: Factor,
    level: fn(&Cell) -> Option<u32>,
    metric: Metric,
) -> Option<Growth> {
    let mut by_level: BTreeMap<u32, Vec<Estimate>> = BTreeMap::new();
    for cell in cells {
        // A cell that lacks the metric leaves its level without partners for the others: no line then.
        by_level.entry(level(&cell.cell)?).or_default().push(added(cell, metric)?);
    }
    let levels: Vec<(u32, Estimate)> =
        by_level.iter().filter_map(|(level, all)| Some((*level, linear::mean(all)?))).collect();
    let [first, .., last] = levels.as_slice() else { return None };
    let points: Vec<(f64, Estimate)> = levels.iter().map(|(level, e)| (f64::from(*level), *e)).collect();
    Some(Growth {
        factor,
        metric,
        last_less_first: linear::combine(&[(1.0, last.1), (-1.0, first.1)])?,
        slope: if levels.len() > 2 { linear::slope(&points) } else { None },
        levels,
    })
}

fn added(cell: &CellFound, metric: Metric) -> Option<Estimate> {
    cell.figures.iter().find(|figure| figure.metric == metric).map(|figure| figure.added_mean)
}

/// One line for each pair of cells that differ in their connections alone.
pub(super) fn cold_against_warm(cells: &[CellFound]) -> Vec<ColdAgainstWarm> {
    let mut all = Vec::new();
    for cold in cells.iter().filter(|cell| cell.cell.connections == Warmth::Cold) {
        let same = Cell { connections: Warmth::Warm, ..cold.cell };
        let Some(warm) = cells.iter().find(|cell| cell.cell == same) else { continue };
        let Some((warm, cold_added)) = added(warm, Metric::Ttft).zip(added(cold, Metric::Ttft)) else {
            continue;
        };
        let less = linear::combine(&[(1.0, cold_added), (-1.0, warm)]);
        all.extend(less.map(|cold_less_warm| ColdAgainstWarm {
            concurrency: cold.cell.concurrency,
            prompt_tokens: cold.cell.prompt_tokens,
            metric: Metric::Ttft,
            warm,
            cold: cold_added,
            cold_less_warm,
        }));
    }
    all
}
