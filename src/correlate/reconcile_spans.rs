//! What spans and stat log say against the endpoint's sums and the client's tokens and stamps. This file
//! must not know how a figure is made.

use super::reconcile::{agree_if, check, usable};
use super::request_join::RequestJoin;
use crate::metric::Metric;
use crate::record::correlated::{Aggregate, Check, Verdict, Window};
use crate::record::{JoinedRow, Source, SpanRow, Status};

/// Spans and endpoint observe the same doubles; only the order of adding differs.
const SUM_TOLERANCE: f64 = 1e-9;

/// The checks that need spans, in the order of printing.
pub fn checks(
    join: &RequestJoin<'_>,
    spans: &[SpanRow],
    aggregate: &Aggregate,
    window: Option<Window>,
) -> Vec<Check> {
    let mut out = vec![times(join)];
    out.extend(sums(SPANS, &join.request_spans, spans, join, aggregate, window));
    if !join.request_stats.is_empty() {
        out.extend(sums(STATS, &join.request_stats, &join.stat_spans, join, aggregate, window));
    }
    out.push(span_tokens(&join.rows));
    out
}

fn times(join: &RequestJoin<'_>) -> Check {
    let name = "spans lie inside the client's stamps";
    let spans = [Source::Span, Source::ServerStamps]
        .iter()
        .filter_map(|source| join.coverage.by_source.get(source.as_str()))
        .sum::<usize>();
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

type Of = fn(&SpanRow) -> Option<f64>;

const SPANS: &[(&str, Metric, Of)] = &[
    ("sum of server TTFT", Metric::Ttft, |s| s.ttft_s),
    ("sum of durations", Metric::E2e, |s| s.e2e_s),
    ("sum of queue times", Metric::Queue, |s| s.queue_s),
    ("sum of prefill times", Metric::Prefill, |s| s.prefill_s),
    ("sum of decode times", Metric::Decode, |s| s.decode_s),
];
const STATS: &[(&str, Metric, Of)] = &[
    ("stat log: sum of durations", Metric::E2e, |s| s.e2e_s),
    ("stat log: sum of queue times", Metric::Queue, |s| s.queue_s),
    ("stat log: sum of prefill times", Metric::Prefill, |s| s.prefill_s),
    ("stat log: sum of decode times", Metric::Decode, |s| s.decode_s),
];

/// Σ over the spans of the window against the endpoint's sums.
fn sums(
    of: &[(&'static str, Metric, Of)],
    indices: &[u32],
    spans: &[SpanRow],
    join: &RequestJoin<'_>,
    aggregate: &Aggregate,
    window: Option<Window>,
) -> Vec<Check> {
    // The endpoint counts a request when it ends; where clocks cannot be compared nothing can be said.
    let inside = |s: &&SpanRow| {
        let (Some(w), Some(ended)) = (window, join.maps.reference.anywhere(s.end_unix_ns)) else {
            return true;
        };
        ended.hi_unix_ns > w.begin_unix_ns && ended.lo_unix_ns <= w.end_unix_ns
    };
    let in_window: Vec<&SpanRow> =
        indices.iter().filter_map(|i| spans.get(*i as usize)).filter(inside).collect();
    of.iter()
        .map(|&(name, metric, value)| {
            let values: Vec<f64> = in_window.iter().filter_map(|s| value(s)).collect();
            let sum: f64 = values.iter().sum();
            let Some(observed) = usable(aggregate).and_then(|a| a.of(metric)) else {
                return check(name, Some(sum), None, Verdict::NotAvailable, "no sum over the window");
            };
            let (told, seen) = (values.len(), observed.count as usize);
            if told != seen {
                let detail =
                    format!("{told} told, {seen} observed: {}", why_counts_differ(metric, told, seen, join));
                return check(name, Some(sum), Some(observed.sum), Verdict::NotAvailable, detail);
            }
            let error = (sum - observed.sum).abs() / observed.sum.abs().max(f64::MIN_POSITIVE);
            let how =
                if error == 0.0 { "equal".to_owned() } else { format!("relative difference {error:.0e}") };
            let detail = format!("{told} requests, {how}");
            check(name, Some(sum), Some(observed.sum), agree_if(error <= SUM_TOLERANCE), detail)
        })
        .collect()
}

/// Aborted requests are observed when their first token came, and told nowhere; whatever else is
/// missing was lost on its way here.
fn why_counts_differ(metric: Metric, told: usize, seen: usize, join: &RequestJoin<'_>) -> String {
    let aborted = join
        .rows
        .iter()
        .filter(|r| !matches!(r.client.status, Status::Ok | Status::ConnectError | Status::HttpError))
        .count();
    match seen.checked_sub(told) {
        _ if told == 0 => "none came".to_owned(),
        Some(more) if metric == Metric::Ttft && aborted > 0 && more <= aborted => {
            format!("the {more} more are of {aborted} aborted requests, which count here and nowhere else")
        }
        Some(more) => format!("{more} were lost on their way or are of other traffic"),
        None => format!("{} more than the server counted in the window", told - seen),
    }
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
