//! Audits on virtual time whose truth is known, and pairs made by hand.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::super::tests::Run;
use super::{cell, pairs};
use crate::metric::Metric;
use crate::record::JoinedRow;
use crate::record::audit::{Arm, Cell, CellFound, Outside, Warmth};
use crate::record::fixture::{BEGIN, request};
use crate::stats::Estimate;

const CELL: Cell = Cell { concurrency: 4, prompt_tokens: Some(50), connections: Warmth::Warm };
const EACH: u32 = 3;

/// A world in which everything is known, seconds.
#[derive(Clone, Copy)]
struct World {
    rounds: u32,
    /// Every request through: this much more.
    added: f64,
    /// And held for a random time up to this.
    hold: f64,
    /// The second leg of a round: this much more.
    second: f64,
    /// Spread of what the requests of a leg share, and of what those of a round share.
    leg: f64,
    round: f64,
}

const PLAIN: World =
    World { rounds: 20, added: 0.000_5, hold: 0.003, second: 0.0, leg: 0.000_4, round: 0.005 };

impl World {
    /// What going through adds, in the mean and at the median: all else is alike on both sides of it.
    fn truth(&self) -> f64 {
        self.added + self.hold / 2.0
    }
}

struct Draw(ChaCha8Rng);

impl Draw {
    fn share(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.share()).ln()
    }

    /// Of mean 0 and this standard deviation, not normal: a sum of four uniform ones.
    fn around(&mut self, sd: f64) -> f64 {
        let sum: f64 = (0..4).map(|_| self.share()).sum();
        (sum - 2.0) * sd * 3_f64.sqrt()
    }
}

/// A joined row as correlation makes it, to be changed.
fn template() -> JoinedRow {
    Run { requests: vec![request(0)], ..Run::default() }.correlate().rows.remove(0)
}

/// All requests of an audit of one cell with a slow drift of the machine.
fn rows(world: World, template: &JoinedRow, seed: u64) -> Vec<JoinedRow> {
    let mut draw = Draw(ChaCha8Rng::seed_from_u64(seed));
    let n = u64::from(CELL.concurrency * EACH);
    let (mut rows, mut direct_first, mut at) = (Vec::new(), true, 0.0);
    for round in 0..world.rounds {
        direct_first = if round % 2 == 0 { draw.share() < 0.5 } else { !direct_first };
        let shared = draw.around(world.round) + 0.000_2 * f64::from(round);
        let prompts: Vec<f64> = (0..n).map(|_| draw.exponential(0.004)).collect();
        let arms = if direct_first { [Arm::Direct, Arm::Through] } else { [Arm::Through, Arm::Direct] };
        for (place, arm) in arms.into_iter().enumerate() {
            let leg = draw.around(world.leg) + if place == 1 { world.second } else { 0.0 };
            for (i, prompt) in (0..n).zip(&prompts) {
                let engine = 0.020 + shared + leg + prompt + draw.exponential(0.001);
                let gateway = match arm {
                    Arm::Direct => 0.0,
                    Arm::Through => world.added + world.hold * draw.share(),
                };
                let mut row = template.clone();
                let index = rows.len() as u64;
                row.client = request(index);
                row.client.started_unix_ns = BEGIN.plus_seconds(at);
                (row.client.arm, row.client.cell, row.client.round) = (Some(arm), Some(0), Some(round));
                row.client.pair = Some(u64::from(round) * n + i);
                row.client.ttft_s = Some(engine + gateway);
                row.server_ttft_s = Some(engine);
                rows.push(row);
                at += 0.01;
            }
        }
    }
    rows
}

fn cell_of(rows: &[JoinedRow]) -> CellFound {
    let all = pairs::pairs(rows);
    cell::found(0, CELL, &all.iter().collect::<Vec<_>>(), EACH, 1)
}

fn covers(e: &Estimate, truth: f64) -> bool {
    assert!(e.is_bounded(), "{e:?}");
    e.lo <= truth && truth <= e.hi
}

/// How many of a thousand simulated audits hold the truth: mean, median, and mean outside the server.
fn covered(world: World, audits: u64) -> [f64; 3] {
    let template = template();
    let mut held = [0_u32; 3];
    for seed in 0..audits {
        let cell = cell_of(&rows(world, &template, seed));
        let ttft = cell.figures[0];
        let (of, outside) = cell.outside.unwrap();
        assert_eq!((ttft.metric, of), (Metric::Ttft, Outside::Server));
        let all = [ttft.added_mean, ttft.added_median, outside.added_mean];
        for (held, e) in held.iter_mut().zip(&all) {
            *held += u32::from(covers(e, world.truth()));
        }
    }
    held.map(|held| 1_000.0 * f64::from(held) / audits as f64)
}

#[test]
fn what_is_added_is_covered_as_often_as_the_interval_says() {
    for world in [PLAIN, World { rounds: 10, ..PLAIN }, World { rounds: 40, leg: 0.0, ..PLAIN }] {
        let [mean, median, outside] = covered(world, 1_000);
        println!("{} rounds: {mean} {median} {outside}", world.rounds);
        assert!((930.0..=970.0).contains(&mean), "{} rounds: {mean} of 1000", world.rounds);
        assert!((930.0..=970.0).contains(&outside), "{} rounds: {outside} of 1000", world.rounds);
        assert!((930.0..=990.0).contains(&median), "{} rounds: {median} of 1000", world.rounds);
    }
}
