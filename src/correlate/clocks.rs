//! The server's clock on the client's axis, from the run's own causal pairs: a request leaves the
//! client before it arrives, a token leaves the server before the client has it. Each pair bounds the
//! offset on one side at one instant; all lines that satisfy every pair are the answer: an interval for
//! each instant, never a point. This file must not know where a pair comes from.
//!
//! Model: within a stretch the server's clock shows `S(x) = x + offset + drift · x` at the client's
//! instant `x`, with a drift of at most [`STEEPEST`]. `S` grows, so `send ≤ arrival` gives
//! `S(send) ≤ arrival` exactly, however long the request took. Where no line satisfies all pairs a
//! clock was stepped: the run is cut into the fewest stretches that can be satisfied.

mod hosts;

pub use self::hosts::{Beside, Maps, ahead};

use crate::clock::UnixNs;
use crate::record::clocks::{ClockRelation, Clocks, Stretch};
use crate::record::correlated::{Bounds, Within};
use crate::stats::hull::{self, Band};

/// Real clocks drift by some ten parts in a million; `chronyd` and `ntpd` slew by up to 500.
const STEEPEST: f64 = 1e-3;
/// Instants in seconds of the epoch are doubles, 0.24 µs apart.
const SLACK_NS: i64 = 1_000;
/// More steps than this in a run are no steps but pairs that belong to something else.
const MOST_STEPS: usize = 3;
/// A stretch needs so many pairs on each side.
const LEAST_PAIRS: usize = 5;
/// Of one host's pairs so many may disagree before its two sides count as two clocks.
const MOST_STRAYS: f64 = 0.01;

/// What the run shows about its clocks.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    bounds: Vec<Bound>,
}

/// At the client's instant `at` the server's clock is ahead by at most (`out`) or at least `ahead_ns`.
#[derive(Clone, Copy, Debug)]
struct Bound {
    at: UnixNs,
    ahead_ns: i64,
    out: bool,
}

impl Pairs {
    /// Something left the client at `sent`, and the server's clock showed at most `seen` when it saw it.
    pub fn out(&mut self, sent: UnixNs, seen: UnixNs) {
        self.bounds.push(Bound {
            at: sent,
            ahead_ns: seen.0.saturating_sub(sent.0).saturating_add(SLACK_NS),
            out: true,
        });
    }

    pub fn is_empty(&self) -> bool {
        self.bounds.is_empty()
    }

    /// How far the clock is ahead at least and at most, if it neither drifts nor was stepped.
    pub fn ahead_ns(&self) -> Option<(i64, i64)> {
        let of = |out: bool| self.bounds.iter().filter(move |b| b.out == out).map(|b| b.ahead_ns);
        Some((of(false).max()?, of(true).min()?))
    }

    /// The server's clock showed at least `said` when it sent something, which was here by `received`.
    pub fn back(&mut self, said: UnixNs, received: UnixNs) {
        let ahead_ns = said.0.saturating_sub(received.0).saturating_sub(SLACK_NS);
        self.bounds.push(Bound { at: received, ahead_ns, out: false });
    }
}

/// From the server's clock to the client's.
#[derive(Clone, Debug, Default)]
pub enum Map {
    /// One clock for both.
    One,
    Two(Vec<Piece>),
    /// Instants cannot be compared.
    #[default]
    Unknown,
}

/// One stretch of a map.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Certainly no step lies between these, on the client's clock.
    begin: UnixNs,
    end: UnixNs,
    /// The bands' numbers are seconds since here, and seconds beside this offset.
    origin: UnixNs,
    offset_ns: i64,
    band: Band,
}

