//! `breakdown`: where the time to the first token went, and the whole duration: a bar for the mean and for each
//! percentile, its parts in the order of time and in the colour of their side. This file must not know how a part was
//! found.

use super::draw::axis::Axis;
use super::draw::canvas::{self, Align, Canvas, Ink};
use super::draw::page;
use super::theme::{self, Colour};
use super::{Bar, BarPart, Bars, Drawn, Plot, PlotData};
use crate::metric::Unit;
use crate::record::Whose;
use crate::units::{self, milliseconds};

const HEADING: f64 = 34.0;
const BAR: f64 = 22.0;
const STEP: f64 = 28.0;
const TICKS: f64 = 24.0;
const ROW: f64 = 18.0;
const BELOW: f64 = 14.0;
/// Room for a bar's name on its left and its total on its right.
const NAMES: f64 = 116.0;
const TOTALS: f64 = 84.0;
const LEFT: f64 = theme::MARGIN + NAMES;
const RIGHT: f64 = theme::WIDTH - theme::MARGIN - TOTALS;

/// The figure.
pub struct Breakdown;

impl Plot for Breakdown {
    fn name(&self) -> &'static str {
        "breakdown"
    }

    fn caption(&self) -> &'static str {
        "Where the time to the first token and the whole duration went, at the mean and around percentiles"
    }

    fn draw(&self, data: &PlotData) -> anyhow::Result<Drawn> {
        let most = |whose: Whose| {
            let bars = data.bars.iter().flat_map(|bars| &bars.bars);
            bars.map(|bar| bar.parts.iter().filter(|p| p.whose == whose).count()).max().unwrap_or(0)
        };
        let sections: Vec<Section> = data.bars.iter().filter_map(|bars| Section::of(bars, &most)).collect();
        let Some(first) = sections.first() else {
            return Ok(Drawn::Nothing("no breakdown: nothing is known of the server's side".to_owned()));
        };
        let title = &first.bars.finding;
        let height = page::TOP + sections.iter().map(Section::height).sum::<f64>() + 12.0;
        let svg = canvas::svg((theme::WIDTH, height), title, |canvas| {
            page::header(canvas, theme::WIDTH, title, &data.subtitle())?;
            let mut top = page::TOP;
            for (i, section) in sections.iter().enumerate() {
                // The first one's finding is the title.
                let heading = if i == 0 { section.bars.metric.name() } else { &section.bars.finding };
                section.draw(canvas, top, heading)?;
                top += section.height();
            }
            Ok(())
        })?;
        Ok(Drawn::Svg(svg))
    }
}

/// The bars of one metric.
struct Section<'a> {
    bars: &'a Bars,
    axis: Axis,
    /// The most parts of a side that any bar of the figure has: shades are the same in all of them.
    most: &'a dyn Fn(Whose) -> usize,
}

impl<'a> Section<'a> {
    fn of(bars: &'a Bars, most: &'a dyn Fn(Whose) -> usize) -> Option<Self> {
        let longest = bars.bars.iter().map(|bar| bar.parts.iter().map(drawn_s).sum()).fold(0.0, f64::max);
        let axis = Axis::between(0.0, longest, Unit::Seconds)?;
        Some(Self { bars, axis, most })
    }

    fn height(&self) -> f64 {
        let legend = self.rows().len() as f64 * ROW;
        HEADING + STEP * self.bars.bars.len() as f64 + TICKS + legend + BELOW
    }

