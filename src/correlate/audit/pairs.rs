//! The two requests of a pair put together, and the reason why one is none. This file must not know any
//! figure.

use std::collections::BTreeMap;

use crate::clock::UnixNs;
use crate::record::audit::Arm;
use crate::record::{JoinedRow, RequestRow, Status};

/// The same request by both ways, as far as each was sent.
pub(super) struct Pair<'a> {
    pub(super) cell: u32,
    pub(super) round: u32,
    pub(super) sides: [Option<&'a JoinedRow>; 2],
    /// Which arm's leg came first in its round.
    pub(super) first: Arm,
}

/// Pairs in the order of the run, those of a round together.
pub(super) fn pairs(rows: &[JoinedRow]) -> Vec<Pair<'_>> {
    let mut began: BTreeMap<(u32, u32), (UnixNs, Arm)> = BTreeMap::new();
    let mut all: BTreeMap<u64, Pair<'_>> = BTreeMap::new();
    for row in rows {
        let client = &row.client;
        let (Some(arm), Some(cell), Some(round), Some(number)) =
            (client.arm, client.cell, client.round, client.pair)
        else {
            continue;
        };
        let start = (client.started_unix_ns, arm);
        began.entry((cell, round)).and_modify(|first| *first = (*first).min(start)).or_insert(start);
        let pair = all.entry(number).or_insert_with(|| Pair { cell, round, sides: [None; 2], first: arm });
        if let Some(side) = pair.sides.get_mut(arm.number()) {
            *side = Some(row);
        }
    }
    let mut pairs: Vec<Pair<'_>> = all.into_values().collect();
    for pair in &mut pairs {
        if let Some((_, first)) = began.get(&(pair.cell, pair.round)) {
            pair.first = *first;
        }
    }
    pairs
}

impl<'a> Pair<'a> {
    /// The request by this way.
    pub(super) fn side(&self, arm: Arm) -> Option<&'a JoinedRow> {
        self.sides.get(arm.number()).copied().flatten()
    }

    /// Both, if both answers came whole.
    pub(super) fn both(&self) -> Option<(&'a JoinedRow, &'a JoinedRow)> {
        let ok = |arm| self.side(arm).filter(|row| row.client.status == Status::Ok);
        ok(Arm::Direct).zip(ok(Arm::Through))
    }

    /// Why it is none.
    pub(super) fn lost(&self) -> String {
        let why = Arm::BOTH.map(|arm| match self.side(arm).map(|row| &row.client) {
            None => Some(format!("{}: not sent", arm.as_str())),
            Some(client) => wrong(client).map(|what| format!("{}: {what}", arm.as_str())),
        });
        why.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

fn wrong(client: &RequestRow) -> Option<String> {
    match (client.status, client.http_status) {
        (Status::Ok, _) => None,
        (Status::HttpError, Some(code)) => Some(format!("HTTP {code}")),
        (status, _) => Some(status.as_str().replace('_', " ")),
    }
}
