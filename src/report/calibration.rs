//! Calibrations as tables: the one that a run made of its own load, and those of `tare calibrate`.
//! Layout only; this file must not know how the errors were found.

use std::fmt::Write as _;

use super::Report;
use super::tables::Table;
use crate::record::calibration::{Calibration, Cost, ErrorRow, Level, Quantity, Stamp, TOLERANCE_S};
use crate::units;

/// The key of the manifest, and of `summary.json`.
pub(super) const KEY: &str = "calibration";

impl Report<'_> {
    /// What the calibration after the run found, if there was one.
    pub(super) fn calibration(&self) -> Option<Calibration> {
        let value = self.manifest.extra.get(KEY)?;
        serde_json::from_value(value.clone()).ok()
    }
}

/// The section of a run that was calibrated; empty for any other.
pub(super) fn section(report: &Report<'_>) -> Table {
    let calibration = report.calibration();
    let Some(level) = calibration.as_ref().and_then(|c| c.levels.first()) else { return Table::default() };
    let rows = level.errors.iter().map(|row| {
        let what = [row.quantity.name().to_owned(), row.stamp.name().to_owned()];
        what.into_iter().chain(numbers(row)).collect()
    });
    let mut below = vec![
        format!(
            "Client − truth, made after the run on the same machine: the load as configured ({}) against the embedded server, {}, which writes down what really happened. It is never subtracted from any figure.",
            level.load,
            rate(level)
        ),
        requests(level),
        events(level),
    ];
    below.extend(relative_itl(level));
    below.extend(definitions(level));
    let head = ["", "stamp", "n", "mean (ms)", "p50 (ms)", "p99 (ms)", "min (ms)", "max (ms)"];
    Table {
        title: "Measurement error at this load".to_owned(),
        head: head.iter().map(|&s| s.to_owned()).collect(),
        rows: rows.collect(),
        below,
    }
}

/// The tables of `tare calibrate`: what was run and what it cost, then a table a quantity, with one
/// row per level and kind of stamp.
pub fn tables(calibration: &Calibration) -> Vec<Table> {
    let of_quantity = |quantity| errors(calibration, quantity);
    let mut tables = vec![load(calibration)];
    tables.extend(Quantity::ALL.map(of_quantity).into_iter().filter(|table| !table.rows.is_empty()));
    tables
}

/// What was sent at each level, whether it can be compared, and what it cost.
fn load(calibration: &Calibration) -> Table {
    let rows = calibration.levels.iter().map(|level| {
        let (requests, events) = (&level.requests, &level.events);
        let per_second = |tps: Option<f64>| tps.map_or_else(missing, units::tokens_per_second);
        let Cost { load_cpu_s_per_million_events, client_cpu_s_per_million_events, peak_rss_bytes, .. } =
            level.cost;
        let cpu = |s: Option<f64>| s.map_or_else(missing, units::seconds);
        vec![
            level.name.clone(),
            of_all(requests.compared, requests.all),
            of_all(events.compared, events.client),
            events.exact_share().map_or_else(missing, units::percent),
            units::count(events.stamp_before_write as u64),
            units::count(events.bound_after_write as u64),
            per_second(level.offered_tps),
            per_second(level.attained_tps),
            cpu(load_cpu_s_per_million_events),
            cpu(client_cpu_s_per_million_events),
            peak_rss_bytes.map_or_else(missing, units::mebibytes),
        ]
    });
    let mut below: Vec<String> = calibration
        .levels
        .iter()
        .map(|level| format!("{}: {}, {}.", level.name, level.load, rate(level)))
        .collect();
    for level in &calibration.levels {
        let whole = level.requests.all == level.requests.compared && level.requests.in_flight == 0;
        let events = level.events.client == level.events.server;
        if !(whole && events) {
            below.push(format!("{}: {} {}", level.name, requests(level), events_in_full(level)));
        }
        below.extend(level.warnings.iter().map(|warning| format!("{}: warning: {warning}", level.name)));
    }
    if calibration.ttft_spread > 0.0 {
        below.push(format!(
            "The engine's TTFT of two steps is spread by ±{} of its mean.",
            units::percent(calibration.ttft_spread)
        ));
    }
    below.push(format!(
        "compared: the event's stamps stand beside the server's record of the same event. exact: the kernel's stamp is the event's own. \
         before: stamps that lie before the write, which cannot be. bound late: lower bounds of intervals that lie after the write by more than {}; \
         the server stamps a write just before it calls the kernel, and may be interrupted in between.",
        units::seconds(TOLERANCE_S)
    ));
    below.push(
        "offered: streams × tokens/s of each. attained: tokens at the client per second, from the ramp's end until sending ended. \
         CPU: user and system time per million events, of the load's threads and of the whole client; the server is a process of its own. \
         RSS: the most that was resident during the level, with what earlier levels left allocated."
            .to_owned(),
    );
    let head = [
        "level",
        "requests",
        "events",
        "exact",
        "before",
        "bound late",
        "offered",
        "attained",
        "load CPU",
        "client CPU",
        "peak RSS",
    ];
    Table {
        title: "Calibration".to_owned(),
        head: head.iter().map(|&s| s.to_owned()).collect(),
        rows: rows.collect(),
        below,
    }
}

