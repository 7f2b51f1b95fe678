//! `ecdf`: which share of requests had its first token, was done, … within a time: client against server, a panel a
//! metric. This file must not know how the two sides were joined.

use super::draw::axis::Axis;
use super::draw::canvas::{self, Canvas, Ink};
use super::draw::page;
use super::draw::shares::{ACROSS, BAND, ROW, Shares};
use super::theme::Colour;
use super::{Drawn, Plot, PlotData, Side, theme};
use crate::metric::Metric;
use crate::stats::quantile::quantile;
use crate::units;

const METRICS: [Metric; 4] = [Metric::Ttft, Metric::ItlMean, Metric::E2e, Metric::Throughput];

/// The figure.
pub struct Ecdf;

/// One metric's curves.
struct Of {
    metric: Metric,
    axis: Axis,
    curves: Vec<Curve>,
}

struct Curve {
    label: String,
    values: Vec<f64>,
    colour: Colour,
    text: Colour,
    width: f64,
}

impl Plot for Ecdf {
    fn name(&self) -> &'static str {
        "ecdf"
    }

    fn caption(&self) -> &'static str {
        "Share of successful requests that had their first token, were done, … within a time"
    }

    fn draw(&self, data: &PlotData) -> anyhow::Result<Drawn> {
        let panels: Vec<Of> = METRICS.iter().filter_map(|metric| of(data, *metric)).collect();
        let Some(title) = panels.first().map(finding) else {
            return Ok(Drawn::Nothing("no successful request has a value to draw".to_owned()));
        };
        let across = panels.len().min(ACROSS);
        let column = (theme::WIDTH - 2.0 * theme::MARGIN) / across as f64;
        let legend_at = page::TOP + ROW * panels.len().div_ceil(across) as f64;
        let svg = canvas::svg((theme::WIDTH, legend_at + 52.0), &title, |canvas| {
            page::header(canvas, theme::WIDTH, &title, &data.subtitle())?;
            for (i, of) in panels.iter().enumerate() {
                let left = theme::MARGIN + column * (i % across) as f64;
                let top = page::TOP + ROW * (i / across) as f64;
                of.draw(canvas, (left, left + column), top)?;
            }
            legend(canvas, legend_at + 8.0, &panels)
        })?;
        Ok(Drawn::Svg(svg))
    }
}

fn of(data: &PlotData, metric: Metric) -> Option<Of> {
    let curve = |metric: Metric, side: Side, name: &str| {
        let source = &data.sample(metric, side)?.source;
        let (colour, text, width) = match side {
            Side::Client => (theme::CLIENT, theme::CLIENT, 4.0),
            Side::Server => (theme::SERVER, theme::SERVER_TEXT, 1.6),
        };
        let label = if source.is_empty() { name.to_owned() } else { format!("{name} ({source})") };
        Some(Curve { label, values: data.ascending(metric, side)?, colour, text, width })
    };
    let mut server = curve(metric, Side::Server, "server");
    if metric == Metric::Ttft {
        // That is no TTFT, and is never called one.
        server = server.or_else(|| curve(Metric::QueuePrefill, Side::Server, "server's queue + prefill"));
    }
    let curves: Vec<Curve> = [curve(metric, Side::Client, "client"), server].into_iter().flatten().collect();
    let sets: Vec<&[f64]> = curves.iter().map(|c| c.values.as_slice()).collect();
    let axis = Axis::of(&sets, metric.unit())?;
    Some(Of { metric, axis, curves })
}

impl Of {
    fn draw(&self, canvas: &Canvas, column: (f64, f64), top: f64) -> anyhow::Result<()> {
        let panel = Shares::in_column(column, top, self.axis.clone());
        let n: Vec<String> = self.curves.iter().map(|c| units::count(c.values.len() as u64)).collect();
        panel.draw(canvas, self.metric.name(), &format!("n = {}", n.join(" | ")))?;
        for curve in &self.curves {
            panel.curve(canvas, &curve.values, curve.colour, curve.width)?;
        }
        let sets: Vec<&[f64]> = self.curves.iter().map(|c| c.values.as_slice()).collect();
        panel.beyond(canvas, &sets)
    }
}

/// Of the first panel: what half of the requests, and all but one in a hundred, kept within.
fn finding(of: &Of) -> String {
    let at = |q: f64| {
        let value = of.curves.first().and_then(|c| quantile(&c.values, q));
        of.axis.scale.show(value.unwrap_or(f64::NAN))
    };
    match of.metric {
        Metric::Ttft => format!(
            "Half of the requests had their first token within {}, 99 of 100 within {}",
            at(0.5),
            at(0.99)
        ),
        // More is better.
        Metric::Throughput => {
            format!("Half of the requests got {} or more, 99 of 100 {} or more", at(0.5), at(0.01))
        }
        metric => format!(
            "{}: half of the requests within {}, 99 of 100 within {}",
            metric.name(),
            at(0.5),
            at(0.99)
        ),
    }
}

/// Each curve once, whichever panel has it.
fn legend(canvas: &Canvas, y: f64, panels: &[Of]) -> anyhow::Result<()> {
    let mut shown: Vec<&str> = Vec::new();
    let mut left = theme::MARGIN;
    for curve in panels.iter().flat_map(|of| &of.curves) {
        if shown.contains(&curve.label.as_str()) {
            continue;
        }
        shown.push(&curve.label);
        canvas.line(&[(left, y), (left + 22.0, y)], curve.colour, 1.0, curve.width)?;
        canvas.text(&curve.label, (left + 28.0, y), Ink::new(theme::BODY, curve.text).bold())?;
        left += 48.0 + canvas::width_of(&curve.label, theme::BODY);
    }
    canvas.text(BAND, (theme::MARGIN, y + 22.0), Ink::new(theme::SMALL, theme::QUIET))
}
