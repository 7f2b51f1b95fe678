//! Log lines that are one flat JSON object each, as Python's JSON formatters write them: finds the
//! few fields that make a head and a message. It must not know what messages say.

use std::ops::Range;

use nom::Parser;
use nom::bytes::complete::take_while1;
use nom::character::complete::multispace0;

use crate::head::Head;
use crate::line::{Expected, Read, byte, expect, fail};
use crate::time::{LogTime, iso, unix_seconds};

/// Where the fields lie in the text, strings without their quotes and still escaped.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Fields {
    message: Option<Range<usize>>,
    level: Option<Range<usize>>,
    time: Option<Range<usize>>,
    created: Option<Range<usize>>,
    process_name: Option<Range<usize>>,
    vllm_process_name: Option<Range<usize>>,
    pid: Option<Range<usize>>,
    logger: Option<Range<usize>>,
}

/// Reads the object, which must be the whole text.
pub(crate) fn fields(text: &str) -> Result<Fields, Expected<'_>> {
    let mut fields = Fields::default();
    each_field(text, |key, value| fields.keep(key, value))?;
    Ok(fields)
}

/// Hands every field of the object, which must be the whole text, to `keep`: its name, and where its
/// value lies. Strings come without their quotes and still escaped.
pub(crate) fn each_field<'a>(
    text: &'a str,
    keep: impl FnMut(&'a str, Range<usize>),
) -> Result<(), Expected<'a>> {
    object(text, keep).map(|(_, ())| ()).map_err(crate::line::expected_of)
}

impl Fields {
    /// The message as written, escapes and all; none if the object has no `message`.
    pub(crate) fn raw_message<'a>(&self, text: &'a str) -> Option<&'a str> {
        slice(text, self.message.as_ref())
    }

    pub(crate) fn head<'a>(&self, text: &'a str) -> Head<'a> {
        let process = self.vllm_process_name.as_ref().or(self.process_name.as_ref());
        Head {
            process: slice(text, process),
            pid: slice(text, self.pid.as_ref()).and_then(|pid| pid.parse().ok()),
            level: slice(text, self.level.as_ref()),
            logger: slice(text, self.logger.as_ref()),
            time: slice(text, self.created.as_ref())
                .and_then(|time| whole(unix_seconds, time))
                .or_else(|| slice(text, self.time.as_ref()).and_then(|time| whole(iso, time))),
        }
    }
}

/// Appends `raw` to `out`, escapes decoded. What is no valid escape stays as written, and half of a
/// surrogate pair becomes U+FFFD: a message must not be lost for the sake of one character.
pub(crate) fn unescape(raw: &str, out: &mut String) {
    out.reserve(raw.len());
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(rest.get(..at).unwrap_or_default());
        let escape = rest.get(at..).unwrap_or_default();
        let (char, length) = escaped_char(escape.as_bytes()).unwrap_or(('\\', 1));
        out.push(char);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
}

/// The character that an escape stands for, and the escape's length.
fn escaped_char(escape: &[u8]) -> Option<(char, usize)> {
    let simple = match escape.get(1)? {
        b'u' => {
            let unit = code_unit(escape)?;
            let low = escape.get(6..).and_then(code_unit);
            return Some(match (unit, low) {
                (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
                    let scalar = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                    (char::from_u32(scalar).unwrap_or('\u{fffd}'), 12)
                }
                _ => (char::from_u32(unit).unwrap_or('\u{fffd}'), 6),
            });
        }
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
        _ => return None,
    };
    Some((simple, 2))
}

/// The sixteen bits of `\uXXXX`.
fn code_unit(escape: &[u8]) -> Option<u32> {
    let hex = escape.strip_prefix(b"\\u")?.get(..4)?;
    hex.iter().try_fold(0, |unit, digit| char::from(*digit).to_digit(16).map(|value| unit * 16 + value))
}

