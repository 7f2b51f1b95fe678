//! What the spans say against everything else that says the same: the endpoint's sums, the client's
//! tokens and stamps, the in-band metrics. This file must not know how a figure is made.

use super::reconcile::{agree_if, check, usable};
use super::request_join::RequestJoin;
use crate::metric::Metric;
use crate::record::correlated::{Aggregate, Check, Verdict, Window};
use crate::record::{JoinedRow, SpanRow, Status};

/// Spans and endpoint observe the same doubles; only the order of adding differs.
const SUM_TOLERANCE: f64 = 1e-9;
/// In-band metrics are rounded by their way through milliseconds and JSON.
const IN_BAND_TOLERANCE: f64 = 1e-9;

/// The checks that need spans, in the order of printing.
pub fn checks(
    join: &RequestJoin,
    spans: &[SpanRow],
    aggregate: &Aggregate,
    same_host: bool,
    window: Option<Window>,
) -> Vec<Check> {
    let mut out = vec![times(join)];
    out.extend(sums(join, spans, aggregate, same_host, window));
    out.push(span_tokens(&join.rows));
    out.push(in_band(&join.rows, spans.is_empty()));
    out
}

fn times(join: &RequestJoin) -> Check {
    let name = "spans lie inside the client's stamps";
    let spans = join.coverage.by_source.get("span").copied().unwrap_or(0);
    let n = join.coverage.disagree_in_time;
    let verdict = if spans == 0 { Verdict::NotAvailable } else { agree_if(n == 0) };
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
        !same_host || window.is_none_or(|w| s.end_unix_ns > w.begin_unix_ns && s.end_unix_ns <= w.end_unix_ns)
    };
    let in_window: Vec<&SpanRow> =
        join.request_spans.iter().filter_map(|i| spans.get(*i as usize)).filter(inside).collect();
    of.into_iter()
        .map(|(name, metric, value)| {
            let values: Vec<f64> = in_window.iter().filter_map(|s| value(s)).collect();
            let sum: f64 = values.iter().sum();
            let Some(observed) = usable(aggregate).and_then(|a| a.of(metric)) else {
                return check(name, Some(sum), None, Verdict::NotAvailable, "no sum over the window");
            };
            let (spans, seen) = (values.len(), observed.count);
            if spans != seen as usize {
                let detail = format!("{spans} spans, {seen} observations: sums of different requests");
                return check(name, Some(sum), Some(observed.sum), Verdict::NotAvailable, detail);
            }
            let error = (sum - observed.sum).abs() / observed.sum.abs().max(f64::MIN_POSITIVE);
            let detail = format!("{spans} spans, relative difference {error:.0e}");
            check(name, Some(sum), Some(observed.sum), agree_if(error <= SUM_TOLERANCE), detail)
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
    let differ = pairs.iter().filter(|(client, server)| client != server).count();
    let sum = |side: fn(&(u32, u32)) -> u32| Some(pairs.iter().map(|p| f64::from(side(p))).sum());
    let verdict = if pairs.is_empty() { Verdict::NotAvailable } else { agree_if(differ == 0) };
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
        pairs.extend(both.into_iter().filter_map(|(span, in_band)| Some((span?, in_band?))));
    }
    if no_spans || pairs.is_empty() {
        return check(name, None, None, Verdict::NotAvailable, "not both are there");
    }
    let off = |(a, b): &(f64, f64)| (a - b).abs() > IN_BAND_TOLERANCE * a.abs().max(1.0);
    let differ = pairs.iter().filter(|pair| off(pair)).count();
    let sum = |side: fn(&(f64, f64)) -> f64| Some(pairs.iter().map(side).sum());
    let detail = format!("{differ} of {} times differ", pairs.len());
    check(name, sum(|p| p.1), sum(|p| p.0), agree_if(differ == 0), detail)
}
