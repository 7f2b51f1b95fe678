//! Traces as CSV: columns are found by their names, whatever their order.

use std::path::Path;

use chrono::{DateTime, NaiveDateTime};
use csv::{ByteRecord, ReaderBuilder, StringRecord};

use super::{File, Line, Row, Taken, unreadable};
use crate::error::{Failure, usage};

/// One format: what its columns are called, and what its time is.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    time: &'static str,
    input: &'static str,
    output: &'static str,
    /// Seconds from any origin; an error in words.
    seconds: fn(&str) -> Result<f64, String>,
}

/// Azure's LLM inference traces of 2023 and 2024.
pub(super) const AZURE: Columns =
    Columns { time: "TIMESTAMP", input: "ContextTokens", output: "GeneratedTokens", seconds: by_date };

/// `BurstGPT`.
pub(super) const BURSTGPT: Columns =
    Columns { time: "Timestamp", input: "Request tokens", output: "Response tokens", seconds: by_number };

/// Hands every line to `keep`.
pub(super) fn read(
    columns: Columns,
    path: &Path,
    file: File,
    mut keep: impl FnMut(Taken) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut reader = ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(file);
    let head = reader.headers().map_err(|error| unreadable(path, 1, error))?.clone();
    let column = |name: &str| head.iter().position(|known| known == name);
    let needed = |name: &str| {
        column(name).ok_or_else(|| {
            let found: Vec<&str> = head.iter().collect();
            let expected = [columns.time, columns.input, columns.output].join("`, `");
            usage(format!("{}:1: there is no column `{name}`", path.display()))
                .hint(format!("expected `{expected}`, found `{}`", found.join("`, `")))
        })
    };
    let places = [needed(columns.time)?, needed(columns.input)?, needed(columns.output)?];
    let mut record = ByteRecord::new();
    loop {
        let line = reader.position().line();
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                let number = record.position().map_or(line, csv::Position::line);
                keep(match StringRecord::from_byte_record(record.clone()) {
                    Ok(text) => row(columns, places, number, &text),
                    Err(_) => Taken::Broken(number, "not UTF-8".to_owned()),
                })?;
            }
            Err(error) => return Err(unreadable(path, line, error)),
        }
    }
}

fn row(columns: Columns, [time, input, output]: [usize; 3], number: u64, record: &StringRecord) -> Taken {
    let at = |place: usize| record.get(place).unwrap_or_default();
    let time_s = match (columns.seconds)(at(time)) {
        Ok(time_s) => time_s,
        Err(why) => return Taken::Broken(number, format!("{}: {why}", columns.time)),
    };
    let mut lengths = [0_u32; 2];
    for (length, (field, place)) in lengths.iter_mut().zip([(columns.input, input), (columns.output, output)])
    {
        // Some tools write whole numbers with a point.
        let text = at(place);
        let Ok(n) = text.strip_suffix(".0").unwrap_or(text).parse() else {
            let found = text.escape_debug();
            return Taken::Broken(number, format!("{field}: expected a number of tokens, found `{found}`"));
        };
        *length = n;
    }
    let [input_tokens, output_tokens] = lengths;
    if input_tokens == 0 || output_tokens == 0 {
        let field = if input_tokens == 0 { columns.input } else { columns.output };
        return Taken::Pruned(number, format!("{field}: 0 tokens"));
    }
    let row = Row { input_tokens, output_tokens, ..Row::default() };
    Taken::Row(Line { number, time_s, row })
}

fn by_date(text: &str) -> Result<f64, String> {
    let nanoseconds = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f")
        .map(|date| date.and_utc())
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z").map(|date| date.to_utc()))
        .ok()
        .and_then(|date| date.timestamp_nanos_opt());
    match nanoseconds {
        // Microseconds are kept in a double for a hundred years.
        Some(ns) => Ok(ns as f64 / 1e9),
        None => Err(format!(
            "expected a date such as 2023-11-16 18:15:46.6805900, found `{}`",
            text.escape_debug()
        )),
    }
}

fn by_number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Ok(seconds),
        _ => Err(format!("expected seconds, found `{}`", text.escape_debug())),
    }
}
