//! A client that wrote down when each token was in its hands: one JSON object a request, wall-clock
//! nanoseconds, as benches of proxies write them. It must not know what is done with the rows.
//!
//! | in the file | here |
//! |---|---|
//! | `rid`, `trace_id` | `request_id` (the `X-Request-Id` sent), `trace_id`; without an id the answer's, else file and line |
//! | `t_connect`, `t_connected` | `connect_begin`, `connect_end`; absent on a kept connection |
//! | `t_send`, `t_sent` | `send_begin`, `sent`; the request is started at `t_connect`, else at `t_send`: the file tells of no schedule |
//! | `t_header`, `t_end` | `head`, `done` |
//! | `tok_ns` `[ns …]` | one event a token, counted from `t_send`; tokens of one stamp came in one read |
//! | `ntok` | `output_tokens`, as the client counted them |
//! | `body_len` | bytes of the body: an event's `bytes` is its share, not measured |
//! | `resp_headers` `[[name, value] …]` | `answer_headers`, those that tell of what lay between |
//! | `done`, `finished`, `closed_early`, `sse_error`, `err`, `body` | how it ended |
//!
//! An event lies between the read before its own, as far as the file tells of it, and its own. The
//! stamps are the client program's, never exact.

use serde::Deserialize;
use tare_parsers::hop_headers;

use super::input::{Reading, has_keys, json};
use super::{Format, Of, Reads, instants};
use crate::clock::UnixNs;
use crate::load::timing;
use crate::record::{Connection, EventRow, Finished, RequestRow, StampSource, Status};

pub(super) const FORMAT: Format = Format {
    name: "token_times",
    of: Of::Client,
    description: "one JSON object a request with the time of every token",
    reads: Reads::Text { recognises: |text| has_keys(text, &["rid", "tok_ns"]), read },
};

fn read(text: &str, reading: &mut Reading<'_>) {
    let file = reading.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut shared = false;
    reading.each_line(text, |line_no, line, rows| {
        let given: Given = json(line)?;
        let Some(begin) = given.t_connect.or(given.t_send) else {
            return Err("expected `t_send` (or `t_connect`), found no time at all".to_owned());
        };
        instants::unix_ns(begin).map_err(|error| format!("`t_send`: {error}"))?;
        shared |= given.body_len.is_some();
        rows.requests.push(given.finished(begin, &format!("{file}:{line_no}")));
        Ok(())
    });
    if shared {
        reading.notes.push(format!(
            "{file}: the size of an event is its body's, shared out evenly: the client did not measure it"
        ));
    }
}

#[derive(Deserialize)]
struct Given {
    rid: Option<String>,
    trace_id: Option<String>,
    #[serde(default)]
    reused: Option<bool>,
    local_port: Option<u16>,
    t_connect: Option<i64>,
    t_connected: Option<i64>,
    t_send: Option<i64>,
    t_sent: Option<i64>,
    t_header: Option<i64>,
    t_first_body: Option<i64>,
    t_end: Option<i64>,
    status: Option<u16>,
    resp_headers: Option<Vec<(String, String)>>,
    resp_id: Option<String>,
    ntok: Option<u32>,
    tok_ns: Vec<i64>,
    body_len: Option<u64>,
    #[serde(default)]
    done: Option<bool>,
    #[serde(default)]
    finished: Option<bool>,
    err: Option<String>,
    sse_error: Option<serde_json::Value>,
    body: Option<String>,
}

