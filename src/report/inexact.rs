//! Why token events have intervals in place of exact stamps: each is counted under the first cause
//! that the records show. This file must not know how stalls were seen.

use serde::Serialize;

use crate::record::own::OwnLag;
use crate::store::events::Part;

/// A read that came this long after its last byte was late.
const LATE_NS: i64 = 1_000_000;

/// Events without an exact stamp, by cause.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Inexact {
    pub events: usize,
    /// The client was late: their read's last byte arrived while the process or the runtime stalled.
    pub in_a_stall: usize,
    /// The client was late: the read came more than 1 ms after its last byte.
    pub read_late: usize,
    /// The network's: bytes before theirs were lost or overtaken on the way, and theirs waited in the kernel until
    /// those came. Where segments came out of order, this is what a read without a stamp that can be used is.
    pub behind_lost: usize,
    /// The server wrote several at once: they shared a read that was in time.
    pub several_at_once: usize,
    /// The kernel gave the read no stamp.
    pub unstamped: usize,
    /// The read ended in something else than the event, or left bytes behind.
    pub other: usize,
}

/// Counts them, as events come. Without `own` no stall is known.
pub(super) struct Counter {
    stalls: Vec<(i64, i64)>,
    /// Segments waited for earlier ones.
    network_loses: bool,
    pub found: Inexact,
}

impl Counter {
    pub(super) fn new(own: Option<&OwnLag>) -> Self {
        let network_loses = own.is_some_and(|own| own.waited_segments() > 0);
        Self { stalls: stalls(own), network_loses, found: Inexact::default() }
    }

    pub(super) fn take(&mut self, part: Part<'_>) {
        let n = &mut self.found;
        let stamps = part.stamp_lo_unix_ns.iter().zip(part.stamp_hi_unix_ns);
        for ((lo, hi), (user, in_read)) in stamps.zip(part.user_unix_ns.iter().zip(part.events_in_read)) {
            if lo == hi {
                continue;
            }
            n.events += 1;
            *if within(&self.stalls, *hi) {
                &mut n.in_a_stall
            } else if user == hi && self.network_loses {
                &mut n.behind_lost
            } else if user == hi {
                &mut n.unstamped
            } else if user - hi > LATE_NS {
                &mut n.read_late
            } else if *in_read > 1 {
                &mut n.several_at_once
            } else {
                &mut n.other
            } += 1;
        }
    }
}

impl Inexact {
    /// Because the client was late.
    pub fn client_late(&self) -> usize {
        self.in_a_stall + self.read_late
    }
}

/// The stalls as intervals that do not overlap, each a pulse's time longer at both ends: that it
/// has begun, and that it is over, is seen late by up to as much.
fn stalls(own: Option<&OwnLag>) -> Vec<(i64, i64)> {
    let mut apart: Vec<(i64, i64)> = Vec::new();
    let Some(own) = own else { return apart };
    let mut all: Vec<(i64, i64)> = own
        .stalls
        .iter()
        .map(|s| (s.begin_unix_ns.plus_seconds(-own.pulse_s).0, s.end_unix_ns().plus_seconds(own.pulse_s).0))
        .collect();
    all.sort_unstable();
    for (begin, end) in all {
        match apart.last_mut() {
            Some(last) if begin <= last.1 => last.1 = last.1.max(end),
            _ => apart.push((begin, end)),
        }
    }
    apart
}

fn within(stalls: &[(i64, i64)], at: i64) -> bool {
    let next = stalls.partition_point(|(begin, _)| *begin <= at);
    next.checked_sub(1).and_then(|last| stalls.get(last)).is_some_and(|(_, end)| at <= *end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixNs;
    use crate::record::own::{Stall, Stalled};
    use crate::record::{EventRow, Finished, fixture};
    use crate::store::Events;

    const MS: i64 = 1_000_000;

    fn stall(what: Stalled, begin_ms: i64, length_s: f64) -> Stall {
        let begin_unix_ns = UnixNs(begin_ms * MS);
        Stall { what, begin_unix_ns, length_s, cpu_s: None, waited_s: None, window_s: length_s }
    }

    /// Each as lo, hi, user (all in ms) and how many shared the read.
    fn events(all: &[(f64, f64, f64, u32)]) -> Events {
        let ns = |ms: f64| UnixNs((ms * 1e6) as i64);
        let row = |&(lo, hi, user, in_read): &(f64, f64, f64, u32)| EventRow {
            stamp_lo_unix_ns: ns(lo),
            stamp_hi_unix_ns: ns(hi),
            user_unix_ns: ns(user),
            events_in_read: in_read,
            tokens: Some(1),
            bytes: 200,
        };
        let mut events = Events::default();
        events.push(&Finished {
            row: fixture::request(0),
            events: all.iter().map(row).collect(),
            place: None,
        });
        events
    }

    #[test]
    fn each_event_has_one_cause() {
        let own = OwnLag {
            pulse_s: 0.005,
            stalls: vec![stall(Stalled::Process, 1000, 2.0), stall(Stalled::Runtime, 2900, 0.2)],
            ..OwnLag::default()
        };
        let all = events(&[
            (10.0, 10.0, 10.1, 1),       // exact
            (990.0, 2999.0, 3001.0, 80), // read when the stop was over
            (3050.0, 3104.0, 3104.1, 2), // within a pulse of a stall
            (3100.0, 3106.0, 3106.1, 3), // in time, together with others
            (3200.0, 3210.0, 3211.5, 1), // late by itself
            (3200.0, 3220.0, 3220.0, 1), // no stamp
            (3220.0, 3221.0, 3221.1, 1), // something else ended the read
        ]);
        let expected = Inexact {
            events: 6,
            in_a_stall: 2,
            read_late: 1,
            several_at_once: 1,
            unstamped: 1,
            other: 1,
            behind_lost: 0,
        };
        let counted = |own| {
            let mut counter = Counter::new(own);
            counter.take(all.part(&(0..all.len())));
            counter.found
        };
        assert_eq!(counted(Some(&own)), expected);
        let kernel = Some([("TCPOFOQueue".to_owned(), 3)].into());
        let lossy = OwnLag { kernel, ..own.clone() };
        assert_eq!(counted(Some(&lossy)), Inexact { unstamped: 0, behind_lost: 1, ..expected });
        let unseen = counted(None);
        assert_eq!((unseen.in_a_stall, unseen.read_late, unseen.several_at_once), (0, 2, 2));
    }

    #[test]
    fn stalls_that_overlap_are_one() {
        let own = OwnLag {
            stalls: vec![stall(Stalled::Process, 100, 0.5), stall(Stalled::Runtime, 120, 0.1)],
            ..OwnLag::default()
        };
        let stalls = stalls(Some(&own));
        assert_eq!(stalls, [(100 * MS, 600 * MS)]);
        let seen = [99, 100, 400, 600, 601].map(|ms| within(&stalls, ms * MS));
        assert_eq!(seen, [false, true, true, true, false]);
    }
}
