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

use std::collections::HashMap;

use anyhow::Result;

use super::clocks::Map;
use crate::clock::UnixNs;
use crate::record::correlated::{Probe, Stalls};
use crate::record::{LogEvent, LogRow, RequestRow, ScrapePhase, ScrapeRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::many::{Many, Values};
use crate::stats::{bootstrap, quantile};
use crate::store::RunEvents;

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
        self.end.saturating_sub(self.begin) as f64 / 1e9
    }
}

/// The gaps between the events at these stamps.
fn gaps(stamps: &[i64]) -> impl Iterator<Item = Gap> {
    stamps.windows(2).filter_map(|w| match w {
        [a, b] => Some(Gap { begin: *a, end: *b }),
        _ => None,
    })
}

/// What the gaps of requests are held against.
pub struct Gaps<'a> {
    pub scrapes: &'a [ScrapeRow],
    pub log: &'a [LogRow],
    pub map: &'a Map,
    pub seed: u64,
}

/// What was found between the tokens of the requests that ended well.
#[derive(Debug, Default)]
pub struct Found {
    /// What a scrape does to the gaps it falls into; `None` without a scrape that any falls into.
    pub probe: Option<Probe>,
    /// How many gaps are stalls, and how many of them others' prefill explains; `None` without gaps.
    pub stalls: Option<Stalls>,
}

impl Gaps<'_> {
    /// Reads the events twice: what a long gap is is known when all of them were seen.
    pub fn found<'r>(
        &self,
        requests: impl Iterator<Item = &'r RequestRow>,
        events: &RunEvents,
    ) -> Result<Found> {
        let ok: HashMap<&str, UnixNs> = requests
            .filter(|r| r.status == Status::Ok)
            .map(|r| (r.request_id.as_str(), r.started_unix_ns))
            .collect();
        let is_ok = |id: &str| ok.contains_key(id);
        let begin = ok.values().min().copied().unwrap_or_default().0;
        // Only their quantiles are asked for: when each came is all the same.
        let mut all = Many::new(begin, begin);
        events.each_of(is_ok, |_, part| {
            gaps(part.stamp_hi_unix_ns).for_each(|gap| all.push(begin, gap.end.saturating_sub(gap.begin)));
        })?;
        let all = all.values(1e9);
        let Some(median_s) = usual_s(&all) else { return Ok(Found::default()) };
        let mut probed = Probed::new(self.scrapes, median_s);
        let mut stalled = Stalled::new(&all, median_s, self.log, self.map);
        events.each_of(is_ok, |_, part| {
            probed.take(part.stamp_hi_unix_ns);
            stalled.take(part.stamp_hi_unix_ns);
        })?;
        Ok(Found { probe: probed.probe(median_s, self.seed), stalls: Some(stalled.found) })
    }
}

/// The median gap; `None` without gaps, and where tokens come in bursts: then it is that within a
/// burst, every other gap would be a stall, and what keeps tokens back is another matter.
fn usual_s(all: &Values) -> Option<f64> {
    let [median_s] = all.quantiles([0.5])?;
    (median_s > BURSTS * all.mean()?).then_some(median_s)
}

/// The gaps that scrapes fell into, scrape by scrape.
struct Probed {
    /// In the order of time: begin and end of each scrape, what its gaps were longer by in sum, and how many.
    scrapes: Vec<(i64, i64, f64, f64)>,
    apart: i64,
    gaps: usize,
}

impl Probed {
    fn new(scrapes: &[ScrapeRow], median_s: f64) -> Self {
        let during = scrapes.iter().filter(|s| s.phase == ScrapePhase::During && s.error.is_none());
        let mut scrapes: Vec<_> = during.map(|s| (s.send_unix_ns.0, s.recv_unix_ns.0, 0.0, 0.0)).collect();
        scrapes.sort_unstable_by_key(|(send, recv, ..)| (*send, *recv));
        Self { scrapes, apart: (APART * median_s * 1e9) as i64, gaps: 0 }
    }

