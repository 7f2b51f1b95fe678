//! The report's tables as rows of text, laid out once and drawn by each writer in its own way.
//! This file must not know Markdown or terminals.

use serde::Serialize;

use super::distributions::MetricSummary;
use super::{
    Report, audit, breakdown, calibration, client_totals, clocks, gaps, hops, hosts, lengths, next_level,
    over_window, own, turns, verdicts,
};
use crate::metric::{Metric, Unit};
use crate::record::correlated::{HeadlineRow, Verdict};
use crate::record::hops::HopSummary;
use crate::stats::Estimate;
use crate::units::{self, Scale};

/// A table: its title, its head, its rows, and what must be said below it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Table {
    pub title: String,
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
    pub below: Vec<String>,
}

/// Every table of the report, in order; empty ones left out.
pub fn all(report: &Report<'_>) -> Vec<Table> {
    let tables = match report.audit {
        Some(found) => {
            // Nothing that would show both arms as one load.
            let joins = hops::joins(&report.correlated.hops);
            let common = [checks(report), clocks::table(report), own::table(report), errors(report)];
            let both = |table: Table| Table { title: format!("{}, both arms", table.title), ..table };
            let found = audit::tables(found, verdicts::table(report));
            let stated = hops::stated(&report.correlated.hops);
            found.into_iter().chain([joins, stated]).chain(common.map(both)).collect()
        }
        None => of_a_run(report),
    };
    tables.into_iter().filter(|t| !t.rows.is_empty()).collect()
}

fn of_a_run(report: &Report<'_>) -> Vec<Table> {
    vec![
        client_totals::table(report),
        hosts::table(report),
        headline(report),
        hops::path(&report.correlated.hops, Metric::Ttft),
        hops::path(&report.correlated.hops, Metric::E2e),
        breakdown::table(&report.correlated.breakdown, next_level::sentence(report)),
        breakdown::table(&report.correlated.breakdown_e2e, None),
        whole_run(report, verdicts::table(report)),
        whole_run(report, gaps::table(report)),
        client(report),
        turns::table(report),
        server(report),
        calibration::section(report),
        whole_run(report, over_window::table(report)),
        whole_run(report, clocks::table(report)),
        whole_run(report, hops::joins(&report.correlated.hops)),
        hops::stated(&report.correlated.hops),
        whole_run(report, checks(report)),
        own::table(report),
        errors(report),
    ]
}

/// Marks a table that no window cuts, where the report is made from one.
pub(super) fn whole_run(report: &Report<'_>, table: Table) -> Table {
    if report.summary.window.is_cut() && !table.title.is_empty() {
        return Table { title: format!("{}, whole run", table.title), ..table };
    }
    table
}

/// Tables that only the written report has room for.
pub fn more(report: &Report<'_>) -> Vec<Table> {
    match report.audit {
        Some(found) => audit::more(found),
        None => breakdown::by(&report.correlated.breakdown),
    }
}

/// The table the tool exists for: logged by tool | logged by each hop | logged by server | tare.
pub fn headline(report: &Report<'_>) -> Table {
    let mut table = headline_of(&report.correlated.headline, &report.correlated.hops.list);
    let lockstep = report.summary.rounds.map(|rounds| {
        format!(
            "The users moved in lockstep: intervals and effective n are of {} rounds, whose requests share their fate.",
            units::count(rounds as u64)
        )
    });
    // After the sentence on what is compared.
    table.below.splice(1..1, lockstep);
    table
}