impl Given {
    fn finished(self, begin: i64, place: &str) -> Finished {
        let kind = self.header("content-type").unwrap_or_default().to_ascii_lowercase();
        let streamed = !self.tok_ns.is_empty() || kind.starts_with("text/event-stream");
        let (status, error) = self.ended(streamed);
        let events = self.events(begin);
        let instant = |ns: Option<i64>| ns.map(UnixNs);
        let last = events.last().map(|event| event.stamp_hi_unix_ns.0);
        let latest = [self.t_end, last, self.t_header, self.t_sent, self.t_send, self.t_connected];
        let done = latest.into_iter().flatten().next().unwrap_or(begin);
        let id = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
        let mut row = RequestRow {
            request_id: id(&self.rid).or(id(&self.resp_id)).unwrap_or_else(|| place.to_owned()),
            trace_id: id(&self.trace_id).unwrap_or_default(),
            response_id: id(&self.resp_id),
            streamed,
            scheduled_unix_ns: UnixNs(begin),
            started_unix_ns: UnixNs(begin),
            connect_begin_unix_ns: instant(self.t_connect.filter(|_| self.t_connected.is_some())),
            connect_end_unix_ns: instant(self.t_connected),
            send_begin_unix_ns: instant(self.t_send),
            sent_unix_ns: instant(self.t_sent),
            head_unix_ns: instant(self.t_header),
            done_unix_ns: UnixNs(done),
            stamps: StampSource::User,
            status,
            http_status: self.status,
            error,
            connection: if self.reused == Some(true) { Connection::Reused } else { Connection::New },
            local_port: self.local_port,
            output_tokens: self.ntok.filter(|n| *n > 0),
            answer_headers: self.kept_headers(),
            ..RequestRow::default()
        };
        let first_content = (!events.is_empty()).then_some(0);
        let whole = if streamed { None } else { instant(self.t_first_body.or(self.t_end)) };
        timing::date(&mut row, &events, first_content, whole);
        Finished { row, events, place: None }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.resp_headers.iter().flatten();
        headers.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn ended(&self, streamed: bool) -> (Status, Option<String>) {
        let said = |otherwise: &str| Some(self.err.clone().unwrap_or_else(|| otherwise.to_owned()));
        let Some(http_status) = self.status else {
            return (Status::ConnectError, said("the connection ended before an answer began"));
        };
        if http_status >= 300 {
            let body: String = self.body.iter().flat_map(|body| body.chars()).take(200).collect();
            let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
            return (Status::HttpError, Some(format!("HTTP {http_status}: {body}")));
        }
        if let Some(said) = &self.sse_error {
            let said = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
            return (Status::StreamError, Some(said));
        }
        let whole = if streamed { self.done } else { self.finished };
        if whole == Some(true) {
            return (Status::Ok, None);
        }
        match self.header("content-encoding") {
            Some(coding) if self.tok_ns.is_empty() && self.finished == Some(true) => (
                Status::DecodeError,
                Some(format!("the answer is compressed (`content-encoding: {coding}`): no token has a time")),
            ),
            _ => (Status::Cut, said("the answer ended without `finish_reason` or `[DONE]`")),
        }
    }

    /// What the client read in one piece shares stamp and interval.
    fn events(&self, begin: i64) -> Vec<EventRow> {
        let Some(sent) = self.t_send else { return Vec::new() };
        let stamps: Vec<i64> = self.tok_ns.iter().map(|after| sent + after).collect();
        let share = self.body_len.zip(u64::try_from(stamps.len()).ok()).map(|(all, n)| all / n.max(1));
        let bytes = share.and_then(|bytes| u32::try_from(bytes).ok()).unwrap_or(0);
        // Reads before the first token: nothing can have come before the request was begun to be sent.
        let earlier = [self.t_header, self.t_first_body, self.t_send, Some(begin)];
        let mut before = i64::MIN;
        let mut rows = Vec::with_capacity(stamps.len());
        for of_read in stamps.chunk_by(|a, b| a == b) {
            let Some(&at) = of_read.first() else { continue };
            if rows.is_empty() {
                before = earlier.into_iter().flatten().filter(|t| *t < at).max().unwrap_or(at);
            }
            rows.extend(of_read.iter().map(|_| EventRow {
                stamp_lo_unix_ns: UnixNs(before.min(at - 1)),
                stamp_hi_unix_ns: UnixNs(at),
                user_unix_ns: UnixNs(at),
                events_in_read: of_read.len() as u32,
                tokens: None,
                bytes,
            }));
            before = at;
        }
        rows
    }

    /// Those that tell of what lay between; no other may reach a file.
    fn kept_headers(&self) -> Vec<(String, String)> {
        let headers = self.resp_headers.iter().flatten();
        let kept = headers.filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let value = hop_headers::kept(&name, value)?;
            Some((name, value))
        });
        kept.collect()
    }
}
