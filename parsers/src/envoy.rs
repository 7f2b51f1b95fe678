//! Envoy's access log: the default text format, and JSON whose fields are the operators that place
//! every moment of a request (`COMMON_DURATION`). It must not know what a reader makes of them.
//!
//! To turn on, as `json_format` of an access log (keys may be left out, but for `start` and, to be
//! recognised, `details`, `flags` and `duration`; each `…_us` is `%COMMON_DURATION(DS_RX_BEG:…:us)%`
//! to the moment that its name says, `DS_RX_END` to `DS_TX_END`):
//!
//! ```text
//! start: "%START_TIME(%s.%9f)%"      emit: "%EMIT_TIME(%s.%9f)%"      rid: "%REQ(X-REQUEST-ID)%"
//! traceparent: "%REQ(TRACEPARENT)%"  stream_id: "%STREAM_ID%"         path: "%REQ(:PATH)%"
//! code: "%RESPONSE_CODE%"            details: "%RESPONSE_CODE_DETAILS%" flags: "%RESPONSE_FLAGS%"
//! attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"                        duration: "%DURATION%"
//! ds_rx_end_us  us_tx_beg_us  us_tx_end_us  us_rx_beg_us  us_rx_body_beg_us  us_rx_end_us
//! ds_tx_beg_us  ds_tx_end_us         bytes_rx: "%BYTES_RECEIVED%"     bytes_tx: "%BYTES_SENT%"
//! up_host: "%UPSTREAM_HOST%"         down_remote: "%DOWNSTREAM_REMOTE_ADDRESS%"
//! request_duration, request_tx_duration, response_duration: milliseconds, where no `…_us` is there
//! ```
//!
//! Operators: Envoy documentation, "Access logging", command operators. `US_CX_*` is not read: it
//! repeats for every request of a pooled connection.

use crate::event::{LogLine, Parsed};
use crate::hop::{Completeness, Hop, HopTime, Product, Try};
use crate::hop_text::{
    self, MICROSECONDS, MILLISECONDS, Reading, Value, at, decoded, fields, given, ns, seconds, unix_ns,
};
use crate::time::{LogTime, iso};
use crate::wrapped::{bare, own};

const NAME: &str = "envoy";
/// How its lines begin.
const BEGINS: [char; 2] = ['{', '['];
/// `%s.%9f` prints nanoseconds; the clock behind them counts microseconds.
const RESOLUTION_NS: i64 = 1_000;
const MS_NS: i64 = 1_000_000;
/// Of 105 requests none was stamped out of causal order; the nearest was 0.04 ms off it.
const SLACK_NS: i64 = 0;

pub fn recognises(line: &str) -> bool {
    let bare = bare(line);
    let line = own(&bare, &BEGINS);
    let is_json = line.starts_with('{')
        && line.contains("\"details\":")
        && line.contains("\"flags\":")
        && line.contains("\"duration\":");
    is_json || begins_as_text(line) || matches!(parse(line, &mut String::new()), Parsed::Line(_))
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    hop_text::read(NAME, line, scratch, |text| {
        let text = own(text, &BEGINS);
        if text.starts_with('{') { json(text) } else { plain(text) }
    })
}

/// `[2026-11-24T14:53:07.174Z] "`
fn begins_as_text(line: &str) -> bool {
    let after = line.strip_prefix('[').and_then(|rest| iso(rest).ok());
    after.is_some_and(|(rest, _)| rest.starts_with("] \""))
}

