//! GuideLLM's `benchmarks.json`: one or more benchmarks, each with its requests, their ids as the
//! server answered, and instants of the wall clock. It must not know what is done with the rows.
//!
//! | in the file | here |
//! |---|---|
//! | `response_id` | `request_id` and `response_id`: GuideLLM sends no id of its own, the answer's is the server's |
//! | `info.timings.targeted_start`, `request_start` | `scheduled`, `started` |
//! | `first_token_iteration`, `last_token_iteration` | first and last token |
//! | `request_end`, else `resolve_end` | `done` |
//! | `output_tokens`, `prompt_tokens` | tokens: the server's `usage`, unless GuideLLM was told otherwise |
//! | `response_metrics` | in-band queue, prefill and decode |
//!
//! It keeps no moments between the first and the last token: gaps between single tokens are not
//! known. Its `request_latency` runs to the end of the stream, ours to the last token. Versions
//! before 0.4 kept fewer fields at other places; those of them that are known are read as well.

use serde::Deserialize;
use serde_json::Value;

use super::input::{Part, Reading};
use super::{Format, Of, Reads, ended, instants};
use crate::clock::UnixNs;
use crate::load::timing;
use crate::record::{Connection, Endpoint, Finished, RequestRow, StampSource, Status};

pub(super) const FORMAT: Format = Format {
    name: "guidellm",
    of: Of::Client,
    description: "GuideLLM's benchmarks.json",
    reads: Reads::Text {
        recognises: |text| {
            text.trim_start().starts_with('{')
                && text.contains("\"benchmarks\"")
                && text.contains("\"successful\"")
        },
        read,
    },
};

#[derive(Deserialize)]
struct Report {
    benchmarks: Vec<Benchmark>,
}

