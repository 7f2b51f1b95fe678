//! How a stream's events lie in time: which came together, and what released them. Used for verdicts
//! and by the doctor, so that there is one truth. This file must not know who asks, or of any product.
//!
//! Events whose stamps are less than a third of a step apart came at one *moment* (1 ms where the step is
//! not known): a gateway that lets a buffer go writes it at once, whatever the step. Moments / events is
//! 1 where every event passed as it was made. A burst that came while this program stood still, or
//! that it read late, says nothing of a gateway: its events count as single ones.

use crate::clock::UnixNs;
use crate::record::EventRow;
use crate::record::own::OwnLag;
use crate::stats::quantile::{quantile, sorted};

/// Streams with fewer events tell nothing.
pub const LEAST_EVENTS: usize = 8;
/// Moments / events below which most events shared their moment.
pub const TOGETHER: f64 = 0.5;
/// Complete bursts that it takes to say what released them.
pub const LEAST_FLUSHES: usize = 5;
/// A head this near to the first token came with it.
pub const HEAD_WITH_TOKEN_S: f64 = 0.001;
/// Of a shorter wait for the first token it cannot be told what was held back.
pub const HEAD_WAIT_S: f64 = 0.005;
/// Of its time so much makes a program late.
const LATE: f64 = 0.1;
/// And such a share of its beats.
const LATE_BEATS: f64 = 0.2;

/// Of the wait for a burst so much explains it.
const LATE_FOR: f64 = 0.5;
/// How near two events of one moment are at most.
const MOMENT_S: f64 = 0.001;
const SHORTEST_MOMENT_S: f64 = 0.000_2;
/// A corked sender of Linux sends what it has after 200 ms, a receiver acknowledges after 40 ms at the
/// latest; what waited is then written with the next token.
const CORK_S: f64 = 0.2;
const DELAYED_ACK_S: f64 = 0.04;
/// Buffers that proxies have, in bytes.
const BUFFERS: [f64; 5] = [4096.0, 8192.0, 16_384.0, 32_768.0, 65_536.0];
/// Bursts to a gap between two of them, at most: where most streams have but one complete burst, the gaps of
/// the others tell of few.
const FEWEST_GAPS: usize = 3;
/// Bursts of which so many have the same number of events were let go by that number. By a timer they
/// are only where the step goes into it exactly.
const SAME_NUMBER: f64 = 0.8;
/// A burst smaller than this fills no buffer of a proxy.
const SMALL_BYTES: f64 = 3_000.0;
/// What a buffer has beside events: the answer's head, and framing.
const BESIDE_BYTES: f64 = 400.0;

/// Events that came at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    pub at: UnixNs,
    pub events: usize,
    pub bytes: u32,
    /// This program may be why they are one: it was late for them.
    pub ours: bool,
}

/// One stream's bursts.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    pub events: usize,
    pub bursts: Vec<Burst>,
}

impl Stream {
    /// Moments at which events came; what this program was late for counts as if it had come singly.
    pub fn moments(&self) -> usize {
        self.bursts.iter().map(|b| if b.ours { b.events } else { 1 }).sum()
    }

    /// Moments / events.
    pub fn share(&self) -> f64 {
        self.moments() as f64 / self.events.max(1) as f64
    }

    /// From the first burst to the last, s.
    pub fn spread_s(&self) -> f64 {
        match (self.bursts.first(), self.bursts.last()) {
            (Some(first), Some(last)) => last.at.seconds_since(first.at),
            _ => 0.0,
        }
    }
}

/// The bursts of a stream. `step_s`: the server's time from token to token, where it is known.
pub fn stream(events: &[EventRow], step_s: Option<f64>, own: Option<&OwnLag>) -> Stream {
    let moment_s = step_s.map_or(MOMENT_S, |step| (step / 3.0).clamp(SHORTEST_MOMENT_S, MOMENT_S));
    let together =
        |a: &EventRow, b: &EventRow| b.stamp_hi_unix_ns.seconds_since(a.stamp_hi_unix_ns) < moment_s;
    let burst = |of_one: &[EventRow]| Burst {
        at: of_one.last().map(|event| event.stamp_hi_unix_ns).unwrap_or_default(),
        events: of_one.len(),
        bytes: of_one.iter().map(|event| event.bytes).sum(),
        ours: of_one.len() > 1 && is_ours(of_one, step_s, own),
    };
    let bursts = events.chunk_by(together).map(burst).collect();
    Stream { events: events.len(), bursts }
}