/// `[start] "method path protocol" status flags received sent duration service-time
/// "x-forwarded-for" "user-agent" "x-request-id" "authority" "upstream"`; Istio's default has `details
/// termination "transport failure"` behind the flags, and `cluster local local remote name route` at the end.
fn plain(text: &str) -> Reading<'_, LogLine<'_>> {
    let rest = text.strip_prefix('[').ok_or((text, "`[` and the start"))?;
    let (rest, start) = iso(rest).map_err(|_| (rest, "a start such as `2026-11-24T14:53:07.174Z`"))?;
    let rest = rest.strip_prefix("] \"").ok_or((rest, "`] ` and the request in quotes"))?;
    let (request, rest) = rest.split_once("\" ").ok_or(("", "`\"` after the request"))?;
    let lacks = ("", Product::Envoy.turn_on());
    let (code, rest) = rest.split_once(' ').ok_or(lacks)?;
    let (flags, rest) = rest.split_once(' ').ok_or(lacks)?;
    let (istio, rest) = if rest.starts_with(|c: char| c.is_ascii_digit()) {
        (None, rest)
    } else {
        let wrong = (rest, "a number of bytes, or Istio's details and reasons");
        let (details, rest) = rest.split_once(' ').ok_or(wrong)?;
        let (_termination, rest) = rest.split_once(' ').ok_or(wrong)?;
        let rest = rest.strip_prefix('"').ok_or(wrong)?;
        let (_transport_failure, rest) = rest.split_once("\" ").ok_or(wrong)?;
        let (rest, after) = rest.rsplit_once("\" ").ok_or(wrong)?;
        let mut after = after.split(' ');
        let (client, _name, Some(_route)) = (after.nth(3), after.next(), after.next()) else {
            return Err(("", "`cluster local local remote name route` at the end of the line"));
        };
        (Some((details, client)), rest)
    };
    let mut words = rest.splitn(5, ' ');
    let [Some(received), Some(sent), Some(duration), Some(service), Some(quoted)] =
        std::array::from_fn(|_| words.next())
    else {
        return Err(lacks);
    };
    let mut hop = Hop::new(Product::Envoy);
    hop.status = hop_text::status(code)?;
    let total = ns::<MILLISECONDS>(duration).ok_or((duration, "whole milliseconds"))?;
    let head = given(service).map(|text| ns::<MILLISECONDS>(text).ok_or((text, "milliseconds or `-`")));
    let inside = quoted.strip_prefix('"');
    let inside = inside.and_then(|text| if istio.is_some() { Some(text) } else { text.strip_suffix('"') });
    // From the end: a user agent may hold quotes.
    let mut parts = inside.ok_or((quoted, "five texts in quotes"))?.rsplitn(4, "\" \"");
    let [Some(upstream), Some(_authority), Some(request_id), Some(before)] =
        std::array::from_fn(|_| parts.next())
    else {
        return Err((quoted, "five texts in quotes"));
    };
    // Of a line that was cut behind its fourth text the user agent would be taken for the id.
    if !before.contains("\" \"") || [upstream, request_id].iter().any(|text| text.contains('"')) {
        return Err((quoted, "five texts in quotes"));
    }
    hop.request_id = given(request_id).map(Into::into);
    hop.path = request.split(' ').nth(1).and_then(hop_text::path).map(Into::into);
    hop.start = Some(HopTime { time: start, slack_ns: SLACK_NS });
    if let LogTime::Unix { unix_ns, resolution_ns } = start {
        hop.end = Some(at(unix_ns.saturating_add(total), resolution_ns.saturating_add(MS_NS), SLACK_NS));
    }
    hop.timer_resolution_ns = Some(MS_NS);
    hop.phases.total_s = Some(seconds(total));
    hop.received_bytes = hop_text::bytes(received)?;
    hop.sent_bytes = hop_text::bytes(sent)?;
    hop.completeness = by_flags(flags, hop.status);
    hop.end_reason = given(flags).map(Into::into);
    if let Some((details, client)) = istio {
        hop.end_reason = given(details).map(Into::into);
        hop.client = client.and_then(hop_text::client);
    }
    if let Some(address) = given(upstream) {
        let head_s = head.transpose()?.map(seconds);
        hop.tries.push(Try { address: Some(address.into()), head_s, ..Try::default() });
    }
    Ok(hop_text::line_of(hop, None))
}

/// `-` is set on answers that ended as they should; `DC`, `DR`: the client left. Other flags on an
/// answer that had begun well mean that it was cut; but for those of answers that came late (a delay was
/// injected) or out of a cache.
fn by_flags(flags: &str, status: Option<u16>) -> Completeness {
    const LEFT: [&str; 4] = ["DC", "DR", "DownstreamConnectionTermination", "DownstreamRemoteReset"];
    const HARMLESS: [&str; 4] = ["DI", "RFCF", "DelayInjected", "ResponseFromCacheFilter"];
    let mut all = flags.split(',').filter_map(given).filter(|flag| !HARMLESS.contains(flag));
    if all.clone().any(|flag| LEFT.contains(&flag)) {
        return Completeness::Aborted;
    }
    match (all.next(), status) {
        (_, None) => Completeness::Unknown,
        (None, _) => Completeness::Complete,
        (Some(_), Some(..400)) => Completeness::Cut,
        (Some(_), _) => Completeness::Unknown,
    }
}

fn json(text: &str) -> Reading<'_, LogLine<'_>> {
    let mut found = Found::default();
    fields(text, |key, value| found.take(key, value))?;
    if let Some(wrong) = found.wrong {
        return Err(wrong);
    }
    let Some(start) = found.start else {
        return Err((text, Product::Envoy.turn_on()));
    };
    let mut hop = found.hop;
    hop.start = Some(start);
    hop.phases.total_s = found.last_byte_out.or(found.duration).map(seconds);
    if let (LogTime::Unix { unix_ns, resolution_ns }, Some(total)) =
        (start.time, found.last_byte_out.or(found.duration))
    {
        let timer_ns = if found.last_byte_out.is_some() { RESOLUTION_NS } else { MS_NS };
        hop.end = Some(at(unix_ns.saturating_add(total), resolution_ns.saturating_add(timer_ns), SLACK_NS));
    }
    let is_fine = found.last_byte_out.is_some() || hop.phases.request_received_s.is_some();
    hop.timer_resolution_ns = Some(if is_fine { RESOLUTION_NS } else { MS_NS });
    let ms = |coarse: Option<i64>| coarse.map(seconds);
    let phases = &mut hop.phases;
    phases.request_received_s = phases.request_received_s.or(ms(found.request_duration));
    phases.upstream_sent_s = phases.upstream_sent_s.or(ms(found.request_tx_duration));
    phases.upstream_head_s = phases.upstream_head_s.or(ms(found.response_duration));
    // Without an id of its own, Envoy's stream id is the request's.
    hop.own_id = hop.own_id.take().filter(|id| hop.request_id.as_ref() != Some(id));
    hop.completeness = by_flags(found.flags, hop.status);
    if let Some(address) = found.upstream {
        hop.tries.push(Try { address: Some(address.into()), ..Try::default() });
    }
    Ok(hop_text::line_of(hop, found.emitted))
}

