//! Dates the events of finished requests by the segments that carried them, on a thread of its own
//! between the load and the writer. The load is not touched by it: it only notes where in its
//! stream an event ended. This file must not know sockets, HTTP or files.

use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::timing;
use crate::clock::UnixNs;
use crate::net::{PacketCounts, Packets};
use crate::record::{EventRow, Finished, Sink, StampSource};

/// How often the capture's queue is emptied.
const PERIOD: Duration = Duration::from_millis(4);
/// Two readings of one stamp, placed on the axis at two moments, may differ by so much.
const READING_NS: i64 = 2_000;

/// What became of the events of a run that was captured.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Resolved {
    pub packets: PacketCounts,
    /// Events dated by their segment.
    pub dated: u64,
    /// Events whose segment was not captured: their stamps are the socket's.
    pub missing: u64,
    /// Events whose segment's stamp lies outside of what the socket said: it is not used.
    pub outside: u64,
}

/// The thread, and its result.
pub struct Resolver {
    thread: JoinHandle<anyhow::Result<Resolved>>,
}

impl Resolver {
    /// Starts the thread. Finished requests that are sent to what is returned go on to `sink`.
    pub fn start(packets: Packets, sink: Sink<Finished>) -> anyhow::Result<(Self, Sink<Finished>)> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("tare-packets".to_owned())
            .spawn(move || run(packets, &receiver, &sink))
            .context("could not start the packet thread")?;
        Ok((Self { thread }, sender.into()))
    }

    /// Waits until everything that was sent has gone on; nobody may send any more by now.
    pub fn end(self) -> anyhow::Result<Resolved> {
        self.thread.join().map_err(|_| anyhow::anyhow!("the packet thread panicked"))?
    }
}

/// What broke the capture is returned at the end: requests go on undated, none is lost.
fn run(
    mut packets: Packets,
    finished: &Receiver<Finished>,
    sink: &Sink<Finished>,
) -> anyhow::Result<Resolved> {
    let (mut resolved, mut broken) = (Resolved::default(), None);
    let mut over = false;
    while !over {
        std::thread::sleep(PERIOD);
        // First the requests, then the packets: a segment is captured before its bytes can be read,
        // so all segments of these requests are among what is taken now.
        let mut ended = Vec::new();
        over = loop {
            match finished.try_recv() {
                Ok(one) => ended.push(one),
                Err(error) => break error == TryRecvError::Disconnected,
            }
        };
        if let Err(error) = packets.take() {
            broken.get_or_insert(error);
        }
        for mut one in ended {
            date(&packets, &mut one, &mut resolved);
            if let Some((place, end)) = one.place.as_ref().and_then(|p| Some((p, *p.offsets.last()?))) {
                packets.forget(place.client, end);
            }
            // The writer outlives the load; if it broke, the run ends with its error.
            sink.send(one);
        }
    }
    resolved.packets = packets.counts();
    broken.map_or(Ok(resolved), |error| Err(error).context("the capture of packets broke"))
}

fn date(packets: &Packets, finished: &mut Finished, resolved: &mut Resolved) {
    let Some(place) = &finished.place else { return };
    let dated_before = resolved.dated;
    for (event, &end) in finished.events.iter_mut().zip(&place.offsets) {
        match packets.arrival(place.client, end) {
            None => resolved.missing += 1,
            Some(at) => {
                if date_event(event, at) {
                    resolved.dated += 1;
                } else {
                    resolved.outside += 1;
                }
            }
        }
    }
    if resolved.dated > dated_before {
        let row = &mut finished.row;
        row.stamps = StampSource::Packet;
        // Where there are events, nothing else dates the answer.
        timing::date(row, &finished.events, place.first_content, None);
    }
}

/// Makes the stamp of the event's segment its own, if it can be: the socket was seen empty at `lo`,
/// and the bytes were there when they were read.
fn date_event(event: &mut EventRow, at: UnixNs) -> bool {
    let lo = event.stamp_lo_unix_ns.0;
    // An exact stamp is the read's last segment, of which the event's own may be an earlier one.
    let earliest = if timing::is_exact(event) { i64::MIN } else { lo };
    if at.0 < earliest.saturating_sub(READING_NS) || at.0 > event.user_unix_ns.0 + READING_NS {
        return false;
    }
    let at = at.min(event.user_unix_ns);
    (event.stamp_lo_unix_ns, event.stamp_hi_unix_ns) = (at, at);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(lo: i64, hi: i64, user: i64) -> EventRow {
        EventRow {
            stamp_lo_unix_ns: UnixNs(lo),
            stamp_hi_unix_ns: UnixNs(hi),
            user_unix_ns: UnixNs(user),
            events_in_read: 3,
            tokens: Some(1),
            bytes: 200,
        }
    }

    /// `lo`, `hi` of the event after its segment was found to have come at `at`; if it was used.
    fn dated(mut event: EventRow, at: i64) -> Option<(i64, i64)> {
        date_event(&mut event, UnixNs(at)).then_some((event.stamp_lo_unix_ns.0, event.stamp_hi_unix_ns.0))
    }

    #[test]
    fn an_interval_becomes_the_stamp_of_its_segment() {
        assert_eq!(dated(event(10_000, 90_000, 95_000), 40_000), Some((40_000, 40_000)));
    }

    #[test]
    fn a_stamp_outside_the_interval_is_not_used() {
        assert_eq!(dated(event(10_000, 90_000, 95_000), 5_000), None, "the socket was empty after that");
        assert_eq!(dated(event(10_000, 90_000, 95_000), 200_000), None, "it had been read by then");
        assert_eq!(
            dated(event(10_000, 90_000, 95_000), 96_000),
            Some((95_000, 95_000)),
            "the clocks' reading"
        );
    }

    #[test]
    fn an_exact_stamp_may_be_a_later_segments() {
        assert_eq!(dated(event(90_000, 90_000, 95_000), 89_500), Some((89_500, 89_500)));
    }
}
