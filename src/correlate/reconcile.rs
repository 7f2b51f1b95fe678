//! Do both sides speak of the same requests? Counts, tokens and sums against each other, foreign
//! traffic, restarts, what was under way at the edges. What does not agree is said before any figure
//! is believed. This file must not know how a figure is made.

use super::aggregate_join::finished_well;
use super::request_join::RequestJoin;
use crate::metric::Metric;
use crate::record::correlated::{Aggregate, Check, Verdict, Window};
use crate::record::{JoinedRow, SpanRow, Status};

/// Spans and endpoint observe the same doubles; only the order of adding differs.
const SUM_TOLERANCE: f64 = 1e-9;
/// In-band metrics are rounded by their way through milliseconds and JSON.
const IN_BAND_TOLERANCE: f64 = 1e-9;

/// Every check, in the order of printing.
pub fn checks(
    join: &RequestJoin,
    spans: &[SpanRow],
    aggregate: &Aggregate,
    same_host: bool,
    window: Option<Window>,
) -> Vec<Check> {
    let rows = join.rows.as_slice();
    let mut out = vec![
        every_row(join),
        resets(aggregate),
        edges(aggregate),
        requests(join, aggregate),
    ];
    out.push(foreign(join, aggregate));
    out.push(tokens(
        "output tokens",
        rows,
        aggregate.generation_tokens,
        |r| r.client.output_tokens,
        |r| r.client.max_tokens,
    ));
    out.push(tokens(
        "prompt tokens",
        rows,
        aggregate.prompt_tokens,
        |r| r.client.input_tokens,
        |_| None,
    ));
    out.push(duplicates(join));
    out.push(times(join));
    out.extend(sums(join, spans, aggregate, same_host, window));
    out.push(span_tokens(rows));
    out.push(in_band(rows, spans.is_empty()));
    out
}

fn check(
    name: &'static str,
    client: Option<f64>,
    server: Option<f64>,
    verdict: Verdict,
    detail: impl Into<String>,
) -> Check {
    Check {
        name,
        client,
        server,
        verdict,
        detail: detail.into(),
    }
}

fn agree_if(agrees: bool) -> Verdict {
    if agrees {
        Verdict::Agree
    } else {
        Verdict::Differ
    }
}

/// Rows in = rows joined + rows not joined, each with its reason.
fn every_row(join: &RequestJoin) -> Check {
    let c = &join.coverage;
    let unjoined: usize = c.unjoined.values().sum();
    let detail = format!(
        "{} requests = {} joined + {unjoined} not joined",
        c.requests, c.joined
    );
    let verdict = agree_if(c.requests == c.joined + unjoined);
    check(
        "every request accounted for",
        Some(c.requests as f64),
        Some((c.joined + unjoined) as f64),
        verdict,
        detail,
    )
}

fn resets(aggregate: &Aggregate) -> Check {
    let name = "counters without a restart";
    match &aggregate.unusable {
        None => check(
            name,
            None,
            None,
            Verdict::Agree,
            format!("{} endpoint(s)", aggregate.endpoints),
        ),
        Some(why) if aggregate.histograms.is_empty() && aggregate.finished.is_empty() => {
            check(name, None, None, Verdict::NotAvailable, why)
        }
        Some(why) => check(name, None, None, Verdict::Differ, why),
    }
}

fn edges(aggregate: &Aggregate) -> Check {
    let name = "server idle before and after";
    let (Some(before), Some(after)) = (aggregate.in_flight_before, aggregate.in_flight_after)
    else {
        return check(
            name,
            None,
            None,
            Verdict::NotAvailable,
            "the server does not say how many requests it holds",
        );
    };
    let detail =
        format!("{before} requests in the engine at the snapshot before, {after} at the one after");
    check(
        name,
        Some(before),
        Some(after),
        agree_if(before == 0.0 && after == 0.0),
        detail,
    )
}

/// How many requests may have ended well at the server, by what the client saw.
struct Ended {
    /// Sequences, as the server counts them: a request with n = 2 is two.
    ok: usize,
    /// Reached the server and did not end well here: it may count them or not.
    perhaps: usize,
}

fn ended(join: &RequestJoin) -> Ended {
    let rows = &join.rows;
    let count = |test: fn(Status) -> bool| rows.iter().filter(|r| test(r.client.status)).count();
    Ended {
        ok: count(|s| s == Status::Ok) + join.more_sequences,
        perhaps: count(|s| !matches!(s, Status::Ok | Status::ConnectError | Status::HttpError)),
    }
}

