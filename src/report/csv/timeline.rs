//! `data/timeline_client.csv`, `data/timeline_ttft.csv` and `data/timeline_server.csv`: the run over time, a row per
//! stretch of it, and a row per moment at which the server was asked. This file must not know how either was counted.

use super::{cell, table};
use crate::report::{Artifact, Report};

pub(in crate::report) const CLIENT: Artifact = Artifact {
    file: "data/timeline_client.csv",
    what: "the run over time, as the client saw it",
    write: client,
};

pub(in crate::report) const SERVER: Artifact = Artifact {
    file: "data/timeline_server.csv",
    what: "the run over time, by the server's gauges and counters",
    write: server,
};

pub(in crate::report) const TTFT: Artifact = Artifact {
    file: "data/timeline_ttft.csv",
    what: "first tokens over time: the median and a band of the requests that started in each stretch",
    write: ttft,
};

fn client(report: &Report<'_>) -> anyhow::Result<String> {
    let head = [
        "begin_s",
        "end_s",
        "in_flight",
        "started",
        "ended",
        "failed",
        "ttft_p50_s",
        "server_ttft_p50_s",
        "output_tps",
    ];
    let bins = report.timeline.into_iter().flat_map(|t| &t.bins);
    let row = |b: &crate::record::timeline::Bin| {
        vec![
            b.begin_s.to_string(),
            b.end_s.to_string(),
            b.in_flight.to_string(),
            b.started.to_string(),
            b.ended.to_string(),
            b.failed.to_string(),
            cell(b.ttft_p50_s),
            cell(b.server_ttft_p50_s),
            cell(b.output_tps),
        ]
    };
    table(&head, bins.map(row))
}

fn ttft(report: &Report<'_>) -> anyhow::Result<String> {
    let head = ["begin_s", "end_s", "n", "ttft_p10_s", "ttft_p50_s", "ttft_p90_s", "server_ttft_p50_s"];
    let stretches = report.timeline.into_iter().flat_map(|t| &t.firsts);
    let row = |f: &crate::record::timeline::Firsts| {
        vec![
            f.begin_s.to_string(),
            f.end_s.to_string(),
            f.n.to_string(),
            cell(f.band_s.map(|(lo, _)| lo)),
            f.p50_s.to_string(),
            cell(f.band_s.map(|(_, hi)| hi)),
            cell(f.server_p50_s),
        ]
    };
    table(&head, stretches.map(row))
}

fn server(report: &Report<'_>) -> anyhow::Result<String> {
    let head = ["at_s", "running", "waiting", "kv_cache_usage", "output_tps"];
    let points = report.timeline.into_iter().flat_map(|t| &t.server);
    let row = |p: &crate::record::timeline::AtServer| {
        vec![p.at_s.to_string(), cell(p.running), cell(p.waiting), cell(p.kv_cache_usage), cell(p.output_tps)]
    };
    table(&head, points.map(row))
}
