//! A small HTTP client that keeps what came over the wire: heads line by line, bodies chunk by chunk.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A response as it came.
#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    pub status_line: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// One per HTTP chunk; empty for a body with a length.
    pub chunks: Vec<String>,
    /// The body ended as HTTP wants it.
    pub complete: bool,
}

/// A connection and what was read from it beyond the last response.
pub struct Client {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("UTF-8")
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.text()))
    }

    /// The JSON of every event but `[DONE]`.
    pub fn events(&self) -> Vec<serde_json::Value> {
        let data = self.chunks.iter().filter_map(|c| c.strip_prefix("data: "));
        data.filter(|d| d.trim() != "[DONE]").map(|d| serde_json::from_str(d).expect("JSON")).collect()
    }

    pub fn is_done(&self) -> bool {
        self.chunks.last().is_some_and(|c| c == "data: [DONE]\n\n")
    }

    /// The text of a streamed answer.
    pub fn answer(&self) -> String {
        self.events()
            .iter()
            .filter_map(|e| {
                let choice = e["choices"].get(0)?;
                choice["text"].as_str().or_else(|| choice["delta"]["content"].as_str()).map(str::to_owned)
            })
            .collect()
    }

    /// Of a response captured whole; the connection was closed after it.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut response = Self::default();
        let end = head_end(bytes).expect("a head");
        response.read_head(&bytes[..end]);
        let mut rest = &bytes[end..];
        if response.header("transfer-encoding") == Some("chunked") {
            while let Some((chunk, left)) = split_chunk(rest) {
                rest = left;
                if response.take_chunk(chunk) {
                    break;
                }
            }
        } else {
            response.body = rest.to_vec();
            response.complete = true;
        }
        response
    }

    fn read_head(&mut self, head: &[u8]) {
        let text = std::str::from_utf8(head).expect("ASCII");
        let mut lines = text.trim_end().split("\r\n");
        self.status_line = lines.next().expect("a status line").to_owned();
        self.status = self.status_line.split(' ').nth(1).expect("a status").parse().expect("a number");
        self.headers = lines
            .map(|l| l.split_once(": ").map(|(n, v)| (n.to_owned(), v.to_owned())).expect("a header"))
            .collect();
    }

    /// `true` for the last one.
    fn take_chunk(&mut self, chunk: &[u8]) -> bool {
        if chunk.is_empty() {
            self.complete = true;
            return true;
        }
        self.body.extend_from_slice(chunk);
        self.chunks.push(String::from_utf8(chunk.to_vec()).expect("UTF-8 within each event"));
        false
    }
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("connect"), buffer: Vec::new() }
    }

    pub fn port(&self) -> u16 {
        self.stream.local_addr().expect("an address").port()
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("send");
    }

    /// A request with a JSON body on this connection, and its response.
    pub async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        self.send(&post_bytes(path, headers, body)).await;
        self.response().await
    }

    pub async fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n").as_bytes()).await;
        self.response().await
    }

    /// Reads one response; what comes after it stays for the next.
    pub async fn response(&mut self) -> Response {
        let mut response = Response::default();
        let Some(end) = self.until(head_end).await else {
            return response;
        };
        response.read_head(&self.buffer[..end]);
        self.buffer.drain(..end);
        if response.header("transfer-encoding") == Some("chunked") {
            while self.until(|b| split_chunk(b).map(|_| 0)).await.is_some() {
                let (chunk, rest) = split_chunk(&self.buffer).expect("just seen");
                let (chunk, used) = (chunk.to_vec(), self.buffer.len() - rest.len());
                self.buffer.drain(..used);
                if response.take_chunk(&chunk) {
                    break;
                }
            }
        } else {
            let length = response.header("content-length").map_or(0, |l| l.parse().expect("a number"));
            response.complete = self.until(|b| (b.len() >= length).then_some(0)).await.is_some();
            response.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        }
        response
    }

    /// Reads until an event with this text has come.
    pub async fn until_event(&mut self, text: &str) {
        let found = self.until(|b| b.windows(text.len()).any(|w| w == text.as_bytes()).then_some(0)).await;
        assert!(found.is_some(), "closed before {text:?} came");
    }

    /// What is left when the server has closed.
    pub async fn rest(mut self) -> Vec<u8> {
        while self.read().await {}
        self.buffer
    }

    async fn until(&mut self, complete: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        loop {
            if let Some(at) = complete(&self.buffer) {
                return Some(at);
            }
            if !self.read().await {
                return None;
            }
        }
    }

    /// `false` when the server has closed.
    async fn read(&mut self) -> bool {
        self.stream.read_buf(&mut self.buffer).await.is_ok_and(|n| n > 0)
    }
}

/// A request with a JSON body as bytes.
pub fn post_bytes(path: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut lines = vec![
        format!("POST {path} HTTP/1.1"),
        "host: test".to_owned(),
        format!("content-length: {}", body.len()),
    ];
    lines.extend(headers.iter().map(|(name, value)| format!("{name}: {value}")));
    (lines.join("\r\n") + "\r\n\r\n" + body).into_bytes()
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)
}

/// The first chunk's content and what follows it, when it is all there.
fn split_chunk(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = bytes.windows(2).position(|w| w == b"\r\n")?;
    let size = std::str::from_utf8(&bytes[..line]).ok()?;
    assert_eq!(size, size.to_lowercase(), "sizes are in lower case");
    let size = usize::from_str_radix(size, 16).expect("a chunk size");
    let content = bytes.get(line + 2..line + 2 + size)?;
    let rest = bytes.get(line + 2 + size + 2..)?;
    Some((content, rest))
}
