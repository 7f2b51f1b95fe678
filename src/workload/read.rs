//! What the readers of datasets share: what is wanted of them, what they hand over, and how a file that cannot be
//! read is told. This file must not know any format.

use std::fmt;
use std::io::BufRead;
use std::path::Path;

use super::jsonl::About;
use super::looks::{self, Looks};
use crate::error::{Failure, usage};
use crate::record::{DatasetName, Prompt};

/// What is wanted of a dataset that is read.
#[derive(Clone, Copy)]
pub struct Want<'a> {
    /// In place of the rows' own limits.
    pub max_tokens: Option<u32>,
    /// Conversations turn by turn.
    pub turns: bool,
    /// Tokens of a text, as well as they can be had for a whole dataset.
    pub count: &'a dyn Fn(&str) -> u32,
}

/// Entries left out: how many, and why the first few were.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Skipped {
    pub count: u64,
    /// `entry 3: conversations: …`; at most [`Skipped::SHOWN`].
    pub reasons: Vec<String>,
}

/// What a dataset reader hands over.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    pub prompts: Vec<Prompt>,
    pub entries: u64,
    pub broken: Skipped,
    pub pruned: Skipped,
    /// Of texts that are made: those that could not be built to the number of tokens drawn for them.
    pub not_exact: u64,
    pub about: Option<About>,
}

impl Skipped {
    /// How many reasons are kept.
    pub const SHOWN: usize = 5;

    /// Counts one more.
    pub fn add(&mut self, place: impl fmt::Display, reason: impl fmt::Display) {
        self.count += 1;
        if self.reasons.len() < Self::SHOWN {
            self.reasons.push(format!("{place}: {reason}"));
        }
    }
}

impl Read {
    /// The failure when nothing is left to send.
    pub(super) fn or_empty(self, file: &Path, name: DatasetName, expected: &str) -> Result<Self, Failure> {
        if !self.prompts.is_empty() {
            return Ok(self);
        }
        let path = file.display();
        let message = match self.entries {
            0 => format!("`{path}` holds no entries"),
            n => format!("none of the {n} entries of `{path}` can be sent"),
        };
        let reasons = self.broken.reasons.iter().chain(&self.pruned.reasons).take(Skipped::SHOWN);
        let message = reasons.fold(message, |message, reason| format!("{message}\n  {reason}"));
        Err(match Looks::of(file).and_then(|looks| looks.hint(name)) {
            Some(looks) => usage(message).hint(looks),
            None => usage(message).hint(expected),
        })
    }
}

/// With a hint of what the file looks like, where that is something else than what it was taken for.
pub(super) fn looking_like(failure: Failure, path: &Path, name: DatasetName) -> Failure {
    match Looks::of(path).and_then(|looks| looks.hint(name)) {
        Some(looks) => failure.hint(looks),
        None => failure,
    }
}

/// A JSON value's kind in words, for "found …".
pub(super) fn kind(value: &serde_json::Value) -> &'static str {
    use serde_json::Value;
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Opens a dataset behind its byte order mark, if it has one; the failure says where it was looked for.
pub(super) fn open(path: &Path) -> Result<std::io::BufReader<std::fs::File>, Failure> {
    let opened = std::fs::File::open(path).and_then(|file| {
        if file.metadata()?.is_dir() {
            Err(std::io::Error::from(std::io::ErrorKind::IsADirectory))
        } else {
            Ok(file)
        }
    });
    let mut file = opened.map(std::io::BufReader::new).map_err(|error| {
        usage(format!("cannot read the dataset `{}`", path.display()))
            .caused_by(error)
            .hint("paths are relative to the current directory; requests/README.md says what ships and how to get more")
    })?;
    // What cannot be read is the reader's to tell.
    if file.fill_buf().is_ok_and(|begin| begin.starts_with(looks::BYTE_ORDER_MARK)) {
        file.consume(looks::BYTE_ORDER_MARK.len());
    }
    Ok(file)
}
