//! One line from bytes on disk to a parsed line: line end, colours, JSON, then head and message by
//! the rules of a dialect. It must not know any dialect.

use crate::error::ParseError;
use crate::event::{Event, LogLine, Parsed};
use crate::head::{self, Head, Outer};
use crate::json_line::{self, Fields};
use crate::line::{Read, after_carriage_return, expected_of, strip_colour, without_line_end};
use crate::time::LogTime;

/// How one format's lines read once they are plain text.
pub(crate) struct Dialect {
    pub(crate) name: &'static str,
    /// Whether lines by this logger, or in this logger's shape, are the format's.
    pub(crate) writes_as: fn(&str) -> bool,
    pub(crate) message: fn(&str) -> Read<'_, Event<'_>>,
}

impl Dialect {
    fn owns(&self, head: &Head<'_>) -> bool {
        head.logger.is_none_or(self.writes_as)
    }
}

fn foreign(dialect: &Dialect, text: &str) -> ParseError {
    ParseError::at(dialect.name, "a line by another logger", text, text)
}

pub(crate) fn read<'a>(dialect: &Dialect, line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    let line = without_line_end(line);
    let Some(first_escape) = memchr::memchr(0x1b, line.as_bytes()) else {
        return match object(line) {
            Some((before, text)) => json(dialect, &before, text, scratch),
            None => plain(dialect, line),
        };
    };
    scratch.clear();
    strip_colour(line, first_escape, scratch);
    if object(scratch).is_some() { coloured_json(dialect, scratch) } else { plain(dialect, scratch) }
}

/// A line that is an object, and what stands before it.
fn object(line: &str) -> Option<(Outer<'_>, &str)> {
    match line.as_bytes().first()? {
        b'{' => Some((Outer::default(), line)),
        b'(' | b'0'..=b'9' => head::outer(line).ok().map(|(rest, before)| (before, rest)),
        _ => None,
    }
    .filter(|(_, text)| text.starts_with('{'))
}

fn plain<'a>(dialect: &Dialect, text: &'a str) -> Parsed<'a> {
    let error = match head_and_message(dialect, text) {
        Ok(line) => return Parsed::Line(line),
        Err(error) => error,
    };
    if text.trim_ascii().is_empty() {
        return Parsed::Blank;
    }
    // A progress bar rewrites its own line; what a terminal would show may still be a log line.
    after_carriage_return(text)
        .and_then(|last| head_and_message(dialect, last).ok())
        .map_or(Parsed::Unknown(error), Parsed::Line)
}

fn head_and_message<'a>(dialect: &Dialect, text: &'a str) -> Result<LogLine<'a>, ParseError> {
    let failed = |error| expected_of(error).into_error(dialect.name, text);
    let (message, head) = head::plain(text).map_err(failed)?;
    if !dialect.owns(&head) {
        return Err(foreign(dialect, text));
    }
    let (_, event) = (dialect.message)(message).map_err(failed)?;
    Ok(line_of(head, event))
}

fn json<'a>(dialect: &Dialect, before: &Outer<'a>, text: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    match json_line::fields(text) {
        Err(expected) => Parsed::Unknown(expected.into_error(dialect.name, text)),
        Ok(fields) => match fields.raw_message(text) {
            Some(raw) if memchr::memchr(b'\\', raw.as_bytes()).is_some() => {
                scratch.clear();
                decode(raw, scratch);
                json_message(dialect, head_of(before, &fields, text), text, Some(scratch))
            }
            raw => json_message(dialect, head_of(before, &fields, text), text, raw),
        },
    }
}

/// vLLM's brackets name a process that Python does not.
fn head_of<'a>(before: &Outer<'a>, fields: &Fields, text: &'a str) -> Head<'a> {
    let head = fields.head(text);
    let (process, pid) = before.process.unzip();
    Head {
        process: process.or(head.process),
        pid: pid.or(head.pid),
        time: LogTime::better(before.stamp, head.time),
        ..head
    }
}

/// A JSON line that something coloured: rare enough to be read through a copy. The text and the
/// decoded message share the buffer.
fn coloured_json<'a>(dialect: &Dialect, scratch: &'a mut String) -> Parsed<'a> {
    let line = scratch.clone();
    let text = object(&line).map_or(line.as_str(), |(_, text)| text);
    let fields = match json_line::fields(text) {
        Err(expected) => return Parsed::Unknown(expected.into_error(dialect.name, text)),
        Ok(fields) => fields,
    };
    let mut message = String::new();
    if let Some(raw) = fields.raw_message(text) {
        decode(raw, &mut message);
    }
    let has_message = fields.raw_message(text).is_some();
    scratch.push_str(&message);
    let (line, message) = scratch.split_at(line.len());
    let (before, text) = object(line).unwrap_or_default();
    json_message(dialect, head_of(&before, &fields, text), text, has_message.then_some(message))
}

/// The escapes of a JSON string, and then the colours that were escaped in it.
fn decode(raw: &str, out: &mut String) {
    json_line::unescape(raw, out);
    if let Some(first) = memchr::memchr(0x1b, out.as_bytes()) {
        let coloured = std::mem::take(out);
        strip_colour(&coloured, first, out);
    }
}

fn json_message<'a>(
    dialect: &Dialect,
    head: Head<'a>,
    text: &'a str,
    message: Option<&'a str>,
) -> Parsed<'a> {
    let Some(message) = message else {
        let expected = "a `message` field";
        return Parsed::Unknown(ParseError::at(dialect.name, expected, text, text));
    };
    if head.level.is_none() {
        let expected = "a `levelname` field";
        return Parsed::Unknown(ParseError::at(dialect.name, expected, text, text));
    }
    if !dialect.owns(&head) {
        return Parsed::Unknown(foreign(dialect, text));
    }
    match (dialect.message)(message) {
        Ok((_, event)) => Parsed::Line(line_of(head, event)),
        Err(error) => Parsed::Unknown(expected_of(error).into_error(dialect.name, message)),
    }
}

fn line_of<'a>(head: Head<'a>, event: Event<'a>) -> LogLine<'a> {
    LogLine { process: head.process, pid: head.pid, level: head.level, time: head.time, event }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::vllm;

    /// vLLM 0.10 to 0.30 writes its brackets before whatever goes to standard output, a line of JSON too, with colours
    /// unless they are forbidden.
    #[test]
    fn an_object_is_read_behind_what_others_put_before_it() {
        let object = r#"{"asctime": "2026-11-24 15:14:53,462", "levelname": "INFO", "processName": "MainProcess", "message": "Added request \"a\"."}"#;
        for before in [
            "(APIServer pid=7) ",
            "\u{1b}[0;36m(APIServer pid=7)\u{1b}[0;0m ",
            "2026-11-24T15:14:53.462123456Z stdout F (APIServer pid=7) ",
        ] {
            let (line, mut scratch) = (format!("{before}{object}"), String::new());
            let Parsed::Line(line) = vllm::parse(&line, &mut scratch) else { panic!("{line}") };
            assert_eq!(line.event, Event::Added { request_id: "\"a\"" }, "{before}");
            assert_eq!((line.process, line.pid, line.level), (Some("APIServer"), Some(7), Some("INFO")));
            let absolute = matches!(line.time, Some(LogTime::Unix { .. }));
            assert_eq!(absolute, before.starts_with('2'), "{:?}", line.time);
        }
        // No object after all.
        for line in ["(APIServer pid=7) {'a': 1}", "(APIServer pid=7) {", "7 {}"] {
            assert!(matches!(vllm::parse(line, &mut String::new()), Parsed::Unknown(_)), "{line}");
        }
    }
}
