//! What stands around a line when it did not come straight from its program: a byte-order mark, docker
//! compose's `name  | `, the `stamp stdout F ` of a container run-time's file, syslog's framing, an object
//! whose `log` is the line (docker's json-file, fluent-bit). It must not know any product.

use std::borrow::Cow;

use crate::hop_text::{Value, fields};
use crate::json_line::unescape;
use crate::syslog_frame;
use crate::time::{LogTime, iso};

/// Bytes in which a compose prefix ends, its name among them.
const LONGEST_NAME: usize = 96;
const BYTE_ORDER_MARK: char = '\u{feff}';
const STREAMS: [&str; 2] = ["stdout", "stderr"];

/// Docker cuts a program's line into parts of so many bytes.
const DOCKER_PART_BYTES: usize = 16 << 10;

/// A line of a container run-time's file: what the program wrote, whole or in part. A run-time cuts long lines,
/// and each stream's parts follow each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RunTimeLine<'a> {
    /// When the run-time read it, where that is said.
    pub time: Option<LogTime>,
    pub stream: &'a str,
    /// The program's line goes on in the stream's next line, or ends with this one.
    pub goes_on: bool,
    pub message: Cow<'a, str>,
}

/// Kubernetes' `2026-11-24T14:50:50.553123456Z stdout F message`, with `P` where it goes on; `None`: it is no such
/// line.
pub fn run_time_line(line: &str) -> Option<RunTimeLine<'_>> {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    if !line.as_bytes().first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let (rest, time) = iso(line).ok()?;
    let rest = rest.strip_prefix(' ')?;
    let (stream, rest) = rest.split_once(' ').filter(|(stream, _)| STREAMS.contains(stream))?;
    // Tags are parted by colons, this one is the first; an empty message may end with it.
    let (tags, message) = rest.split_once(' ').unwrap_or((rest, ""));
    let message = Cow::Borrowed(message);
    let goes_on = match tags.split(':').next() {
        Some("P") => true,
        Some("F") => false,
        _ => return None,
    };
    Some(RunTimeLine { time: Some(time), stream, goes_on, message })
}

/// `{"log":"message\n","stream":"stdout","time":"…"}` of docker's json-file; `None`: it is no such line. Only a part
/// has no line end, but such as pass these objects on take it off: what is shorter than a part is whole.
pub fn docker_line(line: &str) -> Option<RunTimeLine<'_>> {
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_end();
    if !line.starts_with("{\"log\":\"") {
        return None;
    }
    let (mut log, mut stream, mut time) = (None, None, None);
    let whole = fields(line, |key, value: Value<'_>| match key {
        "log" if value.quoted => log = Some(value.raw),
        "stream" if value.quoted => stream = Some(value.raw),
        "time" if value.quoted => time = iso(value.raw).ok().map(|(_, time)| time),
        _ => {}
    });
    whole.ok()?;
    let stream = stream.filter(|stream| STREAMS.contains(stream))?;
    let mut message = String::new();
    unescape(log?, &mut message);
    let goes_on = !message.ends_with('\n') && message.len() >= DOCKER_PART_BYTES;
    message.truncate(message.trim_end_matches(['\n', '\r']).len());
    Some(RunTimeLine { time, stream, goes_on, message: Cow::Owned(message) })
}

/// The line as its program wrote it, syslog's framing left on.
pub(crate) fn bare(line: &str) -> Cow<'_, str> {
    let line = line.trim_end_matches(['\n', '\r']);
    let line = line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line);
    let line = without_run_time(without_compose(line));
    match logged(line) {
        None => Cow::Borrowed(line),
        Some(raw) => {
            let mut text = String::new();
            unescape(raw, &mut text);
            text.truncate(text.trim_end_matches(['\n', '\r']).len());
            Cow::Owned(text)
        }
    }
}

/// The text without syslog's framing, or a stamp alone as `kubectl logs --timestamps` puts it; as it is if
/// it begins as the product's own lines do.
pub(crate) fn own<'a>(text: &'a str, begins: &[char]) -> &'a str {
    if text.starts_with(begins) { text } else { syslog_frame::split(text).1 }
}

