//! What the logs of gateways share: one line with its colours off, numbers with units, addresses,
//! trace ids, `key=value` pairs, JSON strings. It must not know any product.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::ParseError;
use crate::event::{Event, LogLine, Parsed};
use crate::hop::{Hop, HopTime};
use crate::json_line::{each_field, unescape};
use crate::line::strip_colour;
use crate::time::LogTime;
use crate::wrapped::bare;

/// A line's reading: where it stopped, a part of the text, and what it wanted there.
pub(crate) type Reading<'a, T> = Result<T, (&'a str, &'static str)>;

/// Reads one line, which `message` gets without its end, its colours and what a run-time put around it.
pub(crate) fn read<'a>(
    format: &'static str,
    line: &'a str,
    scratch: &'a mut String,
    message: impl FnOnce(&'a str) -> Reading<'a, LogLine<'a>>,
) -> Parsed<'a> {
    let text = match plain(line) {
        Cow::Borrowed(text) => text,
        Cow::Owned(text) => {
            scratch.clear();
            scratch.push_str(&text);
            scratch.as_str()
        }
    };
    match message(text) {
        Ok(line) => Parsed::Line(line),
        Err(_) if text.trim_ascii().is_empty() => Parsed::Blank,
        Err((at, what)) => Parsed::Unknown(ParseError::at(format, what, text, suffix(text, at))),
    }
}

/// The line as its program wrote it, without colours.
fn plain(line: &str) -> Cow<'_, str> {
    match colourless(line) {
        Cow::Borrowed(line) => match bare(line) {
            Cow::Borrowed(text) => Cow::Borrowed(text),
            // An object's `log` may have held colours, escaped.
            Cow::Owned(text) => Cow::Owned(colourless(&text).into_owned()),
        },
        Cow::Owned(line) => Cow::Owned(colourless(&bare(&line)).into_owned()),
    }
}

fn colourless(line: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(0x1b, line.as_bytes()) else { return Cow::Borrowed(line) };
    let mut text = String::new();
    strip_colour(line, first, &mut text);
    Cow::Owned(text)
}

/// A line that a gateway wrote at `time` about this hop.
pub(crate) fn line_of(hop: Hop<'_>, time: Option<LogTime>) -> LogLine<'_> {
    LogLine { process: None, pid: None, level: None, time, event: Event::Hop(Box::new(hop)) }
}

/// `text` from where `part`, a piece of it, begins.
fn suffix<'a>(text: &'a str, part: &str) -> &'a str {
    let at = part.as_ptr().addr().wrapping_sub(text.as_ptr().addr());
    text.get(at..).unwrap_or_default()
}

pub(crate) const SECONDS: u32 = 9;
pub(crate) const MILLISECONDS: u32 = 6;
pub(crate) const MICROSECONDS: u32 = 3;
pub(crate) const NANOSECONDS: u32 = 0;

/// A decimal number of seconds (`UNIT` 9), milliseconds (6) … as nanoseconds: its digits, moved, and
/// what is finer than a nanosecond rounded.
pub(crate) fn ns<const UNIT: u32>(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let mut value = 0_i64;
    let mut missing = None;
    for byte in digits.bytes() {
        match (byte, missing) {
            (b'0'..=b'9', None) => value = value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?,
            (b'0'..=b'9', Some(0)) => break,
            (b'0'..=b'9', Some(places)) => {
                value = value.checked_mul(10)?.checked_add(i64::from(byte - b'0'))?;
                missing = Some(places - 1);
            }
            (b'.', None) => missing = Some(UNIT),
            _ => return scientific(text, UNIT),
        }
    }
    let scale = 10_i64.pow(missing.unwrap_or(UNIT));
    let fraction = digits.split_once('.').map(|(_, fraction)| fraction);
    let whole_is_there = digits.as_bytes().first().is_some_and(u8::is_ascii_digit);
    if !whole_is_there || fraction.is_some_and(|f| f.is_empty() || !f.bytes().all(|b| b.is_ascii_digit())) {
        return scientific(text, UNIT).filter(|_| whole_is_there && fraction != Some(""));
    }
    let rounded = fraction.and_then(|f| f.as_bytes().get(UNIT as usize)).is_some_and(|next| *next >= b'5');
    Some(sign * value.checked_mul(scale)?.checked_add(i64::from(rounded))?)
}

/// `9.5e-05`, as JSON encoders write small numbers: through a float.
fn scientific(text: &str, unit: u32) -> Option<i64> {
    let number: f64 = text.parse().ok().filter(|_| memchr::memchr2(b'e', b'E', text.as_bytes()).is_some())?;
    let ns = (number * 10_f64.powi(unit.try_into().ok()?)).round();
    (ns.abs() < 9e18).then_some(ns as i64)
}

/// The float nearest to so many nanoseconds.
pub(crate) fn seconds(ns: i64) -> f64 {
    ns as f64 / 1e9
}

/// Nanoseconds since 1970 → an instant with that resolution.
pub(crate) fn at(unix_ns: i64, resolution_ns: i64, slack_ns: i64) -> HopTime {
    HopTime { time: LogTime::Unix { unix_ns, resolution_ns }, slack_ns }
}

