//! What it does to an arm that its leg is the second of its round: the server's prefix cache may then know
//! the prompts. Each two rounds of a cell have both orders, so each such couple of rounds is one
//! comparison. This file must not know what is added.

use std::collections::BTreeMap;

use super::pairs::Pair;
use crate::metric::Metric;
use crate::record::Status;
use crate::record::audit::{Arm, OrderEffect};
use crate::stats::blocks::Blocks;
use crate::stats::{bootstrap, moments};

/// A line for each arm that has a couple.
pub(super) fn effects(pairs: &[Pair<'_>], seed: u64) -> Vec<OrderEffect> {
    Arm::BOTH.iter().filter_map(|arm| effect(pairs, *arm, seed)).collect()
}

fn effect(pairs: &[Pair<'_>], arm: Arm, seed: u64) -> Option<OrderEffect> {
    // Cell and couple → TTFT when the arm was first, and when it was second.
    let mut couples: BTreeMap<(u32, u32), [Vec<f64>; 2]> = BTreeMap::new();
    for pair in pairs {
        let row = pair.side(arm).filter(|row| row.client.status == Status::Ok);
        if let Some(ttft_s) = row.and_then(|row| row.client.ttft_s) {
            let couple = couples.entry((pair.round / 2, pair.cell)).or_default();
            if let Some(side) = couple.get_mut(usize::from(pair.first != arm)) {
                side.push(ttft_s);
            }
        }
    }
    let differences: Vec<f64> = couples
        .values()
        .filter_map(|[first, second]| Some(moments::mean(second)? - moments::mean(first)?))
        .collect();
    let second_less_first = bootstrap::mean(&differences, Blocks::Rows, seed)?;
    Some(OrderEffect { arm, metric: Metric::Ttft, second_less_first })
}
