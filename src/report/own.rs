//! The table of the tool itself: how late it was, what it used, what it waited for, each with its n
//! and what it is. The same rows are a section of `summary.json`. This file must not know how they
//! were measured, nor what is concluded from them.

use serde::Serialize;

use super::Report;
use super::summary::MetricLike;
use super::tables::Table;
use crate::record::own::{Delay, Network, OwnLag};
use crate::units;

/// Fewer say nothing about a million.
const ENOUGH_EVENTS: usize = 1_000;

/// One number, or one distribution, of the tool itself.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub name: &'static str,
    /// `s`, `CPU` (so many at once), `share` or `count`.
    pub unit: &'static str,
    /// The mean, where it is a distribution.
    pub value: Option<f64>,
    pub p50: Option<f64>,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
    pub n: Option<u64>,
    pub definition: String,
}

/// Every row that there is something to say in.
pub(super) fn rows(report: &Report<'_>) -> Vec<Row> {
    let s = &report.summary.stamps;
    let mut rows = Vec::new();
    rows.extend(s.client_lag.map(|lag| {
        measured(
            "client lag",
            &lag,
            "per event: the program had it − the kernel's stamp; inside user stamps only",
        )
    }));
    rows.extend(
        s.schedule_lateness
            .map(|late| measured("schedule lateness", &late, "per request: started − scheduled")),
    );
    rows.extend((s.events > 0).then(|| {
        let share = s.exact_events as f64 / s.events as f64;
        let n = Some(s.events as u64);
        Row {
            n,
            ..single(
                "exact events",
                "share",
                Some(share),
                "token events whose stamp is a point, not an interval",
            )
        }
    }));
    if let Some(own) = &report.summary.own {
        rows.extend(watched(own, s.events));
    }
    rows
}

/// What the watch saw.
fn watched(own: &OwnLag, events: usize) -> Vec<Row> {
    let duration_s = own.duration_s();
    let (beat, pulse) = (units::seconds(own.beat_s), units::seconds(own.pulse_s));
    let mut rows = Vec::new();
    rows.extend(own.runtime_delay.map(|delay| {
        delayed(
            "runtime delay",
            &delay,
            &format!("a byte sent to a task of the load every {pulse} → the task has it"),
        )
    }));
    rows.extend(own.process_delay.map(|delay| {
        delayed(
            "process delay",
            &delay,
            &format!("how late a thread wakes that only sleeps, {beat} at a time"),
        )
    }));
    if let (Some(user_s), Some(system_s)) = (own.user_s, own.system_s) {
        let cpu_s = user_s + system_s;
        let what = format!(
            "of the process: user {} + system {} in {}, with {} usable CPUs",
            units::seconds(user_s),
            units::seconds(system_s),
            units::seconds(duration_s),
            own.machine.cpus.map_or_else(|| "an unknown number of".to_owned(), |n| n.to_string())
        );
        rows.push(single("CPU time", "s", Some(cpu_s), &what));
        if duration_s > 0.0 {
            rows.push(single(
                "CPUs used",
                "CPU",
                Some(cpu_s / duration_s),
                "CPU time / duration of the load",
            ));
        }
        if events >= ENOUGH_EVENTS {
            let what = "of the process, per million token events: sending, recording, ingest and writing";
            let row = single("CPU time per million events", "s", Some(cpu_s * 1e6 / events as f64), what);
            rows.push(Row { n: Some(events as u64), ..row });
        }
    }
    let load = own.load;
    let threads = load.threads.map(u64::from);
    if load.waited_s.is_some() {
        let worst = load
            .worst_second_waited_s
            .map_or_else(String::new, |s| format!("; within one second at most {}", units::seconds(s)));
        let what = format!("the load's threads, together: runnable and without a CPU{worst}");
        rows.push(Row { n: threads, ..single("waited for a CPU", "s", load.waited_s, &what) });
    }
    if let Some(stolen_s) = own.machine.steal_s.filter(|s| *s > 0.0) {
        let what = "CPU time that the hypervisor gave to others, of all the machine's CPUs";
        rows.push(single("stolen CPU time", "s", Some(stolen_s), what));
    }
    if let Some(throttled_s) = own.machine.throttled_s {
        let quota = own.machine.cpu_quota.map_or_else(|| "its limit".to_owned(), |q| format!("{q:.2} CPUs"));
        let what = format!("held back by the control group's limit, {quota}");
        rows.push(single("throttled", "s", Some(throttled_s), &what));
    }
    let everyone = "of all programs in this network namespace";
    let counter = |name: &'static str, n: Option<u64>, what: &str| {
        n.map(|n| single(name, "count", Some(n as f64), &format!("{what}, {everyone}")))
    };
    let probes = own.counted("TCPLossProbes").unwrap_or(0);
    let lost = format!("TCP segments, beside {} probes of a connection's tail", units::count(probes));
    rows.extend(counter("lost and sent again", own.lost_segments(), &lost));
    let waited = own.counted("TCPOFOQueue");
    rows.extend(counter("waited for lost ones", waited, "TCP segments that came here before an earlier one"));
    if let Some(network) = &own.network {
        let Network { looks, round_trip: t, .. } = network;
        let what = format!(
            "the kernel's, of the connections to the server, at {} looks; {} at least",
            units::count(*looks),
            units::seconds(t.min_s)
        );
        let [p50, p90, p99, max] = [t.p50_s, t.p90_s, t.p99_s, t.max_s].map(Some);
        let n = Some(t.n);
        rows.push(Row { p50, p90, p99, max, n, ..single("round trip (TCP)", "s", Some(t.mean_s), &what) });
    }
    rows.extend(counter(
        "listen drops",
        own.counted("ListenDrops"),
        "connections dropped by full queues of servers",
    ));
    rows
}

