//! A panel with two number axes: grid, ticks, lines with their points and intervals. This file must not know what is drawn.

use crate::metric::Unit;
use crate::plot::draw::axis::Axis;
use crate::plot::draw::canvas::{Align, Canvas, Ink};
use crate::plot::theme::{self, Colour};
use crate::stats::Estimate;

/// Where a panel lies.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub left: f64,
    pub right: f64,
    pub top: f64,
    pub bottom: f64,
}

/// Two axes at their place.
pub struct Xy {
    pub place: Place,
    pub x: Axis,
    pub y: Axis,
}

/// An axis for these values, from 0 on where they are not far from it.
pub fn axis(values: impl Iterator<Item = f64>, unit: Unit, name: Option<&'static str>) -> Option<Axis> {
    let values = crate::plot::ascending(&values.collect::<Vec<_>>())?;
    let mut axis = Axis::of(&[&values], unit)?;
    if let Some(name) = name {
        axis.scale.name = name;
    }
    Some(axis)
}

impl Xy {
    /// A point's place on the canvas.
    pub fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let p = &self.place;
        let along = |from: f64, to: f64, share: f64| from + share * (to - from);
        (along(p.left, p.right, self.x.fraction(x)), along(p.bottom, p.top, self.y.fraction(y)))
    }

    /// Grid, ticks and what the axes are.
    pub fn frame(&self, canvas: &Canvas, heading: &str, x_name: &str) -> anyhow::Result<()> {
        let p = &self.place;
        let quiet = Ink::new(theme::SMALL, theme::QUIET);
        let heading = format!("{heading} ({})", self.y.scale.name);
        let bold = Ink::new(theme::HEADING, theme::INK).bold();
        canvas.text(&heading, (p.left - 44.0, p.top - 16.0), bold)?;
        for tick in &self.y.ticks {
            let (_, y) = self.at((self.x.lo, *tick));
            canvas.line(&[(p.left, y), (p.right, y)], theme::GRID, 1.0, 1.0)?;
            canvas.text(&self.y.label(*tick), (p.left - 6.0, y), quiet.align(Align::Right))?;
        }
        for tick in &self.x.ticks {
            let (x, _) = self.at((*tick, self.y.lo));
            canvas.line(&[(x, p.top), (x, p.bottom)], theme::GRID, 1.0, 1.0)?;
            canvas.text(&self.x.label(*tick), (x, p.bottom + 12.0), quiet.align(Align::Centre))?;
        }
        canvas.line(&[(p.left, p.bottom), (p.right, p.bottom)], theme::AXIS, 1.0, 1.0)?;
        canvas.line(&[(p.left, p.top), (p.left, p.bottom)], theme::AXIS, 1.0, 1.0)?;
        let ink = Ink::new(theme::SMALL, theme::INK).align(Align::Right);
        canvas.text(x_name, (p.right, p.bottom + 28.0), ink)
    }

    /// A line through the points, each with its interval upright.
    pub fn line(
        &self,
        canvas: &Canvas,
        points: &[(f64, Estimate)],
        ink: Colour,
        width: f64,
    ) -> anyhow::Result<()> {
        for (x, e) in points.iter().filter(|(_, e)| e.is_bounded()) {
            canvas.line(&[self.at((*x, e.lo)), self.at((*x, e.hi))], ink, 0.45, 3.0)?;
        }
        let through: Vec<(f64, f64)> = points.iter().map(|(x, e)| self.at((*x, e.value))).collect();
        if through.len() > 1 {
            canvas.line(&through, ink, 1.0, width)?;
        }
        through.iter().try_for_each(|at| canvas.dot(*at, 1.6 + width, ink, 1.0))
    }
}
