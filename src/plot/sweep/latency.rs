//! `sweep_latency`: what latency a throughput costs, at the client and at the server; TTFT left, the whole request in the
//! middle, and right what was achieved of what was offered. This file must not know how levels were chosen.

use super::xy::{Place, Xy, axis};
use super::{Level, SweepData, SweepPlot};
use crate::metric::Unit;
use crate::plot::Drawn;
use crate::plot::draw::canvas::{self, Canvas, Ink};
use crate::plot::draw::page;
use crate::plot::theme::{self, Colour};
use crate::stats::Estimate;

const HEIGHT: f64 = 400.0;
const TOP: f64 = 96.0;
const BOTTOM: f64 = 300.0;

/// The figure.
pub struct Latency;

struct Curve {
    ink: Colour,
    width: f64,
    points: Vec<(f64, Estimate)>,
}

impl SweepPlot for Latency {
    fn name(&self) -> &'static str {
        "sweep_latency"
    }

    fn caption(&self) -> &'static str {
        "Latency at the client and at the server over the throughput reached, level by level"
    }

    fn draw(&self, data: &SweepData) -> anyhow::Result<Drawn> {
        let ttft = curves(data, |l| (l.ttft, l.ttft_p99, l.ttft_server));
        let e2e = curves(data, |l| (l.e2e, None, l.e2e_server));
        let (Some(left), Some(middle)) = (panel(&ttft, data, 0), panel(&e2e, data, 1)) else {
            return Ok(Drawn::Nothing("no level has a throughput and a latency".to_owned()));
        };
        let title = "Latency over throughput";
        let is = data.levels.iter().map(|l| l.server_is.as_str()).find(|s| !s.is_empty());
        let server_is = format!("server, mean ({})", is.unwrap_or("TTFT"));
        let svg = canvas::svg((theme::WIDTH, HEIGHT), title, |canvas| {
            page::header(canvas, theme::WIDTH, title, &data.subtitle())?;
            let x_name = if by_tokens(data) { "output tokens/s" } else { "requests/s" };
            for (xy, heading, of) in [(&left, "TTFT", &ttft), (&middle, "Request duration", &e2e)] {
                xy.frame(canvas, heading, x_name)?;
                for curve in of {
                    xy.line(canvas, &curve.points, curve.ink, curve.width)?;
                }
            }
            labels(canvas, &left, data)?;
            achieved(canvas, data)?;
            legend(canvas, data, &server_is)
        })?;
        Ok(Drawn::Svg(svg))
    }
}

/// Throughput in tokens, where all levels have it.
fn by_tokens(data: &SweepData) -> bool {
    data.levels.iter().filter(|l| l.achieved_rps.is_some()).all(|l| l.output_tps.is_some())
}

fn throughput(data: &SweepData, level: &Level) -> Option<f64> {
    let of = if by_tokens(data) { level.output_tps } else { level.achieved_rps };
    of.map(|e| e.value)
}

type Sides = (Option<Estimate>, Option<f64>, Option<Estimate>);

fn curves(data: &SweepData, of: impl Fn(&Level) -> Sides) -> Vec<Curve> {
    let through = |side: &dyn Fn(Sides) -> Option<Estimate>| -> Vec<(f64, Estimate)> {
        data.levels.iter().filter_map(|level| Some((throughput(data, level)?, side(of(level))?))).collect()
    };
    // The client's wide and below, so that it is seen where both are alike.
    let curves = [
        Curve {
            ink: theme::QUIET,
            width: 1.2,
            points: through(&|(_, p99, _)| p99.map(|v| Estimate::unbounded(v, 0))),
        },
        Curve { ink: theme::CLIENT, width: 4.5, points: through(&|(client, ..)| client) },
        Curve { ink: theme::SERVER, width: 1.6, points: through(&|(.., server)| server) },
    ];
    curves.into_iter().filter(|curve| !curve.points.is_empty()).collect()
}

/// The place of the panel of this number, of three.
fn place(number: usize) -> Place {
    let third = (theme::WIDTH - 2.0 * theme::MARGIN) / 3.0;
    let left = theme::MARGIN + third * number as f64;
    Place { left: left + 48.0, right: left + third - 14.0, top: TOP, bottom: BOTTOM }
}

