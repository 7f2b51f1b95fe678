//! inference-perf's `per_request_lifecycle_metrics.json`: one JSON list, an entry a request. It must
//! not know what is done with the rows.
//!
//! | in the file | here |
//! |---|---|
//! | `start_time`, `end_time` | `started`, `done`: seconds of a monotonic clock |
//! | `response` (or the chunks): `id` | `request_id` and `response_id`: the id that the server gave |
//! | `response`: `created` | places the whole run on the wall clock, see below |
//! | `response`: `metrics`, `finish_reason` | in-band queue, prefill and decode; how it finished |
//! | `info.response_metrics.chunk_times` of chunks with text, else `output_token_times` | the events |
//! | `info.response_metrics.server_usage` | tokens as the server counted; without it `output_tokens`, the tool's own count |
//!
//! Of a monotonic clock only differences mean something. An answer's `created` is the server's wall
//! clock, cut to the second, at a moment between the request's start and its first token: over all
//! requests that bounds where the run lies, to a second or better. Without `created` the run stands at
//! the beginning of 1970.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::input::Reading;
use super::{Format, Of, Reads, ended, instants};
use crate::clock::UnixNs;
use crate::load::timing;
use crate::record::{Connection, Endpoint, Finished, RequestRow, StampSource, Status};

pub(super) const FORMAT: Format = Format {
    name: "inference_perf",
    of: Of::Client,
    description: "inference-perf's per_request_lifecycle_metrics.json",
    reads: Reads::Text {
        recognises: |text| {
            let head = text.trim_start();
            head.starts_with('[') && head.contains("\"start_time\"") && head.contains("\"info\"")
        },
        read,
    },
};

fn read(text: &str, reading: &mut Reading<'_>) {
    let entries: Vec<Value> = match serde_json::from_str(text) {
        Ok(entries) => entries,
        Err(error) => return reading.count("the list", Err(error)),
    };
    let given: Vec<Result<Given, String>> = entries
        .into_iter()
        .map(|entry| Given::deserialize(entry).map_err(|error| error.to_string()))
        .collect();
    let anchor = Anchor::of(given.iter().flatten());
    anchor.tell(reading);
    let mut own_counts = 0;
    for (i, entry) in given.into_iter().enumerate() {
        let place = format!("request {i}");
        let taken = entry.and_then(|entry| entry.finished(&anchor, &place)).map(|(finished, own_count)| {
            own_counts += u64::from(own_count);
            reading.rows.requests.push(finished);
        });
        reading.count(&place, taken);
    }
    if own_counts > 0 {
        reading.notes.push(format!(
            "{}: the output tokens of {own_counts} requests are inference-perf's own count with its tokenizer: their answers held no `usage`",
            reading.path.display()
        ));
    }
}

#[derive(Deserialize)]
struct Given {
    start_time: f64,
    end_time: Option<f64>,
    request: Option<Value>,
    response: Option<String>,
    info: Option<Info>,
    error: Option<Failed>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    response_metrics: Option<Response>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Response {
    output_tokens: Option<u32>,
    server_usage: Option<Usage>,
    response_chunks: Option<Vec<String>>,
    chunk_times: Option<Vec<f64>>,
    output_token_times: Option<Vec<f64>>,
}

#[derive(Deserialize)]
struct Usage {
    prompt_tokens: Option<u32>,
    completion_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct Failed {
    error_type: Option<String>,
    error_msg: Option<String>,
}

/// What the chunks of an answer say of the whole of it.
#[derive(Default)]
struct Said {
    id: Option<String>,
    created: Option<f64>,
    finish_reason: Option<String>,
    prefill_ms: Option<f64>,
    queue_ms: Option<f64>,
    decode_ms: Option<f64>,
}

impl Given {
    fn metrics(&self) -> Option<&Response> {
        self.info.as_ref()?.response_metrics.as_ref()
    }

