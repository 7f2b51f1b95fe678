//! The log's request lines → requests, by id. The log has no trace ids and, by default, no stamps
//! finer than a second: each stamp is carried as the interval that it is. As with spans, ids come
//! first and times second. This file must not know how a line was written.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::clocks::{Map, Maps, Pairs};
use super::ids::{candidates, external};
use super::keys::{Found, Keys};
use super::span_join::SLACK_S;
use crate::clock::UnixNs;
use crate::record::correlated::Window;
use crate::record::{Connection, LogEvent, LogRow, RequestRow, Status};

/// What the log says about each request.
pub struct LogJoin {
    /// One entry a request; `None`: the log does not name it.
    pub sides: Vec<Option<LogSide>>,
    /// Ids that belong to no request, by reason.
    pub leftovers: BTreeMap<String, usize>,
}

/// When a line was written: somewhere in [`time`, `time` + `resolution`), on the server's clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Written {
    pub time_unix_ns: UnixNs,
    pub resolution_ns: i64,
}

impl Written {
    pub fn of(row: &LogRow) -> Option<Self> {
        Some(Self { time_unix_ns: row.time_unix_ns?, resolution_ns: row.time_resolution_ns.unwrap_or(0) })
    }

    pub fn end_unix_ns(self) -> UnixNs {
        UnixNs(self.time_unix_ns.0.saturating_add(self.resolution_ns))
    }
}

/// A request as the log tells it: the first line of each kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogSide {
    pub received: Option<Written>,
    pub added: Option<Written>,
    /// `Generated response … (streaming delta)`: there was a first output.
    pub first_output: Option<Written>,
    /// The answer was complete.
    pub complete: Option<Written>,
    pub aborted: Option<Written>,
    pub input_tokens: Option<u32>,
    pub output_tokens: Option<u32>,
}

const BEFORE: &str = "before the window (warm-up)";
const AFTER: &str = "after the window";
const FOREIGN: &str = "foreign: no request of this run has this id";
const SHARED_ID: &str = "ambiguous: several requests share this id";
const OTHER_TIME: &str = "the id of a request, at another time";

/// What the ids of the log's lines say.
pub struct Claims<'a> {
    requests: &'a [RequestRow],
    /// Every line that names a request, with the id it names.
    naming: Vec<(&'a LogRow, &'a str)>,
    /// Sorted by the place in `naming`.
    found: Vec<Found>,
}

/// Finds the request of every line that names one.
pub fn claims<'a>(requests: &'a [RequestRow], ids: &Keys, log: &'a [LogRow]) -> Result<Claims<'a>> {
    let naming: Vec<(&LogRow, &str)> =
        log.iter().flat_map(|row| names(&row.event).map(move |id| (row, id))).collect();
    let asks =
        (0_u32..).zip(&naming).flat_map(|(i, (_, id))| candidates(id).into_iter().map(move |id| (i, id)));
    Ok(Claims { requests, found: ids.find(asks)?, naming })
}

