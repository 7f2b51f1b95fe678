//! What `SGLang` writes about requests, by the sources of its 0.5.23: the file of `--export-metrics-to-file`
//! (one JSON object a finished request, with wall-clock stamps), and the log of `--log-requests` as JSON or
//! text; uvicorn's lines in between. It must not know what a reader makes of them.
//!
//! Arrival is the handler's start (`request_received_ts`); TTFT and E2E are the tokenizer process's, queue
//! and prefill the scheduler's. Decode is E2E − TTFT: both ends are the tokenizer process's.

use crate::event::{Event, LogLine, Parsed};
use crate::hop_text::{self, Reading, Value, fields, unix_ns};
use crate::line::expected_of;
use crate::tare_stat_log::RequestStats;
use crate::time::{LogTime, iso};
use crate::uvicorn;

const NAME: &str = "sglang";
/// Stamps are doubles of seconds since 1970: near today their steps are 238 ns wide.
const RESOLUTION_NS: i64 = 256;
/// Keys that only its records have.
const OWN: [&str; 3] = ["\"request_parameters\":", "\"request.received\"", "\"request.finished\""];

pub fn recognises(line: &str) -> bool {
    let line = line.trim_ascii_start();
    if line.starts_with('{') {
        return OWN.iter().any(|key| line.contains(key));
    }
    matches!(parse(line, &mut String::new()), Parsed::Line(_))
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    hop_text::read(NAME, line, scratch, |text| if text.starts_with('{') { json(text) } else { plain(text) })
}

/// `[2026-11-24 15:00:00 TP0] Finish: obj=GenerateReqInput(…), out={…}`
fn plain(text: &str) -> Reading<'_, LogLine<'_>> {
    const HEAD: &str = "`[`, a date such as `2026-11-24 15:00:00`, and `] `";
    let (head, said) = text.strip_prefix('[').and_then(|rest| rest.split_once("] ")).ok_or((text, HEAD))?;
    let (rank, time) = iso(head).map_err(|_| (head, HEAD))?;
    let (level, said) = level(said);
    let line = |event| LogLine {
        process: hop_text::given(rank.trim_ascii()),
        pid: None,
        level,
        time: Some(time),
        event,
    };
    if let Some(obj) = said.strip_prefix("Receive: obj=") {
        return Ok(line(Event::Received { request_id: python_rid(obj)? }));
    }
    if let Some(obj) = said.strip_prefix("Finish: obj=") {
        const META: &str = "'meta_info': {";
        let request_id = Some(python_rid(obj)?);
        // What was asked and answered stands before it, and may hold anything.
        let at = memchr::memmem::rfind(obj.as_bytes(), META.as_bytes()).ok_or((obj, "`'meta_info': {`"))?;
        let mut meta = Meta::default();
        for (key, value) in python_items(obj.get(at + META.len()..).unwrap_or_default()) {
            meta.take(key, value);
        }
        return Ok(line(Event::RequestStats(RequestStats { request_id, ..meta.stats() })));
    }
    match uvicorn::message(said) {
        Ok((_, event)) => Ok(line(event)),
        Err(error) => {
            let error = expected_of(error);
            Err((error.at, error.what))
        }
    }
}

/// uvicorn's `INFO:     `.
fn level(said: &str) -> (Option<&str>, &str) {
    match said.split_once(':') {
        Some((level @ ("INFO" | "WARNING" | "ERROR" | "DEBUG"), rest)) => {
            (Some(level), rest.trim_ascii_start())
        }
        _ => (None, said),
    }
}

/// The request's id among the arguments of a Python object.
fn python_rid(obj: &str) -> Reading<'_, &str> {
    let quoted = |(_, rest): (&'_ str, &'_ str)| -> Option<(usize, usize)> {
        let begin = obj.len() - rest.len();
        Some((begin, begin + rest.find('\'')?))
    };
    let found = ["(rid='", " rid='"].iter().find_map(|key| obj.split_once(key).and_then(quoted));
    let id = found.and_then(|(begin, end)| obj.get(begin..end)).filter(|id| !id.is_empty());
    id.ok_or((obj, "`rid='` and an id"))
}

/// The items of a Python dictionary of plain values, up to its end. Of a nested dictionary its own
/// items follow.
fn python_items(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once('\'')?;
        let (key, after) = after.split_once('\'')?;
        let value = after.strip_prefix(": ")?;
        let end = match value.as_bytes().first()? {
            b'\'' => value.get(1..)?.find('\'')? + 2,
            b'{' => 0,
            _ => value.find([',', '}']).unwrap_or(value.len()),
        };
        rest = value.get(end..)?;
        Some((key, value.get(..end)?.trim_matches('\'')))
    })
}

