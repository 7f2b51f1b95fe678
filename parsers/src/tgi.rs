//! The log of Text Generation Inference's router, as text (Rust's `tracing`) or with `--json-output`. Its
//! line `Success` ends a request, with durations as Rust prints them (`391.95µs`). It has no id of the
//! request; where the router traces, a trace id. It must not know what a reader makes of them.
//!
//! Total is from the handler's start to the last token, validation before the queue, inference from the
//! batch to the last token (`router/src/server.rs`).

use crate::event::{Event, LogLine, Parsed};
use crate::hop_text::{self, Reading, Value, fields, hex32};
use crate::tare_stat_log::RequestStats;
use crate::time::iso;
use crate::tracing_line::field;

const NAME: &str = "tgi";
const LEVELS: [&str; 5] = ["INFO", "WARN", "ERROR", "DEBUG", "TRACE"];
const MODULE: &str = "text_generation_";

pub fn recognises(line: &str) -> bool {
    line.contains(MODULE) && matches!(parse(line, &mut String::new()), Parsed::Line(_))
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    hop_text::read(NAME, line, scratch, |text| if text.starts_with('{') { json(text) } else { plain(text) })
}

/// `2025-05-01T01:31:02.842858Z  INFO generate{…}: text_generation_router::server: router/src/server.rs:402: Success`
fn plain(text: &str) -> Reading<'_, LogLine<'_>> {
    let (rest, time) = iso(text).map_err(|_| (text, "a date such as `2025-05-01T01:31:02.842858Z`"))?;
    let rest = rest.trim_ascii_start();
    let (level, rest) = rest.split_once(' ').ok_or((rest, "a log level and a message"))?;
    if !LEVELS.contains(&level) {
        return Err((rest, "a log level"));
    }
    // What was asked stands in the spans and may hold anything; the module is the last that is named.
    let at = memchr::memmem::rfind(rest.as_bytes(), MODULE.as_bytes());
    let at = at.ok_or((rest, "a module of text-generation-inference"))?;
    let (spans, body) = (rest.get(..at).unwrap_or_default(), rest.get(at..).unwrap_or_default());
    let said = said(body);
    let event = match said {
        "Success" => Event::RequestStats(stats(|key| last_field(spans, key), spans)?),
        said => other(level, said),
    };
    Ok(LogLine { process: None, pid: None, level: Some(level), time: Some(time), event })
}

/// The message behind `module: file:line: `, or behind the module alone.
fn said(body: &str) -> &str {
    let Some((_, after)) = body.split_once(": ") else { return "" };
    match after.split_once(": ") {
        Some((place, said)) if place.contains(".rs:") => said,
        _ => after,
    }
}

fn other<'a>(level: &str, said: &'a str) -> Event<'a> {
    if level == "ERROR" { Event::Failed { request_id: None, reason: said } } else { Event::Other }
}

/// The last field of that name: an answered text before it may hold one, too.
fn last_field<'a>(spans: &'a str, key: &str) -> Option<&'a str> {
    let begin = spans.rfind(&format!(" {key}=")).or_else(|| spans.rfind(&format!("{{{key}=")))?;
    field(spans.get(begin + 1..)?, key)
}

/// `{"timestamp":"…","level":"INFO","message":"Success","target":"…","span":{"total_time":"…",…},"spans":[…]}`
fn json(text: &str) -> Reading<'_, LogLine<'_>> {
    let (mut timestamp, mut level, mut message, mut target, mut span, mut spans) = ("", "", "", "", "", "");
    fields(text, |key, value: Value<'_>| {
        let text = value.given().unwrap_or_default();
        match key {
            "timestamp" => timestamp = text,
            "level" => level = text,
            "message" => message = text,
            "target" => target = text,
            "span" => span = text,
            "spans" => spans = text,
            _ => {}
        }
    })?;
    if !target.starts_with(MODULE) {
        return Err((text, "a `target` of text-generation-inference"));
    }
    let (_, time) = iso(timestamp).map_err(|_| (text, "a date for `timestamp`"))?;
    let event = if message == "Success" {
        let mut told = Vec::new();
        fields(span, |key, value: Value<'_>| told.extend(value.given().map(|value| (key, value))))?;
        let of = |key: &str| told.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        Event::RequestStats(stats(of, spans)?)
    } else {
        other(level, message)
    };
    Ok(LogLine { process: None, pid: None, level: hop_text::given(level), time: Some(time), event })
}

fn stats<'a>(of: impl Fn(&str) -> Option<&'a str>, spans: &'a str) -> Reading<'a, RequestStats<'a>> {
    const WHAT: &str = "a duration such as `391.95µs` for `total_time`";
    let seconds = |key: &str| of(key).and_then(duration_s);
    let total = seconds("total_time").ok_or((spans, WHAT))?;
    let trace_id = ["trace_id=", "\"trace_id\":\""].iter().find_map(|key| {
        let (_, id) = spans.split_once(key)?;
        hex32(id.get(..32)?)
    });
    Ok(RequestStats {
        trace_id,
        e2e_s: Some(total),
        queue_s: seconds("queue_time"),
        inference_s: seconds("inference_time"),
        ..RequestStats::default()
    })
}

/// A duration as Rust's `Debug` prints it.
fn duration_s(text: &str) -> Option<f64> {
    let at = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
    let number: f64 = text.get(..at)?.parse().ok()?;
    let scale = match text.get(at..)? {
        "s" => 1.0,
        "ms" => 1e3,
        "µs" | "us" => 1e6,
        "ns" => 1e9,
        _ => return None,
    };
    Some(number / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, seconds) in [("1.245s", 1.245), ("24ms", 0.024), ("391.95µs", 391.95e-6), ("57ns", 57e-9)]
        {
            assert_eq!(duration_s(text), Some(seconds), "{text}");
        }
        for text in ["", "s", "1.2", "1.2.3s", "1m", "-1s"] {
            assert_eq!(duration_s(text), None, "{text}");
        }
    }
}
