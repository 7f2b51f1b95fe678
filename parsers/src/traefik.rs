//! Traefik's access log: JSON, with nanoseconds and kept headers, and its common log format, which
//! ends with milliseconds and has no ids. It must not know what a reader makes of them.
//!
//! To turn on the ids: `accessLog.format: json`, `accessLog.fields.headers.names` with
//! `X-Request-Id: keep` and `Traceparent: keep`.
//!
//! `OriginStatus` 0 means that the answer did not end as it should: then `OriginDuration` is 0 too,
//! and `Overhead`, their difference, is the whole request. None of the three is taken.

use crate::event::{LogLine, Parsed};
use crate::hop::{Completeness, Hop, HopTime, Product, Try};
use crate::hop_text::{
    self, MILLISECONDS, NANOSECONDS, Reading, Value, at, decoded, fields, given, ns, seconds,
};
use crate::time::{LogTime, clf, iso};
use crate::wrapped::{bare, own};

const NAME: &str = "traefik";
/// How its lines begin.
const BEGINS: [char; 1] = ['{'];
/// Of 105 requests none was stamped out of causal order; the nearest was 0.08 ms off it.
const SLACK_NS: i64 = 0;

pub fn recognises(line: &str) -> bool {
    let bare = bare(line);
    let line = own(&bare, &BEGINS);
    let is_json = line.starts_with('{') && line.contains("\"DownstreamStatus\":");
    is_json || matches!(parse(line, &mut String::new()), Parsed::Line(_))
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    hop_text::read(NAME, line, scratch, |text| {
        let text = own(text, &BEGINS);
        if text.starts_with('{') { json(text) } else { common(text) }
    })
}

#[derive(Default)]
struct Found<'a> {
    start: &'a str,
    written: &'a str,
    duration: Option<&'a str>,
    origin_duration: &'a str,
    origin_status: &'a str,
    status: &'a str,
    upstream: &'a str,
    client: &'a str,
    path: &'a str,
    retries: &'a str,
    received: &'a str,
    sent: &'a str,
    request_id: &'a str,
    traceparent: &'a str,
}

fn json(text: &str) -> Reading<'_, LogLine<'_>> {
    let mut found = Found::default();
    fields(text, |key, value: Value<'_>| {
        let text = value.given().unwrap_or_default();
        match key {
            "StartUTC" => found.start = text,
            "time" => found.written = text,
            "Duration" => found.duration = Some(text),
            "OriginDuration" => found.origin_duration = text,
            "OriginStatus" => found.origin_status = text,
            "DownstreamStatus" => found.status = text,
            "ServiceAddr" => found.upstream = text,
            "ClientAddr" => found.client = text,
            "RequestPath" => found.path = text,
            "RetryAttempts" => found.retries = text,
            "RequestContentSize" => found.received = text,
            "DownstreamContentSize" => found.sent = text,
            "request_X-Request-Id" => found.request_id = text,
            "request_Traceparent" => found.traceparent = text,
            _ => {}
        }
    })?;
    let hop = found.hop(text)?;
    let written = iso(found.written).ok().filter(|(rest, _)| rest.is_empty()).map(|(_, time)| time);
    Ok(hop_text::line_of(hop, written))
}

