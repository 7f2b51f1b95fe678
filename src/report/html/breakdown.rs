//! Where the time went: a bar for the mean and for each percentile, its parts in the order of time and in
//! the colour of their side, and the tables of the same numbers. This file must not know how a part was
//! found.

use std::fmt::Write as _;

use serde::Serialize;

use super::page::{Figure, Link, Page, Section};
use super::svg;
use crate::metric::Metric;
use crate::record::correlated::{Breakdown, Part, PartRow};
use crate::record::hops::{HopPart, HopPath, HopSide};
use crate::report::tables;
use crate::report::{breakdown, hops, next_level};
use crate::units::{self, milliseconds};

/// Bars, as the template takes them.
#[derive(Serialize)]
struct Bars {
    alt: String,
    bars: Vec<Bar>,
    legend: Vec<Segment>,
}

#[derive(Serialize)]
struct Bar {
    name: String,
    n: String,
    total: String,
    parts: Vec<Segment>,
}

#[derive(Clone, Serialize)]
struct Segment {
    name: String,
    /// Class names: whose it is, and which of theirs.
    class: String,
    /// Percent of the longest bar.
    width: String,
    /// From this width on its name fits: 0 never, 1 on a wide page, 2 on a small one, 3 always.
    room: u8,
    /// What pointing at it says.
    say: String,
}

/// The section.
pub fn section(page: &mut Page<'_>) -> anyhow::Result<Option<Section>> {
    let report = page.report;
    if report.audit.is_some() {
        return Ok(None);
    }
    let run = report.correlated;
    let mut body = String::new();
    for (of, path, table) in [
        (
            &run.breakdown,
            run.hops.ttft.as_ref(),
            breakdown::table(&run.breakdown, next_level::sentence(report)),
        ),
        (&run.breakdown_e2e, run.hops.e2e.as_ref(), breakdown::table(&run.breakdown_e2e, None)),
    ] {
        if let Some(path) = path.filter(|_| !run.hops.list.is_empty()) {
            body += &path_figure(page, path)?;
            body += &page.table(&hops::path(&run.hops, path.of))?;
        }
        if table.rows.is_empty() {
            continue;
        }
        body += &figure(page, of)?;
        body += &page.table(&table)?;
    }
    let more = tables::more(report);
    if !more.is_empty() {
        body += "<details class=\"more\"><summary>The same by prompt length, concurrency and time of the run</summary>";
        for table in &more {
            body += &page.table(table)?;
        }
        body += "</details>";
    }
    Ok((!body.is_empty()).then(|| Section {
        id: "breakdown", short: "Time",
        title: "Where the time went".to_owned(),
        lead: "Parts follow each other as the request did: client, path, server, path. Blue is the client's, orange the server's, purple what lies between them.".to_owned(),
        body,
    }))
}

fn figure(page: &Page<'_>, of: &Breakdown) -> anyhow::Result<String> {
    let what = if of.of == Metric::E2e { "E2E" } else { "TTFT" };
    let longest =
        of.columns.iter().map(|c| drawn_s(c.parts.iter().filter(|p| p.row.inside()).map(|p| p.mean_s)));
    let longest = longest.fold(f64::MIN_POSITIVE, f64::max);
    let bars: Vec<Bar> = of
        .columns
        .iter()
        .map(|column| Bar {
            name: column.at.clone(),
            n: format!("n {}", units::count(column.n as u64)),
            total: format!("{} ms", milliseconds(column.total_s)),
            parts: column
                .parts
                .iter()
                .filter(|p| p.row.inside())
                .map(|p| segment(p.row.name(), class(p.row), p.mean_s, longest, said(p, &column.at)))
                .collect(),
        })
        .collect();
    let negative = of.columns.iter().flat_map(|c| &c.parts).any(|p| p.row.inside() && p.mean_s < 0.0);
    let about = format!(
        "{what} at the mean and around its percentiles: {}.{}",
        of.rule,
        if negative { " A part below zero has no width; the table has it." } else { "" }
    );
    let id = format!("breakdown-{}", what.to_lowercase());
    draw(page, &id, breakdown::chief(of).unwrap_or_default(), about, bars, of.n)
}

