//! The gaps between the token-bearing events of one answer, and which of them are stalls.

use crate::clock::UnixNs;
use crate::correlate::gaps::STALL;
use crate::record::correlated::Bounds;
use crate::record::own::OwnLag;
use crate::record::waterfall::{Decode, Gap, Stall};
use crate::record::{EventRow, JoinedRow};
use crate::stats::quantile;

/// `None` without two events. `run_median_s`: the median gap of the whole run, against which the report
/// tells stalls; without one, that of this request.
pub fn of(
    row: &JoinedRow,
    events: &[EventRow],
    run_median_s: Option<f64>,
    own: Option<&OwnLag>,
) -> Option<Decode> {
    let begin = row.client.started_unix_ns;
    let pairs = || (2..).zip(events.windows(2));
    let gaps: Vec<(Gap, u32, (UnixNs, UnixNs))> = pairs()
        .filter_map(|(event, pair)| {
            let [before, after] = pair else { return None };
            let since = |to: UnixNs, from: UnixNs| to.seconds_since(from);
            // An event does not come before the one that was sent before it.
            let least = since(after.stamp_lo_unix_ns, before.stamp_hi_unix_ns).max(0.0);
            let gap = Gap {
                event,
                at_s: since(after.stamp_hi_unix_ns, begin),
                gap_s: since(after.stamp_hi_unix_ns, before.stamp_hi_unix_ns),
                bounds: Bounds { lo_s: least, hi_s: since(after.stamp_hi_unix_ns, before.stamp_lo_unix_ns) },
            };
            Some((gap, after.events_in_read, (before.stamp_hi_unix_ns, after.stamp_hi_unix_ns)))
        })
        .collect();
    let lengths: Vec<f64> = gaps.iter().map(|(gap, ..)| gap.gap_s).collect();
    let median_s = quantile::quantile(&quantile::sorted(&lengths), 0.5)?;
    let stall_over_s = STALL * run_median_s.unwrap_or(median_s);
    let stalls = gaps.iter().filter(|(gap, ..)| gap.gap_s > stall_over_s);
    Some(Decode {
        events: events.len(),
        exact_gaps: gaps.iter().filter(|(gap, ..)| gap.bounds.width_s() == 0.0).count(),
        median_s,
        stall_over_s,
        stalls: stalls
            .map(|(gap, events_in_read, (from, to))| Stall {
                gap: *gap,
                events_in_read: *events_in_read,
                client_stood_still_s: own.map(|own| stood_still(own, *from, *to)),
            })
            .collect(),
        gaps: gaps.into_iter().map(|(gap, ..)| gap).collect(),
    })
}

/// How much of the time between two instants this program did not run, or did not read. Its stalls may
/// overlap: what two of them cover counts once.
fn stood_still(own: &OwnLag, from: UnixNs, to: UnixNs) -> f64 {
    let cut = |begin: UnixNs, end: UnixNs| (begin.max(from), end.min(to));
    let mut stalls: Vec<(UnixNs, UnixNs)> =
        own.stalls.iter().map(|s| cut(s.begin_unix_ns, s.end_unix_ns())).filter(|(b, e)| b < e).collect();
    stalls.sort();
    let mut reached = from;
    let mut total = 0.0;
    for (begin, end) in stalls {
        total += end.seconds_since(begin.max(reached)).max(0.0);
        reached = reached.max(end);
    }
    total
}
