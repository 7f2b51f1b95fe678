//! The load against a server that sends exactly the bytes it is told to: framings, cuts, leftovers,
//! kept connections, refusals and silences, each of which must end in exactly one row that says so.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tare::config::{Arrival, Connections, Load, Stamps};
use tare::load::openai::BodyOptions;
use tare::load::{self, Live, Outcome, Plan, Requests};
use tare::net::HttpUrl;
use tare::record::share::Share;
use tare::record::{Connection, Endpoint, Finished, Prompt, PromptKind, StampSource, Status};
use tokio_util::sync::CancellationToken;

use crate::support::closed_port;

/// What the server does on one connection, step by step.
#[derive(Clone)]
pub enum Step {
    /// Reads a whole request.
    Read,
    Send(Vec<u8>),
    /// Sends byte by byte, each on its own.
    Dribble(Vec<u8>),
    /// Lets what was sent be read on its own.
    Pause,
    /// Sends for as long as the client takes it.
    Flood(Vec<u8>),
    /// Keeps the connection until the client has closed it.
    Hold,
    /// Closes with a reset.
    Reset,
}
use Step::{Dribble, Flood, Hold, Pause, Read as Request, Reset, Send};

const SSE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const SSE_UNTIL_CLOSE: &str = "HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n";
const DONE: &str = "data: [DONE]\n\n";

fn token(n: usize) -> String {
    format!(
        "data: {{\"id\":\"r\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"t{n}\"}},\"finish_reason\":null}}]}}\n\n"
    )
}

fn finish() -> String {
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n".to_owned()
}

fn usage(n: u32) -> String {
    format!("data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":{n}}}}}\n\n")
}

fn chunk(body: &str) -> Vec<u8> {
    format!("{:x}\r\n{body}\r\n", body.len()).into_bytes()
}

/// A good answer of two tokens, chunked.
pub fn good() -> Vec<u8> {
    [
        SSE.as_bytes().to_vec(),
        chunk(&token(1)),
        chunk(&token(2)),
        chunk(&finish()),
        chunk(&usage(2)),
        chunk(DONE),
        b"0\r\n\r\n".to_vec(),
    ]
    .concat()
}

fn again(times: usize, steps: &[Step]) -> Vec<Step> {
    vec![steps; times].concat()
}

/// A server that plays one script after another, a connection each, and the last one for ever.
pub struct Scripted {
    pub address: SocketAddr,
    pub requests: Arc<Mutex<Vec<String>>>,
}

pub fn serve(scripts: Vec<Vec<Step>>) -> Scripted {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&requests);
    std::thread::spawn(move || {
        let mut connections = 0;
        while let Ok((stream, _)) = listener.accept() {
            let Some(script) = scripts.get(connections).or(scripts.last()).cloned() else { return };
            connections += 1;
            let seen = Arc::clone(&seen);
            std::thread::spawn(move || play(stream, &script, &seen));
        }
    });
    Scripted { address, requests }
}

fn play(mut stream: TcpStream, script: &[Step], seen: &Mutex<Vec<String>>) {
    stream.set_nodelay(true).unwrap();
    for step in script {
        let went = match step {
            Request => match read_request(&mut stream) {
                Some(request) => {
                    seen.lock().unwrap().push(request);
                    Ok(())
                }
                None => return,
            },
            Send(bytes) => stream.write_all(bytes),
            Dribble(bytes) => bytes.iter().try_for_each(|byte| stream.write_all(&[*byte])),
            Pause => {
                std::thread::sleep(Duration::from_millis(20));
                Ok(())
            }
            Flood(bytes) => loop {
                if stream.write_all(bytes).is_err() {
                    return;
                }
            },
            Hold => stream.read_to_end(&mut Vec::new()).map(|_| ()),
            Reset => {
                let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
                setsockopt(&stream, sockopt::Linger, &linger).unwrap();
                return;
            }
        };
        if went.is_err() {
            return;
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// Head and body; `None` when the client closed first.
pub fn read_request(stream: &mut TcpStream) -> Option<String> {
    let (mut got, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let text = String::from_utf8_lossy(&got).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.strip_prefix("Content-Length: ")?.parse::<usize>().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return Some(text);
            }
        }
        let n = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        got.extend_from_slice(&buffer[..n]);
    }
}

/// One user, one request, patient; changed by each test as it needs.
pub fn plan(address: SocketAddr) -> Plan {
    let prompt = Prompt {
        kind: PromptKind::Text("hello".to_owned()),
        max_tokens: Some(8),
        chars: 5,
        approx_tokens: 2,
        ..Prompt::default()
    };
    Plan {
        address,
        moves: None,
        requests: Arc::new(Requests {
            prompts: vec![prompt].into(),
            options: BodyOptions {
                endpoint: Endpoint::Chat,
                model: "m".to_owned(),
                stream: true,
                temperature: None,
                top_p: None,
                ignore_eos: false,
                extra_body: serde_json::Map::new(),
            },
            target: HttpUrl::parse(&format!("http://{address}")).unwrap(),
            path: "/v1/chat/completions".to_owned(),
            headers: Vec::new(),
            api_key: None,
            id_prefix: "t-".to_owned(),
            nonce: 1,
            continuous_usage: AtomicBool::new(false),
            bodies: load::Bodies::default(),
            leg: None,
            history: None,
        }),
        load: Load {
            arrival: Arrival::Closed { users: 1, ramp_s: 0.0 },
            requests: Some(1),
            duration_s: None,
            grace_period_s: 60.0,
            timeout_s: 60.0,
            connect_timeout_s: 60.0,
            warmups: 0,
            max_concurrency: None,
            stamps: Stamps::Auto,
            connections: Connections::Cold,
            source_addresses: Vec::new(),
            threads: None,
            affinity: None,
            request_id_prefix: "t-".to_owned(),
            keep_texts: false,
        },
        seed: 0,
        tls: None,
        stamps: StampSource::Kernel,
        leg: None,
        share: Share::WHOLE,
        start: None,
    }
}

/// Runs the plan; the rows in the order in which they were scheduled.
pub fn run(plan: &Plan) -> (Vec<Finished>, Outcome) {
    run_until(plan, &CancellationToken::new())
}

fn run_until(plan: &Plan, interrupt: &CancellationToken) -> (Vec<Finished>, Outcome) {
    let (sink, rows) = mpsc::channel();
    let live = Arc::new(Live::default());
    let outcome = load::run(plan, sink, Arc::clone(&live), interrupt).unwrap();
    let mut rows: Vec<Finished> = rows.into_iter().collect();
    rows.sort_by_key(|f| f.row.index);
    // Every request that was sent has one row, and the counters say the same.
    let mut ids: Vec<&str> = rows.iter().map(|f| f.row.request_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), rows.len());
    assert_eq!(outcome.sent, rows.len() as u64);
    assert_eq!(live.in_flight(), 0);
    for finished in &rows {
        hold_to_the_rules(finished);
    }
    (rows, outcome)
}

