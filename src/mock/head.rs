//! Heads of requests and responses as bytes: what of a request's head the server needs, and response
//! heads as uvicorn writes them. No I/O here; this file must not know sockets or endpoints.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};

use crate::config::Pose;

/// What matters of a request's head.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    pub content_length: u64,
    pub chunked: bool,
    pub expects_continue: bool,
    /// The connection is to be closed after the answer.
    pub close: bool,
    pub x_request_id: Option<String>,
    pub traceparent: Option<String>,
}

impl Head {
    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }
}

/// What the bytes so far amount to.
pub enum Parsed {
    Complete {
        head: Head,
        /// Bytes of the head.
        length: usize,
    },
    Partial,
}

/// The bytes are no HTTP/1 request.
#[derive(Debug)]
pub struct HeadError;

/// Reads a request's head from the front of `bytes`.
pub fn parse_head(bytes: &[u8]) -> Result<Parsed, HeadError> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(Parsed::Partial),
        Err(_) => return Err(HeadError),
    };
    let mut head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        close: request.version == Some(0),
        ..Head::default()
    };
    for header in request.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        let value = value.trim();
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" => head.content_length = value.parse().map_err(|_| HeadError)?,
            "transfer-encoding" => head.chunked = value.to_ascii_lowercase().ends_with("chunked"),
            "expect" => head.expects_continue = value.eq_ignore_ascii_case("100-continue"),
            "connection" => {
                let options = value.to_ascii_lowercase();
                let mut options = options.split(',').map(str::trim);
                head.close = if head.close {
                    !options.any(|o| o == "keep-alive")
                } else {
                    options.any(|o| o == "close")
                };
            }
            "x-request-id" => head.x_request_id = Some(value.to_owned()),
            "traceparent" => head.traceparent = Some(value.to_owned()),
            _ => {}
        }
    }
    Ok(Parsed::Complete { head, length })
}

/// A response's head in the making.
pub struct ResponseHead<'a> {
    pub status: u16,
    pub content_type: &'a str,
    /// `None`: the body comes in chunks.
    pub content_length: Option<usize>,
    /// Echoed, when the server does that.
    pub request_id: Option<&'a str>,
    pub allow: Option<&'a str>,
    pub close: bool,
    pub date: DateTime<Utc>,
    pub pose: Pose,
}

impl ResponseHead<'_> {
    /// The bytes, in the order in which uvicorn and the middlewares add headers.
    pub fn bytes(&self) -> Vec<u8> {
        if self.pose == Pose::LlamaCpp {
            return self.of_llama_cpp();
        }
        let date = self.date.format("%a, %d %b %Y %H:%M:%S GMT");
        let reason = reason(self.status);
        let mut text = format!("HTTP/1.1 {} {reason}\r\ndate: {date}\r\nserver: uvicorn\r\n", self.status);
        if let Some(allow) = self.allow {
            let _ = write!(text, "allow: {allow}\r\n");
        }
        if let Some(length) = self.content_length {
            let _ = write!(text, "content-length: {length}\r\n");
        }
        if !self.content_type.is_empty() {
            let _ = write!(text, "content-type: {}\r\n", self.content_type);
        }
        text.push_str("vary: Origin\r\n");
        if let Some(id) = self.request_id {
            let _ = write!(text, "x-request-id: {id}\r\n");
        }
        if self.close {
            text.push_str("connection: close\r\n");
        }
        if self.content_length.is_none() {
            text.push_str("transfer-encoding: chunked\r\n");
        }
        text.push_str("\r\n");
        text.into_bytes()
    }
}

impl ResponseHead<'_> {
    /// As the library under llama.cpp's server writes it.
    fn of_llama_cpp(&self) -> Vec<u8> {
        let mut text = format!(
            "HTTP/1.1 {} {}\r\nServer: llama.cpp\r\nAccess-Control-Allow-Origin: \r\n",
            self.status,
            reason(self.status)
        );
        let kind = if self.content_length.is_some() { self.content_type } else { "text/event-stream" };
        match self.content_length {
            Some(length) => {
                let _ = write!(text, "Content-Type: {kind}\r\nContent-Length: {length}\r\n");
            }
            None => {
                let _ = write!(
                    text,
                    "X-Accel-Buffering: no\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n"
                );
            }
        }
        text.push_str(if self.close {
            "Connection: close\r\n\r\n"
        } else {
            "Keep-Alive: timeout=5, max=100\r\n\r\n"
        });
        text.into_bytes()
    }
}

/// The phrase that goes with a status.
pub fn reason(status: u16) -> &'static str {
    REASONS.iter().find(|(code, _)| *code == status).map_or("", |(_, phrase)| phrase)
}

const REASONS: [(u16, &str); 24] = [
    (200, "OK"),
    (400, "Bad Request"),
    (401, "Unauthorized"),
    (402, "Payment Required"),
    (403, "Forbidden"),
    (404, "Not Found"),
    (405, "Method Not Allowed"),
    (406, "Not Acceptable"),
    (408, "Request Timeout"),
    (409, "Conflict"),
    (410, "Gone"),
    (411, "Length Required"),
    (413, "Request Entity Too Large"),
    (415, "Unsupported Media Type"),
    (422, "Unprocessable Entity"),
    (429, "Too Many Requests"),
    (499, "Client Closed Request"),
    (500, "Internal Server Error"),
    (501, "Not Implemented"),
    (502, "Bad Gateway"),
    (503, "Service Unavailable"),
    (504, "Gateway Timeout"),
    (507, "Insufficient Storage"),
    (529, "Site is overloaded"),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn head(text: &str) -> Head {
        match parse_head(text.as_bytes()) {
            Ok(Parsed::Complete { head, length }) => {
                assert_eq!(length, text.len());
                head
            }
            _ => panic!("no head: {text:?}"),
        }
    }

    #[test]
    fn what_matters_is_read_whatever_its_case() {
        let head = head(
            "POST /v1/chat/completions?x=1 HTTP/1.1\r\nHOST: a\r\nContent-length: 12\r\nX-REQUEST-ID: abc\r\n\
             Traceparent: 00-1-2-01\r\nExpect: 100-Continue\r\nConnection: Keep-Alive, Close\r\n\r\n",
        );
        assert_eq!(head.path(), "/v1/chat/completions");
        assert_eq!(head.content_length, 12);
        assert_eq!(head.x_request_id.as_deref(), Some("abc"));
        assert_eq!(head.traceparent.as_deref(), Some("00-1-2-01"));
        assert!(head.expects_continue && head.close && !head.chunked);
    }

    #[test]
    fn old_clients_close_unless_they_say_otherwise() {
        assert!(!head("GET / HTTP/1.1\r\n\r\n").close);
        assert!(head("GET / HTTP/1.0\r\n\r\n").close);
        assert!(!head("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").close);
    }

    #[test]
    fn a_head_may_be_partial_or_nonsense() {
        assert!(matches!(parse_head(b"GET / HTTP/1.1\r\nHo"), Ok(Parsed::Partial)));
        assert!(parse_head(b"\x16\x03\x01\x02\x00\x01\x00").is_err());
        assert!(parse_head(b"POST / HTTP/1.1\r\nContent-Length: many\r\n\r\n").is_err());
    }
}
