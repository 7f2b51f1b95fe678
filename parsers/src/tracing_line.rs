//! Messages in the style of Rust's `tracing`, which vLLM's Rust front end writes: spans with fields,
//! a text, fields after it. It must not know what stands before the message.

use crate::event::Event;
use crate::line::{Read, Wanted, fail};

/// Whether the message begins with a span that has fields: `chat_completions{request_id=…}: …`.
pub(crate) fn has_span(message: &str) -> bool {
    message
        .bytes()
        .position(|byte| !(byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'))
        .is_some_and(|at| at > 0 && message.as_bytes().get(at) == Some(&b'{'))
}

/// A message with or without spans before it.
pub(crate) fn message(input: &str) -> Read<'_, Event<'_>> {
    let (spans, body) = if has_span(input) {
        match input.split_once("}: ") {
            Some(split) => split,
            None => return fail("", "`}: ` after the spans"),
        }
    } else {
        ("", input)
    };
    let text = text_before_fields(body);
    let event = if text.ends_with("completion finished") || text == "generate finished" {
        finished(spans, body)?
    } else if text == "auto-aborting request due to dropped stream" {
        Event::Aborted { request_ids: required(body, "request_id", "`request_id=`")? }
    } else if text == "http request" {
        access(body)?
    } else if text.ends_with(" failed") {
        Event::Failed { request_id: field(spans, "request_id"), reason: body }
    } else {
        Event::Other
    };
    Ok(("", event))
}

fn finished<'a>(spans: &'a str, body: &'a str) -> Wanted<'a, Event<'a>> {
    Ok(Event::Finished {
        request_id: required(spans, "request_id", "`request_id=` in a span")?,
        input_tokens: Some(number(body, "prompt_tokens", "`prompt_tokens=` and a number")?),
        output_tokens: Some(number(body, "output_tokens", "`output_tokens=` and a number")?),
        finish_reason: Some(required(body, "finish_reason", "`finish_reason=`")?),
    })
}

fn access(body: &str) -> Wanted<'_, Event<'_>> {
    let status: u32 = number(body, "status", "`status=` and three digits")?;
    match u16::try_from(status) {
        Ok(status @ 100..=999) => Ok(Event::Access {
            client: "",
            port: None,
            method: required(body, "method", "`method=`")?,
            path: required(body, "path", "`path=`")?,
            status,
        }),
        _ => fail(body, "`status=` and three digits"),
    }
}

fn required<'a>(fields: &'a str, key: &str, what: &'static str) -> Wanted<'a, &'a str> {
    match field(fields, key) {
        Some(value) => Ok(value),
        None => fail("", what),
    }
}

fn number<'a>(fields: &'a str, key: &str, what: &'static str) -> Wanted<'a, u32> {
    match field(fields, key).and_then(|value| value.parse().ok()) {
        Some(number) => Ok(number),
        None => fail("", what),
    }
}

/// The words before the first `key=`.
fn text_before_fields(body: &str) -> &str {
    match memchr::memchr(b'=', body.as_bytes()) {
        Some(at) => {
            let before = body.get(..at).unwrap_or_default();
            before.rsplit_once(' ').map_or("", |(text, _)| text)
        }
        None => body,
    }
}

/// The value of `key`: what stands between its quotes, or up to the next blank or brace. A quoted
/// value that does not end is none.
pub(crate) fn field<'a>(fields: &'a str, key: &str) -> Option<&'a str> {
    let mut rest = fields;
    loop {
        let (before, after) = rest.split_once('=')?;
        let name = before
            .rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
            .next()
            .unwrap_or_default();
        let (value, tail) = if let Some(quoted) = after.strip_prefix('"') {
            let end = closing_quote(quoted)?;
            (quoted.get(..end)?, quoted.get(end + 1..)?)
        } else {
            let end = after.find([' ', '}']).unwrap_or(after.len());
            after.split_at_checked(end)?
        };
        if name == key {
            return Some(value);
        }
        rest = tail;
    }
}

fn closing_quote(quoted: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = memchr::memchr2(b'"', b'\\', quoted.as_bytes().get(from..)?)?;
        if quoted.as_bytes().get(from + at) == Some(&b'"') {
            return Some(from + at);
        }
        from += at + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_whole_name() {
        let fields = r#"a{engine_request_id="x \"y\" request_id=no" request_id=yes}"#;
        assert_eq!(field(fields, "request_id"), Some("yes"));
        assert_eq!(field(fields, "engine_request_id"), Some(r#"x \"y\" request_id=no"#));
        assert_eq!(field(fields, "id"), None);
        assert_eq!(field(r#"a="never closed"#, "a"), None);
    }

    #[test]
    fn a_failure_names_the_span_s_request() {
        let line = r#"chat_completions{request_id=chatcmpl-1 engine_request_id="e"}: chat stream failed error=engine is dead"#;
        assert_eq!(
            message(line),
            Ok((
                "",
                Event::Failed {
                    request_id: Some("chatcmpl-1"),
                    reason: "chat stream failed error=engine is dead"
                }
            ))
        );
    }
}
