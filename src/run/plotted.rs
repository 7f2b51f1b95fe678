//! What a run's figures are drawn from: the samples of successful requests on both sides, their differences, where the
//! time went. This file must not know how any of it is drawn.

use crate::correlate::hops::stations;
use crate::metric::Metric;
use crate::plot::{Arms, AtHop, Bar, BarPart, Bars, Fall, OverTime, Paired, PlotData, Sample, Side};
use crate::record::audit;
use crate::record::breakdown::{Breakdown, BreakdownColumn, Part};
use crate::record::correlated::Evidence;
use crate::record::hops::{HopColumn, HopPart, HopPath, HopSummary};
use crate::record::timeline::Timeline;
use crate::record::waterfall::{Chosen, Waterfall};
use crate::record::{JoinedRow, RequestRow, Source, Status};
use crate::report::{self, Report};
use crate::stats::quantile::{quantile, sorted};
use crate::units;

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
            falls: falls(report.chosen),
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
        over_time: report.timeline.map(|line| over_time(line, report)),
        falls: falls(report.chosen),
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
    let part = |p: &Part| BarPart { name: p.row.name().to_owned(), whose: p.row.whose(), mean_s: p.mean_s };
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
    let part = |p: &HopPart| BarPart { name: p.name.clone(), whose: p.whose(), mean_s: p.mean_s };
    let bar = |column: &HopColumn| Bar {
        at: column.at.clone(),
        n: column.n,
        total_s: column.total_s,
        parts: column.parts.iter().map(part).collect(),
    };
    let finding = format!("{}, hop by hop", of.of.name());
    Bars { metric: of.of, finding, by_hop: true, bars: of.columns.iter().map(bar).collect() }
}

/// The run over time, with the part of it that the report is made from, else its steady state.
fn over_time(line: &Timeline, report: &Report<'_>) -> OverTime {
    let (window, steady) = (&report.summary.window, &report.summary.steady);
    let between =
        |what: &str, begin: f64, end: f64| (format!("{what}, {begin:.1} s to {end:.1} s"), begin, end);
    let marked = if window.is_cut() {
        Some(between("window of this report", window.begin_s, window.end_s))
    } else {
        steady.begin_s.zip(steady.end_s).map(|(begin, end)| between("steady state", begin, end))
    };
    let failed = line.requests.iter().filter(|r| r.status.is_failure());
    OverTime {
        finding: over_time_finding(line),
        n: line.requests.len(),
        length_s: line.length_s,
        bin_s: line.bin_s,
        bins: line.bins.clone(),
        firsts: line.firsts.clone(),
        server: line.server.clone(),
        server_source: line.server_source,
        failed_s: failed.map(|r| r.done_s).collect(),
        warm_up: marked.is_some() && !window.is_cut(),
        unmarked: if marked.is_none() { steady.rule.clone() } else { String::new() },
        marked,
    }
}

/// How the run began and how it ended, by its requests in the order of their starts.
fn over_time_finding(line: &Timeline) -> String {
    /// Of fewer a quarter is too few for a median.
    const MANY: usize = 20;
    let known: Vec<f64> = line.requests.iter().filter_map(|r| r.ttft_s).collect();
    let most = |values: &mut dyn Iterator<Item = f64>| values.filter(|v| v.is_finite()).reduce(f64::max);
    let waited = most(&mut line.server.iter().filter_map(|p| p.waiting)).filter(|n| *n > 0.0);
    let waited = waited.map_or_else(String::new, |n| format!("; up to {n:.0} waited"));
    let quarter = known.len() / 4;
    let median = |values: &[f64]| quantile(&sorted(values), 0.5);
    let ends = (known.len() >= MANY).then(|| {
        let (first, last) = (known.get(..quarter)?, known.get(known.len() - quarter..)?);
        median(first).zip(median(last))
    });
    if let Some((first, last)) = ends.flatten() {
        let (first, last) = (units::seconds(first), units::seconds(last));
        return format!(
            "Median TTFT: {first} for the first quarter of requests, {last} for the last{waited}"
        );
    }
    let flight = most(&mut line.bins.iter().map(|b| b.in_flight)).unwrap_or(0.0);
    format!("At most {flight:.0} requests in flight{waited}")
}

/// The slowest, a median and a failed one of those that are drawn one by one.
fn falls(chosen: &[Chosen]) -> Vec<Fall> {
    let mut drawn: Vec<&Chosen> = Vec::new();
    for wanted in ["slowest TTFT", "at the median TTFT", "failed: ", "not ended: "] {
        let is_it = |chosen: &&Chosen| chosen.why.iter().any(|why| why.starts_with(wanted));
        let Some(one) = chosen.iter().find(is_it) else { continue };
        if !drawn.iter().any(|known| std::ptr::eq(*known, one)) {
            drawn.push(one);
        }
    }
    drawn.into_iter().map(|one| fall(&one.waterfall, one.why.join(", "))).collect()
}

/// One request, as figures take it.
pub(super) fn fall(w: &Waterfall, why: String) -> Fall {
    let c = &w.row.client;
    Fall {
        why,
        request_id: c.request_id.clone(),
        index: c.index,
        status: c.status.as_str(),
        ttft_s: c.ttft_s,
        e2e_s: c.e2e_s,
        parts: w.parts.clone(),
        stamps: w.stamps.clone(),
        decode: w.decode.clone(),
    }
}
