//! `vllm bench serve --save-result --save-detailed`: one JSON object with arrays, an entry a request
//! (and several objects with `--append-result`). It must not know what is done with the rows.
//!
//! The file has no request ids and no stamps, only durations in seconds, and in newer versions
//! `start_times` of a monotonic clock. `date` is when the benchmark had ended, to the second, in this
//! host's zone: from it, less `duration`, the instants are made, good to some seconds. TTFT and gaps
//! are by that tool's own definitions: from before the request is serialised and its connection made,
//! one gap per message of the stream, stamped by the program. Prompt tokens are left out: the tool
//! counts its own prompt, not what the server got.
//!
//! The ids were sent all the same: `--request-id-prefix`, and the request's number in the order of the
//! arrays. With the prefix (`--client-id-prefix`) requests are joined one by one, and their own pairs
//! place the server's clock; without it means and distributions are compared.

use chrono::{Local, NaiveDateTime, TimeZone};
use serde::Deserialize;
use serde_json::Value;

use super::input::{Part, Reading};
use super::{Format, Of, Reads, ended, instants};
use crate::clock::UnixNs;
use crate::error::usage;
use crate::load::timing;
use crate::record::{Connection, Endpoint, Finished, RequestRow, StampSource, Status};

/// `date` is a second, of some time after the last answer.
const SLACK_S: f64 = 5.0;

pub(super) const FORMAT: Format = Format {
    name: "vllm_bench",
    of: Of::Client,
    description: "vllm bench serve --save-result --save-detailed",
    reads: Reads::Text {
        recognises: |text| {
            text.trim_start().starts_with('{') && text.contains("\"ttfts\"") && text.contains("\"itls\"")
        },
        read,
    },
};

fn read(text: &str, reading: &mut Reading<'_>) {
    let mut results = Vec::new();
    for (document, number) in serde_json::Deserializer::from_str(text).into_iter::<Value>().zip(1_u64..) {
        match document.and_then(Given::deserialize) {
            Ok(result) => results.push(result),
            Err(error) => {
                reading.count(&format!("result {number}"), Err(error));
                break;
            }
        }
    }
    let parts: Vec<Part> = results.iter().map(Given::part).collect();
    if parts.is_empty() {
        return;
    }
    let Some(chosen) = reading.choose("results", &parts) else { return };
    if let Some(result) = results.get(chosen) {
        take(result, chosen + 1, reading);
    }
}

#[derive(Deserialize)]
struct Given {
    date: Option<String>,
    duration: Option<f64>,
    endpoint_type: Option<String>,
    backend: Option<String>,
    max_concurrency: Option<u64>,
    request_rate: Option<Value>,
    ttfts: Vec<Option<f64>>,
    itls: Vec<Option<Vec<f64>>>,
    #[serde(default)]
    output_lens: Vec<Option<u32>>,
    #[serde(default)]
    latencies: Vec<Option<f64>>,
    #[serde(default)]
    start_times: Vec<Option<f64>>,
    #[serde(default)]
    queue_times: Vec<Option<f64>>,
    /// In-band metrics: queue, and prefill under the name that the server gives it.
    #[serde(default)]
    server_queue_times: Vec<Option<f64>>,
    #[serde(default)]
    server_ttfts: Vec<Option<f64>>,
    #[serde(default)]
    errors: Vec<Option<String>>,
}

impl Given {
    /// Every list has an entry a request, or is not there: else entries would be another request's.
    fn is_whole(&self) -> Result<(), String> {
        let lists = [
            ("itls", self.itls.len()),
            ("output_lens", self.output_lens.len()),
            ("latencies", self.latencies.len()),
            ("start_times", self.start_times.len()),
            ("queue_times", self.queue_times.len()),
            ("server_queue_times", self.server_queue_times.len()),
            ("server_ttfts", self.server_ttfts.len()),
            ("errors", self.errors.len()),
        ];
        let n = self.ttfts.len();
        match lists.iter().find(|(name, len)| *len != n && (*len > 0 || *name == "itls")) {
            Some((name, len)) => Err(format!("expected {n} entries in `{name}`, as in `ttfts`, found {len}")),
            None => Ok(()),
        }
    }

    fn part(&self) -> Part {
        let rate = self
            .request_rate
            .as_ref()
            .map(|rate| format!("{} requests/s, ", rate.to_string().trim_matches('"')));
        let users = self.max_concurrency.map(|n| format!("at most {n} at a time, "));
        Part {
            name: self.date.clone().unwrap_or_else(|| "without a date".to_owned()),
            described: format!(
                "{}{}{} requests",
                rate.unwrap_or_default(),
                users.unwrap_or_default(),
                self.ttfts.len()
            ),
        }
    }
}

