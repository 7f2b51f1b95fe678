//! How requests and loads end, and what was never sent.

use std::sync::Arc;
use std::time::Duration;

use super::Step::{Flood, Hold, Pause, Read as Request, Send};
use tare::config::Arrival;
use tare::record::Status;
use tokio_util::sync::CancellationToken;

use super::{SSE, again, chunk, good, plan, run, run_until, serve, token};
use crate::support::closed_port;

/// A silent server, and one that never stops: both meet the time limit.
#[test]
fn time_limits_hold_against_silence_and_against_floods() {
    // Long ones, or a quick machine would come to the bound of events before.
    let endless = chunk(&token(1).replace("t1", &"t".repeat(8192))).repeat(100);
    for (steps, says) in [
        (vec![Hold], "no response head within the time limit"),
        (vec![Send(SSE.into()), Hold], "the answer did not end within the time limit"),
        (vec![Send(SSE.into()), Flood(endless)], "the answer did not end within the time limit"),
    ] {
        let server = serve(vec![[vec![Request], steps].concat()]);
        let mut plan = plan(server.address);
        plan.load.timeout_s = 0.3;
        let (rows, _) = run(&plan);
        assert_eq!((rows[0].row.status, rows[0].row.error.as_deref()), (Status::Timeout, Some(says)));
    }
}

#[test]
fn what_is_in_flight_at_the_end_is_a_row_of_its_own_kind() {
    let begun = [SSE.as_bytes(), &chunk(&token(1))].concat();
    let server = serve(vec![vec![Request, Send(begun), Hold]]);
    let mut plan = plan(server.address);
    plan.load.arrival = Arrival::Closed { users: 4, ramp_s: 0.05 };
    (plan.load.requests, plan.load.duration_s, plan.load.grace_period_s) = (None, Some(0.3), 0.05);
    let (rows, outcome) = run(&plan);
    assert_eq!(rows.len(), 4);
    for f in &rows {
        assert_eq!((f.row.status, f.row.error.as_deref(), f.row.e2e_s), (Status::InFlight, None, None));
        // What had come by then is kept.
        assert_eq!(
            (f.row.ttft_s.is_some(), f.row.n_events),
            (f.row.http_status.is_some(), f.events.len() as u32)
        );
    }
    assert!(!outcome.interrupted);
}

#[test]
fn an_interrupt_ends_everything_at_once() {
    let server = serve(vec![vec![Request, Hold]]);
    let mut plan = plan(server.address);
    plan.load.arrival = Arrival::Closed { users: 3, ramp_s: 0.0 };
    plan.load.requests = None;
    plan.load.duration_s = Some(3600.0);
    let interrupt = CancellationToken::new();
    let (cancel, seen) = (interrupt.clone(), Arc::clone(&server.requests));
    let waiting = std::thread::spawn(move || {
        while seen.lock().unwrap().len() < 3 {
            std::thread::sleep(Duration::from_millis(5));
        }
        cancel.cancel();
    });
    let (rows, outcome) = run_until(&plan, &interrupt);
    waiting.join().unwrap();
    assert!(outcome.interrupted);
    assert_eq!(rows.iter().filter(|f| f.row.status == Status::InFlight).count(), 3);
}

#[test]
fn a_load_that_is_interrupted_before_it_begins_sends_nothing() {
    let server = serve(vec![vec![Request, Send(good()), Hold]]);
    let interrupt = CancellationToken::new();
    interrupt.cancel();
    for arrival in [Arrival::Closed { users: 2, ramp_s: 0.0 }, Arrival::Constant { rate_rps: 1e4 }] {
        let mut plan = plan(server.address);
        (plan.load.arrival, plan.load.requests) = (arrival.clone(), Some(50));
        let (rows, _) = run_until(&plan, &interrupt);
        assert!(rows.is_empty(), "{arrival:?}: {}", rows.len());
    }
    assert!(server.requests.lock().unwrap().is_empty());
}

