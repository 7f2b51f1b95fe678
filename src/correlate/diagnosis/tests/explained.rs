//! What one verdict explains no other claims: of requests whose parts are known by hand, each verdict has its own
//! milliseconds, and together they are what the requests lost.

use super::*;
use crate::metric::Metric;

/// Each verdict's rule, and what it costs a request in ms.
fn told(route: &Route<'_>) -> Vec<(&'static str, f64)> {
    let ms = |v: &VerdictRow| (v.at_stake.unwrap().seconds.value * 1e6).round() / 1e3;
    diagnose(route).iter().map(|v| (v.rule, ms(v))).collect()
}

fn all<'a>(rows: &'a [JoinedRow], events: &RunEvents) -> Route<'a> {
    Route { same_host: true, ..Route::new("made", rows, events, &VLLM).unwrap() }
}

/// nginx's row of a request whose first try failed after 50 ms.
fn tried_twice(row: &JoinedRow) -> HopRow {
    let one = |status, end_s| HopTry { status: Some(status), end_s: Some(end_s), ..HopTry::default() };
    hop(row, |hop| (hop.attempts, hop.tries) = (Some(2), vec![one(503, 0.050), one(200, 0.650)]))
}

/// 50 ms until the first try failed, and 2 ms of the gateway's own.
#[test]
fn what_a_first_try_took_is_no_wait_for_a_turn() {
    let (rows, events) = Made { late: |_, _, _| 0.052, ..Made::default() }.run();
    let hops: Vec<HopRow> = rows.iter().map(tried_twice).collect();
    assert_eq!(told(&with_hops(all(&rows, &events), &hops)), [("retries", 50.0)]);
    let verdict = diagnose(&with_hops(all(&rows, &events), &hops)).remove(0);
    assert_eq!((verdict.n, verdict.of), (20, 20));
    assert_eq!(
        verdict.evidence[1],
        "from the first try to the one that was answered it took 50.00 ms (median of 20; p10 50.00 ms, p90 50.00 ms)"
    );
    // The same lateness of requests that were sent once is a wait.
    let once: Vec<HopRow> = rows.iter().map(|row| hop(row, |_| ())).collect();
    assert_eq!(told(&with_hops(all(&rows, &events), &once)), [("queueing", 52.0)]);
}

#[test]
fn a_gateway_that_queues_and_retries_is_told_both_with_what_each_takes() {
    let (rows, events) = Made { late: |_, _, _| 0.090, ..Made::default() }.run();
    let hops: Vec<HopRow> = rows.iter().map(tried_twice).collect();
    let route = with_hops(all(&rows, &events), &hops);
    assert_eq!(told(&route), [("queueing", 40.0), ("retries", 50.0)]);
    let verdicts = diagnose(&route);
    let evidence = &verdicts[0].evidence[0];
    assert!(evidence.starts_with("added to the first token 40.00 ms, to the last 40.00 ms"), "{evidence}");
    assert!(evidence.ends_with("without what `retries` explains (50.00 ms, median of 20)"), "{evidence}");
}

/// The server was asked twice, and says when.
#[test]
fn the_servers_own_records_tell_what_came_before_the_answered_try() {
    let (mut rows, events) = Made { late: |_, _, _| 0.052, ..Made::default() }.run();
    for row in &mut rows {
        row.client.answer_headers = vec![("server".to_owned(), "nginx/1.22.1".to_owned())];
        (row.server_attempts, row.server_before_s) = (2, Some(0.051));
    }
    assert_eq!(told(&all(&rows, &events)), [("retries", 51.0)]);
}

