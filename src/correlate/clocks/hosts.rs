//! Load sent from several hosts: the server's clock as each host's own requests bound it, on the axis on which
//! all hosts' rows were placed, and how two hosts' clocks then lie to each other. This file must not know
//! where rows come from.
//!
//! A host is placed beside the others by some bound. Were its requests to share one map with theirs, that map
//! would claim for all of them what only one host's requests show; with a map of its own each request's parts
//! are as sure as its own host's pairs make them, however well the hosts were placed.

use std::collections::BTreeMap;

use super::{Map, Pairs, align};
use crate::clock::UnixNs;
use crate::record::RequestRow;
use crate::record::clocks::Clocks;
use crate::record::shard::Ahead;

/// Whose clock is the server's: that of the one process that sent the load, or of some of its ranks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Beside<'a> {
    pub same_host: bool,
    pub ranks: &'a [u32],
}

impl Beside<'_> {
    fn has(self, rank: Option<u32>) -> bool {
        rank.map_or(self.same_host, |rank| self.ranks.contains(&rank))
    }
}

impl From<bool> for Beside<'_> {
    fn from(same_host: bool) -> Self {
        Self { same_host, ranks: &[] }
    }
}

/// A map for each host; where one process sent the load, a single one.
#[derive(Clone, Debug)]
pub struct Maps {
    /// Of what is no request's: lines, scrapes, spans of others. The first host's.
    pub reference: Map,
    others: BTreeMap<u32, Map>,
}

impl Maps {
    /// `pairs_of`: what the requests of a rank say, or all requests. The relation that comes with them is the first
    /// host's.
    pub fn new(
        requests: &[RequestRow],
        pairs_of: impl Fn(Option<u32>) -> Pairs,
        beside: Beside<'_>,
        stated_bound_s: Option<f64>,
    ) -> (Self, Clocks) {
        let ranks: std::collections::BTreeSet<u32> = requests.iter().filter_map(|r| r.rank).collect();
        let first = ranks.first().copied();
        let of = |rank| align(&pairs_of(rank), beside.has(rank), stated_bound_s);
        let (reference, clocks) = of(first);
        let others = ranks.iter().skip(1).map(|rank| (*rank, of(Some(*rank)).0)).collect();
        (Self { reference, others }, clocks)
    }

    /// The map of the host that sent this one.
    pub fn of(&self, request: &RequestRow) -> &Map {
        request.rank.and_then(|rank| self.others.get(&rank)).unwrap_or(&self.reference)
    }
}

impl From<Map> for Maps {
    fn from(reference: Map) -> Self {
        Self { reference, others: BTreeMap::new() }
    }
}

/// One host's clock minus another's, by the server's clock against both, over the whole time in which the
/// second sent: `reference` and `host` are their pairs with one server.
pub fn ahead(reference: &Pairs, host: &Pairs) -> Option<Ahead> {
    let ((of_reference, _), (of_host, _)) = (align(reference, false, None), align(host, false, None));
    let (Map::Two(_), Map::Two(_)) = (&of_reference, &of_host) else { return None };
    let times = host.bounds.iter().map(|bound| bound.at);
    let (begin, end) = (times.clone().min()?, times.max()?);
    // server − host at the host's instant, server − reference at the reference's instant of the same moment.
    let at = |at: UnixNs, beside_ns: i64| {
        let (host_lo, host_hi) = of_host.ahead_s(at)?;
        let (reference_lo, reference_hi) = of_reference.ahead_s(UnixNs(at.0.saturating_sub(beside_ns)))?;
        Some(Ahead {
            at_least_ns: ((reference_lo - host_hi) * 1e9).floor() as i64 - ROUNDING_NS,
            at_most_ns: ((reference_hi - host_lo) * 1e9).ceil() as i64 + ROUNDING_NS,
        })
    };
    // That moment is known by what is looked for: first about, then to what no clock drifts within.
    let about = at(begin, 0)?.middle_ns();
    // Bounds bulge outwards at the ends: between these two they are narrower than one of them.
    Some(at(begin, about)?.or(at(end, about)?))
}

/// Offsets of seconds as doubles.
const ROUNDING_NS: i64 = 1_000;
