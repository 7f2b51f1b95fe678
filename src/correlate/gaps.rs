//! The gaps between a request's tokens against what happened meanwhile: scrapes of the metrics endpoint
//! (does observing the server slow it down?) and engine steps that prefilled other requests (who stalled
//! whom?). This file must not know how a figure is shown.
//!
//! **Scrapes** are an event study: the longest gap of each running request that a scrape falls into,
//! against that of the same request which a moment of the same length falls into a few gaps earlier. Long
//! gaps are met more often than short ones by either, so the difference is fair; scrapes come at random
//! moments, so that nothing else is periodic with them. Requests under way at one scrape share its fate:
//! the interval is over scrapes.
//!
//! **Stalls** are gaps longer than twice the median. A stall is laid to the prefill of others where steps
//! with context requests fill at least half of what it has beyond the median.

use super::clocks::Map;
use crate::clock::UnixNs;
use crate::record::correlated::{Probe, Stalls};
use crate::record::{LogEvent, LogRow, RequestRow, ScrapePhase, ScrapeRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::{bootstrap, quantile};
use crate::store::Events;

/// A gap beyond so many medians is a stall.
pub const STALL: f64 = 2.0;
/// A median gap below this share of the mean is one within bursts.
const BURSTS: f64 = 0.1;
/// So many median gaps lie between a scrape and what it is compared with.
const APART: f64 = 3.0;

/// One gap between two events of a request, on the client's clock.
#[derive(Clone, Copy)]
struct Gap {
    begin: i64,
    end: i64,
}

impl Gap {
    fn seconds(self) -> f64 {
        (self.end - self.begin) as f64 / 1e9
    }
}

/// The gaps between the events at these stamps.
fn gaps(stamps: &[i64]) -> impl Iterator<Item = Gap> {
    stamps.windows(2).filter_map(|w| match w {
        [a, b] => Some(Gap { begin: *a, end: *b }),
        _ => None,
    })
}

/// The gaps of each request that ended well, in the order of time.
pub struct Gaps<'a> {
    /// The stamps of each: of hundreds of millions of events there should be no second copy.
    of: Vec<&'a [i64]>,
    sorted_s: Vec<f64>,
}

impl<'a> Gaps<'a> {
    pub fn new<'r>(requests: impl Iterator<Item = &'r RequestRow>, events: &'a Events) -> Self {
        let of: Vec<&[i64]> = requests
            .filter(|r| r.status == Status::Ok)
            .filter_map(|r| events.of(&r.request_id))
            .map(|rows| events.stamp_hi_unix_ns.get(rows).unwrap_or_default())
            .collect();
        let mut sorted_s: Vec<f64> = of.iter().flat_map(|stamps| gaps(stamps)).map(Gap::seconds).collect();
        sorted_s.sort_unstable_by(f64::total_cmp);
        Self { of, sorted_s }
    }

    /// What a scrape does to the gaps it falls into; `None` without a scrape that any falls into.
    pub fn probe(&self, scrapes: &[ScrapeRow], seed: u64) -> Option<Probe> {
        let mut during: Vec<(i64, i64)> = scrapes
            .iter()
            .filter(|s| s.phase == ScrapePhase::During && s.error.is_none())
            .map(|s| (s.send_unix_ns.0, s.recv_unix_ns.0))
            .collect();
        during.sort_unstable();
        let median_gap_s = self.usual_s()?;
        let (mut effects, mut gaps, mut lengths) = (Vec::new(), 0, Vec::new());
        let mut under_way = UnderWay::new(&self.of);
        for (send, recv) in during {
            let earlier = recv - send + (APART * median_gap_s * 1e9) as i64;
            let (mut sum, mut n) = (0.0, 0.0);
            for of_one in under_way.at(send) {
                if let (Some(met), Some(before)) =
                    (longest_met(of_one, send, recv), longest_met(of_one, send - earlier, recv - earlier))
                {
                    sum += met - before;
                    n += 1.0;
                    gaps += 1;
                }
            }
            if n > 0.0 {
                effects.push(sum / n);
                lengths.push((recv - send) as f64 / 1e9);
            }
        }
        Some(Probe {
            effect: bootstrap::mean(&effects, Blocks::Rows, seed)?,
            gaps,
            scrape_s: quantile::quantile(&quantile::sorted(&lengths), 0.5)?,
            median_gap_s,
        })
    }

    /// The median gap; `None` without gaps, and where tokens come in bursts: then it is that within a
    /// burst, every other gap would be a stall, and what keeps tokens back is another matter.
    fn usual_s(&self) -> Option<f64> {
        let median_s = quantile::quantile(&self.sorted_s, 0.5)?;
        let mean_s = self.sorted_s.iter().sum::<f64>() / self.sorted_s.len() as f64;
        (median_s > BURSTS * mean_s).then_some(median_s)
    }

    /// How many gaps are stalls, and how many of them others' prefill explains; `None` without gaps.
    pub fn stalls(&self, log: &[LogRow], map: &Map) -> Option<Stalls> {
        let median_s = self.usual_s()?;
        let (steps, resolution_s) = prefill_steps(log, map);
        // Of a stamp coarser than a stall nothing can be laid to anything.
        let usable = !steps.is_empty() && resolution_s <= median_s;
        let mut stalls = Stalls {
            gaps: self.sorted_s.len(),
            median_s,
            longest_s: *self.sorted_s.last()?,
            steps_with_prefill: steps.len(),
            resolution_s: (!steps.is_empty()).then_some(resolution_s),
            ..Stalls::default()
        };
        let (mut explained, mut explained_s) = (0, 0.0);
        for gap in self.of.iter().flat_map(|stamps| gaps(stamps)).filter(|g| g.seconds() > STALL * median_s) {
            let beyond = gap.seconds() - median_s;
            stalls.stalls += 1;
            stalls.beyond_s += beyond;
            if usable && covered(&steps, gap) * 2.0 >= beyond {
                explained += 1;
                explained_s += beyond;
            }
        }
        if usable {
            (stalls.by_prefill, stalls.by_prefill_s) = (Some(explained), Some(explained_s));
        }
        Some(stalls)
    }
}

