//! One JSON object an exchange, as `tare tap` writes them: `{"connection":1,"exchange":1, …}`. Keys in
//! any order. It must not know how a tap comes by them, nor what a reader makes of them.
//!
//! What passed is stamped three times: it came within `lo..=hi`, by the kernel's stamps, and at
//! `written` it had gone on. Here an instant *in* is `hi`, the stamp of the read that brought the last
//! byte of it, and an instant *out* is `written`. What came was there at `hi`, and nothing of it went on
//! before; at `written` it had gone on, and whoever it went to may have had it already: an answer's head
//! can come before the stamp after the request's last write. How much earlier a token may have come
//! (`hi − lo`, where that is not 0: it came in one read with others) is stated beside it. The account
//! begins with the read that brought the request's first byte: the stamp is that of the read's last byte,
//! late by what the rest of the read took to come.
//!
//! A stream that ended as HTTP should, without `[DONE]` or a finish reason, was cut.

use crate::event::{Event, LogLine, Parsed};
use crate::hop::{Completeness, Hop, Product, Try};
use crate::hop_text::{self, Reading, Value, at, decoded, fields, hex32, seconds};

const NAME: &str = "tare_tap";
/// The kernel stamps with nanoseconds.
const RESOLUTION_NS: i64 = 1;
const NOT_WHOLE: &str = "the stream ended without `[DONE]` or a finish reason";

pub fn recognises(line: &str) -> bool {
    line.starts_with('{') && line.contains("\"exchange\":") && line.contains("\"accepted_unix_ns\":")
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    hop_text::read(NAME, line, scratch, message)
}

fn message(text: &str) -> Reading<'_, LogLine<'_>> {
    let mut found = Found::default();
    let mut wrong = None;
    fields(text, |key, value| {
        if let Err(error) = found.take(key, value) {
            wrong.get_or_insert(error);
        }
    })?;
    if let Some(error) = wrong {
        return Err(error);
    }
    if !(found.has_exchange && found.has_accepted) {
        return Err((text, Product::TareTap.turn_on()));
    }
    let completeness = found.completeness()?;
    match found.request_first {
        Some(first) if found.method.is_some() => {
            let hop = found.hop(first, completeness);
            let time = hop.end.or(hop.start).map(|at| at.time);
            Ok(hop_text::line_of(hop, time))
        }
        // Bytes that could not be read: of a request nothing is known.
        _ => Ok(LogLine { process: None, pid: None, level: None, time: None, event: Event::Other }),
    }
}

/// When a byte passed, in nanoseconds since 1970.
#[derive(Clone, Copy, Default)]
struct Passed {
    lo: i64,
    hi: i64,
    written: i64,
}