/// The same of some requests.
pub fn headline_of(rows: &[HeadlineRow], hops: &[HopSummary]) -> Table {
    let figure = |e: Option<Estimate>, unit: Unit| e.map_or_else(|| "–".to_owned(), |e| show(&e, unit));
    let mut below =
        vec!["Means with 95 % intervals; both sides by the same estimator; tare = tool − server.".to_owned()];
    below.extend((!hops.is_empty()).then(|| HOP_STATIONS.to_owned()));
    let mut figures = rows.iter().filter_map(|row| row.tare.or(row.tool));
    below.extend(figures.any(|f| f.is_dependent()).then(|| EFFECTIVE.to_owned()));
    below.extend(rows.iter().filter_map(|r| r.note.as_ref().map(|n| format!("{}: {n}", r.title))));
    let rows = rows
        .iter()
        .map(|row| {
            let unit = row.metric.unit();
            let mut cells = vec![row.title.clone(), figure(row.tool, unit)];
            cells.extend(hops.iter().map(|hop| {
                let station = hop.stations.iter().find(|station| station.metric == row.metric);
                figure(station.map(|station| station.seen), unit)
            }));
            cells.extend([
                figure(row.server, unit),
                figure(row.tare, unit),
                row.tare.or(row.tool).map_or_else(|| "0".to_owned(), |f| counted(&f)),
                row.source.name().to_owned(),
            ]);
            cells
        })
        .collect();
    Table {
        title: "Client and server".to_owned(),
        head: strings(&["", "logged by tool"])
            .into_iter()
            .chain(hops.iter().map(|hop| format!("logged by {}", hop.name)))
            .chain(strings(&["logged by server", "tare", "n", "server source"]))
            .collect(),
        rows,
        below,
    }
}

pub(super) fn client(report: &Report<'_>) -> Table {
    let summary = report.summary;
    // Where the first token is always visible, it is said once.
    let is_news = |m: &&MetricSummary| {
        m.metric != Metric::TtftContent || !summary.of(Metric::Ttft).is_some_and(|ttft| same(m, ttft))
    };
    let metrics: Vec<&MetricSummary> = summary.client.iter().filter(is_news).collect();
    distribution("Measured by the client (successful requests)", &metrics)
}

/// Whether two metrics are of the same values, as far as their figures tell.
fn same(a: &MetricSummary, b: &MetricSummary) -> bool {
    let figures = |m: &MetricSummary| {
        let percentiles = m.percentiles.iter().map(|p| p.value.to_bits());
        let moments = [m.mean.value, m.std, m.min, m.max].map(f64::to_bits);
        (m.n, percentiles.chain(moments).collect::<Vec<u64>>())
    };
    figures(a) == figures(b)
}

pub(super) fn server(report: &Report<'_>) -> Table {
    let metrics: Vec<&MetricSummary> = report.summary.server.iter().collect();
    distribution("Said by the server, per joined request", &metrics)
}

fn distribution(title: &str, metrics: &[&MetricSummary]) -> Table {
    let rows = metrics
        .iter()
        .map(|m| {
            let unit = m.metric.unit();
            let mut row = vec![m.title.clone(), counted(&m.mean), show(&m.mean, unit)];
            row.extend(m.percentiles.iter().map(|p| percentile(p, unit)));
            row.push(units::quantity(m.max, unit));
            row
        })
        .collect();
    let mut below = Vec::new();
    below.extend(metrics.iter().any(|m| m.mean.is_dependent()).then(|| EFFECTIVE.to_owned()));
    let endless = |m: &&MetricSummary| m.percentiles.iter().any(|p| !p.hi.is_finite());
    below.extend(metrics.iter().any(endless).then(|| ONE_SIDED.to_owned()));
    Table {
        title: title.to_owned(),
        head: strings(&["", "n", "mean [95 %]", "p50", "p90", "p95", "p99", "max"]),
        rows,
        below,
    }
}

pub(super) fn checks(report: &Report<'_>) -> Table {
    let number = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), plain);
    let rows = report
        .correlated
        .checks
        .iter()
        .map(|c| {
            let verdict = match c.verdict {
                Verdict::Agree => "agree",
                Verdict::Differ => "DIFFER",
                Verdict::NotAvailable => "not available",
            };
            vec![c.name.to_owned(), number(c.client), number(c.server), verdict.to_owned(), c.detail.clone()]
        })
        .collect();
    Table {
        title: "Reconciliation".to_owned(),
        head: strings(&["", "client", "server", "verdict", "detail"]),
        rows,
        below: coverage(report),
    }
}

