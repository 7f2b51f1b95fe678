//! What the log formats share: the parser error that carries an expectation, colours and line ends,
//! small tokens. It must not know any one format.

use nom::error::ErrorKind;
use nom::{IResult, Parser};

use crate::error::ParseError;

/// Where a parser stopped and what it wanted there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Expected<'a> {
    pub(crate) at: &'a str,
    pub(crate) what: &'static str,
}

/// What a parser returns: the rest of the text, and what it read.
pub(crate) type Read<'a, T> = IResult<&'a str, T, Expected<'a>>;

/// The same where nothing is left to read.
pub(crate) type Wanted<'a, T> = Result<T, nom::Err<Expected<'a>>>;

impl<'a> nom::error::ParseError<&'a str> for Expected<'a> {
    fn from_error_kind(at: &'a str, _kind: ErrorKind) -> Self {
        Expected { at, what: "other text" }
    }

    fn append(_at: &'a str, _kind: ErrorKind, inner: Self) -> Self {
        inner
    }

    /// Of two alternatives that failed, the one that got further says more.
    fn or(self, other: Self) -> Self {
        if other.at.len() < self.at.len() { other } else { self }
    }
}

impl<'a, E> nom::error::FromExternalError<&'a str, E> for Expected<'a> {
    fn from_external_error(at: &'a str, kind: ErrorKind, _error: E) -> Self {
        nom::error::ParseError::from_error_kind(at, kind)
    }
}

impl Expected<'_> {
    /// The public form, `whole` being the text that `at` is the end of.
    pub(crate) fn into_error(self, format: &'static str, whole: &str) -> ParseError {
        ParseError::at(format, self.what, whole, self.at)
    }
}

/// The error inside nom's wrapper. Nothing here streams, so `Incomplete` never comes; if it did, it
/// would mean that the text ended too early.
#[allow(clippy::needless_pass_by_value)] // so that it fits `map_err`
pub(crate) fn expected_of(error: nom::Err<Expected<'_>>) -> Expected<'_> {
    match error {
        nom::Err::Error(expected) | nom::Err::Failure(expected) => expected,
        nom::Err::Incomplete(_) => Expected { at: "", what: "more text" },
    }
}

/// Runs `parser`; where it fails at its first byte, the error says that `what` was expected there.
/// An error from further inside keeps its own words.
pub(crate) fn expect<'a, O>(
    what: &'static str,
    mut parser: impl Parser<&'a str, Output = O, Error = Expected<'a>>,
) -> impl FnMut(&'a str) -> Read<'a, O> {
    move |input| {
        parser.parse(input).map_err(|error| {
            error.map(|inner| {
                if inner.at.len() == input.len() || inner.what == "other text" {
                    Expected { at: inner.at, what }
                } else {
                    inner
                }
            })
        })
    }
}

/// Fails at `at`, wanting `what`.
pub(crate) fn fail<'a, T>(at: &'a str, what: &'static str) -> Wanted<'a, T> {
    Err(nom::Err::Error(Expected { at, what }))
}

/// The line without its end: `\n`, `\r\n`, or the lone `\r` that vLLM leaves inside messages.
pub(crate) fn without_line_end(line: &str) -> &str {
    line.trim_end_matches(['\n', '\r'])
}

/// What a terminal would still show: a progress bar rewrites its line with `\r`, and a log line may
/// follow it without a line feed.
pub(crate) fn after_carriage_return(line: &str) -> Option<&str> {
    memchr::memrchr(b'\r', line.as_bytes()).and_then(|at| line.get(at + 1..))
}

/// Appends `line` to `out` without its escape sequences, the first of which is at byte `next`, and without a line end
/// that stood before the last of them.
pub(crate) fn strip_colour(line: &str, mut next: usize, out: &mut String) {
    out.reserve(line.len());
    let mut from = 0;
    loop {
        out.push_str(line.get(from..next).unwrap_or_default());
        from = next + escape_len(line.as_bytes().get(next..).unwrap_or_default());
        let rest = line.as_bytes().get(from..).unwrap_or_default();
        match memchr::memchr(0x1b, rest) {
            Some(offset) => next = from + offset,
            None => break,
        }
    }
    out.push_str(line.get(from..).unwrap_or_default());
    out.truncate(without_line_end(out).len());
}

/// Length of the escape sequence at the start of `bytes`: `ESC [ parameters final` (ECMA-48 CSI), or
/// just the ESC where that is not what follows. Only ASCII is taken, so text stays whole.
fn escape_len(bytes: &[u8]) -> usize {
    if bytes.get(1) != Some(&b'[') {
        return 1;
    }
    let parameters = bytes.iter().skip(2).take_while(|byte| matches!(byte, 0x20..=0x3f)).count();
    match bytes.get(2 + parameters) {
        Some(0x40..=0x7e) => 3 + parameters,
        _ => 2 + parameters,
    }
}

/// A decimal number as `%.1f` prints it, divided by ten to the power of `SHIFT`: a percentage as a
/// share, milliseconds as seconds. Dividing the digits once, as one whole number, gives the float
/// that is nearest to what is written; dividing the float again would not always.
pub(crate) fn decimal<const SHIFT: u32>(input: &str) -> Read<'_, f64> {
    const EXACT: u64 = 1 << 53;
    let mut digits = 0_u64;
    let mut decimals = None;
    let mut length = 0;
    for byte in input.bytes() {
        match byte {
            b'0'..=b'9' if digits < EXACT / 16 => {
                digits = digits * 10 + u64::from(byte - b'0');
                decimals = decimals.map(|count| count + 1);
            }
            b'.' if decimals.is_none() && length > 0 => decimals = Some(0),
            _ => break,
        }
        length += 1;
    }
    let rest = input.get(length..).unwrap_or_default();
    // A number ends with a digit; one with more digits than are exact is no statistic of a server.
    let ends_early = length == 0 || decimals == Some(0) || rest.starts_with(|c: char| c.is_ascii_digit());
    let exponent = decimals.unwrap_or(0) + SHIFT;
    match 10_u64.checked_pow(exponent) {
        Some(divisor) if !ends_early && divisor <= 10_u64.pow(15) => {
            Ok((rest, digits as f64 / divisor as f64))
        }
        _ => fail(input, "a number"),
    }
}

