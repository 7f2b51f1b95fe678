//! What it does to an arm that its leg is the second of its round: the server's prefix cache may then know
//! the prompts. Each two rounds of a cell have both orders, so each such couple of rounds is one
//! comparison. This file must not know what is added.

use std::collections::{BTreeMap, BTreeSet};

use super::pairs::Pair;
use crate::metric::Metric;
use crate::record::Status;
use crate::record::audit::{Arm, Cell, OrderEffect};
use crate::stats::blocks::Blocks;
use crate::stats::{Estimate, bootstrap, linear, moments};

/// A line for each prompt size and arm that has a couple.
pub(super) fn effects(pairs: &[Pair<'_>], cells: &[Cell], seed: u64) -> Vec<OrderEffect> {
    let sizes: BTreeSet<Option<u32>> = cells.iter().map(|cell| cell.prompt_tokens).collect();
    let mut all = Vec::new();
    for prompt_tokens in sizes {
        for arm in Arm::BOTH {
            let of_size = (0..).zip(cells).filter(|(_, cell)| cell.prompt_tokens == prompt_tokens);
            let each: Vec<Estimate> =
                of_size.filter_map(|(number, _)| effect(pairs, number, arm, seed)).collect();
            let second_less_first = linear::mean(&each);
            all.extend(second_less_first.map(|second_less_first| OrderEffect {
                arm,
                prompt_tokens,
                metric: Metric::Ttft,
                second_less_first,
            }));
        }
    }
    all
}

/// Of one cell.
fn effect(pairs: &[Pair<'_>], cell: u32, arm: Arm, seed: u64) -> Option<Estimate> {
    // Couple → TTFT when the arm was first, and when it was second.
    let mut couples: BTreeMap<u32, [Vec<f64>; 2]> = BTreeMap::new();
    for pair in pairs.iter().filter(|pair| pair.cell == cell) {
        let row = pair.side(arm).filter(|row| row.client.status == Status::Ok);
        if let Some(ttft_s) = row.and_then(|row| row.client.ttft_s) {
            let couple = couples.entry(pair.round / 2).or_default();
            if let Some(side) = couple.get_mut(usize::from(pair.first != arm)) {
                side.push(ttft_s);
            }
        }
    }
    let differences: Vec<f64> = couples
        .values()
        .filter_map(|[first, second]| Some(moments::mean(second)? - moments::mean(first)?))
        .collect();
    bootstrap::of_sums(
        &differences.iter().map(|d| [*d]).collect::<Vec<_>>(),
        Blocks::Rows,
        |sums, n| sums[0] / n,
        seed,
    )
}