/// Whether events may have come together only because this program was late for them: it stood still for
/// half of the time since it last saw nothing there, or had them in hand long after they had come. A short
/// stall does not explain a long wait.
fn is_ours(burst: &[EventRow], step_s: Option<f64>, own: Option<&OwnLag>) -> bool {
    let (Some(first), Some(last)) = (burst.first(), burst.last()) else { return false };
    let late_s = step_s.map_or(MOMENT_S, |step| (step / 2.0).max(MOMENT_S));
    let read_late = last.user_unix_ns.seconds_since(last.stamp_hi_unix_ns) > late_s;
    let (from, to) = (first.stamp_lo_unix_ns, last.user_unix_ns);
    let stood_still_s: f64 = own.map_or(0.0, |own| {
        let inside = own
            .stalls
            .iter()
            .map(|stall| stall.end_unix_ns().min(to).seconds_since(stall.begin_unix_ns.max(from)).max(0.0));
        inside.sum()
    });
    read_late || stood_still_s > LATE_FOR * to.seconds_since(from)
}

/// Whether this program stood still for a good part of the time: what it reads late, it reads together.
pub fn was_late(own: Option<&OwnLag>) -> bool {
    own.is_some_and(|own| {
        let delays = || [own.process_delay, own.runtime_delay].into_iter().flatten();
        let stalled_s = delays().map(|d| d.stalled_s).fold(0.0, f64::max);
        // Of short stalls only those count into that which a beat has met: the share of beats that did tells of all.
        let met = delays().filter(|d| d.n > 0).map(|d| d.stalls as f64 / d.n as f64).fold(0.0, f64::max);
        stalled_s > LATE * own.duration_s() || met > LATE_BEATS
    })
}

/// Whether the load's threads could not have the CPU for most of the time that they could have run: on such
/// a host everything waits, a gateway as well.
pub fn was_starved(own: Option<&OwnLag>) -> bool {
    let waited = |own: &OwnLag| {
        let (waited_s, on_cpu_s) = (own.load.waited_s?, own.load.on_cpu_s?);
        Some(waited_s > on_cpu_s && waited_s > LATE * own.duration_s())
    };
    own.and_then(waited).unwrap_or(false)
}

/// What let bursts go.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Released {
    /// A buffer of so many bytes was full.
    Buffer { buffer_bytes: f64, bytes: f64 },
    /// So many bytes had gathered; no usual buffer.
    Size { bytes: f64 },
    /// About 200 ms had passed: a corked sender's kernel.
    Cork { gap_s: f64 },
    /// About 40 ms had passed: a delayed acknowledgement under Nagle's algorithm.
    DelayedAck { gap_s: f64 },
    /// Such a buffer fills in such a time: either may have done it.
    BufferOrTimer { buffer_bytes: f64, bytes: f64, gap_s: f64 },
    /// So many events were there, always the same number.
    Events { events: f64, bytes: f64 },
    /// So many events come in such a time: either may have done it.
    EventsOrTimer { events: f64, gap_s: f64 },
    /// Nothing that they have in common.
    Unclear { gap_s: Option<f64>, bytes: Option<f64> },
}

/// What the bursts of streams have in common, and how many of them tell of it. The last of each stream is
/// cut by its end.
pub fn released<'s>(streams: impl IntoIterator<Item = &'s Stream>, step_s: Option<f64>) -> (Released, usize) {
    let (mut gaps, mut sizes, mut one) = (Vec::new(), Vec::new(), Vec::new());
    let mut numbers: Vec<f64> = Vec::new();
    for stream in streams {
        let inner = stream.bursts.get(..stream.bursts.len().saturating_sub(1)).unwrap_or_default();
        gaps.extend(inner.windows(2).filter_map(|pair| match pair {
            [a, b] if !a.ours && !b.ours => Some(b.at.seconds_since(a.at)),
            _ => None,
        }));
        let flushed = || inner.iter().filter(|b| b.events > 1 && !b.ours);
        sizes.extend(flushed().map(|b| f64::from(b.bytes)));
        numbers.extend(flushed().map(|b| b.events as f64));
        one.extend(inner.iter().map(|b| f64::from(b.bytes) / b.events.max(1) as f64));
    }
    let flushes = sizes.len();
    let (gaps, sizes) = (sorted(&gaps), sorted(&sizes));
    let event_bytes = quantile(&sorted(&one), 0.5).unwrap_or(0.0);
    let step = step_s.unwrap_or(MOMENT_S);
    let apart_s = quantile(&gaps, 0.5).filter(|_| gaps.len() * FEWEST_GAPS >= flushes);
    let clustered = |timer: f64, early: f64| {
        let inside =
            gaps.iter().filter(|gap| (timer - early..timer + 1.2 * step + 0.1 * timer).contains(*gap));
        gaps.len() >= LEAST_FLUSHES.max(flushes / FEWEST_GAPS)
            && inside.count() * 2 > gaps.len()
            && step < timer / 1.5
    };
    let at = |q: f64| quantile(&sizes, q).filter(|bytes| *bytes > 0.0);
    let alike = match (at(0.1), at(0.5), at(0.9)) {
        (Some(low), Some(bytes), Some(high)) if flushes >= LEAST_FLUSHES => {
            (high - low <= 1.5 * event_bytes + 0.05 * bytes).then_some(bytes)
        }
        _ => None,
    };
    let fills = |buffer: f64, bytes: f64| {
        (buffer - BESIDE_BYTES - 1.5 * event_bytes..=buffer + event_bytes).contains(&bytes)
    };
    let buffer = alike.and_then(|bytes| BUFFERS.iter().copied().find(|buffer| fills(*buffer, bytes)));
    let (corked, acked) = (clustered(CORK_S, 0.01), clustered(DELAYED_ACK_S, 0.004));
    let timed = corked || acked;
    // What fills a buffer or a segment in the timer's time looks like the timer.
    let is_small = at(0.5).is_none_or(|bytes| bytes < SMALL_BYTES);
    let (corked, acked) = (corked && (is_small || buffer.is_none()), acked && is_small);
    let median = quantile(&sorted(&numbers), 0.5).unwrap_or(0.0);
    let same = numbers.iter().filter(|n| (**n - median).abs() < 0.5).count();
    let is_number = flushes >= LEAST_FLUSHES && same as f64 >= SAME_NUMBER * flushes as f64;
    let events = Some(median).filter(|_| is_number);
    let released = match (alike, buffer, apart_s) {
        (Some(bytes), Some(buffer_bytes), Some(apart_s)) if timed => {
            Released::BufferOrTimer { buffer_bytes, bytes, gap_s: apart_s }
        }
        (Some(bytes), Some(buffer_bytes), _) => Released::Buffer { buffer_bytes, bytes },
        (_, _, Some(apart_s)) if (corked || acked) && is_number => {
            Released::EventsOrTimer { events: median, gap_s: apart_s }
        }
        (_, _, Some(apart_s)) if corked => Released::Cork { gap_s: apart_s },
        (_, _, Some(apart_s)) if acked => Released::DelayedAck { gap_s: apart_s },
        (_, None, _) if let Some((events, bytes)) = events.zip(at(0.5)) => Released::Events { events, bytes },
        (Some(bytes), None, _) => Released::Size { bytes },
        _ => Released::Unclear { gap_s: apart_s, bytes: at(0.5) },
    };
    (released, flushes)
}

