//! `compare_violin`: runs side by side on one axis, a violin a run, a panel a measure. This file must not
//! know which measures there are.

use super::data::Of;
use super::draw::axis::Axis;
use super::draw::body::{Body, Part};
use super::draw::canvas::{self, Align, Canvas, Ink};
use super::draw::page::{self, DENSITY};
use super::draw::panel::Panel;
use super::{Compared, Drawn, Plot, PlotData, theme};
use crate::stats::quantile::quantile;
use crate::units;

/// A violin needs so much width.
const VIOLIN: f64 = 118.0;
/// Height of a row of panels: heading, axis, the numbers below.
const ROW: f64 = 400.0;

/// The figure.
pub struct CompareViolin;

impl Plot for CompareViolin {
    fn name(&self) -> &'static str {
        "compare_violin"
    }

    fn caption(&self) -> &'static str {
        "Each run's distribution of each measure, successful requests, on one axis"
    }

    fn draw(&self, data: &PlotData) -> anyhow::Result<Drawn> {
        let panels: Vec<(&Compared, Vec<Of>)> = data
            .compared
            .iter()
            .map(|compared| (compared, compared.ascending()))
            .filter(|(_, runs)| !runs.is_empty())
            .collect();
        let Some(most) = panels.iter().map(|(_, runs)| runs.len()).max() else {
            return Ok(Drawn::Nothing(
                "no runs side by side, or none of their requests succeeded".to_owned(),
            ));
        };
        let across = across(most, panels.len());
        let rows = panels.len().div_ceil(across);
        let height = page::TOP + ROW * rows as f64 + page::legend_height(theme::WIDTH, &[DENSITY]);
        let size = (theme::WIDTH, height);
        let title = "Runs side by side, per request";
        let svg = canvas::svg(size, title, |canvas| {
            page::header(canvas, theme::WIDTH, title, &data.subtitle())?;
            let width = (theme::WIDTH - 2.0 * theme::MARGIN) / across as f64;
            for (i, (compared, runs)) in panels.iter().enumerate() {
                let left = theme::MARGIN + width * (i % across) as f64;
                let top = page::TOP + ROW * (i / across) as f64;
                panel(canvas, (left, left + width), top, compared, runs)?;
            }
            page::legend(canvas, size, &[DENSITY])
        })?;
        Ok(Drawn::Svg(svg))
    }
}

/// Panels side by side, so that the violins of each have room.
fn across(runs: usize, panels: usize) -> usize {
    let fit = ((theme::WIDTH - 2.0 * theme::MARGIN) / (VIOLIN * runs as f64 + 60.0)) as usize;
    fit.clamp(1, panels.clamp(1, 3))
}

fn panel(
    canvas: &Canvas,
    sides: (f64, f64),
    top: f64,
    compared: &Compared,
    runs: &[Of],
) -> anyhow::Result<()> {
    let sets: Vec<&[f64]> = runs.iter().map(|run| run.values.as_slice()).collect();
    let Some(axis) = Axis::of(&sets, compared.unit) else { return Ok(()) };
    let panel = Panel::in_column(sides, top, axis);
    panel.draw(canvas, &compared.title, &compared.about)?;
    for (row, name) in ["median", "p99", "n"].into_iter().enumerate() {
        panel.row_name(canvas, row + 1, name)?;
    }
    let width = (panel.right - panel.left) / runs.len() as f64;
    for (i, run) in runs.iter().enumerate() {
        let x = panel.left + width * (i as f64 + 0.5);
        let colour = theme::run(run.number);
        let half_width = (0.42 * width).min(90.0);
        Body { values: &run.values, part: Part::Whole, x, half_width, colour }.draw(canvas, &panel)?;
        let bold = Ink::new(theme::SMALL, theme::INK).bold().align(Align::Centre);
        canvas.text(&canvas::fit(&run.name, theme::SMALL, width - 4.0), (x, panel.row(0)), bold)?;
        let of = |q: f64| panel.axis.scale.number(quantile(&run.values, q).unwrap_or(f64::NAN));
        panel.cell(canvas, 1, x, &of(0.5))?;
        panel.cell(canvas, 2, x, &of(0.99))?;
        panel.cell(canvas, 3, x, &units::count(run.values.len() as u64))?;
    }
    panel.beyond(canvas, 4, &sets)
}
