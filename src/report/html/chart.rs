//! A chart: a stretched drawing with its axes' labels as text of the page, so that nothing is too small to read
//! at any width. This file must not know what is drawn.

use serde::Serialize;

use super::page::Page;
use super::svg::{self, SIDE};
use crate::plot::draw::axis::Axis;

/// A chart, ready to be laid out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Chart {
    /// Its look, as classes of the style sheet.
    pub class: &'static str,
    /// What its data are called in the page's island; empty: nothing to point at.
    pub key: String,
    /// What it is, for those who cannot see it, with its chief numbers.
    pub alt: String,
    /// Heading of the vertical axis: its unit.
    pub y_name: String,
    pub y: Vec<Tick>,
    pub x_name: String,
    pub x: Vec<Tick>,
    /// What the colours are: a class and a name each.
    pub legend: Vec<(&'static str, String)>,
    /// SVG of what is drawn.
    pub marks: String,
}

/// A label at its place, in percent of the axis from the left or from below.
#[derive(Clone, Debug, Serialize)]
pub struct Tick {
    pub at: String,
    pub label: String,
}

impl Chart {
    /// As HTML.
    pub fn html(&self, page: &Page<'_>) -> anyhow::Result<String> {
        page.render("chart.html", self)
    }
}

/// The labels of an axis.
pub fn ticks(axis: &Axis) -> Vec<Tick> {
    axis.ticks.iter().map(|t| tick(axis.fraction(*t), axis.label(*t))).collect()
}

/// One label.
pub fn tick(share: f64, label: String) -> Tick {
    Tick { at: svg::number(share * 100.0), label }
}

/// Lines across at the ticks of the vertical axis.
pub fn grid_across(axis: &Axis) -> String {
    let line = |t: &f64| svg::line("grid", &[(0.0, y(axis, *t)), (SIDE, y(axis, *t))]);
    axis.ticks.iter().map(line).collect()
}

/// Where a value lies, from the top.
pub fn y(axis: &Axis, value: f64) -> f64 {
    SIDE * (1.0 - axis.fraction(value))
}

/// Where a value lies, from the left.
pub fn x(axis: &Axis, value: f64) -> f64 {
    SIDE * axis.fraction(value)
}
