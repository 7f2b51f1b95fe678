//! The table of what the metrics endpoints' histograms say over the window, beside the client. This
//! file must not know how a bucket was read.

use super::Report;
use super::tables::Table;
use crate::record::correlated::WindowRow;
use crate::server::{self, vllm::VLLM};
use crate::units;

/// The table; empty where there was no endpoint.
pub fn table(report: &Report<'_>) -> Table {
    let rows = &report.correlated.over_window;
    let mut below = vec![
        "Means are exact: Δsum / Δcount over the window. A histogram knows only buckets, so a quantile is the bucket that holds it, never a point inside; a difference is what both leave open.".to_owned(),
    ];
    // The dictionary's definitions are vLLM's.
    let server = server::find(&report.manifest.target.server).filter(|server| server.name != VLLM.name);
    for row in rows {
        let name = row.metric.name();
        if let Some((server, really)) = server.and_then(|s| Some((s.name, s.really(row.metric)?))) {
            below.push(format!("{name} as {server} counts it: {really}."));
        }
        if let Some(bound) = row.unresolved_below {
            below.push(format!(
                "{name}: the first bucket ends at {}, and p50, p90 and p99 are all in it: nothing finer can be said of its spread, only the mean.",
                units::seconds(bound)
            ));
        }
        if let Some(own) = row.ours_mean {
            below.push(format!(
                "{name}: {} of {} observations are not this run's; the mean of its own lies between {} and {}.",
                row.server_n - row.ours_n as f64,
                row.server_n,
                units::seconds(own.lo_s),
                units::seconds(own.hi_s)
            ));
        }
    }
    Table {
        title: "The server over the window (metrics endpoint)".to_owned(),
        head: ["", "n", "mean", "p50", "p90", "p99", "client − server: mean", "p50", "p99"]
            .map(str::to_owned)
            .to_vec(),
        rows: rows.iter().map(cells).collect(),
        below,
    }
}

fn cells(row: &WindowRow) -> Vec<String> {
    let mut cells = vec![
        row.metric.name().to_owned(),
        units::count(row.server_n as u64),
        units::seconds(row.server_mean),
    ];
    cells.extend(row.quantiles.iter().map(|q| bucket(q.server_lo, q.server_hi)));
    cells.push(row.client_mean.filter(|_| row.ours_mean.is_none()).map_or_else(dash, |client| {
        let off = |bound: f64| units::seconds(bound - row.server_mean);
        format!("{} [{}, {}]", off(client.value), off(client.lo), off(client.hi))
    }));
    // The first and the last: the table is wide enough.
    let shown = row.quantiles.first().into_iter().chain(row.quantiles.last());
    cells.extend(shown.map(|q| match (q.client, q.difference_lo, q.difference_hi) {
        (None, _, _) => dash(),
        (_, None, None) => "?".to_owned(),
        (_, Some(lo), None) => format!("≥ {}", units::seconds(lo)),
        (_, None, Some(hi)) => format!("≤ {}", units::seconds(hi)),
        (_, Some(lo), Some(hi)) => format!("{} … {}", units::seconds(lo), units::seconds(hi)),
    }));
    cells
}

/// `≤ 300 ms`, `0.25–0.5 s`, `> 7680 s`.
pub(super) fn bucket(lo: f64, hi: Option<f64>) -> String {
    match hi {
        Some(hi) if lo <= 0.0 => format!("≤ {}", units::seconds(hi)),
        Some(hi) => format!("{}–{}", units::seconds(lo), units::seconds(hi)),
        None => format!("> {}", units::seconds(lo)),
    }
}

fn dash() -> String {
    "–".to_owned()
}
