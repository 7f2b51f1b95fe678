//! How what is added depends on concurrency and prompt size, and what a new connection for each request
//! adds to it: cells against cells that differ in nothing else. Cells share no request, so their estimates
//! are independent. This file must not know pairs.

use std::collections::BTreeMap;

use crate::metric::Metric;
use crate::record::audit::{Cell, CellFound, ColdAgainstWarm, Factor, Growth, Outside, Warmth};
use crate::stats::{Estimate, linear};

/// What is added to what; `Outside`: to TTFT without what was taken off.
#[derive(Clone, Copy)]
enum Of {
    Metric(Metric),
    Outside,
}

/// A cell's level of a factor.
type Level = fn(&Cell) -> Option<u32>;

const ALL: [Of; 3] = [Of::Metric(Metric::Ttft), Of::Outside, Of::Metric(Metric::ItlMean)];

/// One line for each factor with several levels.
pub(super) fn growth(cells: &[CellFound]) -> Vec<Growth> {
    let factors: [(Factor, Level); 2] = [
        (Factor::Concurrency, |cell| Some(cell.concurrency)),
        (Factor::PromptTokens, |cell| cell.prompt_tokens),
    ];
    let each = factors.into_iter().flat_map(|factor| ALL.map(|of| (factor, of)));
    each.filter_map(|((factor, level), of)| of_factor(cells, factor, level, of)).collect()
}

fn of_factor(cells: &[CellFound], factor: Factor, level: Level, of: Of) -> Option<Growth> {
    let (_, metric, outside) = added(cells.first()?, of)?;
    let mut by_level: BTreeMap<u32, Vec<Estimate>> = BTreeMap::new();
    for cell in cells {
        // A cell that lacks the metric leaves its level without partners for the others: no line then.
        by_level
            .entry(level(&cell.cell)?)
            .or_default()
            .push(added(cell, of).filter(|same| same.2 == outside)?.0);
    }
    let levels: Vec<(u32, Estimate)> =
        by_level.iter().filter_map(|(level, all)| Some((*level, linear::mean(all)?))).collect();
    let [first, .., last] = levels.as_slice() else { return None };
    let points: Vec<(f64, Estimate)> = levels.iter().map(|(level, e)| (f64::from(*level), *e)).collect();
    Some(Growth {
        factor,
        metric,
        outside,
        last_less_first: linear::combine(&[(1.0, last.1), (-1.0, first.1)])?,
        slope: if levels.len() > 2 { linear::slope(&points) } else { None },
        levels,
    })
}

/// The mean that is added, with its metric and what was taken off.
fn added(cell: &CellFound, of: Of) -> Option<(Estimate, Metric, Option<Outside>)> {
    match of {
        Of::Metric(metric) => {
            let figure = cell.figures.iter().find(|figure| figure.metric == metric)?;
            Some((figure.added_mean, metric, None))
        }
        Of::Outside => {
            cell.outside.map(|(outside, figure)| (figure.added_mean, figure.metric, Some(outside)))
        }
    }
}

/// One line for each pair of cells that differ in their connections alone: of TTFT, and of what of it lies
/// outside the server.
pub(super) fn cold_against_warm(cells: &[CellFound]) -> Vec<ColdAgainstWarm> {
    let mut all = Vec::new();
    for of in [Of::Metric(Metric::Ttft), Of::Outside] {
        for cold in cells.iter().filter(|cell| cell.cell.connections == Warmth::Cold) {
            let same = Cell { connections: Warmth::Warm, ..cold.cell };
            let Some(warm) = cells.iter().find(|cell| cell.cell == same) else { continue };
            let Some((warm, cold_added)) = added(warm, of).zip(added(cold, of)) else { continue };
            let less = linear::combine(&[(1.0, cold_added.0), (-1.0, warm.0)]);
            all.extend(less.filter(|_| warm.2 == cold_added.2).map(|cold_less_warm| ColdAgainstWarm {
                concurrency: cold.cell.concurrency,
                prompt_tokens: cold.cell.prompt_tokens,
                metric: cold_added.1,
                outside: cold_added.2,
                warm: warm.0,
                cold: cold_added.0,
                cold_less_warm,
            }));
        }
    }
    all
}
