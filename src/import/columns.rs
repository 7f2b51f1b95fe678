//! A table of requests whose columns say by their names what they hold, and in which unit. What a row
//! of it becomes. This file must not know whether the table is CSV or Parquet.
//!
//! | column | what |
//! |---|---|
//! | `request_id`, `trace_id`, `response_id` | the `X-Request-Id` sent, the trace id sent, the answer's `id`: each joins |
//! | `scheduled_…`, `started_…`, `send_begin_…`, `sent_…`, `head_…`, `first_token_…`, `last_token_…`, `done_…` | instants; `…` is `unix_ns`, `unix_us`, `unix_ms`, `unix_s` or `iso` (`2026-11-26T20:15:43.123Z`) |
//! | `ttft_…`, `e2e_…` (or `latency_…`), `itl_…`, `queued_…` | durations from `started`: to the first token, to the last; mean gap between tokens; from `scheduled` to `started`; `…` is `s`, `ms`, `us` or `ns` |
//! | `input_tokens`, `output_tokens` (or `prompt_tokens`, `completion_tokens`) | as the server counted them |
//! | `status`, `http_status`, `error`, `finish_reason` | how it ended: `ok`, or a word of tare's, or `true`/`false` |
//! | `endpoint` (`chat`, `completions`), `streamed`, `local_port` | |
//!
//! One of `ttft`, `e2e`, `first_token` and `last_token` must be there. What is known of no column is kept
//! out, and said.

use std::collections::BTreeMap;

use super::input::Reading;
use super::{ended, instants};
use crate::clock::UnixNs;
use crate::load::timing;
use crate::record::{Connection, Endpoint, Finished, RequestRow, StampSource, Status};
use crate::store::columns::Cell;

const TEXTS: [&str; 8] =
    ["request_id", "trace_id", "response_id", "status", "error", "finish_reason", "endpoint", "streamed"];
const COUNTS: [&str; 4] = ["input_tokens", "output_tokens", "http_status", "local_port"];
const INSTANTS: [&str; 8] =
    ["scheduled", "started", "send_begin", "sent", "head", "first_token", "last_token", "done"];
const DURATIONS: [&str; 4] = ["ttft", "e2e", "itl", "queued"];
/// Other spellings.
const ALSO: [(&str, &str); 9] = [
    ("time_to_first_token", "ttft"),
    ("inter_token_latency", "itl"),
    ("e2e_latency", "e2e"),
    ("request_duration", "e2e"),
    ("prompt_tokens", "input_tokens"),
    ("completion_tokens", "output_tokens"),
    ("latency", "e2e"),
    ("itl_mean", "itl"),
    ("request_latency", "e2e"),
];
/// One of these must be there.
const NEEDED: [&str; 4] = ["ttft", "e2e", "first_token", "last_token"];

/// What a column's numbers are multiplied with.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Unit {
    None,
    Seconds(f64),
    SinceNs(f64),
    Iso,
}

/// Which column holds what.
#[derive(Debug, Default)]
pub(super) struct Layout {
    at: BTreeMap<&'static str, (usize, Unit, String)>,
    /// Columns that mean nothing here.
    pub unknown: Vec<String>,
}

/// Whether a table with these columns is one of requests.
pub(super) fn recognises(names: &[&str]) -> bool {
    let known = |name: &&str| {
        let (stem, _) = plain(name);
        INSTANTS.contains(&stem.as_str()) || DURATIONS.contains(&stem.as_str())
    };
    names.len() > 1 && names.iter().any(known)
}

