//! A file that tells of a hop: a log, or a capture of packets. This file must not know what is done with
//! the rows.

use std::collections::BTreeMap;

use crate::clock::UnixNs;
use crate::config::Hop;
use crate::error::{Failure, usage};
use crate::import::packets;
use crate::ingest::problem::Problem;
use crate::ingest::{self, SourceReport};
use crate::record::HopRow;

/// The kind of source that a capture is, in the manifest.
const HOP_PACKETS: &str = "hop_packets";

/// The rows, what became of the lines (of a capture: of its exchanges), and what is to be said. Civil
/// times of a log are taken as nearest to `near`, else to the file's last change.
pub(super) fn read(
    hop: &Hop,
    near: Option<UnixNs>,
) -> Result<(Vec<HopRow>, SourceReport, Vec<String>), Failure> {
    if !packets::is_capture(&hop.log) {
        let mut rows = Vec::new();
        let (report, notes) = ingest::read_hop_log(hop, near, |row| rows.push(row)).map_err(refused)?;
        return Ok((rows, report, notes));
    }
    let (rows, counts) = packets::read(&hop.log, &hop.name)?;
    let source = hop.log.display().to_string();
    let notes = counts
        .notes()
        .into_iter()
        .map(|note| format!("the capture {source} of the hop `{}`: {note}", hop.name));
    let details = [
        ("packets", counts.packets),
        ("connections", counts.connections),
        ("passages", counts.passages),
        ("without the server's side", counts.alone),
        ("points", counts.points),
        ("tries", counts.inner),
        ("behind a second hop", counts.deeper),
        ("past the hop", counts.past),
        ("connections not read", counts.unread.values().sum()),
    ];
    let report = SourceReport {
        kind: HOP_PACKETS.to_owned(),
        source: source.clone(),
        seen: counts.exchanges,
        parsed: counts.exchanges,
        rejected: 0,
        details: details.into_iter().map(|(name, n)| (name.to_owned(), n)).collect::<BTreeMap<_, _>>(),
    };
    Ok((rows, report, notes.collect()))
}

/// A problem as an error.
pub(super) fn refused(problem: Problem) -> Failure {
    let failure = usage(&problem);
    problem.hint.into_iter().fold(failure, Failure::hint)
}
