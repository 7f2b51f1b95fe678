//! The comparison, on rows made by hand: every number below can be added up on paper.
#![allow(clippy::unwrap_used)]

use super::compare::{Compared, compare};
use crate::clock::UnixNs;
use crate::mock::truth::TruthRow;
use crate::record::calibration::{ErrorRow, Quantity, Stamp};
use crate::record::fixture::{BEGIN, request};
use crate::record::{EventRow, Finished, RequestRow, StampSource, Status};
use crate::store::Events;

/// Microseconds after the first request's start.
fn at(us: i64) -> UnixNs {
    UnixNs(BEGIN.0 + us * 1_000)
}

fn event(lo: i64, hi: i64, user: i64) -> EventRow {
    EventRow {
        stamp_lo_unix_ns: at(lo),
        stamp_hi_unix_ns: at(hi),
        user_unix_ns: at(user),
        events_in_read: 1,
        tokens: Some(1),
        bytes: 200,
    }
}

/// A request that began at 0, or 40 µs earlier by its schedule, with these events.
fn client(index: u64, events: Vec<EventRow>) -> Finished {
    let since = |stamp: Option<UnixNs>| stamp.map(|stamp| stamp.seconds_since(at(0)));
    let (first, last) = (events.first(), events.last());
    let row = RequestRow {
        started_unix_ns: at(0),
        scheduled_unix_ns: at(-40),
        send_begin_unix_ns: Some(at(200)),
        ttft_s: since(first.map(|e| e.stamp_hi_unix_ns)),
        ttft_user_s: since(first.map(|e| e.user_unix_ns)),
        e2e_s: since(last.map(|e| e.stamp_hi_unix_ns)),
        ..request(index)
    };
    Finished { row, events, place: None }
}

/// The server's record: read after 500 µs, a role first, then a token at each time, then the end.
fn server(index: u64, writes_us: &[i64]) -> TruthRow {
    let tokens = writes_us.iter().map(|us| (at(*us), 1, 220));
    let role = std::iter::once((at(600), 0, 300));
    TruthRow {
        x_request_id: Some(request(index).request_id),
        read_unix_ns: at(500),
        events: role.chain(tokens).chain([(at(90_000), 0, 20)]).collect(),
        ..TruthRow::default()
    }
}

fn compared(requests: &[Finished], truth: &[TruthRow]) -> Compared {
    let mut events = Events::default();
    for finished in requests {
        events.push(finished);
    }
    let rows: Vec<RequestRow> = requests.iter().map(|finished| finished.row.clone()).collect();
    compare(&rows, &events, truth, 0)
}

/// n, mean and largest in whole microseconds.
fn us(found: &Compared, quantity: Quantity, stamp: Stamp) -> Option<(usize, i64, i64)> {
    let row: &ErrorRow = found.errors.iter().find(|row| (row.quantity, row.stamp) == (quantity, stamp))?;
    Some((row.n, (row.mean_s * 1e6).round() as i64, (row.max_s * 1e6).round() as i64))
}

