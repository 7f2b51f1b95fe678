//! Several sources of one request against each other: what two of them tell must be the same, and lines
//! of the log must come in the order in which things happen. A source that disagrees is named. This
//! file must not know how a figure is made.

use super::log_join::Written;
use super::reconcile::{agree_if, check};
use super::request_join::{RequestJoin, Told};
use super::span_join::ServerSide;
use crate::clock::UnixNs;
use crate::record::JoinedRow;
use crate::record::correlated::{Check, Verdict};

/// In-band metrics go through milliseconds and JSON, a stat log through JSON; an E2E is the difference
/// of two instants in seconds of the epoch, doubles 0.24 µs apart.
const SAME: f64 = 1e-9;
/// An arrival that is computed from two such instants.
const SAME_INSTANT_NS: i64 = 1_000;

/// The checks, in the order of printing.
pub fn checks(join: &RequestJoin<'_>) -> Vec<Check> {
    let both = || join.rows.iter().zip(&join.told);
    let spans = both().flat_map(|(row, told)| in_band(row, told.span.as_ref()));
    let mut out = vec![times("spans and in-band metrics agree", spans)];
    // Few have a stat log; that there is none is no line of the reconciliation.
    if !join.request_stats.is_empty() {
        let stats = both().flat_map(|(row, told)| in_band(row, told.stat.as_ref()));
        out.push(times("stat log and in-band metrics agree", stats));
        out.push(times("spans and stat log agree", both().flat_map(|(_, told)| span_and_stat(told))));
        out.push(arrivals(join));
    }
    out.push(order(join));
    out
}

/// Pairs of times, `(one source, the other)`.
fn times(name: &'static str, pairs: impl Iterator<Item = (f64, f64)>) -> Check {
    let pairs: Vec<(f64, f64)> = pairs.collect();
    if pairs.is_empty() {
        return check(name, None, None, Verdict::NotAvailable, "not both are there");
    }
    let differ = pairs.iter().filter(|(a, b)| (a - b).abs() > SAME * a.abs().max(1.0)).count();
    let sum = |side: fn(&(f64, f64)) -> f64| Some(pairs.iter().map(side).sum());
    let detail = format!("{differ} of {} times differ", pairs.len());
    check(name, sum(|p| p.1), sum(|p| p.0), agree_if(differ == 0), detail)
}

fn in_band(row: &JoinedRow, side: Option<&ServerSide>) -> Vec<(f64, f64)> {
    let Some(side) = side else { return Vec::new() };
    let client = &row.client;
    let both = [
        (side.queue_s, client.in_band_queue_s),
        (side.prefill_s, client.in_band_prefill_s),
        (side.decode_s, client.in_band_decode_s),
    ];
    both.into_iter().filter_map(|(a, b)| Some((a?, b?))).collect()
}

fn span_and_stat(told: &Told) -> Vec<(f64, f64)> {
    let (Some(span), Some(stat)) = (&told.span, &told.stat) else { return Vec::new() };
    // Of several choices the first by TTFT stands for all, and a stat log has no TTFT.
    if span.sequences > 1 || stat.sequences > 1 {
        return Vec::new();
    }
    let both = [
        (span.e2e_s, stat.e2e_s),
        (span.queue_s, stat.queue_s),
        (span.prefill_s, stat.prefill_s),
        (span.decode_s, stat.decode_s),
        (span.output_tokens.map(f64::from), stat.output_tokens.map(f64::from)),
    ];
    both.into_iter().filter_map(|(a, b)| Some((a?, b?))).collect()
}

/// The arrival by the span against the stat log's.
fn arrivals(join: &RequestJoin<'_>) -> Check {
    let name = "arrival: span and stat log agree";
    let pairs: Vec<u64> = join
        .told
        .iter()
        .filter_map(|t| Some(t.stat.as_ref()?.arrival_unix_ns.0.abs_diff(t.span.as_ref()?.arrival_unix_ns.0)))
        .collect();
    let Some(most) = pairs.iter().max() else {
        return check(name, None, None, Verdict::NotAvailable, "not both are there");
    };
    let differ = pairs.iter().filter(|d| **d > SAME_INSTANT_NS.unsigned_abs()).count();
    let detail =
        format!("{differ} of {} differ by more than a microsecond, the most by {most} ns", pairs.len());
    check(name, Some(pairs.len() as f64), Some((pairs.len() - differ) as f64), agree_if(differ == 0), detail)
}

/// Arrival ≤ `Received` ≤ `Added` ≤ first output ≤ complete, each line to the resolution of its stamp.
fn order(join: &RequestJoin<'_>) -> Check {
    let name = "the log's lines come in order";
    let (mut steps, mut wrong) = (0_usize, 0_usize);
    let mut coarsest = 0;
    for told in &join.told {
        let Some(log) = &told.log else { continue };
        let arrival = told.span.as_ref().or(told.stat.as_ref()).map(|s| s.arrival_unix_ns);
        let exact = |at: UnixNs| Written { time_unix_ns: at, resolution_ns: SAME_INSTANT_NS };
        let stamps = [arrival.map(exact), log.received, log.added, log.first_output, log.complete];
        let there: Vec<Written> = stamps.into_iter().flatten().collect();
        coarsest = coarsest.max(log.resolution_ns().unwrap_or(0));
        for pair in there.windows(2) {
            let [earlier, later] = pair else { continue };
            steps += 1;
            // Two lines of one task at the same microsecond may be stamped either way round.
            wrong +=
                usize::from(later.end_unix_ns().0.saturating_add(SAME_INSTANT_NS) < earlier.time_unix_ns.0);
        }
    }
    if steps == 0 {
        return check(name, None, None, Verdict::NotAvailable, "no request with two instants");
    }
    let resolution = crate::units::seconds(coarsest as f64 / 1e9);
    let detail = format!("{wrong} of {steps} steps go back; stamps are good to {resolution}");
    check(name, Some(steps as f64), Some((steps - wrong) as f64), agree_if(wrong == 0), detail)
}
