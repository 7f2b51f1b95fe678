//! What was seen of a run at each look, and what that says of its last seconds. This file must not know who looks, nor
//! how it is shown.

use std::collections::VecDeque;

/// A sum and how many it is of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sum {
    pub(super) sum: f64,
    pub(super) n: f64,
}

impl Sum {
    /// The mean of what came since; `None` where nothing did, or what counts began anew.
    fn since(self, before: Self) -> Option<f64> {
        let (sum, n) = (self.sum - before.sum, self.n - before.n);
        (n > 0.0 && sum >= 0.0).then(|| sum / n)
    }
}

/// What one look saw: all of it counted since the begin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Look {
    /// Since the first look.
    pub(super) at_s: f64,
    pub(super) sent: u64,
    pub(super) ended: u64,
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) users: u64,
    pub(super) output_tokens: u64,
    pub(super) ttft: Sum,
    pub(super) itl: Sum,
    pub(super) server: ServerLook,
}

/// What the server last said of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServerLook {
    pub(super) running: Option<f64>,
    pub(super) waiting: Option<f64>,
    pub(super) kv_cache_usage: Option<f64>,
    pub(super) ttft: Option<Sum>,
    pub(super) itl: Option<Sum>,
}

/// Which mean of a look.
pub(super) type Of = fn(&Look) -> Option<Sum>;

/// Looks of the last minute, oldest first.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<Look>);

/// What is called recent.
const RECENT_S: f64 = 10.0;
/// Bars of a row, and the time of each: longer than between two scrapes, so that each has something to show.
pub(super) const BARS: usize = 20;
const BAR_S: f64 = 2.0;

impl History {
    /// Takes a look in.
    pub(super) fn take(&mut self, look: Look) {
        self.0.push_back(look);
        while self.0.front().is_some_and(|first| look.at_s - first.at_s > BAR_S * (BARS as f64 + 1.0)) {
            self.0.pop_front();
        }
    }

    /// The last look.
    pub(super) fn now(&self) -> Look {
        self.0.back().copied().unwrap_or_default()
    }

    /// The last look that is at least so old; without one the first there is.
    fn ago(&self, s: f64) -> Option<&Look> {
        let now = self.0.back()?.at_s;
        self.0.iter().rev().find(|look| now - look.at_s >= s - 1e-6).or_else(|| self.0.front())
    }

    /// The mean of the last ten seconds.
    pub(super) fn recent(&self, of: Of) -> Option<f64> {
        of(self.0.back()?)?.since(of(self.ago(RECENT_S)?)?)
    }

    /// What was counted a second in the last ten seconds.
    pub(super) fn rate(&self, of: fn(&Look) -> u64) -> Option<f64> {
        let (now, before) = (self.0.back()?, self.ago(RECENT_S)?);
        let passed = now.at_s - before.at_s;
        (passed > 0.0).then(|| of(now).saturating_sub(of(before)) as f64 / passed)
    }

    /// The means of stretches of two seconds, oldest first.
    pub(super) fn bars(&self, of: Of) -> impl Iterator<Item = Option<f64>> + Clone {
        (0..BARS).rev().map(move |i| {
            let (end, begin) = (self.ago(i as f64 * BAR_S)?, self.ago((i + 1) as f64 * BAR_S)?);
            of(end)?.since(of(begin)?)
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A look each half second; of each second one request, with a TTFT of its second's number.
    fn history(seconds: u64) -> History {
        let mut history = History::default();
        let mut sum = 0.0;
        for half in 0..=2 * seconds {
            let whole = half / 2;
            if half % 2 == 0 {
                sum += whole as f64;
            }
            let ttft = Sum { sum, n: whole as f64 };
            history.take(Look { at_s: half as f64 * 0.5, ended: whole, ttft, ..Look::default() });
        }
        history
    }

    #[test]
    fn the_last_seconds_are_told_from_the_whole() {
        let history = history(100);
        // Of seconds 91 to 100.
        assert!((history.recent(|look| Some(look.ttft)).unwrap() - 95.5).abs() < 1e-9);
        assert!((history.rate(|look| look.ended).unwrap() - 1.0).abs() < 1e-9);
        let bars: Vec<f64> = history.bars(|look| Some(look.ttft)).flatten().collect();
        assert_eq!(bars.len(), BARS);
        assert!((bars[BARS - 1] - 99.5).abs() < 1e-9 && (bars[0] - 61.5).abs() < 1e-9, "{bars:?}");
        assert!(history.0.len() < 100, "what is no longer shown is forgotten");
    }

    #[test]
    fn before_anything_came_there_is_nothing() {
        assert_eq!(History::default().recent(|look| Some(look.ttft)), None);
        let short = history(3);
        assert!(short.recent(|look| Some(look.ttft)).is_some());
        assert_eq!(short.recent(|look| look.server.ttft), None);
        assert!(short.bars(|look| Some(look.ttft)).flatten().count() < BARS);
    }

    #[test]
    fn a_server_that_began_anew_is_no_mean() {
        let before = Sum { sum: 9.0, n: 9.0 };
        assert_eq!(Sum { sum: 1.0, n: 2.0 }.since(before), None);
    }
}