/// Envoy says how often it asked, and not for how long: those that it asked for once are what to compare with.
#[test]
fn where_no_record_tells_how_long_tries_took_those_sent_once_do() {
    let counted = |of: fn(u64) -> u32, late: fn(u64, usize, f64) -> f64| {
        let (mut rows, events) = Made { late, requests: 30, ..Made::default() }.run();
        for row in &mut rows {
            let count = of(row.client.index).to_string();
            row.client.answer_headers = vec![("x-envoy-attempt-count".to_owned(), count)];
        }
        (rows, events)
    };
    // Every third is sent twice; all wait 10 ms.
    let (rows, events) = counted(
        |n| if n.is_multiple_of(3) { 2 } else { 1 },
        |n, _, _| if n.is_multiple_of(3) { 0.060 } else { 0.010 },
    );
    assert_eq!(told(&all(&rows, &events)), [("queueing", 10.0), ("retries", 16.667)]);
    let verdicts = diagnose(&all(&rows, &events));
    assert_eq!(
        verdicts[1].evidence[1],
        "how long the first tries took no record tells: of 10 requests all tokens are later by 50.00 ms (median of client − server) than those of the 20 that were sent once (10.00 ms)"
    );
    // Where all are sent twice it is not known what a wait would have been: none is said.
    let (rows, events) = counted(|_| 2, |_, _, _| 0.060);
    assert_eq!(told(&all(&rows, &events)), [("retries", 60.0)]);
    let said = &diagnose(&all(&rows, &events))[0].evidence[1];
    assert!(
        said.ends_with("are late by 60.00 ms (median of client − server) may be that, or less of it"),
        "{said}"
    );
}

/// A hold costs the first token what it does not cost the last; a try before costs both.
#[test]
fn a_hold_is_seen_behind_what_a_first_try_took() {
    let late = |_: u64, n: usize, _: f64| 0.300 + until_full(20, 60, n, 0.010);
    let (rows, events) = Made { late, ..Made::default() }.run();
    let twice = |row: &JoinedRow| {
        let mut row = tried_twice(row);
        row.tries[0].end_s = Some(0.300);
        row
    };
    let hops: Vec<HopRow> = rows.iter().map(twice).collect();
    assert_eq!(told(&with_hops(all(&rows, &events), &hops)), [("coalescing", 190.0), ("retries", 300.0)]);
}

/// Of a request that waits 300 ms where all wait 10, ten are the others' delay and 290 its own.
#[test]
fn what_few_wait_longer_is_no_part_of_what_all_do() {
    let few = |n: u64, _: usize, _: f64| if n % 10 == 3 { 0.300 } else { 0.010 };
    let made = |late| Made { late, requests: 60, ..Made::default() }.run();
    let ((rows, events), (direct, direct_events)) = (made(few), made(|_, _, _| 0.0));
    let route = all(&rows, &events).beside(&direct, &direct_events).unwrap();
    assert_eq!(told(&route), [("queueing", 10.0), ("stragglers", 29.0)]);
    assert!(diagnose(&route).iter().all(|v| v.at_stake.unwrap().metric == Metric::Ttft));
}

/// nginx names the group of its upstreams where all were down, or asks another one after an internal redirect.
#[test]
fn an_upstream_that_is_named_and_was_not_asked_is_no_try() {
    let (rows, events) = Made::default().run();
    let named = |row: &JoinedRow| {
        let one = |address: &str| HopTry { address: Some(address.to_owned()), ..HopTry::default() };
        hop(row, |hop| (hop.attempts, hop.tries) = (Some(1), vec![one("127.0.0.1:8000"), one("servers")]))
    };
    let hops: Vec<HopRow> = rows.iter().map(named).collect();
    assert_eq!(names(&diagnose(&with_hops(all(&rows, &events), &hops))), [""; 0]);
}

/// What the client sent twice itself is late by its own first try.
#[test]
fn what_the_client_sent_twice_itself_tells_of_no_gateway() {
    let (mut rows, events) = Made { late: |_, _, _| 0.052, ..Made::default() }.run();
    for row in &mut rows {
        row.client.connection = Connection::Retried;
        (row.server_attempts, row.server_before_s) = (2, Some(0.050));
    }
    let hops: Vec<HopRow> = rows.iter().map(tried_twice).collect();
    assert!(!names(&diagnose(&with_hops(all(&rows, &events), &hops))).contains(&"retries"));
}
