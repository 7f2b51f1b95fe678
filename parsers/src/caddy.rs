//! Caddy's JSON log: access lines with the fields that `log_append` adds, and the proxy's warning
//! about an answer that it could not finish. Keys may come twice; the last one counts, as with most
//! JSON readers. It must not know what a reader makes of them.
//!
//! An access line with `duration` 0 is of an answer that did not end as it should: its time was not
//! taken, it is not 0.
//!
//! To turn on, in the site:
//!
//! ```text
//! log {
//!     format json {
//!         time_format unix_seconds_float
//!         duration_format seconds
//!     }
//! }
//! log_append x_request_id {http.request.header.X-Request-Id}
//! log_append up_latency_ms {http.reverse_proxy.upstream.latency_ms}
//! log_append up_duration_ms {http.reverse_proxy.upstream.duration_ms}
//! log_append up_hostport {http.reverse_proxy.upstream.hostport}
//! log_append retries {http.reverse_proxy.retries}
//! log_append uuid {http.request.uuid}
//! ```

use crate::event::{Event, LogLine, Parsed};
use crate::hop::{Completeness, Hop, Product, Try};
use crate::hop_text::{
    self, MILLISECONDS, Reading, SECONDS, Value, at, decoded, fields, given, ns, seconds, unix_ns,
};
use crate::time::LogTime;
use crate::wrapped::{bare, own};

const NAME: &str = "caddy";
/// How its lines begin.
const BEGINS: [char; 1] = ['{'];
/// `ts` is a double: near today its steps are 238 ns wide.
const RESOLUTION_NS: i64 = 256;
/// Of 105 requests none was stamped out of causal order; the nearest was 0.06 ms off it. `ts` is
/// taken after `duration`: a start made of both is late by what lies between.
const SLACK_NS: i64 = 0;

pub fn recognises(line: &str) -> bool {
    let bare = bare(line);
    let line = own(&bare, &BEGINS);
    line.starts_with("{\"level\":\"") && line.contains("\"ts\":") && line.contains("\"logger\":\"http")
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    hop_text::read(NAME, line, scratch, |text| message(own(text, &BEGINS)))
}

#[derive(Default)]
struct Found<'a> {
    level: Option<&'a str>,
    ts: Option<&'a str>,
    logger: &'a str,
    msg: &'a str,
    error: &'a str,
    request: Option<&'a str>,
    duration: Option<Value<'a>>,
    status: &'a str,
    received: &'a str,
    sent: &'a str,
    request_id: &'a str,
    own_id: &'a str,
    upstream: &'a str,
    head_ms: &'a str,
    upstream_ms: &'a str,
    retries: &'a str,
}

impl<'a> Found<'a> {
    fn take(&mut self, key: &str, value: Value<'a>) {
        let text = value.given().unwrap_or_default();
        match key {
            "level" => self.level = value.given(),
            "ts" => self.ts = value.given(),
            "logger" => self.logger = text,
            "msg" => self.msg = text,
            "error" => self.error = text,
            "request" => self.request = value.given(),
            "duration" => self.duration = Some(value),
            "status" => self.status = text,
            "bytes_read" => self.received = text,
            "size" => self.sent = text,
            "x_request_id" => self.request_id = text,
            "uuid" => self.own_id = text,
            "up_hostport" => self.upstream = text,
            "up_latency_ms" => self.head_ms = text,
            "up_duration_ms" => self.upstream_ms = text,
            "retries" => self.retries = text,
            _ => {}
        }
    }
}

/// What the `request` object says.
#[derive(Default)]
struct Request<'a> {
    remote_ip: &'a str,
    remote_port: &'a str,
    path: &'a str,
    request_id: &'a str,
    traceparent: &'a str,
}

fn request(text: &str) -> Reading<'_, Request<'_>> {
    let mut request = Request::default();
    let mut headers = "{}";
    fields(text, |key, value| match key {
        "remote_ip" => request.remote_ip = value.raw,
        "remote_port" => request.remote_port = value.raw,
        "uri" => request.path = value.raw,
        "headers" => headers = value.raw,
        _ => {}
    })?;
    fields(headers, |key, value| match key {
        "X-Request-Id" => request.request_id = value.first(),
        "Traceparent" => request.traceparent = value.first(),
        _ => {}
    })?;
    Ok(request)
}

