//! What a gateway does to streams: rules over the evidence of one route, one file each in [`rules`]. Each
//! says with its numbers what it found, or nothing; a verdict that is not sure enough is none. This
//! module must not know how the evidence was recorded, nor how a verdict is shown.
//!
//! - [`Route`]: the requests of one way to the server, with all that is known of them
//! - [`signature`]: how a stream's events lie in time: bursts, and what released them
//! - [`added`]: what was added to the first and to the last token, by the server's own times or by the
//!   requests that went straight to it
//! - `own_word`: how long gateways say that they had a request before they asked the server
//! - `tries`: which requests were sent to the server again, and what that took
//! - `case`: what several rules ask of a route, worked out once, and what of the time added verdicts have
//!   explained so far
//! - [`products`], [`remedies`]: who names itself on the way, and what mends it; as data

pub mod added;
mod case;
mod own_word;
pub mod products;
pub mod remedies;
pub mod rules;
pub mod signature;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests;
mod tries;

use std::collections::{HashMap, HashSet};

use anyhow::Result;

use self::case::Case;
use self::rules::Ground;
use crate::record::own::OwnLag;
use crate::record::verdicts::VerdictRow;
use crate::record::{EventRow, HopRow, JoinedRow, LogEvent, LogRow, SpanRow};
use crate::server::Server;
use crate::store::{Events, RunEvents};

/// Fewer requests than this show nothing about how long things take.
pub const LEAST_REQUESTS: usize = 10;
/// So many events are looked at one by one, at most.
const EVENTS_LOOKED_AT: usize = 4_000_000;

/// One request of a route.
#[derive(Clone, Debug)]
pub struct Passage<'a> {
    pub row: &'a JoinedRow,
    pub events: Vec<EventRow>,
    /// What hops told of it.
    pub hops: Vec<&'a HopRow>,
    /// The request that went straight to the server with the same prompt, in an audit.
    pub twin: Option<&'a JoinedRow>,
}

/// The requests of one way to the server, and what else is known of it.
#[derive(Clone, Debug)]
pub struct Route<'a> {
    /// What it is called in verdicts.
    pub name: String,
    /// In the order of time.
    pub passages: Vec<Passage<'a>>,
    /// Those that went straight to the server, in an audit.
    pub direct: Vec<Passage<'a>>,
    /// Records of the server, by the request's trace or id found in the rows; for what the server got.
    pub spans: &'a [SpanRow],
    /// The server's log, for the connections that it saw.
    pub log: &'a [LogRow],
    pub server: &'a Server,
    /// Mean time from token to token that the server counted over the run.
    pub server_itl_s: Option<f64>,
    /// What the program saw of itself while the load ran.
    pub own: Option<&'a OwnLag>,
    /// Client and server are on one host: no network between them.
    pub same_host: bool,
    pub seed: u64,
}

impl<'a> Route<'a> {
    /// A route of these requests alone; whatever else is known is set by the caller.
    pub fn new(
        name: &str,
        rows: impl IntoIterator<Item = &'a JoinedRow>,
        events: &RunEvents,
        server: &'a Server,
    ) -> Result<Self> {
        Ok(Self {
            name: name.to_owned(),
            passages: passages(rows, events)?,
            direct: Vec::new(),
            spans: &[],
            log: &[],
            server,
            server_itl_s: None,
            own: None,
            same_host: false,
            seed: 0,
        })
    }

    /// The same, with the requests that went straight to the server. Requests of one pair (or, where there
    /// are no pairs, of one prompt) are twins.
    pub fn beside(
        mut self,
        direct: impl IntoIterator<Item = &'a JoinedRow>,
        events: &RunEvents,
    ) -> Result<Self> {
        self.direct = passages(direct, events)?;
        let key =
            |row: &JoinedRow| (row.client.pair, row.client.pair.is_none().then_some(row.client.prompt_index));
        let mut by_key: HashMap<(Option<u64>, Option<u32>), Vec<&'a JoinedRow>> = HashMap::new();
        for passage in &self.direct {
            by_key.entry(key(passage.row)).or_default().push(passage.row);
        }
        for passage in &mut self.passages {
            let twins = by_key.get_mut(&key(passage.row));
            passage.twin =
                twins.and_then(|twins| if twins.is_empty() { None } else { Some(twins.remove(0)) });
        }
        Ok(self)
    }

    /// Whether the server's own log shows connections of this very client: nothing is between. A port or
    /// two may be the same by chance.
    fn is_proven_direct(&self) -> bool {
        let own = self.passages.iter().filter(|p| p.row.log_access_status.is_some()).count();
        own * 2 > self.passages.len()
    }

    /// The ports that the server's access lines name, without those from which requests went straight to it.
    fn access_ports(&self) -> Vec<u16> {
        let straight: HashSet<u16> = self.direct.iter().filter_map(|p| p.row.client.local_port).collect();
        let port = |row: &LogRow| match &row.event {
            LogEvent::Access { port, path, .. } if path.contains("completions") => *port,
            _ => None,
        };
        self.log.iter().filter_map(port).filter(|port| !straight.contains(port)).collect()
    }
}

/// The requests of a route. The streams of more are not looked at one by one than hold [`EVENTS_LOOKED_AT`]
/// events: every second, or third, … is, over the whole run.
fn passages<'a>(
    rows: impl IntoIterator<Item = &'a JoinedRow>,
    events: &RunEvents,
) -> Result<Vec<Passage<'a>>> {
    let rows: Vec<&JoinedRow> = rows.into_iter().collect();
    let all: usize = rows.iter().map(|row| row.client.n_events as usize).sum();
    let every = all.div_ceil(EVENTS_LOOKED_AT).max(1);
    let looked_at: HashSet<&str> =
        rows.iter().step_by(every).map(|row| row.client.request_id.as_str()).collect();
    let events = events.of_some(|id| looked_at.contains(id))?;
    Ok(rows.into_iter().map(|row| Passage::new(row, &events)).collect())
}

impl<'a> Passage<'a> {
    fn new(row: &'a JoinedRow, events: &Events) -> Self {
        // Where another request has the same id, the events of the id are not this one's.
        let rows =
            events.of(&row.client.request_id).filter(|rows| rows.len() == row.client.n_events as usize);
        Self {
            row,
            events: rows.into_iter().flatten().filter_map(|n| events.row(n)).collect(),
            hops: row.hops.iter().flatten().map(|passage| &passage.row).collect(),
            twin: None,
        }
    }
}

/// Every verdict on a route, in the order of [`rules::RULES`]. They are asked in that of their grounds, and what
/// a verdict explains of the time added those on weaker grounds see no more: no millisecond counts twice.
pub fn diagnose(route: &Route<'_>) -> Vec<VerdictRow> {
    if route.is_proven_direct() {
        return Vec::new();
    }
    let mut case = Case::new(route);
    let mut found: Vec<(usize, VerdictRow)> = Vec::new();
    for ground in Ground::ALL {
        let mut explained = Vec::new();
        for (place, rule) in rules::RULES.iter().enumerate().filter(|(_, rule)| rule.ground == ground) {
            if let Some(verdict) = (rule.judge)(&case) {
                explained.extend(rule.explains.map(|explains| (rule.name, explains(&case))));
                found.push((place, verdict));
            }
        }
        for (rule, parts) in explained {
            case.explained_by(rule, &parts);
        }
    }
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, verdict)| verdict).collect()
}
