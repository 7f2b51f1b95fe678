//! The lines of the log that are about one request, on the client's axis: each somewhere within its
//! resolution, after what caused it and before what it caused. This file must not know how a line was
//! found.

use super::clocks::Map;
use super::log_join::Written;
use super::request_join::Told;
use crate::clock::UnixNs;
use crate::record::correlated::Within;
use crate::record::{LogLine, LogSays, RequestRow};

/// What the log says of `client`, in the order of its stamps.
pub fn of(client: &RequestRow, told: &Told, map: &Map) -> Vec<LogLine> {
    let log = told.log.as_ref();
    let lines = [
        (LogSays::Received, log.and_then(|l| l.received)),
        (LogSays::Added, log.and_then(|l| l.added)),
        (LogSays::FirstOutput, log.and_then(|l| l.first_output)),
        (LogSays::Complete, log.and_then(|l| l.complete)),
        (LogSays::Aborted, log.and_then(|l| l.aborted)),
    ];
    let stamped = lines.into_iter().filter_map(|(says, written)| Some(line(client, says, written?, map)));
    let access = told.access.map(|access| {
        let says = LogSays::Access(access.status);
        access.written.map_or_else(
            || unstamped(client, says, access.read_unix_ns),
            |written| line(client, says, written, map),
        )
    });
    let mut lines: Vec<LogLine> = stamped.chain(access).collect();
    lines.sort_by_key(|line| (line.written_unix_ns, line.here.map(|here| here.lo_unix_ns)));
    lines
}

/// A line of which only is known that it was read: uvicorn's have no stamps by default.
fn unstamped(client: &RequestRow, says: LogSays, read: UnixNs) -> LogLine {
    let from = begin(client);
    LogLine {
        says,
        written_unix_ns: None,
        resolution_ns: None,
        here: (from <= read).then_some(Within { lo_unix_ns: from, hi_unix_ns: read }),
        contradicts: false,
    }
}

fn begin(client: &RequestRow) -> UnixNs {
    client.send_begin_unix_ns.unwrap_or(client.started_unix_ns)
}

fn line(client: &RequestRow, says: LogSays, written: Written, map: &Map) -> LogLine {
    let from = begin(client);
    // Received before the first token is here; of the other lines only what comes before is certain.
    let to = match says {
        LogSays::Received => client.first_token_unix_ns.unwrap_or(client.done_unix_ns),
        _ => UnixNs(i64::MAX),
    };
    let bounds = map.anywhere(written.time_unix_ns).zip(map.anywhere(written.end_unix_ns()));
    let whole = bounds.map(|(first, last)| first.over(last));
    let cut = whole.map(|whole| whole.cut_to(from, to)).filter(|w: &Within| w.lo_unix_ns <= w.hi_unix_ns);
    LogLine {
        says,
        written_unix_ns: Some(written.time_unix_ns),
        resolution_ns: Some(written.resolution_ns),
        here: cut.or(whole),
        contradicts: whole.is_some() && cut.is_none(),
    }
}
