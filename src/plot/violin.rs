//! `req_metrics_violin`: the four request metrics as the client saw them, four violins in one row,
//! each with its own axis. This file must not know how a metric is computed.

use super::draw::axis::Axis;
use super::draw::body::{Body, Part};
use super::draw::canvas::{self, Canvas};
use super::draw::page::{self, COLUMN, DENSITY, NARROWEST};
use super::draw::panel::Panel;
use super::{Drawn, Plot, PlotData, Side, theme};
use crate::metric::Metric;
use crate::stats::moments::mean;
use crate::stats::quantile::quantile;
use crate::units::{self, Scale};

/// The four, each with what it is in a few words.
const METRICS: [(Metric, &str); 4] = [
    (Metric::Ttft, "start to first token"),
    (Metric::Throughput, "output tokens / duration"),
    (Metric::ItlMean, "mean within each request"),
    (Metric::E2e, "start to last token"),
];
/// From the top of the figure to the end of its columns.
const COLUMNS_HEIGHT: f64 = 406.0;

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
        let title = format!("Medians: {}", finding(&columns));
        let width = (COLUMN * columns.len() as f64 + 2.0 * theme::MARGIN).max(NARROWEST);
        let size = (width, COLUMNS_HEIGHT + page::legend_height(width, &[DENSITY]));
        let svg = canvas::svg(size, &title, |canvas| {
            page::header(canvas, width, &title, &format!("{} · measured by the client", data.subtitle()))?;
            let width = (width - 2.0 * theme::MARGIN) / columns.len() as f64;
            for (i, (metric, about, values)) in columns.iter().enumerate() {
                let left = theme::MARGIN + width * i as f64;
                column(canvas, (left, left + width), *metric, about, values)?;
            }
            page::legend(canvas, size, &[DENSITY])
        })?;
        Ok(Drawn::Svg(svg))
    }
}

/// `TTFT 669.1 ms, Token Throughput 53.81 tok/s`.
fn finding(columns: &[(Metric, &str, Vec<f64>)]) -> String {
    let of = |(metric, _, values): &(Metric, &str, Vec<f64>)| {
        let median = quantile(values, 0.5)?;
        Some(format!("{} {}", short(*metric), Scale::of(metric.unit(), median.abs()).show(median)))
    };
    columns.iter().filter_map(of).collect::<Vec<_>>().join(", ")
}

/// A title has little room.
fn short(metric: Metric) -> &'static str {
    match metric {
        Metric::Throughput => "throughput",
        Metric::ItlMean => "ITL",
        Metric::E2e => "duration",
        metric => metric.name(),
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