impl Layout {
    /// By the columns' names; an error says what is wrong with them.
    pub fn of(names: &[&str]) -> Result<Self, String> {
        let mut layout = Self::default();
        for (i, given) in names.iter().enumerate() {
            let (stem, unit) = plain(given);
            let known = |table: &[&'static str]| table.iter().copied().find(|known| *known == stem);
            let column = match unit {
                Unit::None => known(&TEXTS).or(known(&COUNTS)),
                Unit::Seconds(_) => known(&DURATIONS),
                Unit::SinceNs(_) | Unit::Iso => known(&INSTANTS),
            };
            let Some(column) = column else {
                if let Some(wanted) = wanted(&stem).filter(|_| unit == Unit::None) {
                    return Err(format!("the column `{given}` does not say its unit: expected {wanted}"));
                }
                layout.unknown.push((*given).to_owned());
                continue;
            };
            if let Some((_, _, other)) = layout.at.insert(column, (i, unit, (*given).to_owned())) {
                return Err(format!("two columns tell the same: `{other}` and `{given}`"));
            }
        }
        if NEEDED.iter().all(|needed| !layout.at.contains_key(needed)) {
            return Err(format!(
                "no column tells how long requests took: expected `ttft_s`, `e2e_s`, `first_token_unix_ns` or `last_token_unix_ns` (or in another unit), found {}",
                names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            ));
        }
        Ok(layout)
    }

    /// Whether requests are placed in time.
    pub fn tells_instants(&self) -> bool {
        ["started", "first_token", "last_token"].iter().any(|column| self.at.contains_key(column))
    }

    /// Whether requests have an id that a server can know.
    pub fn tells_ids(&self) -> bool {
        ["request_id", "trace_id", "response_id"].iter().any(|column| self.at.contains_key(column))
    }

    /// A row's request. `place` is its id where it has none.
    pub fn request(&self, cell: &dyn Fn(usize) -> Cell, place: &str) -> Result<Finished, String> {
        let row = Row { layout: self, cell };
        let (ttft, e2e) = (row.duration("ttft")?, row.duration("e2e")?);
        let (first, last) = (row.instant("first_token")?, row.instant("last_token")?);
        let before = |at: Option<UnixNs>, by: Option<f64>| Some(at?.plus_seconds(-by?));
        let started = row.instant("started")?.or(before(first, ttft)).or(before(last, e2e));
        let started = match started {
            Some(started) => started,
            None if self.tells_instants() => {
                return Err("it has no `started`, and nothing it follows from".to_owned());
            }
            None => UnixNs(0),
        };
        let after = |duration: Option<f64>| duration.map(|seconds| started.plus_seconds(seconds));
        agree("ttft", first, after(ttft))?;
        agree("e2e", last, after(e2e))?;
        let (first, last) = (first.or(after(ttft)), last.or(after(e2e)));
        let since = |at: Option<UnixNs>| at.map(|at| at.seconds_since(started));
        instants::in_order(since(first), since(last))?;
        let said = row.text("error");
        let http_status = row.count("http_status")?.and_then(|n| u16::try_from(n).ok());
        let status = row.status(http_status, said.as_deref(), first.or(last).is_some())?;
        let scheduled = row.instant("scheduled")?.or(before(Some(started), row.duration("queued")?));
        let done = row.instant("done")?;
        let id = row.text("request_id").or(row.text("response_id"));
        let mut request = RequestRow {
            request_id: id.unwrap_or_else(|| place.to_owned()),
            trace_id: row.text("trace_id").map(|id| id.to_ascii_lowercase()).unwrap_or_default(),
            response_id: row.text("response_id"),
            endpoint: match row.text("endpoint") {
                Some(name) if name.contains("completions") && !name.contains("chat") => Endpoint::Completions,
                _ => Endpoint::Chat,
            },
            streamed: row.flag("streamed")?.unwrap_or(first.is_some() || status != Status::Ok),
            scheduled_unix_ns: scheduled.unwrap_or(started),
            started_unix_ns: started,
            send_begin_unix_ns: row.instant("send_begin")?,
            sent_unix_ns: row.instant("sent")?,
            head_unix_ns: row.instant("head")?,
            done_unix_ns: done.into_iter().chain(last).chain(first).max().unwrap_or(started),
            stamps: StampSource::User,
            status,
            http_status,
            error: said,
            finish_reason: row.text("finish_reason"),
            connection: Connection::New,
            local_port: row.count("local_port")?.and_then(|n| u16::try_from(n).ok()),
            input_tokens: row.count("input_tokens")?.filter(|n| *n > 0),
            output_tokens: row.count("output_tokens")?.filter(|n| *n > 0),
            ..RequestRow::default()
        };
        // The mean gap tells when the last token came, where nothing else does.
        let itl = row.duration("itl")?;
        let n = request.output_tokens.filter(|n| *n > 1).map(|n| f64::from(n - 1));
        let by_gaps = || Some(first?.plus_seconds(itl? * n?));
        let last = last.or_else(by_gaps);
        timing::by_ends(&mut request, first, last);
        request.itl_mean_s = request.itl_mean_s.or(itl);
        Ok(Finished { row: request, events: Vec::new(), place: None })
    }
}

/// The two ways to say a moment must not be a millisecond apart.
fn agree(what: &str, by_instant: Option<UnixNs>, by_duration: Option<UnixNs>) -> Result<(), String> {
    if let (Some(one), Some(other)) = (by_instant, by_duration) {
        let apart = one.seconds_since(other);
        if apart.abs() > 1e-3 {
            return Err(format!("its instants and its `{what}` are {apart} s apart: are units mixed up?"));
        }
    }
    Ok(())
}

/// What a column without its unit should have been called.
fn wanted(stem: &str) -> Option<String> {
    let names =
        |units: &[&str]| units.iter().map(|unit| format!("`{stem}_{unit}`")).collect::<Vec<_>>().join(", ");
    if DURATIONS.contains(&stem) {
        return Some(names(&["s", "ms", "us", "ns"]));
    }
    INSTANTS.contains(&stem).then(|| names(&["unix_ns", "unix_us", "unix_ms", "unix_s", "iso"]))
}

/// A name as it is looked up: its stem in the usual spelling, and its unit.
fn plain(name: &str) -> (String, Unit) {
    // `TTFT (ms)` is `ttft_ms`.
    let name = name.trim().trim_end_matches([')', ']']).to_ascii_lowercase();
    let words: Vec<&str> = name.split(['-', ' ', '_', '(', '[']).filter(|word| !word.is_empty()).collect();
    let name = words.join("_");
    let (stem, unit) = unit_of(&name);
    let usual = ALSO.iter().find(|(also, _)| stem == *also).map_or(stem, |(_, usual)| usual);
    (usual.to_owned(), unit)
}

/// A name without its unit, and the unit.
fn unit_of(name: &str) -> (&str, Unit) {
    let units = [
        ("_unix_ns", Unit::SinceNs(1.0)),
        ("_unix_us", Unit::SinceNs(1e3)),
        ("_unix_ms", Unit::SinceNs(1e6)),
        ("_unix_s", Unit::SinceNs(1e9)),
        ("_iso", Unit::Iso),
        ("_ms", Unit::Seconds(1e-3)),
        ("_us", Unit::Seconds(1e-6)),
        ("_ns", Unit::Seconds(1e-9)),
        ("_s", Unit::Seconds(1.0)),
    ];
    units
        .into_iter()
        .find_map(|(suffix, unit)| Some((name.strip_suffix(suffix)?, unit)))
        .unwrap_or((name, Unit::None))
}

/// One row's cells, by what they are.
struct Row<'a> {
    layout: &'a Layout,
    cell: &'a dyn Fn(usize) -> Cell,
}

