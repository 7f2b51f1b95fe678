//! What reading any format comes to: a file to text, its lines one by one, what was taken and what
//! could not be. This file must not know any format.

use std::fmt::Display;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::{Format, Imported, Rows};
use crate::error::{Failure, usage};
use crate::server::Server;

/// So many unreadable lines of a file are named; the others are counted.
const NAMED: usize = 3;
/// So many lines are looked at to find a format.
const LOOKED_AT: usize = 20;

/// The whole file, unpacked if it is gzip.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let unreadable = |error: std::io::Error| {
        usage(format!("cannot read {}", path.display())).caused_by(error).hint("check the path")
    };
    let mut bytes = std::fs::read(path).map_err(unreadable)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut unpacked = Vec::new();
        MultiGzDecoder::new(bytes.as_slice()).read_to_end(&mut unpacked).map_err(|error| {
            usage(format!("cannot unpack {}", path.display()))
                .caused_by(error)
                .hint("is it cut? `gzip -t FILE` tells")
        })?;
        bytes = unpacked;
    }
    Ok(bytes)
}

/// The first bytes of a file, unpacked if it is gzip.
pub(super) fn beginning(path: &Path) -> std::io::Result<Vec<u8>> {
    const ENOUGH: u64 = 16;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(ENOUGH).read_to_end(&mut bytes)?;
    if bytes.starts_with(&[0x1f, 0x8b]) {
        bytes.clear();
        MultiGzDecoder::new(std::fs::File::open(path)?).take(ENOUGH).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// The whole file as text.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let bytes = bytes(path)?;
    Ok(String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The first lines that are not blank: a format is found by any of them, so that a bad first line
/// hides none.
pub(super) fn first_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim().is_empty()).take(LOOKED_AT)
}

/// Whether one of the first lines is a JSON object with all of these keys.
pub(super) fn has_keys(text: &str, keys: &[&str]) -> bool {
    first_lines(text).any(|line| {
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line)
            .is_ok_and(|object| keys.iter().all(|key| object.contains_key(*key)))
    })
}

/// A line of JSON as `T`, or why not.
pub(super) fn json<'a, T: serde::Deserialize<'a>>(line: &'a str) -> Result<T, String> {
    // The line's number in the file is said by who reads the file.
    serde_json::from_str(line).map_err(|error| error.to_string().replace(" at line 1 column ", " at column "))
}

/// A file under way.
pub struct Reading<'a> {
    pub path: &'a Path,
    pub server: &'static Server,
    pub rows: Rows,
    pub notes: Vec<String>,
    seen: u64,
    bad: u64,
    named: Vec<String>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(path: &'a Path, server: &'static Server) -> Self {
        Self { path, server, rows: Rows::default(), notes: Vec::new(), seen: 0, bad: 0, named: Vec::new() }
    }

    /// Hands each line that is not blank to `take`, with its number from 1; an error is what is wrong
    /// with the line.
    pub(super) fn each_line(
        &mut self,
        text: &str,
        mut take: impl FnMut(u64, &str, &mut Rows) -> Result<(), String>,
    ) {
        for (line_no, line) in (1..).zip(text.lines()) {
            if !line.trim().is_empty() {
                let taken = take(line_no, line, &mut self.rows);
                self.count(&format!("line {line_no}"), taken);
            }
        }
    }

    /// Counts one record, at `place`.
    pub(super) fn count(&mut self, place: &str, taken: Result<(), impl Display>) {
        self.seen += 1;
        if let Err(why) = taken {
            self.bad += 1;
            if self.named.len() < NAMED {
                self.named.push(format!("{place}: {why}"));
            }
        }
    }

    pub(super) fn finish(self, shown: &str, format: &'static Format) -> Result<Imported, Failure> {
        let Self { rows, mut notes, seen, bad, named, .. } = self;
        if seen == bad {
            let first = named.first().map_or_else(|| "it holds none".to_owned(), String::clone);
            return Err(usage(format!(
                "none of the {seen} records of {shown} could be read as `{}`: {first}",
                format.name
            ))
            .hint(super::known(format.of)));
        }
        let named = named.join("; ");
        if bad > 0 {
            notes.push(format!("{shown}: {bad} of {seen} records could not be read; {named}"));
        }
        Ok(Imported { format, rows, seen, taken: seen - bad, bad, notes })
    }
}