#[test]
fn so_many_requests_are_sent_as_were_asked_for() {
    let server = serve(vec![again(60, &[Request, Send(good())])]);
    for arrival in [
        Arrival::Closed { users: 8, ramp_s: 0.0 },
        Arrival::Closed { users: 100, ramp_s: 0.05 },
        Arrival::Constant { rate_rps: 500.0 },
        Arrival::Poisson { rate_rps: 500.0 },
    ] {
        server.requests.lock().unwrap().clear();
        let mut plan = plan(server.address);
        (plan.load.arrival, plan.load.requests) = (arrival.clone(), Some(37));
        let (rows, outcome) = run(&plan);
        let indexes: Vec<u64> = rows.iter().map(|f| f.row.index).collect();
        assert_eq!(indexes, (0..37).collect::<Vec<u64>>(), "{arrival:?}");
        assert!(rows.iter().all(|f| f.row.status == Status::Ok));
        assert_eq!((server.requests.lock().unwrap().len(), outcome.unsent), (37, 0));
    }
}

/// An open loop's schedule is kept whatever the answers do, and is not made up for afterwards.
#[test]
fn an_open_loop_keeps_its_schedule() {
    let server = serve(vec![again(60, &[Request, Send(good())])]);
    let mut plan = plan(server.address);
    plan.load.arrival = Arrival::Constant { rate_rps: 100.0 };
    (plan.load.requests, plan.load.duration_s) = (None, Some(0.3));
    let (rows, outcome) = run(&plan);
    // The thirtieth at 0.29 s; a machine that stands still may not come so far.
    assert!(!rows.is_empty() && rows.len() as u64 + outcome.unsent <= 30);
    for f in &rows {
        let offset = f.row.scheduled_unix_ns.seconds_since(outcome.begun_unix_ns);
        assert!((offset - f.row.index as f64 / 100.0).abs() < 1e-6, "{offset}");
    }
}

/// Held back by the limit of concurrency until the end: never sent, and counted.
#[test]
fn what_was_never_sent_is_counted_and_not_sent_late() {
    let server = serve(vec![vec![Request, Hold]]);
    let mut plan = plan(server.address);
    plan.load.arrival = Arrival::Constant { rate_rps: 100.0 };
    plan.load.max_concurrency = Some(2);
    (plan.load.requests, plan.load.duration_s, plan.load.grace_period_s) = (None, Some(0.3), 0.1);
    let (rows, outcome) = run(&plan);
    assert!(rows.len() <= 2 && outcome.unsent > 0 && rows.len() as u64 + outcome.unsent <= 30, "{outcome:?}");
    assert!(rows.iter().all(|f| f.row.status == Status::InFlight));
    assert!(server.requests.lock().unwrap().len() <= 2);
}

#[test]
fn a_limit_of_concurrency_shows_as_lateness() {
    let script = again(20, &[Request, Pause, Send(good())]);
    let server = serve(vec![script]);
    let mut plan = plan(server.address);
    plan.load.arrival = Arrival::Constant { rate_rps: 1000.0 };
    (plan.load.max_concurrency, plan.load.requests) = (Some(1), Some(6));
    let (rows, _) = run(&plan);
    assert_eq!(rows.len(), 6);
    // Scheduled a millisecond apart, answered 20 ms apart, one after another.
    let mut by_start: Vec<_> = rows.iter().map(|f| &f.row).collect();
    by_start.sort_by_key(|row| row.started_unix_ns);
    assert!(by_start.windows(2).all(|w| w[0].done_unix_ns <= w[1].started_unix_ns));
    let last = by_start.last().unwrap();
    assert!(last.started_unix_ns.seconds_since(last.scheduled_unix_ns) > 0.05);
    assert!(last.ttft_scheduled_s > last.ttft_s);
}

#[test]
fn a_server_that_is_gone_gives_rows_and_no_storm() {
    let mut plan = plan(closed_port());
    plan.load.arrival = Arrival::Closed { users: 2, ramp_s: 0.0 };
    (plan.load.requests, plan.load.duration_s) = (None, Some(0.5));
    let (rows, _) = run(&plan);
    assert!(!rows.is_empty() && rows.len() < 40, "{}", rows.len());
    for f in &rows {
        assert_eq!(f.row.status, Status::ConnectError);
        assert!(f.row.error.as_ref().unwrap().starts_with("could not connect to 127.0.0.1:"));
        assert!(f.row.send_begin_unix_ns.is_none() && f.row.connect_begin_unix_ns.is_some());
    }
}
