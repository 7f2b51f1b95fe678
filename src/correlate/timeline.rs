//! Both sides of a run over time. The client's side is averaged over even stretches, the server's is as it
//! was scraped, at the middle of each scrape; several endpoints are added up as soon as each has answered.
//! This file must not know how it is drawn.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::clock::UnixNs;
use crate::record::correlated::Evidence;
use crate::record::timeline::{AtClient, AtServer, Bin, Firsts, Timeline};
use crate::record::{JoinedRow, LogEvent, LogRow, ScrapeRow};
use crate::server::Server;
use crate::stats::quantile::{quantile, sorted};
use crate::store::RunEvents;

/// About so many stretches: more than a page's width can tell apart would be noise.
const BINS: f64 = 240.0;
/// No stretch is shorter, s.
const SHORTEST_S: f64 = 0.01;

/// The run over time; `None` without requests. `one_clock`: the server's log is dated by this clock.
pub fn timeline(
    rows: &[JoinedRow],
    events: &RunEvents,
    scrapes: &[ScrapeRow],
    log: &[LogRow],
    server: &Server,
    one_clock: bool,
) -> Result<Option<Timeline>> {
    let begin = rows.iter().map(|r| r.client.started_unix_ns).min();
    let end = rows.iter().map(|r| r.client.done_unix_ns).max();
    let (Some(begin), Some(end)) = (begin, end) else { return Ok(None) };
    let length_s = end.seconds_since(begin).max(SHORTEST_S);
    let width_s = round_up(length_s / BINS).max(SHORTEST_S);
    let mut requests: Vec<AtClient> = rows.iter().map(|row| at_client(row, begin)).collect();
    requests.sort_by(|a, b| a.start_s.total_cmp(&b.start_s).then(a.index.cmp(&b.index)));
    let mut stretches = bins(length_s, width_s);
    count(&mut stretches, &requests, width_s);
    tokens(&mut stretches, events, begin, width_s)?;
    let (server_source, server) = match of_scrapes(scrapes, server, begin) {
        points if !points.is_empty() => (Some(Evidence::Metrics), points),
        _ => {
            let points = of_log(log, begin, one_clock);
            ((!points.is_empty()).then_some(Evidence::LogStats), points)
        }
    };
    Ok(Some(Timeline {
        begin_unix_ns: begin,
        length_s,
        bin_s: width_s,
        firsts: firsts(&requests, length_s),
        bins: stretches,
        server,
        server_source,
        requests,
    }))
}

/// 1, 2 or 5 times a power of ten, at least this.
fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|m| m * power);
    steps.into_iter().find(|step| *step >= value * (1.0 - 1e-9)).unwrap_or(value)
}

fn at_client(row: &JoinedRow, begin: UnixNs) -> AtClient {
    let c = &row.client;
    AtClient {
        request_id: c.request_id.clone(),
        index: c.index,
        start_s: c.started_unix_ns.seconds_since(begin),
        done_s: c.done_unix_ns.seconds_since(begin),
        status: c.status,
        ttft_s: c.ttft_s,
        server_ttft_s: row.server_ttft_s,
        itl_mean_s: c.itl_mean_s,
        e2e_s: c.e2e_s,
        output_tokens: c.output_tokens,
    }
}

fn bins(length_s: f64, width_s: f64) -> Vec<Bin> {
    let n = (length_s / width_s - 1e-9).ceil().max(1.0) as usize;
    (0..n)
        .map(|i| Bin {
            begin_s: i as f64 * width_s,
            end_s: ((i + 1) as f64 * width_s).min(length_s),
            ..Bin::default()
        })
        .collect()
}

/// The stretch that an instant lies in; the run's last instant is in the last one.
fn number(at_s: f64, width_s: f64, n: usize) -> usize {
    ((at_s / width_s).floor().max(0.0) as usize).min(n.saturating_sub(1))
}

fn count(bins: &mut [Bin], requests: &[AtClient], width_s: f64) {
    let n = bins.len();
    let mut firsts: Vec<[Vec<f64>; 2]> = vec![<[Vec<f64>; 2]>::default(); n];
    for request in requests {
        let (from, to) = (number(request.start_s, width_s, n), number(request.done_s, width_s, n));
        for bin in bins.get_mut(from..=to).unwrap_or_default() {
            let shared_s = request.done_s.min(bin.end_s) - request.start_s.max(bin.begin_s);
            bin.in_flight += shared_s.max(0.0) / (bin.end_s - bin.begin_s).max(f64::MIN_POSITIVE);
        }
        if let Some(bin) = bins.get_mut(from) {
            bin.started += 1;
        }
        if let Some(bin) = bins.get_mut(to) {
            bin.ended += 1;
            bin.failed += u32::from(request.status.is_failure());
        }
        if let Some([client, server]) = firsts.get_mut(from) {
            client.extend(request.ttft_s);
            server.extend(request.server_ttft_s);
        }
    }
    for (bin, [client, server]) in bins.iter_mut().zip(&firsts) {
        bin.ttft_p50_s = quantile(&sorted(client), 0.5);
        bin.server_ttft_p50_s = quantile(&sorted(server), 0.5);
    }
}

