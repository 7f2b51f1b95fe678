//! The load against a server that sends exactly the bytes it is told to: framings, cuts, leftovers,
//! kept connections, refusals and silences, each of which must end in exactly one row that says so.

mod connections;
mod ends;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tare::config::{Arrival, Connections, Load, Stamps};
use tare::load::openai::BodyOptions;
use tare::load::{self, Live, Outcome, Plan, Requests};
use tare::net::HttpUrl;
use tare::record::share::Share;
use tare::record::{Endpoint, Finished, Prompt, PromptKind, StampSource, Status};
use tokio_util::sync::CancellationToken;

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