impl Released {
    /// Whether it says what did it, not only what it looks like.
    pub fn is_specific(&self) -> bool {
        match self {
            Released::Buffer { .. }
            | Released::BufferOrTimer { .. }
            | Released::Cork { .. }
            | Released::DelayedAck { .. } => true,
            // A server may well write so many tokens at a time; that it takes it a corked sender's time to is rare.
            Released::EventsOrTimer { gap_s, .. } => *gap_s > CORK_S / 1.5,
            Released::Events { .. } | Released::Size { .. } | Released::Unclear { .. } => false,
        }
    }

    /// As it ends a sentence about what was held.
    pub fn words(&self) -> String {
        let count = |bytes: f64| crate::units::count(bytes.round() as u64);
        match *self {
            Released::Buffer { buffer_bytes, bytes } => format!(
                ", about {} bytes at a time as from a buffer of {} (or a corked sender)",
                count(bytes),
                count(buffer_bytes)
            ),
            Released::BufferOrTimer { buffer_bytes, bytes, gap_s } => format!(
                ", about {} bytes at a time and {} apart: a buffer of {}, or a timer, for here it fills in that time",
                count(bytes),
                crate::units::seconds(gap_s),
                count(buffer_bytes)
            ),
            Released::Events { events, bytes } => {
                format!(", {} at a time (about {} bytes)", count(events), count(bytes))
            }
            Released::EventsOrTimer { events, gap_s } => format!(
                ", {} at a time and {} apart: by their number, or by a timer (a corked sender's, a delayed acknowledgement's), for here so many are made in that time",
                count(events),
                crate::units::seconds(gap_s)
            ),
            Released::Size { bytes } => format!(", about {} bytes at a time", count(bytes)),
            Released::Cork { gap_s } => {
                format!(
                    ", about 200 ms apart as from a corked sender, or one that waits for late acknowledgements (median {})",
                    crate::units::seconds(gap_s)
                )
            }
            Released::DelayedAck { gap_s } => format!(
                ", about 40 ms apart as by delayed acknowledgements under Nagle's algorithm (median {})",
                crate::units::seconds(gap_s)
            ),
            Released::Unclear { gap_s: Some(gap_s), bytes: Some(bytes) } => {
                format!(", every {} and {} bytes (medians)", crate::units::seconds(gap_s), count(bytes))
            }
            Released::Unclear { gap_s: None, bytes: Some(bytes) } => {
                format!(", {} bytes at a time (median)", count(bytes))
            }
            Released::Unclear { gap_s: Some(gap_s), bytes: None } => {
                format!(", every {} (median)", crate::units::seconds(gap_s))
            }
            Released::Unclear { .. } => String::new(),
        }
    }
}

/// From sending to the head, and from the head to the first token, s.
pub fn around_head(client: &crate::record::RequestRow) -> Option<(f64, f64)> {
    let head = client.head_unix_ns?;
    let sent = client.send_begin_unix_ns?;
    Some((head.seconds_since(sent), client.first_token_unix_ns?.seconds_since(head)))
}
