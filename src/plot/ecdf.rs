//! `ecdf`: which share of requests had its first token within a time, client against server. This
//! file must not know how the two sides were joined.
//!
//! The bands are Dvoretzky, Kiefer and Wolfowitz's with Massart's constant: with 95 % probability
//! the true curve lies within ±√(ln(2 / 0.05) / 2n) of the drawn one everywhere at once.

use super::draw::axis::Axis;
use super::draw::canvas::{self, Align, Canvas, Ink};
use super::draw::page;
use super::theme::Colour;
use super::{Drawn, Plot, PlotData, Side, theme};
use crate::metric::Metric;
use crate::stats::LEVEL;
use crate::units;

const HEIGHT: f64 = 420.0;
const LEFT: f64 = 62.0;
const TOP: f64 = 74.0;
const BOTTOM: f64 = 352.0;
/// Most points of a curve: more than pixels can show.
const POINTS: usize = 400;

/// The figure.
pub struct Ecdf;

struct Curve {
    label: String,
    values: Vec<f64>,
    colour: Colour,
    text: Colour,
}

impl Plot for Ecdf {
    fn name(&self) -> &'static str {
        "ecdf"
    }

    fn caption(&self) -> &'static str {
        "Share of successful requests that had their first token within a time"
    }

    fn draw(&self, data: &PlotData) -> anyhow::Result<Drawn> {
        let curves = curves(data);
        let values: Vec<&[f64]> = curves.iter().map(|c| c.values.as_slice()).collect();
        let Some(axis) = Axis::of(&values, Metric::Ttft.unit()) else {
            return Ok(Drawn::Nothing("no successful request has a TTFT".to_owned()));
        };
        let title = "Time to first token: share of requests that had it by then";
        let svg = canvas::svg((theme::WIDTH, HEIGHT), title, |canvas| {
            page::header(canvas, theme::WIDTH, title, &data.subtitle())?;
            frame(canvas, &axis)?;
            for curve in &curves {
                draw_curve(canvas, &axis, curve)?;
            }
            legend(canvas, &axis, &curves)
        })?;
        Ok(Drawn::Svg(svg))
    }
}

fn curves(data: &PlotData) -> Vec<Curve> {
    let curve = |metric: Metric, side: Side, name: &str| {
        let source = &data.sample(metric, side)?.source;
        let (colour, text) = match side {
            Side::Client => (theme::CLIENT, theme::CLIENT),
            Side::Server => (theme::SERVER, theme::SERVER_TEXT),
        };
        let label = if source.is_empty() { name.to_owned() } else { format!("{name} ({source})") };
        Some(Curve { label, values: data.ascending(metric, side)?, colour, text })
    };
    let server = curve(Metric::Ttft, Side::Server, "server TTFT")
        .or_else(|| curve(Metric::QueuePrefill, Side::Server, "server queue + prefill"));
    [curve(Metric::Ttft, Side::Client, "client TTFT"), server].into_iter().flatten().collect()
}

fn x(axis: &Axis, value: f64) -> f64 {
    LEFT + axis.fraction(value) * (theme::WIDTH - theme::MARGIN - LEFT)
}

fn y(share: f64) -> f64 {
    BOTTOM - share.clamp(0.0, 1.0) * (BOTTOM - TOP)
}

fn frame(canvas: &Canvas, axis: &Axis) -> anyhow::Result<()> {
    let ink = Ink::new(theme::SMALL, theme::QUIET);
    let right = theme::WIDTH - theme::MARGIN;
    for percent in [0, 25, 50, 75, 90, 100] {
        let y = y(f64::from(percent) / 100.0);
        canvas.line(&[(LEFT, y), (right, y)], theme::GRID, 1.0, 1.0)?;
        canvas.text(&format!("{percent} %"), (LEFT - 6.0, y), ink.align(Align::Right))?;
    }
    for tick in &axis.ticks {
        let x = x(axis, *tick);
        canvas.line(&[(x, TOP), (x, BOTTOM)], theme::GRID, 1.0, 1.0)?;
        canvas.text(&axis.label(*tick), (x, BOTTOM + 12.0), ink.align(Align::Centre))?;
    }
    canvas.line(&[(LEFT, BOTTOM), (right, BOTTOM)], theme::AXIS, 1.0, 1.0)?;
    let unit = format!("time to first token ({})", axis.scale.name);
    canvas.text(&unit, (right, BOTTOM + 30.0), Ink::new(theme::BODY, theme::INK).align(Align::Right))
}

fn draw_curve(canvas: &Canvas, axis: &Axis, curve: &Curve) -> anyhow::Result<()> {
    let n = curve.values.len();
    let shown = n - axis.beyond(&curve.values);
    let every = n.div_ceil(POINTS).max(1);
    let mut steps = vec![(axis.lo, 0.0)];
    let mut share = 0.0;
    for (i, value) in curve.values.iter().enumerate().take(shown) {
        if i % every == 0 || i + 1 == shown {
            steps.push((*value, share));
            share = (i + 1) as f64 / n as f64;
            steps.push((*value, share));
        }
    }
    steps.push((axis.hi, share));
    let band = ((2.0 / (1.0 - LEVEL)).ln() / (2.0 * n as f64)).sqrt();
    let shifted = |by: f64| steps.iter().map(move |(v, s)| (x(axis, *v), y(s + by)));
    let around: Vec<(f64, f64)> = shifted(band).chain(shifted(-band).rev()).collect();
    canvas.fill(&around, curve.colour, 0.12)?;
    let line: Vec<(f64, f64)> = shifted(0.0).collect();
    canvas.line(&line, curve.colour, 1.0, 2.0)
}

fn legend(canvas: &Canvas, axis: &Axis, curves: &[Curve]) -> anyhow::Result<()> {
    let mut left = LEFT;
    let row = BOTTOM + 30.0;
    for curve in curves {
        let text = format!("{}, n = {}", curve.label, units::count(curve.values.len() as u64));
        canvas.line(&[(left, row), (left + 22.0, row)], curve.colour, 1.0, 3.0)?;
        canvas.text(&text, (left + 28.0, row), Ink::new(theme::BODY, curve.text).bold())?;
        left += 48.0 + canvas::width_of(&text, theme::BODY);
    }
    let mut note = "band: 95 % for the whole curve (Dvoretzky–Kiefer–Wolfowitz)".to_owned();
    if let Some(q) = axis.ends_at {
        let beyond: Vec<String> =
            curves.iter().map(|c| units::count(axis.beyond(&c.values) as u64)).collect();
        note = format!("{note} · axis ends at p{:.0}, {} beyond", q * 100.0, beyond.join(" and "));
    }
    canvas.text(&note, (LEFT, row + 20.0), Ink::new(theme::SMALL, theme::QUIET))
}
