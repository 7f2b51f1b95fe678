//! Delays as they come, several a second for as long as a run lasts: counted, and those
//! that are stalls put on a list. Pure. This file must not know what was late, nor who asks.

use crate::clock::UnixNs;
use crate::record::own::{Delay, Stall, Stalled};
use crate::stats::log_histogram::LogHistogram;

/// A delay over this is a stall.
const STALL_S: f64 = 0.010;
/// Stalls kept of each kind; of more, the longest.
const KEPT: usize = 100;
/// Stalls remembered before the longest are chosen.
const REMEMBERED: usize = 10_000;

/// What else was seen during a delay.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Evidence {
    pub(super) cpu_s: Option<f64>,
    pub(super) waited_s: Option<f64>,
    /// Over how long that was.
    pub(super) window_s: f64,
}

/// A stall, while it may still grow.
#[derive(Clone, Copy, Debug)]
struct Span {
    begin: UnixNs,
    end: UnixNs,
    evidence: Evidence,
}

/// The delays of one heart.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps {
    histogram: LogHistogram,
    sum_s: f64,
    max_s: f64,
    spans: Vec<Span>,
    forgotten: u64,
    forgotten_s: f64,
}

impl Gaps {
    /// Notes that what was due at `due` came at `came`.
    pub(super) fn note(&mut self, due: UnixNs, came: UnixNs, evidence: Evidence) {
        let late_s = came.seconds_since(due).max(0.0);
        self.histogram.record(late_s);
        self.sum_s += late_s;
        self.max_s = self.max_s.max(late_s);
        if late_s > STALL_S {
            self.push(Span { begin: due, end: came, evidence });
        }
    }

    /// Beats that fall into one stall are late by what is left of it: all of them are one stall.
    fn push(&mut self, span: Span) {
        let full = self.spans.len() >= REMEMBERED;
        match self.spans.last_mut() {
            Some(last) if span.begin <= last.end => last.end = last.end.max(span.end),
            _ if full => {
                self.forgotten += 1;
                self.forgotten_s += span.end.seconds_since(span.begin);
            }
            _ => self.spans.push(span),
        }
    }

    /// The distribution; `None` when there was no beat.
    pub(super) fn delay(&self) -> Option<Delay> {
        let n = self.histogram.total();
        // A bucket's middle may lie beyond the largest value in it.
        let at = |q| self.histogram.quantile(q).map(|value: f64| value.min(self.max_s));
        Some(Delay {
            n,
            mean_s: self.sum_s / n.max(1) as f64,
            p50_s: at(0.5)?,
            p90_s: at(0.9)?,
            p99_s: at(0.99)?,
            max_s: self.max_s,
            stalls: self.spans.len() as u64 + self.forgotten,
            stalled_s: self.spans.iter().map(|s| s.end.seconds_since(s.begin)).sum::<f64>()
                + self.forgotten_s,
        })
    }

    /// The longest stalls by their begin, and how many more there were. What `evidence` says of one
    /// takes the place of what it brought.
    pub(super) fn stalls(
        &self,
        what: Stalled,
        evidence: impl Fn(UnixNs, UnixNs) -> Option<Evidence>,
    ) -> (Vec<Stall>, u64) {
        let mut longest = self.spans.clone();
        longest.sort_by_key(|span| std::cmp::Reverse(span.end.0 - span.begin.0));
        longest.truncate(KEPT);
        longest.sort_by_key(|span| span.begin);
        let left_out = self.forgotten + (self.spans.len() - longest.len()) as u64;
        let stall = |span: Span| {
            let seen = evidence(span.begin, span.end).unwrap_or(span.evidence);
            Stall {
                what,
                begin_unix_ns: span.begin,
                length_s: span.end.seconds_since(span.begin),
                cpu_s: seen.cpu_s,
                waited_s: seen.waited_s,
                window_s: seen.window_s,
            }
        };
        (longest.into_iter().map(stall).collect(), left_out)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn at(ms: i64) -> UnixNs {
        UnixNs(ms * MS)
    }

    fn stalls(gaps: &Gaps) -> Vec<(i64, i64)> {
        let (stalls, _) = gaps.stalls(Stalled::Runtime, |_, _| None);
        stalls.iter().map(|s| (s.begin_unix_ns.0 / MS, (s.length_s * 1e3).round() as i64)).collect()
    }

    #[test]
    fn the_beats_of_one_stall_are_one_stall() {
        let mut gaps = Gaps::default();
        gaps.note(at(0), UnixNs(50_000), Evidence::default());
        for due in [5, 10, 15, 20] {
            gaps.note(at(due), at(40), Evidence::default());
        }
        gaps.note(at(45), at(46), Evidence::default());
        gaps.note(at(50), at(70), Evidence::default());
        assert_eq!(stalls(&gaps), [(5, 35), (50, 20)]);
        let delay = gaps.delay().unwrap();
        assert_eq!((delay.n, delay.stalls), (7, 2));
        assert!((delay.stalled_s - 0.055).abs() < 1e-9 && (delay.max_s - 0.035).abs() < 1e-9);
        assert!(
            (delay.mean_s - (0.000_05 + 0.035 + 0.030 + 0.025 + 0.020 + 0.001 + 0.020) / 7.0).abs() < 1e-9
        );
        assert!((delay.p99_s - 0.035).abs() < 1e-9, "no more than the largest");
    }

    #[test]
    fn a_beat_that_came_early_is_not_late() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.delay(), None);
        gaps.note(at(10), at(5), Evidence::default());
        assert!(gaps.delay().unwrap().max_s <= 0.0);
    }

    #[test]
    fn of_many_stalls_the_longest_are_kept_and_all_are_counted() {
        let mut gaps = Gaps::default();
        for n in 0..250 {
            let length = if n % 10 == 0 { 50 } else { 11 + n % 3 };
            gaps.note(at(n * 100), at(n * 100 + length), Evidence::default());
        }
        let (kept, left_out) = gaps.stalls(Stalled::Process, |_, _| None);
        assert_eq!((kept.len(), left_out), (KEPT, 150));
        assert_eq!(kept.iter().filter(|s| s.length_s > 0.049).count(), 25);
        assert!(kept.is_sorted_by_key(|s| s.begin_unix_ns));
        assert_eq!(gaps.delay().unwrap().stalls, 250);
    }

    #[test]
    fn memory_is_bounded_and_nothing_goes_uncounted() {
        let mut gaps = Gaps::default();
        for n in (0..).take(REMEMBERED + 1) {
            gaps.note(at(n * 100), at(n * 100 + 20), Evidence::default());
        }
        let delay = gaps.delay().unwrap();
        assert_eq!(delay.stalls, REMEMBERED as u64 + 1);
        assert!((delay.stalled_s - 0.020 * (REMEMBERED as f64 + 1.0)).abs() < 1e-6);
    }
}
