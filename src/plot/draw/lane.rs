//! A lane of a figure over time: its heading and legend, its axis from zero, lines, steps and bands on an axis that all
//! lanes share. This file must not know what is drawn.

use super::axis::Axis;
use super::canvas::{self, Align, Canvas, Ink};
use crate::plot::theme::{self, Colour};

/// Room for tick labels.
const LABELS: f64 = 46.0;
/// From the top of a lane to its axis: the heading's room.
pub const HEAD: f64 = 26.0;
/// How strong what lies behind is.
pub const SHADE: f64 = 0.55;
/// Up to so many points are marked one by one.
const MARKED: usize = 120;

/// A lane at its place.
pub struct Lane<'a> {
    pub x: &'a Axis,
    pub y: Axis,
    /// Of the lane, its heading included.
    pub top: f64,
    pub height: f64,
}

/// How a line looks.
#[derive(Clone, Copy)]
pub struct Stroke {
    pub colour: Colour,
    pub width: f64,
    pub opacity: f64,
}

impl Stroke {
    pub fn new(colour: Colour, width: f64) -> Self {
        Self { colour, width, opacity: 1.0 }
    }
}

/// Where lanes begin and end, from left to right.
pub fn reach() -> (f64, f64) {
    (theme::MARGIN + LABELS, theme::WIDTH - theme::MARGIN - 6.0)
}

/// Where a moment lies.
pub fn x(axis: &Axis, at: f64) -> f64 {
    let (left, right) = reach();
    left + axis.fraction(at) * (right - left)
}