/// The requests that had events both before and after a moment, for moments that come in order: each scrape
/// meets few of a long run's requests, and looking at all of them for each would take the square of its length.
struct UnderWay<'a> {
    of: &'a [&'a [i64]],
    /// By their first event, the latest first.
    to_come: Vec<(i64, usize)>,
    /// In their order.
    now: Vec<usize>,
}

impl<'a> UnderWay<'a> {
    fn new(of: &'a [&'a [i64]]) -> Self {
        let mut to_come: Vec<(i64, usize)> =
            of.iter().enumerate().filter_map(|(i, stamps)| Some((*stamps.first()?, i))).collect();
        to_come.sort_unstable_by_key(|first| std::cmp::Reverse(*first));
        Self { of, to_come, now: Vec::new() }
    }

    fn at(&mut self, moment: i64) -> impl Iterator<Item = &'a [i64]> {
        let of = self.of;
        let before = self.now.len();
        while let Some((_, i)) = self.to_come.pop_if(|(first, _)| *first <= moment) {
            self.now.push(i);
        }
        if self.now.len() > before {
            self.now.sort_unstable();
        }
        self.now.retain(|i| of.get(*i).and_then(|stamps| stamps.last()).is_some_and(|last| *last >= moment));
        self.now.iter().filter_map(move |i| of.get(*i).copied())
    }
}

/// The longest gap that overlaps the time, if the time lies between the first and the last event.
fn longest_met(stamps: &[i64], begin: i64, end: i64) -> Option<f64> {
    if *stamps.first()? > begin || *stamps.last()? < end {
        return None;
    }
    let first = stamps.get(1..)?.partition_point(|to| *to <= begin);
    let met = gaps(stamps.get(first..)?).take_while(|g| g.begin <= end);
    met.map(Gap::seconds).max_by(f64::total_cmp)
}

/// Engine steps that prefilled something, as `(begin, end)` on the client's clock, sorted and without
/// overlap, and the coarsest resolution of their stamps.
fn prefill_steps(log: &[LogRow], map: &Map) -> (Vec<(i64, i64)>, f64) {
    let mut resolution_ns = 0;
    let mut steps: Vec<(i64, i64)> = log
        .iter()
        .filter_map(|row| {
            let LogEvent::Iteration { context_requests, elapsed_s, .. } = &row.event else { return None };
            let here = map.anywhere(row.time_unix_ns?).filter(|_| *context_requests > 0)?;
            resolution_ns = resolution_ns.max(row.time_resolution_ns.unwrap_or(0));
            let end = UnixNs(here.lo_unix_ns.0.midpoint(here.hi_unix_ns.0));
            Some((end.plus_seconds(-elapsed_s).0, end.0))
        })
        .collect();
    steps.sort_unstable();
    let mut apart: Vec<(i64, i64)> = Vec::with_capacity(steps.len());
    for step in steps {
        match apart.last_mut() {
            Some(last) if step.0 <= last.1 => last.1 = last.1.max(step.1),
            _ => apart.push(step),
        }
    }
    (apart, resolution_ns as f64 / 1e9)
}

