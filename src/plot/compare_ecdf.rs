//! `compare_ecdf`: which share of values lies at or below a value, a curve a run, a panel a measure. This file
//! must not know which measures there are.

use super::data::Of;
use super::draw::axis::Axis;
use super::draw::canvas::{self, Canvas, Ink};
use super::draw::page;
use super::draw::shares::{ACROSS, BAND, ROW, Shares};
use super::{Compared, Drawn, Plot, PlotData, theme};

/// The figure.
pub struct CompareEcdf;

impl Plot for CompareEcdf {
    fn name(&self) -> &'static str {
        "compare_ecdf"
    }

    fn caption(&self) -> &'static str {
        "Share of successful requests of each run at or below a value, measure by measure"
    }

    fn draw(&self, data: &PlotData) -> anyhow::Result<Drawn> {
        let panels: Vec<Panel> = data.compared.iter().filter_map(panel).collect();
        if panels.is_empty() {
            return Ok(Drawn::Nothing(
                "no runs side by side, or none of their requests succeeded".to_owned(),
            ));
        }
        let names = names(&panels);
        let rows = panels.len().div_ceil(ACROSS);
        let legend = page::TOP + ROW * rows as f64;
        let title = "Runs side by side: share of values at or below";
        let svg = canvas::svg((theme::WIDTH, legend + 52.0), title, |canvas| {
            page::header(canvas, theme::WIDTH, title, &data.subtitle())?;
            let width = (theme::WIDTH - 2.0 * theme::MARGIN) / ACROSS as f64;
            for (i, panel) in panels.iter().enumerate() {
                let left = theme::MARGIN + width * (i % ACROSS) as f64;
                let top = page::TOP + ROW * (i / ACROSS) as f64;
                panel.draw(canvas, (left, left + width), top)?;
            }
            draw_legend(canvas, legend + 8.0, &names)
        })?;
        Ok(Drawn::Svg(svg))
    }
}

/// A measure's curves.
struct Panel<'a> {
    compared: &'a Compared,
    axis: Axis,
    runs: Vec<Of>,
}

fn panel(compared: &Compared) -> Option<Panel<'_>> {
    let runs = compared.ascending();
    let sets: Vec<&[f64]> = runs.iter().map(|run| run.values.as_slice()).collect();
    let axis = Axis::of(&sets, compared.unit)?;
    Some(Panel { compared, axis, runs })
}

impl Panel<'_> {
    fn draw(&self, canvas: &Canvas, column: (f64, f64), top: f64) -> anyhow::Result<()> {
        let shares = Shares::in_column(column, top, self.axis.clone());
        shares.draw(canvas, &self.compared.title, "")?;
        for run in &self.runs {
            shares.curve(canvas, &run.values, theme::run(run.number), 2.0)?;
        }
        let sets: Vec<&[f64]> = self.runs.iter().map(|run| run.values.as_slice()).collect();
        shares.beyond(canvas, &sets)
    }
}

/// Number and name of every run that has a curve.
fn names(panels: &[Panel<'_>]) -> Vec<(usize, String)> {
    let runs = panels.iter().flat_map(|panel| &panel.runs);
    let mut names: Vec<(usize, String)> = runs.map(|run| (run.number, run.name.clone())).collect();
    names.sort();
    names.dedup();
    names
}

fn draw_legend(canvas: &Canvas, y: f64, names: &[(usize, String)]) -> anyhow::Result<()> {
    let mut left = theme::MARGIN;
    let room = (theme::WIDTH - 2.0 * theme::MARGIN) / names.len().max(1) as f64 - 48.0;
    for (number, name) in names {
        let name = canvas::fit(name, theme::BODY, room.max(40.0));
        canvas.line(&[(left, y), (left + 22.0, y)], theme::run(*number), 1.0, 3.0)?;
        canvas.text(&name, (left + 28.0, y), Ink::new(theme::BODY, theme::INK).bold())?;
        left += 48.0 + canvas::width_of(&name, theme::BODY);
    }
    canvas.text(BAND, (theme::MARGIN, y + 22.0), Ink::new(theme::SMALL, theme::QUIET))
}
