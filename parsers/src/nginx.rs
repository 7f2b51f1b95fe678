//! nginx's access log in the two `log_format`s that carry timers and ids: `key=value` pairs that begin
//! with `msec=` and end with `rc=`, and the same as JSON. `combined` is known, and refused. Times per
//! try come as lists, `0.001, 0.200`, with ` : ` between the groups of internal redirects. It must not
//! know what a reader makes of them.
//!
//! To turn on, in `http { … }` (keys may be left out, but for `msec`, `rt`, `st` and, at the end, `rc`):
//!
//! ```text
//! log_format tare 'msec=$msec rid=$http_x_request_id nrid=$request_id tp=$http_traceparent '
//!   'raddr=$remote_addr:$remote_port uri=$request_uri st=$status rt=$request_time ua=$upstream_addr '
//!   'ust=$upstream_status uct=$upstream_connect_time uht=$upstream_header_time '
//!   'urt=$upstream_response_time rl=$request_length bs=$bytes_sent rc=$request_completion';
//! ```
//!
//! In JSON (`escape=json`) the keys are the variables' names, but for `msec`, `uri`, `x_request_id`,
//! `traceparent`, `remote` (address and port), `upstream_connect_time` and its like in quotes, and
//! `completion` for `$request_completion`.

use crate::event::{LogLine, Parsed};
use crate::hop::{Completeness, Hop, Product, Try};
use crate::hop_text::{
    self, Reading, SECONDS, Value, at, decoded, fields, given, ns, pairs, seconds, unix_ns,
};
use crate::wrapped::{bare, own};

const NAME: &str = "nginx";
/// How its lines begin.
const BEGINS: [char; 2] = ['{', 'm'];
const MS_NS: i64 = 1_000_000;
/// nginx stamps with the time at which its event loop last looked.
const SLACK_NS: i64 = 2 * MS_NS;

pub fn recognises(line: &str) -> bool {
    let bare = bare(line);
    let line = own(&bare, &BEGINS);
    let is_json = line.starts_with('{') && line.contains("\"request_time\":") && line.contains("\"msec\":");
    let is_pairs = line.starts_with("msec=");
    is_json || is_pairs || is_combined(line) || matches!(parse(line, &mut String::new()), Parsed::Line(_))
}

pub fn parse<'a>(line: &'a str, scratch: &'a mut String) -> Parsed<'a> {
    hop_text::read(NAME, line, scratch, message)
}

fn message(text: &str) -> Reading<'_, LogLine<'_>> {
    let text = own(text, &BEGINS);
    let mut found = Found::default();
    if text.starts_with('{') {
        found.is_json = true;
        fields(text, |key, value: Value<'_>| found.take(key, value.raw))?;
    } else {
        for (key, value) in pairs(text) {
            found.take(key, value);
        }
        if found.msec.is_some() && found.completion.is_none() {
            return Err(("", "`rc=` ($request_completion) at the end of the line"));
        }
    }
    found.line(text)
}

/// The values as written.
#[derive(Default)]
struct Found<'a> {
    is_json: bool,
    msec: Option<&'a str>,
    request_time: Option<&'a str>,
    status: Option<&'a str>,
    request_id: &'a str,
    own_id: &'a str,
    traceparent: &'a str,
    client: &'a str,
    path: &'a str,
    addresses: Option<&'a str>,
    statuses: Option<&'a str>,
    connects: Option<&'a str>,
    heads: Option<&'a str>,
    ends: Option<&'a str>,
    received: &'a str,
    sent: &'a str,
    completion: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn take(&mut self, key: &str, value: &'a str) {
        match (self.is_json, key) {
            (_, "msec") => self.msec = Some(value),
            (false, "rt") | (true, "request_time") => self.request_time = Some(value),
            (false, "st") | (true, "status") => self.status = Some(value),
            (false, "rid") | (true, "x_request_id") => self.request_id = value,
            (false, "nrid") | (true, "request_id") => self.own_id = value,
            (false, "tp") | (true, "traceparent") => self.traceparent = value,
            (false, "raddr") | (true, "remote") => self.client = value,
            (_, "uri") => self.path = value,
            (false, "ua") | (true, "upstream_addr") => self.addresses = Some(value),
            (false, "ust") | (true, "upstream_status") => self.statuses = Some(value),
            (false, "uct") | (true, "upstream_connect_time") => self.connects = Some(value),
            (false, "uht") | (true, "upstream_header_time") => self.heads = Some(value),
            (false, "urt") | (true, "upstream_response_time") => self.ends = Some(value),
            (false, "rl") | (true, "request_length") => self.received = value,
            (false, "bs") | (true, "bytes_sent") => self.sent = value,
            (false, "rc") | (true, "completion") => self.completion = Some(value),
            _ => {}
        }
    }

    fn line(self, text: &'a str) -> Reading<'a, LogLine<'a>> {
        let (Some(msec), Some(request_time), Some(status)) = (self.msec, self.request_time, self.status)
        else {
            return Err((text, Product::Nginx.turn_on()));
        };
        let end = unix_ns(msec).ok_or((msec, "seconds since 1970 ($msec)"))?;
        let total = ns::<SECONDS>(request_time).ok_or((request_time, "seconds ($request_time)"))?;
        let mut hop = Hop::new(Product::Nginx);
        hop.status = hop_text::status(status)?;
        hop.request_id =
            if self.is_json { decoded(self.request_id) } else { given(self.request_id).map(Into::into) };
        hop.own_id = given(self.own_id).map(Into::into);
        hop.trace_id = hop_text::trace_id(self.traceparent);
        hop.client = hop_text::client(self.client);
        let path = hop_text::path(self.path);
        hop.path = if self.is_json { path.and_then(decoded) } else { path.map(Into::into) };
        hop.end = Some(at(end, MS_NS, SLACK_NS));
        hop.start = Some(at(end.saturating_sub(total), MS_NS, SLACK_NS));
        hop.timer_resolution_ns = Some(MS_NS);
        hop.phases.total_s = Some(seconds(total));
        if let Some(tries) = self.tries()? {
            hop.attempts = u32::try_from(tries.iter().filter(|one| was_asked(one)).count()).ok();
            hop.tries = tries;
        }
        hop.received_bytes = hop_text::bytes(self.received)?;
        hop.sent_bytes = hop_text::bytes(self.sent)?;
        // `OK` is logged for answers that the upstream cut, too.
        hop.completeness = match self.completion {
            Some("OK") | None if hop.status != Some(499) => Completeness::Unknown,
            Some("OK" | "" | "-") | None => Completeness::Aborted,
            Some(other) => return Err((other, "`OK` or nothing ($request_completion)")),
        };
        hop.end_reason = self.completion.and_then(given).map(Into::into);
        let time = hop.end.map(|end| end.time);
        Ok(hop_text::line_of(hop, time))
    }

    /// As many as the longest list has; none where no list is logged.
    fn tries(&self) -> Reading<'a, Option<Vec<Try<'a>>>> {
        let texts = [self.addresses, self.statuses, self.connects, self.heads, self.ends];
        if texts.iter().all(Option::is_none) {
            return Ok(None);
        }
        let asked = texts.iter().flatten().filter_map(|text| given(text));
        let count = asked.map(|text| list(text).count()).max().unwrap_or(0);
        let [mut addresses, mut statuses, mut connects, mut heads, mut ends] =
            texts.map(|text| list(text.unwrap_or_default()));
        let mut tries = Vec::with_capacity(count);
        for _ in 0..count {
            tries.push(Try {
                address: addresses.next().and_then(given).map(Into::into),
                status: hop_text::status(statuses.next().unwrap_or_default())?,
                connect_s: timer(connects.next())?,
                head_s: timer(heads.next())?,
                end_s: timer(ends.next())?,
            });
        }
        Ok(Some(tries))
    }
}