impl Lane<'_> {
    fn bottom(&self) -> f64 {
        self.top + self.height
    }

    fn y(&self, value: f64) -> f64 {
        let top = self.top + HEAD;
        self.bottom() - self.y.fraction(value) * (self.bottom() - top)
    }

    fn x(&self, at: f64) -> f64 {
        x(self.x, at)
    }

    /// Something behind what is drawn.
    pub fn shade(&self, canvas: &Canvas, from: f64, to: f64, colour: Colour) -> anyhow::Result<()> {
        canvas.rect((self.x(from), self.top + HEAD), (self.x(to), self.bottom()), colour, SHADE)
    }

    /// Heading, legend, grid lines and tick labels.
    pub fn draw(&self, canvas: &Canvas, heading: &str, legend: &[(Stroke, String)]) -> anyhow::Result<()> {
        let (left, right) = reach();
        let at = self.top + 10.0;
        canvas.text(heading, (left - LABELS, at), Ink::new(theme::HEADING, theme::INK).bold())?;
        let quiet = Ink::new(theme::SMALL, theme::QUIET);
        let mut end = right;
        for (stroke, name) in legend.iter().rev() {
            let width = canvas::width_of(name, theme::SMALL);
            canvas.text(name, (end, at), quiet.align(Align::Right))?;
            end -= width + 6.0;
            let key = [(end - 16.0, at), (end, at)];
            canvas.line(&key, stroke.colour, stroke.opacity, stroke.width)?;
            end -= 34.0;
        }
        for tick in &self.y.ticks {
            let y = self.y(*tick);
            canvas.line(&[(left, y), (right, y)], theme::GRID, 1.0, 1.0)?;
            canvas.text(&self.y.label(*tick), (left - 6.0, y), quiet.align(Align::Right))?;
        }
        let bottom = self.bottom();
        canvas.line(&[(left, bottom), (right, bottom)], theme::AXIS, 1.0, 1.0)
    }

    /// The labels of the axis that all lanes share, below this one.
    pub fn ticks(&self, canvas: &Canvas, name: &str) -> anyhow::Result<()> {
        let quiet = Ink::new(theme::SMALL, theme::QUIET);
        let bottom = self.bottom();
        for tick in &self.x.ticks {
            let x = self.x(*tick);
            canvas.line(&[(x, bottom), (x, bottom + 4.0)], theme::AXIS, 1.0, 1.0)?;
            canvas.text(&self.x.label(*tick), (x, bottom + 13.0), quiet.align(Align::Centre))?;
        }
        canvas.text(name, (reach().1, bottom + 29.0), quiet.align(Align::Right))
    }

    /// A line through points in the order of time, each marked while there is room. Of many that share a pixel the
    /// first, the least, the most and the last are drawn: no peak is lost.
    pub fn line(
        &self,
        canvas: &Canvas,
        points: impl Iterator<Item = (f64, f64)>,
        stroke: Stroke,
    ) -> anyhow::Result<()> {
        let on_axis = points.filter(|(at, v)| (self.x.lo..=self.x.hi).contains(at) && v.is_finite());
        let places: Vec<(f64, f64)> = on_axis.map(|(at, v)| (self.x(at), self.y(v))).collect();
        if places.len() <= MARKED {
            for at in &places {
                canvas.dot(*at, stroke.width + 0.4, stroke.colour, stroke.opacity)?;
            }
        }
        if places.len() < 2 {
            return Ok(());
        }
        canvas.line(&thinned(&places), stroke.colour, stroke.opacity, stroke.width)
    }

    /// Values that hold from one moment to another; one that is not there breaks the line.
    pub fn steps(
        &self,
        canvas: &Canvas,
        stretches: impl Iterator<Item = (f64, f64, Option<f64>)>,
        stroke: Stroke,
    ) -> anyhow::Result<()> {
        let mut run: Vec<(f64, f64)> = Vec::new();
        let draw = |run: &[(f64, f64)]| match run.len() {
            0 | 1 => Ok(()),
            _ => canvas.line(&thinned(run), stroke.colour, stroke.opacity, stroke.width),
        };
        for (from, to, value) in stretches {
            let (from, to) = (from.clamp(self.x.lo, self.x.hi), to.clamp(self.x.lo, self.x.hi));
            match value.filter(|v| v.is_finite()) {
                Some(v) if to > from => {
                    let begins = (self.x(from), self.y(v));
                    if run.last().is_some_and(|(x, _)| begins.0 - x > 0.5) {
                        draw(&run)?;
                        run.clear();
                    }
                    run.extend([begins, (self.x(to), self.y(v))]);
                }
                Some(_) => {}
                None => {
                    draw(&run)?;
                    run.clear();
                }
            }
        }
        draw(&run)
    }

    /// What lies between two values, stretch by stretch.
    pub fn band(
        &self,
        canvas: &Canvas,
        stretches: impl Iterator<Item = (f64, f64, (f64, f64))>,
        colour: Colour,
    ) -> anyhow::Result<()> {
        for (from, to, (lo, hi)) in stretches.filter(|(_, _, (lo, hi))| lo.is_finite() && hi.is_finite()) {
            let corners = [(self.x(from), self.y(hi)), (self.x(to), self.y(lo).max(self.y(hi) + 0.5))];
            let [from, to] = corners;
            canvas.rect(from, to, colour, 0.2)?;
        }
        Ok(())
    }

    /// Strokes at the top, one a pixel at most.
    pub fn strokes(&self, canvas: &Canvas, at: &[f64], colour: Colour) -> anyhow::Result<()> {
        let mut xs: Vec<i64> = at.iter().map(|at| self.x(*at).round() as i64).collect();
        xs.sort_unstable();
        xs.dedup();
        let top = self.top + HEAD;
        for x in xs {
            canvas.line(&[(x as f64, top), (x as f64, top + 8.0)], colour, 1.0, 1.5)?;
        }
        Ok(())
    }
}

/// At most four points a pixel: the first, the least, the most and the last of those that share it, in their order.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let pixel = |p: &(f64, f64)| p.0.round() as i64;
    let mut kept = Vec::new();
    for shared in points.chunk_by(|a, b| pixel(a) == pixel(b)) {
        let by_y = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let lowest = shared.iter().min_by(by_y);
        let highest = shared.iter().max_by(by_y);
        let (first, last) = (shared.first(), shared.last());
        kept.extend(
            shared.iter().filter(|p| [first, lowest, highest, last].contains(&Some(*p))).take(4).copied(),
        );
        // Many that are equal: the last one is where the line goes on from.
        kept.extend(last.filter(|last| kept.last() != Some(*last)).copied());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_points_in_a_pixel_the_extremes_stay() {
        let points: Vec<(f64, f64)> =
            (0..1_000).map(|i| (f64::from(i) * 1e-4, if i == 500 { 90.0 } else { 10.0 })).collect();
        let kept = thinned(&points);
        assert!(kept.len() <= 5, "{kept:?}");
        assert!(kept.contains(&(500.0 * 1e-4, 90.0)), "a single peak is drawn: {kept:?}");
        let few = [(0.0, 1.0), (10.0, 2.0), (20.0, 1.5)];
        assert_eq!(thinned(&few), few);
    }
}
