//! The append-only streams, written by one thread while the load runs. Every record is handed to
//! the system in one write; a write that fails halfway is cut off again, so that what follows stays
//! readable. This file must not know what is done with the rows.

use std::borrow::Borrow;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::event_stream::EventEncoder;
use super::folder::{
    BEGUN_STREAM, EVENTS_STREAM, HOPS_STREAM, LOG_STREAM, RESULTS_STREAM, RunFolder, SCRAPES_STREAM,
    SPANS_STREAM, STAT_LOG_STREAM,
};
use crate::record::begun::Begun;
use crate::record::{Finished, HopRow, LogRow, ScrapeRow, SpanRow, StatRow};
use crate::secrets::Secrets;

/// Rows that are best written together, at most: each write is a system call, and holds all of them in memory.
pub const ROWS_AT_ONCE: usize = 256;

/// All streams of a run.
pub struct RunWriter {
    events: Stream,
    encoder: EventEncoder,
    begun: JsonLines,
    results: JsonLines,
    scrapes: JsonLines,
    log: JsonLines,
    spans: JsonLines,
    stat_log: JsonLines,
    hops: JsonLines,
}

/// Rows written so far.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Written {
    pub results: u64,
    pub events: u64,
    pub scrapes: u64,
    pub log: u64,
    pub spans: u64,
    pub stat_log: u64,
    pub hops: u64,
}

impl RunWriter {
    /// Opens every stream at once: an unwritable folder shows before the first request is sent.
    /// `secrets` reach none of them.
    pub fn create(folder: &RunFolder, secrets: &Secrets) -> Result<Self> {
        let mut events = Stream::create(&folder.file(EVENTS_STREAM))?;
        let mut encoder = EventEncoder::new();
        events.append(encoder.header()?)?;
        Ok(Self {
            events,
            encoder,
            begun: JsonLines::create(&folder.file(BEGUN_STREAM), secrets)?,
            results: JsonLines::create(&folder.file(RESULTS_STREAM), secrets)?,
            scrapes: JsonLines::create(&folder.file(SCRAPES_STREAM), secrets)?,
            log: JsonLines::create(&folder.file(LOG_STREAM), secrets)?,
            spans: JsonLines::create(&folder.file(SPANS_STREAM), secrets)?,
            stat_log: JsonLines::create(&folder.file(STAT_LOG_STREAM), secrets)?,
            hops: JsonLines::create(&folder.file(HOPS_STREAM), secrets)?,
        })
    }

    /// Appends finished requests: first all their events as one batch, then their rows, so that a
    /// row in the results means that its events are there. All of it or, after an error, nothing: what
    /// failed can be tried again.
    pub fn finished<F: Borrow<Finished>>(&mut self, finished: &[F]) -> Result<()> {
        let count = finished.iter().map(|f| f.borrow().events.len() as u64).sum::<u64>();
        let before = self.events.whole;
        if count > 0 {
            self.events.append(self.encoder.batch(finished)?)?;
        }
        let rows = self.results.append_all(finished.iter().map(|f| &f.borrow().row));
        if rows.is_err() {
            self.events.cut_to(before);
        }
        rows?;
        self.events.rows += count;
        Ok(())
    }

    /// Appends what has begun: all of it, or nothing.
    pub fn begun(&mut self, rows: &[Begun]) -> Result<()> {
        self.begun.append_all(rows.iter())
    }

    /// Appends pages of metrics: all of them, or nothing.
    pub fn scrapes<R: Borrow<ScrapeRow>>(&mut self, rows: &[R]) -> Result<()> {
        self.scrapes.append_all(rows.iter().map(Borrow::borrow))
    }

    /// Appends lines of logs: all of them, or nothing.
    pub fn logs<R: Borrow<LogRow>>(&mut self, rows: &[R]) -> Result<()> {
        self.log.append_all(rows.iter().map(Borrow::borrow))
    }

    /// Appends spans: all of them, or nothing.
    pub fn spans<R: Borrow<SpanRow>>(&mut self, rows: &[R]) -> Result<()> {
        self.spans.append_all(rows.iter().map(Borrow::borrow))
    }

    /// Appends what a stat logger wrote: all of it, or nothing.
    pub fn stats<R: Borrow<StatRow>>(&mut self, rows: &[R]) -> Result<()> {
        self.stat_log.append_all(rows.iter().map(Borrow::borrow))
    }