/// Where all upstreams were down, the name of their group stands for an address.
fn was_asked(one: &Try<'_>) -> bool {
    one.address.as_ref().is_none_or(|address| address.contains(':'))
}

/// The elements of `a, b : c`. Addresses hold colons of their own, without blanks.
fn list(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let all = rest.take()?;
        let mut blanks = memchr::memchr_iter(b' ', all.as_bytes());
        let cut = blanks.find_map(|blank| {
            let before = all.get(..blank)?;
            match before.strip_suffix(',') {
                Some(one) => Some((one, blank + 1)),
                None => all.get(blank..)?.starts_with(" : ").then_some((before, blank + 3)),
            }
        });
        let (one, after) = cut.unwrap_or((all, all.len()));
        rest = all.get(after..).filter(|_| cut.is_some());
        Some(one)
    })
}

fn timer(text: Option<&str>) -> Reading<'_, Option<f64>> {
    match text.and_then(given) {
        None => Ok(None),
        Some(text) => match ns::<SECONDS>(text) {
            Some(ns) => Ok(Some(seconds(ns))),
            None => Err((text, "seconds or `-` for each try")),
        },
    }
}

/// `127.0.0.1 - - [24/Nov/2026:14:50:32 +0000] "POST / HTTP/1.1" 200 6855 "-" "agent"`, to which Kong adds its own id.
fn is_combined(line: &str) -> bool {
    let line = line.split_once(" kong_request_id: ").map_or(line, |(combined, _)| combined);
    let Some((head, rest)) = line.split_once("] \"") else { return false };
    let is_head = head.split_once(" [").is_some_and(|(client, date)| {
        client.split(' ').count() == 3 && date.len() == 26 && date.as_bytes().get(2) == Some(&b'/')
    });
    let status = rest.split_once("\" ").map(|(_, after)| after.split(' ').next().unwrap_or_default());
    let ends_with_agent = without_end(line).ends_with('"') || rest.matches('"').count() == 1;
    is_head && ends_with_agent && status.is_some_and(|status| hop_text::status(status).is_ok())
}

fn without_end(line: &str) -> &str {
    line.trim_end_matches(['\n', '\r'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_split_at_commas_and_at_groups() {
        let split = |text| list(text).collect::<Vec<_>>();
        assert_eq!(split("0.001, 0.200 : -"), ["0.001", "0.200", "-"]);
        assert_eq!(split("[::1]:80, unix:/a.sock"), ["[::1]:80", "unix:/a.sock"]);
        assert_eq!(split("127.0.0.1:21000"), ["127.0.0.1:21000"]);
        assert_eq!(split(""), [""]);
    }

    #[test]
    fn the_default_format_is_known() {
        assert!(is_combined(
            "127.0.0.1 - - [24/Nov/2026:14:50:32 +0000] \"POST / HTTP/1.1\" 200 6855 \"-\" \"a\"\n"
        ));
        assert!(is_combined(
            "127.0.0.1 - - [27/Nov/2026:17:56:13 +0000] \"GET /v1/models HTTP/1.1\" 200 452 \"-\" \"-\" kong_request_id: \"53c8ea67b8924b7819b0eb13270bfa54\"\n"
        ));
        assert!(is_combined("::1 - bob [24/Nov/2026:14:50:32 +0000] \"GET / HTTP/1.1\" 200 6855"));
        assert!(!is_combined(
            "1.1.1.1 - - [24/Nov/2026:14:50:32 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"a\" 7 \"r\" \"u\" 5ms"
        ));
        assert!(!is_combined("INFO: 127.0.0.1:1 - \"GET / HTTP/1.1\" 200 OK"));
    }
}
