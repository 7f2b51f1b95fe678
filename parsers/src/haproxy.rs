//! HAProxy's HTTP log: `option httplog` with or without captured headers, and a `key=value`
//! `log-format`; bare, or as syslog frames it (RFC 3164, RFC 5424, and what syslog daemons write to
//! files). Timers are milliseconds, -1 means never. Lines with fewer timers (`tcplog`, no option at
//! all) are known, and refused. It must not know what a reader makes of them.
//!
//! Timers: HAProxy configuration manual, 8.4 "Timing events". They follow each other: TR (request
//! head), Tw (queue), Tc (connect), Tr (response head); Ta runs from the request to the end.

use crate::event::{Event, LogLine, Parsed};
use crate::haproxy_pairs;
use crate::hop::{Completeness, Hop, HopTime, Product, Try};
use crate::hop_text::{self, Reading, given, hex32, key_len, seconds, trace_id};
use crate::syslog_frame::{self, Frame};
use crate::time::{LogTime, clf};
use crate::wrapped::bare;

pub(crate) const NAME: &str = "haproxy";
pub(crate) const MS_NS: i64 = 1_000_000;
/// HAProxy stamps with the time at which its event loop last looked.
pub(crate) const SLACK_NS: i64 = 2 * MS_NS;

/// Zones are a quarter of an hour apart at least.
const NEAR_S: f64 = 450.0;

/// More captured headers of a line are not looked at.
const MOST_CAPTURES: usize = 32;

pub fn recognises(line: &str) -> bool {
    let bare = bare(line);
    let (frame, body) = syslog_frame::split(&bare);
    let is_named = frame.program.is_some_and(|program| program.starts_with(NAME));
    is_named || is_httplog(body) || haproxy_pairs::is_one(body)
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    hop_text::read(NAME, line, scratch, message)
}

fn message(text: &str) -> Reading<'_, LogLine<'_>> {
    let (frame, body) = syslog_frame::split(text);
    if says_no_request(body) {
        let (pid, time) = (frame.pid, frame.time);
        return Ok(LogLine { process: None, pid, level: None, time, event: Event::Other });
    }
    let mut hop = if key_len(body).is_some() { haproxy_pairs::hop(body)? } else { httplog(body)? };
    hop.start = hop.start.map(|start| frame.absolute(start, hop.phases.total_s));
    // The sender's stamp is made when the line is sent, which is when the hop is over, but for `logasap`.
    let ended = frame.sent().filter(|_| hop.phases.total_s.is_some());
    hop.end = ended.map(|time| HopTime { time, slack_ns: SLACK_NS });
    Ok(LogLine { pid: frame.pid, ..hop_text::line_of(hop, frame.time) })
}

/// Servers that come and go, and connections that carried no request
/// (`client:port [date] frontend/1: SSL handshake failure`).
fn says_no_request(body: &str) -> bool {
    const STATES: [&str; 5] = ["Server ", "Backup Server ", "Proxy ", "backend ", "Health check "];
    let front_end = || body.split_once("] ").and_then(|(_, rest)| rest.split(' ').next());
    STATES.iter().any(|state| body.starts_with(state))
        || is_httplog(body) && front_end().is_some_and(|word| word.ends_with(':'))
}

impl Frame<'_> {
    /// An instant of the log's own, in the zone that the frame tells: if the hop, so placed, was over
    /// about when the frame was made. A frame of another zone than HAProxy's tells nothing.
    fn absolute(&self, instant: HopTime, total_s: Option<f64>) -> HopTime {
        let (Some(offset_s), Some(LogTime::Unix { unix_ns: framed, .. })) = (self.offset_s, self.time) else {
            return instant;
        };
        let time = instant.time.at_offset(offset_s);
        let LogTime::Unix { unix_ns, .. } = time else { return instant };
        let since_s = seconds(framed.saturating_sub(unix_ns)) - total_s.unwrap_or(0.0);
        if since_s.abs() < NEAR_S { HopTime { time, ..instant } } else { instant }
    }
}

/// `client:port [date] frontend backend/server `
fn is_httplog(body: &str) -> bool {
    let after = body.split_once(" [").and_then(|(client, rest)| {
        let is_client = !client.contains(' ') && client.contains(':');
        clf(rest).ok().filter(|_| is_client)
    });
    after.is_some_and(|(rest, _)| rest.starts_with("] "))
}