/// Rows in = rows joined + rows not joined, each with its reason.
pub(super) fn coverage(report: &Report<'_>) -> Vec<String> {
    let c = &report.correlated.coverage;
    let list = |counts: &std::collections::BTreeMap<String, usize>| {
        counts.iter().map(|(what, n)| format!("{n} {what}")).collect::<Vec<_>>().join(", ")
    };
    let mut said = vec![format!(
        "Join: {} requests = {} joined{} + {} not joined{}.",
        c.requests,
        c.joined,
        bracketed(&list(&c.by_source)),
        c.requests - c.joined,
        bracketed(&list(&c.unjoined))
    )];
    if c.disagree_in_time > 0 {
        said.push(format!("{} joined spans do not lie inside the client's stamps.", c.disagree_in_time));
    }
    if c.ambiguous > 0 {
        said.push(format!("{} ids fit more than one request and were not joined.", c.ambiguous));
    }
    if !c.without_span.is_empty() {
        said.push(format!("Requests without a span: {}.", list(&c.without_span)));
    }
    if c.lost_spans > 0 {
        said.push(
            "A span can be lost where the server's exporter drops it: its queue holds OTEL_BSP_MAX_QUEUE_SIZE spans (2,048) and is emptied every OTEL_BSP_SCHEDULE_DELAY ms (5,000); raise the one, lower the other, or wait longer for the last ones (`--span-wait`). A gateway that sends its own `traceparent` with flag 00 makes the server leave them out."
                .to_owned(),
        );
    }
    let left = [
        ("Spans", &c.span_leftovers),
        ("Lines of the stat log", &c.stat_leftovers),
        ("Ids in the log", &c.log_leftovers),
        ("Access lines", &c.access_leftovers),
    ];
    for (what, leftovers) in left {
        if !leftovers.is_empty() {
            said.push(format!("{what} without a request: {}.", list(leftovers)));
        }
    }
    said
}

pub(super) fn errors(report: &Report<'_>) -> Table {
    let rows = report
        .summary
        .errors
        .iter()
        .take(20)
        .map(|e| vec![e.status.to_owned(), units::count(e.n as u64), e.message.clone()])
        .collect();
    let left = report.summary.errors.len().saturating_sub(20);
    Table {
        title: "Errors".to_owned(),
        head: strings(&["kind", "n", "message"]),
        rows,
        below: if left > 0 {
            vec![format!("and {left} more kinds of message: see results.jsonl")]
        } else {
            Vec::new()
        },
    }
}

/// The seed's block of text, whose lines people know; of an audit only the counts, since its figures would be
/// those of no load.
pub fn seed_block(report: &Report<'_>) -> String {
    if let Some(totals) = client_totals::of(report) {
        return format!("no requests, only the summary of {}", totals.tool);
    }
    let s = report.summary;
    let mut lines = vec![
        format!("Total Requests: {}", s.counts.total),
        format!("Successful Requests: {}", s.counts.ok),
        format!("Failed Requests: {}", s.counts.failed),
    ];
    if s.counts.in_flight > 0 {
        lines.push(format!("In Flight at the End: {}", s.counts.in_flight));
    }
    lines.push(format!("Test Duration: {:.2} seconds", s.duration_s));
    if report.audit.is_some() {
        return lines.join("\n");
    }
    lines.push(format!("Requests/sec: {:.2}", s.totals.requests_rps));
    let blocks = [
        (Metric::Ttft, "Time to First Token (TTFT):", "seconds"),
        (Metric::Throughput, "Token Throughput:", "tokens/second"),
        (Metric::ItlMean, "Inter-Token Latency:", "seconds"),
        (Metric::E2e, "Request Duration:", "seconds"),
    ];
    for (metric, title, unit) in blocks {
        let Some(m) = s.of(metric) else { continue };
        lines.extend([String::new(), title.to_owned(), format!("  Average: {:.4} {unit}", m.mean.value)]);
        for (name, at) in [("95th", 2), ("99th", 3)] {
            if let Some(p) = m.percentiles.get(at) {
                lines.push(format!("  {name} Percentile: {:.4} {unit}", p.value));
            }
        }
    }
    lines.join("\n")
}

