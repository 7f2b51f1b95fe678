//! AIPerf's `profile_export.jsonl`: one JSON object a request, with the id it sent and instants of the
//! wall clock. It must not know what is done with the rows.
//!
//! | in the file | here |
//! |---|---|
//! | `metadata.x_request_id` | `request_id`: the `X-Request-Id` sent, so that requests are joined one by one |
//! | `credit_issued_ns`, `request_start_ns`, `request_end_ns` | `scheduled`, `started`, `done` |
//! | `metrics.time_to_first_token`, `inter_chunk_latency` | the events, counted from `started`; the first with content is the first |
//! | `metrics.request_latency` | the last token, where there are no gaps |
//! | `metrics.usage_completion_tokens`, else `output_sequence_length` | `output_tokens`: the server's count, else AIPerf's own |
//! | `metrics.usage_prompt_tokens` | `input_tokens`; AIPerf's own count leaves the chat template out and is not taken |
//! | `trace_data` (`--export-http-trace`) | connecting, sending, head, HTTP status, local port |
//!
//! AIPerf pairs its monotonic clock with the wall clock anew for each request, and stamps each read of
//! the socket before it parses it: the program's stamps, never exact. Requests of warm-up phases are
//! left out, and said.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use tare_parsers::hop_headers;

use super::input::{Reading, has_keys, json};
use super::{Format, Of, Reads, ended, instants};
use crate::clock::UnixNs;
use crate::load::timing;
use crate::record::{Connection, Finished, RequestRow, StampSource, Status};

pub(super) const FORMAT: Format = Format {
    name: "aiperf",
    of: Of::Client,
    description: "AIPerf's profile_export.jsonl",
    reads: Reads::Text { recognises: |text| has_keys(text, &["metadata", "metrics"]), read },
};

fn read(text: &str, reading: &mut Reading<'_>) {
    let (mut warmups, mut own_counts, mut traced) = (0, 0, 0);
    reading.each_line(text, |_, line, rows| {
        let given: Given = json(line)?;
        let phase = given.metadata.benchmark_phase.as_deref().unwrap_or("profiling");
        if phase != "profiling" {
            warmups += 1;
            return Ok(());
        }
        traced += u64::from(given.trace_data.is_some());
        own_counts += u64::from(given.counts_itself());
        rows.requests.push(given.finished()?);
        Ok(())
    });
    let shown = reading.path.display();
    if warmups > 0 {
        reading.notes.push(format!(
            "{shown}: {warmups} requests of AIPerf's warm-up are left out; the server's counters hold them"
        ));
    }
    if own_counts > 0 {
        reading.notes.push(format!(
            "{shown}: the output tokens of {own_counts} requests are AIPerf's own count with its tokenizer; `aiperf profile --use-server-token-count` takes the server's"
        ));
    }
    if traced == 0 {
        reading.notes.push(format!(
            "{shown}: nothing of connecting, sending and ports; `aiperf profile --export-http-trace` keeps them"
        ));
    }
}

#[derive(Deserialize)]
struct Given {
    metadata: Metadata,
    metrics: BTreeMap<String, Measured>,
    trace_data: Option<Trace>,
    error: Option<Failed>,
}

#[derive(Deserialize)]
struct Metadata {
    x_request_id: Option<String>,
    credit_issued_ns: Option<i64>,
    request_start_ns: i64,
    request_ack_ns: Option<i64>,
    request_end_ns: Option<i64>,
    benchmark_phase: Option<String>,
    #[serde(default)]
    was_cancelled: bool,
}

#[derive(Deserialize)]
struct Measured {
    value: Value,
    unit: Option<String>,
}

/// Every instant is of the wall clock.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Trace {
    tcp_connect_start_ns: Option<i64>,
    tcp_connect_end_ns: Option<i64>,
    connection_reused_ns: Option<i64>,
    request_send_start_ns: Option<i64>,
    request_send_end_ns: Option<i64>,
    response_headers_received_ns: Option<i64>,
    response_receive_end_ns: Option<i64>,
    response_status_code: Option<u16>,
    response_headers: Option<BTreeMap<String, String>>,
    local_port: Option<u16>,
}

#[derive(Deserialize)]
struct Failed {
    code: Option<u16>,
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
}