fn requests(join: &RequestJoin, aggregate: &Aggregate) -> Check {
    let name = "requests";
    let Ended { ok, perhaps } = ended(join);
    let Some(server) = usable(aggregate).and_then(|a| finished_well(&a.finished)) else {
        return check(
            name,
            Some(ok as f64),
            None,
            Verdict::NotAvailable,
            "no count of finished requests over the window",
        );
    };
    let (lo, hi) = (ok as f64, (ok + perhaps) as f64);
    let detail = match (server >= lo, server <= hi) {
        (true, true) if perhaps == 0 => {
            format!("{ok} ok at the client, {server} finished at the server")
        }
        (true, true) => format!(
            "{ok} ok at the client and {perhaps} cut, timed out or unfinished, {server} finished at the server"
        ),
        (true, false) => format!(
            "{} more finished at the server than the client sent",
            server - hi
        ),
        (false, _) => format!(
            "{} of the client's {ok} are missing at the server",
            lo - server
        ),
    };
    check(
        name,
        Some(lo),
        Some(server),
        agree_if((lo..=hi).contains(&server)),
        detail,
    )
}

fn foreign(join: &RequestJoin, aggregate: &Aggregate) -> Check {
    let name = "no foreign traffic";
    let Ended { ok, perhaps } = ended(join);
    let counted = usable(aggregate).and_then(|a| finished_well(&a.finished));
    let more = counted.map(|server| (server - (ok + perhaps) as f64).max(0.0));
    let spans: usize = foreign_of(&join.coverage.span_leftovers);
    let ids: usize = foreign_of(&join.coverage.log_leftovers);
    let detail = format!(
        "{} requests more at the server, {spans} spans and {ids} log ids of others",
        more.map_or_else(|| "unknown".to_owned(), |m| m.to_string())
    );
    let known =
        more.is_some() || join.coverage.spans > 0 || !join.coverage.log_leftovers.is_empty();
    let verdict = if known {
        agree_if(more.unwrap_or(0.0) == 0.0 && spans == 0 && ids == 0)
    } else {
        Verdict::NotAvailable
    };
    check(name, Some(0.0), more, verdict, detail)
}

fn foreign_of(leftovers: &std::collections::BTreeMap<String, usize>) -> usize {
    leftovers
        .iter()
        .filter(|(reason, _)| reason.starts_with("foreign"))
        .map(|(_, n)| n)
        .sum()
}

/// Tokens of the successful requests against the server's counter, which holds those of the aborted
/// too: then the client's side is an interval.
fn tokens(
    name: &'static str,
    rows: &[JoinedRow],
    server: Option<f64>,
    of: fn(&JoinedRow) -> Option<u32>,
    at_most: fn(&JoinedRow) -> Option<u32>,
) -> Check {
    let ok = || rows.iter().filter(|r| r.client.status == Status::Ok);
    let unknown = ok().filter(|r| of(r).is_none()).count();
    let sum: f64 = ok().filter_map(of).map(f64::from).sum();
    let Some(server) = server else {
        return check(
            name,
            Some(sum),
            None,
            Verdict::NotAvailable,
            "no counter over the window",
        );
    };
    if unknown > 0 {
        let detail = format!("{unknown} successful requests came without usage");
        return check(name, Some(sum), Some(server), Verdict::NotAvailable, detail);
    }
    let cut: Vec<&JoinedRow> = rows
        .iter()
        .filter(|r| {
            !matches!(
                r.client.status,
                Status::Ok | Status::ConnectError | Status::HttpError
            )
        })
        .collect();
    let most = cut
        .iter()
        .map(|r| at_most(r).map(f64::from))
        .sum::<Option<f64>>();
    let hi = if cut.is_empty() {
        sum
    } else {
        most.map_or(f64::INFINITY, |most| sum + most)
    };
    let detail = match server - sum {
        0.0 => "equal".to_owned(),
        more if more > 0.0 && server <= hi => {
            format!(
                "{more} more at the server, as {} cut or unfinished requests may account for",
                cut.len()
            )
        }
        more if more > 0.0 => format!("{more} more at the server"),
        less => format!("{} fewer at the server", -less),
    };
    check(
        name,
        Some(sum),
        Some(server),
        agree_if((sum..=hi).contains(&server)),
        detail,
    )
}

fn duplicates(join: &RequestJoin) -> Check {
    let n = join.coverage.ambiguous;
    let detail = format!("{n} requests could not be told apart by id");
    check(
        "ids are unique",
        Some(n as f64),
        None,
        agree_if(n == 0),
        detail,
    )
}

fn times(join: &RequestJoin) -> Check {
    let name = "spans lie inside the client's stamps";
    let spans = join.coverage.by_source.get("span").copied().unwrap_or(0);
    let n = join.coverage.disagree_in_time;
    let verdict = if spans == 0 {
        Verdict::NotAvailable
    } else {
        agree_if(n == 0)
    };
    check(
        name,
        Some(spans as f64),
        Some((spans - n.min(spans)) as f64),
        verdict,
        format!("{n} of {spans} do not"),
    )
}

