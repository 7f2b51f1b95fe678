//! `req_metrics_violin`: the four request metrics as the client saw them, four violins in one row,
//! each with its own axis. This file must not know how a metric is computed.

use super::draw::axis::Axis;
use super::draw::body::{Body, Part};
use super::draw::canvas::{self, Canvas};
use super::draw::page::{self, DENSITY};
use super::draw::panel::Panel;
use super::{Drawn, Plot, PlotData, Side, theme};
use crate::metric::Metric;
use crate::stats::moments::mean;
use crate::stats::quantile::quantile;
use crate::units;

/// The four, each with what it is in a few words.
const METRICS: [(Metric, &str); 4] = [
    (Metric::Ttft, "start to first token"),
    (Metric::Throughput, "output tokens / duration"),
    (Metric::ItlMean, "mean within each request"),
    (Metric::E2e, "start to last token"),
];
const SIZE: (f64, f64) = (theme::WIDTH, 440.0);

/// The figure.
pub struct Violin;

impl Plot for Violin {
    fn name(&self) -> &'static str {
        "req_metrics_violin"
    }

    fn caption(&self) -> &'static str {
        "TTFT, token throughput, inter-token latency and duration of each successful request, as the client measured them"
    }

    fn draw(&self, data: &PlotData) -> anyhow::Result<Drawn> {
        let columns: Vec<(Metric, &str, Vec<f64>)> = METRICS
            .iter()
            .filter_map(|(metric, about)| Some((*metric, *about, data.ascending(*metric, Side::Client)?)))
            .collect();
        if columns.is_empty() {
            return Ok(Drawn::Nothing("no successful request has a value to draw".to_owned()));
        }
        let title = "Request metrics, measured by the client";
        let svg = canvas::svg(SIZE, title, |canvas| {
            page::header(canvas, SIZE.0, title, &data.subtitle())?;
            let width = (SIZE.0 - 2.0 * theme::MARGIN) / METRICS.len() as f64;
            for (i, (metric, about, values)) in columns.iter().enumerate() {
                let left = theme::MARGIN + width * i as f64;
                column(canvas, (left, left + width), *metric, about, values)?;
            }
            page::legend(canvas, SIZE, &[DENSITY])
        })?;
        Ok(Drawn::Svg(svg))
    }
}

fn column(
    canvas: &Canvas,
    sides: (f64, f64),
    metric: Metric,
    about: &str,
    values: &[f64],
) -> anyhow::Result<()> {
    let Some(axis) = Axis::of(&[values], metric.unit()) else {
        return Ok(());
    };
    let panel = Panel::in_column(sides, page::TOP, axis);
    panel.draw(canvas, metric.name(), about)?;
    let body = Body {
        values,
        part: Part::Whole,
        x: panel.middle(),
        half_width: 0.42 * (panel.right - panel.left),
        colour: theme::CLIENT,
    };
    body.draw(canvas, &panel)?;

    let show = |value: Option<f64>| panel.axis.scale.number(value.unwrap_or(f64::NAN));
    let n = units::count(values.len() as u64);
    let of = |q: f64| show(quantile(values, q));
    let first = format!("median {} · mean {}", of(0.5), show(mean(values)));
    let second = format!("p95 {} · p99 {} · n = {n}", of(0.95), of(0.99));
    panel.cell(canvas, 0, panel.middle(), &first)?;
    panel.cell(canvas, 1, panel.middle(), &second)?;
    panel.beyond(canvas, 2, &[values])
}
