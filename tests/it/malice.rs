//! A server that means no good: well-behaved but on one path, where it does one thing of a table. What is
//! sent is made here byte by byte; nothing of the program is used.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What is done with one request.
#[derive(Clone)]
pub enum Act {
    /// Sends this, and closes.
    Send(Vec<u8>),
    /// Sends the first, then the second for as long as it is taken.
    Flood(Vec<u8>, Vec<u8>),
    /// The same, slowly.
    Drip(Vec<u8>, Vec<u8>),
}

/// A path, and every how many requests to it something is done.
#[derive(Clone, Copy)]
pub struct Place {
    pub path: &'static str,
    pub every: usize,
}

pub const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
pub const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
pub const TOKEN: &str = "data: {\"id\":\"r\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"t\"}}]}\n\n";
pub const END: &str =
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// A JSON answer that says how long it is.
pub fn json(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let n = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {n}\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

/// A page of text.
pub fn page(headers: &str, body: &[u8]) -> Vec<u8> {
    let n = body.len();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {n}\r\n{headers}\r\n");
    [head.as_bytes(), body].concat()
}

/// A whole streamed answer of two tokens, with this usage, chunked, so that the connection can go on.
pub fn answer(usage: &str) -> Vec<u8> {
    let usage = format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n");
    let body = format!("{TOKEN}{TOKEN}{usage}{END}");
    format!("{CHUNKED}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes()
}

/// The server, at this address for as long as the test runs.
pub fn serve(place: Place, act: Act) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let act = Arc::new(act);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let (asked, act) = (Arc::clone(&asked), Arc::clone(&act));
            std::thread::spawn(move || exchange(stream, place, &act, &asked));
        }
    });
    address
}

fn exchange(mut stream: TcpStream, place: Place, act: &Act, asked: &AtomicUsize) {
    stream.set_nodelay(true).unwrap();
    while let Some(path) = request(&mut stream) {
        if path == place.path && asked.fetch_add(1, Ordering::SeqCst).is_multiple_of(place.every) {
            // It ends when the client has had enough.
            let _ = play(&mut stream, act);
            return;
        }
        let answered = match path.as_str() {
            "/v1/models" => stream.write_all(&json("200 OK", "", "{\"data\":[{\"id\":\"tiny\"}]}")),
            "/version" => stream.write_all(&json("200 OK", "", "{\"version\":\"0.32.0\"}")),
            "/metrics" => stream.write_all(&page("", b"vllm:num_requests_running 0\n")),
            "/v1/chat/completions" => {
                stream.write_all(&answer("{\"prompt_tokens\":7,\"completion_tokens\":2}"))
            }
            _ => stream.write_all(&json("404 Not Found", "", "{}")),
        };
        if answered.is_err() {
            return;
        }
    }
}

fn play(stream: &mut TcpStream, act: &Act) -> std::io::Result<()> {
    match act {
        Act::Send(bytes) => stream.write_all(bytes),
        Act::Flood(head, unit) => {
            stream.write_all(head)?;
            let many = unit.repeat(65_536 / unit.len().max(1));
            loop {
                stream.write_all(&many)?;
            }
        }
        Act::Drip(head, unit) => {
            stream.write_all(head)?;
            loop {
                std::thread::sleep(Duration::from_millis(20));
                stream.write_all(unit)?;
            }
        }
    }
}

/// Reads one request; its path. `None` when the client has closed.
fn request(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.to_ascii_lowercase().lines().find_map(|line| {
        line.strip_prefix("content-length:").map(|value| value.trim().parse::<usize>().unwrap())
    });
    stream.read_exact(&mut vec![0; length.unwrap_or(0)]).ok()?;
    head.split(' ').nth(1).map(str::to_owned)
}
