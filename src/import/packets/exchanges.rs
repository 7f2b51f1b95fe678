//! Connections → HTTP exchanges, with the code by which the tap reads what passes it. Where bytes are
//! missing, or a connection was open before the capture began, reading goes on with the next request.
//! This file must not know which exchanges belong together.

use tare_parsers::pcap::streams::{Connection, Moment, What};

use super::Counts;
use crate::clock::UnixNs;
use crate::tap::exchange::{Exchange, Side};
use crate::tap::recorded::Recorded;

/// Every exchange of which there is at least the request's head.
pub(super) fn of(connections: &[Connection<'_>], counts: &mut Counts) -> Vec<Exchange> {
    let mut all = Vec::new();
    for (number, connection) in (1..).zip(connections) {
        read(number, connection, counts, &mut all);
    }
    for row in &all {
        if let Some(why) = row.unread {
            *counts.unread.entry(why).or_default() += 1;
        }
    }
    all.retain(|row| row.method.is_some() && row.request_first.is_some());
    counts.exchanges = all.len() as u64;
    all
}

fn read(number: u64, connection: &Connection<'_>, counts: &mut Counts, all: &mut Vec<Exchange>) {
    let (client, server) = sides(connection);
    let is_turned = client != connection.client;
    let instant = |ns: Option<i64>| UnixNs(ns.unwrap_or(i64::MIN));
    let open = || {
        let (asked, opened) = (connection.asked_unix_ns, connection.opened_unix_ns);
        Recorded::new(number, client, server, instant(asked), instant(opened))
    };
    let mut recorded = connection.from_the_start.then(open);
    let before = all.len();
    for &Moment { unix_ns, by_client, what } in &connection.moments {
        let by_client = by_client != is_turned;
        let side = if by_client { Side::Client } else { Side::Upstream };
        match (what, &mut recorded) {
            (What::Gap(_), _) => {
                all.extend(recorded.take().map(Recorded::finish).unwrap_or_default());
            }
            (What::Data(bytes), Some(recorded)) => recorded.passed(side, bytes, UnixNs(unix_ns)),
            (What::Data(bytes), None) if by_client && begins_a_request(bytes) => {
                let mut begun = open();
                begun.passed(side, bytes, UnixNs(unix_ns));
                recorded = Some(begun);
            }
            (What::Data(bytes), None) => counts.skipped_bytes += bytes.len() as u64,
            (What::Closed | What::Reset, Some(recorded)) => recorded.closed(side, what == What::Reset),
            (What::Closed | What::Reset, None) => {}
        }
    }
    all.extend(recorded.map(Recorded::finish).unwrap_or_default());
    // Numbered anew after each gap: the connection's are one series.
    for (exchange, row) in (1..).zip(all.iter_mut().skip(before)) {
        row.exchange = exchange;
    }
}

/// Client and server. Where the opening was not captured, what they say tells them apart.
fn sides(connection: &Connection<'_>) -> (core::net::SocketAddr, core::net::SocketAddr) {
    let data = |by_client| {
        connection.moments.iter().find_map(move |moment| match moment.what {
            What::Data(bytes) if moment.by_client == by_client => Some(bytes),
            _ => None,
        })
    };
    let turned = connection.asked_unix_ns.is_none()
        && connection.opened_unix_ns.is_none()
        && (data(true).is_some_and(|bytes| bytes.starts_with(b"HTTP/1."))
            || data(false).is_some_and(begins_a_request));
    if turned { (connection.server, connection.client) } else { (connection.client, connection.server) }
}

/// A method, a blank and a path, as far as they are there.
fn begins_a_request(bytes: &[u8]) -> bool {
    let Some(blank) = bytes.iter().take(10).position(|byte| *byte == b' ') else { return false };
    let (method, rest) = bytes.split_at(blank);
    blank > 2 && method.iter().all(u8::is_ascii_uppercase) && matches!(rest.get(1), Some(b'/' | b'h' | b'*'))
}
