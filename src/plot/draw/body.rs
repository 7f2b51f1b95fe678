//! One violin, or half of one: the density of the values with quartiles, median and mean marked.
//! This file must not know which metric or side it shows.
//!
//! Fewer than [`FEW`] values are drawn as points (a density would be invented), values that are all
//! equal as a line. The density never leaves the data (see `stats::kde`).

use super::canvas::Canvas;
use super::panel::Panel;
use crate::plot::theme::{self, Colour};
use crate::stats::kde::{Density, kde};
use crate::stats::moments::mean;
use crate::stats::quantile::quantile;

/// Below this many values there is no density to speak of.
pub const FEW: usize = 5;
/// Up to this many values are also shown one by one.
const SHOWN_SINGLY: usize = 50;
/// Where there is no density, no more dots.
const DOTS: usize = 2_000;
/// Points of the outline.
const OUTLINE: usize = 151;

/// Which part of the violin is drawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Part {
    Whole,
    LeftHalf,
    RightHalf,
}

/// A violin and its place.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    /// Ascending and finite.
    pub values: &'a [f64],
    pub part: Part,
    /// The axis of symmetry.
    pub x: f64,
    /// From the axis of symmetry to the widest place.
    pub half_width: f64,
    pub colour: Colour,
}

impl Body<'_> {
    /// Draws it on the panel's axis.
    pub fn draw(&self, canvas: &Canvas, panel: &Panel) -> anyhow::Result<()> {
        let (Some(min), Some(max)) = (self.values.first(), self.values.last()) else {
            return Ok(());
        };
        if self.values.len() < FEW {
            return self.points(canvas, panel, 4.0, |_| 0.5);
        }
        if min >= max {
            return self.level(canvas, panel, *min);
        }
        let (lo, hi) = (min.max(panel.axis.lo), max.min(panel.axis.hi));
        let Some(curve) = kde(self.values, lo, hi, OUTLINE) else {
            return self.points(canvas, panel, 2.0, |_| 0.5);
        };
        let widest = curve.density.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        self.outline(canvas, panel, &curve, widest)?;
        if self.values.len() <= SHOWN_SINGLY {
            let width_at = |value: f64| {
                let i = curve.at.partition_point(|x| *x < value);
                curve.density.get(i).map_or(0.0, |d| d / widest)
            };
            self.points(canvas, panel, 2.2, width_at)?;
        }
        self.marks(canvas, panel)
    }

    /// The ends of the violin in units of its half width: −1 is the far left.
    fn reach(&self) -> (f64, f64) {
        match self.part {
            Part::Whole => (-1.0, 1.0),
            Part::LeftHalf => (-1.0, 0.0),
            Part::RightHalf => (0.0, 1.0),
        }
    }

    fn at(&self, offset: f64) -> f64 {
        self.x + offset * self.half_width
    }

    fn outline(&self, canvas: &Canvas, panel: &Panel, curve: &Density, widest: f64) -> anyhow::Result<()> {
        let (left, right) = self.reach();
        let side = |reach: f64| {
            // The straight side of a half needs its two ends only.
            let every = if reach == 0.0 { curve.at.len() - 1 } else { 1 };
            curve
                .at
                .iter()
                .zip(&curve.density)
                .step_by(every.max(1))
                .map(move |(v, d)| (self.at(reach * d / widest), panel.y(*v)))
                .collect::<Vec<_>>()
        };
        let mut shape = side(left);
        shape.extend(side(right).into_iter().rev());
        canvas.fill(&shape, self.colour, theme::FILL)?;
        shape.extend(shape.first().copied());
        canvas.line(&shape, self.colour, 1.0, 1.3)
    }

    /// Each value as a dot, spread sideways evenly within the body and always the same way.
    fn points(
        &self,
        canvas: &Canvas,
        panel: &Panel,
        radius: f64,
        width_at: impl Fn(f64) -> f64,
    ) -> anyhow::Result<()> {
        /// Multiples of the golden ratio fill an interval evenly, however many there are.
        const GOLDEN: f64 = 0.618_033_988_749_895;
        let (left, right) = self.reach();
        // Of so many that they would lie on each other, evenly as many as can be told apart.
        let every = self.values.len().div_ceil(DOTS).max(1);
        let shown = self.values.iter().step_by(every).take_while(|v| **v <= panel.axis.hi);
        for (i, value) in shown.enumerate() {
            let spread = 0.12 + 0.76 * (0.5 + i as f64 * GOLDEN).fract();
            let x = self.at(width_at(*value) * (left + (right - left) * spread));
            canvas.dot((x, panel.y(*value)), radius, self.colour, 0.8)?;
        }
        Ok(())
    }

    /// All values are this one.
    fn level(&self, canvas: &Canvas, panel: &Panel, value: f64) -> anyhow::Result<()> {
        let (left, right) = self.reach();
        let y = panel.y(value);
        canvas.line(&[(self.at(left), y), (self.at(right), y)], self.colour, 1.0, 3.0)
    }

    fn marks(&self, canvas: &Canvas, panel: &Panel) -> anyhow::Result<()> {
        let (Some(q1), Some(median), Some(q3)) =
            (quantile(self.values, 0.25), quantile(self.values, 0.5), quantile(self.values, 0.75))
        else {
            return Ok(());
        };
        let (left, right) = self.reach();
        let box_width = 4.0;
        let from = (self.x + left * box_width, panel.y(q1));
        let to = (self.x + right * box_width, panel.y(q3));
        canvas.rect(from, to, theme::INK, 0.85)?;
        // The median crosses the whole body so that two halves can be compared.
        let y = panel.y(median);
        let reach = 0.45;
        let line = [(self.at(left * reach), y), (self.at(right * reach), y)];
        canvas.line(&line, theme::PAPER, 0.9, 4.0)?;
        canvas.line(&line, theme::INK, 1.0, 2.0)?;
        let Some(mean) = mean(self.values).filter(|m| *m <= panel.axis.hi) else {
            return Ok(());
        };
        let x = self.x + f64::midpoint(left, right) * 9.0;
        diamond(canvas, (x, panel.y(mean)))
    }
}

/// The mark of a mean.
pub fn diamond(canvas: &Canvas, (x, y): (f64, f64)) -> anyhow::Result<()> {
    let shape = |r: f64| [(x, y - r), (x + r, y), (x, y + r), (x - r, y)];
    canvas.fill(&shape(5.2), theme::INK, 1.0)?;
    canvas.fill(&shape(3.6), theme::PAPER, 1.0)
}