fn take(result: &Given, number: usize, reading: &mut Reading<'_>) {
    let shown = reading.path.display();
    if let Err(error) = result.is_whole() {
        let what = format!("{shown}: result {number}: {error}");
        return reading.refuse(usage(what).hint("is the file as `vllm bench serve` wrote it?"));
    }
    let ended = result.date.as_deref().and_then(instant);
    let begun = ended.unwrap_or_default().plus_seconds(-result.duration.unwrap_or(0.0));
    if ended.is_none() {
        reading.notes.push(format!(
            "{shown}: no `date` to place the requests by: they stand at the beginning of 1970"
        ));
    } else {
        reading.notes.push(format!(
            "{shown}: the times of day are made of `date`, in this host's time zone, and `duration`: good to some seconds if it was written in that zone"
        ));
    }
    let starts = || result.start_times.iter().flatten().copied().filter(|start| is_start(*start));
    let first = starts().fold(f64::INFINITY, f64::min);
    let placed = !result.start_times.is_empty();
    if !placed {
        reading.notes.push(format!(
            "{shown}: no `start_times`: every request stands at the beginning, so that duration, rates and concurrency are not those of the benchmark"
        ));
    }
    let prefix = reading.choice.id_prefix.as_deref().filter(|_| placed);
    if prefix.is_none() {
        reading.notes.push(if placed {
            format!(
                "{shown}: no request ids: both sides are compared as a whole, by pages of metrics. `vllm bench serve --request-id-prefix PREFIX` and `tare correlate --client-id-prefix PREFIX` join request by request"
            )
        } else {
            format!("{shown}: no request ids, and without `start_times` none can be given: both sides are compared as a whole, by pages of metrics")
        });
    }
    let shown = shown.to_string();
    let ids: Vec<String> = (0..result.ttfts.len())
        .map(|i| prefix.map_or_else(|| format!("{shown}:{number}:{i}"), |prefix| format!("{prefix}{i}")))
        .collect();
    for (i, id) in ids.into_iter().enumerate() {
        let place = format!("result {number}, request {i}");
        let offset =
            at(&result.start_times, i).filter(|start| is_start(*start)).map_or(0.0, |start| start - first);
        let finished = request(result, i, begun.plus_seconds(offset), id);
        let taken = finished.map(|finished| reading.rows.requests.push(finished));
        reading.count(&place, taken);
    }
    reading.place_within(ended.is_some().then_some(SLACK_S));
}

fn request(result: &Given, i: usize, started: UnixNs, id: String) -> Result<Finished, String> {
    let gaps = result.itls.get(i).and_then(Option::as_deref).unwrap_or_default();
    let error = result.errors.get(i).and_then(Option::as_deref).unwrap_or_default();
    let ttft = at(&result.ttfts, i).filter(|ttft| *ttft > 0.0);
    let mut seconds = gaps.iter().copied().chain(ttft);
    if let Some(odd) = seconds.find(|s| !s.is_finite() || *s < 0.0 || *s > 1e7) {
        return Err(format!("expected durations in seconds, found {odd}"));
    }
    let (status, error) = how(error, ttft.is_some());
    let phrase = error.as_deref().filter(|_| status == Status::HttpError);
    let http_status = phrase.and_then(ended::of_phrase);
    let mut offset = 0.0;
    let steps = ttft.into_iter().chain(gaps.iter().copied().filter(|_| ttft.is_some()));
    let stamps: Vec<UnixNs> = steps
        .map(|step| {
            offset += step;
            started.plus_seconds(offset)
        })
        .collect();
    let events = instants::events(started, &stamps);
    let chat =
        [&result.endpoint_type, &result.backend].into_iter().flatten().any(|name| name.contains("chat"));
    let lasted = at(&result.latencies, i).filter(|s| s.is_finite() && *s > 0.0).unwrap_or(offset);
    let queued = at(&result.queue_times, i).filter(|s| s.is_finite()).unwrap_or(0.0);
    let mut row = RequestRow {
        request_id: id,
        endpoint: if chat { Endpoint::Chat } else { Endpoint::Completions },
        streamed: true,
        scheduled_unix_ns: started.plus_seconds(-queued),
        started_unix_ns: started,
        done_unix_ns: started.plus_seconds(lasted),
        stamps: StampSource::User,
        status,
        http_status,
        error,
        connection: Connection::New,
        output_tokens: result.output_lens.get(i).copied().flatten().filter(|n| *n > 0),
        in_band_queue_s: at(&result.server_queue_times, i),
        in_band_prefill_s: at(&result.server_ttfts, i),
        ..RequestRow::default()
    };
    timing::date(&mut row, &events, None, None);
    row.n_exact_events = 0;
    Ok(Finished { row, events, place: None })
}

/// The tool keeps a reason phrase, a message of its own, or a traceback.
fn how(error: &str, began: bool) -> (Status, Option<String>) {
    if error.is_empty() {
        return if began {
            (Status::Ok, None)
        } else {
            (Status::Cut, Some("no token came, and no error was recorded".to_owned()))
        };
    }
    let last = ended::last_line(error);
    let status = match (error.contains("Traceback"), began) {
        (true, _) if last.contains("Timeout") => Status::Timeout,
        (true, true) => Status::Cut,
        (true, false) => Status::ConnectError,
        (false, true) => Status::StreamError,
        (false, false) => Status::HttpError,
    };
    (status, Some(last))
}

/// Of a request that was never sent the tool may keep 0, which no clock has shown.
fn is_start(seconds: f64) -> bool {
    seconds.is_finite() && seconds > 0.0
}

fn at(values: &[Option<f64>], i: usize) -> Option<f64> {
    values.get(i).copied().flatten()
}

/// `20261124-151243`, in this host's zone.
fn instant(date: &str) -> Option<UnixNs> {
    let civil = NaiveDateTime::parse_from_str(date, "%Y%m%d-%H%M%S").ok()?;
    Local.from_local_datetime(&civil).earliest()?.timestamp_nanos_opt().map(UnixNs)
}