/// How many seconds of the gap the steps fill.
fn covered(steps: &[(i64, i64)], gap: Gap) -> f64 {
    let first = steps.partition_point(|s| s.1 <= gap.begin);
    let met = steps.get(first..).unwrap_or_default().iter().take_while(|s| s.0 < gap.end);
    met.map(|s| (s.1.min(gap.end) - s.0.max(gap.begin)) as f64 / 1e9).sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::fixture::{BEGIN, finished, log, request, scrape};

    /// Ten requests, a second apart, each of 11 tokens 10 ms apart but for the gap before `late`,
    /// which has `by` seconds more.
    fn run(late: usize, by: f64) -> (Vec<RequestRow>, Events) {
        let mut events = Events::default();
        let mut rows = Vec::new();
        for i in 0..10 {
            let mut one = finished(i);
            for event in one.events.iter_mut().skip(late) {
                event.stamp_hi_unix_ns = event.stamp_hi_unix_ns.plus_seconds(by);
            }
            events.push(&one);
            rows.push(one.row);
        }
        (rows, events)
    }

    #[test]
    fn the_effect_is_the_difference_of_the_gaps() {
        // One long request: 400 gaps of 10 ms; every fourth, into which a scrape falls, has 12 ms.
        let mut one = finished(0);
        let mut at = BEGIN.plus_seconds(0.1);
        let template = one.events[0];
        one.events.clear();
        let mut scrapes = Vec::new();
        for i in 0..400 {
            let mut event = template;
            event.stamp_hi_unix_ns = at;
            event.stamp_lo_unix_ns = at;
            one.events.push(event);
            if i % 4 == 2 {
                let mut s = scrape(ScrapePhase::During, 0.0, Vec::new());
                (s.send_unix_ns, s.recv_unix_ns) = (at.plus_seconds(0.005), at.plus_seconds(0.006));
                scrapes.push(s);
                at = at.plus_seconds(0.002);
            }
            at = at.plus_seconds(0.010);
        }
        let mut events = Events::default();
        events.push(&one);
        let probe = Gaps::new([&one.row].into_iter(), &events).probe(&scrapes, 1).unwrap();
        assert!((probe.effect.value - 0.002).abs() < 1e-9, "{probe:?}");
        assert!(probe.gaps >= 98 && probe.effect.n == probe.gaps, "{probe:?}");
        assert!((probe.scrape_s - 0.001).abs() < 1e-9);
    }

    fn step(end: f64, context_requests: u32, elapsed_s: f64) -> LogRow {
        let event = LogEvent::Iteration {
            number: 1,
            context_requests,
            context_tokens: 100,
            generation_requests: 3,
            generation_tokens: 3,
            elapsed_s,
        };
        log(&request(0), end, event)
    }

    #[test]
    fn a_stall_is_laid_to_the_prefill_that_fills_it() {
        // Each request's fifth gap has 30 ms more, from 140 to 180 ms after its start.
        let (rows, events) = run(5, 0.030);
        let gaps = Gaps::new(rows.iter(), &events);
        let log = [step(0.175, 1, 0.030), step(1.175, 0, 0.030), step(3.139, 1, 0.030)];
        let stalls = gaps.stalls(&log, &Map::One).unwrap();
        assert_eq!((stalls.gaps, stalls.stalls, stalls.steps_with_prefill), (100, 10, 2));
        assert!((stalls.beyond_s - 0.3).abs() < 1e-9);
        // The second step decoded only; the third ended as the gap began.
        assert_eq!(stalls.by_prefill, Some(1));
        assert!((stalls.by_prefill_s.unwrap() - 0.030).abs() < 1e-9);
    }

    #[test]
    fn stamps_of_whole_seconds_explain_nothing() {
        let (rows, events) = run(5, 0.030);
        let mut coarse = step(0.175, 1, 0.030);
        coarse.time_resolution_ns = Some(1_000_000_000);
        let stalls = Gaps::new(rows.iter(), &events).stalls(&[coarse], &Map::One).unwrap();
        assert_eq!((stalls.by_prefill, stalls.resolution_s), (None, Some(1.0)));
    }

    #[test]
    fn at_each_moment_those_are_looked_at_that_a_look_at_all_would_find() {
        // Overlapping, nested, apart, without events.
        let of: [&[i64]; 6] = [&[50, 60, 90], &[0, 100], &[], &[10, 20], &[10, 30, 35], &[95, 97]];
        let mut under_way = UnderWay::new(&of);
        for moment in [-5, 0, 12, 12, 20, 21, 36, 50, 90, 96, 100, 200] {
            let all = of.iter().copied().filter(|stamps| {
                stamps.first().is_some_and(|first| *first <= moment)
                    && stamps.last().is_some_and(|last| *last >= moment)
            });
            assert!(under_way.at(moment).eq(all), "at {moment}");
        }
    }
}
