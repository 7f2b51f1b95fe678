//! Access lines → requests, by the client's port: the only trace that a refused request leaves in the
//! log, since these lines name no id. One connection carries one request after another, so the lines
//! of a port are its requests in order, if there are as many and their statuses agree. This file must
//! not know how a line was written.

use std::collections::BTreeMap;

use super::clocks::Map;
use super::log_join::Written;
use crate::clock::UnixNs;
use crate::record::correlated::Window;
use crate::record::{Endpoint, LogEvent, LogRow, RequestRow};

/// What the access lines say about each request.
pub struct AccessJoin {
    /// One entry a request.
    pub sides: Vec<Option<AccessSide>>,
    /// Lines that belong to no request, by reason.
    pub leftovers: BTreeMap<String, usize>,
}

/// A request's access line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AccessSide {
    pub status: u16,
    /// Written when the head of the answer went out.
    pub written: Option<Written>,
    /// When it was read: no earlier than it was written.
    pub read_unix_ns: UnixNs,
}

const BEFORE: &str = "before the window (warm-up)";
/// The reason of lines that are of no connection of this client.
pub const FOREIGN: &str = "from a port that no request of this run used: others, or a gateway in between";
/// The reason of lines that are of this client, and of no request for certain.
pub const UNCLEAR: &str = "from a port with other requests than lines";

/// Joins the lines of inference endpoints.
pub fn join(requests: &[RequestRow], log: &[LogRow], map: &Map, window: Option<Window>) -> AccessJoin {
    let mut by_port: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for (i, request) in requests.iter().enumerate().filter(|(_, r)| r.send_begin_unix_ns.is_some()) {
        if let Some(port) = request.local_port {
            by_port.entry(port).or_default().push(i);
        }
    }
    let mut lines: BTreeMap<u16, Vec<AccessSide>> = BTreeMap::new();
    let mut leftovers = BTreeMap::new();
    let mut leave = |reason: &str, n: usize| *leftovers.entry(reason.to_owned()).or_insert(0) += n;
    for row in log {
        let LogEvent::Access { port: Some(port), path, status, .. } = &row.event else { continue };
        let path = path.split('?').next().unwrap_or_default();
        if Endpoint::ALL.iter().all(|endpoint| path != endpoint.path()) {
            continue;
        }
        let written = Written::of(row);
        let here =
            written.and_then(|w| map.anywhere(w.end_unix_ns())).map_or(row.read_unix_ns, |h| h.hi_unix_ns);
        match window {
            Some(w) if here < w.begin_unix_ns => leave(BEFORE, 1),
            _ if !by_port.contains_key(port) => leave(FOREIGN, 1),
            _ => lines.entry(*port).or_default().push(AccessSide {
                status: *status,
                written,
                read_unix_ns: row.read_unix_ns,
            }),
        }
    }
    let mut sides = vec![None; requests.len()];
    for (port, said) in lines {
        let mut of_port = by_port.remove(&port).unwrap_or_default();
        of_port.sort_by_key(|i| requests.get(*i).and_then(|r| r.send_begin_unix_ns));
        let status = |i: &usize| requests.get(*i).and_then(|r| r.http_status);
        let agree = of_port.iter().zip(&said).all(|(i, line)| status(i).is_none_or(|s| s == line.status));
        // Two hosts may have used one port: whose lines are whose is then not known.
        let mut ranks = of_port.iter().map(|i| requests.get(*i).and_then(|r| r.rank));
        let first = ranks.next();
        let of_one = ranks.all(|rank| Some(rank) == first);
        if of_port.len() != said.len() || !agree || !of_one {
            leave(UNCLEAR, said.len());
            continue;
        }
        for (i, line) in of_port.into_iter().zip(said) {
            if let Some(side) = sides.get_mut(i) {
                *side = Some(line);
            }
        }
    }
    AccessJoin { sides, leftovers }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::fixture::{log, request};

    fn access(row: &RequestRow, port: u16, status: u16) -> LogRow {
        let event = LogEvent::Access {
            client: "127.0.0.1".to_owned(),
            port: Some(port),
            method: "POST".to_owned(),
            path: Endpoint::Chat.path().to_owned(),
            status,
        };
        log(row, 0.01, event)
    }

    /// Two requests on one connection, the second refused, and one on a connection of its own.
    fn three() -> Vec<RequestRow> {
        let mut requests: Vec<RequestRow> = (0..3).map(request).collect();
        requests[1].http_status = Some(404);
        requests[2].local_port = Some(40_001);
        requests
    }

    #[test]
    fn the_lines_of_a_port_are_its_requests_in_order() {
        let requests = three();
        let lines = [
            access(&requests[0], 40_000, 200),
            access(&requests[1], 40_000, 404),
            access(&requests[2], 40_001, 200),
        ];
        let join = join(&requests, &lines, &Map::One, None);
        let statuses: Vec<u16> = join.sides.iter().map(|s| s.unwrap().status).collect();
        assert_eq!(statuses, [200, 404, 200]);
        assert!(join.leftovers.is_empty());
    }

    #[test]
    fn what_cannot_be_told_apart_is_left_and_counted() {
        let requests = three();
        let lines = [
            // Its second line is lost.
            access(&requests[0], 40_000, 200),
            access(&requests[2], 50_000, 200),
            access(&requests[2], 40_001, 200),
        ];
        let join = join(&requests, &lines, &Map::One, None);
        assert_eq!(join.sides.iter().map(Option::is_some).collect::<Vec<_>>(), [false, false, true]);
        let left: Vec<(&str, usize)> = join.leftovers.iter().map(|(k, n)| (k.as_str(), *n)).collect();
        assert_eq!(left, [(FOREIGN, 1), (UNCLEAR, 1)]);
    }

    #[test]
    fn statuses_that_disagree_join_nothing() {
        let requests = three();
        let lines = [access(&requests[0], 40_000, 404), access(&requests[1], 40_000, 200)];
        let join = join(&requests, &lines, &Map::One, None);
        assert!(join.sides.iter().all(Option::is_none));
        assert_eq!(join.leftovers.get(UNCLEAR), Some(&2));
    }
}