/// First tokens in stretches of about 20 requests, at most 80 of them. Of fewer than five there is no band.
fn firsts(requests: &[AtClient], length_s: f64) -> Vec<Firsts> {
    const IN_EACH: usize = 20;
    const MOST: f64 = 80.0;
    const FEW: usize = 5;
    let known = requests.iter().filter(|r| r.ttft_s.is_some()).count();
    let width_s = round_up(length_s / ((known / IN_EACH) as f64).clamp(1.0, MOST));
    let stretches = bins(length_s, width_s);
    let mut values: Vec<[Vec<f64>; 2]> = vec![<[Vec<f64>; 2]>::default(); stretches.len()];
    for request in requests {
        let n = number(request.start_s, width_s, stretches.len());
        if let Some([client, server]) = values.get_mut(n) {
            client.extend(request.ttft_s);
            server.extend(request.server_ttft_s);
        }
    }
    let of = |(bin, [client, server]): (&Bin, &[Vec<f64>; 2])| {
        let client = sorted(client);
        let band_s = quantile(&client, 0.1).zip(quantile(&client, 0.9));
        Some(Firsts {
            begin_s: bin.begin_s,
            end_s: bin.end_s,
            n: client.len(),
            p50_s: quantile(&client, 0.5)?,
            band_s: band_s.filter(|_| client.len() >= FEW),
            server_p50_s: quantile(&sorted(server), 0.5),
        })
    };
    stretches.iter().zip(&values).filter_map(of).collect()
}

/// Only where every event says how many tokens it holds.
fn tokens(bins: &mut [Bin], events: &RunEvents, begin: UnixNs, width_s: f64) -> Result<()> {
    let n = bins.len();
    let (mut counts, mut all_say) = (vec![0_u64; n], !events.is_empty());
    events.each(|_, part| {
        for (stamp, tokens) in part.stamp_hi_unix_ns.iter().zip(part.tokens) {
            let at_s = UnixNs(*stamp).seconds_since(begin);
            if let Some(count) = counts.get_mut(number(at_s, width_s, n)) {
                *count += u64::from(tokens.unwrap_or_default());
            }
            all_say &= tokens.is_some();
        }
    })?;
    if !all_say {
        return Ok(());
    }
    for (bin, count) in bins.iter_mut().zip(counts) {
        let length_s = bin.end_s - bin.begin_s;
        bin.output_tps = (length_s > 0.0).then(|| count as f64 / length_s);
    }
    Ok(())
}

/// The latest of one endpoint.
#[derive(Clone, Copy, Default)]
struct Latest {
    at: AtServer,
    generated_tokens: Option<f64>,
}

fn of_scrapes(scrapes: &[ScrapeRow], server: &Server, begin: UnixNs) -> Vec<AtServer> {
    let mut answered: Vec<&ScrapeRow> = scrapes.iter().filter(|s| s.error.is_none()).collect();
    answered.sort_by_key(|s| (s.send_unix_ns, s.recv_unix_ns));
    let sources: std::collections::BTreeSet<&str> = answered.iter().map(|s| s.source.as_str()).collect();
    let mut latest: BTreeMap<&str, Latest> = BTreeMap::new();
    let mut points = Vec::new();
    for scrape in answered {
        let totals = server.totals(&scrape.samples);
        let at_s =
            f64::midpoint(scrape.send_unix_ns.seconds_since(begin), scrape.recv_unix_ns.seconds_since(begin));
        let before = latest.get(scrape.source.as_str()).copied();
        let rate = before.and_then(|before| {
            let grown = totals.generation_tokens? - before.generated_tokens?;
            // A counter that began anew tells nothing of what came before.
            (grown >= 0.0 && at_s > before.at.at_s).then(|| grown / (at_s - before.at.at_s))
        });
        let at = AtServer {
            at_s,
            running: totals.running,
            waiting: totals.waiting,
            kv_cache_usage: totals.kv_cache_usage,
            output_tps: rate,
        };
        latest.insert(&scrape.source, Latest { at, generated_tokens: totals.generation_tokens });
        if latest.len() == sources.len() {
            points.push(together(at_s, &latest));
        }
    }
    let says = |p: &AtServer| {
        p.running.or(p.waiting).or(p.kv_cache_usage).or(p.output_tps).is_some_and(f64::is_finite)
    };
    points.retain(says);
    points
}

/// Sums over the endpoints, where all of them tell; of shares the mean.
fn together(at_s: f64, latest: &BTreeMap<&str, Latest>) -> AtServer {
    let sum =
        |value: fn(&AtServer) -> Option<f64>| latest.values().map(|l| value(&l.at)).sum::<Option<f64>>();
    AtServer {
        at_s,
        running: sum(|a| a.running),
        waiting: sum(|a| a.waiting),
        kv_cache_usage: sum(|a| a.kv_cache_usage).map(|all| all / latest.len() as f64),
        output_tps: sum(|a| a.output_tps),
    }
}

