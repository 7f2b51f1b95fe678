//! The tap between a client and a server: what passes is what was sent, however it ends; and what is
//! written down agrees with both sides' own records.

mod ends;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};

use insta::assert_snapshot;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;
use tare::mock::truth::TruthRow;
use tare::record::{RequestRow, Status};
use tare::store::{RunData, RunFolder};
use tare::tap::exchange::{End, Exchange, Passed, Unread};

use crate::program::{LookAlike, Place, filters};
use crate::support::wait_until;
use crate::wire::{self, Step, good};

/// Of three processes' readings of one clock.
const READING_NS: i64 = 20_000;
const ASK: &[u8] = b"POST /v1/chat/completions HTTP/1.1\r\nX-Request-Id: mine\r\nContent-Length: 2\r\n\r\n{}";

/// A tap as a process of its own; ended when dropped.
pub struct Tap {
    place: Place,
    child: Child,
    out: BufReader<ChildStdout>,
    pub address: SocketAddr,
}

impl Tap {
    pub fn start(upstream: &str) -> Self {
        let place = Place::new();
        let mut command =
            place.command(&format!("tap --listen 0 --upstream {upstream} --output {}", Self::FILE));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        out.read_line(&mut said).unwrap();
        let address = said.split_whitespace().nth(1).and_then(|word| word.parse().ok());
        Self { place, child, out, address: address.unwrap_or_else(|| panic!("no address in `{said}`")) }
    }

    const FILE: &str = "tap.jsonl";

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    pub fn file(&self) -> PathBuf {
        self.place.path(Self::FILE)
    }

