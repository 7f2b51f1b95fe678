//! `timeline`: the whole run over time, client and server on one axis, a lane each for requests, first tokens, output
//! tokens and the KV cache. This file must not know how anything was counted.

use super::draw::axis::Axis;
use super::draw::canvas::{self, Canvas, Ink};
use super::draw::lane::{self, Lane, Stroke};
use super::draw::page;
use super::theme;
use super::{Drawn, OverTime, Plot, PlotData};
use crate::metric::{Metric, Unit};
use crate::record::correlated::Evidence;
use crate::record::timeline::AtServer;
use crate::stats::quantile::{quantile, sorted};
use crate::units;

const CLIENT: Stroke = Stroke { colour: theme::CLIENT, width: 2.4, opacity: 1.0 };
const SERVER: Stroke = Stroke { colour: theme::SERVER, width: 1.6, opacity: 1.0 };
const WAITING: Stroke = Stroke { colour: theme::SERVER_TEXT, width: 1.0, opacity: 1.0 };
const FAILED: Stroke = Stroke { colour: theme::NOTE, width: 2.0, opacity: 1.0 };
const BAND: Stroke = Stroke { colour: theme::CLIENT, width: 8.0, opacity: 0.2 };
const GAP: f64 = 14.0;
const BELOW: f64 = 40.0;
const ROW: f64 = 17.0;

/// The figure.
pub struct Timeline;

impl Plot for Timeline {
    fn name(&self) -> &'static str {
        "timeline"
    }

    fn caption(&self) -> &'static str {
        "The run over time, client and server on one axis: requests, first tokens, output tokens, KV cache"
    }

    fn draw(&self, data: &PlotData) -> anyhow::Result<Drawn> {
        let Some(run) = &data.over_time else {
            return Ok(Drawn::Nothing("there are no requests, or two loads in turn".to_owned()));
        };
        let Some(x) = Axis::between(0.0, run.length_s, Unit::TokensPerSecond) else {
            return Ok(Drawn::Nothing("the run took no time".to_owned()));
        };
        let lanes: Vec<Content> =
            [requests(run), first_tokens(run), tokens(run), cache(run)].into_iter().flatten().collect();
        let notes = notes(run);
        let height =
            page::TOP + lanes.iter().map(|l| l.height + GAP).sum::<f64>() + BELOW + ROW * notes.len() as f64;
        let svg = canvas::svg((theme::WIDTH, height), &run.finding, |canvas| {
            page::header(canvas, theme::WIDTH, &run.finding, &subtitle(data, run))?;
            let mut top = page::TOP;
            let last = lanes.len().saturating_sub(1);
            for (i, content) in lanes.into_iter().enumerate() {
                let lane = Lane { x: &x, y: content.axis, top, height: content.height };
                marked(canvas, &lane, run)?;
                lane.draw(canvas, &content.heading, &content.legend)?;
                if i == 0 {
                    named(canvas, &lane, run)?;
                }
                (content.draw)(canvas, &lane)?;
                if i == last {
                    lane.ticks(canvas, "s since the first start")?;
                }
                top += content.height + GAP;
            }
            for (i, note) in notes.iter().enumerate() {
                let at = (theme::MARGIN, top + BELOW - 6.0 + ROW * i as f64);
                let note = canvas::fit(note, theme::SMALL, theme::WIDTH - 2.0 * theme::MARGIN);
                canvas.text(&note, at, Ink::new(theme::SMALL, theme::QUIET))?;
            }
            Ok(())
        })?;
        Ok(Drawn::Svg(svg))
    }
}

type Draw<'a> = Box<dyn Fn(&Canvas, &Lane) -> anyhow::Result<()> + 'a>;

/// A lane before it has a place.
struct Content<'a> {
    axis: Axis,
    height: f64,
    heading: String,
    legend: Vec<(Stroke, String)>,
    draw: Draw<'a>,
}

