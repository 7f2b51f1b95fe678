//! Which connections are kept, and what is sent again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Step::{Hold, Pause, Read as Request, Reset, Send};
use tare::load;
use tare::record::{Connection, Status};
use tokio_util::sync::CancellationToken;

use super::{finish, good, plan, run, serve, token};

#[test]
fn connections_are_kept_where_that_is_lawful_and_only_there() {
    let excess = [good(), b"HTTP/1.1 200 OK\r\n".to_vec()].concat();
    let closes =
        String::from_utf8(good()).unwrap().replacen("\r\n", "\r\nConnection: close\r\n", 1).into_bytes();
    let body = [token(1), finish()].concat();
    let head10 = |more: &str| {
        format!(
            "HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n{more}\r\n{body}",
            body.len()
        )
    };
    for (name, first, kept) in [
        ("kept", good(), true),
        ("Connection: close", closes, false),
        ("more than one answer", excess, false),
        ("HTTP/1.0", head10("").into_bytes(), false),
        ("HTTP/1.0 keep-alive", head10("Connection: keep-alive\r\n").into_bytes(), true),
    ] {
        let script = vec![Request, Send(first), Request, Send(good()), Hold];
        let server = serve(vec![script, vec![Request, Send(good()), Hold]]);
        let mut plan = plan(server.address);
        plan.load.requests = Some(2);
        let (rows, _) = run(&plan);
        assert!(rows.iter().all(|f| f.row.status == Status::Ok), "{name}: {:?}", rows[0].row.error);
        let second = &rows[1].row;
        assert_eq!(second.connection, if kept { Connection::Reused } else { Connection::New }, "{name}");
        assert_eq!(second.connect_begin_unix_ns.is_none(), kept, "{name}");
        assert_eq!(rows[0].row.local_port == second.local_port, kept, "{name}");
    }
}

#[test]
fn a_kept_connection_that_died_costs_no_request() {
    // Closed while idle, or at the moment of the next request: with an end, or with a reset.
    for dies in [vec![Pause], vec![Request], vec![Request, Reset]] {
        let first = [vec![Request, Send(good())], dies].concat();
        let server = serve(vec![first, vec![Request, Send(good()), Hold]]);
        let mut plan = plan(server.address);
        plan.load.requests = Some(2);
        let (rows, _) = run(&plan);
        assert!(rows.iter().all(|f| f.row.status == Status::Ok), "{:?}", rows[1].row.error);
        assert_ne!(rows[1].row.connection, Connection::Reused);
        assert_ne!(rows[0].row.local_port, rows[1].row.local_port);
    }
}

/// A new connection that dies is the server's failure, and so is one that dies within the answer.
#[test]
fn nothing_else_is_sent_twice() {
    let server = serve(vec![
        vec![Request, Reset],
        vec![Request, Send(good()), Request, Send(b"HTTP/1.1 200".to_vec())],
    ]);
    let mut plan = plan(server.address);
    plan.load.requests = Some(3);
    let (rows, _) = run(&plan);
    let statuses: Vec<Status> = rows.iter().map(|f| f.row.status).collect();
    assert_eq!(statuses, [Status::ConnectError, Status::Ok, Status::ConnectError]);
    assert_eq!(server.requests.lock().unwrap().len(), 3);
}

#[test]
fn a_server_that_does_not_know_continuous_usage_is_asked_without_it() {
    let refusal = "{\"error\":{\"message\":\"stream_options: extra fields not permitted\"}}";
    let refused = format!("HTTP/1.1 422 No\r\ncontent-length: {}\r\n\r\n{refusal}", refusal.len());
    let script =
        vec![Request, Send(refused.into_bytes()), Request, Send(good()), Request, Send(good()), Hold];
    let server = serve(vec![script]);
    let mut plan = plan(server.address);
    plan.load.requests = Some(2);
    Arc::get_mut(&mut plan.requests).unwrap().continuous_usage = AtomicBool::new(true);
    let (rows, outcome) = run(&plan);
    assert!(rows.iter().all(|f| f.row.status == Status::Ok));
    assert_eq!(outcome.refused_usage, 1);
    let asked: Vec<bool> =
        server.requests.lock().unwrap().iter().map(|r| r.contains("continuous_usage_stats")).collect();
    assert_eq!(asked, [true, false, false]);
    assert!(!plan.requests.continuous_usage.load(Ordering::Relaxed));
}

#[test]
fn a_warm_up_that_is_refused_for_that_is_sent_again_too() {
    let refusal = "HTTP/1.1 400 No\r\ncontent-length: 35\r\n\r\nunknown field continuous_usage_stat";
    let server =
        serve(vec![vec![Request, Send(refusal.into()), Request, Send(good()), Request, Send(good()), Hold]]);
    let mut plan = plan(server.address);
    plan.load.warmups = 2;
    Arc::get_mut(&mut plan.requests).unwrap().continuous_usage = AtomicBool::new(true);
    let rows = load::warm_up(&plan, 0, &CancellationToken::new()).unwrap();
    assert_eq!(rows.iter().map(|row| row.status).collect::<Vec<_>>(), [Status::Ok, Status::Ok]);
}