impl Given {
    fn finished(self) -> Result<Finished, String> {
        let started = instants::unix_ns(self.metadata.request_start_ns)?;
        let ttft = self.seconds("time_to_first_token")?;
        let latency = self.seconds("request_latency")?;
        instants::in_order(ttft, latency)
            .map_err(|error| format!("`time_to_first_token` and `request_latency`: {error}"))?;
        let gaps = self.gaps()?;
        let trace = self.trace_data.as_ref();
        let instant = |ns: Option<i64>| ns.map(instants::unix_ns).transpose();
        let of = |field: fn(&Trace) -> Option<i64>| instant(trace.and_then(field));
        let ended = [instant(self.metadata.request_end_ns)?, of(|t| t.response_receive_end_ns)?];
        let (status, http_status, error) = self.ended();
        let connect_end = of(|t| t.tcp_connect_end_ns)?;
        let reused = of(|t| t.connection_reused_ns)?;
        let scheduled = instant(self.metadata.credit_issued_ns)?.filter(|at| *at <= started);
        let mut row = RequestRow {
            request_id: self.metadata.x_request_id.clone().unwrap_or_default(),
            streamed: ttft.is_some() || status != Status::Ok,
            scheduled_unix_ns: scheduled.unwrap_or(started),
            started_unix_ns: started,
            connect_begin_unix_ns: of(|t| t.tcp_connect_start_ns)?,
            connect_end_unix_ns: connect_end,
            // aiohttp's word for sending begins before it has a connection.
            send_begin_unix_ns: connect_end.or(reused).or(of(|t| t.request_send_start_ns)?),
            sent_unix_ns: of(|t| t.request_send_end_ns)?,
            head_unix_ns: of(|t| t.response_headers_received_ns)?.or(instant(self.metadata.request_ack_ns)?),
            done_unix_ns: ended.into_iter().flatten().max().unwrap_or(started),
            stamps: StampSource::User,
            status,
            http_status,
            error,
            connection: if reused.is_some() { Connection::Reused } else { Connection::New },
            local_port: trace.and_then(|t| t.local_port),
            input_tokens: self.count("usage_prompt_tokens"),
            output_tokens: self.count("usage_completion_tokens").or(self.count("output_sequence_length")),
            answer_headers: self.kept_headers(),
            ..RequestRow::default()
        };
        if row.request_id.is_empty() {
            return Err("expected `metadata.x_request_id`, found none".to_owned());
        }
        let first = ttft.map(|ttft| started.plus_seconds(ttft));
        let events = match (first, gaps) {
            (Some(first), Some(gaps)) => {
                let mut at = 0.0;
                let rest = gaps.iter().map(|gap| {
                    at += gap;
                    first.plus_seconds(at)
                });
                let stamps: Vec<UnixNs> = std::iter::once(first).chain(rest).collect();
                instants::events(row.send_begin_unix_ns.unwrap_or(started), &stamps)
            }
            _ => Vec::new(),
        };
        if events.is_empty() {
            timing::by_ends(&mut row, first, latency.map(|latency| started.plus_seconds(latency)));
        } else {
            timing::date(&mut row, &events, Some(0), None);
        }
        Ok(Finished { row, events, place: None })
    }

    /// A metric that is one duration.
    fn seconds(&self, name: &str) -> Result<Option<f64>, String> {
        let Some(measured) = self.metrics.get(name) else { return Ok(None) };
        let unit = measured.unit_s(name)?;
        let Some(value) = measured.value.as_f64() else { return Ok(None) };
        instants::duration(value, unit).map(Some).map_err(|error| format!("`{name}`: {error}"))
    }

    /// The gaps between chunks, where they were kept.
    fn gaps(&self) -> Result<Option<Vec<f64>>, String> {
        const NAME: &str = "inter_chunk_latency";
        let Some(measured) = self.metrics.get(NAME) else { return Ok(None) };
        let unit = measured.unit_s(NAME)?;
        let Some(values) = measured.value.as_array() else { return Ok(None) };
        let gap = |value: &Value| {
            let value = value.as_f64().ok_or_else(|| format!("`{NAME}`: expected numbers, found {value}"))?;
            instants::duration(value, unit).map_err(|error| format!("`{NAME}`: {error}"))
        };
        values.iter().map(gap).collect::<Result<_, _>>().map(Some)
    }

    fn count(&self, name: &str) -> Option<u32> {
        let value = self.metrics.get(name)?.value.as_f64()?;
        (value > 0.0 && value <= f64::from(u32::MAX)).then_some(value as u32)
    }

    fn counts_itself(&self) -> bool {
        self.count("usage_completion_tokens").is_none() && self.count("output_sequence_length").is_some()
    }

    fn ended(&self) -> (Status, Option<u16>, Option<String>) {
        let seen = self.trace_data.as_ref().and_then(|trace| trace.response_status_code);
        let Some(failed) = &self.error else {
            let cancelled = self.metadata.was_cancelled.then(|| "cancelled by AIPerf".to_owned());
            let status = if cancelled.is_some() { Status::Cut } else { Status::Ok };
            return (status, seen, cancelled);
        };
        let kind = failed.kind.as_deref().unwrap_or_default();
        let message = failed.message.as_deref().unwrap_or_default();
        let http_status = seen.or(failed.code.filter(|code| (100..600).contains(code)));
        let began = seen.is_some() || self.metadata.request_ack_ns.is_some();
        let status = ended::status(kind, http_status, began);
        let said = match http_status.filter(|status| *status >= 400) {
            Some(code) => format!("HTTP {code}: {message}"),
            // A message is mostly the exception in Python's own words, name and all.
            None if message.contains(kind) => message.to_owned(),
            None => format!("{kind}: {message}"),
        };
        (status, http_status, Some(ended::last_line(&said)))
    }

    /// Those that tell of what lay between; no other may reach a file.
    fn kept_headers(&self) -> Vec<(String, String)> {
        let headers = self.trace_data.iter().filter_map(|trace| trace.response_headers.as_ref()).flatten();
        let kept = headers.filter_map(|(name, value)| {
            let name = name.to_ascii_lowercase();
            let value = hop_headers::kept(&name, value)?;
            Some((name, value))
        });
        kept.collect()
    }
}

impl Measured {
    /// Seconds in its unit.
    fn unit_s(&self, name: &str) -> Result<f64, String> {
        instants::unit_s(self.unit.as_deref().unwrap_or("ms")).map_err(|error| format!("`{name}`: {error}"))
    }
}