impl Map {
    /// Where the server's instant lies on the client's axis, if it is known to lie between `from` and
    /// `to`; `None` where it cannot, or where nothing is known.
    pub fn within(&self, server: UnixNs, from: UnixNs, to: UnixNs) -> Option<Within> {
        match self {
            Map::One => (from <= server && server <= to).then_some(Within::at(server)),
            Map::Two(pieces) => {
                let last = pieces.len().saturating_sub(1);
                pieces
                    .iter()
                    .enumerate()
                    .filter_map(|(i, piece)| {
                        // A step lies somewhere between two stretches, so either may reach over the gap, but
                        // neither beyond it.
                        let begin =
                            if i == 0 { from } else { pieces.get(i - 1).map_or(from, |p| from.max(p.end)) };
                        let end =
                            if i == last { to } else { pieces.get(i + 1).map_or(to, |p| to.min(p.begin)) };
                        let here = piece.here(server);
                        (begin <= end && here.lo_unix_ns <= end && begin <= here.hi_unix_ns)
                            .then(|| here.cut_to(begin, end))
                    })
                    .reduce(Within::over)
            }
            Map::Unknown => None,
        }
    }

    /// An instant of the server that is known to lie between `from` and `to` by what caused what. On one
    /// clock it is where it says, whatever the causes say: a stamp can be late, and that is a finding.
    pub fn placed(&self, server: UnixNs, from: UnixNs, to: UnixNs) -> Option<Within> {
        match self {
            Map::One => Some(Within::at(server)),
            Map::Two(_) | Map::Unknown => self.within(server, from, to),
        }
    }

    /// Where the server's instant can lie at all.
    pub fn anywhere(&self, server: UnixNs) -> Option<Within> {
        self.within(server, UnixNs(i64::MIN), UnixNs(i64::MAX))
    }

    /// Whether the server's clock may have been stepped between two instants of the client's: then a
    /// duration that the server took from it between them may hold the step.
    pub fn may_step(&self, from: UnixNs, to: UnixNs) -> bool {
        let Map::Two(pieces) = self else { return false };
        pieces.windows(2).any(|w| matches!(w, [before, after] if from < after.begin && before.end < to))
    }

    /// How far the server's clock is ahead at this instant of the client's, in seconds: at least and at most. Beyond
    /// the stretches the nearest is carried on.
    pub fn ahead_s(&self, at: UnixNs) -> Option<(f64, f64)> {
        match self {
            Map::One => Some((0.0, 0.0)),
            Map::Two(pieces) => {
                let piece = pieces.iter().find(|piece| at <= piece.end).or(pieces.last())?;
                let (lo, hi) = piece.band.at(at.seconds_since(piece.origin));
                let beside = piece.offset_ns as f64 / 1e9;
                Some((beside + lo, beside + hi))
            }
            Map::Unknown => None,
        }
    }

    /// Whether instants of both sides can be compared.
    pub fn compares(&self) -> bool {
        !matches!(self, Map::Unknown)
    }
}

impl Piece {
    fn here(&self, server: UnixNs) -> Within {
        // S(x) = x + offset + drift · x, solved for x.
        let shown = UnixNs(server.0.saturating_sub(self.offset_ns)).seconds_since(self.origin);
        let (lo, hi) = self.band.extremes(|offset, drift| (shown - offset) / (1.0 + drift));
        let at = |seconds: f64, round: fn(f64) -> f64| {
            UnixNs(self.origin.0.saturating_add(round(seconds * 1e9) as i64))
        };
        Within { lo_unix_ns: at(lo, f64::floor), hi_unix_ns: at(hi, f64::ceil) }
    }

    fn stretch(&self) -> Stretch {
        let middle = UnixNs(self.begin.0.midpoint(self.end.0)).seconds_since(self.origin);
        let (lo, hi) = self.band.at(middle);
        let (slowest, fastest) = self.band.slopes();
        let offset_s = self.offset_ns as f64 / 1e9;
        Stretch {
            begin_unix_ns: self.begin,
            end_unix_ns: self.end,
            offset_lo_s: offset_s + lo,
            offset_hi_s: offset_s + hi,
            drift_lo_ppm: slowest * 1e6,
            drift_hi_ppm: fastest * 1e6,
            step_before: None,
        }
    }

