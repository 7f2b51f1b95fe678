//! The run over time: lanes one above the other on one axis, client and server in each. The whole run is drawn,
//! whatever the report is made from; that part is marked. This file must not know how anything was counted.

use serde_json::{Value, json};

use super::chart::{self, Chart, tick};
use super::page::{Figure, Link, Page, Section, short, short_or_null};
use super::svg::{self, SIDE};
use crate::metric::{Metric, Unit};
use crate::plot::draw::axis::Axis;
use crate::record::Status;
use crate::record::correlated::Evidence;
use crate::record::timeline::{AtServer, Bin, Firsts, Timeline};
use crate::stats::quantile::sorted;
use crate::units;

const LABEL: &str = "The run over time: arrow keys move along it, with Shift they choose a part";
const HINT: &str =
    "Point at a moment, or use the arrow keys; a click on a dot, or Enter, shows that request below.";
/// More requests than this are drawn by every so many-th, by start.
pub const DOTS: usize = 3_000;
/// Up to so many scrapes are marked one by one.
const SCRAPES: usize = 200;
/// And so many are at hand when a part of the run is chosen.
const AT_HAND: usize = 20_000;

/// The section.
pub fn section(page: &mut Page<'_>) -> anyhow::Result<Option<Section>> {
    let Some(line) = page.report.timeline else { return Ok(None) };
    let axis_x = Axis::between(0.0, line.length_s, Unit::TokensPerSecond);
    let lanes = [requests(page, line), first_tokens(page, line), tokens(page, line), cache(page, line)];
    let lanes: Vec<Chart> = lanes.into_iter().flatten().collect();
    let mut drawn = String::new();
    for (n, lane) in lanes.iter().enumerate() {
        // The last lane has the axis of all.
        let x = axis_x.as_ref().filter(|_| n + 1 == lanes.len());
        let whole = Chart {
            x: x.map(chart::ticks).unwrap_or_default(),
            x_name: if x.is_some() { "s since the first start".to_owned() } else { String::new() },
            ..lane.clone()
        };
        drawn += &whole.html(page)?;
    }
    let body = format!(
        "<div class=\"timeline\" data-timeline tabindex=\"0\" role=\"group\" aria-label=\"{LABEL}\">{drawn}</div>\
         <output class=\"readout js\" aria-live=\"polite\" data-readout data-hint=\"{HINT}\">{HINT}</output>\
         <div class=\"tools js\"><button type=\"button\" data-zoom disabled>Zoom to the chosen part</button>\
         <button type=\"button\" data-whole disabled>Whole run</button></div>\
         <output class=\"readout chosen js\" aria-live=\"polite\" data-chosen>Drag over a part of the run to choose it (keys: Shift and an arrow; Enter zooms, Escape lets go).</output>"
    );
    let dots = line.requests.len().div_ceil(DOTS).max(1);
    let about = format!(
        "Client: averaged over stretches of {}{}. Server: {}.{}{}",
        units::stretch(line.bin_s),
        line.firsts.first().map_or_else(String::new, |f| format!(
            ", TTFT by the requests that started in {}",
            units::stretch(f.end_s - f.begin_s)
        )),
        match line.server_source {
            Some(Evidence::Metrics) => "as scraped from its metrics endpoint, rates between scrapes",
            Some(_) => "by the stats lines of its log",
            None => "nothing was scraped",
        },
        if dots > 1 { format!(" Dots: every {dots}th request by start.") } else { String::new() },
        marked(page)
    );
    let figure = Figure {
        id: "over-time".to_owned(),
        class: "wide",
        title: "Client and server on one axis".to_owned(),
        about,
        body,
        // It has its own, beside the lanes.
        hint: "",
        n: format!("{} requests", units::count(line.requests.len() as u64)),
        window: format!("whole run, {}", units::seconds(line.length_s)),
        links: vec![
            Link { href: "data/timeline_client.csv", text: "client's data (CSV)" },
            Link { href: "data/timeline_ttft.csv", text: "TTFT (CSV)" },
            Link { href: "data/timeline_server.csv", text: "server's data (CSV)" },
        ],
    };
    let body = page.figure(figure)?;
    page.add_data("timeline", island(line));
    Ok(Some(Section {
        id: "timeline",
        short: "Timeline",
        title: "The run over time".to_owned(),
        lead: String::new(),
        body,
    }))
}