/// The rows as a table.
pub(super) fn table(report: &Report<'_>) -> Table {
    let head = ["", "value (mean)", "p50", "p90", "p99", "max", "n", "what it is"];
    let mut below = Vec::new();
    if let Some(own) = &report.summary.own {
        let list = own.threads.iter().filter_map(|t| {
            let used = t.on_cpu_s.unwrap_or(t.user_s + t.system_s);
            let of = if t.threads > 1 { format!("{} × {}", t.threads, t.name) } else { t.name.clone() };
            (used >= 0.001).then(|| format!("{of} {}", units::seconds(used)))
        });
        let list: Vec<String> = list.take(8).collect();
        if !list.is_empty() {
            below.push(format!("CPU time by threads: {}.", list.join(", ")));
        }
    }
    Table {
        title: "The tool itself".to_owned(),
        head: head.map(str::to_owned).to_vec(),
        rows: rows(report).iter().map(cells).collect(),
        below,
    }
}

fn cells(row: &Row) -> Vec<String> {
    let show = |value: Option<f64>| value.map_or_else(String::new, |v| shown(v, row.unit));
    let mut cells = vec![row.name.to_owned()];
    cells.extend([row.value, row.p50, row.p90, row.p99, row.max].map(show));
    cells.push(row.n.map_or_else(String::new, units::count));
    cells.push(row.definition.clone());
    cells
}

fn shown(value: f64, unit: &str) -> String {
    match unit {
        "s" => units::seconds(value),
        "share" => units::percent(value),
        "count" => units::count(value as u64),
        _ => format!("{value:.2}"),
    }
}

fn single(name: &'static str, unit: &'static str, value: Option<f64>, definition: &str) -> Row {
    let definition = definition.to_owned();
    Row { name, unit, value, p50: None, p90: None, p99: None, max: None, n: None, definition }
}

fn measured(name: &'static str, m: &MetricLike, definition: &str) -> Row {
    Row {
        p50: Some(m.p50_s),
        p90: Some(m.p90_s),
        p99: Some(m.p99_s),
        max: Some(m.max_s),
        n: Some(m.n as u64),
        ..single(name, "s", Some(m.mean_s), definition)
    }
}

fn delayed(name: &'static str, delay: &Delay, definition: &str) -> Row {
    let stalls = match delay.stalls {
        0 => "; none over 10 ms".to_owned(),
        n => format!("; {} over 10 ms, {} in all", units::count(n), units::seconds(delay.stalled_s)),
    };
    Row {
        p50: Some(delay.p50_s),
        p90: Some(delay.p90_s),
        p99: Some(delay.p99_s),
        max: Some(delay.max_s),
        n: Some(delay.n),
        ..single(name, "s", Some(delay.mean_s), &format!("{definition}{stalls}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixNs;
    use crate::record::own::LoadThreads;

    fn own() -> OwnLag {
        OwnLag {
            begun_unix_ns: UnixNs(0),
            ended_unix_ns: UnixNs(10_000_000_000),
            beat_s: 0.005,
            pulse_s: 0.010,
            process_delay: Some(Delay { n: 2000, p99_s: 0.0002, ..Delay::default() }),
            user_s: Some(1.5),
            system_s: Some(0.5),
            load: LoadThreads { threads: Some(2), waited_s: Some(0.25), ..LoadThreads::default() },
            kernel: Some(std::collections::BTreeMap::from([
                ("RetransSegs".to_owned(), 40),
                ("TCPFastRetrans".to_owned(), 3),
            ])),
            ..OwnLag::default()
        }
    }

    #[test]
    fn every_row_has_its_number_and_its_meaning() {
        let rows = watched(&own(), 500_000);
        let shown: Vec<String> = rows.iter().map(|r| cells(r)[..2].join(": ")).collect();
        assert_eq!(
            shown,
            [
                "process delay: 0.000 ms",
                "CPU time: 2,000 ms",
                "CPUs used: 0.20",
                "CPU time per million events: 4,000 ms",
                "waited for a CPU: 250.0 ms",
                "lost and sent again: 3"
            ]
        );
        assert!(rows.iter().all(|row| !row.definition.is_empty() && cells(row).len() == 8));
    }

    #[test]
    fn what_the_system_does_not_tell_has_no_row() {
        let unknown = OwnLag { user_s: None, kernel: None, load: LoadThreads::default(), ..own() };
        let names: Vec<&str> = watched(&unknown, 0).iter().map(|row| row.name).collect();
        assert_eq!(names, ["process delay"]);
    }
}
