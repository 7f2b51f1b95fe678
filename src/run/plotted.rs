//! What a run's figures are drawn from: the samples of successful requests on both sides, their differences, where the
//! time went. This file must not know how any of it is drawn.

use crate::correlate::hops::stations;
use crate::metric::Metric;
use crate::plot::{Arms, AtHop, Bar, BarPart, Bars, Paired, PlotData, Sample, Side, Whose};
use crate::record::audit;
use crate::record::breakdown::{Breakdown, BreakdownColumn, Part, PartRow};
use crate::record::correlated::Evidence;
use crate::record::hops::{HopColumn, HopPart, HopPath, HopSide, HopSummary};
use crate::record::{JoinedRow, RequestRow, Source, Status};
use crate::report::{self, Report};

/// The samples that figures are drawn from: successful requests, on both sides.
pub(super) fn plot_data(report: &Report<'_>) -> PlotData {
    let ok: Vec<&JoinedRow> =
        report.correlated.rows.iter().filter(|j| j.client.status == Status::Ok).collect();
    if let Some(found) = report.audit {
        return PlotData {
            run: report.manifest.name.clone(),
            n_ok: report.summary.counts.ok,
            n_ended: report.summary.counts.total - report.summary.counts.in_flight,
            arms: arms(found, &ok),
            ..PlotData::default()
        };
    }
    let mut samples = Vec::new();
    let mut add = |metric, side, source: &str, value: &dyn Fn(&JoinedRow) -> Option<f64>| {
        let values: Vec<f64> = ok.iter().filter_map(|j| value(j)).collect();
        if !values.is_empty() {
            samples.push(Sample { metric, side, values, source: source.to_owned() });
        }
    };
    let kernel = report.summary.stamps.kernel_stamped > 0;
    let client = if kernel { "kernel stamps" } else { "user stamps" };
    add(Metric::Ttft, Side::Client, client, &|j| j.client.ttft_s);
    add(Metric::Throughput, Side::Client, client, &|j| j.client.user_throughput_tps);
    add(Metric::ItlMean, Side::Client, client, &|j| j.client.itl_mean_s);
    add(Metric::E2e, Side::Client, client, &|j| j.client.e2e_s);
    let tokens = |j: &JoinedRow| j.server_output_tokens.or(j.client.output_tokens).map(f64::from);
    let per_gap = |j: &JoinedRow| Some(j.server_decode_s? / (tokens(j)? - 1.0)).filter(|v| v.is_finite());
    let told = |by: fn(&JoinedRow) -> Option<Source>| {
        Evidence::of_most(ok.iter().filter_map(|joined| by(joined))).name()
    };
    let (ttft, e2e, engine) = (told(|j| j.ttft_source), told(|j| j.e2e_source), told(|j| j.engine_source));
    add(Metric::Ttft, Side::Server, ttft, &|j| j.server_ttft_s);
    add(Metric::Throughput, Side::Server, e2e, &|j| {
        Some(tokens(j)? / j.server_e2e_s?).filter(|v| v.is_finite())
    });
    add(Metric::E2e, Side::Server, e2e, &|j| j.server_e2e_s);
    add(Metric::ItlMean, Side::Server, engine, &per_gap);
    if !ok.iter().any(|j| j.server_ttft_s.is_some()) {
        add(Metric::QueuePrefill, Side::Server, engine, &|j| Some(j.server_queue_s? + j.server_prefill_s?));
    }
    let hops = at_hops(&ok, &report.correlated.hops.list);
    let (counts, window) = (&report.summary.counts, &report.summary.window);
    let name = &report.manifest.name;
    PlotData {
        run: if window.left_out > 0 { format!("{name}, window {}", window.choice) } else { name.clone() },
        n_ok: counts.ok,
        n_ended: counts.total - counts.in_flight,
        samples,
        arms: Vec::new(),
        paired: paired(&ok),
        bars: bars(report),
        differences: report
            .correlated
            .headline
            .iter()
            // A figure shows the selected requests; what is of the whole run is not theirs.
            .filter(|row| !row.whole_run)
            .filter_map(|row| Some((row.metric, row.tare?)))
            .collect(),
        hops,
        compared: Vec::new(),
    }
}

/// The differences client − server of the requests that have both, in their order.
fn paired(ok: &[&JoinedRow]) -> Vec<Paired> {
    let of = |metric, value: fn(&JoinedRow) -> Option<f64>| {
        let values: Vec<f64> = ok.iter().filter_map(|j| value(j)).collect();
        (!values.is_empty()).then_some(Paired { metric, values })
    };
    let ttft = of(Metric::Ttft, |j| Some(j.client.ttft_s? - j.server_ttft_s?)).or_else(|| {
        of(Metric::QueuePrefill, |j| Some(j.client.ttft_s? - j.server_queue_s? - j.server_prefill_s?))
    });
    [ttft, of(Metric::E2e, |j| Some(j.client.e2e_s? - j.server_e2e_s?))].into_iter().flatten().collect()
}

