//! The body of one HTTP/1.1 message, request or response: chunked, length-delimited or until the
//! peer closes, taken apart without copying. This file must not know heads, sockets or what a body
//! means.

use super::HttpError;

/// A chunk-size line (with extensions) or a trailer line longer than this is refused.
pub(super) const MAX_LINE_BYTES: usize = 8 * 1024;
/// Trailers longer than this together are refused: they say nothing that is used, and could go on for ever.
pub(super) const MAX_TRAILER_BYTES: usize = 64 * 1024;

/// Decodes one body. Feed it every byte after the head, in order.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    /// The unfinished chunk-size or trailer line.
    line: Vec<u8>,
    trailer_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Length { left: u64 },
    UntilClose,
    ChunkSize,
    Chunk { left: u64 },
    ChunkCr,
    ChunkLf,
    Trailer,
    Done,
}

impl BodyDecoder {
    /// There is none.
    pub fn none() -> Self {
        Self::new(State::Done)
    }

    /// As `transfer-encoding` and `content-length` say; `None` when they say nothing.
    pub fn framed(transfer_encoding: Option<&str>, length: Option<&str>) -> Result<Option<Self>, HttpError> {
        if transfer_encoding.is_some_and(|v| v.to_ascii_lowercase().contains("chunked")) {
            return Ok(Some(Self::new(State::ChunkSize)));
        }
        let Some(text) = length else { return Ok(None) };
        match text.parse() {
            Ok(0) => Ok(Some(Self::none())),
            Ok(left) => Ok(Some(Self::new(State::Length { left }))),
            Err(_) => Err(HttpError::Head(format!("`content-length: {text}`"))),
        }
    }

    /// Ends when the peer closes.
    pub fn until_close() -> Self {
        Self::new(State::UntilClose)
    }

    fn new(state: State) -> Self {
        Self { state, line: Vec::new(), trailer_bytes: 0 }
    }

    /// Whether it is complete.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Whether only the peer's close ends it.
    pub fn is_until_close(&self) -> bool {
        matches!(self.state, State::UntilClose)
    }

    /// The peer closed: completes what ends so.
    pub fn close(&mut self) {
        if self.is_until_close() {
            self.state = State::Done;
        }
    }

    /// Takes the next bytes, at most up to the body's end; pieces of the body are handed to `sink` as
    /// they lie in `input`. Returns what is left of `input`: it is no part of the body.
    pub fn push<'a>(
        &mut self,
        mut input: &'a [u8],
        mut sink: impl FnMut(&[u8]),
    ) -> Result<&'a [u8], HttpError> {
        while !input.is_empty() {
            input = match &mut self.state {
                State::Length { left } | State::Chunk { left } => {
                    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                    let (piece, rest) = input.split_at(n);
                    sink(piece);
                    *left -= n as u64;
                    if *left == 0 {
                        let is_chunk = matches!(self.state, State::Chunk { .. });
                        self.state = if is_chunk { State::ChunkCr } else { State::Done };
                    }
                    rest
                }
                State::UntilClose => {
                    sink(input);
                    &[]
                }
                State::ChunkCr => self.expect(input, b'\r', State::ChunkLf)?,
                State::ChunkLf => self.expect(input, b'\n', State::ChunkSize)?,
                State::ChunkSize | State::Trailer => self.take_line(input)?,
                State::Done => break,
            };
        }
        Ok(input)
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
        if self.line.len() + part.len() > MAX_LINE_BYTES {
            return Err(HttpError::LineTooLong);
        }
        let Some(end) = end else {
            self.line.extend_from_slice(part);
            return Ok(&[]);
        };
        let is_trailer = matches!(self.state, State::Trailer);
        if is_trailer {
            self.trailer_bytes += part.len();
            if self.trailer_bytes > MAX_TRAILER_BYTES {
                return Err(HttpError::TrailersTooLong);
            }
        }
        self.state = if self.line.is_empty() {
            after_line(part, is_trailer)?
        } else {
            self.line.extend_from_slice(part);
            let line = std::mem::take(&mut self.line);
            after_line(&line, is_trailer)?
        };
        Ok(input.get(end + 1..).unwrap_or_default())
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
