//! The table of a tool's own summary beside the server over the window, where there are no requests to
//! join. This file must not know where the summary came from.

use serde::Deserialize;

use super::tables::Table;
use super::{Report, over_window};
use crate::record::client_totals::{ClientTotals, Figure, KEY};
use crate::record::correlated::{Aggregate, WindowMean};
use crate::units;

/// The tool's own summary, where its records are one.
pub(super) fn of(report: &Report<'_>) -> Option<ClientTotals> {
    report.manifest.extra.get(KEY).and_then(|value| ClientTotals::deserialize(value).ok())
}

/// The table; empty where the client's records are requests.
pub fn table(report: &Report<'_>) -> Table {
    let Some(totals) = of(report) else { return Table::default() };
    let aggregate = &report.correlated.aggregate;
    let mut below = vec![format!(
        "No request is known, only the summary of {}: nothing is joined request by request. A difference is of means, each over the requests that its side counted; in brackets what the tool's standard deviation leaves open (mean ± 1.96 · std / √n, as if requests were independent).",
        totals.tool
    )];
    if let Some(why) = &aggregate.unusable {
        below.push(format!("The server's side: {why}."));
    }
    let finished = aggregate.finished.values().sum::<f64>();
    let tokens = |n: Option<f64>| n.map_or_else(dash, |n| units::count(n as u64));
    below.push(format!(
        "Requests: {} completed and {} failed by the tool, {} finished by the server. Output tokens: {} by the tool, {} by the server.",
        count(totals.completed),
        count(totals.failed),
        if aggregate.finished.is_empty() { dash() } else { units::count(finished as u64) },
        count(totals.output_tokens),
        tokens(aggregate.generation_tokens),
    ));
    Table {
        title: "The tool's own summary beside the server over the window".to_owned(),
        head: [
            "",
            "the tool's name",
            "n",
            "mean",
            "p50",
            "p99",
            "server: n",
            "mean",
            "p50",
            "p99",
            "tool − server: mean",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: totals.figures.iter().map(|figure| cells(figure, aggregate)).collect(),
        below,
    }
}

fn cells(figure: &Figure, aggregate: &Aggregate) -> Vec<String> {
    let server = aggregate.histograms.iter().find(|hist| hist.metric == figure.metric);
    let server = server.filter(|_| aggregate.unusable.is_none());
    let seconds = |value: Option<f64>| value.map_or_else(dash, units::seconds);
    let mean = server.and_then(|server| server.mean);
    vec![
        figure.metric.name().to_owned(),
        figure.called.clone(),
        count(figure.n),
        units::seconds(figure.mean_s),
        seconds(figure.p50_s),
        seconds(figure.p99_s),
        server.map_or_else(dash, |server| units::count(server.count as u64)),
        seconds(mean),
        bucket(server, 0.5),
        bucket(server, 0.99),
        mean.map_or_else(dash, |mean| difference(figure, mean)),
    ]
}

fn difference(figure: &Figure, server_mean: f64) -> String {
    let value = figure.mean_s - server_mean;
    match (figure.std_s, figure.n) {
        (Some(std), Some(n)) if n > 1 => {
            let half = 1.96 * std / (n as f64).sqrt();
            format!(
                "{} [{}, {}]",
                units::seconds(value),
                units::seconds(value - half),
                units::seconds(value + half)
            )
        }
        _ => units::seconds(value),
    }
}

/// The bucket that holds the quantile.
fn bucket(server: Option<&WindowMean>, q: f64) -> String {
    let found = server.and_then(|server| server.quantiles.iter().find(|(at, _, _)| (at - q).abs() < 1e-9));
    found.map_or_else(dash, |(_, lo, hi)| over_window::bucket(*lo, *hi))
}

fn count(n: Option<u64>) -> String {
    n.map_or_else(dash, units::count)
}

fn dash() -> String {
    "–".to_owned()
}
