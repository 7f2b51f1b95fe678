//! A run folder back as rows. A line torn by a kill is recognised; a bad line is counted and named;
//! every other row survives. This file must not know what the rows mean.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;

use super::events::Events;
use super::events_parquet;
use super::folder::{
    EVENTS, EVENTS_STREAM, HOPS_STREAM, LOG_STREAM, RESULTS_STREAM, RunFolder, SCRAPES_STREAM, SPANS_STREAM,
    STAT_LOG_STREAM,
};
use super::manifest::Manifest;
use crate::record::{HopRow, LogRow, RequestRow, ScrapeRow, SpanRow, StatRow};

/// The rows of a JSONL stream, and what could not be read of it.
#[derive(Clone, Debug)]
pub struct Lines<T> {
    pub rows: Vec<T>,
    pub bad: u64,
    /// The first few bad lines, with the reason.
    pub bad_lines: Vec<BadLine>,
    /// The last line has no end: the writer was killed in it.
    pub torn: bool,
}

/// A line that is not what it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BadLine {
    /// From 1.
    pub line_no: u64,
    pub reason: String,
}

/// More than these are counted, not kept.
const BAD_LINES_KEPT: usize = 20;

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), bad: 0, bad_lines: Vec::new(), torn: false }
    }
}

impl<T: DeserializeOwned> Lines<T> {
    /// Reads a stream; one that is not there has no rows.
    pub fn read(path: &Path) -> Result<Self> {
        match fs::read(path) {
            Ok(bytes) => Ok(Self::parse(&bytes)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// As `read`, from memory.
    pub fn parse(bytes: &[u8]) -> Self {
        let mut lines = Self::default();
        let ended = bytes.is_empty() || bytes.ends_with(b"\n");
        let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        if body.is_empty() {
            return lines;
        }
        let mut rest = body.split(|&b| b == b'\n').zip(1..).peekable();
        while let Some((line, line_no)) = rest.next() {
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match serde_json::from_slice(line) {
                Ok(row) => lines.rows.push(row),
                Err(_) if rest.peek().is_none() && !ended => lines.torn = true,
                Err(e) => {
                    lines.bad += 1;
                    if lines.bad_lines.len() < BAD_LINES_KEPT {
                        lines.bad_lines.push(BadLine { line_no, reason: e.to_string() });
                    }
                }
            }
        }
        lines
    }
}

impl<T> Lines<T> {
    /// One sentence on what was lost, if anything was.
    pub fn complaint(&self, file: &str) -> Option<String> {
        let mut said = Vec::new();
        if let Some(first) = self.bad_lines.first() {
            said.push(format!(
                "{} bad line(s), the first is line {}: {}",
                self.bad, first.line_no, first.reason
            ));
        }
        if self.torn {
            said.push("the last line is cut".to_owned());
        }
        (!said.is_empty()).then(|| format!("{file}: {}", said.join("; ")))
    }
}

/// Everything a run folder holds.
#[derive(Debug)]
pub struct RunData {
    pub manifest: Manifest,
    pub requests: Lines<RequestRow>,
    pub events: Events,
    pub scrapes: Lines<ScrapeRow>,
    pub log: Lines<LogRow>,
    pub spans: Lines<SpanRow>,
    pub stat_log: Lines<StatRow>,
    pub hops: Lines<HopRow>,
}

impl RunData {
    /// Reads a whole run; requests come back in the order of scheduling.
    pub fn read(folder: &RunFolder) -> Result<Self> {
        let mut requests: Lines<RequestRow> = Lines::read(&folder.file(RESULTS_STREAM))?;
        requests.rows.sort_by_key(|r| r.index);
        Ok(Self {
            manifest: Manifest::read(folder)?,
            requests,
            events: read_events(folder)?,
            scrapes: Lines::read(&folder.file(SCRAPES_STREAM))?,
            log: Lines::read(&folder.file(LOG_STREAM))?,
            spans: Lines::read(&folder.file(SPANS_STREAM))?,
            stat_log: Lines::read(&folder.file(STAT_LOG_STREAM))?,
            hops: Lines::read(&folder.file(HOPS_STREAM))?,
        })
    }

    /// What was lost in reading, one sentence a file: torn ends, bad lines, rows without their
    /// events and events without their row.
    pub fn complaints(&self) -> Vec<String> {
        let mut said: Vec<String> = [
            self.requests.complaint(RESULTS_STREAM),
            self.scrapes.complaint(SCRAPES_STREAM),
            self.log.complaint(LOG_STREAM),
            self.spans.complaint(SPANS_STREAM),
            self.stat_log.complaint(STAT_LOG_STREAM),
            self.hops.complaint(HOPS_STREAM),
        ]
        .into_iter()
        .flatten()
        .collect();
        if self.events.torn_bytes > 0 {
            said.push(format!(
                "{EVENTS_STREAM}: {} bytes after the last whole batch ({})",
                self.events.torn_bytes,
                self.events.torn_reason.as_deref().unwrap_or("cut"),
            ));
        }
        let known: std::collections::HashSet<&str> =
            self.requests.rows.iter().map(|r| r.request_id.as_str()).collect();
        let orphans = self.events.requests.iter().filter(|(id, _)| !known.contains(id.as_str())).count();
        if orphans > 0 {
            said.push(format!(
                "{EVENTS_STREAM}: the events of {orphans} request(s) have no row in {RESULTS_STREAM}"
            ));
        }
        let short = self
            .requests
            .rows
            .iter()
            .filter(|r| self.events.of(&r.request_id).map_or(0, |rows| rows.len()) < r.n_events as usize)
            .count();
        if short > 0 {
            said.push(format!("{RESULTS_STREAM}: {short} request(s) lack events in {EVENTS_STREAM}"));
        }
        said
    }
}

/// The events, from the stream; from Parquet where the stream was removed to save room.
pub fn read_events(folder: &RunFolder) -> Result<Events> {
    let (stream, parquet) = (folder.file(EVENTS_STREAM), folder.file(EVENTS));
    if stream.is_file() {
        Events::read_stream(&stream)
    } else if parquet.is_file() {
        events_parquet::read(&parquet)
    } else {
        Ok(Events::default())
    }
}