/// What is true of every row, however its request ended.
fn hold_to_the_rules(finished: &Finished) {
    let row = &finished.row;
    assert_eq!(row.n_events as usize, finished.events.len());
    assert!(row.scheduled_unix_ns <= row.started_unix_ns && row.started_unix_ns <= row.done_unix_ns);
    assert!(row.send_begin_unix_ns.is_none_or(|t| row.started_unix_ns <= t));
    for event in &finished.events {
        assert!(event.stamp_lo_unix_ns <= event.stamp_hi_unix_ns, "{event:?}");
        assert!(event.stamp_hi_unix_ns <= event.user_unix_ns, "{event:?}");
        assert!(row.send_begin_unix_ns.is_some_and(|t| t <= event.stamp_hi_unix_ns), "{event:?}");
    }
    assert!(finished.events.is_sorted_by_key(|e| e.stamp_hi_unix_ns));
    assert_eq!(row.status == Status::Ok, row.error.is_none() && row.status != Status::InFlight, "{row:?}");
    assert_eq!(row.e2e_s.is_some(), row.status == Status::Ok && row.last_token_unix_ns.is_some());
}

/// The one row of one request answered by `steps`.
fn answer(steps: Vec<Step>) -> Finished {
    let server = serve(vec![[vec![Request], steps].concat()]);
    let (mut rows, _) = run(&plan(server.address));
    assert_eq!(rows.len(), 1);
    rows.remove(0)
}

fn sent(parts: &[&[u8]]) -> Step {
    Send(parts.concat())
}

#[test]
fn a_good_answer_is_read_in_any_pieces() {
    let whole = answer(vec![Send(good()), Hold]);
    let dribbled = answer(vec![Dribble(good()), Hold]);
    for f in [whole, dribbled] {
        assert_eq!(
            (f.row.status, f.row.n_events, f.row.output_tokens, f.row.input_tokens),
            (Status::Ok, 2, Some(2), Some(7))
        );
        assert_eq!((f.row.finish_reason.as_deref(), f.row.response_id.as_deref()), (Some("stop"), Some("r")));
        assert!(f.row.ttft_s.is_some() && f.row.itl_mean_s.is_some() && f.row.tpot_s.is_some());
        // Counted only at the end: never guessed for an event.
        assert!(f.events.iter().all(|e| e.tokens.is_none()));
    }
}

#[test]
fn framing_of_every_lawful_kind_is_understood() {
    let body = [token(1), finish(), DONE.to_owned()].concat();
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
    let with_extensions = [
        format!("{:X};name=\"v;w\"\r\n{body}\r\n", body.len()),
        "0;last\r\nx-checksum: 1\r\nx-more: 2\r\n\r\n".to_owned(),
    ]
    .concat();
    let with_length = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let http10 = format!("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{body}");
    let crlf = format!("{SSE_UNTIL_CLOSE}{}", body.replace('\n', "\r\n"));
    for (name, steps) in [
        ("interim", vec![sent(&[interim.as_bytes()]), Pause, Send(good()), Hold]),
        ("extensions", vec![sent(&[SSE.as_bytes(), with_extensions.as_bytes()]), Hold]),
        ("length", vec![sent(&[with_length.as_bytes()]), Hold]),
        ("HTTP/1.0", vec![sent(&[http10.as_bytes()])]),
        ("CRLF", vec![Dribble(crlf.into_bytes())]),
    ] {
        let f = answer(steps);
        assert_eq!(
            (f.row.status, f.row.error.as_deref(), f.row.http_status),
            (Status::Ok, None, Some(200)),
            "{name}"
        );
        assert!(f.row.n_events >= 1, "{name}");
    }
}