/// What is shaded behind the lanes, in words.
fn marked(page: &Page<'_>) -> String {
    let (w, s) = (&page.report.summary.window, &page.report.summary.steady);
    if w.is_cut() {
        format!(" Shaded: the window of this report, {:.1} s to {:.1} s.", w.begin_s, w.end_s)
    } else if let Some((begin, end)) = s.begin_s.zip(s.end_s).filter(|_| page.report.audit.is_none()) {
        format!(" Shaded: the steady state, {begin:.1} s to {end:.1} s.")
    } else {
        String::new()
    }
}

/// The shade, and lines at the axis' ticks.
fn behind(page: &Page<'_>, line: &Timeline, axis: &Axis) -> String {
    let (w, s) = (&page.report.summary.window, &page.report.summary.steady);
    let part = if w.is_cut() {
        Some((w.begin_s, w.end_s))
    } else {
        s.begin_s.zip(s.end_s).filter(|_| page.report.audit.is_none())
    };
    let shade = part.map(|(begin, end)| svg::rect("shade", (x(line, begin), 0.0), (x(line, end), SIDE)));
    shade.unwrap_or_default() + &chart::grid_across(axis)
}

fn x(line: &Timeline, at_s: f64) -> f64 {
    SIDE * at_s / line.length_s
}

fn bins(line: &Timeline, axis: &Axis, class: &str, value: impl Fn(&Bin) -> Option<f64>) -> String {
    let stretch = |b: &Bin| (x(line, b.begin_s), x(line, b.end_s), value(b).map(|v| chart::y(axis, v)));
    svg::steps(class, line.bins.iter().map(stretch))
}

fn medians(line: &Timeline, axis: &Axis, class: &str, value: fn(&Firsts) -> Option<f64>) -> String {
    let stretch = |f: &Firsts| (x(line, f.begin_s), x(line, f.end_s), value(f).map(|v| chart::y(axis, v)));
    svg::steps(class, line.firsts.iter().map(stretch))
}

fn gauge(line: &Timeline, axis: &Axis, class: &str, value: impl Fn(&AtServer) -> Option<f64>) -> String {
    let points: Vec<(f64, f64)> =
        line.server.iter().filter_map(|p| Some((x(line, p.at_s), chart::y(axis, value(p)?)))).collect();
    // Between two scrapes nothing is known: what was scraped is marked, while there is room.
    let dots = if points.len() <= SCRAPES { points.clone() } else { Vec::new() };
    svg::line(class, &points) + &svg::dots("dot server sample", dots.into_iter())
}

/// An axis from zero for values without a unit of their own.
fn from_zero(values: impl Iterator<Item = f64>) -> Option<Axis> {
    let most = values.filter(|v| v.is_finite()).fold(0.0, f64::max);
    Axis::between(0.0, if most > 0.0 { most * 1.08 } else { 1.0 }, Unit::TokensPerSecond)
}

fn most(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.flatten().filter(|v| v.is_finite()).reduce(f64::max)
}

fn requests(page: &Page<'_>, line: &Timeline) -> Option<Chart> {
    let flights = line.bins.iter().map(|b| b.in_flight);
    let gauges = line.server.iter().flat_map(|p| [p.running, p.waiting]).flatten();
    let axis = from_zero(flights.clone().chain(gauges))?;
    let mut marks = behind(page, line, &axis);
    marks += &bins(line, &axis, "curve client", |b| Some(b.in_flight));
    marks += &gauge(line, &axis, "curve server", |p| p.running);
    marks += &gauge(line, &axis, "curve server thin", |p| p.waiting);
    let failed: Vec<f64> =
        line.requests.iter().filter(|r| r.status.is_failure()).map(|r| x(line, r.done_s)).collect();
    marks += &svg::verticals("failed", failed.iter().copied(), (0.0, 70.0));
    let mut legend = vec![("client", "in flight".to_owned())];
    let most_of = |value: fn(&AtServer) -> Option<f64>| most(line.server.iter().map(value));
    let (running, waiting) = (most_of(|p| p.running), most_of(|p| p.waiting));
    legend.extend(running.map(|_| ("server", "running".to_owned())));
    legend.extend(waiting.map(|_| ("server thin", "waiting".to_owned())));
    if !failed.is_empty() {
        legend.push(("failed", format!("{} failed", units::count(failed.len() as u64))));
    }
    let number = |v: Option<f64>| v.map_or_else(|| "unknown".to_owned(), |v| format!("{v:.0}"));
    Some(Chart {
        class: "lane",
        alt: format!(
            "Requests: at most {:.0} in flight at the client, {} running and {} waiting at the server; {} failed.",
            flights.fold(0.0, f64::max),
            number(running),
            number(waiting),
            failed.len()
        ),
        y_name: "requests".to_owned(),
        y: chart::ticks(&axis),
        legend,
        marks,
        ..Chart::default()
    })
}

