//! Single requests: what each part of their time was and where it lay, every stamp of both sides, and the gaps
//! between their tokens. This file must not know how requests were chosen or stamps placed.

use std::fmt::Write as _;

use serde::Serialize;

use super::any_request;
use super::chart::{self, Chart};
use super::page::{Page, Section};
use super::svg::{self, SIDE};
use crate::metric::Unit;
use crate::plot::draw::axis::Axis;
use crate::record::waterfall::{Chosen, Decode, DrawnPart, Extent, Stamp};
use crate::report::waterfall;
use crate::units::{self, milliseconds};

/// One request, as the template takes it.
#[derive(Serialize)]
struct One<'a> {
    anchor: String,
    open: bool,
    request_id: &'a str,
    index: u64,
    status: &'static str,
    bad: bool,
    why: String,
    /// What a filter looks for.
    kinds: String,
    figures: Vec<(&'static str, String)>,
    server: Vec<(&'static str, String)>,
    in_head: Vec<String>,
    error: Option<&'a str>,
    parts: Vec<PartLine>,
    lanes: Vec<Lane>,
    ticks: Vec<chart::Tick>,
    until: &'static str,
    unit: &'static str,
    stamps: Vec<StampLine>,
    gaps: String,
    decode: Option<String>,
    stalls: Vec<String>,
    unknown: &'a [String],
}

#[derive(Serialize)]
struct PartLine {
    name: &'static str,
    class: &'static str,
    ttft: String,
    e2e: String,
    how: &'static str,
    marks: Vec<Mark>,
}

/// Somewhere on the axis, in percent.
#[derive(Serialize)]
struct Mark {
    class: &'static str,
    left: String,
    width: String,
    say: String,
}

#[derive(Serialize)]
struct Lane {
    name: &'static str,
    class: &'static str,
    marks: Vec<Mark>,
}

#[derive(Serialize)]
struct StampLine {
    when: String,
    what: String,
    by: &'static str,
    class: &'static str,
    how: String,
}

/// The section.
pub fn section(page: &mut Page<'_>) -> anyhow::Result<Option<Section>> {
    let chosen = page.report.chosen;
    if chosen.is_empty() {
        return Ok(None);
    }
    let own = any_request::tools(page)?;
    let mut list = String::new();
    for (n, one) in chosen.iter().enumerate() {
        list += &page.render("waterfall.html", of(page, n, one)?)?;
    }
    let body = format!(
        "{own}<h3>Chosen for this page</h3><div class=\"tools js\"><label>Show <select data-kind><option value=\"\">all</option>\
         <option value=\"slowest\">the slowest</option><option value=\"largest\">those with the largest tare</option>\
         <option value=\"failed\">the failed</option><option value=\"at the\">ordinary ones</option></select></label> \
         <button type=\"button\" data-open>Open all</button> <output aria-live=\"polite\" data-shown></output></div>\
         <div data-requests>{list}</div>\
         <p class=\"meta\"><span>n {} of {} requests</span> <span>{}</span> \
         <a href=\"data/stamps.csv\">every stamp (CSV)</a> <a href=\"data/gaps.csv\">gaps between tokens (CSV)</a></p>",
        chosen.len(),
        units::count(page.report.correlated.rows.len() as u64),
        page.window(),
    );
    Ok(Some(Section {
        id: "requests", short: "Requests",
        title: "Single requests".to_owned(),
        lead: "Any request by its number or id; and the slowest, one of each kind of failure, and ordinary ones to hold them against.".to_owned(),
        body,
    }))
}

fn of<'a>(page: &Page<'_>, n: usize, chosen: &'a Chosen) -> anyhow::Result<One<'a>> {
    let w = &chosen.waterfall;
    let c = &w.row.client;
    let last = w.stamps.iter().map(|s| s.hi_s).fold(0.0, f64::max);
    let first = c.ttft_s.filter(|t| *t > 0.0);
    let end_s = first.or((last > 0.0).then_some(last));
    let axis = end_s.and_then(|end| Axis::between(0.0, end, Unit::Seconds));
    let r = &w.row;
    Ok(One {
        anchor: format!("request-{}", c.index),
        open: n == 0,
        request_id: &c.request_id,
        index: c.index,
        status: c.status.as_str(),
        bad: c.status.is_failure(),
        why: chosen.why.join(", "),
        kinds: chosen.why.join("|"),
        figures: known([
            ("TTFT", c.ttft_s),
            ("ITL", c.itl_mean_s),
            ("TPOT", c.tpot_s),
            ("E2E", c.e2e_s),
            ("", None),
        ]),
        server: known([
            ("TTFT", r.server_ttft_s),
            ("queue", r.server_queue_s),
            ("prefill", r.server_prefill_s),
            ("decode", r.server_decode_s),
            ("E2E", r.server_e2e_s),
        ]),
        in_head: waterfall::in_heads(w),
        error: c.error.as_deref(),
        parts: w.parts.iter().map(|p| part(p, axis.as_ref())).collect(),
        lanes: axis.as_ref().map(|axis| lanes(&w.stamps, axis)).unwrap_or_default(),
        ticks: axis.as_ref().map(chart::ticks).unwrap_or_default(),
        until: if first.is_some() { "until the first token" } else { "until its last stamp" },
        unit: axis.as_ref().map_or("", |axis| axis.scale.name),
        stamps: w.stamps.iter().map(stamp).collect(),
        gaps: w.decode.as_ref().map_or(Ok(String::new()), |decode| gaps(page, decode))?,
        decode: w.decode.as_ref().map(decoded),
        stalls: w.decode.as_ref().map(stalls).unwrap_or_default(),
        unknown: &w.unknown,
    })
}

fn known(all: [(&'static str, Option<f64>); 5]) -> Vec<(&'static str, String)> {
    all.into_iter().filter_map(|(name, value)| Some((name, units::seconds(value?)))).collect()
}

fn part(p: &DrawnPart, axis: Option<&Axis>) -> PartLine {
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), milliseconds);
    let ttft = p
        .bounds
        .map_or_else(|| number(p.ttft_s), |b| format!("{} … {}", milliseconds(b.lo_s), milliseconds(b.hi_s)));
    let marks = axis.map(|axis| p.extents.iter().flat_map(|e| extent(e, axis)).collect()).unwrap_or_default();
    PartLine {
        name: p.part.name(),
        class: p.part.whose().name(),
        ttft,
        e2e: number(p.e2e_s),
        how: p.how(),
        marks,
    }
}

/// Where a part perhaps is, and on that where it certainly is.
fn extent(e: &Extent, axis: &Axis) -> Vec<Mark> {
    let mark = |class, from: f64, to: f64| {
        let (from, to) = (axis.fraction(from) * 100.0, axis.fraction(to) * 100.0);
        Mark { class, left: svg::number(from), width: svg::number((to - from).max(0.0)), say: String::new() }
    };
    let perhaps = e.perhaps().map(|(from, to)| mark("perhaps", from, to));
    perhaps.into_iter().chain(e.certain().map(|(from, to)| mark("certain", from, to))).collect()
}

/// The stamps up to the first token, a lane for each side.
fn lanes(stamps: &[Stamp], axis: &Axis) -> Vec<Lane> {
    let sides = [("client's stamps", "client"), ("hops' stamps", "tare"), ("server's stamps", "server")];
    sides
        .into_iter()
        .filter_map(|(name, class)| {
            let marks: Vec<Mark> = stamps
                .iter()
                .filter(|s| s.by.whose().name() == class && s.hi_s >= axis.lo && s.lo_s <= axis.hi)
                .map(|s| {
                    let (from, to) = (axis.fraction(s.lo_s) * 100.0, axis.fraction(s.hi_s) * 100.0);
                    let say = format!("{}: {} ms", s.what, when(s));
                    // Narrower than a stroke it is a point.
                    let class = if to - from > 0.5 { "stamp perhaps" } else { "stamp" };
                    Mark { class, left: svg::number(from), width: svg::number(to - from), say }
                })
                .collect();
            (!marks.is_empty()).then_some(Lane { name, class, marks })
        })
        .collect()
}

/// ms since the start; a point, or within bounds.
fn when(s: &Stamp) -> String {
    let (lo, hi) = (milliseconds(s.lo_s), milliseconds(s.hi_s));
    if lo == hi { lo } else { format!("{lo} … {hi}") }
}

fn stamp(s: &Stamp) -> StampLine {
    StampLine {
        when: when(s),
        what: s.what.clone(),
        by: s.by.name(),
        class: s.by.whose().name(),
        how: s.note.clone().unwrap_or_default(),
    }
}

/// A stroke for each gap at the moment that ended it.
fn gaps(page: &Page<'_>, decode: &Decode) -> anyhow::Result<String> {
    let longest = decode.gaps.iter().map(|g| g.gap_s).fold(0.0, f64::max);
    let (first, last) =
        (decode.gaps.first().map_or(0.0, |g| g.at_s - g.gap_s), decode.gaps.last().map_or(0.0, |g| g.at_s));
    let (Some(down), Some(across)) =
        (Axis::between(0.0, longest * 1.05, Unit::Seconds), Axis::between(first, last, Unit::Seconds))
    else {
        return Ok(String::new());
    };
    let mut marks = chart::grid_across(&down);
    for (class, is_stall) in [("gap client", false), ("gap stall", true)] {
        for g in decode.gaps.iter().filter(|g| (g.gap_s > decode.stall_over_s) == is_stall) {
            let at = chart::x(&across, g.at_s);
            marks += &svg::verticals(class, std::iter::once(at), (chart::y(&down, g.gap_s), SIDE));
        }
    }
    if decode.stall_over_s < down.hi {
        let y = chart::y(&down, decode.stall_over_s);
        marks += &svg::line("limit", &[(0.0, y), (SIDE, y)]);
    }
    Chart {
        class: "gaps",
        alt: decoded(decode),
        y_name: format!("gap, {}", down.scale.name),
        y: chart::ticks(&down),
        x_name: format!("{} since the start", across.scale.name),
        x: chart::ticks(&across),
        marks,
        ..Chart::default()
    }
    .html(page)
}

fn decoded(decode: &Decode) -> String {
    let longest = decode.gaps.iter().map(|g| g.gap_s).fold(0.0, f64::max);
    format!(
        "Gaps between {} token events: median {}, longest {}; {} of {} between exact stamps. A stall is a gap over {}, twice the median of all gaps of the run: {} here.",
        decode.events,
        units::seconds(decode.median_s),
        units::seconds(longest),
        decode.exact_gaps,
        decode.gaps.len(),
        units::seconds(decode.stall_over_s),
        decode.stalls.len()
    )
}

/// The longest few stalls, in words.
fn stalls(decode: &Decode) -> Vec<String> {
    const TOLD: usize = 5;
    let mut longest: Vec<_> = decode.stalls.iter().collect();
    longest.sort_by(|a, b| b.gap.gap_s.total_cmp(&a.gap.gap_s));
    longest
        .iter()
        .take(TOLD)
        .map(|stall| {
            let g = &stall.gap;
            let mut said = format!(
                "{} before event {}, until {} ms",
                units::seconds(g.gap_s),
                g.event,
                milliseconds(g.at_s)
            );
            if g.bounds.width_s() > 0.0 {
                let _ = write!(
                    said,
                    " (between {} and {})",
                    units::seconds(g.bounds.lo_s),
                    units::seconds(g.bounds.hi_s)
                );
            }
            if stall.events_in_read > 1 {
                let _ = write!(said, "; {} events came in the read that ended it", stall.events_in_read);
            }
            if let Some(still) = stall.client_stood_still_s.filter(|still| *still > 0.0) {
                let _ = write!(said, "; the load tool stood still for {} of it", units::seconds(still));
            }
            said
        })
        .collect()
}
