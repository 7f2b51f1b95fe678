//! What a request says of itself, and where it ends: sans-IO. Of its head only method, path and ids are
//! kept: what else is in it may be a secret. This file must not know sockets or stamps.

use super::exchange::Unread;
use crate::load::http1::{BodyDecoder, MAX_HEAD_BYTES, MAX_HEADERS};

const HTTP2: &[u8] = b"PRI * HTTP/2.0";
/// The first bytes of a TLS handshake.
const TLS: &[u8] = b"\x16\x03";
/// Of a kept header or path: what is longer is no id.
const LONGEST: usize = 1024;

/// What is kept of a request's head.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct RequestHead {
    pub(super) method: String,
    /// Without its query, nor what a URL has before the path.
    pub(super) path: String,
    pub(super) request_id: Option<String>,
    pub(super) trace_id: Option<String>,
}

/// Decodes one request. Feed it every byte that the client sends, in order.
#[derive(Debug, Default)]
pub(super) struct RequestDecoder {
    /// Bytes of an unfinished head.
    pending: Vec<u8>,
    head: Option<RequestHead>,
    /// Set with the head.
    body: Option<BodyDecoder>,
}

impl RequestDecoder {
    pub(super) fn head(&self) -> Option<&RequestHead> {
        self.head.as_ref()
    }

    /// Whether the request is complete.
    pub(super) fn is_done(&self) -> bool {
        self.body.as_ref().is_some_and(BodyDecoder::is_done)
    }

    /// Takes the next bytes, at most up to the request's end; returns what is left.
    pub(super) fn push<'a>(&mut self, mut input: &'a [u8]) -> Result<&'a [u8], Unread> {
        if self.head.is_none() {
            input = self.take_head(input)?;
        }
        match &mut self.body {
            Some(body) => body.push(input, |_| {}).map_err(|_| Unread::Request),
            None => Ok(input),
        }
    }

    fn take_head<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], Unread> {
        let before = self.pending.len();
        let room = (MAX_HEAD_BYTES + 1).saturating_sub(before).min(input.len());
        self.pending.extend_from_slice(input.get(..room).unwrap_or_default());
        let mut storage = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut storage);
        let length = match request.parse(&self.pending) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.pending.len() <= MAX_HEAD_BYTES => return Ok(&[]),
            _ if self.pending.starts_with(TLS) => return Err(Unread::Tls),
            _ if self.pending.starts_with(HTTP2) => return Err(Unread::Http2),
            _ => return Err(Unread::Request),
        };
        let header = |name: &str| {
            let found = request.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name))?;
            Some(String::from_utf8_lossy(found.value).trim().to_owned())
        };
        let body =
            BodyDecoder::framed(header("transfer-encoding").as_deref(), header("content-length").as_deref());
        self.body = Some(body.map_err(|_| Unread::Request)?.unwrap_or_else(BodyDecoder::none));
        self.head = Some(RequestHead {
            method: request.method.unwrap_or_default().to_owned(),
            path: path_of(request.path.unwrap_or_default()),
            request_id: header("x-request-id").filter(|id| id.len() <= LONGEST),
            trace_id: header("traceparent").as_deref().and_then(trace_id),
        });
        self.pending = Vec::new();
        Ok(input.get(length.saturating_sub(before)..).unwrap_or_default())
    }
}

/// A target's path: without the query, which may hold a key, and without scheme and authority, which
/// may hold a password.
fn path_of(target: &str) -> String {
    let target = target.split(['?', '#']).next().unwrap_or_default();
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/"),
        None if target.starts_with('/') || target == "*" => target,
        // An authority, as CONNECT has it.
        None => "",
    };
    path.chars().take(LONGEST).collect()
}

/// The trace id of a `traceparent` (W3C Trace Context): `00-<32 hex digits>-…`.
fn trace_id(traceparent: &str) -> Option<String> {
    let id = traceparent.split('-').nth(1)?;
    (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())).then(|| id.to_owned())
}