/// `gateway-1  | `
fn without_compose(line: &str) -> &str {
    let head = line.as_bytes().get(..LONGEST_NAME.min(line.len())).unwrap_or_default();
    let Some(bar) = memchr::memmem::find(head, b" | ") else { return line };
    let name = line.get(..bar).unwrap_or_default().trim_end_matches(' ');
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let after = line.get(bar + 3..).filter(|_| !name.is_empty() && name.bytes().all(is_name));
    after.unwrap_or(line)
}

/// Without a container run-time's stamp, stream and tag.
fn without_run_time(line: &str) -> &str {
    match run_time_line(line).map(|found| found.message) {
        Some(Cow::Borrowed(message)) => message,
        _ => line,
    }
}

/// `{"log":"…\n","stream":"stdout","time":"…"}`: what stands in `log`, still escaped.
fn logged(line: &str) -> Option<&str> {
    if !line.starts_with('{') || memchr::memmem::find(line.as_bytes(), b"\"log\":").is_none() {
        return None;
    }
    let mut found = None;
    let whole = fields(line, |key, value: Value<'_>| {
        if key == "log" && value.quoted {
            found = Some(value.raw);
        }
    });
    whole.ok().and(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_stands_around_it_the_line_is_the_same() {
        for line in [
            "a \"b\" | c",
            "a \"b\" | c\r\n",
            "\u{feff}a \"b\" | c",
            "gateway-1  | a \"b\" | c",
            "2026-11-24T14:50:50.553123456Z stdout F a \"b\" | c",
            "2026-11-24T14:50:50.553123456+01:00 stderr P a \"b\" | c",
            r#"{"log":"a \"b\" | c\n","stream":"stdout","time":"2026-11-24T14:50:50.5Z"}"#,
            r#"{"date":1795531850.1, "log": "a \"b\" | c"}"#,
        ] {
            assert_eq!(bare(line), "a \"b\" | c", "{line}");
        }
    }

    #[test]
    fn a_container_run_time_says_where_a_line_goes_on() {
        let line =
            |text| run_time_line(text).map(|line| (line.stream, line.goes_on, line.message.into_owned()));
        assert_eq!(
            line("2026-11-26T20:15:43.1Z stdout P {\"a\": "),
            Some(("stdout", true, "{\"a\": ".to_owned()))
        );
        assert_eq!(line("2026-11-26T20:15:43.1Z stderr F:x 1}"), Some(("stderr", false, "1}".to_owned())));
        assert_eq!(line("2026-11-26T20:15:43.1Z stdout F"), Some(("stdout", false, String::new())));
        assert_eq!(line("2026-11-26T20:15:43.1Z stdin F a"), None);
        assert_eq!(line("stdout F a"), None);
    }

    #[test]
    fn docker_says_where_a_line_ends() {
        let line =
            |log: &str| format!(r#"{{"log":"{log}","stream":"stdout","time":"2026-11-24T14:50:50.5Z"}}"#);
        let read = |text: &str| {
            docker_line(text).map(|line| (line.stream == "stdout", line.goes_on, line.message.len()))
        };
        let part = "x".repeat(DOCKER_PART_BYTES);
        assert_eq!(read(&line(&part)), Some((true, true, DOCKER_PART_BYTES)));
        // Its bytes are counted as the program wrote them.
        assert_eq!(read(&line(&"\\u0022".repeat(4096))), Some((true, false, 4096)));
        assert_eq!(read(&line(&format!("{part}\\n"))), Some((true, false, DOCKER_PART_BYTES)));
        assert_eq!(read(&line("a \\\"b\\\" | c\\n")), Some((true, false, 9)));
        // Of someone who takes the line's end off.
        assert_eq!(read(&line("short")), Some((true, false, 5)));
        for none in
            [r#"{"log":"a","stream":"x"}"#, r#"{"log":"a"}"#, r#"{"log":{"a":"b"},"stream":"stdout"}"#]
        {
            assert_eq!(docker_line(none), None);
        }
    }

    #[test]
    fn what_only_looks_like_it_stays() {
        for line in [
            "",
            "| a",
            "two words | a",
            "2026-11-24T14:50:50Z stdout a",
            "2026-11-24T14:50:50Z stdout X a",
            r#"{"log":{"a":"b"}}"#,
            r#"{"log":"a"#,
        ] {
            assert_eq!(bare(line), line);
        }
    }
}
