//! The log of a load test as text: a block of figures in the words of the report's own block
//! (`Time to First Token (TTFT):`, below it `Average: 0.0217 seconds`, `99th Percentile: …`), and lines
//! about single requests in the same words. It must not know what is done with the rows.
//!
//! A line is about a request if it names one and how long it took:
//!
//! ```text
//! 2026-11-26T20:15:43.573Z request 12: TTFT: 0.0217 seconds, Request Duration: 0.2304 seconds, Output Tokens: 24
//! request_id=a-7, ttft=21.7 ms, latency=230.4 ms, tokens=24
//! ```
//!
//! Names stand before a colon or `=`, in any case, pairs are parted by commas or blanks; a duration must have its
//! unit (seconds, s, ms). A longer name is another thing: `queue latency` is no latency, `input tokens` are no
//! output. The line's own time, if it has one with a zone, is when the request had ended, up to a second late.
//! A block alone is a summary, compared as a whole. Other lines are passed over.

use super::input::Reading;
use super::{Format, Of, Reads, instants};
use crate::clock::UnixNs;
use crate::load::timing;
use crate::metric::Metric;
use crate::record::client_totals::{ClientTotals, Figure};
use crate::record::{Finished, RequestRow, StampSource, Status};

pub(super) const FORMAT: Format = Format {
    name: "text_log",
    of: Of::Client,
    description: "a load test's log as text: the block of figures, and lines about single requests",
    reads: Reads::Text {
        recognises: |text| {
            let begins = text.trim_start();
            !begins.starts_with(['{', '['])
                && (text.contains("Time to First Token (TTFT):")
                    || text.lines().take(200).any(is_of_a_request))
        },
        read,
    },
};

/// A line's time is taken when it is written, some time after the request had ended.
const LATE_S: f64 = 1.0;

/// The block's titles. Its latency between tokens is a request's mean, as TPOT.
const TITLES: [(&str, Option<Metric>); 4] = [
    ("Time to First Token (TTFT):", Some(Metric::Ttft)),
    ("Inter-Token Latency:", Some(Metric::Tpot)),
    ("Request Duration:", Some(Metric::E2e)),
    ("Token Throughput:", None),
];

fn read(text: &str, reading: &mut Reading<'_>) {
    let shown = reading.path.display().to_string();
    let mut timed = false;
    for (line, line_no) in text.lines().zip(1_u64..) {
        if !is_of_a_request(line) {
            continue;
        }
        let taken = request(line, &format!("{shown}:{line_no}")).map(|(finished, placed)| {
            timed |= placed;
            reading.rows.requests.push(finished);
        });
        reading.count(&format!("line {line_no}"), taken);
    }
    if reading.rows.requests.is_empty() {
        if let Some(totals) = block(text) {
            for _ in &totals.figures {
                reading.count("the block", Ok::<(), &str>(()));
            }
            reading.rows.totals = Some(totals);
            reading.notes.push(format!(
                "{shown}: a block of figures without requests: both sides are compared as a whole"
            ));
        }
        return;
    }
    reading.place_within(timed.then_some(LATE_S));
    if !timed {
        reading.notes.push(format!(
            "{shown}: its lines have no time with a zone: all requests stand at the beginning of 1970, so that duration, rates and concurrency are not those of the load"
        ));
    }
}

/// `name: value` and `name=value` pairs of a line, names in lower case.
fn pairs(line: &str) -> Vec<(String, &str)> {
    let marks = line.char_indices().filter(|(_, c)| matches!(c, ':' | '='));
    let mut pairs = Vec::new();
    for (at, _) in marks {
        let (before, after) = (line.get(..at).unwrap_or_default(), line.get(at + 1..).unwrap_or_default());
        let name = before.rsplit([',', ';', '=', ':', '|']).next().unwrap_or_default();
        let name = name.rsplit(" - ").next().unwrap_or_default().trim();
        let value = after.trim_start();
        let ends = value.find([',', ';', '|']).unwrap_or(value.len());
        pairs.push((name.to_ascii_lowercase(), value.get(..ends).unwrap_or_default().trim()));
    }
    pairs
}

/// The value of the first of these names that is there: alone, or behind what is no part of it, such as
/// another pair's value (`a-7 ttft`).
fn find<'a>(pairs: &[(String, &'a str)], names: &[&str]) -> Option<&'a str> {
    let is = |name: &str, wanted: &str| {
        let Some(before) = name.strip_suffix(wanted) else {
            return name.strip_suffix(')').is_some_and(|name| name.ends_with(&format!("({wanted}")));
        };
        let word = before.trim_end().rsplit(' ').next().unwrap_or_default();
        let parted = before.is_empty() || before.ends_with(' ');
        parted && !OTHERS.contains(&word) && !(wanted == "tokens" && word == "total")
    };
    let valued = || pairs.iter().filter(|(_, value)| !value.is_empty());
    names.iter().find_map(|wanted| valued().find(|(name, _)| is(name, wanted)).map(|(_, value)| *value))
}

/// Words before a name that make another thing of it.
const OTHERS: [&str; 31] = [
    "queue",
    "queued",
    "queueing",
    "queuing",
    "wait",
    "waiting",
    "connect",
    "connection",
    "network",
    "dns",
    "tls",
    "token",
    "inter-token",
    "per-token",
    "prefill",
    "decode",
    "first",
    "server",
    "engine",
    "test",
    "input",
    "prompt",
    "cached",
    "max",
    "min",
    "mean",
    "average",
    "median",
    "p50",
    "p95",
    "p99",
];

