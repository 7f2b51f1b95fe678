//! In which order an audit's legs are sent: pure and seeded. Every sweep has a round of each cell, in an
//! order of its own, so that what changes with time falls on all alike; of each two rounds of a cell one
//! begins straight and one through, whichever first. This file must not know clocks, prompts or sockets.

use crate::record::audit::{Arm, Cell, Leg};
use crate::workload::draw::Draw;

/// Streams of chance; each number is used for one thing for ever.
const ORDER: u64 = 0x6f72_6465;
const STARTS: u64 = 0x5354_0000_0000_0000;

/// Both legs of one round, in the order in which they are sent.
pub(super) type Round = [Leg; 2];

/// The rounds of an audit, one after another, without end.
pub(super) struct Schedule {
    cells: Vec<Cell>,
    requests_each: u32,
    /// Prompts of the dataset, where there is one.
    prompts: Option<u64>,
    draw: Draw,
    seed: u64,
    sweep: u32,
    /// Cells that this sweep has still to come to, the next one last.
    waiting: Vec<u32>,
    /// Which arm each cell's last even round began with.
    began_with: Vec<Arm>,
    next_index: u64,
    next_pair: u64,
}

impl Schedule {
    pub(super) fn new(cells: Vec<Cell>, requests_each: u32, prompts: Option<u64>, seed: u64) -> Self {
        let began_with = vec![Arm::Direct; cells.len()];
        let draw = Draw::new(seed, ORDER);
        Self {
            cells,
            requests_each,
            prompts,
            draw,
            seed,
            sweep: 0,
            waiting: Vec::new(),
            began_with,
            next_index: 0,
            next_pair: 0,
        }
    }

    /// When the users of a round start, in seconds after the leg's begin: at random within `spread_s`, the
    /// first at once; the same in both legs.
    pub(super) fn starts_s(&self, leg: &Leg, spread_s: f64) -> Vec<f64> {
        let users = self.cells.get(leg.cell as usize).map_or(0, |cell| cell.concurrency);
        let purpose = STARTS | u64::from(leg.cell) << 32 | u64::from(leg.round);
        let mut draw = Draw::new(self.seed, purpose);
        let grains = (spread_s * 1e6) as u64;
        let mut starts: Vec<u64> = (0..users).map(|_| draw.below(grains)).collect();
        starts.sort_unstable();
        let first = starts.first().copied().unwrap_or(0);
        starts.iter().map(|start| (start - first) as f64 / 1e6).collect()
    }

    fn first_arm(&mut self, cell: u32) -> Arm {
        let Some(last) = self.began_with.get_mut(cell as usize) else { return Arm::Direct };
        *last = match (self.sweep.is_multiple_of(2), *last) {
            (true, _) if self.draw.below(2) == 0 => Arm::Direct,
            (true, _) | (false, Arm::Direct) => Arm::Through,
            (false, Arm::Through) => Arm::Direct,
        };
        *last
    }
}

impl Iterator for Schedule {
    type Item = Round;

    fn next(&mut self) -> Option<Round> {
        if self.waiting.is_empty() {
            let all: Vec<u32> = (0..self.cells.len() as u32).collect();
            self.waiting = self.draw.sample(all, self.cells.len());
        }
        let cell = self.waiting.pop()?;
        let users = self.cells.get(cell as usize)?.concurrency;
        let requests = u64::from(users) * u64::from(self.requests_each);
        let first = self.first_arm(cell);
        let second = if first == Arm::Direct { Arm::Through } else { Arm::Direct };
        let round =
            [(first, self.next_index), (second, self.next_index + requests)].map(|(arm, index)| Leg {
                arm,
                cell,
                round: self.sweep,
                first_index: index,
                first_pair: self.next_pair,
                requests,
                prompts: self.prompts,
            });
        self.next_index += 2 * requests;
        self.next_pair += requests;
        if self.waiting.is_empty() {
            self.sweep += 1;
        }
        Some(round)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::record::audit::Warmth;

    fn cells(concurrency: &[u32]) -> Vec<Cell> {
        let cell = |n: &u32| Cell { concurrency: *n, prompt_tokens: Some(50), connections: Warmth::Warm };
        concurrency.iter().map(cell).collect()
    }

    fn rounds(seed: u64, n: usize) -> Vec<Round> {
        Schedule::new(cells(&[1, 4, 8]), 3, None, seed).take(n).collect()
    }

    #[test]
    fn each_sweep_has_each_cell_once_and_each_two_rounds_of_a_cell_both_orders() {
        for seed in 0..20 {
            let all = rounds(seed, 60);
            for (sweep, cells) in all.chunks(3).enumerate() {
                let mut seen: Vec<u32> = cells.iter().map(|round| round[0].cell).collect();
                seen.sort_unstable();
                assert_eq!(seen, [0, 1, 2]);
                assert!(cells.iter().all(|round| round[0].round == sweep as u32));
            }
            let mut first: BTreeMap<(u32, u32), Vec<Arm>> = BTreeMap::new();
            for [leg, other] in &all {
                assert_ne!(leg.arm, other.arm);
                first.entry((leg.cell, leg.round / 2)).or_default().push(leg.arm);
            }
            assert!(first.values().all(|couple| couple.len() == 2 && couple[0] != couple[1]));
        }
    }

    #[test]
    fn either_order_comes_first_and_cells_come_in_any_order() {
        let first: Vec<Arm> = (0..200).map(|seed| rounds(seed, 1)[0][0].arm).collect();
        let direct = first.iter().filter(|arm| **arm == Arm::Direct).count();
        assert!((70..130).contains(&direct), "{direct} of 200");
        let cells: std::collections::BTreeSet<u32> = (0..50).map(|seed| rounds(seed, 1)[0][0].cell).collect();
        assert_eq!(cells.len(), 3);
    }

    #[test]
    fn numbers_of_requests_go_on_and_pairs_are_shared_by_a_rounds_legs() {
        let mut index = 0;
        let mut pair = 0;
        for [first, second] in rounds(7, 30) {
            let n = first.requests;
            assert_eq!((first.first_index, second.first_index, second.requests), (index, index + n, n));
            assert_eq!((first.first_pair, second.first_pair), (pair, pair));
            assert_eq!(second.pair(second.first_index + n - 1), pair + n - 1);
            (index, pair) = (index + 2 * n, pair + n);
        }
    }

    #[test]
    fn users_start_alike_by_both_ways_and_differently_in_each_round() {
        let schedule = Schedule::new(cells(&[8]), 3, None, 1);
        let all: Vec<Round> = Schedule::new(cells(&[8]), 3, None, 1).take(2).collect();
        let starts = |leg: &Leg| schedule.starts_s(leg, 0.1);
        assert_eq!(starts(&all[0][0]), starts(&all[0][1]));
        assert_ne!(starts(&all[0][0]), starts(&all[1][0]));
        let one = starts(&all[0][0]);
        assert!(one.len() == 8 && one[0] == 0.0 && one.is_sorted() && one[7] < 0.1, "{one:?}");
        assert_eq!(schedule.starts_s(&all[0][0], 0.0), vec![0.0; 8]);
    }
}