    /// The answer's chunks as JSON: those kept apart, else those of the raw stream, else the answer itself.
    fn chunks(&self) -> Vec<Value> {
        let kept = self.metrics().and_then(|m| m.response_chunks.as_deref()).unwrap_or_default();
        let raw = self.response.as_deref().unwrap_or_default();
        let kept = kept.iter().filter_map(|chunk| serde_json::from_str(chunk).ok());
        let streamed =
            raw.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data:")?.trim()).ok());
        let whole = serde_json::from_str(raw).ok();
        kept.chain(streamed).chain(whole).collect()
    }

    fn said(&self) -> Said {
        let mut said = Said::default();
        for chunk in self.chunks() {
            let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
            said.id = said.id.or_else(|| text(chunk.get("id")));
            said.created = said.created.or_else(|| chunk.get("created").and_then(Value::as_f64));
            let choice = chunk.get("choices").and_then(|choices| choices.get(0));
            said.finish_reason = text(choice.and_then(|c| c.get("finish_reason"))).or(said.finish_reason);
            let of = |name: &str| chunk.get("metrics").and_then(|m| m.get(name)).and_then(Value::as_f64);
            said.prefill_ms = of("time_to_first_token_ms").or(said.prefill_ms);
            said.queue_ms = of("queue_time_ms").or(said.queue_ms);
            said.decode_ms = of("generation_time_ms").or(said.decode_ms);
        }
        said
    }

    /// When chunks with text came. The tool's own list has a moment for each token that *its* tokenizer
    /// makes of a chunk.
    fn stamps(&self) -> Vec<f64> {
        let Some(metrics) = self.metrics() else { return Vec::new() };
        let times = metrics.chunk_times.as_deref().unwrap_or_default();
        let chunks = metrics.response_chunks.as_deref().unwrap_or_default();
        if times.is_empty() || times.len() != chunks.len() {
            return metrics
                .output_token_times
                .clone()
                .or_else(|| metrics.chunk_times.clone())
                .unwrap_or_default();
        }
        let with_text = times
            .iter()
            .zip(chunks)
            .filter(|(_, chunk)| serde_json::from_str::<Value>(chunk).is_ok_and(|chunk| has_text(&chunk)));
        with_text.map(|(time, _)| *time).collect()
    }

    /// The row, and whether its output tokens are the tool's own count.
    fn finished(self, anchor: &Anchor, place: &str) -> Result<(Finished, bool), String> {
        let said = self.said();
        let stamps = self.stamps();
        let lasted = |until: f64| instants::duration(until - self.start_time, 1.0);
        if let Some((a, b)) = stamps.iter().zip(stamps.iter().skip(1)).find(|(a, b)| b < a) {
            return Err(format!("its chunks' times go back, from {a} to {b} s"));
        }
        stamps.iter().chain(&self.end_time).try_for_each(|at| lasted(*at).map(drop))?;
        let at = |seconds: f64| anchor.instant(seconds);
        let started = at(self.start_time);
        let (status, http_status, error) = self.ended(!stamps.is_empty());
        let usage = self.metrics().and_then(|m| m.server_usage.as_ref());
        let by_server = usage.and_then(|usage| usage.completion_tokens);
        let by_tool = self.metrics().and_then(|m| m.output_tokens).filter(|_| status == Status::Ok);
        let ended = self.end_time.or(stamps.last().copied());
        let mut row = RequestRow {
            request_id: said.id.clone().unwrap_or_else(|| place.to_owned()),
            response_id: said.id,
            endpoint: self.endpoint(),
            streamed: status != Status::Ok
                || self.metrics().is_some_and(|m| m.chunk_times.is_some() || m.output_token_times.is_some()),
            scheduled_unix_ns: started,
            started_unix_ns: started,
            done_unix_ns: ended.map_or(started, at),
            stamps: StampSource::User,
            status,
            http_status,
            error,
            finish_reason: said.finish_reason,
            connection: Connection::New,
            input_tokens: usage.and_then(|usage| usage.prompt_tokens),
            output_tokens: by_server.or(by_tool).filter(|n| *n > 0),
            in_band_prefill_s: said.prefill_ms.map(|ms| ms / 1e3),
            in_band_queue_s: said.queue_ms.map(|ms| ms / 1e3),
            in_band_decode_s: said.decode_ms.map(|ms| ms / 1e3),
            ..RequestRow::default()
        };
        let stamps: Vec<UnixNs> = stamps.into_iter().map(at).collect();
        let events = instants::events(started, &stamps);
        let whole = (!row.streamed).then_some(row.done_unix_ns);
        timing::date(&mut row, &events, (!events.is_empty()).then_some(0), whole);
        row.n_exact_events = 0;
        Ok((Finished { row, events, place: None }, by_server.is_none() && by_tool.is_some()))
    }

