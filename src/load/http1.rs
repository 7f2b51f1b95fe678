//! HTTP/1.1 response framing, sans-IO: bytes in, head and body pieces out. Heads are read by
//! `httparse`; chunked, length-delimited and close-delimited bodies are taken apart here, without
//! copying. This file must not know sockets, stamps or what a body means.

/// A head larger than this is refused.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// A chunk-size line (with extensions) or a trailer line longer than this is refused.
const MAX_LINE_BYTES: usize = 8 * 1024;
const MAX_HEADERS: usize = 128;

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
    #[error("a chunk-size or trailer line is longer than {MAX_LINE_BYTES} bytes")]
    LineTooLong,
    #[error("bytes after the end of the response")]
    Excess,
}

#[derive(Debug)]
enum State {
    Head,
    Length { left: u64 },
    UntilClose,
    ChunkSize,
    Chunk { left: u64 },
    ChunkCr,
    ChunkLf,
    Trailer,
    Done,
}

/// Decodes one response. Feed it every byte read from the connection, in order.
#[derive(Debug)]
pub struct ResponseDecoder {
    state: State,
    head: Option<Head>,
    /// Head bytes, then the unfinished chunk-size or trailer line.
    pending: Vec<u8>,
    received: bool,
}

impl Default for ResponseDecoder {
    fn default() -> Self {
        Self { state: State::Head, head: None, pending: Vec::new(), received: false }
    }
}

impl ResponseDecoder {
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
        matches!(self.state, State::Done)
    }

    /// Takes the next bytes; body bytes are handed to `body`, with the head, as they lie in `input`.
    pub fn push(&mut self, mut input: &[u8], mut body: impl FnMut(&Head, &[u8])) -> Result<(), HttpError> {
        self.received |= !input.is_empty();
        while !input.is_empty() {
            input = match &mut self.state {
                State::Head => self.take_head(input)?,
                State::Length { left } | State::Chunk { left } => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    let (piece, rest) = input.split_at(n);
                    if let Some(head) = &self.head {
                        body(head, piece);
                    }
                    *left -= n as u64;
                    if *left == 0 {
                        self.state = if matches!(self.state, State::Chunk { .. }) {
                            State::ChunkCr
                        } else {
                            State::Done
                        };
                    }
                    rest
                }
                State::UntilClose => {
                    if let Some(head) = &self.head {
                        body(head, input);
                    }
                    &[]
                }
                State::ChunkCr => self.expect(input, b'\r', State::ChunkLf)?,
                State::ChunkLf => self.expect(input, b'\n', State::ChunkSize)?,
                State::ChunkSize | State::Trailer => self.take_line(input)?,
                State::Done => return Err(HttpError::Excess),
            };
        }
        Ok(())
    }

    /// The peer closed: completes a close-delimited body. Whether the response is whole.
    pub fn close(&mut self) -> bool {
        if matches!(self.state, State::UntilClose) {
            self.state = State::Done;
        }
        self.is_done()
    }

    fn take_head<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], HttpError> {
        let before = self.pending.len();
        let room = (MAX_HEAD_BYTES + 1).saturating_sub(before).min(input.len());
        self.pending.extend_from_slice(input.get(..room).unwrap_or_default());
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
        // Interim responses (100 Continue, 103 Early Hints) precede the real one.
        if !(100..200).contains(&status) {
            let mut head = Head { status, keep_alive: false, event_stream: false, headers };
            head.event_stream = head
                .header("content-type")
                .and_then(|v| v.split(';').next())
                .is_some_and(|v| v.trim().eq_ignore_ascii_case("text/event-stream"));
            let connection = head.header("connection").unwrap_or("").to_ascii_lowercase();
            head.keep_alive =
                if http10 { connection.contains("keep-alive") } else { !connection.contains("close") };
            self.state = body_state(&head)?;
            if matches!(self.state, State::UntilClose) {
                head.keep_alive = false;
            }
            self.head = Some(head);
        }
        Ok(input.get(length.saturating_sub(before)..).unwrap_or_default())
    }

    fn expect<'a>(&mut self, input: &'a [u8], byte: u8, next: State) -> Result<&'a [u8], HttpError> {
        match input.split_first() {
            Some((&found, rest)) if found == byte => {
                self.state = next;
                Ok(rest)
            }
            Some((&found, _)) => Err(HttpError::ChunkEnd(found)),
            None => Ok(input),
        }
    }

    /// A chunk-size line or a trailer line, perhaps over several reads.
    fn take_line<'a>(&mut self, input: &'a [u8]) -> Result<&'a [u8], HttpError> {
        let end = input.iter().position(|&b| b == b'\n');
        let part = input.get(..end.unwrap_or(input.len())).unwrap_or_default();
        if self.pending.len() + part.len() > MAX_LINE_BYTES {
            return Err(HttpError::LineTooLong);
        }
        let Some(end) = end else {
            self.pending.extend_from_slice(part);
            return Ok(&[]);
        };
        let is_trailer = matches!(self.state, State::Trailer);
        self.state = if self.pending.is_empty() {
            after_line(part, is_trailer)?
        } else {
            self.pending.extend_from_slice(part);
            let line = std::mem::take(&mut self.pending);
            after_line(&line, is_trailer)?
        };
        Ok(input.get(end + 1..).unwrap_or_default())
    }
}

fn body_state(head: &Head) -> Result<State, HttpError> {
    if head.status == 204 || head.status == 304 {
        return Ok(State::Done);
    }
    if head.header("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().contains("chunked")) {
        return Ok(State::ChunkSize);
    }
    match head.header("content-length") {
        None => Ok(State::UntilClose),
        Some(text) => match text.parse() {
            Ok(0) => Ok(State::Done),
            Ok(left) => Ok(State::Length { left }),
            Err(_) => Err(HttpError::Head(format!("`content-length: {text}`"))),
        },
    }
}

/// The state after a complete line: a chunk of that size, or more trailers, or the end.
fn after_line(line: &[u8], is_trailer: bool) -> Result<State, HttpError> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if is_trailer {
        return Ok(if line.is_empty() { State::Done } else { State::Trailer });
    }
    let digits = line.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    std::str::from_utf8(digits)
        .ok()
        .filter(|d| !d.is_empty() && d.len() <= 15 && d.bytes().all(|b| b.is_ascii_hexdigit()))
        .and_then(|d| u64::from_str_radix(d, 16).ok())
        .map(|size| if size == 0 { State::Trailer } else { State::Chunk { left: size } })
        .ok_or_else(|| {
            let shown = line.get(..line.len().min(40)).unwrap_or_default();
            HttpError::ChunkSize(String::from_utf8_lossy(shown).escape_debug().to_string())
        })
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