fn subtitle(data: &PlotData, run: &OverTime) -> String {
    let name = if data.run.is_empty() { String::new() } else { format!("{} · ", data.run) };
    let failed = units::count(run.failed_s.len() as u64);
    format!(
        "{name}{} requests, {failed} failed · whole run, {}",
        units::count(run.n as u64),
        units::seconds(run.length_s)
    )
}

/// What all lanes must be read with.
fn notes(run: &OverTime) -> Vec<String> {
    let server = match run.server_source {
        Some(Evidence::Metrics) => "as scraped from its metrics endpoint, rates between scrapes",
        Some(_) => "by the stats lines of its log",
        None => "nothing was scraped",
    };
    let mut notes =
        vec![format!("Client: averaged over stretches of {}. Server: {server}.", units::stretch(run.bin_s))];
    if let Some(first) = run.firsts.first() {
        let in_each: Vec<f64> = run.firsts.iter().map(|f| f.n as f64).collect();
        let n = quantile(&sorted(&in_each), 0.5).unwrap_or(0.0);
        notes.push(format!(
            "TTFT: of the requests that started in each stretch of {} (the median one has {}); a band needs five of them.",
            units::stretch(first.end_s - first.begin_s),
            units::count(n as u64)
        ));
    }
    if !run.unmarked.is_empty() {
        notes.push(format!("No steady state: {}.", run.unmarked.trim_end_matches('.')));
    }
    notes
}

/// The part that stands out, behind a lane.
fn marked(canvas: &Canvas, lane: &Lane, run: &OverTime) -> anyhow::Result<()> {
    let Some((_, from, to)) = &run.marked else { return Ok(()) };
    lane.shade(canvas, *from, *to, theme::GRID)
}

/// What that part is called, and what comes before it: over the grid, whose lines would strike it through.
fn named(canvas: &Canvas, lane: &Lane, run: &OverTime) -> anyhow::Result<()> {
    let Some((what, from, to)) = &run.marked else { return Ok(()) };
    let ink = Ink::new(theme::SMALL, theme::QUIET);
    let (from, to) = (lane::x(lane.x, *from), lane::x(lane.x, *to));
    let at = lane.top + lane::HEAD - 2.0;
    let name = |text: &str, begin: f64, end: f64, shade: f64| {
        let width = canvas::width_of(text, theme::SMALL);
        if width + 6.0 > end - begin {
            return Ok(());
        }
        let corners = [(begin + 2.0, at + 2.0), (begin + 6.0 + width, at + 16.0)];
        canvas.rect(corners[0], corners[1], theme::PAPER, 1.0)?;
        canvas.rect(corners[0], corners[1], theme::GRID, shade)?;
        canvas.text(text, (begin + 4.0, at + 9.0), ink)
    };
    name(what, from, to, lane::SHADE)?;
    if run.warm_up { name("warm-up", lane::reach().0, from, 0.0) } else { Ok(()) }
}

fn most(values: impl Iterator<Item = f64>) -> f64 {
    values.filter(|v| v.is_finite()).fold(0.0, f64::max)
}

/// From zero, with room above for marks.
fn from_zero(most: f64, unit: Unit) -> Option<Axis> {
    Axis::between(0.0, if most > 0.0 { most * 1.12 } else { 1.0 }, unit)
}

fn gauge(run: &OverTime, value: fn(&AtServer) -> Option<f64>) -> impl Iterator<Item = (f64, f64)> {
    run.server.iter().filter_map(move |p| Some((p.at_s, value(p)?)))
}