/// One quantity at every level.
fn errors(calibration: &Calibration, quantity: Quantity) -> Table {
    let rows = calibration.levels.iter().flat_map(|level| {
        level.of(quantity).map(|row| {
            let what = [level.name.clone(), row.stamp.name().to_owned()];
            let mut cells: Vec<String> = what.into_iter().chain(numbers(row)).collect();
            if quantity == Quantity::Itl {
                cells.push(row.relative_mean.map_or_else(missing, units::percent));
            }
            cells
        })
    });
    let mut head: Vec<String> =
        ["level", "stamp", "n", "mean", "p50", "p99", "min", "max"].iter().map(|&s| s.to_owned()).collect();
    let mut below = vec![format!("{}.", quantity.definition())];
    if quantity == Quantity::Itl {
        head.push("of the mean".to_owned());
        below.push("of the mean: mean ITL at the client / mean ITL by the truth − 1.".to_owned());
    }
    let title = match quantity {
        Quantity::WayOut => "Beside them: the way to the server (ms)".to_owned(),
        error => format!("Error of the {} (ms)", error.name()),
    };
    Table { title, head, rows: rows.collect(), below }
}

fn numbers(row: &ErrorRow) -> [String; 6] {
    let ms = units::milliseconds;
    [units::count(row.n as u64), ms(row.mean_s), ms(row.p50_s), ms(row.p99_s), ms(row.min_s), ms(row.max_s)]
}

fn rate(level: &Level) -> String {
    match level.tokens_per_second {
        Some(tps) => format!("{} for each stream", units::tokens_per_second(tps)),
        None => "with the configuration's own engine".to_owned(),
    }
}

/// Requests: all = compared + not compared.
fn requests(level: &Level) -> String {
    let r = &level.requests;
    let reasons: Vec<String> = r.not_compared.iter().map(|(why, n)| format!("{n} {why}")).collect();
    let why = if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    let in_flight = match r.in_flight {
        0 => String::new(),
        n => format!(", {n} of them in flight at the end"),
    };
    format!(
        "Requests: {} = {} compared{in_flight} + {} not compared{why}.",
        units::count(r.all as u64),
        units::count(r.compared as u64),
        units::count((r.all - r.compared) as u64)
    )
}

fn events(level: &Level) -> String {
    let e = &level.events;
    let share = e.exact_share().map_or_else(missing, units::percent);
    let mut said = events_in_full(level);
    let _ = write!(
        said,
        " {} of those compared are exact ({share}); {} stamps lie before the write, {} lower bounds more than {} after it.",
        units::count(e.exact as u64),
        units::count(e.stamp_before_write as u64),
        units::count(e.bound_after_write as u64),
        units::seconds(TOLERANCE_S)
    );
    said
}

/// Events: client = compared + not compared, server = compared + not received + not compared.
fn events_in_full(level: &Level) -> String {
    let e = &level.events;
    let n = |count: usize| units::count(count as u64);
    format!(
        "Token events: {} = {} compared + {} not compared at the client; {} written by the server, {} of them not received before the request was given up, {} not compared.",
        n(e.client),
        n(e.compared),
        n(e.client_not_compared),
        n(e.server),
        n(e.not_received),
        n(e.server_not_compared)
    )
}

fn relative_itl(level: &Level) -> Option<String> {
    let of = |stamp| level.row(Quantity::Itl, stamp)?.relative_mean.map(units::percent);
    let (kernel, user) = (of(Stamp::Kernel)?, of(Stamp::User)?);
    Some(format!("Of the mean ITL: {kernel} by kernel stamps, {user} by user stamps."))
}

fn definitions(level: &Level) -> Vec<String> {
    let there = Quantity::ALL.into_iter().filter(|quantity| level.of(*quantity).next().is_some());
    let all: Vec<String> = there.map(|q| format!("{}: {}.", q.name(), q.definition())).collect();
    if all.is_empty() { all } else { vec![all.join(" ")] }
}

fn of_all(some: usize, all: usize) -> String {
    let n = |count: usize| units::count(count as u64);
    if some == all { n(all) } else { format!("{} of {}", n(some), n(all)) }
}

fn missing() -> String {
    "–".to_owned()
}