    /// The rows so far; each line is whole.
    pub fn rows(&self) -> Vec<Exchange> {
        let text = std::fs::read_to_string(self.file()).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "{text}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn wait_for(&self, rows: usize) -> Vec<Exchange> {
        wait_until("the tap has written its rows", || self.rows().len() >= rows);
        self.rows()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// Ends it; its exit code and what it said after its first line.
    fn stop(&mut self) -> String {
        self.signal(Signal::SIGINT);
        let (mut out, mut err) = (String::new(), String::new());
        self.out.read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        let code = self.child.wait().unwrap().code();
        format!("exit code: {code:?}\n----- stdout\n{out}----- stderr\n{err}")
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A tap before a server that plays `steps` on each connection.
fn before(steps: &[Step]) -> Tap {
    Tap::start(&wire::serve(vec![steps.to_vec()]).address.to_string())
}

/// Closes with a reset.
fn reset(stream: TcpStream) {
    let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
    setsockopt(&stream, sockopt::Linger, &linger).unwrap();
    drop(stream);
}

/// While it lives, durations and counts that the machine decides are named.
#[must_use]
fn tap_filters() -> impl Sized {
    let outer = filters();
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"n \d+ reads; \d+ more", "n N reads; N more");
    // Whether the receiver had room at once is the machine's doing.
    settings.add_filter(r"; \d+ left out: there was no room at the receiver", "");
    (settings.bind_to_scope(), outer)
}

/// Each moment of each request lies where both sides say it must.
#[test]
fn every_exchange_agrees_with_client_and_server() {
    let place = Place::new();
    let truth = place.path("truth.jsonl");
    let server = LookAlike::start(&["--truth", truth.to_str().unwrap()]);
    let mut tap = Tap::start(&server.url);
    let said = place.tare(&format!(
        "run -q --base-url http://{} --users 12 --num-prompts 80 --random-input-len 12 --random-output-len 12 --ignore-eos --output run",
        tap.address
    ));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let requests = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap().requests.rows;
    assert_eq!(requests.iter().filter(|row| row.status == Status::Ok).count(), 80);
    tap.stop();
    let rows = tap.rows();
    wait_until("the truth is written", || truths(&truth).len() >= 80);
    let truths = truths(&truth);
    for request in &requests {
        let id = Some(request.request_id.as_str());
        let row: Vec<_> = rows.iter().filter(|row| row.request_id.as_deref() == id).collect();
        let truth = truths.iter().find(|row| row.x_request_id.as_deref() == id).unwrap();
        assert_eq!(row.len(), 1, "{request:?}");
        agrees(row[0], request, truth);
    }
    // The run's own questions (models, metrics) passed as well, and nothing else.
    assert!(rows.iter().all(|row| row.end == End::Complete), "{rows:?}");
    assert!(rows.iter().filter(|row| row.token_events > 0).count() == 80);
}

fn truths(path: &std::path::Path) -> Vec<TruthRow> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn agrees(row: &Exchange, request: &RequestRow, truth: &TruthRow) {
    assert_eq!(row.trace_id.as_deref(), Some(request.trace_id.as_str()));
    assert_eq!(row.response_id.as_deref(), Some(truth.request_id.as_str()));
    assert_eq!(row.client.port(), request.local_port.unwrap());
    assert_eq!(row.outgoing.unwrap().port(), truth.client_port, "the server knows the tap's port");
    assert_eq!((row.status, row.streamed, row.answer_whole), (Some(200), Some(true), Some(true)));
    assert_eq!(row.token_events, u64::from(request.n_events));
    let written: Vec<_> = truth.events.iter().filter(|event| event.1 > 0).map(|event| event.0).collect();
    let [first, last] = [row.first_token.unwrap(), row.last_token.unwrap()];
    let in_order = |what: &str, moments: [i64; 3]| {
        let is_sorted = moments[0] <= moments[1] + READING_NS && moments[1] <= moments[2] + READING_NS;
        assert!(is_sorted, "{what}: {moments:?}\n{row:?}\n{request:?}");
    };
    // The server wrote, the tap's kernel had it, the client's kernel had it.
    let (here, there) = (request.first_token_unix_ns.unwrap().0, written.first().unwrap().0);
    in_order("first token", [there, first.hi_unix_ns.0, here]);
    let (here, there) = (request.last_token_unix_ns.unwrap().0, written.last().unwrap().0);
    in_order("last token", [there, last.hi_unix_ns.0, here]);
    // The client began to send, the tap had it all, the server had it all.
    let [begun, asked] = [row.request_first.unwrap(), row.request_last.unwrap()];
    in_order("request", [request.send_begin_unix_ns.unwrap().0, asked.hi_unix_ns.0, truth.read_unix_ns.0]);
    let head = row.head.unwrap();
    in_order("head", [truth.head_unix_ns.unwrap().0, head.hi_unix_ns.0, request.head_unix_ns.unwrap().0]);
    let passed = [begun, asked, row.response_first.unwrap(), head, first, last, row.response_last.unwrap()];
    assert!(passed.is_sorted_by_key(|p: &Passed| p.hi_unix_ns), "{row:?}");
    assert!(passed.iter().all(|p| p.lo_unix_ns <= p.hi_unix_ns && p.hi_unix_ns <= p.written_unix_ns));
    assert!(row.accepted_unix_ns <= row.connected_unix_ns);
}

#[test]
fn what_passes_is_what_was_sent_both_ways() {
    // Echoes everything once the client has closed its way, which must reach it through the tap.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut tap = Tap::start(&listener.local_addr().unwrap().to_string());
    let echo = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&all).unwrap();
    });
    let sent: Vec<u8> = (0..5_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut client = tap.connect();
    client.write_all(&sent).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    client.read_to_end(&mut got).unwrap();
    assert!(got == sent, "{} bytes came back of {}", got.len(), sent.len());
    echo.join().unwrap();
    let row = tap.wait_for(1).remove(0);
    assert_eq!((row.end, row.unread), (End::Unread, Some(Unread::Request)));
    assert_eq!((row.request_bytes, row.response_bytes), (sent.len() as u64, sent.len() as u64));
    let _names = tap_filters();
    assert_snapshot!(tap.stop(), @r"
    exit code: Some(0)
    ----- stdout
    connections 1, not taken by the upstream 0
    exchanges 1: complete 0, cut by the upstream 0, aborted by the client 0, in flight 0, unread 1
    unread, but passed on: 1 (what the client sent is no HTTP/1.1 request, or one with a head over 64 KiB)
    added to the upstream (after the write − the kernel's stamp of the read): p50 TIME, p99 TIME, max TIME (n N reads; N more had no stamp)
    added to the client (after the write − the kernel's stamp of the read): p50 TIME, p99 TIME, max TIME (n N reads; N more had no stamp)
    ----- stderr
    stopping: exchanges in flight are written (again to end at once)
    ");
}

#[test]
fn many_exchanges_of_one_connection_are_told_apart() {
    let kept = [Step::Read, Step::Send(good())];
    let tap = before(&vec![kept; 20].concat());
    let mut client = tap.connect();
    for _ in 0..20 {
        client.write_all(ASK).unwrap();
        let mut answer = vec![0; good().len()];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, good());
    }
    let rows = tap.wait_for(20);
    for (n, row) in (1..).zip(&rows) {
        assert_eq!((row.connection, row.exchange, row.end), (1, n, End::Complete));
        assert_eq!((row.request_bytes, row.response_bytes), (ASK.len() as u64, good().len() as u64));
        assert_eq!((row.token_events, row.request_id.as_deref()), (2, Some("mine")));
    }
    let moments = rows.iter().flat_map(|row| [row.request_first, row.request_last, row.response_last]);
    assert!(moments.map(|passed| passed.unwrap().hi_unix_ns).is_sorted());
}

/// Byte by byte in both directions, and none waits for the next: the client sends each only when it
/// has the server's answer to the last.
#[test]
fn no_byte_waits_for_another() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let tap = Tap::start(&listener.local_addr().unwrap().to_string());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut byte = [0];
        let answer = good();
        for at in 0.. {
            if stream.read_exact(&mut byte).is_err() {
                return;
            }
            stream.write_all(&answer[at % answer.len()..=at % answer.len()]).unwrap();
        }
    });
    let mut client = tap.connect();
    for byte in ASK {
        client.write_all(&[*byte]).unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    drop(client);
    server.join().unwrap();
    let row = tap.wait_for(1).remove(0);
    assert_eq!(row.request_bytes, ASK.len() as u64);
    assert!(row.response_bytes >= ASK.len() as u64 - 1);
}
