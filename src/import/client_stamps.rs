//! A client that wrote down when it read what: one JSON object a request, wall-clock nanoseconds.
//! It must not know what is done with the rows.
//!
//! | in the file | here |
//! |---|---|
//! | `x_request_id`, `traceparent` | `request_id`, `trace_id`; without an id that was sent, the answer's; without both, file and line |
//! | `t_start_ns` (before connecting) | `scheduled`, `started`, `connect_begin`: the file tells of no schedule |
//! | `t_conn_ns` | `connect_end`, `send_begin` |
//! | `t_sent_ns`, `t_head_ns`, `t_end_ns` | `sent`, `head`, `done` |
//! | `reads` `[[t_ns, bytes] …]` | the moments at which the client read: an event lies between the read before its own and its own |
//! | `events` `[{t, n, role, fin, u} …]` | those with text (`n` characters), or with new tokens (`u`), are events |
//! | `usage`, `metrics` | tokens; in-band queue, prefill and decode |
//!
//! The stamps are the client program's, never exact. The size of an event is not known: 0.

use serde::Deserialize;

use super::input::{Reading, has_keys, json};
use super::{Format, Of, Reads, instants};
use crate::clock::UnixNs;
use crate::load::timing;
use crate::record::{Connection, Endpoint, EventRow, Finished, RequestRow, StampSource, Status};

pub(super) const FORMAT: Format = Format {
    name: "client_stamps",
    of: Of::Client,
    description: "one JSON object a request with the times of every read and event",
    reads: Reads::Text { recognises: |text| has_keys(text, &["t_start_ns", "events"]), read },
};

fn read(text: &str, reading: &mut Reading<'_>) {
    let file = reading.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    reading.each_line(text, |line_no, line, rows| {
        let given: Given = json(line)?;
        instants::unix_ns(given.t_start_ns).map_err(|error| format!("`t_start_ns`: {error}"))?;
        rows.requests.push(given.finished(&format!("{file}:{line_no}")));
        Ok(())
    });
}

