//! The studentised block bootstrap of a statistic of sums: what is drawn, and each resample's t. This
//! file must not know how long blocks should be, nor how an interval is made of the t.
//!
//! Blocks are circular (the first rows follow the last), so that every row is drawn equally often. The
//! sums of every block are known before the first is drawn, so a resample costs as many steps as it
//! has blocks.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::blocks::Cells;
use super::estimate::LEVEL;

/// The step of a central difference, as a share of a column's size: its error is the square of it.
const STEP: f64 = 1e-4;
/// No t is believed beyond this. A sample whose spread is that of a few large values has resamples
/// with none of them, whose standard error is next to nothing and whose t is next to infinite. For a
/// single such value the exact (Poisson) bounds of its count are 4.6 standard errors above and 1
/// below, for two 3.7 and 1.3: nearer than this.
const FURTHEST_T: f64 = 6.0;

/// A sum that is less than this share of its terms is zero but for rounding, and no denominator.
const NOTHING: f64 = 1e-12;

/// Rows whose statistic is resampled.
pub(super) struct Sample<const K: usize, F> {
    statistic: F,
    n: f64,
    sums: [f64; K],
    mean: [f64; K],
    /// How large a value of the column is, for the steps of differences.
    scale: [f64; K],
}

/// The 2.5 % and 97.5 % points of the resamples' t; infinite where too many have none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tails {
    pub lower: f64,
    pub upper: f64,
}

impl<const K: usize, F: Fn(&[f64; K], f64) -> f64> Sample<K, F> {
    pub(super) fn new(rows: &[[f64; K]], statistic: F) -> Self {
        let n = rows.len() as f64;
        let mut sums = [0.0; K];
        for row in rows {
            add(&mut sums, row);
        }
        let mean = sums.map(|sum| sum / n);
        let mut squares = [0.0; K];
        for row in rows {
            for ((square, x), m) in squares.iter_mut().zip(row).zip(&mean) {
                *square += (x - m) * (x - m);
            }
        }
        let mut scale = squares.map(|square| (square / n).sqrt());
        for (size, m) in scale.iter_mut().zip(&mean) {
            *size += m.abs();
        }
        Self { statistic, n, sums, mean, scale }
    }

    /// The statistic of all rows.
    pub(super) fn value(&self) -> f64 {
        (self.statistic)(&self.sums, self.n)
    }

    /// How far each row moves the statistic, and the size of the terms that this is a difference of.
    pub(super) fn influences(&self, rows: &[[f64; K]]) -> (Vec<f64>, f64) {
        let gradient = self.gradient(&self.sums, self.n);
        let influences = rows.iter().map(|row| dot(&gradient, &minus(row, &self.mean))).collect();
        let grain = gradient.iter().zip(&self.mean).map(|(g, m)| (g * m).abs()).sum();
        (influences, grain)
    }

    /// The statistic's derivatives by the sums, at `sums` of `count` rows.
    fn gradient(&self, sums: &[f64; K], count: f64) -> [f64; K] {
        let mut gradient = [0.0; K];
        for ((k, slope), scale) in gradient.iter_mut().enumerate().zip(&self.scale) {
            let step = STEP * scale * count;
            let moved = |by: f64| {
                let mut at = *sums;
                if let Some(sum) = at.get_mut(k) {
                    *sum += by;
                }
                (self.statistic)(&at, count)
            };
            // A column of zeros moves nothing.
            if step != 0.0 {
                *slope = (moved(step) - moved(-step)) / (2.0 * step);
            }
        }
        gradient
    }

    /// The tails of t over `resamples` resamples of circular blocks of `block` cells.
    pub(super) fn studentised(
        &self,
        rows: &[[f64; K]],
        cells: &Cells,
        block: usize,
        resamples: usize,
        seed: u64,
    ) -> Tails {
        let at = self.blocks(rows, cells, block);
        let value = self.value();
        // At least two: one block has no spread.
        let blocks = cells.len().div_ceil(block).max(2);
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Multiply and shift maps 32 random bits to an index; the bias is below cells / 2³².
        let drawn_by = |bits: u64| at.get((((bits & 0xffff_ffff) * at.len() as u64) >> 32) as usize).copied();
        let mut drawn = Vec::with_capacity(blocks + 1);
        let t: Vec<f64> = (0..resamples)
            .map(|_| {
                drawn.clear();
                while drawn.len() < blocks {
                    let bits = rng.next_u64();
                    drawn.extend(drawn_by(bits));
                    drawn.extend(drawn_by(bits >> 32));
                }
                drawn.truncate(blocks);
                self.t(&drawn, value)
            })
            .collect();
        tails(&t)
    }