const TTFT: [&str; 2] = ["ttft", "time to first token"];
const E2E: [&str; 6] = ["request duration", "request latency", "e2e latency", "e2e", "latency", "duration"];
const ITL: [&str; 3] = ["inter-token latency", "mean itl", "itl"];
const TOKENS: [&str; 6] = [
    "output tokens",
    "output_tokens",
    "completion tokens",
    "completion_tokens",
    "generated tokens",
    "tokens",
];
const IDS: [&str; 3] = ["request_id", "request id", "x-request-id"];

fn is_of_a_request(line: &str) -> bool {
    let pairs = pairs(line);
    id(line, &pairs).is_some() && (find(&pairs, &TTFT).is_some() || find(&pairs, &E2E).is_some())
}

/// `request 12: …`, `request_id=a-7`.
fn id<'a>(line: &'a str, pairs: &[(String, &'a str)]) -> Option<&'a str> {
    let word = |text: &'a str| text.split_whitespace().next();
    let named = find(pairs, &IDS).and_then(word);
    named.or_else(|| {
        let at = line.to_ascii_lowercase().find("request ")?;
        let number = word(line.get(at + 8..)?)?.trim_end_matches([':', ',']).trim_start_matches('#');
        number.bytes().all(|b| b.is_ascii_digit()).then_some(number).filter(|number| !number.is_empty())
    })
}

/// `0.0217 seconds`, `21.7 ms`.
fn seconds(text: &str) -> Result<f64, String> {
    let text = text.trim();
    let ends = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(ends);
    let value: f64 = number.parse().map_err(|_| format!("expected a duration, found `{text}`"))?;
    let unit = unit.split_whitespace().next().unwrap_or_default();
    if unit.is_empty() {
        return Err(format!("`{text}` has no unit: expected seconds, s or ms"));
    }
    instants::duration(value, instants::unit_s(unit)?)
}

/// `24`, `24 tokens`.
fn whole(text: &str) -> Result<u32, String> {
    let word = text.split_whitespace().next().unwrap_or_default();
    word.parse().map_err(|_| format!("expected a whole number of tokens, found `{text}`"))
}

/// The request, and whether it has a place in time.
fn request(line: &str, place: &str) -> Result<(Finished, bool), String> {
    let pairs = pairs(line);
    let duration = |names: &[&str]| find(&pairs, names).map(seconds).transpose();
    let (ttft, e2e) = (duration(&TTFT)?, duration(&E2E)?);
    instants::in_order(ttft, e2e)?;
    let named = find(&pairs, &IDS).and_then(|id| id.split_whitespace().next());
    // An id may be digits, as many as an instant has.
    let ended = instants::in_text(&named.map_or_else(|| line.to_owned(), |id| line.replace(id, "")));
    let lasted = e2e.or(ttft).unwrap_or(0.0);
    let started = ended.map_or(UnixNs(0), |ended| ended.plus_seconds(-lasted));
    let tokens = find(&pairs, &TOKENS).map(whole).transpose()?;
    let failed = find(&pairs, &["error"]).map(str::to_owned);
    let mut row = RequestRow {
        request_id: named.map_or_else(|| place.to_owned(), str::to_owned),
        streamed: ttft.is_some(),
        scheduled_unix_ns: started,
        started_unix_ns: started,
        done_unix_ns: started.plus_seconds(lasted),
        stamps: StampSource::User,
        status: if failed.is_some() { Status::Cut } else { Status::Ok },
        error: failed,
        output_tokens: tokens.filter(|n| *n > 0),
        ..RequestRow::default()
    };
    let after = |duration: Option<f64>| duration.map(|seconds| started.plus_seconds(seconds));
    timing::by_ends(&mut row, after(ttft), after(e2e));
    row.itl_mean_s = row.itl_mean_s.or(duration(&ITL)?);
    Ok((Finished { row, events: Vec::new(), place: None }, ended.is_some()))
}

/// The block's figures.
fn block(text: &str) -> Option<ClientTotals> {
    let count = |name: &str| {
        let (_, rest) = text.split_once(name)?;
        rest.split_whitespace().next()?.replace(',', "").parse::<u64>().ok()
    };
    let mut totals = ClientTotals {
        tool: "the log".to_owned(),
        completed: count("Successful Requests:"),
        failed: count("Failed Requests:"),
        ..ClientTotals::default()
    };
    totals.duration_s =
        text.split_once("Test Duration:").and_then(|(_, rest)| seconds(rest.lines().next()?).ok());
    let mut current = None;
    for line in text.lines() {
        if let Some((title, metric)) = TITLES.iter().find(|(title, _)| line.contains(title)) {
            current = metric.map(|metric| (title.trim_end_matches(':'), metric));
        }
        let Some((called, metric)) = current else { continue };
        if let Some((_, value)) = line.split_once("Average:") {
            let Ok(mean_s) = seconds(value) else { continue };
            let n = totals.completed;
            totals.figures.push(Figure {
                metric,
                called: called.to_owned(),
                n,
                mean_s,
                std_s: None,
                p50_s: None,
                p99_s: None,
            });
        } else if let Some((_, value)) = line.split_once("99th Percentile:")
            && let Some(figure) = totals.figures.last_mut().filter(|figure| figure.metric == metric)
        {
            figure.p99_s = seconds(value).ok();
        }
    }
    (!totals.figures.is_empty()).then_some(totals)
}