#[test]
fn exact_stamps_and_the_spans_made_of_them() {
    let here = client(
        0,
        vec![event(10_020, 10_020, 10_100), event(20_010, 20_010, 20_300), event(30_030, 30_030, 30_050)],
    );
    let found = compared(&[here], &[server(0, &[10_000, 20_000, 30_000])]);
    assert_eq!((found.requests.all, found.requests.compared), (1, 1));
    let e = &found.events;
    assert_eq!((e.client, e.server, e.compared, e.exact, e.not_received), (3, 3, 3, 3, 0));
    assert_eq!((e.stamp_before_write, e.bound_after_write), (0, 0));
    assert_eq!(us(&found, Quantity::Event, Stamp::Exact), Some((3, 20, 30)));
    assert_eq!(us(&found, Quantity::Event, Stamp::Kernel), Some((3, 20, 30)));
    assert_eq!(us(&found, Quantity::Event, Stamp::User), Some((3, 150, 300)));
    // TTFT: 10,020 here, 10,000 − 500 there; 40 more from when it was scheduled.
    assert_eq!(us(&found, Quantity::TtftStarted, Stamp::Kernel), Some((1, 520, 520)));
    assert_eq!(us(&found, Quantity::TtftScheduled, Stamp::Kernel), Some((1, 560, 560)));
    assert_eq!(us(&found, Quantity::TtftStarted, Stamp::User), Some((1, 600, 600)));
    // Gaps of 9,990 and 10,020 where the truth has 10,000 twice.
    assert_eq!(us(&found, Quantity::Itl, Stamp::Kernel), Some((2, 5, 20)));
    assert_eq!(us(&found, Quantity::Itl, Stamp::User), Some((2, -25, 200)));
    let itl = found.errors.iter().find(|r| (r.quantity, r.stamp) == (Quantity::Itl, Stamp::User)).unwrap();
    assert!((itl.relative_mean.unwrap() + 0.002_5).abs() < 1e-9, "19,950 of 20,000: {itl:?}");
    assert_eq!((itl.min_s * 1e6).round() as i64, -250);
    // E2E: 30,030 here, 30,000 − 500 there.
    assert_eq!(us(&found, Quantity::E2e, Stamp::Kernel), Some((1, 530, 530)));
    assert_eq!(us(&found, Quantity::E2e, Stamp::User), Some((1, 550, 550)));
    assert_eq!(us(&found, Quantity::WayOut, Stamp::User), Some((1, 300, 300)));
}

#[test]
fn an_interval_is_held_to_both_of_its_ends() {
    let here = client(
        0,
        vec![
            event(9_990, 10_700, 10_800),  // holds the write
            event(20_040, 20_090, 20_100), // its lower bound is late by what the server's stamp may be early
            event(30_060, 30_090, 30_100), // by more
            event(39_000, 39_900, 39_950), // ends before the write
        ],
    );
    let found = compared(&[here], &[server(0, &[10_000, 20_000, 30_000, 40_000])]);
    let e = &found.events;
    assert_eq!((e.compared, e.exact, e.bound_after_write, e.stamp_before_write), (4, 0, 1, 1));
    assert_eq!(us(&found, Quantity::Event, Stamp::Exact), None);
    assert_eq!(us(&found, Quantity::Event, Stamp::Kernel), Some((4, 195, 700)));
}

#[test]
fn what_the_server_does_not_know_is_counted_with_its_reason() {
    let known = client(0, vec![event(10_020, 10_020, 10_030)]);
    let unknown = client(1, vec![event(10_020, 10_020, 10_030); 2]);
    let found = compared(&[known, unknown], &[server(0, &[10_000]), server(7, &[10_000])]);
    assert_eq!((found.requests.all, found.requests.compared), (2, 1));
    assert_eq!(found.requests.not_compared["the server has no record of it"], 1);
    let e = &found.events;
    assert_eq!((e.client, e.compared, e.client_not_compared, e.server), (3, 1, 2, 1));
}

#[test]
fn of_a_request_given_up_the_events_that_came_are_compared() {
    let mut here = client(0, vec![event(10_020, 10_020, 10_030), event(20_020, 20_020, 20_030)]);
    (here.row.status, here.row.e2e_s) = (Status::InFlight, None);
    let found = compared(&[here], &[server(0, &[10_000, 20_000, 30_000])]);
    assert_eq!((found.requests.compared, found.requests.in_flight), (1, 1));
    let e = &found.events;
    assert_eq!((e.client, e.server, e.compared, e.not_received), (2, 3, 2, 1));
    assert_eq!(us(&found, Quantity::TtftStarted, Stamp::Kernel), Some((1, 520, 520)));
    assert_eq!(us(&found, Quantity::Itl, Stamp::Kernel), Some((1, 0, 0)));
    assert_eq!(us(&found, Quantity::E2e, Stamp::Kernel), None, "it has no duration");
}

