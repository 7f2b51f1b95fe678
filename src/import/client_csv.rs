//! A CSV table of requests, a line each, whose columns say by their names what they hold and in which
//! unit; which they are stands in [`columns`](super::columns). It must not know what is done with the
//! rows.
//!
//! The first line names the columns. They are parted by commas, semicolons or tabs, whichever the first
//! line has most of; fields may be quoted.

use csv::{ReaderBuilder, StringRecord, Trim};

use super::columns::{self, Layout};
use super::input::{Reading, first_lines};
use super::{Format, Of, Reads};
use crate::error::usage;
use crate::store::columns::Cell;

pub(super) const FORMAT: Format = Format {
    name: "client_csv",
    of: Of::Client,
    description: "CSV with named columns, such as request_id, started_unix_ns, ttft_s, e2e_s",
    reads: Reads::Text { recognises, read },
};

fn recognises(text: &str) -> bool {
    let Some(head) = first_lines(text).next().filter(|head| !head.trim_start().starts_with(['{', '[']))
    else {
        return false;
    };
    let Some(names) = records(head).next().and_then(Result::ok) else { return false };
    columns::recognises(&names.iter().collect::<Vec<_>>())
}

/// The lines, the first among them.
fn records(text: &str) -> impl Iterator<Item = Result<StringRecord, csv::Error>> {
    let head = first_lines(text).next().unwrap_or_default();
    let count = |delimiter: &u8| head.bytes().filter(|byte| byte == delimiter).count();
    // Of equally many the comma.
    let delimiter = [b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',');
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).has_headers(false).flexible(true).trim(Trim::All);
    builder.from_reader(text.as_bytes()).into_records()
}

fn read(text: &str, reading: &mut Reading<'_>) {
    let shown = reading.path.display().to_string();
    let mut records = records(text);
    let head = match records.next() {
        Some(Ok(head)) => head,
        Some(Err(error)) => return reading.count("the first line", Err(error)),
        None => return,
    };
    let names: Vec<&str> = head.iter().collect();
    let layout = match Layout::of(&names) {
        Ok(layout) => layout,
        Err(error) => {
            return reading.refuse(
                usage(format!("{shown}: {error}"))
                    .hint("README.md, \"Columns of a table of requests\", lists them"),
            );
        }
    };
    for record in records {
        let (place, taken) = match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                (format!("line {line}"), request(&record, &layout, names.len(), &format!("{shown}:{line}")))
            }
            Err(error) => ("a line".to_owned(), Err(error.to_string())),
        };
        let taken = taken.map(|finished| reading.rows.requests.push(finished));
        reading.count(&place, taken);
    }
    columns::tell(&layout, reading);
}

fn request(
    record: &StringRecord,
    layout: &Layout,
    expected: usize,
    place: &str,
) -> Result<crate::record::Finished, String> {
    if record.len() != expected {
        return Err(format!("expected {expected} fields, found {}", record.len()));
    }
    layout.request(&|i| record.get(i).map_or(Cell::Null, |text| Cell::Text(text.to_owned())), place)
}