    /// By how much the clock was stepped since an earlier stretch, in the middle of the gap.
    fn step_from(&self, before: &Piece) -> Bounds {
        let gap = UnixNs(before.end.0.midpoint(self.begin.0)).seconds_since(self.origin);
        let ((old_lo, old_hi), (lo, hi)) = (before.band.at(gap), self.band.at(gap));
        Bounds { lo_s: lo - old_hi, hi_s: hi - old_lo }
    }
}

/// The map that the pairs allow. `one_host`: both sides are said to read one clock, which the pairs may
/// contradict. `stated_bound_s`: the clocks are said to differ by no more than this.
pub fn align(pairs: &Pairs, one_host: bool, stated_bound_s: Option<f64>) -> (Map, Clocks) {
    let mut bounds = pairs.bounds.clone();
    bounds.sort_by_key(|b| b.at);
    let against = if one_host {
        bounds.iter().filter(|b| (b.ahead_ns < 0) == b.out && b.ahead_ns != 0).count()
    } else {
        0
    };
    let mut clocks = Clocks {
        pairs_out: bounds.iter().filter(|b| b.out).count(),
        pairs_back: bounds.iter().filter(|b| !b.out).count(),
        against_one_clock: against,
        stated_bound_s,
        ..Clocks::default()
    };
    let few = against < LEAST_PAIRS || against as f64 <= MOST_STRAYS * bounds.len() as f64;
    if one_host && (few || bounds.is_empty()) {
        clocks.relation = ClockRelation::OneClock;
        return (Map::One, clocks);
    }
    let Some(mut frame) = Frame::new(&bounds) else {
        return (Map::Unknown, clocks);
    };
    let mut found = stretches(&bounds, &frame);
    if found.is_none()
        && let Some(rest) = without_strays(&bounds)
    {
        clocks.strays = bounds.len() - rest.len();
        bounds = rest;
        found = Frame::new(&bounds).and_then(|without| {
            frame = without;
            stretches(&bounds, &frame)
        });
    }
    let Some(stretches) = found else {
        clocks.relation = ClockRelation::Contradict;
        return (Map::Unknown, clocks);
    };
    if let Some(most) = stated_bound_s {
        frame.stated_bound_s = Some(most);
        let fits = stretches
            .iter()
            .all(|(first, end)| frame.band(bounds.get(*first..*end).unwrap_or_default()).is_some());
        clocks.stated_bound_fits = Some(fits);
        if !fits {
            frame.stated_bound_s = None;
        }
    }
    let pieces: Option<Vec<Piece>> =
        stretches.iter().map(|(first, end)| frame.piece(bounds.get(*first..*end)?)).collect();
    let Some(pieces) = pieces else {
        return (Map::Unknown, clocks);
    };
    clocks.relation = ClockRelation::Bounded;
    clocks.stretches = pieces.iter().map(Piece::stretch).collect();
    for (pair, stretch) in pieces.windows(2).zip(clocks.stretches.iter_mut().skip(1)) {
        if let [before, after] = pair {
            stretch.step_before = Some(after.step_from(before));
        }
    }
    (Map::Two(pieces), clocks)
}

/// Where the bands' numbers begin: near the data, so that a double holds a nanosecond of them.
struct Frame {
    origin: UnixNs,
    offset_ns: i64,
    stated_bound_s: Option<f64>,
}

impl Frame {
    /// `None` without a pair on each side: the offset has no end there.
    fn new(bounds: &[Bound]) -> Option<Self> {
        let most = bounds.iter().filter(|b| b.out).map(|b| b.ahead_ns).min()?;
        bounds.iter().find(|b| !b.out)?;
        Some(Self { origin: bounds.first()?.at, offset_ns: most, stated_bound_s: None })
    }

    fn band(&self, bounds: &[Bound]) -> Option<Band> {
        let point = |b: &Bound| {
            (b.at.seconds_since(self.origin), b.ahead_ns.saturating_sub(self.offset_ns) as f64 / 1e9)
        };
        let mut uppers: Vec<(f64, f64)> = bounds.iter().filter(|b| b.out).map(point).collect();
        let mut lowers: Vec<(f64, f64)> = bounds.iter().filter(|b| !b.out).map(point).collect();
        if let (Some(most), Some(first), Some(last)) = (self.stated_bound_s, bounds.first(), bounds.last()) {
            let beside = self.offset_ns as f64 / 1e9;
            for t in [first, last].map(|b| b.at.seconds_since(self.origin)) {
                uppers.push((t, most - beside));
                lowers.push((t, -most - beside));
            }
        }
        hull::band(&uppers, &lowers, (-STEEPEST, STEEPEST))
    }