/// The log's stats lines, engine by engine, added up as the endpoints are.
fn of_log(log: &[LogRow], begin: UnixNs, one_clock: bool) -> Vec<AtServer> {
    let mut latest: BTreeMap<&str, Latest> = BTreeMap::new();
    let mut lines: Vec<(UnixNs, &LogRow)> = log
        .iter()
        .filter(|row| matches!(row.event, LogEvent::Stats { .. }))
        .map(|row| (row.time_unix_ns.filter(|_| one_clock).unwrap_or(row.read_unix_ns), row))
        .collect();
    lines.sort_by_key(|(at, row)| (*at, row.line_no));
    let mut points = Vec::new();
    for (at, row) in lines {
        let LogEvent::Stats { engine, generation_throughput_tps, running, waiting, kv_cache_usage, .. } =
            &row.event
        else {
            continue;
        };
        let at_s = at.seconds_since(begin);
        let said = AtServer {
            at_s,
            running: Some(f64::from(*running)),
            waiting: Some(f64::from(*waiting)),
            kv_cache_usage: *kv_cache_usage,
            output_tps: Some(*generation_throughput_tps),
        };
        latest.insert(engine.as_deref().unwrap_or(""), Latest { at: said, generated_tokens: None });
        points.push(together(at_s, &latest));
    }
    points
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests {
    use super::*;
    use crate::record::fixture::{self, BEGIN};
    use crate::record::{SampleRow, ScrapePhase, Status};
    use crate::server::vllm::VLLM;
    use crate::store::Events;

    fn of(rows: &[JoinedRow], scrapes: &[ScrapeRow]) -> Timeline {
        timeline(rows, &Events::default().into(), scrapes, &[], &VLLM, true).unwrap().unwrap()
    }

    fn scrape(source: &str, at_s: f64, running: f64, tokens: f64) -> ScrapeRow {
        let sample = |name: &str, value| SampleRow { name: name.to_owned(), labels: Vec::new(), value };
        ScrapeRow {
            source: source.to_owned(),
            phase: ScrapePhase::During,
            send_unix_ns: BEGIN.plus_seconds(at_s - 0.01),
            recv_unix_ns: BEGIN.plus_seconds(at_s + 0.01),
            error: None,
            bad_lines: 0,
            samples: vec![
                sample("vllm:num_requests_running", running),
                sample("vllm:generation_tokens_total", tokens),
            ],
        }
    }

    /// Requests of 0.201 s, one a second: a fifth of the time one is under way.
    #[test]
    fn requests_under_way_are_averaged_over_each_stretch() {
        let mut rows: Vec<JoinedRow> = (0..40).map(|i| JoinedRow::of(fixture::request(i))).collect();
        rows[3].client.status = Status::Cut;
        let line = of(&rows, &[]);
        assert_eq!(line.bin_s, 0.2, "39.201 s in at most 240 stretches of 1, 2 or 5 times a power of ten");
        assert_eq!(line.bins.len(), 197);
        let sum_s: f64 = line.bins.iter().map(|b| b.in_flight * (b.end_s - b.begin_s)).sum();
        assert!(
            (sum_s - 40.0 * 0.201).abs() < 1e-9,
            "every second of every request is counted once: {sum_s}"
        );
        assert!((line.bins[0].in_flight - 1.0).abs() < 1e-9 && line.bins[2].in_flight == 0.0);
        let total = |of: fn(&Bin) -> u32| line.bins.iter().map(of).sum::<u32>();
        assert_eq!([total(|b| b.started), total(|b| b.ended), total(|b| b.failed)], [40, 40, 1]);
        assert_eq!(line.bins[5].ttft_p50_s, Some(0.1));
        assert_eq!(line.bins[1].ttft_p50_s, None, "nothing started in it");
        // 40 requests in two stretches; 39.201 s / 2, made round.
        let shown: Vec<_> = line.firsts.iter().map(|f| (f.begin_s, f.end_s, f.n, f.band_s)).collect();
        assert_eq!(shown, [(0.0, 20.0, 20, Some((0.1, 0.1))), (20.0, 39.201, 20, Some((0.1, 0.1)))]);
    }

    #[test]
    fn endpoints_are_added_up_once_each_has_answered() {
        let rows = [JoinedRow::of(fixture::request(0))];
        let scrapes = [
            scrape("a", -1.0, 1.0, 100.0),
            scrape("b", 0.0, 2.0, 0.0),
            scrape("a", 1.0, 3.0, 300.0),
            scrape("b", 2.0, 4.0, 50.0),
            scrape("a", 3.0, 0.0, 10.0),
        ];
        let line = of(&rows, &scrapes);
        let shown: Vec<_> = line.server.iter().map(|p| (p.at_s, p.running, p.output_tps)).collect();
        assert_eq!(
            shown,
            [
                (0.0, Some(3.0), None),
                (1.0, Some(5.0), None),
                (2.0, Some(7.0), Some(125.0)),
                // The counter of `a` fell: it was started anew.
                (3.0, Some(4.0), None),
            ]
        );
        assert_eq!(line.server_source, Some(Evidence::Metrics));
    }

    #[test]
    fn stretches_are_round() {
        assert_eq!([0.011, 0.2, 0.21, 6.0, 1.0].map(round_up), [0.02, 0.2, 0.5, 10.0, 1.0]);
    }
}