/// TTFT at each hop that tells of it, else E2E, of the requests that passed it.
fn at_hops(ok: &[&JoinedRow], list: &[HopSummary]) -> Vec<AtHop> {
    let at_hop = |(i, hop): (usize, &HopSummary)| {
        let station = hop.stations.first()?;
        let of_request = |j: &&JoinedRow| {
            let row = &j.hops.get(i)?.as_ref()?.row;
            match station.metric {
                Metric::Ttft => j.client.ttft_s.zip(stations::ttft_s(row)),
                _ => j.client.e2e_s.zip(stations::e2e_s(row)),
            }
        };
        let (client, seen) = ok.iter().filter_map(of_request).unzip();
        let (hop, difference) = (hop.name.clone(), Some(station.outside));
        Some(AtHop { hop, metric: station.metric, client, seen, difference })
    };
    list.iter().enumerate().filter_map(at_hop).collect()
}

/// What an audit's two arms measured, cell by cell.
fn arms(found: &audit::Found, ok: &[&JoinedRow]) -> Vec<Arms> {
    let mut all = Vec::new();
    for metric in [Metric::Ttft, Metric::ItlMean] {
        let of = |r: &RequestRow| if metric == Metric::Ttft { r.ttft_s } else { r.itl_mean_s };
        for cell in &found.cells {
            let values = audit::Arm::BOTH.map(|arm| {
                let rows = ok.iter().map(|j| &j.client);
                let rows = rows.filter(|r| r.arm == Some(arm) && r.cell == Some(cell.number));
                rows.filter_map(of).collect()
            });
            let [direct, through] = values;
            let figure = cell.figures.iter().find(|figure| figure.metric == metric);
            let about = report::cell_name(&cell.cell, found);
            all.push(Arms { metric, about, direct, through, added: figure.map(|f| f.added_mean) });
        }
    }
    all
}

/// Where the time went: hop by hop where there are hops, and by what the server did.
fn bars(report: &Report<'_>) -> Vec<Bars> {
    let run = report.correlated;
    let paths = [run.hops.ttft.as_ref(), run.hops.e2e.as_ref()];
    let paths = paths.into_iter().flatten().filter(|_| !run.hops.list.is_empty()).map(path);
    let [ttft, e2e] = [&run.breakdown, &run.breakdown_e2e].map(broken_down);
    let mut all: Vec<Bars> = paths.chain(ttft).chain(e2e).collect();
    // What a reader comes for first.
    all.sort_by_key(|bars| bars.metric == Metric::E2e);
    all
}

fn broken_down(of: &Breakdown) -> Option<Bars> {
    let part = |p: &Part| BarPart { name: p.row.name().to_owned(), whose: whose(p.row), mean_s: p.mean_s };
    let bar = |column: &BreakdownColumn| Bar {
        at: column.at.clone(),
        n: column.n,
        total_s: column.total_s,
        parts: column.parts.iter().filter(|p| p.row.inside()).map(part).collect(),
    };
    let finding = report::chief_part(of)?;
    Some(Bars { metric: of.of, finding, by_hop: false, bars: of.columns.iter().map(bar).collect() })
}

fn path(of: &HopPath) -> Bars {
    let whose = |p: &HopPart| match p.side {
        HopSide::Client => Whose::Client,
        // The server and the way to it, or from it, where nothing parts them.
        HopSide::Server if !p.hops.is_empty() => Whose::Both,
        HopSide::Server => Whose::Server,
        HopSide::Request | HopSide::Response => Whose::Tare,
    };
    let part = |p: &HopPart| BarPart { name: p.name.clone(), whose: whose(p), mean_s: p.mean_s };
    let bar = |column: &HopColumn| Bar {
        at: column.at.clone(),
        n: column.n,
        total_s: column.total_s,
        parts: column.parts.iter().map(part).collect(),
    };
    let finding = format!("{}, hop by hop", of.of.name());
    Bars { metric: of.of, finding, by_hop: true, bars: of.columns.iter().map(bar).collect() }
}

fn whose(row: PartRow) -> Whose {
    match row {
        PartRow::Schedule | PartRow::Connect | PartRow::Send | PartRow::ClientLag => Whose::Client,
        PartRow::FrontEnd | PartRow::Queue | PartRow::Prefill | PartRow::Decode | PartRow::Inference => {
            Whose::Server
        }
        PartRow::PathOut | PartRow::PathBack | PartRow::Path => Whose::Tare,
        PartRow::PathOutAndReceipt
        | PartRow::ServerAndPathBack
        | PartRow::FrontEndAndPathBack
        | PartRow::PathAndFrontEnd
        | PartRow::PathAndQueue
        | PartRow::PathAndServer => Whose::Both,
        PartRow::Unexplained => Whose::Unknown,
    }
}