#[derive(Deserialize)]
struct Given {
    path: Option<String>,
    x_request_id: Option<String>,
    traceparent: Option<String>,
    local_port: Option<u16>,
    t_start_ns: i64,
    t_conn_ns: Option<i64>,
    t_sent_ns: Option<i64>,
    t_head_ns: Option<i64>,
    t_end_ns: Option<i64>,
    t_abort_ns: Option<i64>,
    #[serde(default)]
    aborted: bool,
    status: Option<String>,
    headers: Option<Vec<String>>,
    reads: Option<Vec<(i64, u64)>>,
    events: Option<Vec<Event>>,
    resp_id: Option<String>,
    usage: Option<Usage>,
    metrics: Option<Metrics>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Event {
    /// Null where the last one was cut and never read whole.
    t: Option<i64>,
    n: Option<u32>,
    fin: Option<String>,
    u: Option<(Option<u32>, Option<u32>)>,
    raw: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Usage {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
}

#[derive(Clone, Copy, Deserialize)]
struct Metrics {
    time_to_first_token_ms: Option<f64>,
    queue_time_ms: Option<f64>,
    generation_time_ms: Option<f64>,
}

impl Given {
    fn finished(self, place: &str) -> Finished {
        let streamed = self.headers.iter().flatten().any(|header| {
            let header = header.to_ascii_lowercase();
            header.starts_with("content-type:") && header.contains("text/event-stream")
        }) || self.events.as_ref().is_some_and(|events| !events.is_empty());
        let http_status = self.http_status();
        let (status, error) = self.ended(http_status, streamed);
        let events = self.event_rows();
        let instant = |ns: Option<i64>| ns.map(UnixNs);
        let reads = self.reads.iter().flatten().map(|(t, _)| *t);
        let last_read = reads.max();
        let end = self.t_end_ns.or(self.t_abort_ns).or(last_read).unwrap_or(self.t_start_ns);
        let id = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
        let metric = |ms: fn(&Metrics) -> Option<f64>| self.metrics.as_ref().and_then(ms).map(|ms| ms / 1e3);
        let told = self.events.iter().flatten().filter_map(|event| event.u.as_ref()).next_back();
        let mut row = RequestRow {
            request_id: id(&self.x_request_id).or(id(&self.resp_id)).unwrap_or_else(|| place.to_owned()),
            trace_id: trace_id(self.traceparent.as_deref()),
            response_id: self.resp_id.clone(),
            endpoint: self.endpoint(),
            streamed,
            scheduled_unix_ns: UnixNs(self.t_start_ns),
            started_unix_ns: UnixNs(self.t_start_ns),
            connect_begin_unix_ns: self.t_conn_ns.map(|_| UnixNs(self.t_start_ns)),
            connect_end_unix_ns: instant(self.t_conn_ns),
            send_begin_unix_ns: instant(self.t_conn_ns),
            sent_unix_ns: instant(self.t_sent_ns),
            head_unix_ns: instant(self.t_head_ns),
            done_unix_ns: UnixNs(end),
            stamps: StampSource::User,
            status,
            http_status,
            error,
            finish_reason: self.events.iter().flatten().filter_map(|event| event.fin.clone()).next_back(),
            connection: Connection::New,
            local_port: self.local_port,
            input_tokens: self.usage.and_then(|u| u.prompt_tokens).or(told.and_then(|u| u.0)),
            output_tokens: self.usage.and_then(|u| u.completion_tokens).or(told.and_then(|u| u.1)),
            in_band_prefill_s: metric(|m| m.time_to_first_token_ms),
            in_band_queue_s: metric(|m| m.queue_time_ms),
            in_band_decode_s: metric(|m| m.generation_time_ms),
            ..RequestRow::default()
        };
        let first_content = (!events.is_empty()).then_some(0);
        let whole = if streamed { None } else { last_read.map(UnixNs) };
        timing::date(&mut row, &events, first_content, whole);
        Finished { row, events, place: None }
    }

    fn endpoint(&self) -> Endpoint {
        match &self.path {
            Some(path) if path.contains("completions") && !path.contains("chat") => Endpoint::Completions,
            _ => Endpoint::Chat,
        }
    }

    /// Whether events that bear text tell how many tokens there are by then.
    fn tells_usage(&self) -> bool {
        self.events.iter().flatten().any(|event| event.n.is_some() && event.u.is_some())
    }

    fn http_status(&self) -> Option<u16> {
        self.status.as_ref()?.split_whitespace().find_map(|word| word.parse().ok())
    }

    fn ended(&self, http_status: Option<u16>, streamed: bool) -> (Status, Option<String>) {
        let said = self.error.as_ref().map(|error| {
            let message = error.get("message").unwrap_or(error);
            message.as_str().map_or_else(|| message.to_string(), str::to_owned)
        });
        let Some(http_status) = http_status else {
            return (Status::ConnectError, said.or(Some("the client recorded no answer".to_owned())));
        };
        if http_status >= 300 {
            let said = said.map_or_else(String::new, |said| format!(": {said}"));
            return (Status::HttpError, Some(format!("HTTP {http_status}{said}")));
        }
        if let Some(said) = said {
            return (Status::StreamError, Some(said));
        }
        let mut events = self.events.iter().flatten();
        let is_whole = if streamed {
            events.any(|event| event.fin.is_some() || event.raw.as_deref() == Some("[DONE]"))
        } else {
            self.resp_id.is_some()
        };
        match (is_whole, self.aborted) {
            (true, _) => (Status::Ok, None),
            (false, true) => (Status::Cut, Some("the client ended it".to_owned())),
            (false, false) => {
                (Status::Cut, Some("the answer ended without `finish_reason` or `[DONE]`".to_owned()))
            }
        }
    }

    /// The events that bear tokens. What the client read in one piece shares the interval.
    fn event_rows(&self) -> Vec<EventRow> {
        let reads: Vec<i64> = self.reads.iter().flatten().map(|(t, _)| *t).collect();
        // Nothing can have come before the request was begun to be sent.
        let begin = self.t_conn_ns.unwrap_or(self.t_start_ns);
        let given = self.events.as_deref().unwrap_or_default();
        let mut rows: Vec<EventRow> = Vec::new();
        let mut tokens_so_far: Option<u32> = None;
        // Half a character has no text yet. A chat's first event has none either, and no token; of text
        // completions vLLM sends no event without a token (`serving_completion.py`), but the last.
        let without_text_is_a_token = self.endpoint() == Endpoint::Completions && !self.tells_usage();
        let all = self.usage.and_then(|usage| usage.completion_tokens);
        for event in given {
            let Some(at) = event.t else { continue };
            let now = event.u.as_ref().and_then(|(_, completion)| *completion);
            // Usage that comes only at the end is the whole answer's, not the last event's.
            let told_all_along = rows.is_empty() || tokens_so_far.is_some();
            let new = now.filter(|_| told_all_along).map(|n| n.saturating_sub(tokens_so_far.unwrap_or(0)));
            tokens_so_far = now.or(tokens_so_far);
            let bears = event.n.is_some_and(|n| n > 0)
                || (event.n.is_some() && new.is_some_and(|n| n > 0))
                || (event.n == Some(0) && without_text_is_a_token && event.fin.is_none())
                // An end-of-text token, where the answer has more tokens than were seen.
                || (event.fin.as_deref() == Some("stop")
                    && now.is_none()
                    && all.is_some_and(|all| all as usize > rows.len()));
            if !bears {
                continue;
            }
            let before = reads.iter().copied().filter(|t| *t < at).max();
            rows.push(EventRow {
                stamp_lo_unix_ns: UnixNs(before.unwrap_or(begin).min(at - 1)),
                stamp_hi_unix_ns: UnixNs(at),
                user_unix_ns: UnixNs(at),
                events_in_read: given.iter().filter(|other| other.t == Some(at)).count() as u32,
                tokens: new,
                bytes: 0,
            });
        }
        rows
    }
}

/// The 32 hex digits of a `traceparent`; empty without one.
fn trace_id(traceparent: Option<&str>) -> String {
    let id = traceparent.and_then(|text| text.split('-').nth(1)).unwrap_or_default();
    let valid = id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()) && id.bytes().any(|b| b != b'0');
    if valid { id.to_ascii_lowercase() } else { String::new() }
}
