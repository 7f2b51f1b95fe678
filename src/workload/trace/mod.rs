//! Traces: requests that were made somewhere at some time, read as typed rows. This module must not
//! know when they are sent again, nor over what.
//!
//! - [`json_lines`]: Mooncake (milliseconds) and `timed_trace` of `vllm bench serve` (seconds by default)
//! - [`table`]: Azure's CSV (dates), `BurstGPT`'s (seconds)
//! - [`prompts`]: texts of the rows' lengths, alike where the rows' hash ids are
//!
//! A line that cannot be read is left out and counted. Times that are negative, or that go back, make the
//! whole trace suspect: it is refused.

mod json_lines;
mod prompts;
mod table;

use std::path::Path;

use super::{Skipped, open};
use crate::config::{Trace, TraceFormat};
use crate::error::{Failure, usage};

pub use self::prompts::prompts;

/// One request of a trace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Since the first request that is sent, or since `trace_start_s`.
    pub offset_s: f64,
    pub input_tokens: u32,
    pub output_tokens: u32,
    /// Blocks of the prompt: where two rows begin with the same ids, their prompts begin alike.
    pub hash_ids: Vec<u64>,
}

/// What of a trace is sent, and what is not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    pub rows: Vec<Row>,
    pub entries: u64,
    pub broken: Skipped,
    /// Requests without an answer: they had failed.
    pub pruned: Skipped,
    /// Outside of `trace_start_s` and `trace_end_s`, or beyond the number asked for.
    pub outside: u64,
}

/// A line as a format reads it: its time is still the format's own.
struct Line {
    number: u64,
    /// Seconds from an origin that all lines have in common.
    time_s: f64,
    row: Row,
}

/// What a format makes of one line.
enum Taken {
    Row(Line),
    /// Cannot be read, and why.
    Broken(u64, String),
    /// Left out, and why.
    Pruned(u64, String),
}

/// For negative times.
const FROM_THE_BEGIN: &str = "times count from the trace's begin, which is not before 0";
/// A mean rate above this is no service's: the unit of the times is another.
const MOST_RPS: f64 = 1000.0;
/// So many rows before the mean rate says something.
const ENOUGH: usize = 100;

/// Reads the trace; at most `most` of its rows. Refuses times that are negative or go back, with line
/// and field.
pub fn read(trace: &Trace, most: Option<usize>) -> Result<Rows, Failure> {
    let file = open(&trace.path)?;
    let mut rows = Rows::default();
    let mut times = Times::default();
    let keep = |taken: Taken| {
        rows.entries += 1;
        match taken {
            Taken::Broken(line, why) => rows.broken.add(format!("line {line}"), why),
            Taken::Pruned(line, why) => rows.pruned.add(format!("line {line}"), why),
            Taken::Row(line) => {
                let since_first_s = times.next(trace, &line)?;
                let from = since_first_s >= trace.start_s;
                let until = trace.end_s.is_none_or(|end_s| since_first_s < end_s);
                if from && until && most.is_none_or(|most| rows.rows.len() < most) {
                    rows.rows.push(Row { offset_s: since_first_s - trace.start_s, ..line.row });
                } else {
                    rows.outside += 1;
                }
            }
        }
        Ok(())
    };
    match trace.format {
        TraceFormat::Mooncake | TraceFormat::TimedTrace => json_lines::read(trace, file, keep)?,
        TraceFormat::Azure => table::read(table::AZURE, &trace.path, file, keep)?,
        TraceFormat::Burstgpt => table::read(table::BURSTGPT, &trace.path, file, keep)?,
    }
    times.plausible(trace)?;
    if rows.rows.is_empty() {
        return Err(nothing(trace, &rows));
    }
    Ok(rows)
}

/// The times of all readable lines, as they come.
#[derive(Default)]
struct Times {
    n: usize,
    first_s: f64,
    last_s: f64,
    last_line: u64,
}

