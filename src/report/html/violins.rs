//! The distribution of each metric on both sides, as halves of one violin, with the same numbers in a table
//! below. This file must not know how the sides were joined.

use serde_json::json;

use super::chart::{self, Chart};
use super::page::{Figure, Link, Page, Section, short};
use super::svg::{self, SIDE};
use crate::metric::Metric;
use crate::plot::draw::axis::Axis;
use crate::plot::{self, Side};
use crate::report::tables::{self, Table};
use crate::stats::Estimate;
use crate::stats::kde::kde;
use crate::stats::moments::mean;
use crate::stats::quantile::quantile;
use crate::units::{self, Scale};

/// The four that a row of violins shows.
pub const METRICS: [Metric; 4] = [Metric::Ttft, Metric::ItlMean, Metric::E2e, Metric::Throughput];
/// Fewer values than this are dots: a density would be invented.
const FEW: usize = 5;
/// Points of an outline.
const OUTLINE: usize = 121;
/// So many steps of a distribution go into the island.
pub const STEPS: usize = 400;

/// One metric by one side or two, ascending.
pub struct Halves {
    pub id: String,
    pub heading: String,
    pub about: String,
    pub metric: Metric,
    pub halves: Vec<Half>,
    /// Left − right, or right − left where `added`.
    pub difference: Option<Estimate>,
    pub added: bool,
}

/// One side of it.
pub struct Half {
    pub name: String,
    /// `client`, `server` or `tare` (a hop, or the way through one).
    pub class: &'static str,
    pub values: Vec<f64>,
}

/// The section.
pub fn section(page: &mut Page<'_>) -> anyhow::Result<Option<Section>> {
    let all = halves(page);
    if all.is_empty() {
        return Ok(None);
    }
    let mut cells = String::new();
    for one in &all {
        cells += &figure(page, one)?;
    }
    for one in &all {
        let value = island(one);
        page.add_data(&one.id, value);
    }
    let mut body = format!("<div class=\"cells\">{cells}</div>");
    if page.report.audit.is_none() {
        for table in [tables::client(page.report), tables::server(page.report)] {
            if !table.rows.is_empty() {
                body += &page.table(&table)?;
            }
        }
    }
    Ok(Some(Section {
        id: "distributions", short: "Distributions",
        title: "Distributions".to_owned(),
        lead: "Of successful requests. Width: density (Gaussian kernel, improved Sheather–Jones), within the data's range; box: quartiles, stroke: median, dot: mean.".to_owned(),
        body,
    }))
}

/// Every metric that there are values of: by both sides where both tell it, else the client's alone; then
/// the hops, and the two ways of an audit.
pub fn halves(page: &Page<'_>) -> Vec<Halves> {
    let data = page.report.figures;
    let half =
        |name: &str, class, values: &[f64]| Half { name: name.to_owned(), class, values: values.to_vec() };
    let pairs = plot::pairs(data);
    let mut all = Vec::new();
    for metric in METRICS {
        let of_hop = |p: &&plot::Pair| data.hops.iter().any(|hop| p.names.contains(&hop.hop));
        let both = pairs.iter().filter(|p| !of_hop(p)).find(|p| p.metric == metric);
        let alone = data.ascending(metric, Side::Client);
        let (heading, about, halves, difference) = match (both, alone) {
            (Some(p), _) => {
                let [client, server] = &p.names;
                let halves = vec![half(client, "client", &p.left), half(server, "server", &p.right)];
                (p.heading.clone(), p.about.clone(), halves, p.difference)
            }
            (None, Some(values)) => {
                let about = "the server tells none of single requests".to_owned();
                (metric.name().to_owned(), about, vec![half("client", "client", &values)], None)
            }
            (None, None) => continue,
        };
        let id = metric.column().to_owned();
        all.push(Halves { id, heading, about, metric, halves, difference, added: false });
    }
    for (n, p) in pairs.iter().filter(|p| data.hops.iter().any(|hop| p.names.contains(&hop.hop))).enumerate()
    {
        let [client, hop] = &p.names;
        all.push(Halves {
            id: format!("hop-{n}"),
            heading: p.heading.clone(),
            about: p.about.clone(),
            metric: p.metric,
            halves: vec![half(client, "client", &p.left), half(hop, "tare", &p.right)],
            difference: p.difference,
            added: false,
        });
    }
    for (n, arms) in data.arms.iter().enumerate() {
        let (direct, through) = (finite(&arms.direct), finite(&arms.through));
        if direct.is_empty() || through.is_empty() {
            continue;
        }
        all.push(Halves {
            id: format!("arms-{n}"),
            heading: arms.metric.name().to_owned(),
            about: arms.about.clone(),
            metric: arms.metric,
            halves: vec![half("direct", "server", &direct), half("through", "tare", &through)],
            difference: arms.added,
            added: true,
        });
    }
    all
}