/// The sentences about the stamps: what the tool itself contributes.
pub fn own_error(report: &Report<'_>) -> Vec<String> {
    let s = &report.summary.stamps;
    let mut said = Vec::new();
    if s.events > 0 {
        said.push(format!(
            "Stamps: {} of {} token events and {} of {} first tokens are exact; the rest are intervals that end at the stamp used.",
            units::count(s.exact_events as u64),
            units::count(s.events as u64),
            units::count(s.exact_first_tokens as u64),
            units::count(s.first_tokens as u64),
        ));
    }
    if let Some((itl, error)) = report.summary.of(Metric::Itl).and_then(|m| Some((m, m.percentile_error?))) {
        said.push(format!(
            "{} gaps between tokens are too many to keep: they were counted in buckets, and percentiles of ITL are within {} of the true ones.",
            units::count(itl.n as u64),
            units::percent(error),
        ));
    }
    let lengths = lengths::of(report.correlated.rows.iter().map(|row| &row.client));
    said.extend(lengths.filter(|lengths| !lengths.is_wrong).map(|lengths| lengths.said));
    let w = report.summary.workload;
    let has_turns = report.correlated.rows.iter().any(|row| row.client.turn.is_some());
    if w.most_repeats > 1 && !has_turns {
        said.push(format!(
            "{} distinct prompts; the most frequent was sent {} times (a prefix cache may have answered).",
            units::count(w.distinct_prompts as u64),
            w.most_repeats
        ));
    }
    said
}

const HOP_STATIONS: &str = "Of a hop by its own timers, from the request's arrival there: TTFT until the first token (or first byte of the answer's body, never its head), E2E until the last byte; – where it does not log that.";
const EFFECTIVE: &str = "eff.: requests that shared a queue are alike; so many independent ones would tell as much about the mean.";
const ONE_SIDED: &str = "≥: the lower 95 % bound. n too small: it has no upper bound, as the effective n is too small for the largest value seen to be one.";

/// `1,479`, or `1,479 (eff. 412)` where observations depend on each other.
pub(super) fn counted(e: &Estimate) -> String {
    let n = units::count(e.n as u64);
    if e.is_dependent() { format!("{n} (eff. {})", units::count(e.n_eff.round() as u64)) } else { n }
}

/// `817.1 ms`, or `817.1 ms (≥ 790.2; n too small)` where nothing bounds it from above.
fn percentile(e: &Estimate, unit: Unit) -> String {
    let value = units::quantity(e.value, unit);
    match (e.lo.is_finite(), e.hi.is_finite()) {
        (_, true) => value,
        (true, false) => format!("{value} (≥ {}; n too small)", units::quantity(e.lo, unit)),
        (false, false) => format!("{value} (n too small)"),
    }
}

/// `334.0 ms [320.1, 349.4]`.
pub(super) fn show(e: &Estimate, unit: Unit) -> String {
    if e.is_bounded() {
        // One unit for all three: that of the largest.
        let scale = Scale::of(unit, e.value.abs().max(e.lo.abs()).max(e.hi.abs()));
        format!("{} [{}, {}]", scale.show(e.value), scale.number(e.lo), scale.number(e.hi))
    } else {
        Scale::of(unit, e.value.abs()).show(e.value)
    }
}

fn plain(v: f64) -> String {
    if v.fract() == 0.0 && v.abs() < 1e15 {
        let sign = if v < 0.0 { "-" } else { "" };
        format!("{sign}{}", units::count(v.abs() as u64))
    } else {
        format!("{v:.6}")
    }
}

fn bracketed(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|&s| s.to_owned()).collect()
}

#[cfg(test)]
mod tests;