impl Times {
    /// Seconds since the first.
    fn next(&mut self, trace: &Trace, line: &Line) -> Result<f64, Failure> {
        if line.time_s < 0.0 {
            let what = format!("is negative: {}", line.time_s);
            return Err(refused(trace, line.number, &what).hint(FROM_THE_BEGIN));
        }
        if self.n == 0 {
            self.first_s = line.time_s;
        } else if line.time_s < self.last_s {
            let back_s = self.last_s - line.time_s;
            let what = format!("goes back by {back_s:.3} s from that of line {}", self.last_line);
            return Err(refused(trace, line.number, &what)
                .hint("a trace is in the order of its times: sort it by them"));
        }
        (self.n, self.last_s, self.last_line) = (self.n + 1, line.time_s, line.number);
        Ok(line.time_s - self.first_s)
    }

    /// Whether so many requests can have come in this time.
    fn plausible(&self, trace: &Trace) -> Result<(), Failure> {
        let span_s = self.last_s - self.first_s;
        let rate = self.n as f64 / span_s;
        if self.n < ENOUGH || rate <= MOST_RPS {
            return Ok(());
        }
        let message = format!(
            "`{}`: {} requests within {span_s} s would be {rate:.0} a second: its times seem to be in another unit than {}",
            trace.path.display(),
            self.n,
            unit(trace)
        );
        let hint = match trace.format {
            TraceFormat::Mooncake => {
                "for times in seconds: `--dataset-name timed-trace --timed-trace-chunk-hash-size 512`"
            }
            TraceFormat::TimedTrace => "`--timed-trace-sec-multiplier` says how many seconds one unit is",
            TraceFormat::Azure | TraceFormat::Burstgpt => "write its times in that unit",
        };
        Err(usage(message).hint(hint))
    }
}

/// What a format's times are in.
fn unit(trace: &Trace) -> String {
    match trace.format {
        TraceFormat::Mooncake => "milliseconds".to_owned(),
        TraceFormat::TimedTrace if trace.sec_multiplier.total_cmp(&1.0).is_eq() => "seconds".to_owned(),
        TraceFormat::TimedTrace => format!("{} s", trace.sec_multiplier),
        TraceFormat::Azure => "dates".to_owned(),
        TraceFormat::Burstgpt => "seconds".to_owned(),
    }
}

/// The field of a format's time.
fn time_field(trace: &Trace) -> &str {
    match trace.format {
        TraceFormat::Mooncake | TraceFormat::TimedTrace => &trace.fields.timestamp,
        TraceFormat::Azure => "TIMESTAMP",
        TraceFormat::Burstgpt => "Timestamp",
    }
}

fn refused(trace: &Trace, line: u64, what: &str) -> Failure {
    usage(format!("{}:{line}: `{}`: the time {what}", trace.path.display(), time_field(trace)))
}

fn nothing(trace: &Trace, rows: &Rows) -> Failure {
    let path = trace.path.display();
    let message = match rows.entries {
        0 => format!("`{path}` holds no requests"),
        _ if rows.outside > 0 => format!("no request of `{path}` lies within the times asked for"),
        n => format!("none of the {n} lines of `{path}` can be sent"),
    };
    let reasons = rows.broken.reasons.iter().chain(&rows.pruned.reasons).take(Skipped::SHOWN);
    let message = reasons.fold(message, |message, reason| format!("{message}\n  {reason}"));
    usage(message).hint(match trace.format {
        TraceFormat::Mooncake => {
            "a line such as {\"timestamp\": 27482, \"input_length\": 6955, \"output_length\": 52, \"hash_ids\": [46, 47]}, its time in milliseconds"
        }
        TraceFormat::TimedTrace => "a JSON object a line; `--timed-trace-label-…` name its fields",
        TraceFormat::Azure => "columns TIMESTAMP,ContextTokens,GeneratedTokens; a time such as 2023-11-16 18:15:46.6805900",
        TraceFormat::Burstgpt => "columns Timestamp, Request tokens, Response tokens; the time in seconds",
    })
}

/// An open trace.
type File = std::io::BufReader<std::fs::File>;

/// The failure where a file can be read no further.
fn unreadable(path: &Path, line: u64, error: impl Into<anyhow::Error>) -> Failure {
    usage(format!("{}:{line}: cannot be read", path.display())).caused_by(error)
}

#[cfg(test)]
mod tests;
