//! A passage's instants on the client's clock, each with the doubt of its stamps, and the causal pairs that
//! bound the hop's clock: a request leaves the client before the hop has it, what the hop had of the answer
//! was there before the client had it. This file must not know how a row was found.

use crate::clock::UnixNs;
use crate::correlate::clocks::{Map, Pairs};
use crate::record::correlated::Within;
use crate::record::hops::{FoundBy, Passage};
use crate::record::{HopRow, HopTry, RequestRow, Status, ToldBy};

/// Timers cut to milliseconds are often sums of several: each can be short by one of these.
const MOST_TIMERS: i64 = 4;
const MILLISECOND_NS: i64 = 1_000_000;

/// An instant by the hop's clock, between two.
#[derive(Clone, Copy)]
struct There {
    lo: UnixNs,
    hi: UnixNs,
}

/// When the hop began with the request, by its clock.
fn began(row: &HopRow) -> Option<There> {
    Some(stamp(row.start_unix_ns?, row.start_resolution_ns, row.start_slack_ns))
}

fn stamp(at: UnixNs, resolution_ns: Option<i64>, slack_ns: Option<i64>) -> There {
    let (resolution, slack) = (resolution_ns.unwrap_or(1), slack_ns.unwrap_or(0));
    // Whole nanoseconds: a stamp of that resolution is the instant.
    let after = if resolution <= 1 { 0 } else { resolution };
    There {
        lo: UnixNs(at.0.saturating_sub(slack)),
        hi: UnixNs(at.0.saturating_add(after).saturating_add(slack)),
    }
}

/// So long after the hop began, by its own timer.
fn later(row: &HopRow, after_s: Option<f64>) -> Option<There> {
    let (began, after_s) = (began(row)?, after_s?);
    let grain = row.timer_resolution_ns.unwrap_or(0);
    let grain = match grain {
        ..=1 => 0,
        MILLISECOND_NS.. => grain.saturating_mul(MOST_TIMERS),
        _ => grain,
    };
    Some(There {
        lo: began.lo.plus_seconds(after_s),
        hi: UnixNs(began.hi.plus_seconds(after_s).0.saturating_add(grain)),
    })
}

/// When it had gone on, of what came at `in_s`. A tap stamps after its write: whoever it wrote to may have had
/// it before that, though not before the tap itself.
fn gone(row: &HopRow, in_s: Option<f64>, out_s: Option<f64>) -> Option<There> {
    let out = later(row, out_s)?;
    let came = later(row, in_s).filter(|_| row.told_by == ToldBy::Tap);
    Some(There { lo: came.map_or(out.lo, |came| came.lo.min(out.lo)), hi: out.hi })
}

/// When the hop began with the request, on the client's clock.
pub fn start(row: &HopRow, map: &Map) -> Option<Within> {
    here(began(row)?, map)
}

fn here(there: There, map: &Map) -> Option<Within> {
    Some(map.anywhere(there.lo)?.over(map.anywhere(there.hi)?))
}

/// What one joined row shows of the hop's clock.
pub fn pairs(request: &RequestRow, row: &HopRow, pairs: &mut Pairs) {
    let Some(began) = began(row) else { return };
    if let Some(sent) = request.send_begin_unix_ns.or(request.connect_end_unix_ns) {
        pairs.out(sent, began.hi);
    }
    let mut back = |there: Option<There>, here: Option<UnixNs>| {
        if let (Some(there), Some(here)) = (there, here) {
            pairs.back(there.lo, here);
        }
    };
    back(later(row, row.upstream_head_s), request.head_unix_ns);
    let first = gone(row, row.first_token_in_s, row.first_token_out_s);
    let came = later(row, row.first_token_in_s.or(row.upstream_first_body_s));
    back(first.or(came), request.first_token_unix_ns);
    let last = gone(row, row.last_token_in_s, row.last_token_out_s);
    back(last.or(later(row, row.last_token_in_s)), request.last_token_unix_ns);
    // A try counts from its own beginning, which is after the hop's: so it ended no earlier than this.
    let tries = |of: fn(&HopTry) -> Option<f64>| row.tries.iter().filter_map(of).reduce(|a, b| a + b);
    back(later(row, row.tries.last().and_then(|last| last.head_s)), request.head_unix_ns);
    if request.status == Status::Ok {
        let done = Some(request.done_unix_ns);
        back(later(row, tries(|one| one.end_s)), done);
        back(later(row, row.upstream_end_s), done);
        // A line is written after the last byte went out: by how much is not known, so what stands in it
        // counts only where it is coarser than that.
        if let Some(end) = row.end_unix_ns.filter(|_| row.end_slack_ns.unwrap_or(0) >= MILLISECOND_NS) {
            back(Some(stamp(end, row.end_resolution_ns, row.end_slack_ns)), done);
        }
    }
}

/// The passage, its instants placed between what caused them and what they caused.
pub fn passage(request: &RequestRow, row: &HopRow, rows: usize, by: FoundBy, map: &Map) -> Passage {
    let sent = request.send_begin_unix_ns.unwrap_or(request.started_unix_ns);
    let until = |instant: Option<UnixNs>| instant.unwrap_or(request.done_unix_ns);
    let place = |there: Option<There>, before: UnixNs| {
        let there = there?;
        // About a step of the clock a stamp can mean two instants: what caused it says which.
        let caused = map.within(there.lo, sent, before).zip(map.within(there.hi, sent, before));
        let whole = match caused {
            Some((lo, hi)) => lo.over(hi),
            None => here(there, map)?,
        };
        let cut = whole.cut_to(sent, before);
        // Where the causes contradict it, a stamp stays what it says: that is a finding.
        Some(if cut.lo_unix_ns <= cut.hi_unix_ns { cut } else { whole })
    };
    let (first, last) = (until(request.first_token_unix_ns), until(request.last_token_unix_ns));
    let first_in = row.first_token_in_s.or(row.upstream_first_body_s);
    Passage {
        rows,
        tries_before: None,
        found_by: by,
        start: place(began(row), first),
        sent_on: place(gone(row, row.request_received_s, row.upstream_sent_s), first),
        first_in: place(later(row, first_in), first),
        first_out: place(gone(row, row.first_token_in_s, row.first_token_out_s), first),
        last_in: place(later(row, row.last_token_in_s), last),
        last_out: place(gone(row, row.last_token_in_s, row.last_token_out_s), last),
        first_is_body: row.first_token_in_s.is_none() && row.upstream_first_body_s.is_some(),
        stepped: map.may_step(request.started_unix_ns, request.done_unix_ns),
        row: row.clone(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tap_wrote_may_have_been_had_before_its_stamp() {
        let row = |told_by| HopRow {
            told_by,
            start_unix_ns: Some(UnixNs(1_000)),
            start_resolution_ns: Some(1),
            timer_resolution_ns: Some(1),
            first_token_in_s: Some(1e-6),
            first_token_out_s: Some(5e-6),
            ..HopRow::default()
        };
        let out = |row: &HopRow| {
            let There { lo, hi } = gone(row, row.first_token_in_s, row.first_token_out_s).unwrap();
            (lo.0, hi.0)
        };
        assert_eq!(out(&row(ToldBy::Tap)), (2_000, 6_000));
        // A packet's stamp, or a log's, is no later than who received it.
        assert_eq!(out(&row(ToldBy::Packets)), (6_000, 6_000));
    }
}