    /// The block that begins at each cell, from the running sums of the cells: those at its end less
    /// those at its begin. All less the mean, since differences of large sums would be inexact.
    fn blocks(&self, rows: &[[f64; K]], cells: &Cells, block: usize) -> Vec<Part<K>> {
        let each: Vec<Part<K>> = cells
            .of(rows)
            .map(|cell| {
                let mut sums = [0.0; K];
                for row in cell {
                    add(&mut sums, &minus(row, &self.mean));
                }
                Part { sums, count: cell.len() as f64 }
            })
            .collect();
        if block == 1 {
            return each;
        }
        let mut so_far = Part { sums: [0.0; K], count: 0.0 };
        let mut running = vec![so_far];
        running.extend(each.iter().cycle().take(each.len() + block - 1).map(|part| {
            add(&mut so_far.sums, &part.sums);
            so_far.count += part.count;
            so_far
        }));
        let ends = running.iter().skip(block);
        running
            .iter()
            .zip(ends)
            .map(|(from, to)| Part { sums: minus(&to.sums, &from.sums), count: to.count - from.count })
            .collect()
    }

    /// (statistic of the blocks − `value`) / its standard error, from the spread of the blocks.
    fn t(&self, drawn: &[Part<K>], value: f64) -> f64 {
        let (mut beyond, mut count) = ([0.0; K], 0.0);
        for part in drawn {
            add(&mut beyond, &part.sums);
            count += part.count;
        }
        let mut sums = self.mean.map(|m| m * count);
        add(&mut sums, &beyond);
        for (sum, scale) in sums.iter_mut().zip(&self.scale) {
            if sum.abs() < NOTHING * scale * count {
                *sum = 0.0;
            }
        }
        let difference = (self.statistic)(&sums, count) - value;
        if !difference.is_finite() {
            return f64::NAN;
        }
        let gradient = self.gradient(&sums, count);
        let per_row = dot(&gradient, &beyond) / count;
        let squares: f64 = drawn
            .iter()
            .map(|part| {
                let influence = dot(&gradient, &part.sums) - per_row * part.count;
                influence * influence
            })
            .sum();
        let blocks = drawn.len() as f64;
        let t = difference / (squares * blocks / (blocks - 1.0)).sqrt();
        if difference == 0.0 { 0.0 } else { t.clamp(-FURTHEST_T, FURTHEST_T) }
    }
}

/// Sums over rows, less the mean, and how many rows.
#[derive(Clone, Copy)]
struct Part<const K: usize> {
    sums: [f64; K],
    count: f64,
}

/// A resample without a t may lie on either side.
fn tails(t: &[f64]) -> Tails {
    let tail = (1.0 - LEVEL) / 2.0;
    let point = |level: f64, unknown: f64| {
        let mut t: Vec<f64> = t.iter().map(|t| if t.is_nan() { unknown } else { *t }).collect();
        t.sort_unstable_by(f64::total_cmp);
        let at = (level * t.len().saturating_sub(1) as f64).round() as usize;
        t.get(at).copied().unwrap_or(unknown)
    };
    Tails { lower: point(tail, f64::NEG_INFINITY), upper: point(1.0 - tail, f64::INFINITY) }
}

fn add<const K: usize>(sums: &mut [f64; K], row: &[f64; K]) {
    for (sum, x) in sums.iter_mut().zip(row) {
        *sum += x;
    }
}

fn minus<const K: usize>(a: &[f64; K], b: &[f64; K]) -> [f64; K] {
    let mut out = *a;
    for (x, y) in out.iter_mut().zip(b) {
        *x -= y;
    }
    out
}

fn dot<const K: usize>(a: &[f64; K], b: &[f64; K]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
