//! One HTTP/1.1 connection at the level of its socket: reads requests, writes bytes, stamps both as
//! close to the system call as a program can. It is written by hand for those stamps: what a client
//! measures is checked against them. This file must not know what is asked or answered.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

use crate::clock::UnixNs;

use super::head::{Head, HeadError, Parsed, parse_head};

/// A request's head may have this many bytes, as with the real server's parser.
const MAX_HEAD: usize = 64 * 1024;
/// A body may have this many.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A connection and the bytes read from it that nobody has used yet.
pub struct Wire {
    stream: TcpStream,
    inbox: Vec<u8>,
    /// Writes that had to wait for room in the socket's buffer.
    pub blocked_writes: u32,
}

/// A request as it was read.
pub struct Incoming {
    pub head: Head,
    pub body: Vec<u8>,
    pub first_byte: UnixNs,
    /// The head had been read; and the whole request.
    pub head_read: UnixNs,
    pub read: UnixNs,
}

/// Why there is no (further) request.
#[derive(Debug)]
pub enum Closed {
    /// The client closed, or left it idle for too long.
    Quietly,
    /// It is not HTTP, or too much of it.
    Invalid(&'static str),
}

impl From<io::Error> for Closed {
    fn from(_: io::Error) -> Self {
        Closed::Quietly
    }
}

impl Wire {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, inbox: Vec::with_capacity(8 * 1024), blocked_writes: 0 }
    }

    /// The next request; `idle` is how long the client may take to begin it.
    pub async fn next_request(&mut self, idle: Option<Duration>) -> Result<Incoming, Closed> {
        let first_byte = self.wait_for_bytes(idle).await?;
        let head = loop {
            match parse_head(&self.inbox) {
                Ok(Parsed::Complete { head, length }) => {
                    self.inbox.drain(..length);
                    break head;
                }
                Ok(Parsed::Partial) if self.inbox.len() < MAX_HEAD => {
                    self.read_some().await?;
                }
                Ok(Parsed::Partial) | Err(HeadError) => {
                    return Err(Closed::Invalid("Invalid HTTP request received."));
                }
            }
        };
        let head_read = UnixNs::now();
        if head.expects_continue {
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let body = if head.chunked {
            self.chunked_body().await?
        } else {
            self.sized_body(head.content_length).await?
        };
        Ok(Incoming { head, body, first_byte, head_read, read: UnixNs::now() })
    }

    /// Writes all of it; returns the moment just before the socket took the first byte.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<UnixNs> {
        let mut left = bytes;
        let mut first = None;
        while !left.is_empty() {
            let now = UnixNs::now();
            match self.stream.try_write(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    first.get_or_insert(now);
                    left = left.get(written..).unwrap_or_default();
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked_writes += 1;
                    self.stream.writable().await?;
                }
                Err(e) => return Err(e),
            }
        }
        Ok(first.unwrap_or_else(UnixNs::now))
    }

    /// Returns when the client has closed its side. Bytes of a next request are kept meanwhile.
    pub async fn hung_up(&mut self) {
        while self.inbox.len() < MAX_HEAD {
            if self.read_some().await.is_err() {
                return;
            }
        }
        // It sends and sends without waiting for an answer; it will notice when that is over.
        std::future::pending::<()>().await;
    }

    /// Returns when the first bytes of a request had come. Only a read tells: the runtime may still
    /// hold the socket for readable from before.
    async fn wait_for_bytes(&mut self, idle: Option<Duration>) -> Result<UnixNs, Closed> {
        if !self.inbox.is_empty() {
            return Ok(UnixNs::now());
        }
        let first = self.read_some();
        match idle {
            None => Ok(first.await?),
            Some(idle) => Ok(tokio::time::timeout(idle, first).await.map_err(|_| Closed::Quietly)??),
        }
    }

    /// Reads what is there, waiting for something; returns when that was found to be there, an error
    /// when the client has closed.
    async fn read_some(&mut self) -> io::Result<UnixNs> {
        loop {
            self.stream.readable().await?;
            let now = UnixNs::now();
            self.inbox.reserve(4 * 1024);
            match self.stream.try_read_buf(&mut self.inbox) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => return Ok(now),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }

    async fn sized_body(&mut self, length: u64) -> Result<Vec<u8>, Closed> {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_BODY {
            return Err(Closed::Invalid("Request body too large."));
        }
        self.inbox.reserve(length.saturating_sub(self.inbox.len()));
        while self.inbox.len() < length {
            self.read_some().await?;
        }
        Ok(self.take(length))
    }

    async fn chunked_body(&mut self) -> Result<Vec<u8>, Closed> {
        let mut body = Vec::new();
        loop {
            let size_line = self.line().await?;
            let digits = size_line.split(|b| *b == b';').next().unwrap_or_default();
            let size =
                std::str::from_utf8(digits).ok().and_then(|d| usize::from_str_radix(d.trim(), 16).ok());
            let Some(size) = size.filter(|size| *size <= MAX_BODY.saturating_sub(body.len())) else {
                return Err(Closed::Invalid("Invalid HTTP request received."));
            };
            if size == 0 {
                // Trailers end with an empty line.
                while !self.line().await?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.sized_body(size as u64).await?);
            if !self.line().await?.is_empty() {
                return Err(Closed::Invalid("Invalid HTTP request received."));
            }
        }
    }

    /// The next line without its end.
    async fn line(&mut self) -> Result<Vec<u8>, Closed> {
        loop {
            if let Some(end) = self.inbox.iter().position(|b| *b == b'\n') {
                let mut line = self.take(end + 1);
                line.truncate(line.len() - 1);
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            if self.inbox.len() > MAX_HEAD {
                return Err(Closed::Invalid("Invalid HTTP request received."));
            }
            self.read_some().await?;
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.inbox.split_off(length.min(self.inbox.len()));
        std::mem::replace(&mut self.inbox, rest)
    }
}