#[derive(Default)]
struct Found<'a> {
    has_exchange: bool,
    has_accepted: bool,
    client: &'a str,
    outgoing: &'a str,
    upstream: &'a str,
    method: Option<&'a str>,
    path: &'a str,
    request_id: &'a str,
    response_request_id: &'a str,
    trace_id: &'a str,
    response_id: &'a str,
    status: Option<u16>,
    connected: Option<i64>,
    request_first: Option<Passed>,
    request_last: Option<Passed>,
    request_whole: bool,
    head: Option<Passed>,
    body_first: Option<Passed>,
    first_token: Option<Passed>,
    last_token: Option<Passed>,
    response_last: Option<Passed>,
    request_bytes: Option<u64>,
    response_bytes: Option<u64>,
    answer_whole: Option<bool>,
    end: &'a str,
    unread: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn take(&mut self, key: &str, value: Value<'a>) -> Reading<'a, ()> {
        let Some(text) = value.given() else { return Ok(()) };
        match key {
            "exchange" => self.has_exchange = true,
            "accepted_unix_ns" => self.has_accepted = instant(text).is_ok(),
            "client" => self.client = text,
            "outgoing" => self.outgoing = text,
            "upstream" => self.upstream = text,
            "method" => self.method = Some(text),
            "path" => self.path = text,
            "request_id" => self.request_id = text,
            "response_request_id" => self.response_request_id = text,
            "trace_id" => self.trace_id = text,
            "response_id" => self.response_id = text,
            "status" => self.status = hop_text::status(text)?,
            "connected_unix_ns" => self.connected = Some(instant(text)?),
            "request_first" => self.request_first = Some(passed(text)?),
            "request_last" => self.request_last = Some(passed(text)?),
            "request_whole" => self.request_whole = truth(text)?,
            "head" => self.head = Some(passed(text)?),
            "body_first" => self.body_first = Some(passed(text)?),
            "first_token" => self.first_token = Some(passed(text)?),
            "last_token" => self.last_token = Some(passed(text)?),
            "response_last" => self.response_last = Some(passed(text)?),
            "request_bytes" => self.request_bytes = Some(bytes(text)?),
            "response_bytes" => self.response_bytes = Some(bytes(text)?),
            "answer_whole" => self.answer_whole = Some(truth(text)?),
            "end" => self.end = text,
            "unread" => self.unread = Some(text),
            _ => {}
        }
        Ok(())
    }

    fn completeness(&self) -> Reading<'a, Completeness> {
        match self.end {
            "complete" if self.answer_whole == Some(false) && self.status.is_some_and(|s| s < 300) => {
                Ok(Completeness::Cut)
            }
            "complete" => Ok(Completeness::Complete),
            "cut_by_upstream" => Ok(Completeness::Cut),
            "aborted_by_client" => Ok(Completeness::Aborted),
            "in_flight" | "unread" => Ok(Completeness::Unknown),
            other => Err((other, "an `end` that is known, such as `complete`")),
        }
    }

    fn hop(&self, first: Passed, completeness: Completeness) -> Hop<'a> {
        let since = |instant: i64| Some(seconds(instant.saturating_sub(first.hi)));
        let came = |passed: Option<Passed>| passed.and_then(|passed| since(passed.hi));
        let went = |passed: Option<Passed>| passed.and_then(|passed| since(passed.written));
        let mut hop = Hop::new(Product::TareTap);
        hop.request_id = decoded(self.request_id);
        hop.own_id =
            decoded(self.response_request_id).filter(|_| self.response_request_id != self.request_id);
        hop.response_id = decoded(self.response_id);
        hop.trace_id = hex32(self.trace_id);
        hop.client = decoded(self.client);
        hop.outgoing = decoded(self.outgoing);
        hop.path = decoded(self.path);
        hop.start = Some(at(first.hi, RESOLUTION_NS, 0));
        hop.timer_resolution_ns = Some(RESOLUTION_NS);
        let request_last = self.request_last.filter(|_| self.request_whole);
        let p = &mut hop.phases;
        p.request_received_s = came(request_last);
        // A connection that was there before the request took none of its time.
        p.connected_s = self.connected.filter(|at| *at > first.hi).and_then(since);
        p.upstream_sent_s = went(request_last);
        (p.upstream_head_s, p.head_sent_s) = (came(self.head), went(self.head));
        p.upstream_first_body_s = came(self.body_first);
        (p.first_token_in_s, p.first_token_out_s) = (came(self.first_token), went(self.first_token));
        (p.last_token_in_s, p.last_token_out_s) = (came(self.last_token), went(self.last_token));
        if self.end == "complete"
            && let Some(last) = self.response_last
        {
            p.upstream_end_s = since(last.hi);
            p.total_s = since(last.written);
            hop.end = Some(at(last.written, RESOLUTION_NS, 0));
        }
        let tokens = [
            ("first_token_early_by_at_most", self.first_token),
            ("last_token_early_by_at_most", self.last_token),
        ];
        for (name, token) in tokens {
            if let Some(token) = token.filter(|token| token.lo < token.hi) {
                hop.stated.push((name, seconds(token.hi - token.lo)));
            }
        }
        if let Some(address) = decoded(self.upstream) {
            hop.tries.push(Try { address: Some(address), status: self.status, ..Try::default() });
            hop.attempts = Some(1);
        }
        hop.status = self.status;
        hop.completeness = completeness;
        hop.end_reason = match (self.end, self.unread) {
            (_, Some(unread)) => decoded(unread),
            ("complete", _) => (completeness == Completeness::Cut).then(|| NOT_WHOLE.into()),
            (end, _) => decoded(end),
        };
        hop.received_bytes = self.request_bytes;
        hop.sent_bytes = self.response_bytes;
        hop
    }
}

fn passed(object: &str) -> Reading<'_, Passed> {
    let [mut lo, mut hi, mut written] = [None; 3];
    let mut wrong = None;
    fields(object, |key, value| {
        let slot = match key {
            "lo_unix_ns" => &mut lo,
            "hi_unix_ns" => &mut hi,
            "written_unix_ns" => &mut written,
            _ => return,
        };
        match instant(value.raw) {
            Ok(instant) if !value.quoted => *slot = Some(instant),
            Ok(_) => wrong = Some((value.raw, "whole nanoseconds since 1970, without quotes")),
            Err(error) => wrong = Some(error),
        }
    })?;
    match (lo, hi, written, wrong) {
        (_, _, _, Some(error)) => Err(error),
        (Some(lo), Some(hi), Some(written), None) if lo <= hi => Ok(Passed { lo, hi, written }),
        _ => Err((object, "`lo_unix_ns`, `hi_unix_ns` (no earlier) and `written_unix_ns`")),
    }
}

fn instant(text: &str) -> Reading<'_, i64> {
    text.parse().ok().filter(|ns: &i64| *ns >= 0).ok_or((text, "whole nanoseconds since 1970"))
}

fn bytes(text: &str) -> Reading<'_, u64> {
    text.parse().map_err(|_| (text, "a number of bytes"))
}

fn truth(text: &str) -> Reading<'_, bool> {
    text.parse().map_err(|_| (text, "`true` or `false`"))
}
