//! The tare itself: how client minus server is distributed over requests, with its mean and that mean's
//! interval. This file must not know how requests were joined.

use serde_json::json;

use super::chart::{self, Chart};
use super::page::{Figure, Link, Page, Section, short};
use super::svg::{self, SIDE};
use crate::metric::{Metric, Unit};
use crate::plot::Paired;
use crate::plot::draw::axis::Axis;
use crate::report::tables::Table;
use crate::stats::Estimate;
use crate::stats::kde::kde;
use crate::stats::moments::mean;
use crate::stats::quantile::{quantile, sorted};
use crate::units::{self, Scale};

/// Fewer values than this are dots.
const FEW: usize = 5;
const OUTLINE: usize = 201;

/// The section.
pub fn section(page: &mut Page<'_>) -> anyhow::Result<Option<Section>> {
    let mut cells = String::new();
    for paired in &page.report.figures.paired {
        cells += &figure(page, paired)?;
    }
    for paired in page.report.figures.paired.clone() {
        if let Some(axis) = Axis::of_differences(&sorted(&paired.values), Unit::Seconds) {
            let values = sorted(&paired.values);
            let steps = super::violins::STEPS.min(values.len().saturating_sub(1)).max(1);
            let q: Vec<_> =
                (0..=steps).filter_map(|i| quantile(&values, i as f64 / steps as f64)).map(short).collect();
            let data = json!({
                "names": ["requests"], "unit": axis.scale.name, "factor": axis.scale.factor,
                "lo": axis.lo, "hi": axis.hi, "q": [q],
            });
            page.add_data(&id(paired.metric), data);
        }
    }
    Ok((!cells.is_empty()).then(|| Section {
        id: "tare", short: "Tare",
        title: "The tare, request by request".to_owned(),
        lead: "Client minus server of each request that both sides tell of. Below zero: the two sides' stamps contradict, or lie within their resolution.".to_owned(),
        body: format!("<div class=\"cells two\">{cells}</div>"),
    }))
}

fn id(metric: Metric) -> String {
    format!("tare-{}", metric.column().trim_end_matches("_s"))
}

fn figure(page: &Page<'_>, paired: &Paired) -> anyhow::Result<String> {
    let values = sorted(&paired.values);
    let Some(axis) = Axis::of_differences(&values, Unit::Seconds) else { return Ok(String::new()) };
    let estimate = page.report.figures.difference(paired.metric);
    let mut marks = svg::verticals("grid", axis.ticks.iter().map(|t| chart::x(&axis, *t)), (0.0, SIDE));
    if let Some(e) = estimate.filter(Estimate::is_bounded) {
        marks += &svg::rect("interval tare", (chart::x(&axis, e.lo), 0.0), (chart::x(&axis, e.hi), SIDE));
    }
    if values.len() < FEW {
        marks += &svg::dots("dot tare", values.iter().map(|v| (chart::x(&axis, *v), SIDE / 2.0)));
    } else if let Some(curve) = kde(&values, axis.lo, axis.hi, OUTLINE) {
        let widest = curve.density.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let mut shape = vec![(chart::x(&axis, axis.lo), SIDE)];
        shape.extend(
            curve
                .at
                .iter()
                .zip(&curve.density)
                .map(|(v, d)| (chart::x(&axis, *v), SIDE - d / widest * 900.0)),
        );
        shape.push((chart::x(&axis, axis.hi), SIDE));
        marks += &svg::area("body tare", &shape);
    }
    if axis.lo <= 0.0 && axis.hi >= 0.0 {
        marks += &svg::verticals("zero", std::iter::once(chart::x(&axis, 0.0)), (0.0, SIDE));
    }
    let centre = estimate.map(|e| e.value).or_else(|| mean(&values));
    marks += &svg::verticals("mean-line", centre.into_iter().map(|m| chart::x(&axis, m)), (0.0, SIDE));
    let outside = values.iter().filter(|v| **v < axis.lo || **v > axis.hi).count();
    let what = match paired.metric {
        Metric::QueuePrefill => "TTFT beyond queue and prefill",
        Metric::E2e => "E2E",
        _ => "TTFT",
    };
    let title = match estimate {
        Some(e) if e.is_bounded() => {
            let scale = Scale::of(Unit::Seconds, e.value.abs());
            format!(
                "{what}: {} [{}, {}] on average",
                scale.show(e.value),
                scale.number(e.lo),
                scale.number(e.hi)
            )
        }
        Some(e) => format!("{what}: {} on average", units::seconds(e.value)),
        None => what.to_owned(),
    };
    let about = format!(
        "Shape: density of the differences. Line: their mean; band: its 95 % interval.{}",
        if outside > 0 {
            format!(
                " {} of {} lie off the axis.",
                units::count(outside as u64),
                units::count(values.len() as u64)
            )
        } else {
            String::new()
        }
    );
    let table = numbers(&values, axis.scale);
    let read: Vec<String> = table
        .head
        .iter()
        .zip(table.rows.first().into_iter().flatten())
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let body = Chart {
        class: "density",
        key: format!("values:{}", id(paired.metric)),
        alt: format!("{title}. {}", read.join(", ")),
        x_name: axis.scale.name.to_owned(),
        x: chart::ticks(&axis),
        marks,
        ..Chart::default()
    }
    .html(page)?
        + &page.table(&table)?;
    page.figure(Figure {
        id: id(paired.metric),
        class: "cell",
        title,
        about,
        body,
        hint: "Point at a difference, or use the arrow keys.",
        n: page.n_ok(values.len()),
        links: vec![Link { href: "data/requests.csv", text: "data (CSV)" }],
        ..Figure::default()
    })
}

fn numbers(values: &[f64], scale: Scale) -> Table {
    let negative = values.iter().filter(|v| **v < 0.0).count();
    let of = |q: f64| scale.number(quantile(values, q).unwrap_or(f64::NAN));
    let mut head = vec![scale.name.to_owned()];
    let mut row = vec!["client − server".to_owned()];
    for (name, cell) in [
        ("p1", of(0.01)),
        ("p5", of(0.05)),
        ("median", of(0.5)),
        ("p95", of(0.95)),
        ("p99", of(0.99)),
        ("below 0", units::count(negative as u64)),
        ("n", units::count(values.len() as u64)),
    ] {
        head.push(name.to_owned());
        row.push(cell);
    }
    Table { title: String::new(), head, rows: vec![row], below: Vec::new() }
}