fn message(text: &str) -> Reading<'_, LogLine<'_>> {
    let mut found = Found::default();
    fields(text, |key, value| found.take(key, value))?;
    let (Some(ts), Some(level)) = (found.ts, found.level) else {
        return Err((text, "`level` and `ts`"));
    };
    let written = unix_ns(ts).ok_or((ts, "seconds since 1970 (`time_format unix_seconds_float`)"))?;
    let time = LogTime::Unix { unix_ns: written, resolution_ns: RESOLUTION_NS };
    let line = |event| LogLine { process: None, pid: None, level: Some(level), time: Some(time), event };
    if !found.logger.starts_with("http.log.access") {
        let is_cut = found.msg == "aborting with incomplete response";
        let Some(request_text) = found.request.filter(|_| is_cut) else { return Ok(line(Event::Other)) };
        let request_id = given(request(request_text)?.request_id);
        return Ok(line(Event::Failed { request_id, reason: found.error }));
    }
    let Some(request_text) = found.request else {
        return Err((text, "a `request`"));
    };
    let hop = found
        .hop(&request(request_text)?, written)
        .and_then(|hop| hop.ok_or((text, Product::Caddy.turn_on())))?;
    Ok(LogLine { level: Some(level), ..hop_text::line_of(hop, Some(time)) })
}

impl<'a> Found<'a> {
    /// None without a duration.
    fn hop(&self, request: &Request<'a>, written: i64) -> Reading<'a, Option<Hop<'a>>> {
        let Some(duration) = self.duration else { return Ok(None) };
        let took = ns::<SECONDS>(duration.raw).filter(|_| !duration.quoted);
        let took = took.ok_or((duration.raw, "a number of seconds (`duration_format seconds`)"))?;
        let mut hop = Hop::new(Product::Caddy);
        hop.request_id = decoded(request.request_id).or_else(|| decoded(self.request_id));
        hop.trace_id = hop_text::trace_id(request.traceparent);
        hop.own_id = decoded(self.own_id);
        hop.client = client(request);
        hop.path = hop_text::path(request.path).and_then(decoded);
        hop.timer_resolution_ns = Some(1);
        hop.status = hop_text::status(self.status)?;
        hop.received_bytes = hop_text::bytes(self.received)?;
        hop.sent_bytes = hop_text::bytes(self.sent)?;
        hop.end = Some(at(written, RESOLUTION_NS, SLACK_NS));
        if took == 0 {
            hop.completeness = Completeness::Cut;
        } else {
            hop.start = Some(at(written.saturating_sub(took), RESOLUTION_NS, SLACK_NS));
            hop.phases.total_s = Some(seconds(took));
        }
        if let Some(retries) = given(self.retries) {
            let retries: u32 = retries.parse().map_err(|_| (retries, "a number of retries"))?;
            hop.attempts = retries.checked_add(1);
        }
        if let Some(upstream) = decoded(self.upstream) {
            let [head_s, end_s] = [milliseconds(self.head_ms)?, milliseconds(self.upstream_ms)?];
            hop.tries.push(Try { address: Some(upstream), head_s, end_s, ..Try::default() });
        }
        Ok(Some(hop))
    }
}

fn client<'a>(request: &Request<'a>) -> Option<std::borrow::Cow<'a, str>> {
    let (ip, port) = (given(request.remote_ip)?, given(request.remote_port));
    Some(match port {
        None => ip.into(),
        Some(port) if ip.contains(':') => format!("[{ip}]:{port}").into(),
        Some(port) => format!("{ip}:{port}").into(),
    })
}

fn milliseconds(text: &str) -> Reading<'_, Option<f64>> {
    let Some(text) = given(text) else { return Ok(None) };
    ns::<MILLISECONDS>(text).map(|ns| Some(seconds(ns))).ok_or((text, "milliseconds"))
}
