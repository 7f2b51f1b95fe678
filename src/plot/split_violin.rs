//! `split_violin`: what the client measured (left) against what the server measured (right), metric
//! by metric on one axis; and against what each hop between them saw. This file must not know how the
//! sides were joined.
//!
//! A server without spans gives queue and prefill only. That is no TTFT (the front end is missing),
//! so that half is called "queue + prefill", here as everywhere.

use super::draw::axis::Axis;
use super::draw::body::{Body, Part};
use super::draw::canvas::{self, Align, Canvas, Ink};
use super::draw::page::{self, COLUMN, DENSITY, NARROWEST};
use super::draw::panel::Panel;
use super::theme::{self, Colour};
use super::{Drawn, Plot, PlotData, Side, ascending};
use crate::metric::Metric;
use crate::stats::Estimate;
use crate::stats::moments::mean;
use crate::stats::quantile::quantile;
use crate::units::{self, Scale};

/// From the top of the figure to the end of its first columns.
pub(super) const COLUMNS_HEIGHT: f64 = 454.0;
const DIFFERENCE: &str = "Δ mean: paired difference client − server, with its 95 % interval";

/// The figure.
pub struct SplitViolin;

/// One column: a metric by two sides, left and right, ascending.
pub struct Pair {
    pub heading: String,
    pub about: String,
    pub names: [String; 2],
    pub metric: Metric,
    pub left: Vec<f64>,
    pub right: Vec<f64>,
    pub difference: Option<Estimate>,
}

impl Plot for SplitViolin {
    fn name(&self) -> &'static str {
        "split_violin"
    }

    fn caption(&self) -> &'static str {
        "What the client measured (left) against what the server, and each hop, measured (right), successful requests"
    }

    fn draw(&self, data: &PlotData) -> anyhow::Result<Drawn> {
        let pairs = pairs(data);
        if pairs.is_empty() {
            return Ok(Drawn::Nothing(
                "no metric has values per request on both sides (the server's spans or in-band metrics give them)"
                    .to_owned(),
            ));
        }
        let title = pairs.first().map(finding).unwrap_or_default();
        let needed = COLUMN * pairs.len() as f64 + 2.0 * theme::MARGIN;
        let width = needed.max(NARROWEST);
        let notes: &[&str] =
            if pairs.iter().any(|p| p.difference.is_some()) { &[DENSITY, DIFFERENCE] } else { &[DENSITY] };
        let size = (width, COLUMNS_HEIGHT + page::legend_height(width, notes));
        let svg = canvas::svg(size, &title, |canvas| {
            page::header(
                canvas,
                width,
                &title,
                &format!("{} · left and right, per request", data.subtitle()),
            )?;
            let column_width = (width - 2.0 * theme::MARGIN) / pairs.len() as f64;
            for (i, pair) in pairs.iter().enumerate() {
                let left = theme::MARGIN + column_width * i as f64;
                column(canvas, (left, left + column_width), page::TOP, pair)?;
            }
            page::legend(canvas, size, notes)
        })?;
        Ok(Drawn::Svg(svg))
    }
}

/// `TTFT 547.5 ms at the client, 546.9 ms at the server: 579.4 µs apart`, all means.
fn finding(pair: &Pair) -> String {
    let show = |values: &[f64]| {
        let mean = mean(values).unwrap_or(f64::NAN);
        Scale::of(pair.metric.unit(), mean.abs()).show(mean)
    };
    let [left, right] = &pair.names;
    let between = pair.difference.map(|e| {
        let scale = Scale::of(pair.metric.unit(), e.value.abs());
        format!(": {} apart", scale.show(e.value))
    });
    format!(
        "{} {} at the {left}, {} {}{}",
        pair.metric.name(),
        show(&pair.left),
        show(&pair.right),
        at(right),
        between.unwrap_or_default()
    )
}

/// `at the server`, or what it is instead.
fn at(name: &str) -> String {
    if name == "queue + prefill" { name.to_owned() } else { format!("at the {name}") }
}