fn path_figure(page: &Page<'_>, path: &HopPath) -> anyhow::Result<String> {
    let what = if path.of == Metric::E2e { "E2E" } else { "TTFT" };
    let longest = path.columns.iter().map(|c| drawn_s(c.parts.iter().map(|p| p.mean_s)));
    let longest = longest.fold(f64::MIN_POSITIVE, f64::max);
    let bars: Vec<Bar> = path
        .columns
        .iter()
        .map(|column| Bar {
            name: column.at.clone(),
            n: format!("n {}", units::count(column.n as u64)),
            total: format!("{} ms", milliseconds(column.total_s)),
            parts: column
                .parts
                .iter()
                .map(|p| segment(&p.name, hop_class(p), p.mean_s, longest, said_of_path(p, &column.at)))
                .collect(),
        })
        .collect();
    let id = format!("path-{}", what.to_lowercase());
    let title = format!("{what}, hop by hop");
    draw(
        page,
        &id,
        title,
        format!("Cut at every instant that nearly all requests have: {}.", path.rule),
        bars,
        path.n,
    )
}

fn draw(
    page: &Page<'_>,
    id: &str,
    title: String,
    about: String,
    bars: Vec<Bar>,
    n: usize,
) -> anyhow::Result<String> {
    let legend = bars.first().map(|bar| bar.parts.clone()).unwrap_or_default();
    let read = |bar: &Bar| {
        let parts: Vec<&str> = bar.parts.iter().map(|p| p.say.as_str()).collect();
        format!("{} ({}): {}", bar.name, bar.total, parts.join("; "))
    };
    let alt = bars.first().map(read).unwrap_or_default();
    let body = page.render("bars.html", Bars { alt, bars, legend })?;
    page.figure(Figure {
        id: id.to_owned(),
        class: "wide",
        title,
        about,
        body,
        hint: "Point at a part, or use the arrow keys.",
        n: page.n_ok(n),
        links: vec![Link { href: "data/breakdown.csv", text: "data (CSV)" }],
        ..Figure::default()
    })
}

/// What has a width.
fn drawn_s(parts: impl Iterator<Item = f64>) -> f64 {
    parts.filter(|s| s.is_finite()).map(|s| s.max(0.0)).sum()
}

fn segment(name: &str, class: String, mean_s: f64, longest_s: f64, say: String) -> Segment {
    let percent = mean_s.max(0.0) / longest_s * 100.0;
    // A letter is about 8 px; a bar is 800 px wide, or 500, or 250.
    let needed = name.chars().count() as f64 * 8.0 + 10.0;
    let fits = |width: f64| percent / 100.0 * width >= needed;
    let room = [800.0, 500.0, 250.0].iter().filter(|width| fits(**width)).count() as u8;
    Segment { name: name.to_owned(), class, width: svg::number(percent), room, say }
}

fn class(row: PartRow) -> String {
    let which = match row {
        PartRow::FrontEnd | PartRow::Connect | PartRow::PathOut | PartRow::PathOutAndReceipt => "first",
        PartRow::Queue => "waits",
        PartRow::Decode => "last",
        _ => "main",
    };
    format!("{} {which}", row.whose().name())
}

fn hop_class(part: &HopPart) -> String {
    let which = if part.side == HopSide::Request { "first" } else { "main" };
    format!("{} {which}", part.whose().name())
}

fn said(p: &Part, at: &str) -> String {
    let mut said = format!("{}, {at}: {} ms", p.row.name(), milliseconds(p.mean_s));
    if let Some(b) = p.bounds {
        let _ = write!(said, ", somewhere within {} … {}", milliseconds(b.lo_s), milliseconds(b.hi_s));
    } else if let Some(i) = p.interval {
        let _ = write!(said, " [{}, {}]", milliseconds(i.lo_s), milliseconds(i.hi_s));
    }
    let how = if p.measured { "measured" } else { "by subtraction" };
    format!("{said}; {how}; {}", p.row.definition())
}

fn said_of_path(p: &HopPart, at: &str) -> String {
    let mut said = format!("{}, {at}: {} ms", p.name, milliseconds(p.mean_s));
    if let Some(b) = p.bounds {
        let _ = write!(said, ", somewhere within {} … {}", milliseconds(b.lo_s), milliseconds(b.hi_s));
    } else if let Some(i) = p.interval {
        let _ = write!(said, " [{}, {}]", milliseconds(i.lo_s), milliseconds(i.hi_s));
    }
    said
}
