//! Which requests were sent to the server more than once on the way, by whom that is recorded, and how long
//! it was from the first try to the one that was answered, where a record tells. This file must not know
//! what is concluded.

use super::{Passage, Route};
use crate::record::{Connection, HopRow, HopTry};

const HEADERS: [&str; 2] = ["x-litellm-attempted-retries", "x-envoy-attempt-count"];

/// Timers of several logs and clocks together are good to so much.
const SLACK_S: f64 = 0.005;

/// What tells that one request was sent again.
#[derive(Clone, Debug, PartialEq)]
pub struct Tries {
    /// The server's own records of it, if there are several.
    pub at_server: Option<usize>,
    /// Tries by a hop's account.
    pub by_hop: Option<u32>,
    pub by_header: bool,
    /// From the first try to the one that was answered, s; `None`: no record tells.
    pub before_s: Option<f64>,
}

/// Whether a request was sent once, more often, or (by the client itself) cannot tell.
pub fn of(passage: &Passage<'_>) -> Option<Tries> {
    if !tells(passage) {
        return None;
    }
    let row = passage.row;
    let at_server = Some(row.server_attempts as usize).filter(|n| *n > 1);
    // A hop behind the one that tries again has a row for each try.
    let rows = row.hops.iter().flatten().filter_map(|hop| hop.tries_before);
    let by_row = || rows.clone().filter_map(|(before, _)| u32::try_from(before + 1).ok());
    let by_hop = passage.hops.iter().map(|hop| asked(hop)).chain(by_row()).max().filter(|n| *n > 1);
    let by_header = said_in_header(passage);
    if at_server.is_none() && by_hop.is_none() && !by_header {
        return None;
    }
    // Each saw the time before the answered try from its own place, so the one who saw most is nearest to all.
    let told = passage.hops.iter().filter_map(|hop| before_s(hop));
    let before_s = told.chain(rows.map(|(_, s)| s)).chain(row.server_before_s).reduce(f64::max);
    // Tries at servers whose clocks differ may seem further apart than all that the request lost.
    let here_s = row.client.first_token_unix_ns.zip(row.client.send_begin_unix_ns);
    let here_s = here_s.map(|(first, send)| first.seconds_since(send));
    let lost_s = here_s.zip(row.server_ttft_s).map(|(here_s, there_s)| (here_s - there_s).max(0.0));
    let before_s = before_s.filter(|s| lost_s.is_none_or(|lost_s| *s <= lost_s + SLACK_S));
    // A 502 and its like may be the gateway's own, for all that the server has a record of a try.
    let theirs = |hop: &&HopRow| {
        hop.tries.last().is_some_and(|one| one.head_s.is_some() && one.status == row.client.http_status)
    };
    let answered =
        row.client.http_status.is_some_and(|status| status < 500) || passage.hops.last().is_some_and(theirs);
    Some(Tries { at_server, by_hop, by_header, before_s: before_s.filter(|_| answered) })
}

/// Whether to none of those whom the last hop tried there was a connection, by a log that tells of connections where
/// there are some.
pub fn reached_nobody(passage: &Passage<'_>, route: &Route<'_>) -> bool {
    let Some(hop) = passage.hops.last() else { return false };
    let failed = |one: &HopTry| one.connect_s.is_none() && one.head_s.is_none();
    let had_none =
        hop.connected_s.is_none() && hop.upstream_sent_s.is_none() && hop.upstream_head_s.is_none();
    let of_hop = route.passages.iter().flat_map(|p| &p.hops).filter(|other| other.hop == hop.hop);
    !hop.tries.is_empty()
        && hop.tries.iter().all(failed)
        && had_none
        && of_hop.flat_map(|other| &other.tries).any(|one| one.connect_s.is_some())
}

/// What the client sent twice itself tells nothing of what is on the way.
pub fn tells(passage: &Passage<'_>) -> bool {
    passage.row.client.connection != Connection::Retried
}

/// Upstreams that a hop asked. Its list may hold who was not: the name of a group of which all were down.
fn asked(hop: &HopRow) -> u32 {
    hop.attempts.unwrap_or_else(|| u32::try_from(hop.tries.len()).unwrap_or(u32::MAX))
}

/// How long a hop's earlier tries took by its own timers: each of them, or all until there was a connection.
fn before_s(hop: &HopRow) -> Option<f64> {
    if asked(hop) < 2 {
        return None;
    }
    match hop.tries.split_last() {
        Some((_, earlier)) if !earlier.is_empty() => earlier.iter().map(|one| one.end_s).sum(),
        _ => Some(hop.connected_s? - hop.queue_s?),
    }
}

fn said_in_header(p: &Passage<'_>) -> bool {
    p.row.client.answer_headers.iter().any(|(name, value)| {
        let least = u32::from(name == HEADERS[1]);
        HEADERS.contains(&name.as_str()) && value.trim().parse::<u32>().is_ok_and(|n| n > least)
    })
}