#[test]
fn another_number_of_events_is_not_paired_off() {
    let mut failed = client(1, Vec::new());
    (failed.row.status, failed.row.e2e_s) = (Status::HttpError, None);
    let short = client(0, vec![event(10_020, 10_020, 10_030)]);
    let found = compared(&[short, failed], &[server(0, &[10_000, 20_000]), server(1, &[])]);
    assert_eq!(found.requests.compared, 0);
    assert_eq!(found.requests.not_compared["client and server differ in the number of its token events"], 1);
    assert_eq!(found.requests.not_compared["failed without a token (http_error)"], 1);
    let e = &found.events;
    assert_eq!((e.client_not_compared, e.server_not_compared, e.compared), (1, 2, 0));
    assert!(found.errors.is_empty());
}

#[test]
fn of_a_request_sent_twice_the_last_answer_counts() {
    let here = client(0, vec![event(10_020, 10_020, 10_030)]);
    let found = compared(&[here], &[server(0, &[]), server(0, &[10_000])]);
    assert_eq!((found.requests.compared, found.events.compared, found.events.server), (1, 1, 1));
}

#[test]
fn an_answer_that_is_no_stream_has_a_duration_alone() {
    let mut here = client(0, Vec::new());
    (here.row.streamed, here.row.e2e_s) = (false, Some(0.010_530));
    let found = compared(&[here], &[server(0, &[10_500])]);
    assert_eq!((found.requests.compared, found.events.server, found.events.client), (1, 0, 0));
    assert_eq!(us(&found, Quantity::E2e, Stamp::Kernel), Some((1, 530, 530)));
    assert_eq!(us(&found, Quantity::E2e, Stamp::User), None);
    assert_eq!(us(&found, Quantity::TtftStarted, Stamp::Kernel), None);
}

#[test]
fn without_kernel_stamps_nothing_bears_the_kernels_name() {
    let mut streamed = client(0, vec![event(9_900, 10_100, 10_100), event(19_900, 20_300, 20_300)]);
    let mut whole = client(1, Vec::new());
    (whole.row.streamed, whole.row.e2e_s) = (false, Some(0.010_530));
    for here in [&mut streamed, &mut whole] {
        here.row.stamps = StampSource::User;
    }
    let found = compared(&[streamed, whole], &[server(0, &[10_000, 20_000]), server(1, &[10_500])]);
    assert!(found.errors.iter().all(|row| row.stamp == Stamp::User), "{:?}", found.errors);
    assert_eq!(us(&found, Quantity::Event, Stamp::User), Some((2, 200, 300)));
    assert_eq!(us(&found, Quantity::E2e, Stamp::User), Some((2, 665, 800)), "800 and 530 µs");
}

#[test]
fn a_server_whose_clock_was_set_meanwhile_is_brought_to_the_clients_axis() {
    let here = client(0, vec![event(10_020, 10_020, 10_030), event(20_020, 20_020, 20_030)]);
    let mut truth = server(0, &[10_000, 20_000]);
    // The wall clock had been set forward by an hour when the server was started.
    let hour = UnixNs(3_600_000_000_000);
    truth.read_unix_ns.0 += hour.0;
    truth.events.iter_mut().for_each(|(at, ..)| at.0 += hour.0);
    let mut events = Events::default();
    events.push(&here);
    let found = compare(&[here.row], &events, &[truth], hour.0);
    assert_eq!(us(&found, Quantity::Event, Stamp::Kernel), Some((2, 20, 20)));
    assert_eq!(us(&found, Quantity::TtftStarted, Stamp::Kernel), Some((1, 520, 520)));
    assert_eq!(us(&found, Quantity::WayOut, Stamp::User), Some((1, 300, 300)));
    assert_eq!(found.events.stamp_before_write, 0);
}
