//! HTTP/1.1 response framing, sans-IO: bytes in, head and body pieces out. Heads are read by
//! `httparse`, bodies taken apart in `body`, without copying. This file must not know sockets, stamps
//! or what a body means.

mod body;

pub use self::body::BodyDecoder;
use self::body::{MAX_LINE_BYTES, MAX_TRAILER_BYTES};

/// A head larger than this is refused.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;
/// A head with more headers than this is refused.
pub const MAX_HEADERS: usize = 128;
/// More interim responses (100, 102, 103) before the real one are refused: servers send one or two, and each
/// would let a request wait for the next.
pub const MAX_INTERIM: u32 = 16;

/// What a response says before its body.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Head {
    pub status: u16,
    pub keep_alive: bool,
    /// The body is `text/event-stream`.
    pub event_stream: bool,
    /// Lower-case names; values lossily decoded.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first value of header `name` (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// What is wrong with a response.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HttpError {
    #[error("expected an HTTP/1.x response head, found {0}")]
    Head(String),
    #[error("the response head is larger than {MAX_HEAD_BYTES} bytes")]
    HeadTooLarge,
    #[error("expected a chunk size in hexadecimal, found `{0}`")]
    ChunkSize(String),
    #[error("expected CRLF after a chunk, found byte {0:#04x}")]
    ChunkEnd(u8),
    #[error("more than {MAX_INTERIM} interim responses (HTTP 1xx) before the real one")]
    TooManyInterim,
    #[error("a chunk-size or trailer line is longer than {MAX_LINE_BYTES} bytes")]
    LineTooLong,
    #[error("the trailers after the body are longer than {MAX_TRAILER_BYTES} bytes")]
    TrailersTooLong,
}

/// Decodes one response. Feed it every byte read from the connection, in order.
#[derive(Debug, Default)]
pub struct ResponseDecoder {
    head: Option<Head>,
    /// Set with the head.
    body: Option<BodyDecoder>,
    /// Bytes of an unfinished head.
    pending: Vec<u8>,
    interim: u32,
    received: bool,
    bodyless: bool,
}

impl ResponseDecoder {
    /// For the answer to a `HEAD` request, which has no body whatever its head says.
    pub fn without_body() -> Self {
        Self { bodyless: true, ..Self::default() }
    }

    /// The head, once it is complete.
    pub fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Whether any byte came at all.
    pub fn received_any(&self) -> bool {
        self.received
    }

    /// Whether the response is complete.
    pub fn is_done(&self) -> bool {
        self.body.as_ref().is_some_and(BodyDecoder::is_done)
    }

    /// Takes the next bytes; body bytes are handed to `body`, with the head, as they lie in `input`. What follows the
    /// response is none of it: whether it comes in the same read is chance, so the response stays what it is, and
    /// only its connection is not used again.
    pub fn push(&mut self, input: &[u8], body: impl FnMut(&Head, &[u8])) -> Result<(), HttpError> {
        let is_more = !self.push_some(input, body)?.is_empty();
        if let Some(head) = self.head.as_mut().filter(|_| is_more) {
            head.keep_alive = false;
        }
        Ok(())
    }

