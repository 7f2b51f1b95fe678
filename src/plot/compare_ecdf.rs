//! `compare_ecdf`: which share of values lies at or below a value, a curve a run, a panel a measure. This file
//! must not know which measures there are.
//!
//! The bands are those of `ecdf`: Dvoretzky, Kiefer and Wolfowitz's with Massart's constant, for the whole
//! curve and for values that are independent.

use super::draw::axis::Axis;
use super::draw::canvas::{self, Align, Canvas, Ink};
use super::draw::page;
use super::{Compared, Drawn, Of, Plot, PlotData, theme};
use crate::stats::LEVEL;
use crate::units;

/// Panels side by side, and the height of a row of them.
const ACROSS: usize = 2;
const ROW: f64 = 320.0;
const LABELS: f64 = 48.0;
const PLOT_TOP: f64 = 36.0;
const PLOT_BOTTOM: f64 = 264.0;
/// Most points of a curve: more than pixels can show.
const POINTS: usize = 400;
const BAND: &str = "band: 95 % for the whole curve, of independent values (Dvoretzky–Kiefer–Wolfowitz)";

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
        let panels: Vec<(Frame, Vec<Of>)> = data
            .compared
            .iter()
            .filter_map(|compared| {
                let runs = compared.ascending();
                let sets: Vec<&[f64]> = runs.iter().map(|run| run.values.as_slice()).collect();
                let axis = Axis::of(&sets, compared.unit)?;
                Some((Frame { title: title(compared, &axis), axis, left: 0.0, right: 0.0, top: 0.0 }, runs))
            })
            .collect();
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
            for (i, (frame, runs)) in panels.iter().enumerate() {
                let left = theme::MARGIN + width * (i % ACROSS) as f64;
                let top = page::TOP + ROW * (i / ACROSS) as f64;
                let frame = Frame {
                    left: left + LABELS,
                    right: left + width - 10.0,
                    top,
                    axis: frame.axis.clone(),
                    title: frame.title.clone(),
                };
                frame.draw(canvas)?;
                for run in runs {
                    frame.curve(canvas, run)?;
                }
                frame.beyond(canvas, runs)?;
            }
            draw_legend(canvas, legend + 8.0, &names)
        })?;
        Ok(Drawn::Svg(svg))
    }
}

fn title(compared: &Compared, axis: &Axis) -> String {
    format!("{} ({})", compared.title, axis.scale.name)
}

/// Number and name of every run that has a curve.
fn names(panels: &[(Frame, Vec<Of>)]) -> Vec<(usize, String)> {
    let mut names: Vec<(usize, String)> =
        panels.iter().flat_map(|(_, runs)| runs.iter().map(|run| (run.number, run.name.clone()))).collect();
    names.sort();
    names.dedup();
    names
}

/// A panel at its place.
struct Frame {
    title: String,
    axis: Axis,
    left: f64,
    right: f64,
    top: f64,
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        self.left + self.axis.fraction(value) * (self.right - self.left)
    }

    fn y(&self, share: f64) -> f64 {
        self.top + PLOT_BOTTOM - share.clamp(0.0, 1.0) * (PLOT_BOTTOM - PLOT_TOP)
    }

    fn draw(&self, canvas: &Canvas) -> anyhow::Result<()> {
        let bold = Ink::new(theme::HEADING, theme::INK).bold();
        canvas.text(&self.title, (self.left - LABELS, self.top + 12.0), bold)?;
        let ink = Ink::new(theme::SMALL, theme::QUIET);
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

    fn curve(&self, canvas: &Canvas, run: &Of) -> anyhow::Result<()> {
        let n = run.values.len();
        let shown = n - self.axis.beyond(&run.values);
        let every = n.div_ceil(POINTS).max(1);
        let mut steps = vec![(self.axis.lo, 0.0)];
        let mut share = 0.0;
        for (i, value) in run.values.iter().enumerate().take(shown) {
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
        canvas.fill(&around, theme::run(run.number), 0.12)?;
        let line: Vec<(f64, f64)> = shifted(0.0).collect();
        canvas.line(&line, theme::run(run.number), 1.0, 2.0)
    }

    /// Says where the axis ends, if values lie beyond.
    fn beyond(&self, canvas: &Canvas, runs: &[Of]) -> anyhow::Result<()> {
        let Some(q) = self.axis.ends_at else { return Ok(()) };
        let counts: Vec<String> =
            runs.iter().map(|run| units::count(self.axis.beyond(&run.values) as u64)).collect();
        let text = format!("axis ends at p{:.0}, {} beyond", q * 100.0, counts.join(" | "));
        canvas.text(&text, (self.left, self.y(0.0) + 30.0), Ink::new(theme::SMALL, theme::NOTE))
    }
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