#[test]
fn a_cut_is_never_a_success() {
    let two = [chunk(&token(1)), chunk(&token(2))].concat();
    let ends_cleanly = answer(vec![sent(&[SSE.as_bytes(), &two, b"0\r\n\r\n"]), Hold]);
    let closes = answer(vec![sent(&[SSE.as_bytes(), &two])]);
    let until_close = answer(vec![sent(&[SSE_UNTIL_CLOSE.as_bytes(), token(1).as_bytes()])]);
    let reset = answer(vec![sent(&[SSE.as_bytes(), &two]), Pause, Reset]);
    let short = answer(vec![sent(&[
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"choices\":[",
    ])]);
    for (f, events) in [(&ends_cleanly, 2), (&closes, 2), (&until_close, 1), (&reset, 2), (&short, 0)] {
        assert_eq!((f.row.status, f.row.n_events), (Status::Cut, events), "{:?}", f.row.error);
        assert!(f.row.e2e_s.is_none());
    }
    // What says that the answer is whole counts, whatever became of the connection after it.
    let finished = answer(vec![sent(&[SSE.as_bytes(), &two, &chunk(&finish())]), Pause, Reset]);
    assert_eq!((finished.row.status, finished.row.output_tokens), (Status::Ok, None));
}

#[test]
fn what_is_not_the_api_is_said_to_be_so() {
    let json = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let gzip = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n\u{1f}";
    let error_event = "data: {\"error\":{\"message\":\"engine died\",\"code\":500}}\n\n";
    for (bytes, status, says) in [
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), Status::DecodeError, "expected an HTTP/1.x response head"),
        (json("<html>").into_bytes(), Status::DecodeError, "expected a JSON chunk, found `<html>`"),
        (json("").into_bytes(), Status::DecodeError, "expected a JSON chunk"),
        (gzip.as_bytes().to_vec(), Status::DecodeError, "`content-encoding: gzip`"),
        (json("{\"error\":\"overloaded\"}").into_bytes(), Status::StreamError, "overloaded"),
        (
            [SSE.as_bytes(), &chunk(&token(1)), &chunk("data: {broken\n\n"), &chunk(DONE), b"0\r\n\r\n"]
                .concat(),
            Status::DecodeError,
            "{broken",
        ),
        (
            [SSE.as_bytes(), &chunk(&token(1)), &chunk(error_event), &chunk(DONE), b"0\r\n\r\n"].concat(),
            Status::StreamError,
            "engine died",
        ),
        (b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy".to_vec(), Status::HttpError, "HTTP 503: busy"),
        (b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), Status::DecodeError, "expected a JSON chunk"),
        (Vec::new(), Status::ConnectError, "closed the connection before the answer"),
    ] {
        let f = answer(vec![Send(bytes)]);
        let error = f.row.error.unwrap();
        assert!(f.row.status == status && error.contains(says), "{:?}: {error}", f.row.status);
    }
}

#[test]
fn an_answer_that_is_no_stream_is_timed_as_a_whole() {
    let body = "{\"id\":\"r\",\"choices\":[{\"index\":0,\"message\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5}}";
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let f = answer(vec![Send(head.into_bytes()), Pause, Dribble(body.as_bytes().to_vec()), Hold]);
    assert_eq!(
        (f.row.status, f.row.output_tokens, f.row.n_events, f.row.ttft_s),
        (Status::Ok, Some(5), 0, None)
    );
    assert!(f.row.e2e_s.is_some() && f.row.user_throughput_tps.is_some());
}

/// One write of far more than a read takes: nothing is lost, and no more than the last is exact.
#[test]
fn a_flood_of_tokens_is_counted_to_the_last() {
    let events: Vec<Vec<u8>> = (0..20_000).map(|n| chunk(&token(n))).collect();
    let f = answer(vec![
        sent(&[SSE.as_bytes(), &events.concat()]),
        sent(&[&chunk(&finish()), b"0\r\n\r\n"]),
        Hold,
    ]);
    assert_eq!(f.row.n_events, 20_000);
    let inside = f.events.windows(2).filter(|w| w[0].user_unix_ns == w[1].user_unix_ns);
    assert!(inside.clone().count() > 10_000);
    for pair in inside {
        assert!(
            pair[0].stamp_lo_unix_ns < pair[0].stamp_hi_unix_ns,
            "not the last of its read, and exact: {pair:?}"
        );
        assert_eq!(pair[0].stamp_hi_unix_ns, pair[1].stamp_hi_unix_ns);
    }
}

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