fn panel(curves: &[Curve], data: &SweepData, number: usize) -> Option<Xy> {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let reach = |e: &Estimate| if e.is_bounded() { e.hi } else { e.value };
    let unit = if by_tokens(data) { "tok/s" } else { "requests/s" };
    Some(Xy {
        place: place(number),
        x: axis(points().map(|(x, _)| *x), Unit::TokensPerSecond, Some(unit))?,
        y: axis(points().flat_map(|(_, e)| [0.0, reach(e)]), Unit::Seconds, None)?,
    })
}

/// Which level a point is of; what a search found stands out.
fn labels(canvas: &Canvas, xy: &Xy, data: &SweepData) -> anyhow::Result<()> {
    let mut last = f64::NEG_INFINITY;
    for level in &data.levels {
        let Some((x, e)) = throughput(data, level).zip(level.ttft) else { continue };
        let (left, top) = xy.at((x, e.value));
        let marked = data.marked.is_some_and(|marked| marked.to_bits() == level.level.to_bits());
        // Over each other they would say nothing.
        if !marked && (left - last).abs() < canvas::width_of(&level.label, theme::SMALL) + 4.0 {
            continue;
        }
        last = left;
        let ink = Ink::new(theme::SMALL, if marked { theme::NOTE } else { theme::INK });
        let ink = if marked { ink.bold() } else { ink };
        canvas.text(&level.label, (left + 5.0, top - 9.0), ink)?;
    }
    Ok(())
}

/// What came of what was offered.
fn achieved(canvas: &Canvas, data: &SweepData) -> anyhow::Result<()> {
    let points: Vec<(f64, Estimate)> =
        data.levels.iter().filter_map(|l| Some((l.level, l.achieved_rps?))).collect();
    let x = axis(points.iter().flat_map(|(x, _)| [0.0, *x]), Unit::TokensPerSecond, Some(""));
    let reach = points.iter().flat_map(|(_, e)| [0.0, if e.is_bounded() { e.hi } else { e.value }]);
    let (Some(x), Some(y)) = (x, axis(reach, Unit::TokensPerSecond, Some("requests/s"))) else {
        return Ok(());
    };
    let xy = Xy { place: place(2), x, y };
    xy.frame(canvas, "Achieved", &data.axis)?;
    if data.is_rate {
        let end = xy.x.hi.min(xy.y.hi);
        canvas.line(&[xy.at((0.0, 0.0)), xy.at((end, end))], theme::AXIS, 1.0, 1.2)?;
    }
    if let Some(marked) = data.marked {
        let line = [xy.at((marked, xy.y.lo)), xy.at((marked, xy.y.hi))];
        canvas.line(&line, theme::NOTE, 0.8, 1.2)?;
    }
    xy.line(canvas, &points, theme::CLIENT, 2.0)
}

fn legend(canvas: &Canvas, data: &SweepData, server_is: &str) -> anyhow::Result<()> {
    let mut left = theme::MARGIN;
    let row = HEIGHT - 52.0;
    for (name, ink) in
        [("client, mean", theme::CLIENT), ("client, p99 of TTFT", theme::QUIET), (server_is, theme::SERVER)]
    {
        canvas.line(&[(left, row), (left + 20.0, row)], ink, 1.0, 3.0)?;
        canvas.text(name, (left + 26.0, row), Ink::new(theme::BODY, theme::INK))?;
        left += 44.0 + canvas::width_of(name, theme::BODY);
    }
    let quiet = Ink::new(theme::SMALL, theme::QUIET);
    let mut notes = vec!["bars: 95 % intervals within runs; numbers: levels".to_owned()];
    if data.is_rate {
        notes.push("grey line: achieved = offered".to_owned());
    }
    if data.marked.is_some() {
        notes.push("dark orange: what the search found".to_owned());
    }
    canvas.text(&notes.join(" · "), (theme::MARGIN, row + 18.0), quiet)?;
    let early: Vec<&str> = data.levels.iter().filter(|l| l.ended_early).map(|l| l.label.as_str()).collect();
    if !early.is_empty() {
        let text = format!(
            "over-saturated, ended before their time, so that latencies are of what was answered by then: {}",
            early.join(", ")
        );
        let text = canvas::fit(&text, theme::SMALL, theme::WIDTH - 2.0 * theme::MARGIN);
        canvas.text(&text, (theme::MARGIN, row + 34.0), Ink::new(theme::SMALL, theme::NOTE))?;
    }
    Ok(())
}