/// A record of the export, or an event of the log.
fn json(text: &str) -> Reading<'_, LogLine<'_>> {
    let (mut event, mut rid, mut out, mut timestamp) = ("", None, "", "");
    let (mut is_export, mut meta) = (false, Meta::default());
    fields(text, |key, value: Value<'_>| {
        let text = value.given().unwrap_or_default();
        match key {
            "event" => event = text,
            "timestamp" => timestamp = text,
            "rid" => rid = Some(text).filter(|rid| !rid.is_empty()),
            "out" => out = text,
            "request_parameters" => is_export = true,
            "finish_reason" => meta.finish_reason = type_of(text),
            key => meta.take(key, text),
        }
    })?;
    let line = |time, event| LogLine { process: None, pid: None, level: None, time, event };
    let stamp = || iso(timestamp).ok().map(|(_, time)| time);
    match event {
        "request.received" => {
            let request_id = rid.ok_or((text, "an id for `rid`"))?;
            return Ok(line(stamp(), Event::Received { request_id }));
        }
        "request.finished" => {
            meta = Meta::default();
            let mut inner = "";
            fields(out, |key, value: Value<'_>| {
                if key == "meta_info" {
                    inner = value.given().unwrap_or_default();
                }
            })?;
            fields(inner, |key, value: Value<'_>| {
                let text = value.given().unwrap_or_default();
                if key == "finish_reason" { meta.finish_reason = type_of(text) } else { meta.take(key, text) }
            })?;
        }
        "" if is_export => {}
        _ => return Err((text, "`request_parameters`, or an `event` about a request")),
    }
    let stats = meta.stats();
    let request_id = stats.request_id.or(rid).ok_or((text, "an `id`"))?;
    let end = stats.iteration_unix_ns.map(|unix_ns| LogTime::Unix { unix_ns, resolution_ns: RESOLUTION_NS });
    let stats = RequestStats { request_id: Some(request_id), ..stats };
    Ok(line(stamp().or(end), Event::RequestStats(stats)))
}

/// `{"type": "length", "length": 8}`
fn type_of(reason: &str) -> Option<&str> {
    let mut found = None;
    fields(reason, |key, value: Value<'_>| {
        if key == "type" {
            found = value.given();
        }
    })
    .ok()?;
    found
}

/// `meta_info`, as far as it is used.
#[derive(Default)]
struct Meta<'a> {
    id: Option<&'a str>,
    finish_reason: Option<&'a str>,
    e2e: Option<f64>,
    ttft: Option<f64>,
    queue: Option<f64>,
    received_unix_ns: Option<i64>,
    forward_unix_ns: Option<i64>,
    prefilled_unix_ns: Option<i64>,
    input_tokens: Option<u32>,
    output_tokens: Option<u32>,
    cached_tokens: Option<u32>,
}

impl<'a> Meta<'a> {
    fn take(&mut self, key: &str, value: &'a str) {
        let seconds = || value.parse().ok().filter(|s: &f64| s.is_finite());
        match key {
            "id" => self.id = Some(value).filter(|id| !id.is_empty()),
            // Only Python's text gets here with it.
            "type" => self.finish_reason = hop_text::given(value),
            "e2e_latency" => self.e2e = seconds(),
            "first_token_latency" => self.ttft = seconds(),
            "queue_time" => self.queue = seconds(),
            "request_received_ts" => self.received_unix_ns = unix_ns(value),
            "forward_entry_time" => self.forward_unix_ns = unix_ns(value),
            "prefill_finished_time" => self.prefilled_unix_ns = unix_ns(value),
            "prompt_tokens" => self.input_tokens = value.parse().ok(),
            "completion_tokens" => self.output_tokens = value.parse().ok(),
            "cached_tokens" => self.cached_tokens = value.parse().ok(),
            _ => {}
        }
    }

    fn stats(&self) -> RequestStats<'a> {
        let prefill = self.forward_unix_ns.zip(self.prefilled_unix_ns);
        let end = self.received_unix_ns.zip(self.e2e);
        RequestStats {
            request_id: self.id,
            finish_reason: self.finish_reason,
            iteration_unix_ns: end.and_then(|(at, e2e)| at.checked_add((e2e * 1e9).round() as i64)),
            e2e_s: self.e2e,
            ttft_s: self.ttft,
            queue_s: self.queue,
            prefill_s: prefill.map(|(from, to)| hop_text::seconds(to.saturating_sub(from))),
            decode_s: self.e2e.zip(self.ttft).map(|(e2e, ttft)| e2e - ttft),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            cached_tokens: self.cached_tokens,
            ..RequestStats::default()
        }
    }
}
