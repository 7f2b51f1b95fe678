//! One JSON object a finished request, as tare's own plugin for vLLM writes it
//! (`assets/vllm_tare_logger`): `{"v":1,"pid":123,"engine":0,"request_id":"chatcmpl-X", …}`. Keys in
//! any order; what a server does not know is `null` or left out. It must not know how the plugin
//! comes by the numbers, nor what a reader makes of them.

use std::borrow::Cow;
use std::ops::Range;
use std::str::FromStr;

use crate::error::ParseError;
use crate::event::{Event, LogLine, Parsed};
use crate::json_line::{each_field, unescape};
use crate::line::{strip_colour, without_line_end};
use crate::time::LogTime;

const NAME: &str = "tare_stat_log";
/// The version of the line that is read; a later one may mean other things by the same names.
const VERSION: &str = "1";
/// `time.time()` is a double: near today its steps are 238 ns wide.
const RESOLUTION_NS: i64 = 256;

/// A finished request as the server's engine counted it; `None` is what the server does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RequestStats<'a> {
    /// The process that wrote the line, and the engine that served the request.
    pub pid: Option<u32>,
    pub engine: Option<u32>,
    /// The front end's id: `chatcmpl-X`, `cmpl-X-0`. vLLM tells it from 0.20 on.
    pub request_id: Option<&'a str>,
    /// The trace that the client began, where the server logs it.
    pub trace_id: Option<&'a str>,
    pub finish_reason: Option<&'a str>,
    /// Wall clock of the front end when it took the request's last output: arrival + E2E.
    pub iteration_unix_ns: Option<i64>,
    pub e2e_s: Option<f64>,
    /// Arrival until the front end took the first output; vLLM's stat loggers are not told it.
    pub ttft_s: Option<f64>,
    pub queue_s: Option<f64>,
    pub prefill_s: Option<f64>,
    pub inference_s: Option<f64>,
    pub decode_s: Option<f64>,
    pub input_tokens: Option<u32>,
    pub output_tokens: Option<u32>,
    pub cached_tokens: Option<u32>,
    pub preemptions: Option<u32>,
    pub max_tokens: Option<u32>,
}

pub fn recognises(line: &str) -> bool {
    // Of a line that was cut or damaged, its beginning tells what it was to be.
    let begins = line.trim_ascii_start().strip_prefix("{\"v\":");
    begins.is_some_and(|rest| rest.contains("\"request_id\":"))
        || matches!(parse(line, &mut String::new()), Parsed::Line(_))
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    let text = plain(without_line_end(line));
    if text.trim_ascii().is_empty() {
        return Parsed::Blank;
    }
    let mut reading = Reading { text: &text, ..Reading::default() };
    let read = each_field(&text, |key, at| reading.take(key, at));
    if let Err(expected) = read {
        return Parsed::Unknown(expected.into_error(NAME, &text));
    }
    let lacks = |what| Some(ParseError::at(NAME, what, &text, ""));
    let wrong = match reading.wrong {
        None if !reading.is_known => lacks(expected("v")),
        None if !reading.has_id => lacks("a `request_id`"),
        wrong => wrong,
    };
    if let Some(error) = wrong {
        return Parsed::Unknown(error);
    }
    // Both texts go into the one buffer, their escapes decoded.
    scratch.clear();
    unescape(reading.id.unwrap_or_default(), scratch);
    let end = scratch.len();
    unescape(reading.finish_reason.unwrap_or_default(), scratch);
    let (request_id, finish_reason) = scratch.split_at(end);
    let stats = RequestStats {
        request_id: reading.id.map(|_| request_id),
        finish_reason: reading.finish_reason.map(|_| finish_reason),
        ..reading.stats
    };
    let time = |unix_ns| LogTime::Unix { unix_ns, resolution_ns: RESOLUTION_NS };
    Parsed::Line(LogLine {
        process: None,
        pid: stats.pid,
        level: None,
        time: stats.iteration_unix_ns.map(time),
        event: Event::RequestStats(stats),
    })
}