    /// The same, up to the end of the response at most; returns what is left of `input`.
    pub fn push_some<'a>(
        &mut self,
        mut input: &'a [u8],
        mut body: impl FnMut(&Head, &[u8]),
    ) -> Result<&'a [u8], HttpError> {
        self.received |= !input.is_empty();
        while self.head.is_none() && !input.is_empty() {
            input = self.take_head(input)?;
        }
        match (&self.head, &mut self.body) {
            (Some(head), Some(decoder)) => decoder.push(input, |piece| body(head, piece)),
            _ => Ok(input),
        }
    }

    /// The peer closed: completes a close-delimited body. Whether the response is whole.
    pub fn close(&mut self) -> bool {
        if let Some(body) = &mut self.body {
            body.close();
        }
        self.is_done()
    }

    fn take_head<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], HttpError> {
        let before = self.pending.len();
        let room = (MAX_HEAD_BYTES + 1).saturating_sub(before).min(input.len());
        let new = input.get(..room).unwrap_or_default();
        self.pending.extend_from_slice(new);
        // Only a line's end can complete a head. One that dribbles in is not read anew with every byte: that
        // would take time that the other streams need.
        if before > 0 && self.pending.len() <= MAX_HEAD_BYTES && !new.contains(&b'\n') {
            return Ok(input.get(room..).unwrap_or_default());
        }
        let mut storage = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut storage);
        let length = match response.parse(&self.pending) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if self.pending.len() > MAX_HEAD_BYTES => {
                return Err(HttpError::HeadTooLarge);
            }
            Ok(httparse::Status::Partial) => return Ok(input.get(room..).unwrap_or_default()),
            Err(error) => {
                let start = String::from_utf8_lossy(
                    self.pending.get(..40.min(self.pending.len())).unwrap_or_default(),
                );
                return Err(HttpError::Head(format!("`{}` ({error})", start.escape_debug())));
            }
        };
        let status = response.code.unwrap_or(0);
        let headers: Vec<(String, String)> = response
            .headers
            .iter()
            .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).trim().to_owned()))
            .collect();
        let http10 = response.version == Some(0);
        self.pending.clear();
        match status {
            0..100 => return Err(HttpError::Head(format!("the status {status:03}"))),
            101 => {
                return Err(HttpError::Head("`101 Switching Protocols`, which nobody asked for".to_owned()));
            }
            // These (100 Continue, 103 Early Hints) precede the real one.
            100..200 => self.interim += 1,
            _ => {}
        }
        if self.interim > MAX_INTERIM {
            return Err(HttpError::TooManyInterim);
        }
        if status >= 200 {
            let mut head = Head { status, keep_alive: false, event_stream: false, headers };
            head.event_stream = head
                .header("content-type")
                .and_then(|v| v.split(';').next())
                .is_some_and(|v| v.trim().eq_ignore_ascii_case("text/event-stream"));
            let connection = head.header("connection").unwrap_or("").to_ascii_lowercase();
            head.keep_alive =
                if http10 { connection.contains("keep-alive") } else { !connection.contains("close") };
            let body = if self.bodyless { BodyDecoder::none() } else { body_of(&head)? };
            head.keep_alive &= !body.is_until_close();
            (self.head, self.body) = (Some(head), Some(body));
        }
        Ok(input.get(length.saturating_sub(before)..).unwrap_or_default())
    }
}

