//! Where each host's clock lies beside the first's, and how sure that is, by the best evidence that the run
//! itself holds: one monotonic clock, else the records of one server that knows both hosts' requests, else
//! what ranks read of each other when they met. This file must not know how shards are stored.

use super::merge::Part;
use crate::clock::UnixNs;
use crate::correlate::clocks::{Pairs, ahead};
use crate::correlate::request_join::{Recorded, pairs_of};
use crate::record::RequestRow;
use crate::record::shard::{Ahead, AlignedBy};
use crate::server::Server;
use crate::units;

/// One rank's place.
pub(super) struct Placed {
    /// Its clock minus the first's; `None` where nothing bounds it.
    pub(super) ahead: Option<Ahead>,
    /// What its instants are set back by.
    pub(super) shift_ns: i64,
    pub(super) by: AlignedBy,
    pub(super) warning: Option<String>,
    pub(super) note: Option<String>,
}

/// The places of all, in the order of `parts`, of which the first is the measure.
pub(super) fn place(parts: &[Part], server: &'static Server) -> anyhow::Result<Vec<Placed>> {
    let Some(first) = parts.first() else { return Ok(Vec::new()) };
    let records = Recorded {
        spans: &first.data.spans.rows,
        stat_log: &first.data.stat_log.rows,
        log: &first.data.log.rows,
        server,
    };
    let own = pairs_of(&first.data.requests.rows, &records)?;
    parts.iter().map(|part| one(part, first, &own, &records)).collect()
}

fn one(part: &Part, first: &Part, own: &Pairs, records: &Recorded<'_>) -> anyhow::Result<Placed> {
    let at = |by, ahead: Option<Ahead>| Placed {
        ahead,
        shift_ns: ahead.map_or(0, Ahead::middle_ns),
        by,
        warning: None,
        note: None,
    };
    if part.rank() == first.rank() {
        return Ok(at(AlignedBy::Reference, Some(Ahead::exactly(0))));
    }
    if part.shard.boot.is_some() && part.shard.boot == first.shard.boot {
        let ns = part.shard.axis_ns.saturating_sub(first.shard.axis_ns);
        return Ok(at(AlignedBy::OneHost, Some(Ahead::exactly(ns))));
    }
    let by_server = ahead(own, &pairs_of(&part.data.requests.rows, records)?);
    let by_folder = by_folder(part, first);
    if let Some(found) = by_server {
        let mut placed = at(AlignedBy::Server, Some(found));
        // The folder's bounds are those of the start: a clock that drifts or was stepped leaves them.
        if by_folder.is_some_and(|other| found.and(other).is_none()) {
            placed.note = Some(format!(
                "{}: its clock was elsewhere when the ranks met than the server's records show for the run: one was stepped, or drifts",
                part.who()
            ));
        }
        return Ok(placed);
    }
    if let Some(found) = by_folder {
        let mut placed = at(AlignedBy::Folder, Some(found));
        placed.note = Some(format!(
            "{}: no record of the server tells where its clock is; what it and rank 0 read of each other before the start places it to within ± {}, as far as no clock was stepped since",
            part.who(),
            units::seconds(found.reach_s())
        ));
        return Ok(placed);
    }
    let mut placed = at(AlignedBy::Nothing, None);
    placed.warning = Some(format!(
        "{}: nothing bounds its clock beside the first's (no record of the server names requests of both, and the ranks did not meet): its wall clock is taken as it is, and rates and concurrency of all ranks are as wrong as it is",
        part.who()
    ));
    Ok(placed)
}

/// By what each read of rank 0, or rank 0 of it.
fn by_folder(part: &Part, first: &Part) -> Option<Ahead> {
    let found = part.shard.ahead?;
    if first.rank() == 0 {
        return Some(found);
    }
    let of_first = first.shard.ahead?;
    Some(Ahead {
        at_least_ns: found.at_least_ns.saturating_sub(of_first.at_most_ns),
        at_most_ns: found.at_most_ns.saturating_sub(of_first.at_least_ns),
    })
}

/// Sets every instant of a row back.
pub(super) fn shift(row: &mut RequestRow, by_ns: i64) {
    let always = [&mut row.scheduled_unix_ns, &mut row.started_unix_ns, &mut row.done_unix_ns];
    let some = [
        &mut row.connect_begin_unix_ns,
        &mut row.connect_end_unix_ns,
        &mut row.tls_end_unix_ns,
        &mut row.send_begin_unix_ns,
        &mut row.sent_unix_ns,
        &mut row.head_unix_ns,
        &mut row.first_token_unix_ns,
        &mut row.first_token_lo_unix_ns,
        &mut row.first_token_user_unix_ns,
        &mut row.first_content_unix_ns,
        &mut row.last_token_unix_ns,
        &mut row.last_token_lo_unix_ns,
    ];
    for at in always.into_iter().chain(some.into_iter().flatten()) {
        *at = UnixNs(at.0.saturating_sub(by_ns));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::fixture::request;

    /// Whatever fields a row has: every instant moves, and nothing else does.
    #[test]
    fn every_instant_of_a_row_is_shifted_and_nothing_else() {
        let before = request(3);
        let mut after = before.clone();
        shift(&mut after, 1_000);
        let [before, after] = [before, after].map(|row| serde_json::to_value(row).unwrap());
        for (key, value) in before.as_object().unwrap() {
            match (key.ends_with("_unix_ns"), value.as_i64()) {
                (true, Some(at)) => assert_eq!(after[key], at - 1_000, "{key}"),
                _ => assert_eq!(&after[key], value, "{key}"),
            }
        }
    }
}
