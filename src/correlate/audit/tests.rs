//! Audits on virtual time whose truth is known, and pairs made by hand.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::super::tests::Run;
use super::{cell as of_one, found, order, pairs};
use crate::metric::Metric;
use crate::record::audit::{Arm, Cell, CellFound, Found, Outside, Plan, Warmth};
use crate::record::fixture::{BEGIN, request};
use crate::record::{JoinedRow, RequestRow, Status};
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
    of_one::found(0, CELL, &all.iter().collect::<Vec<_>>(), EACH, 1)
}

fn covers(e: &Estimate, truth: f64) -> bool {
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
        assert!(ttft.added_mean.is_bounded() && outside.added_mean.is_bounded());
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
        let found = format!("{} rounds: mean {mean}, median {median}, outside {outside}", world.rounds);
        assert!((930.0..=970.0).contains(&mean) && (930.0..=970.0).contains(&outside), "{found}");
        // Ten rounds may be too few to bound a median at all.
        assert!(median >= 930.0 && (world.rounds < 20 || median <= 975.0), "{found}");
    }
}

/// A prefix cache that answers the second leg of each round: order is taken out, found, and no scatter.
#[test]
fn an_effect_of_order_is_found_and_widens_nothing() {
    let cached = World { second: -0.005, ..PLAIN };
    let [mean, median, _] = covered(cached, 1_000);
    assert!((930.0..=970.0).contains(&mean) && median >= 930.0, "mean {mean}, median {median}");
    let template = template();
    let width = |world| {
        let e = cell_of(&rows(world, &template, 5)).figures[0].added_mean;
        e.hi - e.lo
    };
    assert!((width(cached) / width(PLAIN) - 1.0).abs() < 1e-6);
    let mut held = 0;
    for seed in 0..500 {
        let rows = rows(cached, &template, seed);
        let effects = order::effects(&pairs::pairs(&rows), &[CELL], 1);
        assert_eq!(effects.iter().map(|e| e.arm).collect::<Vec<_>>(), Arm::BOTH);
        assert_eq!(effects[0].second_less_first.n, 10, "couples of rounds");
        held += u32::from(covers(&effects[0].second_less_first, -0.005));
    }
    assert!((460..=490).contains(&held), "{held} of 500");
}

/// An unequal number of rounds of either order moves no mean.
#[test]
fn a_round_too_many_of_one_order_moves_nothing() {
    let sure = World { hold: 0.0, leg: 0.0, second: -0.005, rounds: 7, ..PLAIN };
    let template = template();
    let values: Vec<f64> =
        (0..40).map(|seed| cell_of(&rows(sure, &template, seed)).figures[0].added_mean.value).collect();
    // What is left is the scatter of single requests: exponential, 1 ms, 84 pairs.
    assert!(
        values.iter().all(|v| (v - sure.truth()).abs() < 5.0 * 0.001 * (2.0_f64 / 84.0).sqrt()),
        "{values:?}"
    );
}

/// Most pairs lose 1 ms and few lose much: the median of what is added is what most lose.
#[test]
fn the_median_of_a_skewed_loss_is_that_of_the_pairs() {
    let template = template();
    let world = World { rounds: 5, added: 0.001, hold: 0.0, second: 0.0, leg: 0.0, round: 0.0 };
    let mut rows = rows(world, &template, 3);
    for row in &mut rows {
        let late = row.client.arm == Some(Arm::Through) && row.client.pair.unwrap() % 4 == 0;
        row.client.ttft_s = Some(
            0.020
                + if row.client.arm == Some(Arm::Through) { 0.001 } else { 0.0 }
                + if late { 0.100 } else { 0.0 },
        );
    }
    let ttft = cell_of(&rows).figures[0];
    assert!((ttft.added_median.value - 0.001).abs() < 1e-9, "{:?}", ttft.added_median);
    assert!((ttft.added_mean.value - 0.026).abs() < 1e-9, "{:?}", ttft.added_mean);
}

fn audit(requests: Vec<RequestRow>, cells: &[Cell]) -> Found {
    let plan = Plan {
        direct: "http://d".to_owned(),
        through: "http://t".to_owned(),
        cells: cells.to_vec(),
        requests_per_user: 1,
        spread_s: 0.1,
        salted: false,
        own_prompts: true,
        legs: Vec::new(),
    };
    found(&Run { requests, ..Run::default() }.correlate(), &plan, 1)
}

/// Six rounds of each cell, two requests a leg, every second round through first; through takes as long
/// as `added` says of the cell's number, in ms.
fn by_hand(cells: &[Cell], added: impl Fn(u32) -> f64) -> Vec<RequestRow> {
    let mut all = Vec::new();
    for round in 0..6_u32 {
        for cell in 0..cells.len() as u32 {
            let arms = if round % 2 == 0 { [Arm::Direct, Arm::Through] } else { [Arm::Through, Arm::Direct] };
            for arm in arms {
                for user in 0..2_u32 {
                    let mut r = request(all.len() as u64);
                    let pair = u64::from((round * cells.len() as u32 + cell) * 2 + user);
                    (r.arm, r.cell, r.round, r.pair) = (Some(arm), Some(cell), Some(round), Some(pair));
                    let more = if arm == Arm::Through { added(cell) / 1e3 } else { 0.0 };
                    // Rounds differ, and alike in both arms.
                    let ttft_s = 0.100 + 0.001 * f64::from(round) + more;
                    r.ttft_s = Some(ttft_s);
                    r.first_token_unix_ns = Some(r.started_unix_ns.plus_seconds(ttft_s));
                    all.push(r);
                }
            }
        }
    }
    all
}

