//! The log of SGLang's router (`smg`): the line about a request whose answer has begun, and the
//! errors about it. `latency` is microseconds until the answer's *head*, its unit is not written; the
//! stamp is a civil time of whole seconds. No line tells how an answer ended. It must not know what a
//! reader makes of them.

use crate::event::{Event, LogLine, Parsed};
use crate::hop::{Hop, Product};
use crate::hop_text::{self, MICROSECONDS, Reading, ns, seconds};
use crate::time::iso;
use crate::tracing_line::field;
use crate::wrapped::bare;

const NAME: &str = "sglang_router";
const LEVELS: [&str; 5] = ["INFO", "WARN", "ERROR", "DEBUG", "TRACE"];

/// By the status: 5xx, 4xx, any other.
const ENDS: [&str; 3] =
    ["request failed with server error", "request failed with client error", "finished processing request"];

pub fn recognises(line: &str) -> bool {
    let line = &*bare(line);
    line.contains("smg") && matches!(parse(line, &mut String::new()), Parsed::Line(_))
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    hop_text::read(NAME, line, scratch, message)
}

/// `2026-11-24 15:01:09  INFO http_request{method=… latency=560}: smg::response: file:359: text`
fn message(text: &str) -> Reading<'_, LogLine<'_>> {
    let (rest, time) = iso(text).map_err(|_| (text, "a date such as `2026-11-24 15:01:09`"))?;
    let rest = rest.trim_start_matches(' ');
    let (level, rest) = rest.split_once(' ').ok_or(("", "a log level and a message"))?;
    if !LEVELS.contains(&level) {
        return Err((text, "a log level"));
    }
    let (span, body) = match rest.strip_prefix("http_request{") {
        Some(span) => span.split_once("}: ").ok_or(("", "`}: ` after the request's fields"))?,
        None => ("", rest),
    };
    if !body.starts_with("smg") {
        return Err((body, "a module of `smg`"));
    }
    let line = |event| LogLine { process: None, pid: None, level: Some(level), time: Some(time), event };
    if body.starts_with("smg::response: ") {
        let said = after_place(body);
        if !ENDS.contains(&said) {
            return Err((said, "what the router says of a request whose answer has begun"));
        }
        let hop = Hop { end_reason: Some(said.into()), ..hop(span)? };
        return Ok(LogLine { level: Some(level), ..hop_text::line_of(hop, Some(time)) });
    }
    Ok(line(match field(span, "request_id") {
        Some(request_id) if level == "ERROR" => {
            Event::Failed { request_id: Some(request_id), reason: after_place(body) }
        }
        _ => Event::Other,
    }))
}

fn hop(span: &str) -> Reading<'_, Hop<'_>> {
    let latency = field(span, "latency").ok_or((span, Product::SglangRouter.turn_on()))?;
    let latency = ns::<MICROSECONDS>(latency).ok_or((latency, "whole microseconds (`latency`)"))?;
    let status = field(span, "status_code").ok_or((span, "`status_code=`"))?;
    let mut hop = Hop::new(Product::SglangRouter);
    hop.request_id = field(span, "request_id").and_then(hop_text::given).map(Into::into);
    hop.path = field(span, "uri").and_then(hop_text::path).map(Into::into);
    hop.status = hop_text::status(status)?;
    hop.timer_resolution_ns = Some(1_000);
    hop.phases.head_sent_s = Some(seconds(latency));
    Ok(hop)
}

/// The text behind `module: file:line: `.
fn after_place(body: &str) -> &str {
    body.splitn(3, ": ").nth(2).unwrap_or_default()
}