/// Seconds since 1970, of a year from 1973 on: fewer are another number.
pub(crate) fn unix_ns(text: &str) -> Option<i64> {
    ns::<SECONDS>(text).filter(|ns| *ns >= 100_000_000_000_000_000)
}

/// A status; what stands for none (`-`, 0, -1; nginx's 009 for HTTP/0.9, which has none) is none.
pub(crate) fn status(text: &str) -> Reading<'_, Option<u16>> {
    match text.parse() {
        Ok(status @ 100..=999) if text.len() == 3 => Ok(Some(status)),
        Ok(0) => Ok(None),
        Ok(1..100) if text.len() == 3 => Ok(None),
        _ if matches!(text, "-" | "-1" | "") => Ok(None),
        _ => Err((text, "a status of three digits")),
    }
}

/// A number of bytes; none for `-` and nothing.
pub(crate) fn bytes(text: &str) -> Reading<'_, Option<u64>> {
    given(text).map(|text| text.parse().map_err(|_| (text, "a number of bytes"))).transpose()
}

/// The trace id of `00-<32 digits>-<16 digits>-<2 digits>`
/// (<https://www.w3.org/TR/trace-context/#traceparent-header>).
pub(crate) fn trace_id(traceparent: &str) -> Option<&str> {
    let mut parts = traceparent.split('-');
    let (version, id, span) = (parts.next()?, parts.next()?, parts.next()?);
    (version.len() == 2 && span.len() == 16).then_some(id).and_then(hex32)
}

/// The text, if it can be a trace id.
pub(crate) fn hex32(text: &str) -> Option<&str> {
    let is_id = text.len() == 32
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && text.bytes().any(|byte| byte != b'0');
    is_id.then_some(text)
}

/// Text that is there: neither empty nor the `-` that stands for nothing.
pub(crate) fn given(text: &str) -> Option<&str> {
    (!matches!(text, "" | "-")).then_some(text)
}

/// A request target's path: without its query, which may hold a key, and without scheme and authority,
/// which HTTP/2 has and which may hold a password. None for `-` and for what has no path.
pub(crate) fn path(target: &str) -> Option<&str> {
    let target = given(target)?.split(['?', '#']).next().unwrap_or_default();
    let path = match target.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |at| rest.get(at..).unwrap_or_default()),
        None => target,
    };
    given(path)
}

/// An upstream as it is named, without a query or a password.
pub(crate) fn upstream(name: &str) -> Option<Cow<'_, str>> {
    let name = given(name)?.split(['?', '#']).next().unwrap_or_default();
    let (scheme, rest) = name.split_once("://").unwrap_or(("", name));
    let authority = rest.split('/').next().unwrap_or_default();
    Some(match authority.rsplit_once('@') {
        Some((user, _)) if !scheme.is_empty() => {
            format!("{scheme}://{}", rest.get(user.len() + 1..).unwrap_or_default()).into()
        }
        _ => name.into(),
    })
}

/// `address:port` of a client, an IPv6 address in brackets whether the product writes them or not; an
/// IPv4 address that came over an IPv6 socket is that address.
pub(crate) fn client(text: &str) -> Option<Cow<'_, str>> {
    let text = given(text)?;
    let Some((address, port)) = text.rsplit_once(':').filter(|(address, _)| address.contains(':')) else {
        return Some(text.into());
    };
    let address = address.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).unwrap_or(address);
    Some(match address.strip_prefix("::ffff:").filter(|four| four.contains('.')) {
        Some(four) => format!("{four}:{port}").into(),
        None => format!("[{address}]:{port}").into(),
    })
}

/// What stood between the quotes of a JSON string, escapes decoded; none where it is empty or `-`.
pub(crate) fn decoded(raw: &str) -> Option<Cow<'_, str>> {
    let raw = given(raw)?;
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Some(Cow::Borrowed(raw));
    }
    let mut text = String::new();
    unescape(raw, &mut text);
    Some(Cow::Owned(text))
}

/// One field of a JSON object: its value as written, and whether it was a string.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value<'a> {
    pub(crate) raw: &'a str,
    pub(crate) quoted: bool,
}

impl<'a> Value<'a> {
    /// The value as text; none for `null`.
    pub(crate) fn given(self) -> Option<&'a str> {
        if !self.quoted && self.raw == "null" { None } else { given(self.raw) }
    }

    /// The first string of an array, or the string itself.
    pub(crate) fn first(self) -> &'a str {
        if self.quoted {
            return self.raw;
        }
        let inside = self.raw.strip_prefix('[').map_or("", str::trim_ascii_start);
        let Some(content) = inside.strip_prefix('"') else { return "" };
        let mut escaped = false;
        let end = content.bytes().position(|byte| {
            let is_end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            is_end
        });
        end.and_then(|end| content.get(..end)).unwrap_or_default()
    }
}