fn plain(line: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(0x1b, line.as_bytes()) else { return line.into() };
    let mut text = String::new();
    strip_colour(line, first, &mut text);
    text.into()
}

/// What was found so far. Texts are still escaped.
#[derive(Default)]
struct Reading<'t> {
    text: &'t str,
    is_known: bool,
    /// The key is there, whatever it says.
    has_id: bool,
    id: Option<&'t str>,
    finish_reason: Option<&'t str>,
    stats: RequestStats<'static>,
    wrong: Option<ParseError>,
}

impl Reading<'_> {
    fn take(&mut self, key: &str, at: Range<usize>) {
        let before = self.text.get(..at.start).unwrap_or_default();
        let (quoted, value) = (before.ends_with('"'), self.text.get(at.clone()).unwrap_or_default());
        self.has_id |= key == "request_id";
        if value == "null" && !quoted {
            return;
        }
        let s = &mut self.stats;
        let fits = match key {
            "v" => {
                self.is_known = value == VERSION && !quoted;
                self.is_known
            }
            "request_id" => text(quoted, value, &mut self.id),
            "finish_reason" => text(quoted, value, &mut self.finish_reason),
            "pid" => number(quoted, value, &mut s.pid),
            "engine" => number(quoted, value, &mut s.engine),
            "iteration_unix_ns" => number(quoted, value, &mut s.iteration_unix_ns),
            "e2e_s" => seconds(quoted, value, &mut s.e2e_s),
            "queue_s" => seconds(quoted, value, &mut s.queue_s),
            "prefill_s" => seconds(quoted, value, &mut s.prefill_s),
            "inference_s" => seconds(quoted, value, &mut s.inference_s),
            "decode_s" => seconds(quoted, value, &mut s.decode_s),
            "input_tokens" => number(quoted, value, &mut s.input_tokens),
            "output_tokens" => number(quoted, value, &mut s.output_tokens),
            "cached_tokens" => number(quoted, value, &mut s.cached_tokens),
            "preemptions" => number(quoted, value, &mut s.preemptions),
            "max_tokens" => number(quoted, value, &mut s.max_tokens),
            _ => true,
        };
        if !fits && self.wrong.is_none() {
            let rest = self.text.get(at.start..).unwrap_or_default();
            self.wrong = Some(ParseError::at(NAME, expected(key), self.text, rest));
        }
    }
}

fn text<'t>(quoted: bool, value: &'t str, slot: &mut Option<&'t str>) -> bool {
    *slot = (quoted && !value.is_empty()).then_some(value);
    slot.is_some()
}

fn number<T: FromStr>(quoted: bool, value: &str, slot: &mut Option<T>) -> bool {
    *slot = if quoted { None } else { value.parse().ok() };
    slot.is_some()
}

/// Python writes `NaN` and `Infinity` where JSON has no word for them.
fn seconds(quoted: bool, value: &str, slot: &mut Option<f64>) -> bool {
    *slot = value.parse().ok().filter(|number: &f64| number.is_finite() && !quoted);
    slot.is_some()
}

/// What must stand at a key, where anything does.
fn expected(key: &str) -> &'static str {
    match key {
        "v" => "`\"v\": 1`, the version that is known",
        "request_id" => "text for `request_id`",
        "finish_reason" => "text for `finish_reason`",
        "iteration_unix_ns" => "whole nanoseconds for `iteration_unix_ns`",
        "e2e_s" => "a number for `e2e_s`",
        "queue_s" => "a number for `queue_s`",
        "prefill_s" => "a number for `prefill_s`",
        "inference_s" => "a number for `inference_s`",
        "decode_s" => "a number for `decode_s`",
        "pid" => "a whole number for `pid`",
        "engine" => "a whole number for `engine`",
        "input_tokens" => "a whole number for `input_tokens`",
        "output_tokens" => "a whole number for `output_tokens`",
        "cached_tokens" => "a whole number for `cached_tokens`",
        "preemptions" => "a whole number for `preemptions`",
        "max_tokens" => "a whole number for `max_tokens`",
        _ => "a value",
    }
}
