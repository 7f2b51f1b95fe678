//! What going through a gateway adds: the pairs of an audit's two arms, cell by cell, and how it depends on
//! concurrency, prompt size, connections and order. What two requests of a pair share (prompt, place in the
//! leg, users at once) cancels out of their difference; what the requests of a round share makes them one
//! unit, so intervals are over rounds. This module must not know how requests were sent, nor how a figure
//! is shown.
//!
//! - `pairs`: requests put together, and why some have no partner
//! - `cell`: a cell's figures; `growth`, `order`: what they depend on
//! - `arm`: each arm as a load of its own

mod arm;
mod cell;
mod growth;
mod order;
mod pairs;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use crate::record::JoinedRow;
use crate::record::audit::{Arm, CellFound, Found, Plan};
use crate::record::correlated::Correlated;
use crate::stats::rounds::Rounds;

/// Everything an audit says, from all that was recorded of it.
pub fn found(run: &Correlated, plan: &Plan, seed: u64) -> Found {
    let pairs = pairs::pairs(&run.rows);
    let cells: Vec<CellFound> = (0..)
        .zip(&plan.cells)
        .map(|(number, cell)| {
            let of_cell: Vec<&pairs::Pair<'_>> = pairs.iter().filter(|pair| pair.cell == number).collect();
            cell::found(number, *cell, &of_cell, plan.requests_per_user, seed)
        })
        .collect();
    Found {
        direct: plan.direct.clone(),
        through: plan.through.clone(),
        salted: plan.salted,
        own_prompts: plan.own_prompts,
        requests_per_user: plan.requests_per_user,
        spread_s: plan.spread_s,
        growth: growth::growth(&cells),
        cold: growth::cold_against_warm(&cells),
        order: order::effects(&pairs, &plan.cells, seed),
        arms: Arm::BOTH.map(|arm| arm::found(run, arm, seed)).into_iter().collect(),
        cells,
    }
}

/// The legs that requests belong to, as rounds that are known.
pub(super) fn legs(rows: &[JoinedRow]) -> Rounds {
    let (mut last, mut number) = (None, 0);
    let label = |row: &JoinedRow| {
        let leg = (row.client.cell, row.client.round, row.client.arm);
        if last.is_some_and(|last| last != leg) {
            number += 1;
        }
        last = Some(leg);
        (row.client.index, number)
    };
    Rounds::known(rows.iter().map(label).collect::<Vec<_>>().into_iter())
}