/// `client:port [date] frontend backend/server TR/Tw/Tc/Tr/Ta status bytes cookie cookie tsc
/// connections queues {captures} {captures} "request"`
fn httplog(body: &str) -> Reading<'_, Hop<'_>> {
    let lacks = (body, Product::Haproxy.turn_on());
    if body.starts_with("Connect from ") {
        return Err(lacks);
    }
    let (client, rest) = body.split_once(" [").ok_or((body, "`client:port [date]`"))?;
    if client.contains(' ') {
        return Err((body, "`client:port [date]`"));
    }
    let (rest, date) = clf(rest).map_err(|_| (rest, "a date such as `24/Nov/2026:14:50:50.356`"))?;
    let rest = rest.strip_prefix("] ").ok_or((rest, "`] ` after the date"))?;
    let (_frontend, rest) = word(rest, "a front end")?;
    let (server, rest) = word(rest, "`backend/server`")?;
    let (timer_text, rest) = word(rest, "timers")?;
    let mut timers = timer_text.split('/');
    let [Some(tr_head), Some(queue), Some(connect), Some(head), Some(active), None] =
        std::array::from_fn(|_| timers.next())
    else {
        return Err(lacks);
    };
    let (status, rest) = word(rest, "a status")?;
    let (sent, rest) = word(rest, "a number of bytes")?;
    let (_request_cookie, rest) = word(rest, "a cookie or `-`")?;
    let (_response_cookie, rest) = word(rest, "a cookie or `-`")?;
    let (ended, rest) = word(rest, "a termination state such as `----`")?;
    let (connections, rest) = word(rest, "five numbers of connections")?;
    let (_queues, rest) = word(rest, "two lengths of queues")?;
    let (captures, rest) = braces(rest)?;
    let (more_captures, rest) = braces(rest)?;
    // The request may be cut: syslog limits a line's length. Everything else stands before it.
    let request = rest.strip_prefix('"').ok_or((rest, "the request in quotes"))?;

    let timers = Timers { request_head: tr_head, queue, connect, head, active };
    let retries = connections.rsplit('/').next().unwrap_or_default();
    let mut hop = timers.hop(server, retries, ended)?;
    hop.status = hop_text::status(status)?;
    hop.client = hop_text::client(client);
    hop.start = Some(HopTime { time: date, slack_ns: SLACK_NS });
    hop.sent_bytes = number(sent)?;
    hop.path = path(request).map(Into::into);
    hop.trace_id = captures.split('|').find_map(trace_id);
    hop.request_id = request_id(captures, more_captures).map(Into::into);
    let is_response_id = |value: &&str| value.starts_with("chatcmpl-") || value.starts_with("cmpl-");
    hop.response_id = more_captures.split('|').find(is_response_id).map(Into::into);
    Ok(hop)
}

/// The captured value that is the request's id. Captures have no names: it is what the answer was given
/// back as well, or else the only one that can be an id at all. Of several none is taken.
fn request_id<'a>(captures: &'a str, of_answer: &'a str) -> Option<&'a str> {
    let echoed = |value: &str| of_answer.split('|').take(MOST_CAPTURES).any(|other| other == value);
    let mut can_be =
        captures.split('|').take(MOST_CAPTURES).filter_map(given).filter(|value| can_be_id(value));
    if let Some(value) = can_be.clone().find(|value| echoed(value)) {
        return Some(value);
    }
    let first = can_be.next();
    first.filter(|_| can_be.next().is_none())
}

/// Neither a `traceparent`, nor what other headers hold: words, media types, hosts and addresses, numbers,
/// keys.
fn can_be_id(value: &str) -> bool {
    const KEY: &str = "sk-";
    let is_number = value.len() < 16 && value.bytes().all(|byte| byte.is_ascii_digit());
    !is_number
        && !is_host(value)
        && !value.contains([' ', '/', ';', ',', '*', '='])
        && !value.starts_with(KEY)
        && trace_id(value).is_none()
}

/// `gateway.example.com`, `127.0.0.1:8000`, `vllm:8000`
fn is_host(value: &str) -> bool {
    let port = |text: &str| matches!(text.len(), 1..=5) && text.bytes().all(|byte| byte.is_ascii_digit());
    let (name, has_port) = match value.rsplit_once(':') {
        Some((name, digits)) if port(digits) => (name, true),
        _ => (value, false),
    };
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte));
    is_name && (has_port || name.contains('.') || name == "localhost")
}