/// Σ over the spans of the window against the endpoint's sums.
fn sums(
    join: &RequestJoin,
    spans: &[SpanRow],
    aggregate: &Aggregate,
    same_host: bool,
    window: Option<Window>,
) -> Vec<Check> {
    type Of = fn(&SpanRow) -> Option<f64>;
    let of: [(&'static str, Metric, Of); 5] = [
        ("sum of server TTFT", Metric::Ttft, |s| s.ttft_s),
        ("sum of durations", Metric::E2e, |s| s.e2e_s),
        ("sum of queue times", Metric::Queue, |s| s.queue_s),
        ("sum of prefill times", Metric::Prefill, |s| s.prefill_s),
        ("sum of decode times", Metric::Decode, |s| s.decode_s),
    ];
    // The endpoint counts a request when it ends; of another host's clock nothing can be said.
    let inside = |s: &&SpanRow| {
        !same_host
            || window
                .is_none_or(|w| s.end_unix_ns > w.begin_unix_ns && s.end_unix_ns <= w.end_unix_ns)
    };
    let in_window: Vec<&SpanRow> = join
        .request_spans
        .iter()
        .filter_map(|i| spans.get(*i as usize))
        .filter(inside)
        .collect();
    of.into_iter()
        .map(|(name, metric, value)| {
            let values: Vec<f64> = in_window.iter().filter_map(|s| value(s)).collect();
            let sum: f64 = values.iter().sum();
            let Some(observed) = usable(aggregate).and_then(|a| a.of(metric)) else {
                return check(
                    name,
                    Some(sum),
                    None,
                    Verdict::NotAvailable,
                    "no sum over the window",
                );
            };
            let (spans, seen) = (values.len(), observed.count);
            if spans != seen as usize {
                let detail =
                    format!("{spans} spans, {seen} observations: sums of different requests");
                return check(
                    name,
                    Some(sum),
                    Some(observed.sum),
                    Verdict::NotAvailable,
                    detail,
                );
            }
            let error = (sum - observed.sum).abs() / observed.sum.abs().max(f64::MIN_POSITIVE);
            let detail = format!("{spans} spans, relative difference {error:.0e}");
            check(
                name,
                Some(sum),
                Some(observed.sum),
                agree_if(error <= SUM_TOLERANCE),
                detail,
            )
        })
        .collect()
}

/// The client's count of output tokens against the span's, request by request.
fn span_tokens(rows: &[JoinedRow]) -> Check {
    let name = "output tokens, request by request";
    let pairs: Vec<(u32, u32)> = rows
        .iter()
        .filter(|r| r.client.status == Status::Ok)
        .filter_map(|r| Some((r.client.output_tokens?, r.server_output_tokens?)))
        .collect();
    let differ = pairs
        .iter()
        .filter(|(client, server)| client != server)
        .count();
    let sum = |side: fn(&(u32, u32)) -> u32| Some(pairs.iter().map(|p| f64::from(side(p))).sum());
    let verdict = if pairs.is_empty() {
        Verdict::NotAvailable
    } else {
        agree_if(differ == 0)
    };
    let detail = format!("{differ} of {} requests differ", pairs.len());
    check(name, sum(|p| p.0), sum(|p| p.1), verdict, detail)
}

/// Where spans and in-band metrics both tell a time, they tell the same.
fn in_band(rows: &[JoinedRow], no_spans: bool) -> Check {
    let name = "spans and in-band metrics agree";
    let mut pairs: Vec<(f64, f64)> = Vec::new();
    for row in rows.iter().filter(|r| r.server_arrival_unix_ns.is_some()) {
        let both = [
            (row.server_queue_s, row.client.in_band_queue_s),
            (row.server_prefill_s, row.client.in_band_prefill_s),
            (row.server_decode_s, row.client.in_band_decode_s),
        ];
        pairs.extend(
            both.into_iter()
                .filter_map(|(span, in_band)| Some((span?, in_band?))),
        );
    }
    if no_spans || pairs.is_empty() {
        return check(
            name,
            None,
            None,
            Verdict::NotAvailable,
            "not both are there",
        );
    }
    let off = |(a, b): &(f64, f64)| (a - b).abs() > IN_BAND_TOLERANCE * a.abs().max(1.0);
    let differ = pairs.iter().filter(|pair| off(pair)).count();
    let sum = |side: fn(&(f64, f64)) -> f64| Some(pairs.iter().map(side).sum());
    let detail = format!("{differ} of {} times differ", pairs.len());
    check(
        name,
        sum(|p| p.1),
        sum(|p| p.0),
        agree_if(differ == 0),
        detail,
    )
}

/// The aggregate, if its differences can be trusted.
fn usable(aggregate: &Aggregate) -> Option<&Aggregate> {
    aggregate.unusable.is_none().then_some(aggregate)
}