fn object<'a>(text: &'a str, mut keep: impl FnMut(&'a str, Range<usize>)) -> Read<'a, ()> {
    let (mut rest, ()) = byte(b'{', "`{`").parse(text)?;
    loop {
        let (after_key, key) = blanks(expect("a field name in quotes", string)).parse(rest)?;
        let (at_value, ()) = blanks(byte(b':', "`:` after a field name")).parse(after_key)?;
        let (at_value, _) = multispace0(at_value)?;
        let (after_value, value) = expect("a JSON value", value).parse(at_value)?;
        // A string's value begins after its quote.
        let start = text.len() - at_value.len() + usize::from(at_value.starts_with('"'));
        keep(key, start..start + value.len());
        let (after_value, _) = multispace0(after_value)?;
        rest = match after_value.as_bytes().first() {
            Some(b',') => after_value.get(1..).unwrap_or_default(),
            Some(b'}') => {
                let (end, _) = multispace0(after_value.get(1..).unwrap_or_default())?;
                if !end.is_empty() {
                    return fail(end, "the end of the line after `}`");
                }
                return Ok((end, ()));
            }
            _ => return fail(after_value, "`,` or `}` after a value"),
        };
    }
}

impl Fields {
    fn keep(&mut self, key: &str, value: Range<usize>) {
        let field = match key {
            "message" => &mut self.message,
            "levelname" => &mut self.level,
            "asctime" => &mut self.time,
            "created" => &mut self.created,
            "processName" => &mut self.process_name,
            "vllm_process_name" => &mut self.vllm_process_name,
            "process" => &mut self.pid,
            "name" => &mut self.logger,
            _ => return,
        };
        *field = Some(value);
    }
}

fn blanks<'a, O>(
    mut parser: impl Parser<&'a str, Output = O, Error = Expected<'a>>,
) -> impl FnMut(&'a str) -> Read<'a, O> {
    move |input| {
        let (rest, _) = multispace0(input)?;
        parser.parse(rest)
    }
}

/// What stands between the quotes, still escaped.
fn string(input: &str) -> Read<'_, &str> {
    let (content, ()) = byte(b'"', "`\"`").parse(input)?;
    let mut from = 0;
    loop {
        let tail = content.as_bytes().get(from..).unwrap_or_default();
        match memchr::memchr2(b'"', b'\\', tail) {
            Some(at) if tail.get(at) == Some(&b'"') => {
                return Ok((
                    content.get(from + at + 1..).unwrap_or_default(),
                    content.get(..from + at).unwrap_or_default(),
                ));
            }
            Some(at) => from += at + 2,
            None => return fail("", "the closing quote of a string"),
        }
    }
}

/// A string without its quotes, or any other value as written.
fn value(input: &str) -> Read<'_, &str> {
    match input.as_bytes().first() {
        Some(b'"') => string(input),
        Some(b'{' | b'[') => nested(input),
        _ => take_while1(|c: char| c.is_ascii_alphanumeric() || "+-.".contains(c)).parse(input),
    }
}

/// An object or array inside the line: skipped, only its brackets are matched.
fn nested(input: &str) -> Read<'_, &str> {
    let mut depth = 0_usize;
    let mut rest = input;
    loop {
        rest = match rest.as_bytes().first() {
            None => return fail(rest, "the closing bracket of a nested value"),
            Some(b'"') => string(rest)?.0,
            Some(byte) => {
                match byte {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                let is_mark = |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']');
                let after = rest.as_bytes().get(1..).unwrap_or_default();
                let to_mark =
                    if depth == 0 { 0 } else { after.iter().position(is_mark).unwrap_or(after.len()) };
                rest.get(1 + to_mark..).unwrap_or_default()
            }
        };
        if depth == 0 {
            let length = input.len() - rest.len();
            return Ok((rest, input.get(..length).unwrap_or_default()));
        }
    }
}

fn slice<'a>(text: &'a str, range: Option<&Range<usize>>) -> Option<&'a str> {
    range.and_then(|range| text.get(range.clone()))
}

fn whole(parser: fn(&str) -> Read<'_, LogTime>, text: &str) -> Option<LogTime> {
    match parser(text) {
        Ok(("", time)) => Some(time),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn unescaped(raw: &str) -> String {
        let mut out = String::new();
        unescape(raw, &mut out);
        out
    }

    #[test]
    fn escapes_are_decoded_and_invalid_ones_survive() {
        assert_eq!(unescaped(r#"a \"b\" \\ \/ \n\t"#), "a \"b\" \\ / \n\t");
        assert_eq!(unescaped(r"\u00e9\ud83d\ude00"), "é😀");
        assert_eq!(unescaped(r"\ud83d x \ude00"), "\u{fffd} x \u{fffd}");
        assert_eq!(unescaped(r"\x \u12 \"), r"\x \u12 \");
    }

    #[test]
    fn fields_are_found_in_any_order_beside_nested_ones() {
        let text = r#"{"extra": {"a": [1, "]}"]}, "message": "m \" n", "process" : 12,
            "levelname":"INFO", "created": 1795533127.216578}"#;
        let fields = fields(text).unwrap();
        assert_eq!(fields.raw_message(text), Some(r#"m \" n"#));
        let head = fields.head(text);
        assert_eq!((head.pid, head.level), (Some(12), Some("INFO")));
        assert!(matches!(head.time, Some(LogTime::Unix { .. })));
    }

    #[test]
    fn an_object_cut_short_is_refused() {
        let text = r#"{"a": [1, {"b": "c"}], "message": "m"}"#;
        assert!(fields(text).is_ok());
        for cut in 0..text.len() {
            assert!(fields(&text[..cut]).is_err(), "{}", &text[..cut]);
        }
        assert!(fields("{} x").is_err());
    }
}
