//! LiteLLM's record of a call, its standard logging payload, one JSON object a line: bare, or inside
//! `slp` or `standard_logging_object` of the object that a callback writes. LiteLLM's own access log
//! has no ids and is refused. It must not know what a reader makes of them.
//!
//! The hop starts where the proxy had the request, if the line says so (`arrival_time`, which
//! `assets/gateways/litellm.py` adds), and its queue ends where LiteLLM's call begins: keys are checked
//! between them, and a route is chosen. Otherwise it starts with the call, and what was before that is
//! not in it. `completionStartTime` is when the first chunk came; it is `endTime` where there was none.

use crate::event::{LogLine, Parsed};
use crate::hop::{Completeness, Hop, Product, Try};
use crate::hop_text::{self, Reading, Value, at, decoded, fields, given, hex32, seconds, unix_ns};
use crate::time::LogTime;
use crate::wrapped::bare;

const NAME: &str = "litellm";
/// Python's `datetime` counts microseconds.
const RESOLUTION_NS: i64 = 1_000;
/// Of 105 requests none was stamped out of causal order; they were 4 ms off it and more.
const SLACK_NS: i64 = 0;

pub fn recognises(line: &str) -> bool {
    let line = &*bare(line);
    line.starts_with('{') && (line.contains("\"litellm_call_id\":") || is_access_log(line))
}

/// Python's JSON log, as LiteLLM shapes it.
fn is_access_log(line: &str) -> bool {
    line.contains("\"component\":") && line.contains("\"message\":") && line.contains("\"timestamp\":")
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    hop_text::read(NAME, line, scratch, message)
}

fn message(text: &str) -> Reading<'_, LogLine<'_>> {
    let mut record = None;
    let mut is_bare = false;
    let mut written = None;
    fields(text, |key, value| match key {
        "slp" | "standard_logging_object" => record = value.given(),
        "litellm_call_id" => is_bare = true,
        "cb_ns" => written = value.given(),
        _ => {}
    })?;
    let Some(record) = record.or(is_bare.then_some(text)) else {
        return Err((text, Product::Litellm.turn_on()));
    };
    let mut call = Call::default();
    fields(record, |key, value| call.take(key, value))?;
    if let Some(metadata) = call.metadata {
        fields(metadata, |key, value| match key {
            "requester_metadata" => call.requester = value.given(),
            "user_api_key_request_route" => call.path = value.given(),
            _ => {}
        })?;
    }
    let mut headers = None;
    if let Some(requester) = call.requester {
        fields(requester, |key, value| {
            if key == "headers" {
                headers = value.given();
            }
        })?;
    }
    if let Some(headers) = headers {
        fields(headers, |key, value| match key {
            "x-request-id" => call.request_id = value.first(),
            "traceparent" => call.traceparent = value.first(),
            _ => {}
        })?;
    }
    if let Some(error) = call.error_information {
        fields(error, |key, value| match key {
            "error_code" => call.error_code = value.first(),
            "error_class" => call.error_class = value.first(),
            _ => {}
        })?;
    }
    let hop = call.hop(record)?;
    let written = written.and_then(|text| text.parse().ok());
    let time = written.map(|unix_ns| LogTime::Unix { unix_ns, resolution_ns: 1 });
    let ended = hop.end.map(|end| end.time);
    Ok(hop_text::line_of(hop, time.or(ended)))
}

#[derive(Default)]
struct Call<'a> {
    id: &'a str,
    call_id: &'a str,
    trace_id: &'a str,
    status: &'a str,
    start: Option<&'a str>,
    end: Option<&'a str>,
    first: Option<&'a str>,
    arrival: Option<&'a str>,
    api_base: &'a str,
    client: &'a str,
    error: &'a str,
    metadata: Option<&'a str>,
    error_information: Option<&'a str>,
    requester: Option<&'a str>,
    path: Option<&'a str>,
    request_id: &'a str,
    traceparent: &'a str,
    error_code: &'a str,
    error_class: &'a str,
    stream: &'a str,
    cache_hit: &'a str,
}

impl<'a> Call<'a> {
    fn take(&mut self, key: &str, value: Value<'a>) {
        let text = value.given().unwrap_or_default();
        match key {
            "id" => self.id = text,
            "litellm_call_id" => self.call_id = text,
            "trace_id" => self.trace_id = text,
            "status" => self.status = text,
            "startTime" => self.start = value.given(),
            "endTime" => self.end = value.given(),
            "completionStartTime" => self.first = value.given(),
            "arrival_time" => self.arrival = value.given(),
            "api_base" => self.api_base = text,
            "requester_ip_address" => self.client = text,
            "stream" => self.stream = text,
            "cache_hit" => self.cache_hit = text,
            "error_str" => self.error = text,
            "metadata" => self.metadata = value.given(),
            "error_information" => self.error_information = value.given(),
            _ => {}
        }
    }

    fn hop(&self, record: &'a str) -> Reading<'a, Hop<'a>> {
        let (Some(start), Some(end)) = (self.start, self.end) else {
            return Err((record, "`startTime` and `endTime`"));
        };
        let [call, end] = [instant(start)?, instant(end)?];
        let arrival = self.arrival.map(instant).transpose()?.filter(|arrival| *arrival <= call);
        let start = arrival.unwrap_or(call);
        // Of an answer that is not streamed the first chunk is no first token.
        let first = self.first.map(instant).transpose()?;
        let first = first.filter(|first| *first < end && self.stream != "false");
        let mut hop = Hop::new(Product::Litellm);
        hop.request_id = decoded(self.request_id);
        hop.own_id = decoded(self.call_id);
        // A call that failed early has no body, and gives its own id instead.
        hop.response_id = decoded(self.id).filter(|_| self.id != self.call_id);
        hop.trace_id = hex32(self.trace_id).or_else(|| hop_text::trace_id(self.traceparent));
        hop.client = decoded(self.client);
        hop.path = self.path.and_then(hop_text::path).and_then(decoded);
        hop.start = Some(at(start, RESOLUTION_NS, SLACK_NS));
        hop.end = Some(at(end, RESOLUTION_NS, SLACK_NS));
        hop.timer_resolution_ns = Some(RESOLUTION_NS);
        hop.phases.total_s = Some(seconds(end.saturating_sub(start)));
        hop.phases.queue_s = arrival.map(|arrival| seconds(call.saturating_sub(arrival)));
        hop.phases.upstream_first_body_s = first.map(|first| seconds(first.saturating_sub(start)));
        hop.status = hop_text::status(self.error_code).unwrap_or_default();
        hop.completeness = self.completeness(first.is_some());
        hop.end_reason = decoded(self.error);
        if self.cache_hit == "true" {
            hop.attempts = Some(0);
        } else if let Some(address) = hop_text::upstream(self.api_base) {
            hop.tries.push(Try { address: Some(address), ..Try::default() });
        }
        Ok(hop)
    }

    /// A client that left is logged as a success.
    fn completeness(&self, had_begun: bool) -> Completeness {
        let client_left =
            self.error_class == "ClientDisconnected" || self.error.starts_with("Client disconnected");
        match self.status {
            _ if client_left => Completeness::Aborted,
            "success" if given(self.error).is_none() => Completeness::Complete,
            "failure" if had_begun => Completeness::Cut,
            _ => Completeness::Unknown,
        }
    }
}

/// Microseconds, out of the float that JSON has of them.
fn instant(text: &str) -> Reading<'_, i64> {
    unix_ns(text).ok_or((text, "seconds since 1970"))
}