impl<'a> Found<'a> {
    fn hop(&self, text: &'a str) -> Reading<'a, Hop<'a>> {
        let Some(duration) = self.duration.filter(|_| !self.start.is_empty()) else {
            return Err((text, Product::Traefik.turn_on()));
        };
        let total = ns::<NANOSECONDS>(duration).ok_or((duration, "whole nanoseconds (`Duration`)"))?;
        let Ok(("", LogTime::Unix { unix_ns, .. })) = iso(self.start) else {
            return Err((self.start, "an instant such as `2026-11-24T14:58:04.776851885Z`"));
        };
        let mut hop = Hop::new(Product::Traefik);
        // Go leaves out the zeros at the end: fewer digits are no coarser stamp.
        hop.start = Some(at(unix_ns, 1, SLACK_NS));
        hop.end = Some(at(unix_ns.saturating_add(total), 1, SLACK_NS));
        hop.timer_resolution_ns = Some(1);
        hop.phases.total_s = Some(seconds(total));
        hop.request_id = decoded(self.request_id);
        hop.trace_id = hop_text::trace_id(self.traceparent);
        hop.client = decoded(self.client);
        hop.path = hop_text::path(self.path).and_then(decoded);
        hop.status = hop_text::status(self.status)?;
        hop.received_bytes = hop_text::bytes(self.received)?;
        hop.sent_bytes = hop_text::bytes(self.sent)?;
        let origin = hop_text::status(self.origin_status)?;
        if let Some(address) = decoded(self.upstream) {
            let took = given(self.origin_duration).filter(|_| origin.is_some());
            let took = took
                .map(|text| ns::<NANOSECONDS>(text).ok_or((text, "whole nanoseconds (`OriginDuration`)")));
            let end_s = took.transpose()?.map(seconds);
            hop.tries.push(Try { address: Some(address), status: origin, end_s, ..Try::default() });
            let retries =
                given(self.retries).map(|text| text.parse().map_err(|_| (text, "a number of retries")));
            hop.attempts = retries.transpose()?.and_then(|retries: u32| retries.checked_add(1));
            if origin.is_none() && hop.status.is_some_and(|status| status < 400) {
                hop.completeness = Completeness::Cut;
            }
        }
        if left(hop.status) == Completeness::Aborted {
            hop.completeness = Completeness::Aborted;
        }
        Ok(hop)
    }
}

/// 499: the client left before the answer's head came.
fn left(status: Option<u16>) -> Completeness {
    if status == Some(499) { Completeness::Aborted } else { Completeness::Unknown }
}

/// `client - user [date] "request" status size "referer" "agent" number "router" "url" 201ms`
/// (Traefik documentation, "Access logs", common log format).
fn common(text: &str) -> Reading<'_, LogLine<'_>> {
    let lacks = (text, Product::Traefik.turn_on());
    let (head, rest) = text.split_once(" [").ok_or(lacks)?;
    let mut words = head.split(' ');
    let [Some(client), Some(_), Some(_user), None] = std::array::from_fn(|_| words.next()) else {
        return Err(lacks);
    };
    let (rest, start) = clf(rest).map_err(|_| (rest, "a date such as `24/Nov/2026:14:50:32 +0000`"))?;
    let rest = rest.strip_prefix("] \"").ok_or((rest, "`] ` and the request in quotes"))?;
    let (request, rest) = rest.split_once("\" ").ok_or(("", "`\"` after the request"))?;
    let (status, rest) = rest.split_once(' ').ok_or(("", "a status"))?;
    let (sent, rest) = rest.split_once(' ').ok_or(("", "a number of bytes"))?;
    let (rest, duration) = rest.rsplit_once(' ').ok_or(("", "milliseconds at the end of the line"))?;
    let took = duration.strip_suffix("ms").and_then(ns::<MILLISECONDS>);
    let took = took.ok_or((duration, "milliseconds at the end of the line, such as `201ms`"))?;
    let (_, upstream) = rest.rsplit_once(' ').ok_or((rest, "the upstream's URL"))?;
    let mut hop = Hop::new(Product::Traefik);
    hop.client = given(client).map(Into::into);
    hop.start = Some(HopTime { time: start, slack_ns: SLACK_NS });
    hop.timer_resolution_ns = Some(1_000_000);
    hop.phases.total_s = Some(seconds(took));
    hop.status = hop_text::status(status)?;
    hop.sent_bytes = hop_text::bytes(sent)?;
    hop.path = request.split(' ').nth(1).and_then(hop_text::path).map(Into::into);
    if let Some(address) = hop_text::upstream(upstream.trim_matches('"')) {
        hop.tries.push(Try { address: Some(address), ..Try::default() });
    }
    hop.completeness = left(hop.status);
    Ok(hop_text::line_of(hop, None))
}
