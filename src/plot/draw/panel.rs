//! One metric's column of a figure: heading, vertical axis with grid lines, and the table below it.
//! This file must not know which metric it shows.

use super::axis::Axis;
use super::canvas::{self, Align, Canvas, Ink};
use crate::plot::theme::{self, Colour};
use crate::units;

/// Below the top of the column.
const HEADING_AT: f64 = 8.0;
const ABOUT_AT: f64 = 25.0;
const AXIS_FROM: f64 = 44.0;
const AXIS_TO: f64 = 268.0;
/// Room for tick labels.
const LABELS: f64 = 46.0;
/// From the axis to the first row of the table, and from row to row.
const FIRST_ROW: f64 = 18.0;
const ROW: f64 = 16.5;

/// An axis at its place on the canvas.
#[derive(Clone, Debug)]
pub struct Panel {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
    pub axis: Axis,
}

impl Panel {
    /// The panel of a column from `left` to `right` that begins at `top`.
    pub fn in_column((left, right): (f64, f64), top: f64, axis: Axis) -> Self {
        Self { left: left + LABELS, right: right - 8.0, top: top + AXIS_FROM, bottom: top + AXIS_TO, axis }
    }

    /// Heading (with the axis' unit) and what it is, grid lines and tick labels.
    pub fn draw(&self, canvas: &Canvas, heading: &str, about: &str) -> anyhow::Result<()> {
        let (left, top) = (self.left - LABELS, self.top - AXIS_FROM);
        let heading = format!("{heading} ({})", self.axis.scale.name);
        let bold = Ink::new(theme::HEADING, theme::INK).bold();
        canvas.text(&heading, (left, top + HEADING_AT), bold)?;
        let quiet = Ink::new(theme::SMALL, theme::QUIET);
        let about = canvas::fit(&self.axis.honest(about), theme::SMALL, self.right - left);
        canvas.text(&about, (left, top + ABOUT_AT), quiet)?;
        for tick in &self.axis.ticks {
            let y = self.y(*tick);
            canvas.line(&[(self.left, y), (self.right, y)], theme::GRID, 1.0, 1.0)?;
            let at = (self.left - 6.0, y);
            canvas.text(&self.axis.label(*tick), at, quiet.align(Align::Right))?;
        }
        let spine = [(self.left, self.top), (self.left, self.bottom)];
        canvas.line(&spine, theme::AXIS, 1.0, 1.0)?;
        if self.axis.lo == 0.0 {
            let base = [(self.left, self.bottom), (self.right, self.bottom)];
            canvas.line(&base, theme::AXIS, 1.0, 1.0)?;
        }
        Ok(())
    }

    /// The height of a value on the canvas; values off the axis stand at its end.
    pub fn y(&self, value: f64) -> f64 {
        self.bottom - self.axis.fraction(value) * (self.bottom - self.top)
    }

    /// The horizontal middle.
    pub fn middle(&self) -> f64 {
        f64::midpoint(self.left, self.right)
    }

    /// The height of a row of the table below.
    pub fn row(&self, row: usize) -> f64 {
        self.bottom + FIRST_ROW + ROW * row as f64
    }

    /// The word at the left of a row.
    pub fn row_name(&self, canvas: &Canvas, row: usize, name: &str) -> anyhow::Result<()> {
        let ink = Ink::new(theme::SMALL, theme::QUIET).align(Align::Right);
        canvas.text(name, (self.left - 6.0, self.row(row)), ink)
    }

    /// A text in a row, its middle at `x`.
    pub fn cell(&self, canvas: &Canvas, row: usize, x: f64, text: &str) -> anyhow::Result<()> {
        let ink = Ink::new(theme::SMALL, theme::INK).align(Align::Centre);
        canvas.text(text, (x, self.row(row)), ink)
    }

    /// A text over the column's whole width.
    pub fn note(&self, canvas: &Canvas, row: usize, text: &str, colour: Colour) -> anyhow::Result<()> {
        let ink = Ink::new(theme::SMALL, colour);
        canvas.text(text, (self.left - LABELS, self.row(row)), ink)
    }

    /// Says where the axis ends and how many of these sets' values lie beyond, if any do.
    pub fn beyond(&self, canvas: &Canvas, row: usize, sets: &[&[f64]]) -> anyhow::Result<()> {
        let Some(q) = self.axis.ends_at else {
            return Ok(());
        };
        let counts: Vec<String> = sets.iter().map(|s| units::count(self.axis.beyond(s) as u64)).collect();
        let max = sets.iter().filter_map(|s| s.last()).copied().fold(f64::NEG_INFINITY, f64::max);
        let text = format!(
            "axis ends at p{:.0}: {} beyond, max {}",
            q * 100.0,
            counts.join(" | "),
            self.axis.scale.number(max)
        );
        self.note(canvas, row, &text, theme::NOTE)
    }
}