    fn ended(&self, began: bool) -> (Status, Option<u16>, Option<String>) {
        let Some(failed) = &self.error else { return (Status::Ok, None, None) };
        let kind = failed.error_type.as_deref().unwrap_or_default();
        let message = failed.error_msg.as_deref().unwrap_or_default();
        let http_status = ended::http_status(kind);
        let streams = self.response.as_deref().is_some_and(|raw| raw.starts_with("data:"));
        let status = ended::status(kind, http_status, began || streams);
        (status, http_status, Some(format!("{kind}: {message}")))
    }

    fn endpoint(&self) -> Endpoint {
        let body =
            self.request.as_ref().map(|body| body.as_str().map_or_else(|| body.to_string(), str::to_owned));
        if body.is_some_and(|body| body.contains("\"messages\"")) {
            Endpoint::Chat
        } else {
            Endpoint::Completions
        }
    }
}

fn has_text(chunk: &Value) -> bool {
    let choices = chunk.get("choices").and_then(Value::as_array).into_iter().flatten();
    let texts = |choice: &Value| {
        let delta = choice.get("delta");
        let of = |name: &str| {
            delta.and_then(|delta| delta.get(name)).or_else(|| choice.get(name)).and_then(Value::as_str)
        };
        ["text", "content", "reasoning", "reasoning_content"]
            .into_iter()
            .filter_map(of)
            .any(|text| !text.is_empty())
    };
    choices.into_iter().any(texts)
}

/// Where the tool's clock lies on the wall clock.
struct Anchor {
    /// An instant of the tool's clock, and what time it was then.
    from_s: f64,
    at: UnixNs,
    /// Half the width of where it may lie, if it is known at all.
    slack_s: Option<f64>,
}

impl Anchor {
    /// `created` is whole seconds of a moment between the start and the first token (else the end).
    fn of<'a>(all: impl Iterator<Item = &'a Given> + Clone) -> Self {
        let starts = all.clone().map(|given| given.start_time).filter(|start| start.is_finite());
        let from_s = starts.reduce(f64::min).unwrap_or(0.0);
        // Seconds since 1970 of `from_s`: from below and from above.
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        let mut seen: BTreeMap<i64, u32> = BTreeMap::new();
        for given in all {
            let Some(created) = given.said().created.filter(|t| instants::since_1970(*t, 1e9).is_ok()) else {
                continue;
            };
            let until = given.stamps().first().copied().or(given.end_time).unwrap_or(given.start_time);
            low = low.max(created - (until - from_s));
            high = high.min(created + 1.0 - (given.start_time - from_s));
            *seen.entry(created as i64).or_default() += 1;
        }
        if seen.is_empty() || !low.is_finite() || !high.is_finite() {
            return Self { from_s, at: UnixNs(0), slack_s: None };
        }
        // A clock that was stepped leaves no room; its middle is as good as any.
        Self {
            from_s,
            at: UnixNs::from_secs_f64(f64::midpoint(low, high)),
            slack_s: Some(((high - low) / 2.0).abs()),
        }
    }

    fn instant(&self, seconds: f64) -> UnixNs {
        self.at.plus_seconds(seconds - self.from_s)
    }

    fn tell(&self, reading: &mut Reading<'_>) {
        let shown = reading.path.display();
        let said = match self.slack_s {
            Some(slack) => format!(
                "{shown}: its times are of a monotonic clock; by the `created` of its answers, the server's clock to the second, the run is placed to ±{slack:.2} s"
            ),
            None => format!(
                "{shown}: its times are of a monotonic clock, and no answer with `created` was kept (`report.request_lifecycle.per_request_fields.response`): the run stands at the beginning of 1970"
            ),
        };
        reading.notes.push(said);
        reading.place_within(self.slack_s);
    }
}