fn body_of(head: &Head) -> Result<BodyDecoder, HttpError> {
    if head.status == 204 || head.status == 304 {
        return Ok(BodyDecoder::none());
    }
    let framed = BodyDecoder::framed(head.header("transfer-encoding"), head.header("content-length"))?;
    Ok(framed.unwrap_or_else(BodyDecoder::until_close))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(chunks: &[&[u8]]) -> Result<(ResponseDecoder, Vec<u8>), HttpError> {
        let (mut decoder, mut body) = (ResponseDecoder::default(), Vec::new());
        for chunk in chunks {
            decoder.push(chunk, |_, piece| body.extend_from_slice(piece))?;
        }
        Ok((decoder, body))
    }

    // The shape of a vLLM 0.32 answer: lower-case headers, one chunk per event.
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ndate: Tue, 24 Nov 2026 15:14:09 GMT\r\nserver: uvicorn\r\n\
        content-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n\
        9\r\ndata: a\n\n\r\nE;ext=1\r\ndata: [DONE]\n\n\r\n0\r\nx-trailer: 1\r\n\r\n";

    #[test]
    fn a_chunked_body_is_taken_apart() {
        let (decoder, body) = decode(&[CHUNKED]).unwrap();
        assert!(decoder.is_done());
        assert_eq!(decoder.head().unwrap().status, 200);
        assert!(decoder.head().unwrap().keep_alive);
        assert_eq!(body, b"data: a\n\ndata: [DONE]\n\n");
    }

    #[test]
    fn length_and_close_delimited_bodies_end_where_they_should() {
        let (decoder, body) =
            decode(&[b"HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"])
                .unwrap();
        assert!(decoder.is_done() && !decoder.head().unwrap().keep_alive);
        assert_eq!(body, b"hello");
        let (mut decoder, body) = decode(&[b"HTTP/1.0 200 OK\r\n\r\nsome", b" text"]).unwrap();
        assert!(!decoder.is_done());
        assert!(decoder.close());
        assert_eq!(body, b"some text");
    }

    #[test]
    fn a_cut_body_is_not_whole() {
        let (mut decoder, _) = decode(&[CHUNKED.get(..CHUNKED.len() - 20).unwrap()]).unwrap();
        assert!(!decoder.close());
    }

    #[test]
    fn interim_responses_are_passed_over() {
        let (decoder, body) =
            decode(&[b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"])
                .unwrap();
        assert_eq!(decoder.head().unwrap().status, 200);
        assert_eq!(body, b"ok");
    }

    #[test]
    fn interim_responses_are_not_passed_over_for_ever() {
        let flood = |n: u32| {
            let interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n".repeat(n as usize);
            decode(&[&interim, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"])
        };
        assert_eq!(flood(MAX_INTERIM).unwrap().1, b"ok");
        assert_eq!(flood(MAX_INTERIM + 1).unwrap_err(), HttpError::TooManyInterim);
        let switched = decode(&[b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"]);
        assert!(matches!(switched, Err(HttpError::Head(said)) if said.contains("101")));
        assert!(matches!(decode(&[b"HTTP/1.1 000 X\r\n\r\n"]), Err(HttpError::Head(_))));
    }

    /// Found by fuzzing: `0\n` ended an answer, and what came behind it failed it, if it came in the same read.
    #[test]
    fn what_follows_a_response_is_none_of_it_however_it_is_read() {
        let more = b"HTTP/1.1 200 OK\r\ndate: Thu, 26 Nov 2026";
        for pieces in [vec![[CHUNKED, more].concat()], vec![CHUNKED.to_vec(), more.to_vec()]] {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let (decoder, body) = decode(&pieces).unwrap();
            assert_eq!(body, b"data: a\n\ndata: [DONE]\n\n");
            assert!(
                decoder.is_done() && !decoder.head().unwrap().keep_alive,
                "the connection is not used again"
            );
        }
    }

    #[test]
    fn trailers_end() {
        let trailers = |n: usize| {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n".to_vec();
            decode(&[&[head, b"x: yz\r\n".repeat(n), b"\r\n".to_vec()].concat()])
        };
        let most = MAX_TRAILER_BYTES / 6;
        assert!(trailers(most).unwrap().0.is_done());
        assert_eq!(trailers(most + 1).unwrap_err(), HttpError::TrailersTooLong);
    }

    #[test]
    fn nonsense_is_named() {
        assert!(matches!(decode(&[b"\x16\x03\x01 not http"]), Err(HttpError::Head(_))));
        let bad = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n";
        assert_eq!(decode(&[bad]).unwrap_err(), HttpError::ChunkSize("xyz".to_owned()));
        let long = [b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'a'; MAX_HEAD_BYTES]].concat();
        assert_eq!(decode(&[&long]).unwrap_err(), HttpError::HeadTooLarge);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_body(cuts in proptest::collection::vec(0..CHUNKED.len(), 0..12)) {
            let mut cuts = cuts;
            cuts.extend([0, CHUNKED.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| CHUNKED.get(w[0]..w[1]).unwrap()).collect();
            let (decoder, body) = decode(&pieces).unwrap();
            prop_assert!(decoder.is_done());
            prop_assert_eq!(body, b"data: a\n\ndata: [DONE]\n\n");
        }

        #[test]
        fn no_input_panics(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..6)) {
            let mut decoder = ResponseDecoder::default();
            for piece in pieces {
                if decoder.push(&piece, |_, _| {}).is_err() {
                    break;
                }
            }
        }
    }
}