/// From zero, whatever the smallest is: lanes are looked at together.
fn ttft_axis(line: &Timeline) -> Option<Axis> {
    let values = sorted(&line.requests.iter().filter_map(|r| r.ttft_s).collect::<Vec<f64>>());
    let axis = Axis::of(&[&values], Metric::Ttft.unit())?;
    Axis::between(0.0, axis.hi, Metric::Ttft.unit()).map(|a| Axis { ends_at: axis.ends_at, ..a })
}

fn first_tokens(page: &Page<'_>, line: &Timeline) -> Option<Chart> {
    let values = sorted(&line.requests.iter().filter_map(|r| r.ttft_s).collect::<Vec<f64>>());
    let axis = ttft_axis(line)?;
    let mut marks = behind(page, line, &axis);
    let every = line.requests.len().div_ceil(DOTS).max(1);
    for f in &line.firsts {
        let Some((lo, hi)) = f.band_s else { continue };
        let corner = |at: f64, v: f64| (x(line, at), chart::y(&axis, v.min(axis.hi)));
        marks += &svg::rect("band client", corner(f.begin_s, hi), corner(f.end_s, lo));
    }
    let dots = line.requests.iter().step_by(every).filter_map(|r| Some((x(line, r.start_s), r.ttft_s?)));
    let (in_sight, beyond): (Vec<_>, Vec<_>) = dots.partition(|(_, v)| *v <= axis.hi);
    marks += &svg::dots("dot client faint", in_sight.into_iter().map(|(x, v)| (x, chart::y(&axis, v))));
    marks += &svg::dots("dot beyond", beyond.into_iter().map(|(x, _)| (x, 12.0)));
    marks += &medians(line, &axis, "curve client", |f| Some(f.p50_s));
    marks += &medians(line, &axis, "curve server", |f| f.server_p50_s);
    let mut legend = vec![("client", "client: requests by start, median, p10 to p90".to_owned())];
    if line.firsts.iter().any(|f| f.server_p50_s.is_some()) {
        legend.push(("server", "server: median".to_owned()));
    }
    if axis.ends_at.is_some() {
        let n = units::count(axis.beyond(&values) as u64);
        legend.push(("beyond", format!("{n} beyond, up to {}", axis.scale.show(values.last().copied()?))));
    }
    Some(Chart {
        class: "lane tall",
        alt: format!(
            "TTFT by start: from {} to {}.",
            axis.scale.show(*values.first()?),
            axis.scale.show(*values.last()?)
        ),
        y_name: format!("TTFT, {}", axis.scale.name),
        y: chart::ticks(&axis),
        legend,
        marks,
        ..Chart::default()
    })
}

fn tokens(page: &Page<'_>, line: &Timeline) -> Option<Chart> {
    let (client, server) =
        (most(line.bins.iter().map(|b| b.output_tps)), most(line.server.iter().map(|p| p.output_tps)));
    client.or(server)?;
    let axis = from_zero(client.into_iter().chain(server))?;
    let mut marks = behind(page, line, &axis);
    marks += &bins(line, &axis, "curve client", |b| b.output_tps);
    let rates = line.server.windows(2).filter_map(|pair| match pair {
        [a, b] => Some((x(line, a.at_s), x(line, b.at_s), b.output_tps.map(|v| chart::y(&axis, v)))),
        _ => None,
    });
    marks += &svg::steps("curve server", rates);
    let mut legend = Vec::new();
    legend.extend(client.map(|_| ("client", "client: came in".to_owned())));
    legend.extend(server.map(|_| ("server", "server: generated".to_owned())));
    if client.is_none() {
        legend.push(("none", "client: events do not say how many tokens they hold".to_owned()));
    }
    let number = |v: Option<f64>| v.map_or_else(|| "unknown".to_owned(), units::tokens_per_second);
    Some(Chart {
        class: "lane",
        alt: format!(
            "Output tokens: at most {} at the client, {} at the server.",
            number(client),
            number(server)
        ),
        y_name: "output, tok/s".to_owned(),
        y: chart::ticks(&axis),
        legend,
        marks,
        ..Chart::default()
    })
}

