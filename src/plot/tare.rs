//! `tare`: client minus server of each request, as densities, each with its mean and that mean's interval. This file
//! must not know how requests were joined.

use super::draw::axis::Axis;
use super::draw::body::FEW;
use super::draw::canvas::{self, Align, Canvas, Ink};
use super::draw::page;
use super::{Drawn, Paired, Plot, PlotData, ascending, theme};
use crate::metric::Metric;
use crate::stats::Estimate;
use crate::stats::kde::kde;
use crate::stats::moments::mean;
use crate::stats::quantile::quantile;
use crate::units::{self, Scale};

const PLOT_TOP: f64 = 28.0;
const PLOT_BOTTOM: f64 = 190.0;
const HEIGHT: f64 = 258.0;
const OUTLINE: usize = 201;
/// Dots nearer to each other than this, in pixels, are one.
const NEAR: f64 = 0.1;
const NOTE: &str = "shape: density of the differences · line: their mean · band: the mean's 95 % interval";

/// The figure.
pub struct Tare;

impl Plot for Tare {
    fn name(&self) -> &'static str {
        "tare"
    }

    fn caption(&self) -> &'static str {
        "Client minus server of each request that both sides tell of"
    }

    fn draw(&self, data: &PlotData) -> anyhow::Result<Drawn> {
        let panels: Vec<Panel> = data.paired.iter().filter_map(|paired| Panel::of(data, paired)).collect();
        if panels.is_empty() {
            return Ok(Drawn::Nothing("no request has a time at both sides".to_owned()));
        }
        let found: Vec<String> = panels.iter().map(Panel::finding).collect();
        let title = format!("Client minus server: {}", found.join(", "));
        let height = page::TOP + HEIGHT + 22.0;
        let width = (theme::WIDTH - 2.0 * theme::MARGIN) / panels.len() as f64;
        let svg = canvas::svg((theme::WIDTH, height), &title, |canvas| {
            page::header(canvas, theme::WIDTH, &title, &data.subtitle())?;
            for (i, panel) in panels.iter().enumerate() {
                let left = theme::MARGIN + width * i as f64;
                panel.draw(canvas, (left, left + width - 24.0))?;
            }
            canvas.text(NOTE, (theme::MARGIN, height - 16.0), Ink::new(theme::SMALL, theme::QUIET))
        })?;
        Ok(Drawn::Svg(svg))
    }
}

struct Panel {
    name: &'static str,
    /// Ascending.
    values: Vec<f64>,
    axis: Axis,
    mean: Option<Estimate>,
}

impl Panel {
    fn of(data: &PlotData, paired: &Paired) -> Option<Self> {
        let values = ascending(&paired.values)?;
        let name = match paired.metric {
            // No TTFT of the server, and never called one.
            Metric::QueuePrefill => "TTFT beyond queue and prefill",
            Metric::E2e => "E2E",
            metric => metric.name(),
        };
        let axis = Axis::of_differences(&values, paired.metric.unit())?;
        Some(Self { name, axis, mean: data.difference(paired.metric), values })
    }

    /// `TTFT 579.4 µs [518.1, 626.4]`.
    fn finding(&self) -> String {
        let value = self.mean.map(|e| e.value).or_else(|| mean(&self.values)).unwrap_or(f64::NAN);
        let scale = Scale::of(crate::metric::Unit::Seconds, value.abs());
        match self.mean.filter(Estimate::is_bounded) {
            Some(e) => {
                let (lo, hi) = (scale.number(e.lo), scale.number(e.hi));
                format!("{} {} [{lo}, {hi}]", self.name, scale.show(value))
            }
            None => format!("{} {}", self.name, scale.show(value)),
        }
    }