/// The timers as written.
pub(crate) struct Timers<'a> {
    pub(crate) request_head: &'a str,
    pub(crate) queue: &'a str,
    pub(crate) connect: &'a str,
    pub(crate) head: &'a str,
    pub(crate) active: &'a str,
}

impl<'a> Timers<'a> {
    pub(crate) fn hop(&self, server: &'a str, retries: &'a str, ended: &'a str) -> Reading<'a, Hop<'a>> {
        let [request_head, queue, connect, head] =
            [ms(self.request_head)?, ms(self.queue)?, ms(self.connect)?, ms(self.head)?];
        let mut hop = Hop::new(Product::Haproxy);
        let then =
            |before: Option<i64>, next: Option<i64>| before.zip(next).map(|(a, b)| a.saturating_add(b));
        let queued = then(request_head, queue);
        let connected = then(queued, connect);
        hop.timer_resolution_ns = Some(MS_NS);
        hop.phases.request_head_s = request_head.map(seconds);
        // Sent to another server, it was queued anew: Tw is from the begin to there, earlier tries and all.
        hop.phases.queue_s = queued.filter(|_| !retries.starts_with('+')).map(seconds);
        hop.phases.connected_s = connected.map(seconds);
        hop.phases.upstream_head_s = then(connected, head).map(seconds);
        // With `+` the line was written before the end (`option logasap`).
        let is_over = !self.active.starts_with('+');
        hop.phases.total_s = ms(self.active)?.filter(|_| is_over).map(seconds);
        hop.completeness = if is_over { completeness(ended)? } else { Completeness::Unknown };
        hop.end_reason = given(ended).map(Into::into);
        // `<NOSRV>`, `<STATS>`: it was answered here.
        if !server.contains("/<") {
            let retries = retries.trim_start_matches('+');
            let retries: u32 = retries.parse().map_err(|_| (retries, "a number of retries"))?;
            hop.attempts = retries.checked_add(1);
            // Tc counts from the first of several tries.
            let once = |timer: Option<i64>| timer.filter(|_| retries == 0).map(seconds);
            let head_s = once(then(connect, head));
            let address = given(server).map(Into::into);
            hop.tries.push(Try { address, connect_s: once(connect), head_s, ..Try::default() });
        }
        Ok(hop)
    }
}

/// The first character says who ended it (`-`: all as it should), the second in which phase; `D` is
/// the data phase (configuration manual, 8.5).
fn completeness(ended: &str) -> Reading<'_, Completeness> {
    Ok(match ended.as_bytes() {
        [b'-', b'-', ..] => Completeness::Complete,
        [b'C' | b'c', ..] => Completeness::Aborted,
        [b'A'..=b'Z' | b'a'..=b'z', b'D', ..] => Completeness::Cut,
        [b'A'..=b'Z' | b'a'..=b'z', ..] => Completeness::Unknown,
        _ => return Err((ended, "a termination state such as `----`")),
    })
}

fn ms(text: &str) -> Reading<'_, Option<i64>> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    match digits.parse() {
        Ok(-1) => Ok(None),
        Ok(ms @ 0..=1_000_000_000_000) => Ok(Some(i64::saturating_mul(ms, MS_NS))),
        _ => Err((text, "whole milliseconds or -1")),
    }
}

pub(crate) fn number(text: &str) -> Reading<'_, Option<u64>> {
    if text.starts_with('+') {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| (text, "a number of bytes"))
}

/// The path of `POST /v1/chat/completions HTTP/1.1"`, if all of it is there.
pub(crate) fn path(request: &str) -> Option<&str> {
    let (_, rest) = request.split_once(' ')?;
    rest.split_once(" HTTP/").and_then(|(target, _)| hop_text::path(target))
}

/// A uniform id of 32 digits is a trace's; anything else is none.
pub(crate) fn trace(text: &str) -> Option<&str> {
    trace_id(text).or_else(|| hex32(text))
}

fn word<'a>(text: &'a str, what: &'static str) -> Reading<'a, (&'a str, &'a str)> {
    match text.split_once(' ') {
        Some((word, rest)) if !word.is_empty() => Ok((word, rest)),
        Some(_) => Err((text, what)),
        None => Err(("", what)),
    }
}

/// `{a|b} `; HAProxy encodes braces and bars inside the values.
fn braces(text: &str) -> Reading<'_, (&str, &str)> {
    match text.strip_prefix('{') {
        None => Ok(("", text)),
        Some(inside) => inside.split_once("} ").ok_or(("", "`} ` after the captured headers")),
    }
}