fn finite(values: &[f64]) -> Vec<f64> {
    let mut values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

fn figure(page: &Page<'_>, one: &Halves) -> anyhow::Result<String> {
    let sets: Vec<&[f64]> = one.halves.iter().map(|h| h.values.as_slice()).collect();
    let Some(axis) = Axis::of(&sets, one.metric.unit()) else { return Ok(String::new()) };
    let mut marks = chart::grid_across(&axis);
    for (n, half) in one.halves.iter().enumerate() {
        let reach = match (one.halves.len(), n) {
            (1, _) => (-1.0, 1.0),
            (_, 0) => (-1.0, 0.0),
            _ => (0.0, 1.0),
        };
        marks += &body(half, reach, &axis);
    }
    let table = numbers(one, &axis);
    let alt = format!("{}: {}", one.heading, read(&table));
    let body = Chart {
        class: "violin",
        key: format!("values:{}", one.id),
        alt,
        y_name: axis.scale.name.to_owned(),
        y: chart::ticks(&axis),
        marks,
        ..Chart::default()
    }
    .html(page)?
        + &page.table(&table)?;
    let n: Vec<String> =
        one.halves.iter().map(|h| format!("{} {}", units::count(h.values.len() as u64), h.name)).collect();
    page.figure(Figure {
        id: format!("violin-{}", one.id),
        class: "cell",
        title: one.heading.clone(),
        about: one.about.clone(),
        body,
        hint: "Point at a height, or use the arrow keys.",
        n: n.join(", "),
        links: vec![Link { href: "data/requests.csv", text: "data (CSV)" }],
        ..Figure::default()
    })
}

/// A table's rows, read out.
fn read(table: &Table) -> String {
    let names = table.head.get(1..).unwrap_or_default();
    let row = |row: &Vec<String>| {
        let cells = row.get(1..).unwrap_or_default().iter().zip(names);
        let cells: Vec<String> = cells.map(|(value, name)| format!("{name} {value}")).collect();
        format!("{} {}", row.first().map_or("", String::as_str), cells.join(", "))
    };
    table.rows.iter().map(row).collect::<Vec<_>>().join("; ")
}

/// A violin, or half of one.
fn body(half: &Half, (left, right): (f64, f64), axis: &Axis) -> String {
    const HALF_WIDTH: f64 = 440.0;
    let values = &half.values;
    let (Some(min), Some(max)) = (values.first(), values.last()) else { return String::new() };
    let at = |offset: f64| SIDE / 2.0 + offset * HALF_WIDTH;
    let class = half.class;
    if values.len() < FEW || min >= max {
        // Equal ones would lie on each other.
        let shown = if min >= max { 1 } else { values.len() };
        let dots = values.iter().take(shown).map(|v| (at(f64::midpoint(left, right)), chart::y(axis, *v)));
        return svg::dots(&format!("dot {class}"), dots);
    }
    let (lo, hi) = (min.max(axis.lo), max.min(axis.hi));
    let Some(curve) = kde(values, lo, hi, OUTLINE) else { return String::new() };
    let widest = curve.density.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let side = |reach: f64| -> Vec<(f64, f64)> {
        let points = curve.at.iter().zip(&curve.density);
        points.map(|(v, d)| (at(reach * d / widest), chart::y(axis, *v))).collect()
    };
    // The straight side of a half needs its ends only.
    let straight = vec![(at(0.0), chart::y(axis, lo)), (at(0.0), chart::y(axis, hi))];
    let mut shape = if left < 0.0 { side(left) } else { straight.clone() };
    let mut other = if right > 0.0 { side(right) } else { straight };
    other.reverse();
    shape.extend(other);
    let mut out = svg::area(&format!("body {class}"), &shape);
    let quartiles = [0.25, 0.5, 0.75].map(|q| quantile(values, q).unwrap_or(f64::NAN));
    let [q1, median, q3] = quartiles.map(|v| chart::y(axis, v));
    out += &svg::rect("box", (at(left * 0.03), q1), (at(right * 0.03), q3));
    out += &svg::line("median", &[(at(left * 0.45), median), (at(right * 0.45), median)]);
    if let Some(mean) = mean(values).filter(|m| *m <= axis.hi) {
        out += &svg::dots(
            "mean",
            std::iter::once((at(f64::midpoint(left, right) * 0.12), chart::y(axis, mean))),
        );
    }
    out
}

fn numbers(one: &Halves, axis: &Axis) -> Table {
    let scale = axis.scale;
    let quantiles = [("median", 0.5), ("p90", 0.9), ("p99", 0.99)];
    let per_half = |of: &dyn Fn(&Half) -> String| one.halves.iter().map(of).collect::<Vec<_>>();
    let mut rows = vec![row("mean", per_half(&|h| scale.number(mean(&h.values).unwrap_or(f64::NAN))))];
    for (name, q) in quantiles {
        rows.push(row(name, per_half(&|h| scale.number(quantile(&h.values, q).unwrap_or(f64::NAN)))));
    }
    rows.push(row("n", per_half(&|h| units::count(h.values.len() as u64))));
    let mut below: Vec<String> = one.difference.iter().map(|d| said(d, one)).collect();
    if let Some(q) = axis.ends_at {
        let beyond: Vec<String> = one
            .halves
            .iter()
            .map(|h| format!("{} {}", units::count(axis.beyond(&h.values) as u64), h.name))
            .collect();
        let max =
            one.halves.iter().filter_map(|h| h.values.last()).copied().fold(f64::NEG_INFINITY, f64::max);
        below.push(format!(
            "The axis ends at p{:.0}: beyond are {}, up to {}.",
            q * 100.0,
            beyond.join(", "),
            scale.show(max)
        ));
    }
    let head =
        std::iter::once(scale.name.to_owned()).chain(one.halves.iter().map(|h| h.name.clone())).collect();
    Table { title: String::new(), head, rows, below }
}

fn row(name: &str, cells: Vec<String>) -> Vec<String> {
    std::iter::once(name.to_owned()).chain(cells).collect()
}

/// The mean difference in its own unit.
fn said(difference: &Estimate, one: &Halves) -> String {
    let scale = Scale::of(one.metric.unit(), difference.value.abs());
    let name = if one.added { "added" } else { "tare" };
    if difference.is_bounded() {
        let (lo, hi) = (scale.number(difference.lo), scale.number(difference.hi));
        format!("Mean {name}: {} [{lo}, {hi}], paired.", scale.show(difference.value))
    } else {
        format!("Mean {name}: {}, paired (no interval).", scale.show(difference.value))
    }
}

/// The distributions themselves, as quantiles in even steps.
fn island(one: &Halves) -> serde_json::Value {
    let sets: Vec<&[f64]> = one.halves.iter().map(|h| h.values.as_slice()).collect();
    let axis = Axis::of(&sets, one.metric.unit());
    let quantiles = |values: &[f64]| -> Vec<serde_json::Value> {
        let steps = STEPS.min(values.len().saturating_sub(1)).max(1);
        (0..=steps).filter_map(|i| quantile(values, i as f64 / steps as f64)).map(short).collect()
    };
    json!({
        "names": one.halves.iter().map(|h| &h.name).collect::<Vec<_>>(),
        "unit": axis.as_ref().map(|a| a.scale.name),
        "factor": axis.as_ref().map(|a| a.scale.factor),
        "lo": axis.as_ref().map(|a| a.lo),
        "hi": axis.as_ref().map(|a| a.hi),
        "q": sets.iter().map(|values| quantiles(values)).collect::<Vec<_>>(),
    })
}
