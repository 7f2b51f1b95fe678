//! One line from bytes on disk to a parsed line: line end, colours, JSON, then head and message by
//! the rules of a dialect. It must not know any dialect.

use crate::error::ParseError;
use crate::event::{Event, LogLine, Parsed};
use crate::head::{self, Head};
use crate::json_line::{self, Fields};
use crate::line::{Read, after_carriage_return, expected_of, strip_colour, without_line_end};

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
    let first_escape = memchr::memchr(0x1b, line.as_bytes());
    if first_escape.is_none() && !line.starts_with('{') {
        return plain(dialect, line);
    }
    scratch.clear();
    match first_escape {
        None => json(dialect, line, scratch),
        Some(first) => {
            strip_colour(line, first, scratch);
            if scratch.starts_with('{') { coloured_json(dialect, scratch) } else { plain(dialect, scratch) }
        }
    }
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

fn json<'a>(dialect: &Dialect, text: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    match json_line::fields(text) {
        Err(expected) => Parsed::Unknown(expected.into_error(dialect.name, text)),
        Ok(fields) => match fields.raw_message(text) {
            Some(raw) if memchr::memchr(b'\\', raw.as_bytes()).is_some() => {
                decode(raw, scratch);
                json_message(dialect, &fields, text, Some(scratch))
            }
            raw => json_message(dialect, &fields, text, raw),
        },
    }
}

/// A JSON line that something coloured: rare enough to be read through a copy. The text and the
/// decoded message share the buffer.
fn coloured_json<'a>(dialect: &Dialect, scratch: &'a mut String) -> Parsed<'a> {
    let text = scratch.clone();
    let fields = match json_line::fields(&text) {
        Err(expected) => return Parsed::Unknown(expected.into_error(dialect.name, &text)),
        Ok(fields) => fields,
    };
    let mut message = String::new();
    if let Some(raw) = fields.raw_message(&text) {
        decode(raw, &mut message);
    }
    let has_message = fields.raw_message(&text).is_some();
    scratch.push_str(&message);
    let (text, message) = scratch.split_at(text.len());
    json_message(dialect, &fields, text, has_message.then_some(message))
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
    fields: &Fields,
    text: &'a str,
    message: Option<&'a str>,
) -> Parsed<'a> {
    let head = fields.head(text);
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