    /// Appends what hops say: all of it, or nothing.
    pub fn hops<R: Borrow<HopRow>>(&mut self, rows: &[R]) -> Result<()> {
        self.hops.append_all(rows.iter().map(Borrow::borrow))
    }

    /// Ends the event stream properly; without it, it merely ends.
    pub fn end(mut self) -> Result<Written> {
        self.events.append(self.encoder.end()?)?;
        Ok(self.written())
    }

    /// The streams' files once more: forcing them to the disc is another thread's business. Those of which there
    /// is none (too many open files) are left to the system.
    pub fn files(&self) -> Vec<File> {
        let Self { events, begun, results, scrapes, log, spans, stat_log, hops, encoder: _ } = self;
        let lines = [begun, results, scrapes, log, spans, stat_log, hops].map(|lines| &lines.stream);
        lines.into_iter().chain([events]).filter_map(|stream| stream.file.try_clone().ok()).collect()
    }

    pub fn written(&self) -> Written {
        Written {
            results: self.results.stream.rows,
            events: self.events.rows,
            scrapes: self.scrapes.stream.rows,
            log: self.log.stream.rows,
            spans: self.spans.stream.rows,
            stat_log: self.stat_log.stream.rows,
            hops: self.hops.stream.rows,
        }
    }
}

/// One JSON object a line.
pub struct JsonLines {
    stream: Stream,
    buffer: Vec<u8>,
    record: Vec<u8>,
    secrets: Secrets,
}

impl JsonLines {
    /// A new, empty file.
    pub fn create(path: &Path, secrets: &Secrets) -> Result<Self> {
        Ok(Self {
            stream: Stream::create(path)?,
            buffer: Vec::new(),
            record: Vec::new(),
            secrets: secrets.clone(),
        })
    }

    /// A file that may hold records already. A torn last one is closed off: what follows stays
    /// readable, and readers count it.
    pub fn extend(path: &Path) -> Result<Self> {
        let (buffer, record) = (Vec::new(), Vec::new());
        Ok(Self { stream: Stream::extend(path)?, buffer, record, secrets: Secrets::default() })
    }

    /// Appends one record in one write.
    pub fn append<T: Serialize>(&mut self, row: &T) -> Result<()> {
        self.append_all(std::iter::once(row))
    }

    /// Appends several in one write: all, or after an error none.
    pub fn append_all<'a, T: Serialize + 'a>(&mut self, rows: impl Iterator<Item = &'a T>) -> Result<()> {
        self.buffer.clear();
        let mut count = 0;
        for row in rows {
            self.record.clear();
            serde_json::to_writer(&mut self.record, row)
                .with_context(|| format!("cannot encode a row of {}", self.stream.path.display()))?;
            self.record.push(b'\n');
            self.secrets.clean_json(&mut self.record);
            self.buffer.extend_from_slice(&self.record);
            count += 1;
        }
        self.stream.append(&self.buffer)?;
        self.stream.rows += count;
        Ok(())
    }
}

/// A file that only grows by whole records.
struct Stream {
    path: PathBuf,
    file: File,
    /// Where the last whole record ends.
    whole: u64,
    rows: u64,
}

impl Stream {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file, whole: 0, rows: 0 })
    }

    fn extend(path: &Path) -> Result<Self> {
        let open = || -> std::io::Result<(File, u64)> {
            let mut file = File::options().read(true).append(true).create(true).open(path)?;
            let mut whole = file.seek(SeekFrom::End(0))?;
            if whole > 0 {
                let mut last = [0];
                file.seek(SeekFrom::Start(whole - 1))?;
                file.read_exact(&mut last)?;
                if last != *b"\n" {
                    file.write_all(b"\n")?;
                    whole += 1;
                }
            }
            Ok((file, whole))
        };
        let (file, whole) = open().with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self { path: path.to_owned(), file, whole, rows: 0 })
    }

    fn append(&mut self, record: &[u8]) -> Result<()> {
        let written = self.file.write_all(record);
        if written.is_err() {
            // A disc that is full now may have room later: the next record must not follow half of
            // this one. If even this fails, readers stop at the torn record, and say so.
            self.cut_to(self.whole);
        }
        written.with_context(|| format!("cannot append to {}", self.path.display()))?;
        self.whole += record.len() as u64;
        Ok(())
    }

    fn cut_to(&mut self, length: u64) {
        drop(self.file.set_len(length));
        drop(self.file.seek(SeekFrom::Start(length)));
        self.whole = length;
    }
}