struct Found<'a> {
    hop: Hop<'a>,
    start: Option<HopTime>,
    emitted: Option<LogTime>,
    flags: &'a str,
    upstream: Option<&'a str>,
    /// Nanoseconds from the start.
    last_byte_out: Option<i64>,
    duration: Option<i64>,
    request_duration: Option<i64>,
    request_tx_duration: Option<i64>,
    response_duration: Option<i64>,
    wrong: Option<(&'a str, &'static str)>,
}

impl Default for Found<'_> {
    fn default() -> Self {
        Self {
            hop: Hop::new(Product::Envoy),
            start: None,
            emitted: None,
            flags: "-",
            upstream: None,
            last_byte_out: None,
            duration: None,
            request_duration: None,
            request_tx_duration: None,
            response_duration: None,
            wrong: None,
        }
    }
}

impl<'a> Found<'a> {
    fn take(&mut self, key: &str, value: Value<'a>) {
        let Some(text) = value.given() else { return };
        if let Err(wrong) = self.keep(key, text) {
            self.wrong.get_or_insert(wrong);
        }
    }

    fn keep(&mut self, key: &str, text: &'a str) -> Reading<'a, ()> {
        let hop = &mut self.hop;
        match key {
            "start" => self.start = Some(HopTime { time: stamp(text)?, slack_ns: SLACK_NS }),
            "emit" => self.emitted = Some(stamp(text)?),
            "rid" => hop.request_id = decoded(text),
            "stream_id" => hop.own_id = decoded(text),
            "traceparent" => hop.trace_id = hop_text::trace_id(text),
            "code" => hop.status = hop_text::status(text)?,
            "details" => hop.end_reason = decoded(text),
            "flags" => self.flags = text,
            "path" => hop.path = hop_text::path(text).and_then(decoded),
            "attempts" => hop.attempts = Some(text.parse().map_err(|_| (text, "a number of attempts"))?),
            "duration" => self.duration = Some(ms(text)?),
            "request_duration" => self.request_duration = Some(ms(text)?),
            "request_tx_duration" => self.request_tx_duration = Some(ms(text)?),
            "response_duration" => self.response_duration = Some(ms(text)?),
            "ds_rx_end_us" => hop.phases.request_received_s = Some(seconds(us(text)?)),
            "us_tx_beg_us" => hop.phases.connected_s = Some(seconds(us(text)?)),
            "us_tx_end_us" => hop.phases.upstream_sent_s = Some(seconds(us(text)?)),
            "us_rx_beg_us" => hop.phases.upstream_head_s = Some(seconds(us(text)?)),
            "us_rx_body_beg_us" => hop.phases.upstream_first_body_s = Some(seconds(us(text)?)),
            "us_rx_end_us" => hop.phases.upstream_end_s = Some(seconds(us(text)?)),
            "ds_tx_beg_us" => hop.phases.head_sent_s = Some(seconds(us(text)?)),
            "ds_tx_end_us" => self.last_byte_out = Some(us(text)?),
            "bytes_rx" => hop.received_bytes = hop_text::bytes(text)?,
            "bytes_tx" => hop.sent_bytes = hop_text::bytes(text)?,
            "up_host" => self.upstream = Some(text),
            "down_remote" => hop.client = decoded(text),
            _ => {}
        }
        Ok(())
    }
}

fn stamp(text: &str) -> Reading<'_, LogTime> {
    match (unix_ns(text), iso(text)) {
        (Some(unix_ns), _) => Ok(LogTime::Unix { unix_ns, resolution_ns: RESOLUTION_NS }),
        (None, Ok(("", time))) => Ok(time),
        _ => Err((text, "an instant: `%START_TIME(%s.%9f)%`")),
    }
}

fn ms(text: &str) -> Reading<'_, i64> {
    ns::<MILLISECONDS>(text).ok_or((text, "milliseconds"))
}

fn us(text: &str) -> Reading<'_, i64> {
    ns::<MICROSECONDS>(text).ok_or((text, "microseconds"))
}
