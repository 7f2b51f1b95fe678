//! HAProxy's log in a `log-format` of `key=value` pairs, of which `ts=%Ts.%ms` is the first and
//! `req=%{+Q}r` the last: it ends the line, so that a cut line is known. It must not know how lines
//! are framed, nor what timers mean.
//!
//! To turn on, in the front end, with `http-request capture req.hdr(X-Request-Id) len 128`:
//!
//! ```text
//! log-format "ts=%Ts.%ms ci=%ci:%cp be=%b/%s Th=%Th Ti=%Ti TR=%TR Tw=%Tw Tc=%Tc Tr=%Tr Ta=%Ta st=%ST B=%B U=%U tsc=%tsc rc=%rc uid=%ID rid=%[capture.req.hdr(0)] req=%{+Q}r"
//! ```

use crate::haproxy::{MS_NS, SLACK_NS, Timers, number, path, trace};
use crate::hop::{Hop, HopTime, Product};
use crate::hop_text::{self, Reading, at, given, pairs, unix_ns};
use crate::time::clf;

/// Whether the text is such a line, or the beginning of one.
pub(crate) fn is_one(body: &str) -> bool {
    body.starts_with("ts=") && body.contains(" ci=")
}

/// The values as written.
#[derive(Default)]
struct Found<'a> {
    stamp: Option<&'a str>,
    civil: Option<&'a str>,
    handshake: &'a str,
    idle: &'a str,
    timers: [Option<&'a str>; 5],
    status: Option<&'a str>,
    server: &'a str,
    client: &'a str,
    ended: Option<&'a str>,
    retries: &'a str,
    received: &'a str,
    sent: &'a str,
    own_id: &'a str,
    request_id: &'a str,
    traceparent: &'a str,
    request: Option<&'a str>,
}

pub(crate) fn hop(body: &str) -> Reading<'_, Hop<'_>> {
    let mut found = Found::default();
    for (key, value) in pairs(body) {
        found.take(key, value);
    }
    found.hop(body)
}

impl<'a> Found<'a> {
    fn take(&mut self, key: &str, value: &'a str) {
        match key {
            "ts" => self.stamp = Some(value),
            "tr" => self.civil = Some(value),
            "Th" => self.handshake = value,
            "Ti" => self.idle = value,
            "TR" => self.timers[0] = Some(value),
            "Tw" => self.timers[1] = Some(value),
            "Tc" => self.timers[2] = Some(value),
            "Tr" => self.timers[3] = Some(value),
            "Ta" => self.timers[4] = Some(value),
            "st" => self.status = Some(value),
            "be" => self.server = value,
            "ci" => self.client = value,
            "tsc" => self.ended = Some(value),
            "rc" => self.retries = value,
            "U" => self.received = value,
            "B" => self.sent = value,
            "uid" => self.own_id = value,
            "rid" => self.request_id = value,
            "tp" => self.traceparent = value,
            "req" => self.request = Some(value),
            _ => {}
        }
    }

    fn hop(self, body: &'a str) -> Reading<'a, Hop<'a>> {
        let [Some(request_head), Some(queue), Some(connect), Some(head), Some(active)] = self.timers else {
            return Err((body, Product::Haproxy.turn_on()));
        };
        let (Some(status), Some(ended)) = (self.status, self.ended) else {
            return Err((body, "`st=%ST` and `tsc=%tsc`"));
        };
        let request = self.request.ok_or(("", "`req=%{+Q}r` at the end of the line"))?;
        let timers = Timers { request_head, queue, connect, head, active };
        let mut hop = timers.hop(self.server, self.retries, ended)?;
        hop.status = hop_text::status(status)?;
        hop.start = Some(self.start()?.ok_or((body, "`ts=%Ts.%ms` or `tr=%tr`"))?);
        hop.client = hop_text::client(self.client);
        hop.own_id = given(self.own_id).map(Into::into);
        hop.request_id = given(self.request_id).map(Into::into);
        hop.trace_id = trace(self.traceparent);
        hop.path = path(request).map(Into::into);
        hop.received_bytes = if self.received.is_empty() { None } else { number(self.received)? };
        hop.sent_bytes = if self.sent.is_empty() { None } else { number(self.sent)? };
        Ok(hop)
    }

    /// `%Ts` is when the connection, or the wait for its next request, began: the request came after
    /// the handshake and the idle time.
    fn start(&self) -> Reading<'a, Option<HopTime>> {
        let Some(stamp) = self.stamp else {
            return match self.civil.map(clf) {
                Some(Ok((_, time))) => Ok(Some(HopTime { time, slack_ns: SLACK_NS })),
                _ => Ok(None),
            };
        };
        let accepted = unix_ns(stamp).ok_or((stamp, "seconds since 1970 (%Ts.%ms)"))?;
        let mut start = Some(accepted);
        for waited in [self.handshake, self.idle] {
            let waited_ms: Option<i64> = if waited.is_empty() { Some(0) } else { waited.parse().ok() };
            let later = waited_ms.filter(|ms| *ms >= 0).and_then(|ms| ms.checked_mul(MS_NS));
            start = start.zip(later).and_then(|(start, later)| start.checked_add(later));
        }
        let start = start.ok_or((stamp, "whole milliseconds for `Th` and `Ti`"))?;
        Ok(Some(at(start, MS_NS, SLACK_NS)))
    }
}
