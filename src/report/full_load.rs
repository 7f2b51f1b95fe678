//! A run's requests and events as the counts that rates are made of, and the share of its requests that met their
//! objectives. This file must not know how a rate or an interval is made.

use crate::clock::UnixNs;
use crate::record::slo::{Slo, SloFound};
use crate::record::{RequestRow, Status};
use crate::stats::goodput::goodput;
use crate::stats::rates::{self, Full, Passage, Rates, SLICES};

/// Seeds every interval: the same records give the same figures for ever.
const SEED: u64 = 0;

/// The requests of a run, seconds counted from the first one's schedule.
pub(super) struct Passages {
    pub zero: UnixNs,
    all: Vec<Passage>,
}

impl Passages {
    /// `None` without requests.
    pub(super) fn of(rows: &[&RequestRow]) -> Option<Self> {
        let zero = zero(rows)?;
        let passage = |r: &&RequestRow| Passage {
            scheduled_s: r.scheduled_unix_ns.seconds_since(zero),
            started_s: r.started_unix_ns.seconds_since(zero),
            done_s: r.done_unix_ns.seconds_since(zero),
            ok: r.status == Status::Ok,
            user: r.user,
        };
        Some(Self { zero, all: rows.iter().map(passage).collect() })
    }

    /// When the load was full.
    pub(super) fn full(&self) -> Option<Full> {
        Full::of(&self.all).ok()
    }

    /// Rates while it was; in words why there are none.
    pub(super) fn rates(&self, tokens: Option<&[f64; SLICES]>) -> Result<Rates, String> {
        rates::rates(&self.all, tokens, SEED)
    }
}

/// Whether requests, which are in time order, met their objectives; `None` where there are none to meet, or no request.
pub(super) fn slo(
    slo: Slo,
    rows: &[&RequestRow],
    rates: Option<&Rates>,
    duration_s: f64,
) -> Option<SloFound> {
    if slo.is_empty() {
        return None;
    }
    let zero = zero(rows)?;
    let judged: Vec<(f64, bool)> =
        rows.iter().filter_map(|r| Some((r.scheduled_unix_ns.seconds_since(zero), slo.met(r)?))).collect();
    let all: Vec<bool> = judged.iter().map(|(_, met)| *met).collect();
    let full = rates.and_then(|rates| {
        let inside: Vec<bool> =
            judged.iter().filter(|(at, _)| rates.holds(*at)).map(|(_, met)| *met).collect();
        goodput(&inside, rates.end_s - rates.begin_s)
    });
    Some(SloFound { slo, all: goodput(&all, duration_s)?, full, undecided: rows.len() - judged.len() })
}

fn zero(rows: &[&RequestRow]) -> Option<UnixNs> {
    rows.iter().map(|r| r.scheduled_unix_ns).min()
}
