//! The log's request lines → requests, by id. The log has no trace ids and, by default, no stamps
//! finer than a second: it says that and roughly when a request arrived, seldom more. This file must
//! not know how a line was written.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::ids::{candidates, external};
use super::keys::Keys;
use super::span_join::SLACK_S;
use crate::clock::UnixNs;
use crate::record::correlated::Window;
use crate::record::{LogEvent, LogRow, RequestRow};

/// What the log says about each request.
pub struct LogJoin {
    /// One entry a request; `None`: the log does not name it.
    pub sides: Vec<Option<LogSide>>,
    /// Ids that belong to no request, by reason.
    pub leftovers: BTreeMap<String, usize>,
}

/// A request as the log tells it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogSide {
    /// The first `Received` and the first `Added`.
    pub received_unix_ns: Option<UnixNs>,
    pub added_unix_ns: Option<UnixNs>,
    /// The coarser one's resolution.
    pub resolution_ns: Option<i64>,
    pub input_tokens: Option<u32>,
    pub output_tokens: Option<u32>,
}

const BEFORE: &str = "before the window (warm-up)";
const AFTER: &str = "after the window";
const FOREIGN: &str = "foreign: no request of this run has this id";
const SHARED_ID: &str = "ambiguous: several requests share this id";
const OTHER_TIME: &str = "the id of a request, at another time";

/// Joins every line that names a request.
pub fn join(
    requests: &[RequestRow],
    ids: &Keys,
    log: &[LogRow],
    same_host: bool,
    window: Option<Window>,
) -> Result<LogJoin> {
    let naming: Vec<(&LogRow, &str)> =
        log.iter().flat_map(|row| names(&row.event).map(move |id| (row, id))).collect();
    let asks =
        (0_u32..).zip(&naming).flat_map(|(i, (_, id))| candidates(id).into_iter().map(move |id| (i, id)));
    let found = ids.find(asks)?;

    let mut sides: Vec<Option<LogSide>> = vec![None; requests.len()];
    let mut left: BTreeSet<(&str, &str)> = BTreeSet::new();
    let mut answers = found.iter().peekable();
    for (i, (row, id)) in (0_u32..).zip(&naming) {
        let answer = answers.next_if(|f| f.asker == i);
        // The engine's ids are the front end's with a suffix: one request, counted once.
        let internal = matches!(row.event, LogEvent::Added { .. } | LogEvent::Aborted { .. });
        let id = if internal { external(id) } else { id };
        let Some(answer) = answer else {
            left.insert((unclaimed(row, window, same_host), id));
            continue;
        };
        let claimed = answer.row.and_then(|r| Some((requests.get(r as usize)?, sides.get_mut(r as usize)?)));
        match claimed {
            None => {
                left.insert((SHARED_ID, id));
            }
            Some((request, _)) if same_host && !fits(request, row) => {
                left.insert((OTHER_TIME, id));
            }
            Some((_, side)) => side.get_or_insert_default().take(row),
        }
    }
    let mut leftovers = BTreeMap::new();
    for (reason, _) in left {
        *leftovers.entry(reason.to_owned()).or_default() += 1;
    }
    Ok(LogJoin { sides, leftovers })
}

impl LogSide {
    fn take(&mut self, row: &LogRow) {
        let earliest = |slot: &mut Option<UnixNs>| {
            if let Some(time) = row.time_unix_ns
                && slot.is_none_or(|before| time < before)
            {
                *slot = Some(time);
            }
        };
        match &row.event {
            LogEvent::Received { .. } => earliest(&mut self.received_unix_ns),
            LogEvent::Added { .. } => earliest(&mut self.added_unix_ns),
            LogEvent::Finished { input_tokens, output_tokens, .. } => {
                self.input_tokens = input_tokens.or(self.input_tokens);
                self.output_tokens = output_tokens.or(self.output_tokens);
            }
            _ => return,
        }
        self.resolution_ns = self.resolution_ns.max(row.time_resolution_ns);
    }
}

/// The ids that a line names.
fn names(event: &LogEvent) -> impl Iterator<Item = &str> {
    let (one, several): (Option<&str>, &[String]) = match event {
        LogEvent::Received { request_id }
        | LogEvent::Added { request_id }
        | LogEvent::Generated { request_id, .. }
        | LogEvent::Finished { request_id, .. }
        | LogEvent::Failed { request_id: Some(request_id), .. } => (Some(request_id), &[]),
        LogEvent::Aborted { request_ids } => (None, request_ids),
        _ => (None, &[]),
    };
    one.into_iter().chain(several.iter().map(String::as_str))
}

/// Whether the line was written while the request was under way: its stamp is [time, time +
/// resolution). The end has room, since an abort is logged after the client has gone.
fn fits(request: &RequestRow, row: &LogRow) -> bool {
    const AFTERWARDS_S: f64 = 60.0;
    let Some(time) = row.time_unix_ns else {
        return true;
    };
    let begin = request.send_begin_unix_ns.unwrap_or(request.started_unix_ns);
    let until = UnixNs(time.0.saturating_add(row.time_resolution_ns.unwrap_or(0)));
    until.seconds_since(begin) >= -SLACK_S && time.seconds_since(request.done_unix_ns) <= AFTERWARDS_S
}

/// Why nothing claims an id.
fn unclaimed(row: &LogRow, window: Option<Window>, same_host: bool) -> &'static str {
    match (window, row.time_unix_ns) {
        (Some(w), Some(time)) if same_host && time < w.begin_unix_ns => BEFORE,
        (Some(w), Some(time)) if same_host && time > w.end_unix_ns => AFTER,
        _ => FOREIGN,
    }
}