impl Row<'_> {
    fn cell(&self, column: &str) -> Option<(Cell, Unit, &str)> {
        let (i, unit, name) = self.layout.at.get(column)?;
        match (self.cell)(*i) {
            Cell::Null => None,
            Cell::Text(text) if is_nothing(&text) => None,
            Cell::Float(value) if value.is_nan() => None,
            cell => Some((cell, *unit, name)),
        }
    }

    fn text(&self, column: &str) -> Option<String> {
        match self.cell(column)?.0 {
            Cell::Text(text) | Cell::Other(text) => Some(text.trim().to_owned()),
            Cell::Int(value) => Some(value.to_string()),
            Cell::Bool(value) => Some(value.to_string()),
            Cell::Float(value) => Some(value.to_string()),
            Cell::Null | Cell::Instant(_) | Cell::Unread(_) => None,
        }
    }

    fn duration(&self, column: &str) -> Result<Option<f64>, String> {
        let Some((cell, Unit::Seconds(unit_s), name)) = self.cell(column) else { return Ok(None) };
        let duration = instants::duration(number(&cell, name)?, unit_s);
        duration.map(Some).map_err(|error| format!("`{name}`: {error}"))
    }

    fn instant(&self, column: &str) -> Result<Option<UnixNs>, String> {
        let Some((cell, unit, name)) = self.cell(column) else { return Ok(None) };
        let instant = match (&cell, unit) {
            // Nanoseconds have more digits than a double holds.
            (Cell::Instant(ns), _) | (Cell::Int(ns), Unit::SinceNs(1.0)) => instants::unix_ns(*ns),
            (Cell::Text(text), Unit::Iso) => instants::iso(text),
            (Cell::Text(text), Unit::SinceNs(unit_ns)) => match instants::decimal(text, unit_ns) {
                Some(instant) => instant,
                None => instants::since_1970(number(&cell, name)?, unit_ns),
            },
            (_, Unit::SinceNs(unit_ns)) => instants::since_1970(number(&cell, name)?, unit_ns),
            _ => Err(format!("expected a time, found {cell:?}")),
        };
        instant.map(Some).map_err(|error| format!("`{name}`: {error}"))
    }

    fn count(&self, column: &str) -> Result<Option<u32>, String> {
        let Some((cell, _, name)) = self.cell(column) else { return Ok(None) };
        let value = number(&cell, name)?;
        if value.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&value) {
            return Ok(Some(value as u32));
        }
        Err(format!("`{name}`: expected a whole number, found {value}"))
    }

    fn flag(&self, column: &str) -> Result<Option<bool>, String> {
        let Some(text) = self.text(column) else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => Ok(Some(true)),
            "false" | "0" | "no" => Ok(Some(false)),
            other => Err(format!("`{column}`: expected true or false, found `{other}`")),
        }
    }

    /// As the column says; else by HTTP status, error, and whether a token came.
    fn status(&self, http_status: Option<u16>, said: Option<&str>, began: bool) -> Result<Status, String> {
        let words = said.unwrap_or_default();
        // Without a word of a connection, nothing says that there was none.
        let failed = || ended::status(words, http_status, began || !words.contains("onnect"));
        let Some(word) = self.text("status") else {
            let well = http_status.is_none_or(|status| status < 400) && said.is_none();
            return Ok(match (well, began) {
                (true, true) => Status::Ok,
                (true, false) => Status::Cut,
                (false, _) => failed(),
            });
        };
        let word = word.to_ascii_lowercase();
        if let Some(status) = Status::ALL.into_iter().find(|status| status.as_str() == word) {
            return Ok(status);
        }
        match word.as_str() {
            "success" | "successful" | "completed" | "true" | "1" | "200" => Ok(Status::Ok),
            "error" | "failed" | "failure" | "false" | "0" => Ok(failed()),
            other => match other.parse::<u16>() {
                Ok(400..600) => Ok(Status::HttpError),
                _ => Err(format!(
                    "`status`: expected {} (or true, false), found `{other}`",
                    Status::ALL.map(Status::as_str).join(", ")
                )),
            },
        }
    }
}