fn requests(run: &OverTime) -> Option<Content<'_>> {
    let flights = run.bins.iter().map(|b| b.in_flight);
    let running: fn(&AtServer) -> Option<f64> = |p| p.running;
    let waiting: fn(&AtServer) -> Option<f64> = |p| p.waiting;
    let gauges = gauge(run, running).chain(gauge(run, waiting)).map(|(_, v)| v);
    // With room above for what the marked part is called.
    let axis = from_zero(1.18 * most(flights.chain(gauges)), Unit::TokensPerSecond)?;
    let mut legend = vec![(CLIENT, "in flight at the client".to_owned())];
    legend.extend(gauge(run, running).next().map(|_| (SERVER, "running at the server".to_owned())));
    legend.extend(gauge(run, waiting).next().map(|_| (WAITING, "waiting there".to_owned())));
    if !run.failed_s.is_empty() {
        legend.push((FAILED, format!("{} failed", units::count(run.failed_s.len() as u64))));
    }
    let draw = move |canvas: &Canvas, lane: &Lane| {
        lane.steps(canvas, run.bins.iter().map(|b| (b.begin_s, b.end_s, Some(b.in_flight))), CLIENT)?;
        lane.line(canvas, gauge(run, running), SERVER)?;
        lane.line(canvas, gauge(run, waiting), WAITING)?;
        lane.strokes(canvas, &run.failed_s, theme::NOTE)
    };
    Some(Content { axis, height: 120.0, heading: "Requests".to_owned(), legend, draw: Box::new(draw) })
}

fn first_tokens(run: &OverTime) -> Option<Content<'_>> {
    let tops = run.firsts.iter().map(|f| f.band_s.map_or(f.p50_s, |(_, hi)| hi.max(f.p50_s)));
    run.firsts.first()?;
    let axis = from_zero(most(tops), Metric::Ttft.unit())?;
    let heading = format!("TTFT ({})", axis.scale.name);
    let mut legend = vec![(BAND, "client p10 to p90".to_owned()), (CLIENT, "client median".to_owned())];
    if run.firsts.iter().any(|f| f.server_p50_s.is_some()) {
        legend.push((SERVER, "server median".to_owned()));
    }
    let draw = move |canvas: &Canvas, lane: &Lane| {
        let firsts = || run.firsts.iter();
        let bands = firsts().filter_map(|f| Some((f.begin_s, f.end_s, f.band_s?)));
        lane.band(canvas, bands, theme::CLIENT)?;
        lane.steps(canvas, firsts().map(|f| (f.begin_s, f.end_s, Some(f.p50_s))), CLIENT)?;
        lane.steps(canvas, firsts().map(|f| (f.begin_s, f.end_s, f.server_p50_s)), SERVER)
    };
    Some(Content { axis, height: 150.0, heading, legend, draw: Box::new(draw) })
}

fn tokens(run: &OverTime) -> Option<Content<'_>> {
    let client = run.bins.iter().any(|b| b.output_tps.is_some());
    let server = run.server.iter().any(|p| p.output_tps.is_some());
    if !client && !server {
        return None;
    }
    let rates = run.bins.iter().map(|b| b.output_tps).chain(run.server.iter().map(|p| p.output_tps));
    let axis = from_zero(most(rates.flatten()), Unit::TokensPerSecond)?;
    let mut legend = Vec::new();
    if client {
        legend.push((CLIENT, "came in at the client".to_owned()));
    }
    if server {
        legend.push((SERVER, "generated by the server".to_owned()));
    }
    let draw = move |canvas: &Canvas, lane: &Lane| {
        lane.steps(canvas, run.bins.iter().map(|b| (b.begin_s, b.end_s, b.output_tps)), CLIENT)?;
        let rates = run.server.windows(2).filter_map(|pair| match pair {
            [a, b] => Some((a.at_s, b.at_s, b.output_tps)),
            _ => None,
        });
        lane.steps(canvas, rates, SERVER)
    };
    let heading = "Output tokens (tok/s)".to_owned();
    Some(Content { axis, height: 120.0, heading, legend, draw: Box::new(draw) })
}

fn cache(run: &OverTime) -> Option<Content<'_>> {
    let used: fn(&AtServer) -> Option<f64> = |p| p.kv_cache_usage.map(|share| share * 100.0);
    gauge(run, used).next()?;
    let axis = from_zero(most(gauge(run, used).map(|(_, v)| v)), Unit::TokensPerSecond)?;
    let draw = move |canvas: &Canvas, lane: &Lane| lane.line(canvas, gauge(run, used), SERVER);
    let legend = vec![(SERVER, "in use at the server".to_owned())];
    Some(Content { axis, height: 96.0, heading: "KV cache (%)".to_owned(), legend, draw: Box::new(draw) })
}
