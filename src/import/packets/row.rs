//! A passage, or a point on the path → a row. Every instant is that of a packet: of the first or last byte
//! of a request, of the last byte of an answer's head or of an event. This file must not know how they
//! were found.

use super::PRODUCT;
use super::pairs::{Pairs, Passage};
use crate::clock::UnixNs;
use crate::record::hop::Completeness;
use crate::record::{HopRow, HopTry, ToldBy};
use crate::tap::exchange::{End, Exchange, Passed};

/// What all rows of a capture begin with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Told<'a> {
    pub(super) hop: &'a str,
    pub(super) source: &'a str,
    pub(super) resolution_ns: i64,
}

/// The rows, in the order in which the requests began.
pub(super) fn rows(exchanges: &[Exchange], pairs: &Pairs, told: Told<'_>) -> Vec<HopRow> {
    let get = |at: &usize| exchanges.get(*at);
    let passages = pairs.passages.iter().filter_map(|Passage { outer, inner }| {
        Some((get(outer)?, inner.iter().filter_map(get).collect::<Vec<_>>()))
    });
    let alone = pairs.alone.iter().filter_map(get).map(|outer| (outer, Vec::new()));
    let points = pairs.points.iter().filter_map(get).map(|row| (row, vec![row]));
    let mut all: Vec<HopRow> =
        passages.chain(alone).chain(points).filter_map(|(outer, inner)| row(outer, &inner, told)).collect();
    all.sort_by_key(|row| row.start_unix_ns);
    for (line_no, row) in (1..).zip(&mut all) {
        row.line_no = line_no;
    }
    all
}

/// `outer` is the exchange with the client, `inner` those with servers; of a point both are one.
fn row(outer: &Exchange, inner: &[&Exchange], told: Told<'_>) -> Option<HopRow> {
    let start = outer.request_first?.hi_unix_ns;
    let since = |passed: Option<Passed>| passed.map(|passed| passed.hi_unix_ns.seconds_since(start));
    let whole_request = |row: &Exchange| row.request_last.filter(|_| row.request_whole);
    let whole = |row: &Exchange| row.response_last.filter(|_| row.end == End::Complete);
    // The try whose answer went to the client.
    let last = inner.last().copied();
    let is_point = last.is_some_and(|last| std::ptr::eq(last, outer));
    let opened = last.map(|last| last.connected_unix_ns).filter(|at| *at > start && !is_point);
    let renamed = outer.response_request_id.clone().filter(|id| Some(id) != outer.request_id.as_ref());
    let end = whole(outer).map(|last| last.hi_unix_ns);
    let resolution = |instant: Option<UnixNs>| instant.map(|_| told.resolution_ns);
    Some(HopRow {
        hop: told.hop.to_owned(),
        product: PRODUCT.to_owned(),
        told_by: ToldBy::Packets,
        source: told.source.to_owned(),
        request_id: outer.request_id.clone(),
        own_id: renamed,
        response_id: outer.response_id.clone().or_else(|| last?.response_id.clone()),
        trace_id: outer.trace_id.clone(),
        client: Some(outer.client.to_string()),
        outgoing: last.filter(|_| !is_point).map(|last| last.client.to_string()),
        path: outer.path.clone().filter(|path| !path.is_empty()),
        start_unix_ns: Some(start),
        start_resolution_ns: Some(told.resolution_ns),
        start_slack_ns: Some(0),
        end_unix_ns: end,
        end_resolution_ns: resolution(end),
        end_slack_ns: end.map(|_| 0),
        timer_resolution_ns: Some(told.resolution_ns),
        request_received_s: since(whole_request(outer)),
        connected_s: opened.map(|at| at.seconds_since(start)),
        upstream_sent_s: since(last.and_then(whole_request)),
        upstream_head_s: since(last.and_then(|last| last.head)),
        upstream_first_body_s: since(last.and_then(|last| last.body_first)),
        first_token_in_s: since(last.and_then(|last| last.first_token)),
        first_token_out_s: since(outer.first_token),
        last_token_in_s: since(last.and_then(|last| last.last_token)),
        last_token_out_s: since(outer.last_token),
        upstream_end_s: since(last.and_then(whole)),
        head_sent_s: since(outer.head),
        total_s: since(whole(outer)),
        tries: inner.iter().map(|one| one_try(one)).collect(),
        attempts: (!is_point && !inner.is_empty()).then_some(inner.len() as u32),
        status: outer.status,
        completeness: completeness(outer),
        end_reason: reason(outer),
        received_bytes: Some(outer.request_bytes),
        sent_bytes: Some(outer.response_bytes),
        ..HopRow::default()
    })
}

fn one_try(one: &Exchange) -> HopTry {
    let begin = one.request_first.map(|first| first.hi_unix_ns);
    let since = |passed: Option<Passed>| Some(passed?.hi_unix_ns.seconds_since(begin?));
    HopTry {
        address: Some(one.upstream.to_string()),
        status: one.status,
        connect_s: None,
        head_s: since(one.head),
        end_s: since(one.response_last.filter(|_| one.end == End::Complete)),
    }
}

/// As the answer's content says: HTTP can end cleanly on a cut stream.
fn completeness(row: &Exchange) -> Completeness {
    match row.end {
        End::Complete if lacks_its_end(row) => Completeness::Cut,
        End::Complete => Completeness::Complete,
        End::CutByUpstream => Completeness::Cut,
        End::AbortedByClient => Completeness::Aborted,
        End::InFlight | End::Unread => Completeness::Unknown,
    }
}

fn lacks_its_end(row: &Exchange) -> bool {
    row.answer_whole == Some(false) && row.status.is_some_and(|status| status < 300)
}

fn reason(row: &Exchange) -> Option<String> {
    let text = match row.end {
        End::Complete if lacks_its_end(row) => "the stream ended without `[DONE]` or a finish reason",
        End::Complete => return None,
        End::CutByUpstream if row.reset => "the connection was reset before the answer's end",
        End::CutByUpstream => "the connection was closed before the answer's end",
        End::AbortedByClient => "the client closed the connection before the answer's end",
        End::InFlight => "its end is not in the capture",
        End::Unread => "the rest of the connection is no HTTP/1.1",
    };
    Some(text.to_owned())
}