fn cache(page: &Page<'_>, line: &Timeline) -> Option<Chart> {
    let used = most(line.server.iter().map(|p| p.kv_cache_usage))?;
    let axis = from_zero(std::iter::once(used * 100.0))?;
    let percent = |p: &AtServer| p.kv_cache_usage.map(|u| u * 100.0);
    let marks = behind(page, line, &axis) + &gauge(line, &axis, "curve server", percent);
    Some(Chart {
        class: "lane",
        alt: format!("KV cache: at most {} in use.", units::percent(used)),
        y_name: "KV cache, %".to_owned(),
        y: axis.ticks.iter().map(|t| tick(axis.fraction(*t), axis.label(*t))).collect(),
        legend: vec![("server", "in use".to_owned())],
        marks,
        ..Chart::default()
    })
}

/// Columns, for pointing at a moment and for choosing a part.
fn island(line: &Timeline) -> Value {
    let bins = |value: &dyn Fn(&Bin) -> Option<f64>| -> Vec<Value> {
        line.bins.iter().map(|b| short_or_null(value(b))).collect()
    };
    let firsts = |value: &dyn Fn(&Firsts) -> Option<f64>| -> Vec<Value> {
        line.firsts.iter().map(|f| short_or_null(value(f))).collect()
    };
    let server = |value: &dyn Fn(&AtServer) -> Option<f64>| -> Vec<Value> {
        line.server.iter().map(|p| short_or_null(value(p))).collect()
    };
    let every = line.requests.len().div_ceil(AT_HAND).max(1);
    let at_hand: Vec<_> = line.requests.iter().step_by(every).collect();
    let millis = |value: Option<f64>| value.map_or(Value::Null, |v| short((v * 1e6).round() / 1e6));
    json!({
        "length": short(line.length_s),
        "ttft_top": short_or_null(ttft_axis(line).map(|axis| axis.hi)),
        "bin": short(line.bin_s),
        "bins": {
            "begin": bins(&|b| Some(b.begin_s)),
            "in_flight": bins(&|b| Some(b.in_flight)),
            "tps": bins(&|b| b.output_tps),
        },
        "firsts": {
            "begin": firsts(&|f| Some(f.begin_s)),
            "end": firsts(&|f| Some(f.end_s)),
            "ttft": firsts(&|f| Some(f.p50_s)),
            "server_ttft": firsts(&|f| f.server_p50_s),
        },
        "server": {
            "at": server(&|p| Some(p.at_s)),
            "running": server(&|p| p.running),
            "waiting": server(&|p| p.waiting),
            "kv": server(&|p| p.kv_cache_usage),
            "tps": server(&|p| p.output_tps),
        },
        "every": every,
        "requests": {
            "start": at_hand.iter().map(|r| millis(Some(r.start_s))).collect::<Vec<_>>(),
            "ttft": at_hand.iter().map(|r| millis(r.ttft_s)).collect::<Vec<_>>(),
            "server_ttft": at_hand.iter().map(|r| millis(r.server_ttft_s)).collect::<Vec<_>>(),
            "e2e": at_hand.iter().map(|r| millis(r.e2e_s)).collect::<Vec<_>>(),
            "tokens": at_hand.iter().map(|r| r.output_tokens).collect::<Vec<_>>(),
            // 1 ok, 0 failed, 2 neither.
            "ok": at_hand.iter().map(|r| match r.status {
                Status::Ok => 1,
                Status::InFlight => 2,
                _ => 0,
            }).collect::<Vec<_>>(),
        },
    })
}
