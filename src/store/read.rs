//! A run folder back as rows. A line torn by a kill is recognised; a bad line is counted and named;
//! every other row survives. This file must not know what the rows mean.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;

use super::events::Events;
use super::events_parquet;
use super::folder::{
    BEGUN_STREAM, EVENTS, EVENTS_STREAM, HOPS_STREAM, LOG_STREAM, RESULTS_STREAM, RunFolder, SCRAPES_STREAM,
    SPANS_STREAM, STAT_LOG_STREAM,
};
use super::manifest::{Manifest, RunState};
use super::run_events::RunEvents;
use crate::record::begun::Begun;
use crate::record::{HopRow, LogRow, RequestRow, ScrapeRow, SpanRow, StatRow};
use crate::units;

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
const READ_AT_ONCE: usize = 1 << 18;

impl<T> Default for Lines<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), bad: 0, bad_lines: Vec::new(), torn: false }
    }
}

impl<T: DeserializeOwned> Lines<T> {
    /// Reads a stream; one that is not there has no rows.
    pub fn read(path: &Path) -> Result<Self> {
        let read = match File::open(path) {
            Ok(file) => Self::from_reader(BufReader::with_capacity(READ_AT_ONCE, file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => Err(e),
        };
        read.with_context(|| format!("cannot read {}", path.display()))
    }

    /// As `read`, from memory.
    pub fn parse(bytes: &[u8]) -> Self {
        Self::from_reader(bytes).unwrap_or_default()
    }

    /// Line by line: of a long run the whole file is as large as its rows.
    fn from_reader(mut source: impl BufRead) -> io::Result<Self> {
        let (mut lines, mut line) = (Self::default(), Vec::new());
        for line_no in 1.. {
            line.clear();
            if source.read_until(b'\n', &mut line)? == 0 {
                break;
            }
            // Only the last may have none.
            let has_end = line.pop_if(|last| *last == b'\n').is_some();
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match serde_json::from_slice(&line) {
                Ok(row) => lines.rows.push(row),
                Err(_) if !has_end => lines.torn = true,
                Err(e) => {
                    lines.bad += 1;
                    if lines.bad_lines.len() < BAD_LINES_KEPT {
                        lines.bad_lines.push(BadLine { line_no, reason: e.to_string() });
                    }
                }
            }
        }
        Ok(lines)
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
    /// What was begun; of an older run there is none.
    pub begun: Lines<Begun>,
    pub requests: Lines<RequestRow>,
    pub events: RunEvents,
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
            begun: Lines::read(&folder.file(BEGUN_STREAM))?,
            requests,
            events: read_events(folder)?,
            scrapes: Lines::read(&folder.file(SCRAPES_STREAM))?,
            log: Lines::read(&folder.file(LOG_STREAM))?,
            spans: Lines::read(&folder.file(SPANS_STREAM))?,
            stat_log: Lines::read(&folder.file(STAT_LOG_STREAM))?,
            hops: Lines::read(&folder.file(HOPS_STREAM))?,
        })
    }

    /// Requests that were begun and have no row: of a run that was killed, what was in flight.
    pub fn without_row(&self) -> Vec<&Begun> {
        let ended: HashSet<&str> = self.requests.rows.iter().map(|r| r.request_id.as_str()).collect();
        self.begun.rows.iter().filter(|begun| !ended.contains(begun.request_id.as_str())).collect()
    }

    /// What was in flight when the run was killed, in words; `None` of a run that came to its end.
    pub fn unended(&self) -> Option<String> {
        if self.manifest.state != RunState::Running {
            return None;
        }
        let in_flight = self.without_row();
        let first = in_flight.iter().min_by_key(|begun| begun.begun_unix_ns)?;
        let last = self.requests.rows.iter().map(|r| r.done_unix_ns).max();
        let last = in_flight.iter().map(|begun| begun.begun_unix_ns).chain(last).max()?;
        Some(format!(
            "{} requests were in flight when the run was killed, and have no row (`{BEGUN_STREAM}` names them); the oldest, {}, had been begun {} before the last record",
            in_flight.len(),
            first.request_id,
            units::seconds(last.seconds_since(first.begun_unix_ns)),
        ))
    }

    /// What was lost in reading, one sentence a file: torn ends, bad lines, rows without their
    /// events and events without their row.
    pub fn complaints(&self) -> Vec<String> {
        let mut said: Vec<String> = [
            self.begun.complaint(BEGUN_STREAM),
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
        if let Some(torn) = &self.events.torn {
            said.push(format!(
                "{EVENTS_STREAM}: {} bytes after the last whole batch ({})",
                torn.bytes, torn.reason
            ));
        }
        let known: HashSet<&str> = self.requests.rows.iter().map(|r| r.request_id.as_str()).collect();
        let orphans = self.events.request_ids().filter(|id| !known.contains(id)).count();
        if orphans > 0 {
            said.push(format!(
                "{EVENTS_STREAM}: the events of {orphans} request(s) have no row in {RESULTS_STREAM}"
            ));
        }
        let short = self
            .requests
            .rows
            .iter()
            .filter(|r| self.events.count_of(&r.request_id) < r.n_events as usize)
            .count();
        if short > 0 {
            said.push(format!("{RESULTS_STREAM}: {short} request(s) lack events in {EVENTS_STREAM}"));
        }
        said
    }
}

/// The events, in the stream; from Parquet, all in memory, where the stream was removed to save room.
pub fn read_events(folder: &RunFolder) -> Result<RunEvents> {
    let (stream, parquet) = (folder.file(EVENTS_STREAM), folder.file(EVENTS));
    if stream.is_file() {
        RunEvents::open(&stream)
    } else if parquet.is_file() {
        events_parquet::read(&parquet).map(RunEvents::from)
    } else {
        Ok(Events::default().into())
    }
}