    /// Whether one line can satisfy them all.
    fn satisfies(&self, bounds: &[Bound]) -> bool {
        let one_sided = bounds.iter().all(|b| b.out) || bounds.iter().all(|b| !b.out);
        one_sided || self.band(bounds).is_some()
    }

    fn piece(&self, bounds: &[Bound]) -> Option<Piece> {
        Some(Piece {
            begin: bounds.first()?.at,
            end: bounds.last()?.at,
            origin: self.origin,
            offset_ns: self.offset_ns,
            band: self.band(bounds)?,
        })
    }
}

/// The bounds without the few that contradict most of the other side: pairs of something else, such as a
/// span under a wrong id. `None` where there are none, or too many to be few.
fn without_strays(bounds: &[Bound]) -> Option<Vec<Bound>> {
    let side = |out: bool| {
        let mut ahead: Vec<i64> = bounds.iter().filter(|b| b.out == out).map(|b| b.ahead_ns).collect();
        ahead.sort_unstable();
        ahead
    };
    let (most, least) = (side(true), side(false));
    let is_stray = |b: &Bound| {
        let (against, of) = if b.out {
            (least.len() - least.partition_point(|l| *l <= b.ahead_ns), least.len())
        } else {
            (most.partition_point(|m| *m < b.ahead_ns), most.len())
        };
        against * 2 > of
    };
    let rest: Vec<Bound> = bounds.iter().copied().filter(|b| !is_stray(b)).collect();
    let strays = bounds.len() - rest.len();
    (strays > 0 && strays as f64 <= (MOST_STRAYS * bounds.len() as f64).max(1.0)).then_some(rest)
}

/// The fewest runs of bounds, as `[first, end)`, that one line each can satisfy, without those that lie
/// where a step may have been; `None` where that takes more steps than there can be.
///
/// Cutting as late as possible from the front gives for each step the first bound that is certainly
/// after it; cutting as early as possible from the back gives the last that is certainly before.
fn stretches(bounds: &[Bound], frame: &Frame) -> Option<Vec<(usize, usize)>> {
    let n = bounds.len();
    let all = |from: usize, to: usize| frame.satisfies(bounds.get(from..to).unwrap_or_default());
    let mut late = Vec::new();
    let mut from = 0;
    while !all(from, n) {
        // The longest beginning that holds: one bound always does.
        let to = last_true(from + 1, n, |to| all(from, to));
        late.push(to);
        from = to;
        if late.len() > MOST_STEPS {
            return None;
        }
    }
    let mut early = Vec::new();
    let mut to = n;
    for _ in &late {
        let length = last_true(1, to, |length| all(to - length, to));
        to -= length;
        early.push(to);
    }
    early.reverse();
    let firsts = std::iter::once(0).chain(late);
    let ends = early.into_iter().chain(std::iter::once(n));
    let found: Vec<(usize, usize)> = firsts.zip(ends).collect();
    let enough = |(first, end): &(usize, usize)| {
        let part = bounds.get(*first..*end).unwrap_or_default();
        let out = part.iter().filter(|b| b.out).count();
        out >= LEAST_PAIRS && part.len() - out >= LEAST_PAIRS
    };
    (found.len() == 1 || found.iter().all(enough)).then_some(found)
}

/// The greatest of `least..=most` for which `holds`, which holds at `least` and stops holding once.
fn last_true(least: usize, most: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut yes, mut no) = (least, most + 1);
    while no - yes > 1 {
        let middle = usize::midpoint(yes, no);
        if holds(middle) {
            yes = middle;
        } else {
            no = middle;
        }
    }
    yes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
