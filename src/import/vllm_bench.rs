//! `vllm bench serve --save-result --save-detailed`: one JSON object with arrays, an entry a request
//! (and several objects with `--append-result`). It must not know what is done with the rows.
//!
//! The file has no request ids and no stamps, only durations in seconds, and in newer versions
//! `start_times` of a monotonic clock. So its requests are joined with nothing one by one; means and
//! distributions are compared. `date` is when the benchmark had ended, to the second, in this host's
//! zone: from it, less `duration`, the instants are made. TTFT and gaps are by that tool's own
//! definitions: from before the request is serialised and its connection made, one gap per message
//! of the stream, stamped by the program. Prompt tokens are left out: the tool counts its own prompt,
//! not what the server got.

use chrono::{Local, NaiveDateTime, TimeZone};
use serde::Deserialize;
use serde_json::Value;

use super::input::Reading;
use super::{Format, Of};
use crate::clock::UnixNs;
use crate::load::timing;
use crate::record::{Connection, Endpoint, EventRow, Finished, RequestRow, StampSource, Status};

pub(super) const FORMAT: Format = Format {
    name: "vllm_bench",
    of: Of::Client,
    description: "vllm bench serve --save-result --save-detailed",
    recognises: |text| {
        text.trim_start().starts_with('{') && text.contains("\"ttfts\"") && text.contains("\"itls\"")
    },
    read,
};

fn read(text: &str, reading: &mut Reading<'_>) {
    let mut number = 0;
    for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        number += 1;
        let result = document.and_then(Given::deserialize);
        match result {
            Ok(result) => take(&result, number, reading),
            Err(error) => return reading.count(&format!("result {number}"), Err(error)),
        }
    }
}

#[derive(Deserialize)]
struct Given {
    date: Option<String>,
    duration: Option<f64>,
    endpoint_type: Option<String>,
    backend: Option<String>,
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
    #[serde(default)]
    errors: Vec<Option<String>>,
}

fn take(result: &Given, number: u64, reading: &mut Reading<'_>) {
    let shown = reading.path.display();
    let ended = result.date.as_deref().and_then(instant);
    let begun = ended.unwrap_or_default().plus_seconds(-result.duration.unwrap_or(0.0));
    if ended.is_none() {
        reading.notes.push(format!(
            "{shown}: no `date` to place the requests by: they stand at the beginning of 1970"
        ));
    } else {
        reading.notes.push(format!(
            "{shown}: the times of day are made of `date` and `duration`, and good to some seconds"
        ));
    }
    let first = result.start_times.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    if result.start_times.len() < result.ttfts.len() {
        reading.notes.push(format!(
            "{shown}: no `start_times`: every request stands at the beginning, so that duration, rates and concurrency are not those of the benchmark"
        ));
    }
    for i in 0..result.ttfts.len() {
        let place = format!("result {number}, request {i}");
        let offset =
            at(&result.start_times, i).filter(|_| first.is_finite()).map_or(0.0, |start| start - first);
        let finished = request(result, i, begun.plus_seconds(offset), format!("{shown}:{number}:{i}"));
        let taken = finished.map(|finished| reading.rows.requests.push(finished));
        reading.count(&place, taken);
    }
}

fn request(result: &Given, i: usize, started: UnixNs, id: String) -> Result<Finished, String> {
    let gaps = result.itls.get(i).and_then(Option::as_deref).unwrap_or_default();
    let error = result.errors.get(i).and_then(Option::as_deref).unwrap_or_default();
    let ttft = at(&result.ttfts, i).filter(|ttft| *ttft > 0.0);
    let mut seconds = gaps.iter().copied().chain(ttft);
    if let Some(odd) = seconds.find(|s| !s.is_finite() || *s < 0.0 || *s > 1e7) {
        return Err(format!("expected durations in seconds, found {odd}"));
    }
    let (status, error) = ended(error, ttft.is_some());
    let mut events: Vec<EventRow> = Vec::new();
    let mut offset = 0.0;
    for step in ttft.into_iter().chain(gaps.iter().copied().filter(|_| ttft.is_some())) {
        offset += step;
        let hi = started.plus_seconds(offset);
        // Of two at one moment the tool cannot tell more than of one.
        let lo = events.iter().rev().map(|e| e.stamp_hi_unix_ns).find(|earlier| *earlier < hi);
        events.push(EventRow {
            stamp_lo_unix_ns: lo.unwrap_or(started).min(UnixNs(hi.0 - 1)),
            stamp_hi_unix_ns: hi,
            user_unix_ns: hi,
            events_in_read: 1,
            tokens: None,
            bytes: 0,
        });
    }
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
        error,
        connection: Connection::New,
        output_tokens: result.output_lens.get(i).copied().flatten().filter(|n| *n > 0),
        ..RequestRow::default()
    };
    timing::date(&mut row, &events, None, None);
    row.n_exact_events = 0;
    Ok(Finished { row, events, place: None })
}

/// The tool keeps a reason phrase, a message of its own, or a traceback.
fn ended(error: &str, began: bool) -> (Status, Option<String>) {
    if error.is_empty() {
        return if began {
            (Status::Ok, None)
        } else {
            (Status::Cut, Some("no token came, and no error was recorded".to_owned()))
        };
    }
    let last = error.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or(error).trim().to_owned();
    let status = match (error.contains("Traceback"), began) {
        (true, _) if last.contains("Timeout") => Status::Timeout,
        (true, true) => Status::Cut,
        (true, false) => Status::ConnectError,
        (false, true) => Status::StreamError,
        (false, false) => Status::HttpError,
    };
    (status, Some(last))
}

fn at(values: &[Option<f64>], i: usize) -> Option<f64> {
    values.get(i).copied().flatten()
}

/// `20261124-151243`, in this host's zone.
fn instant(date: &str) -> Option<UnixNs> {
    let civil = NaiveDateTime::parse_from_str(date, "%Y%m%d-%H%M%S").ok()?;
    Local.from_local_datetime(&civil).earliest()?.timestamp_nanos_opt().map(UnixNs)
}