fn is_nothing(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || ["null", "none", "nan", "na", "n/a"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

fn number(cell: &Cell, name: &str) -> Result<f64, String> {
    match cell {
        Cell::Int(value) => Ok(*value as f64),
        Cell::Float(value) => Ok(*value),
        Cell::Text(text) => {
            text.trim().parse().map_err(|_| format!("`{name}`: expected a number, found `{}`", text.trim()))
        }
        other => Err(format!("`{name}`: expected a number, found {other:?}")),
    }
}

/// What a table lacks or holds in vain, and which columns would help.
pub(super) fn tell(layout: &Layout, reading: &mut Reading<'_>) {
    let shown = reading.path.display().to_string();
    if !layout.unknown.is_empty() {
        reading.notes.push(format!(
            "{shown}: columns of no known meaning are left out: {}",
            layout.unknown.join(", ")
        ));
    }
    if !layout.tells_ids() {
        reading.notes.push(format!(
            "{shown}: no column `request_id`, `response_id` or `trace_id`: requests are compared as a whole, by pages of metrics, not one by one"
        ));
    }
    if !layout.tells_instants() {
        reading.notes.push(format!(
            "{shown}: no column tells when requests started (`started_unix_ns`): all stand at the beginning of 1970, so that duration, rates and concurrency are not those of the load"
        ));
        reading.place_within(None);
    }
}
