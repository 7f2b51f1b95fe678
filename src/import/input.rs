//! What reading any format comes to: a file to text, its lines one by one, what was taken and what
//! could not be. This file must not know any format.
//!
//! A packed file is unpacked into memory, at most [`MOST`] bytes, and beyond [`HARMLESS`] bytes at most
//! [`TIMES`] times its own size: text packs to a tenth, and what packs to less than that share is made to
//! fill memory. A byte order mark is taken off, carriage returns before line feeds count as blanks, and what
//! Python writes into JSON for numbers that are none is `null`.

use std::fmt::Display;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::{Choice, Format, Imported, Loose, Rows};
use crate::error::{Failure, usage};
use crate::server::Server;

/// Bounds of what a packed file may become.
const MOST: u64 = 2 << 30;
const HARMLESS: u64 = 64 << 20;
const TIMES: u64 = 200;

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
        let most = most(bytes.len() as u64);
        let mut unpacked = Vec::new();
        let decoder = MultiGzDecoder::new(bytes.as_slice());
        decoder.take(most + 1).read_to_end(&mut unpacked).map_err(|error| {
            usage(format!("cannot unpack {}", path.display()))
                .caused_by(error)
                .hint("is it cut? `gzip -t FILE` tells")
        })?;
        if unpacked.len() as u64 > most {
            return Err(usage(format!(
                "{}: {} packed bytes become more than {most} unpacked ones, which no record does",
                path.display(),
                bytes.len()
            ))
            .hint("unpack it with `gunzip`, if it is what it should be, and give the unpacked file"));
        }
        bytes = unpacked;
    }
    Ok(bytes)
}

/// What so many packed bytes may become.
fn most(packed: u64) -> u64 {
    packed.saturating_mul(TIMES).clamp(HARMLESS, MOST)
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

/// The bytes of a file as text, without a byte order mark.
pub(super) fn text(mut bytes: Vec<u8>, path: &Path) -> Result<String, Failure> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(usage(format!("{} is UTF-16: expected UTF-8", path.display()))
            .hint("`iconv -f UTF-16 -t UTF-8 FILE` makes it so"));
    }
    if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
        bytes.drain(..3);
    }
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Ok(if text.trim_start().starts_with(['{', '[']) { without_nan(text) } else { text })
}

/// What Python writes into JSON for numbers that are none.
const NOT_JSON: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// JSON as Python writes it, as JSON: `NaN` and `Infinity` outside of texts become `null`.
fn without_nan(text: String) -> String {
    if !NOT_JSON.iter().any(|word| text.contains(word)) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut in_text) = (text.as_str(), false);
    while let Some(c) = rest.chars().next() {
        let word = NOT_JSON.iter().find(|word| !in_text && rest.starts_with(**word));
        if let Some(word) = word {
            out.push_str("null");
            rest = rest.get(word.len()..).unwrap_or_default();
            continue;
        }
        let mut taken = c.len_utf8();
        match c {
            '"' => in_text = !in_text,
            // No text of JSON goes over the end of its line: a broken line spoils no other.
            '\n' => in_text = false,
            '\\' if in_text => taken += rest.chars().nth(1).map_or(0, char::len_utf8),
            _ => {}
        }
        out.push_str(rest.get(..taken).unwrap_or_default());
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
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

/// One of several benchmarks in a file.
pub(super) struct Part {
    /// By which it can be chosen, beside its number.
    pub name: String,
    pub described: String,
}

/// A file under way.
pub struct Reading<'a> {
    pub path: &'a Path,
    pub server: &'static Server,
    pub choice: &'a Choice,
    pub rows: Rows,
    pub notes: Vec<String>,
    loose: Option<Loose>,
    refused: Option<Failure>,
    seen: u64,
    bad: u64,
    named: Vec<String>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(path: &'a Path, server: &'static Server, choice: &'a Choice) -> Self {
        Self {
            path,
            server,
            choice,
            rows: Rows::default(),
            notes: Vec::new(),
            loose: None,
            refused: None,
            seen: 0,
            bad: 0,
            named: Vec::new(),
        }
    }

    /// Which of several parts is meant: the only one, or the one chosen by number or name.
    pub(super) fn choose(&mut self, what: &str, parts: &[Part]) -> Option<usize> {
        let listed = || {
            let parts = parts.iter().zip(1..).map(|(p, i)| format!("{i} ({}: {})", p.name, p.described));
            parts.collect::<Vec<_>>().join(", ")
        };
        let chosen = match &self.choice.part {
            None if parts.len() == 1 => Some(0),
            None => None,
            Some(asked) => {
                let number = asked.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
                let mut named = (0..parts.len()).filter(|i| parts.get(*i).is_some_and(|p| p.name == *asked));
                let only = named.next().filter(|_| named.next().is_none());
                only.or(number.filter(|i| *i < parts.len()))
            }
        };
        if chosen.is_none() {
            let shown = self.path.display();
            let said = match &self.choice.part {
                _ if parts.is_empty() => format!("{shown} holds no {what}"),
                None => format!("{shown} holds {} {what}, and one is joined at a time", parts.len()),
                Some(asked) => format!("{shown}: there is no one `{asked}` among its {what}"),
            };
            self.refused = Some(usage(said).hint(format!("choose one with --client-part: {}", listed())));
        }
        chosen
    }

    /// Says that the stamps are of one clock, and lie on the wall clock only to within so many seconds;
    /// `None`: nobody knows where.
    pub(super) fn place_within(&mut self, slack_s: Option<f64>) {
        self.loose = Some(Loose { slack_s });
    }

    /// Refuses the whole file.
    pub(super) fn refuse(&mut self, failure: Failure) {
        self.refused = Some(failure);
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
        let Self { rows, mut notes, seen, bad, named, loose, refused, .. } = self;
        if let Some(failure) = refused {
            return Err(failure);
        }
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
        Ok(Imported { format, rows, seen, taken: seen - bad, bad, notes, loose })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_python_that_are_none_are_null() {
        let given = r#"{"rate": Infinity, "std": NaN, "x": [-Infinity, 1], "said": "NaN \" Infinity"}"#;
        let json = r#"{"rate": null, "std": null, "x": [null, 1], "said": "NaN \" Infinity"}"#;
        assert_eq!(without_nan(given.to_owned()), json);
        assert_eq!(without_nan("{\"cut: NaN\n{\"a\": NaN}".to_owned()), "{\"cut: NaN\n{\"a\": null}");
        assert_eq!(without_nan("{}".to_owned()), "{}");
    }
}
