//! What a report says of a run's token events, gathered in one reading of them. This file must not know where they
//! lie, nor how it is said.

use std::collections::{BTreeMap, HashSet};

use super::full_load::Passages;
use super::inexact::{Counter, Inexact};
use crate::record::own::OwnLag;
use crate::record::{RequestRow, Status};
use crate::stats::many::{Many, Values};
use crate::stats::rates::{Full, SLICES};
use crate::store::RunEvents;
use crate::store::events::Part;

/// What the events of a run's requests come to.
pub struct FromEvents {
    pub(super) events: usize,
    /// Those without an exact stamp, by cause.
    pub(super) inexact: Inexact,
    /// From the kernel's stamp to the program's, s; where the kernel gave none, there is none.
    pub(super) client_lag_s: Values,
    /// Between the tokens of the requests that ended well, s.
    pub(super) gaps_s: Values,
    /// The most tokens in a second, of whole seconds since the first start; `None` unless every event says how
    /// many it holds. So are all tokens.
    pub(super) peak_tokens: Option<f64>,
    /// In each part of the time in which the load was full.
    pub(super) tokens: Option<[f64; SLICES]>,
}

impl FromEvents {
    pub fn gather(rows: &[&RequestRow], events: &RunEvents, own: Option<&OwnLag>) -> anyhow::Result<Self> {
        let begin = rows.iter().map(|r| r.started_unix_ns.0).min().unwrap_or_default();
        let end = rows.iter().map(|r| r.done_unix_ns.0).max().unwrap_or_default();
        let ok = rows.iter().filter(|r| r.status == Status::Ok);
        let ok: HashSet<&str> = ok.map(|r| r.request_id.as_str()).collect();
        let mut tokens = Tokens::new(begin, Passages::of(rows).as_ref());
        let mut inexact = Counter::new(own);
        let (mut lag, mut gaps) = (Many::new(begin, end), Many::new(begin, end));
        events.each(|id, part| {
            tokens.take(part);
            inexact.take(part);
            for (user, kernel) in part.user_unix_ns.iter().zip(part.stamp_hi_unix_ns) {
                if user != kernel {
                    // Of a damaged file they can be any numbers.
                    lag.push(*kernel, user.saturating_sub(*kernel));
                }
            }
            if ok.contains(id) {
                for w in part.stamp_hi_unix_ns.windows(2) {
                    if let [a, b] = w {
                        gaps.push(*b, b.saturating_sub(*a));
                    }
                }
            }
        })?;
        let is_told = tokens.is_told && !rows.is_empty();
        Ok(Self {
            events: events.len(),
            inexact: inexact.found,
            client_lag_s: lag.values(1e9),
            gaps_s: gaps.values(1e9),
            peak_tokens: tokens.seconds.values().max().filter(|_| is_told).map(|&n| n as f64),
            tokens: is_told.then_some(tokens.full).flatten().map(|(_, _, sums)| sums),
        })
    }
}

/// Tokens by when they arrived.
struct Tokens {
    /// All events so far say how many they hold.
    is_told: bool,
    begin: i64,
    seconds: BTreeMap<i64, u64>,
    /// When seconds are counted from, and the sums.
    full: Option<(i64, Full, [f64; SLICES])>,
}

impl Tokens {
    fn new(begin: i64, passages: Option<&Passages>) -> Self {
        let full = passages.and_then(|p| Some((p.zero.0, p.full()?, [0.0; SLICES])));
        Self { is_told: true, begin, seconds: BTreeMap::new(), full }
    }

    fn take(&mut self, part: Part<'_>) {
        for (stamp, tokens) in part.stamp_hi_unix_ns.iter().zip(part.tokens) {
            let Some(n) = tokens else {
                self.is_told = false;
                continue;
            };
            *self.seconds.entry(stamp.saturating_sub(self.begin).div_euclid(1_000_000_000)).or_default() +=
                u64::from(*n);
            if let Some((zero, full, sums)) = &mut self.full {
                full.count(sums, stamp.saturating_sub(*zero) as f64 / 1e9, f64::from(*n));
            }
        }
    }
}