/// The metrics that both sides have.
pub fn pairs(data: &PlotData) -> Vec<Pair> {
    let pair = |client: Metric, server: Metric, heading: String, server_name: &str| {
        let source = &data.sample(server, Side::Server)?.source;
        Some(Pair {
            heading,
            about: if source.is_empty() { String::new() } else { format!("{server_name}: {source}") },
            names: ["client".to_owned(), server_name.to_owned()],
            metric: client,
            left: data.ascending(client, Side::Client)?,
            right: data.ascending(server, Side::Server)?,
            difference: data.difference(server),
        })
    };
    let same = |metric: Metric| pair(metric, metric, metric.name().to_owned(), "server");
    let ttft = same(Metric::Ttft).or_else(|| {
        let heading = "TTFT | queue + prefill".to_owned();
        pair(Metric::Ttft, Metric::QueuePrefill, heading, "queue + prefill")
    });
    let others = [Metric::Throughput, Metric::ItlMean, Metric::E2e].map(same);
    let hops = data.hops.iter().filter_map(|hop| {
        Some(Pair {
            heading: format!("{} at {}", hop.metric.name(), hop.hop),
            about: format!("{}: its own timers", hop.hop),
            names: ["client".to_owned(), hop.hop.clone()],
            metric: hop.metric,
            left: ascending(&hop.client)?,
            right: ascending(&hop.seen)?,
            difference: hop.difference,
        })
    });
    [ttft].into_iter().chain(others).flatten().chain(hops).collect()
}

/// Draws a column that begins at `top`.
pub(super) fn column(canvas: &Canvas, sides: (f64, f64), top: f64, pair: &Pair) -> anyhow::Result<()> {
    let Some(axis) = Axis::of(&[&pair.left, &pair.right], pair.metric.unit()) else {
        return Ok(());
    };
    let panel = Panel::in_column(sides, top, axis);
    panel.draw(canvas, &pair.heading, &pair.about)?;
    let half_width = (0.44 * (panel.right - panel.left)).min(120.0);
    let x = panel.middle();
    let half = |values, part, colour, shift: f64| Body { values, part, x: x + shift, half_width, colour };
    half(&pair.left, Part::LeftHalf, theme::CLIENT, -1.0).draw(canvas, &panel)?;
    half(&pair.right, Part::RightHalf, theme::SERVER, 1.0).draw(canvas, &panel)?;

    for (row, name) in ["median", "p99", "n"].into_iter().enumerate() {
        panel.row_name(canvas, row + 1, name)?;
    }
    let offset = (0.26 * (panel.right - panel.left)).min(70.0);
    let [left, right] = &pair.names;
    numbers(canvas, &panel, x - offset, (left, theme::CLIENT), &pair.left)?;
    numbers(canvas, &panel, x + offset, (right, theme::SERVER_TEXT), &pair.right)?;
    if let Some(difference) = &pair.difference {
        let text = difference_text(difference, pair.metric);
        panel.note(canvas, 4, &text, theme::INK)?;
    }
    panel.beyond(canvas, 5, &[&pair.left, &pair.right])
}

/// The numbers below one half, headed by its name.
fn numbers(
    canvas: &Canvas,
    panel: &Panel,
    x: f64,
    (name, colour): (&str, Colour),
    values: &[f64],
) -> anyhow::Result<()> {
    let bold = Ink::new(theme::SMALL, colour).bold().align(Align::Centre);
    canvas.text(name, (x, panel.row(0)), bold)?;
    let of = |q: f64| panel.axis.scale.number(quantile(values, q).unwrap_or(f64::NAN));
    panel.cell(canvas, 1, x, &of(0.5))?;
    panel.cell(canvas, 2, x, &of(0.99))?;
    panel.cell(canvas, 3, x, &units::count(values.len() as u64))
}

/// The mean difference in its own unit, usually a finer one than the axis', with its interval.
fn difference_text(difference: &Estimate, metric: Metric) -> String {
    let scale = Scale::of(metric.unit(), difference.value.abs());
    let mean = scale.show(difference.value);
    if difference.is_bounded() {
        let (lo, hi) = (scale.number(difference.lo), scale.number(difference.hi));
        format!("Δ mean {mean} [{lo}, {hi}]")
    } else {
        format!("Δ mean {mean} (no interval)")
    }
}