#[derive(Deserialize)]
struct Benchmark {
    #[serde(default)]
    config: Config,
    requests: Requests,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    strategy: Value,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct Requests {
    successful: Option<Vec<Value>>,
    errored: Option<Vec<Value>>,
    incomplete: Option<Vec<Value>>,
}

fn read(text: &str, reading: &mut Reading<'_>) {
    let report: Report = match serde_json::from_str(text) {
        Ok(report) => report,
        Err(error) => return reading.count("the report", Err(error)),
    };
    let parts: Vec<Part> = report.benchmarks.iter().map(Benchmark::part).collect();
    let Some(chosen) = reading.choose("benchmarks", &parts) else { return };
    let Some(benchmark) = report.benchmarks.into_iter().nth(chosen) else { return };
    let Requests { successful, errored, incomplete } = benchmark.requests;
    let groups = [("successful", successful), ("errored", errored), ("incomplete", incomplete)];
    for (group, requests) in groups {
        for (i, request) in requests.unwrap_or_default().into_iter().enumerate() {
            let place = format!("{group} request {i}");
            let finished = Given::deserialize(request)
                .map_err(|error| error.to_string())
                .and_then(|given| given.finished(group, &place));
            let taken = finished.map(|finished| reading.rows.requests.push(finished));
            reading.count(&place, taken);
        }
    }
    reading.notes.push(format!(
        "{}: GuideLLM keeps no moments between the first and the last token: gaps between single tokens are not known",
        reading.path.display()
    ));
}

impl Benchmark {
    /// `concurrent, 4 streams, 20 requests`.
    fn part(&self) -> Part {
        let strategy = &self.config.strategy;
        let kind = strategy.get("type_").and_then(Value::as_str).unwrap_or("benchmark").to_owned();
        let of = |name: &str, unit: &str| {
            strategy.get(name).and_then(Value::as_f64).map(|value| (value, format!("{value} {unit}")))
        };
        let load = of("streams", "streams").or_else(|| of("rate", "requests/s"));
        let groups = [&self.requests.successful, &self.requests.errored, &self.requests.incomplete];
        let n: usize = groups.into_iter().flatten().map(Vec::len).sum();
        let name = load.as_ref().map_or_else(|| kind.clone(), |(value, _)| format!("{kind}@{value}"));
        let load = load.map_or_else(String::new, |(_, words)| format!("{words}, "));
        Part { name, described: format!("{load}{n} requests") }
    }
}

#[derive(Deserialize)]
struct Given {
    response_id: Option<String>,
    request_id: Option<String>,
    request_args: Option<Value>,
    info: Option<Info>,
    response_metrics: Option<InBand>,
    output_tokens: Option<f64>,
    prompt_tokens: Option<f64>,
    // Before 0.4.
    request_start_time: Option<f64>,
    start_time: Option<f64>,
    request_end_time: Option<f64>,
    end_time: Option<f64>,
    first_token_time: Option<f64>,
    last_token_time: Option<f64>,
    error: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Info {
    timings: Timings,
    error: Option<String>,
}

/// Seconds since 1970.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Timings {
    targeted_start: Option<f64>,
    request_start: Option<f64>,
    first_request_iteration: Option<f64>,
    first_token_iteration: Option<f64>,
    last_token_iteration: Option<f64>,
    request_end: Option<f64>,
    resolve_end: Option<f64>,
}

#[derive(Deserialize)]
struct InBand {
    time_to_first_token_ms: Option<f64>,
    queue_time_ms: Option<f64>,
    generation_time_ms: Option<f64>,
}

impl Given {
    fn finished(self, group: &str, place: &str) -> Result<Finished, String> {
        let Self { info, .. } = &self;
        let timings = info.as_ref().map(|info| &info.timings);
        let of = |field: fn(&Timings) -> Option<f64>| timings.and_then(field);
        let instant = |seconds: Option<f64>| seconds.map(|s| instants::since_1970(s, 1e9)).transpose();
        let started = of(|t| t.request_start).or(self.request_start_time).or(self.start_time);
        let Some(started) = instant(started)? else {
            return Err("expected `info.timings.request_start`, found none: it was never sent".to_owned());
        };
        let first = instant(of(|t| t.first_token_iteration).or(self.first_token_time))?;
        let last = instant(of(|t| t.last_token_iteration).or(self.last_token_time))?;
        let since = |at: Option<UnixNs>| at.map(|at| at.seconds_since(started));
        instants::in_order(since(first), since(last))?;
        let end = of(|t| t.request_end).or(of(|t| t.resolve_end));
        let end = instant(end.or(self.request_end_time).or(self.end_time))?;
        let scheduled = instant(of(|t| t.targeted_start))?.filter(|at| *at <= started);
        let (status, http_status, error) =
            self.ended(group, first.is_some() || of(|t| t.first_request_iteration).is_some());
        let count = |n: Option<f64>| n.filter(|n| (1.0..=f64::from(u32::MAX)).contains(n)).map(|n| n as u32);
        let in_band =
            |ms: fn(&InBand) -> Option<f64>| self.response_metrics.as_ref().and_then(ms).map(|ms| ms / 1e3);
        let id = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
        let mut row = RequestRow {
            request_id: id(&self.response_id).or(id(&self.request_id)).unwrap_or_else(|| place.to_owned()),
            response_id: id(&self.response_id),
            endpoint: self.endpoint(),
            // Without a first token of its own the answer came in one piece.
            streamed: status != Status::Ok || first.is_some(),
            scheduled_unix_ns: scheduled.unwrap_or(started),
            started_unix_ns: started,
            done_unix_ns: end.into_iter().chain(last).max().unwrap_or(started),
            stamps: StampSource::User,
            status,
            http_status,
            error,
            connection: Connection::New,
            input_tokens: count(self.prompt_tokens).filter(|_| status == Status::Ok),
            output_tokens: count(self.output_tokens).filter(|_| status == Status::Ok),
            in_band_prefill_s: in_band(|m| m.time_to_first_token_ms),
            in_band_queue_s: in_band(|m| m.queue_time_ms),
            in_band_decode_s: in_band(|m| m.generation_time_ms),
            ..RequestRow::default()
        };
        timing::by_ends(&mut row, first, last.or(end.filter(|_| status == Status::Ok)));
        Ok(Finished { row, events: Vec::new(), place: None })
    }

    fn ended(&self, group: &str, began: bool) -> (Status, Option<u16>, Option<String>) {
        let said = self.error.clone().or_else(|| self.info.as_ref().and_then(|info| info.error.clone()));
        match group {
            "successful" => (Status::Ok, None, None),
            // Cancelled by the tool itself when its time was over.
            "incomplete" => (Status::InFlight, None, said),
            _ => {
                let words = said.unwrap_or_default();
                let http_status = ended::http_status(&words);
                let first_line = words.lines().next().map(str::to_owned);
                (ended::status(&words, http_status, began), http_status, first_line)
            }
        }
    }

    /// By the body it sent; an answer's id says it as well.
    fn endpoint(&self) -> Endpoint {
        let body = self.request_args.as_ref().and_then(Value::as_str).unwrap_or_default();
        let told_by_id = self.response_id.as_deref().is_some_and(|id| id.starts_with("cmpl-"));
        if told_by_id || (body.contains("\"prompt\"") && !body.contains("\"messages\"")) {
            Endpoint::Completions
        } else {
            Endpoint::Chat
        }
    }
}