impl Claims<'_> {
    /// What the lines say about the clocks, each to the resolution of its stamp: a request is received
    /// after it was sent, and before its first token is here. `rank`: only this one's requests.
    pub fn pairs(&self, rank: Option<u32>, pairs: &mut Pairs) {
        let mut received: BTreeMap<u32, Vec<&LogRow>> = BTreeMap::new();
        for found in &self.found {
            let line = self.naming.get(found.asker as usize).map(|(row, _)| *row);
            if let (Some(request), Some(row)) = (found.row, line)
                && matches!(row.event, LogEvent::Received { .. })
            {
                received.entry(request).or_default().push(row);
            }
        }
        for (request, lines) in received {
            // An id that comes twice is another request's once: it is not known which.
            let ([row], Some(request)) = (lines.as_slice(), self.requests.get(request as usize)) else {
                continue;
            };
            if rank.is_some() && request.rank != rank {
                continue;
            }
            let Some(written) = Written::of(row).filter(|_| request.connection != Connection::Retried) else {
                continue;
            };
            if let Some(sent) = request.send_begin_unix_ns {
                pairs.out(sent, written.end_unix_ns());
            }
            let whole = (request.status == Status::Ok).then_some(request.done_unix_ns);
            if let Some(here) = request.first_token_unix_ns.or(whole) {
                pairs.back(written.time_unix_ns, here);
            }
        }
    }

    /// Each request's side, now that instants can be compared.
    pub fn resolve(self, maps: &Maps, window: Option<Window>) -> LogJoin {
        let mut sides: Vec<Option<LogSide>> = vec![None; self.requests.len()];
        let mut left: BTreeSet<(&str, &str)> = BTreeSet::new();
        let mut answers = self.found.iter().peekable();
        for (i, (row, id)) in (0_u32..).zip(&self.naming) {
            let answer = answers.next_if(|f| f.asker == i);
            // The engine's ids are the front end's with a suffix: one request, counted once.
            let internal = matches!(row.event, LogEvent::Added { .. } | LogEvent::Aborted { .. });
            let id = if internal { external(id) } else { id };
            let Some(answer) = answer else {
                left.insert((unclaimed(row, window, &maps.reference), id));
                continue;
            };
            let claimed =
                answer.row.and_then(|r| Some((self.requests.get(r as usize)?, sides.get_mut(r as usize)?)));
            match claimed {
                None => {
                    left.insert((SHARED_ID, id));
                }
                Some((request, _)) if !fits(request, row, maps.of(request)) => {
                    left.insert((OTHER_TIME, id));
                }
                Some((_, side)) => side.get_or_insert_default().take(row),
            }
        }
        let mut leftovers = BTreeMap::new();
        for (reason, _) in left {
            *leftovers.entry(reason.to_owned()).or_default() += 1;
        }
        LogJoin { sides, leftovers }
    }
}

impl LogSide {
    fn take(&mut self, row: &LogRow) {
        let slot = match &row.event {
            LogEvent::Received { .. } => &mut self.received,
            LogEvent::Added { .. } => &mut self.added,
            LogEvent::Generated { phase, .. } if phase == "delta" => &mut self.first_output,
            LogEvent::Generated { .. } => &mut self.complete,
            LogEvent::Aborted { .. } => &mut self.aborted,
            LogEvent::Finished { input_tokens, output_tokens, .. } => {
                self.input_tokens = input_tokens.or(self.input_tokens);
                self.output_tokens = output_tokens.or(self.output_tokens);
                &mut self.complete
            }
            _ => return,
        };
        if let Some(written) = Written::of(row)
            && slot.is_none_or(|before| written.time_unix_ns < before.time_unix_ns)
        {
            *slot = Some(written);
        }
    }

    /// The coarsest stamp's resolution.
    pub fn resolution_ns(&self) -> Option<i64> {
        let lines = [self.received, self.added, self.first_output, self.complete, self.aborted];
        lines.into_iter().flatten().map(|w| w.resolution_ns).max()
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

/// Whether the line was written while the request was under way. The end has room, since an abort is
/// logged after the client has gone.
fn fits(request: &RequestRow, row: &LogRow, map: &Map) -> bool {
    const AFTERWARDS_S: f64 = 60.0;
    let Some(written) = Written::of(row).filter(|_| map.compares()) else {
        return true;
    };
    let begin = request.send_begin_unix_ns.unwrap_or(request.started_unix_ns).plus_seconds(-SLACK_S);
    let earliest = UnixNs(begin.0.saturating_sub(written.resolution_ns));
    map.within(written.time_unix_ns, earliest, request.done_unix_ns.plus_seconds(AFTERWARDS_S)).is_some()
}

/// Why nothing claims an id.
fn unclaimed(row: &LogRow, window: Option<Window>, map: &Map) -> &'static str {
    let here = row.time_unix_ns.and_then(|time| map.anywhere(time));
    match (window, here) {
        (Some(w), Some(here)) if here.hi_unix_ns < w.begin_unix_ns => BEFORE,
        (Some(w), Some(here)) if here.lo_unix_ns > w.end_unix_ns => AFTER,
        _ => FOREIGN,
    }
}