/// Hands every field of the JSON object, which must be all of `text` and may be empty, to `take`.
pub(crate) fn fields<'a>(text: &'a str, mut take: impl FnMut(&'a str, Value<'a>)) -> Reading<'a, ()> {
    if text == "{}" {
        return Ok(());
    }
    each_field(text, |key, at: Range<usize>| {
        let quoted = at.start > 0 && text.as_bytes().get(at.start - 1) == Some(&b'"');
        take(key, Value { raw: text.get(at).unwrap_or_default(), quoted });
    })
    .map_err(|expected| (expected.at, expected.what))
}

/// The `key=value` pairs of a line. A value goes on until the next ` key=`, so that it may hold
/// blanks; one in quotes goes on to the closing quote.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let length = key_len(rest)?;
        let key = rest.get(..length)?;
        let value = rest.get(length + 1..)?;
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => value.split_at_checked(value_len(value))?,
        };
        rest = after.trim_ascii_start();
        Some((key, value))
    })
}

/// Length of the key at the beginning, if there is one with `=` behind it.
pub(crate) fn key_len(text: &str) -> Option<usize> {
    let length = text.bytes().position(|byte| !(byte.is_ascii_alphanumeric() || byte == b'_'))?;
    (length > 0 && text.as_bytes().get(length) == Some(&b'=')).then_some(length)
}

fn value_len(value: &str) -> usize {
    for blank in memchr::memchr_iter(b' ', value.as_bytes()) {
        if value.get(blank + 1..).and_then(key_len).is_some() {
            return blank;
        }
    }
    value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_nanoseconds_by_their_digits() {
        assert_eq!(ns::<SECONDS>("0.201"), Some(201_000_000));
        assert_eq!(ns::<SECONDS>("1795531667.762"), Some(1_795_531_667_762_000_000));
        assert_eq!(ns::<SECONDS>("0.212123685"), Some(212_123_685));
        assert_eq!(ns::<MILLISECONDS>("0.31541199999999997"), Some(315_412));
        assert_eq!(ns::<MILLISECONDS>("-1"), Some(-1_000_000));
        assert_eq!(ns::<MICROSECONDS>("1e-1"), Some(100));
        assert_eq!(ns::<SECONDS>("9.5e-05"), Some(95_000));
        assert_eq!(ns::<NANOSECONDS>("210955222"), Some(210_955_222));
        for text in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "1.2.3",
            "1.2345678901x",
            "x",
            "nan",
            "1e",
            "1e40",
            "99999999999999999999",
        ] {
            assert_eq!(ns::<SECONDS>(text), None, "{text}");
        }
    }

    #[test]
    fn a_path_holds_no_key_and_no_password() {
        assert_eq!(path("/v1/chat/completions?api_key=sk-1"), Some("/v1/chat/completions"));
        assert_eq!(path("https://u:p@gw.example/v1/chat/completions?a#b"), Some("/v1/chat/completions"));
        assert_eq!(path("https://gw.example?key=sk-1"), Some("/"));
        for none in ["", "-", "?key=sk-1"] {
            assert_eq!(path(none), None);
        }
        assert_eq!(
            upstream("https://u:p@h:1/v1:generate?key=AIza").as_deref(),
            Some("https://h:1/v1:generate")
        );
        assert_eq!(upstream("127.0.0.1:21000").as_deref(), Some("127.0.0.1:21000"));
        assert_eq!(upstream("-"), None);
    }

    #[test]
    fn clients_are_written_alike() {
        assert_eq!(client("127.0.0.1:38930").as_deref(), Some("127.0.0.1:38930"));
        assert_eq!(client("::1:38930").as_deref(), Some("[::1]:38930"));
        assert_eq!(client("[::1]:38930").as_deref(), Some("[::1]:38930"));
        assert_eq!(client("::ffff:127.0.0.1:38930").as_deref(), Some("127.0.0.1:38930"));
        assert_eq!(client("127.0.0.1").as_deref(), Some("127.0.0.1"));
        assert_eq!(client("-"), None);
    }

    #[test]
    fn values_may_hold_blanks() {
        let line = "ua=a:1, b:2 : c:3 urt=0.001, - : 0.2 rid= tz=12 +0000 req=\"GET /?a=b c=d\" rc=OK";
        let found: Vec<_> = pairs(line).collect();
        assert_eq!(
            found,
            [
                ("ua", "a:1, b:2 : c:3"),
                ("urt", "0.001, - : 0.2"),
                ("rid", ""),
                ("tz", "12 +0000"),
                ("req", "GET /?a=b c=d"),
                ("rc", "OK"),
            ]
        );
    }

    #[test]
    fn only_whole_trace_ids_are_taken() {
        let id = "51b0000000000000000000000000cdef";
        assert_eq!(trace_id(&format!("00-{id}-3203a61a9ada643b-01")), Some(id));
        assert_eq!(trace_id(&format!("00-{id}-3203")), None);
        assert_eq!(trace_id(&format!("00-{}-3203a61a9ada643b-01", "0".repeat(32))), None);
    }

    #[test]
    fn the_first_of_several_header_values_is_taken() {
        let first = |raw| Value { raw, quoted: false }.first();
        assert_eq!(first(r#"["a\"b","c"]"#), r#"a\"b"#);
        assert_eq!(first("[]"), "");
        assert_eq!(first("7"), "");
    }
}