/// Everything up to a blank, at least one character.
pub(crate) fn token(input: &str) -> Read<'_, &str> {
    match memchr::memchr2(b' ', b'\t', input.as_bytes()) {
        Some(0) => fail(input, "a word"),
        Some(at) => Ok((input.get(at..).unwrap_or_default(), input.get(..at).unwrap_or_default())),
        None if input.is_empty() => fail(input, "a word"),
        None => Ok(("", input)),
    }
}

/// `N` decimal digits as a number; `N` is small enough for `u32`.
pub(crate) fn digits<const N: usize>(input: &str) -> Read<'_, u32> {
    let mut number = 0;
    let bytes = input.as_bytes();
    for at in 0..N {
        match bytes.get(at) {
            Some(byte @ b'0'..=b'9') => number = number * 10 + u32::from(byte - b'0'),
            _ => return fail(input, "digits"),
        }
    }
    Ok((input.get(N..).unwrap_or_default(), number))
}

/// One byte of ASCII.
pub(crate) fn byte(wanted: u8, what: &'static str) -> impl Fn(&str) -> Read<'_, ()> {
    move |input| match input.as_bytes().first() {
        Some(found) if *found == wanted => Ok((input.get(1..).unwrap_or_default(), ())),
        _ => fail(input, what),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_number_becomes_the_nearest_float_at_any_scale() {
        assert_eq!(decimal::<0>("955.2 tokens/s"), Ok((" tokens/s", 955.2)));
        assert_eq!(decimal::<2>("8.9%"), Ok(("%", 0.089)));
        assert_eq!(decimal::<3>("5.02"), Ok(("", 0.00502)));
        assert_eq!(decimal::<0>("7"), Ok(("", 7.0)));
        for text in ["", ".", ".5", "5.", "5.%", "nan", "-1", "99999999999999999999", "0.00000000000000001"] {
            assert!(decimal::<2>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_escape_sequences_are_stripped() {
        let stripped = |line: &str| {
            let mut out = String::new();
            let first = memchr::memchr(0x1b, line.as_bytes()).unwrap();
            strip_colour(line, first, &mut out);
            out
        };
        assert_eq!(stripped("\u{1b}[0;36m(A)\u{1b}[0;0m b"), "(A) b");
        assert_eq!(stripped("a\u{1b}[38;5;12mé\u{1b}[m"), "aé");
        assert_eq!(stripped("a\u{1b}é\u{1b}"), "aé");
        assert_eq!(stripped("a\u{1b}[é\u{1b}[1"), "aé");
    }

    #[test]
    fn what_a_terminal_shows_is_behind_the_last_carriage_return() {
        assert_eq!(after_carriage_return("50%\r100%\rINFO x"), Some("INFO x"));
        assert_eq!(after_carriage_return("INFO x"), None);
        assert_eq!(without_line_end("INFO x\r\n"), "INFO x");
    }
}