fn cell(concurrency: u32, connections: Warmth) -> Cell {
    Cell { concurrency, connections, ..CELL }
}

#[test]
fn what_is_added_grows_with_what_it_depends_on() {
    let cells = [
        cell(1, Warmth::Warm),
        cell(8, Warmth::Warm),
        cell(32, Warmth::Warm),
        cell(1, Warmth::Cold),
        cell(8, Warmth::Cold),
        cell(32, Warmth::Cold),
    ];
    // 1 ms and 0.5 ms a user, 3 ms more for a new connection; nothing is random.
    let truth = |number: u32| {
        let cell = cells[number as usize];
        1.0 + 0.5 * f64::from(cell.concurrency) + if cell.connections == Warmth::Cold { 3.0 } else { 0.0 }
    };
    let found = audit(by_hand(&cells, truth), &cells);
    let near =
        |e: &Estimate, ms: f64| assert!((e.value - ms / 1e3).abs() < 1e-9 && covers(e, e.value), "{e:?}");
    for (number, cell) in (0..).zip(&found.cells) {
        assert_eq!((cell.pairs, cell.rounds, cell.too_few.as_deref()), (12, 6, None));
        near(&cell.figures[0].added_mean, truth(number));
        near(&cell.figures[0].added_median, truth(number));
        near(&cell.figures[0].direct.mean, 102.5);
    }
    let [ttft, itl] = found.growth.as_slice() else { panic!("{:?}", found.growth) };
    assert_eq!((ttft.metric, itl.metric), (Metric::Ttft, Metric::ItlMean));
    assert_eq!(ttft.levels.iter().map(|(level, _)| *level).collect::<Vec<_>>(), [1, 8, 32]);
    near(&ttft.levels[1].1, 6.5);
    near(&ttft.last_less_first, 15.5);
    near(&ttft.slope.unwrap(), 0.5);
    near(&itl.last_less_first, 0.0);
    assert_eq!(found.cold.iter().map(|c| c.concurrency).collect::<Vec<_>>(), [1, 8, 32]);
    found.cold.iter().for_each(|c| near(&c.cold_less_warm, 3.0));
    // Each arm is a load of its own.
    let tool: Vec<f64> = found.arms.iter().map(|arm| arm.headline[0].tool.unwrap().value).collect();
    assert!((tool[0] - 0.1025).abs() < 1e-9 && (tool[1] - 0.1025 - 0.009_333_333).abs() < 1e-6, "{tool:?}");
}

#[test]
fn a_pair_that_is_none_is_counted_with_its_reason() {
    let cells = [cell(2, Warmth::Warm)];
    let mut requests = by_hand(&cells, |_| 1.0);
    let failed = |r: &mut RequestRow, status, code| {
        (r.status, r.http_status, r.ttft_s) = (status, code, None);
        r.first_token_unix_ns = None;
    };
    // The first leg is direct, the second through, two requests each.
    failed(&mut requests[2], Status::HttpError, Some(502));
    failed(&mut requests[3], Status::Cut, Some(200));
    failed(&mut requests[1], Status::Timeout, None);
    requests.pop();
    let found = audit(requests, &cells);
    let cell = &found.cells[0];
    assert_eq!((cell.begun, cell.pairs, cell.failed), (12, 9, [1, 2]));
    let lost: Vec<(&str, usize)> = cell.lost.iter().map(|(why, n)| (why.as_str(), *n)).collect();
    let expected = [("direct: not sent", 1), ("direct: timeout, through: cut", 1), ("through: HTTP 502", 1)];
    assert_eq!(lost, expected);
    assert_eq!(cell.too_few.as_deref(), Some("9 pairs of 10 at least"));
    // The last round's direct leg is not whole.
    assert_eq!(cell.throughput.unwrap().added_mean.n, 5);
}

#[test]
fn few_rounds_have_no_interval_and_say_so() {
    let cells = [cell(2, Warmth::Warm)];
    let requests: Vec<RequestRow> =
        by_hand(&cells, |_| 1.0).into_iter().filter(|r| r.round < Some(4)).collect();
    let found = audit(requests, &cells);
    assert_eq!(found.cells[0].too_few.as_deref(), Some("4 rounds of 5 at least"));
    assert!(!found.cells[0].figures[0].added_mean.is_bounded());
    assert!(found.growth.is_empty() && found.cold.is_empty());
    assert_eq!(audit(Vec::new(), &cells).cells[0].too_few.as_deref(), Some("no pair"));
}
