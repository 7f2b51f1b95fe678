//! Which share of requests had its first token, its mean gap between tokens, its end, within a time: the
//! empirical distribution of both sides. The band is Dvoretzky, Kiefer and Wolfowitz's with Massart's
//! constant: with 95 % probability the true curve lies within ±√(ln(2 / 0.05) / 2n) of the drawn one
//! everywhere at once, if requests were independent. This file must not know how the sides were joined.

use super::chart::{self, Chart, tick};
use super::page::{Figure, Link, Page, Section};
use super::svg::{self, SIDE};
use super::violins::{Half, Halves, STEPS, halves};
use crate::metric::Metric;
use crate::plot::draw::axis::Axis;
use crate::stats::LEVEL;
use crate::stats::quantile::quantile;
use crate::units;

const SHOWN: [Metric; 3] = [Metric::Ttft, Metric::ItlMean, Metric::E2e];

/// The section.
pub fn section(page: &mut Page<'_>) -> anyhow::Result<Option<Section>> {
    let mut cells = String::new();
    for one in halves(page).iter().filter(|one| SHOWN.contains(&one.metric)) {
        cells += &figure(page, one)?;
    }
    Ok((!cells.is_empty()).then(|| Section {
        id: "shares", short: "Shares",
        title: "Shares of requests by time".to_owned(),
        lead: format!(
            "Empirical distributions of successful requests. A curve of more than {} is drawn by so many of its steps, evenly by rank. Band: 95 % for the whole curve (Dvoretzky–Kiefer–Wolfowitz), as if requests were independent.",
            units::count(STEPS as u64)
        ),
        body: format!("<div class=\"cells three\">{cells}</div>"),
    }))
}

fn figure(page: &Page<'_>, one: &Halves) -> anyhow::Result<String> {
    let sets: Vec<&[f64]> = one.halves.iter().map(|h| h.values.as_slice()).collect();
    let Some(axis) = Axis::of(&sets, one.metric.unit()) else { return Ok(String::new()) };
    let shares = [0, 25, 50, 75, 90, 100];
    let mut marks: String = shares
        .iter()
        .map(|p| SIDE - f64::from(*p) * 10.0)
        .map(|y| svg::line("grid", &[(0.0, y), (SIDE, y)]))
        .collect();
    marks += &svg::verticals("grid", axis.ticks.iter().map(|t| chart::x(&axis, *t)), (0.0, SIDE));
    for half in &one.halves {
        marks += &curve(half, &axis);
    }
    let scale = axis.scale;
    let at = |half: &Half, q: f64| scale.show(quantile(&half.values, q).unwrap_or(f64::NAN));
    let reads: Vec<String> = one
        .halves
        .iter()
        .map(|h| {
            format!(
                "{}: half within {}, 90 % within {}, 99 % within {}",
                h.name,
                at(h, 0.5),
                at(h, 0.9),
                at(h, 0.99)
            )
        })
        .collect();
    let alt = format!("{}. {}", one.heading, reads.join("; "));
    let body = Chart {
        class: "ecdf",
        key: format!("shares:{}", one.id),
        alt,
        y_name: "share".to_owned(),
        y: shares.iter().map(|p| tick(f64::from(*p) / 100.0, format!("{p} %"))).collect(),
        x_name: scale.name.to_owned(),
        x: chart::ticks(&axis),
        legend: one.halves.iter().map(|h| (h.class, h.name.clone())).collect(),
        marks,
    }
    .html(page)?;
    let n: Vec<String> =
        one.halves.iter().map(|h| format!("{} {}", units::count(h.values.len() as u64), h.name)).collect();
    let beyond: Vec<String> = one
        .halves
        .iter()
        .map(|h| format!("{} {}", units::count(axis.beyond(&h.values) as u64), h.name))
        .collect();
    let about = match axis.ends_at {
        Some(q) => {
            format!("{} The axis ends at p{:.0}; beyond are {}.", one.about, q * 100.0, beyond.join(", "))
        }
        None => one.about.clone(),
    };
    page.figure(Figure {
        id: format!("shares-{}", one.id),
        class: "cell",
        title: one.heading.clone(),
        about,
        body,
        hint: "Point at a time, or use the arrow keys.",
        n: n.join(", "),
        links: vec![Link { href: "data/requests.csv", text: "data (CSV)" }],
        ..Figure::default()
    })
}

fn curve(half: &Half, axis: &Axis) -> String {
    let n = half.values.len();
    if n == 0 {
        return String::new();
    }
    let steps = STEPS.min(n);
    // The rank of each step, from 1 to n.
    let ranks = (1..=steps).map(|i| (i * n).div_ceil(steps));
    let mut points = vec![(axis.lo, 0.0)];
    let mut share = 0.0;
    for rank in ranks {
        let Some(value) = half.values.get(rank - 1).filter(|v| **v <= axis.hi) else { break };
        points.push((*value, share));
        share = rank as f64 / n as f64;
        points.push((*value, share));
    }
    points.push((axis.hi, share));
    let band = ((2.0 / (1.0 - LEVEL)).ln() / (2.0 * n as f64)).sqrt();
    let at = |(value, share): &(f64, f64), by: f64| {
        (chart::x(axis, *value), SIDE * (1.0 - (share + by).clamp(0.0, 1.0)))
    };
    let mut around: Vec<(f64, f64)> = points.iter().map(|p| at(p, band)).collect();
    around.extend(points.iter().rev().map(|p| at(p, -band)));
    let line: Vec<(f64, f64)> = points.iter().map(|p| at(p, 0.0)).collect();
    svg::area(&format!("band {}", half.class), &around) + &svg::line(&format!("curve {}", half.class), &line)
}