    /// A request's events: those scrapes are looked at that came between the first and the last.
    fn take(&mut self, stamps: &[i64]) {
        let (Some(first), Some(last)) = (stamps.first(), stamps.last()) else { return };
        let from = self.scrapes.partition_point(|(send, ..)| send < first);
        for (send, recv, sum, n) in self.scrapes.iter_mut().skip(from).take_while(|(send, ..)| send <= last) {
            let earlier = *recv - *send + self.apart;
            if let (Some(met), Some(before)) =
                (longest_met(stamps, *send, *recv), longest_met(stamps, *send - earlier, *recv - earlier))
            {
                *sum += met - before;
                *n += 1.0;
                self.gaps += 1;
            }
        }
    }

    fn probe(&self, median_gap_s: f64, seed: u64) -> Option<Probe> {
        let met = || self.scrapes.iter().filter(|(.., n)| *n > 0.0);
        let effects: Vec<f64> = met().map(|(.., sum, n)| sum / n).collect();
        let lengths: Vec<f64> = met().map(|(send, recv, ..)| (recv - send) as f64 / 1e9).collect();
        Some(Probe {
            effect: bootstrap::mean(&effects, Blocks::Rows, seed)?,
            gaps: self.gaps,
            scrape_s: quantile::quantile(&quantile::sorted(&lengths), 0.5)?,
            median_gap_s,
        })
    }
}

/// The gaps that are stalls, as they are found.
struct Stalled {
    steps: Vec<(i64, i64)>,
    found: Stalls,
}

impl Stalled {
    fn new(all: &Values, median_s: f64, log: &[LogRow], map: &Map) -> Self {
        let (steps, resolution_s) = prefill_steps(log, map);
        // Of a stamp coarser than a stall nothing can be laid to anything.
        let usable = !steps.is_empty() && resolution_s <= median_s;
        let found = Stalls {
            gaps: all.len(),
            median_s,
            longest_s: all.ends().map_or(0.0, |(_, longest)| longest),
            steps_with_prefill: steps.len(),
            resolution_s: (!steps.is_empty()).then_some(resolution_s),
            by_prefill: usable.then_some(0),
            by_prefill_s: usable.then_some(0.0),
            ..Stalls::default()
        };
        Self { steps, found }
    }

    fn take(&mut self, stamps: &[i64]) {
        let median_s = self.found.median_s;
        for gap in gaps(stamps).filter(|g| g.seconds() > STALL * median_s) {
            let beyond = gap.seconds() - median_s;
            self.found.stalls += 1;
            self.found.beyond_s += beyond;
            if let (Some(n), Some(s)) = (&mut self.found.by_prefill, &mut self.found.by_prefill_s)
                && covered(&self.steps, gap) * 2.0 >= beyond
            {
                *n += 1;
                *s += beyond;
            }
        }
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
    use crate::store::Events;

    fn found(rows: &[RequestRow], events: Events, scrapes: &[ScrapeRow], log: &[LogRow]) -> Found {
        Gaps { scrapes, log, map: &Map::One, seed: 1 }.found(rows.iter(), &events.into()).unwrap()
    }

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
        let probe = found(&[one.row], events, &scrapes, &[]).probe.unwrap();
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
        let log = [step(0.175, 1, 0.030), step(1.175, 0, 0.030), step(3.139, 1, 0.030)];
        let stalls = found(&rows, events, &[], &log).stalls.unwrap();
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
        let stalls = found(&rows, events, &[], &[coarse]).stalls.unwrap();
        assert_eq!((stalls.by_prefill, stalls.resolution_s), (None, Some(1.0)));
    }

    #[test]
    fn each_scrape_meets_the_requests_that_a_look_at_all_would_find() {
        // Overlapping, nested, apart, without events; scrapes of no length. A request that ended at the moment has
        // no gap there any more.
        let of: [&[i64]; 6] = [&[50, 60, 90], &[0, 100], &[], &[10, 20], &[10, 30, 35], &[95, 97]];
        let moments = [-5, 0, 12, 12, 20, 21, 36, 50, 90, 96, 100, 200];
        let scrapes = moments.map(|at| (at, at, 0.0, 0.0)).to_vec();
        let mut probed = Probed { scrapes, apart: 0, gaps: 0 };
        for stamps in of {
            probed.take(stamps);
        }
        let all = moments.map(|at| of.iter().filter(|stamps| longest_met(stamps, at, at).is_some()).count());
        assert_eq!(probed.scrapes.iter().map(|(.., n)| *n as usize).collect::<Vec<_>>(), all);
        assert_eq!(all, [0, 1, 3, 3, 2, 2, 1, 2, 1, 2, 0, 0]);
    }
}
