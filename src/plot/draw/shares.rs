//! A panel of curves: which share of values lies at or below a value. This file must not know whose values they are.
//!
//! The bands are Dvoretzky, Kiefer and Wolfowitz's with Massart's constant: with 95 % probability the true curve of
//! independent values lies within ±√(ln(2 / 0.05) / 2n) of the drawn one everywhere at once.

use super::axis::Axis;
use super::canvas::{Align, Canvas, Ink};
use crate::plot::theme::{self, Colour};
use crate::stats::LEVEL;
use crate::units;

/// Panels side by side.
pub const ACROSS: usize = 2;
/// Height of a row of panels.
pub const ROW: f64 = 320.0;
/// What the bands are, for the legend.
pub const BAND: &str = "band: 95 % for the whole curve, of independent values (Dvoretzky–Kiefer–Wolfowitz)";
const LABELS: f64 = 48.0;
const PLOT_TOP: f64 = 36.0;
const PLOT_BOTTOM: f64 = 264.0;
/// Most points of a curve: more than pixels can show.
const POINTS: usize = 400;

/// A panel at its place.
pub struct Shares {
    axis: Axis,
    left: f64,
    right: f64,
    top: f64,
}

impl Shares {
    /// The panel of a column from `left` to `right` that begins at `top`.
    pub fn in_column((left, right): (f64, f64), top: f64, axis: Axis) -> Self {
        Self { axis, left: left + LABELS, right: right - 10.0, top }
    }

    fn x(&self, value: f64) -> f64 {
        self.left + self.axis.fraction(value) * (self.right - self.left)
    }

    fn y(&self, share: f64) -> f64 {
        self.top + PLOT_BOTTOM - share.clamp(0.0, 1.0) * (PLOT_BOTTOM - PLOT_TOP)
    }

    /// Heading (with the axis' unit) and what it is, grid lines and tick labels.
    pub fn draw(&self, canvas: &Canvas, heading: &str, about: &str) -> anyhow::Result<()> {
        let at = self.top + 12.0;
        let heading = format!("{heading} ({})", self.axis.scale.name);
        canvas.text(&heading, (self.left - LABELS, at), Ink::new(theme::HEADING, theme::INK).bold())?;
        let ink = Ink::new(theme::SMALL, theme::QUIET);
        canvas.text(&self.axis.honest(about), (self.right, at), ink.align(Align::Right))?;
        for percent in [0, 25, 50, 75, 90, 100] {
            let y = self.y(f64::from(percent) / 100.0);
            canvas.line(&[(self.left, y), (self.right, y)], theme::GRID, 1.0, 1.0)?;
            canvas.text(&format!("{percent} %"), (self.left - 6.0, y), ink.align(Align::Right))?;
        }
        let bottom = self.y(0.0);
        for tick in &self.axis.ticks {
            let x = self.x(*tick);
            canvas.line(&[(x, self.y(1.0)), (x, bottom)], theme::GRID, 1.0, 1.0)?;
            canvas.text(&self.axis.label(*tick), (x, bottom + 12.0), ink.align(Align::Centre))?;
        }
        canvas.line(&[(self.left, bottom), (self.right, bottom)], theme::AXIS, 1.0, 1.0)
    }

    /// The curve of ascending values, with its band. A wide one is seen below a narrow one that is the same.
    pub fn curve(&self, canvas: &Canvas, values: &[f64], colour: Colour, width: f64) -> anyhow::Result<()> {
        let n = values.len();
        let shown = n - self.axis.beyond(values);
        let every = n.div_ceil(POINTS).max(1);
        let mut steps = vec![(self.axis.lo, 0.0)];
        let mut share = 0.0;
        for (i, value) in values.iter().enumerate().take(shown) {
            if i % every == 0 || i + 1 == shown {
                steps.push((*value, share));
                share = (i + 1) as f64 / n as f64;
                steps.push((*value, share));
            }
        }
        steps.push((self.axis.hi, share));
        let band = ((2.0 / (1.0 - LEVEL)).ln() / (2.0 * n as f64)).sqrt();
        let shifted = |by: f64| steps.iter().map(move |(v, s)| (self.x(*v), self.y(s + by)));
        let around: Vec<(f64, f64)> = shifted(band).chain(shifted(-band).rev()).collect();
        canvas.fill(&around, colour, 0.15)?;
        let line: Vec<(f64, f64)> = shifted(0.0).collect();
        canvas.line(&line, colour, 1.0, width)
    }

    /// Says where the axis ends and how many of these sets' values lie beyond, if any do.
    pub fn beyond(&self, canvas: &Canvas, sets: &[&[f64]]) -> anyhow::Result<()> {
        let Some(q) = self.axis.ends_at else { return Ok(()) };
        let counts: Vec<String> = sets.iter().map(|set| units::count(self.axis.beyond(set) as u64)).collect();
        let text = format!("axis ends at p{:.0}: {} beyond", q * 100.0, counts.join(" | "));
        canvas.text(&text, (self.left, self.y(0.0) + 30.0), Ink::new(theme::SMALL, theme::NOTE))
    }
}