    fn draw(&self, canvas: &Canvas, (left, right): (f64, f64)) -> anyhow::Result<()> {
        let x = |value: f64| left + self.axis.fraction(value) * (right - left);
        let (top, bottom) = (page::TOP + PLOT_TOP, page::TOP + PLOT_BOTTOM);
        let heading = format!("{}, client − server ({})", self.name, self.axis.scale.name);
        canvas.text(&heading, (left, page::TOP + 8.0), Ink::new(theme::HEADING, theme::INK).bold())?;
        let quiet = Ink::new(theme::SMALL, theme::QUIET);
        for tick in &self.axis.ticks {
            canvas.line(&[(x(*tick), top), (x(*tick), bottom)], theme::GRID, 1.0, 1.0)?;
            canvas.text(&self.axis.label(*tick), (x(*tick), bottom + 12.0), quiet.align(Align::Centre))?;
        }
        if let Some(e) = self.mean.filter(Estimate::is_bounded) {
            canvas.rect((x(e.lo), top), (x(e.hi), bottom), theme::TARE, 0.35)?;
        }
        self.body(canvas, &x, (top, bottom))?;
        canvas.line(&[(left, bottom), (right, bottom)], theme::AXIS, 1.0, 1.0)?;
        if self.axis.lo <= 0.0 && self.axis.hi >= 0.0 {
            canvas.line(&[(x(0.0), top), (x(0.0), bottom)], theme::INK, 1.0, 1.0)?;
        }
        if let Some(mean) = self.mean.map(|e| e.value).or_else(|| mean(&self.values)) {
            canvas.line(&[(x(mean), top), (x(mean), bottom)], theme::NOTE, 1.0, 2.0)?;
        }
        for (row, text) in self.numbers().iter().enumerate() {
            canvas.text(
                text,
                (left, bottom + 34.0 + 17.0 * row as f64),
                Ink::new(theme::SMALL, theme::INK),
            )?;
        }
        Ok(())
    }

    fn body(&self, canvas: &Canvas, x: &dyn Fn(f64) -> f64, (top, bottom): (f64, f64)) -> anyhow::Result<()> {
        // One for all that would lie on each other: a million equal values have no density, and make one dot.
        let dots = || {
            let middle = f64::midpoint(top, bottom);
            let mut places: Vec<f64> = self.values.iter().map(|v| x(*v)).collect();
            places.dedup_by(|next, last| *next - *last < NEAR);
            places.into_iter().try_for_each(|at| canvas.dot((at, middle), 4.0, theme::TARE, 0.8))
        };
        if self.values.len() < FEW {
            return dots();
        }
        let Some(curve) = kde(&self.values, self.axis.lo, self.axis.hi, OUTLINE) else {
            return dots();
        };
        let widest = curve.density.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let height = |d: f64| bottom - d / widest * 0.94 * (bottom - top);
        let outline: Vec<(f64, f64)> =
            curve.at.iter().zip(&curve.density).map(|(v, d)| (x(*v), height(*d))).collect();
        let mut shape = vec![(x(self.axis.lo), bottom)];
        shape.extend(&outline);
        shape.push((x(self.axis.hi), bottom));
        canvas.fill(&shape, theme::TARE, theme::FILL)?;
        canvas.line(&outline, theme::TARE, 1.0, 1.5)
    }

    fn numbers(&self) -> [String; 2] {
        let of = |q: f64| self.axis.scale.number(quantile(&self.values, q).unwrap_or(f64::NAN));
        let count = |n: usize| units::count(n as u64);
        let negative = self.values.iter().filter(|v| **v < 0.0).count();
        let outside = self.values.iter().filter(|v| **v < self.axis.lo || **v > self.axis.hi).count();
        let first = format!(
            "p1 {} · p5 {} · median {} · p95 {} · p99 {}",
            of(0.01),
            of(0.05),
            of(0.5),
            of(0.95),
            of(0.99)
        );
        let off = if outside > 0 { format!(" · {} off the axis", count(outside)) } else { String::new() };
        [first, format!("n = {} · {} below zero{off}", count(self.values.len()), count(negative))]
    }
}
