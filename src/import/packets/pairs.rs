//! Which exchange with a server belongs to which exchange with a client: those that share an id, of
//! which one began while the other lasted. This file must not know what becomes of a pair.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use crate::clock::UnixNs;
use crate::tap::exchange::Exchange;

/// Exchanges by their places in the list.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pub(super) passages: Vec<Passage>,
    /// With a gateway, none being found behind them: it answered by itself, or they share no id.
    pub(super) alone: Vec<usize>,
    /// In a capture that sees one side.
    pub(super) points: Vec<usize>,
    /// With a server behind a gateway, that could be laid to no client's.
    pub(super) past: u64,
    /// Behind an inner one.
    pub(super) deeper: u64,
}

/// One request at one hop.
#[derive(Debug)]
pub(super) struct Passage {
    pub(super) outer: usize,
    /// Its tries, in order.
    pub(super) inner: Vec<usize>,
}

/// What two exchanges can share, the surest first. Where a gateway puts its own id in the place of the
/// client's, its answer's is that.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
enum Key<'a> {
    Request(&'a str),
    Response(&'a str),
    Trace(&'a str),
}

pub(super) fn pair(exchanges: &[Exchange]) -> Pairs {
    let mut order: Vec<usize> = (0..exchanges.len()).collect();
    order.sort_by_key(|at| exchanges.get(*at).map(|row| (begin(row), row.number())));
    let in_order: Vec<(usize, &Exchange)> =
        order.into_iter().filter_map(|at| Some((at, exchanges.get(at)?))).collect();
    let mut by_key: HashMap<Key<'_>, Vec<(usize, &Exchange)>> = HashMap::new();
    let mut inner_of: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut inner = HashSet::new();
    for &(at, row) in &in_order {
        // Those before it in time are there: none can be behind what it led to.
        let outer = asked(row).find_map(|key| enclosing(row, by_key.get(&key)?));
        if let Some(outer) = outer {
            inner_of.entry(outer).or_default().push(at);
            inner.insert(at);
        }
        for key in names(row) {
            by_key.entry(key).or_default().push((at, row));
        }
    }
    let mut pairs = Pairs::default();
    let (mut gateways, mut servers): (HashSet<SocketAddr>, HashSet<SocketAddr>) = Default::default();
    let mut single = Vec::new();
    for &(at, row) in &in_order {
        match (inner.contains(&at), inner_of.remove(&at)) {
            (true, behind) => {
                servers.insert(row.upstream);
                pairs.deeper += behind.map_or(0, |behind| behind.len() as u64);
            }
            (false, Some(inner)) => {
                gateways.insert(row.upstream);
                pairs.passages.push(Passage { outer: at, inner });
            }
            (false, None) => single.push((at, row)),
        }
    }
    for (at, row) in single {
        match (servers.contains(&row.upstream), gateways.contains(&row.upstream)) {
            (true, _) => pairs.past += 1,
            (false, true) => pairs.alone.push(at),
            (false, false) => pairs.points.push(at),
        }
    }
    pairs
}

/// By what an exchange behind it may be found.
fn names(row: &Exchange) -> impl Iterator<Item = Key<'_>> {
    let renamed = row.response_request_id.as_deref().filter(|id| Some(*id) != row.request_id.as_deref());
    asked(row).chain(renamed.map(Key::Request))
}

fn asked(row: &Exchange) -> impl Iterator<Item = Key<'_>> {
    let keys = [
        row.request_id.as_deref().map(Key::Request),
        row.response_id.as_deref().map(Key::Response),
        row.trace_id.as_deref().map(Key::Trace),
    ];
    keys.into_iter().flatten()
}

/// Of several that were open when this one began, the one with the host from which this was sent,
/// and then the latest: the nearest before it on the way.
fn enclosing(row: &Exchange, candidates: &[(usize, &Exchange)]) -> Option<usize> {
    let was_open = |outer: &Exchange| {
        outer.upstream != row.upstream && outer.response_last.is_none_or(|last| last.hi_unix_ns >= begin(row))
    };
    let fitting = candidates.iter().filter(|(_, outer)| was_open(outer));
    fitting.max_by_key(|(_, outer)| (outer.upstream.ip() == row.client.ip(), begin(outer))).map(|(at, _)| *at)
}

fn begin(row: &Exchange) -> UnixNs {
    row.request_first.map_or(UnixNs(i64::MIN), |first| first.hi_unix_ns)
}