    fn draw(&self, canvas: &Canvas, top: f64, heading: &str) -> anyhow::Result<()> {
        let heading = canvas::fit(heading, theme::HEADING, theme::WIDTH - 2.0 * theme::MARGIN);
        canvas.text(&heading, (theme::MARGIN, top + 8.0), Ink::new(theme::HEADING, theme::INK).bold())?;
        let bars_top = top + HEADING;
        let bottom = bars_top + STEP * self.bars.bars.len() as f64;
        let quiet = Ink::new(theme::SMALL, theme::QUIET);
        for tick in &self.axis.ticks {
            let x = self.x(*tick);
            canvas.line(&[(x, bars_top - 4.0), (x, bottom)], theme::GRID, 1.0, 1.0)?;
            canvas.text(&self.axis.label(*tick), (x, bottom + 10.0), quiet.align(Align::Centre))?;
        }
        let unit = (RIGHT + TOTALS, bottom + 10.0);
        canvas.text(self.axis.scale.name, unit, quiet.align(Align::Right))?;
        for (i, bar) in self.bars.bars.iter().enumerate() {
            self.bar(canvas, bars_top + STEP * i as f64, bar)?;
        }
        let mean = self.bars.bars.first().map(|bar| bar.at.as_str()).unwrap_or_default();
        canvas.text(mean, (LEFT - 8.0, bottom + TICKS + 6.0), quiet.align(Align::Right))?;
        for (i, row) in self.rows().iter().enumerate() {
            let y = bottom + TICKS + ROW * i as f64 + 6.0;
            for (x, text, colour) in row {
                canvas.rect((*x, y - 5.0), (x + 10.0, y + 5.0), *colour, 1.0)?;
                canvas.text(text, (x + 16.0, y), Ink::new(theme::SMALL, theme::INK))?;
            }
        }
        Ok(())
    }

    fn x(&self, value: f64) -> f64 {
        LEFT + self.axis.fraction(value) * (RIGHT - LEFT)
    }

    fn bar(&self, canvas: &Canvas, top: f64, bar: &Bar) -> anyhow::Result<()> {
        let middle = top + BAR / 2.0;
        let name = format!("{} (n {})", bar.at, units::count(bar.n as u64));
        let ink = Ink::new(theme::SMALL, theme::INK);
        canvas.text(&name, (LEFT - 8.0, middle), ink.align(Align::Right))?;
        let mut at = 0.0;
        for (part, colour) in self.coloured(bar) {
            let (from, to) = (self.x(at), self.x(at + drawn_s(part)));
            at += drawn_s(part);
            if to - from < 0.05 {
                continue;
            }
            canvas.rect((from, top), (to, top + BAR), colour, 1.0)?;
            if canvas::width_of(&part.name, theme::SMALL) + 8.0 < to - from {
                let ink = Ink::new(theme::SMALL, theme::on(colour)).align(Align::Centre);
                canvas.text(&part.name, (f64::midpoint(from, to), middle), ink)?;
            }
        }
        let total = format!("{} ms", milliseconds(bar.total_s));
        canvas.text(&total, (self.x(at) + 6.0, middle), ink.bold())
    }

    /// The legend, broken into rows: where each entry stands, its text, its colour.
    fn rows(&self) -> Vec<Vec<(f64, String, Colour)>> {
        let mut rows: Vec<Vec<(f64, String, Colour)>> = vec![Vec::new()];
        let mut x = LEFT;
        for (part, colour) in self.bars.bars.first().map(|bar| self.coloured(bar)).unwrap_or_default() {
            let text = format!("{} {} ms", part.name, milliseconds(part.mean_s));
            let width = canvas::width_of(&text, theme::SMALL) + 34.0;
            if x + width > theme::WIDTH - theme::MARGIN && x > LEFT {
                rows.push(Vec::new());
                x = LEFT;
            }
            if let Some(row) = rows.last_mut() {
                row.push((x, text, colour));
            }
            x += width;
        }
        rows
    }

    /// Each part in a shade of its side's colour, from light to dark in the order of time.
    fn coloured<'b>(&self, bar: &'b Bar) -> Vec<(&'b BarPart, Colour)> {
        let colour = |(i, part): (usize, &'b BarPart)| {
            let before = bar.parts.iter().take(i).filter(|p| p.whose == part.whose).count();
            (part, theme::shade(theme::whose(part.whose), before, (self.most)(part.whose)))
        };
        bar.parts.iter().enumerate().map(colour).collect()
    }
}

/// A part below zero has no width.
fn drawn_s(part: &BarPart) -> f64 {
    if part.mean_s.is_finite() { part.mean_s.max(0.0) } else { 0.0 }
}
