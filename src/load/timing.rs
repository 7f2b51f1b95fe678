//! What follows from the stamps of a request's events: when its tokens came, and the durations made
//! of that. One place for these formulas, since stamps can become better after a request has ended.
//! This file must not know where stamps come from.

use crate::clock::UnixNs;
use crate::record::{EventRow, RequestRow, Status};

/// Whether an event's stamp is a point, not an interval.
pub(super) fn is_exact(event: &EventRow) -> bool {
    event.stamp_lo_unix_ns == event.stamp_hi_unix_ns
}

/// Dates `row` by its events. `first_content` is the first of them with visible text; `whole` is
/// when an answer without events had come.
pub fn date(row: &mut RequestRow, events: &[EventRow], first_content: Option<usize>, whole: Option<UnixNs>) {
    let (first, last) = (events.first(), events.last());
    let content = first_content.and_then(|i| events.get(i));
    row.first_token_unix_ns = first.map(|e| e.stamp_hi_unix_ns);
    row.first_token_lo_unix_ns = first.map(|e| e.stamp_lo_unix_ns);
    row.first_token_user_unix_ns = first.map(|e| e.user_unix_ns);
    row.first_content_unix_ns = content.map(|e| e.stamp_hi_unix_ns);
    // The end of an error message is no token.
    let whole = whole.filter(|_| row.status == Status::Ok);
    row.last_token_unix_ns = last.map(|e| e.stamp_hi_unix_ns).or(whole);
    row.last_token_lo_unix_ns = last.map(|e| e.stamp_lo_unix_ns);
    row.n_events = events.len() as u32;
    row.n_exact_events = events.iter().filter(|e| is_exact(e)).count() as u32;
    durations(row, events.len() > 1);
}

/// Dates `row` by its first and its last token alone, for records that keep no others. Each is the
/// client program's own stamp.
pub fn by_ends(row: &mut RequestRow, first: Option<UnixNs>, last: Option<UnixNs>) {
    (row.n_events, row.n_exact_events) = (0, 0);
    row.first_token_unix_ns = first;
    row.first_token_user_unix_ns = first;
    row.last_token_unix_ns = last;
    durations(row, first.is_some() && last > first);
}

/// What follows from the stamps in `row`. `apart`: its first and its last token are two moments.
fn durations(row: &mut RequestRow, apart: bool) {
    let since_start = |stamp: UnixNs| stamp.seconds_since(row.started_unix_ns);
    let gaps = row.output_tokens.filter(|&n| n > 1).map(|n| f64::from(n - 1));
    row.ttft_s = row.first_token_unix_ns.map(since_start);
    row.ttft_user_s = row.first_token_user_unix_ns.map(since_start);
    row.ttft_scheduled_s = row.first_token_unix_ns.map(|t| t.seconds_since(row.scheduled_unix_ns));
    row.ttft_content_s = row.first_content_unix_ns.map(since_start);
    row.e2e_s = row.last_token_unix_ns.filter(|_| row.status == Status::Ok).map(since_start);
    // One event may hold several tokens; a mean gap needs two moments.
    row.itl_mean_s = match (row.first_token_unix_ns, row.last_token_unix_ns, gaps) {
        (Some(first), Some(last), Some(n)) if apart => Some(last.seconds_since(first) / n),
        _ => None,
    };
    row.tpot_s = match (row.ttft_s, row.e2e_s, gaps) {
        (Some(ttft), Some(e2e), Some(n)) => Some((e2e - ttft) / n),
        _ => None,
    };
    row.user_throughput_tps = match (row.output_tokens, row.e2e_s) {
        (Some(n), Some(e2e)) if e2e > 0.0 => Some(f64::from(n) / e2e),
        _ => None,
    };
}
