//! What waits to be written: it leaves memory only when it is in the file. This file must not know when it is
//! tried, or why it fails.

use std::collections::VecDeque;

use super::Item;
use crate::ingest::Ingested;
use crate::record::begun::Begun;
use crate::record::{EventRow, Finished};
use crate::store::RunWriter;
use crate::store::append::{ROWS_AT_ONCE, Written};

/// So many events are one batch; a request's own are never parted.
const EVENTS_AT_ONCE: usize = 1 << 16;
/// A row in memory, about: its own size and its strings.
const ROW_BYTES: usize = 2_000;
const SAMPLE_BYTES: usize = 160;

/// Rows on their way into the streams.
pub(super) struct Queue {
    writer: RunWriter,
    finished: VecDeque<Box<Finished>>,
    ingested: VecDeque<Box<Ingested>>,
    begun: Vec<Begun>,
    bytes: usize,
}

/// What it takes in memory, about.
pub(super) fn bytes_of_item(item: &Item) -> usize {
    match item {
        Item::Finished(finished) => bytes_of(finished),
        Item::Ingested(row) => bytes_of_ingested(row),
    }
}

/// Rows that are in no file.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(in crate::run) struct Left {
    pub(in crate::run) requests: usize,
    pub(in crate::run) events: usize,
    /// Of the server's side.
    pub(in crate::run) others: usize,
}

impl Left {
    pub(super) fn add(&mut self, item: &Item) {
        match item {
            Item::Finished(finished) => {
                self.requests += 1;
                self.events += finished.events.len();
            }
            Item::Ingested(_) => self.others += 1,
        }
    }

    pub(super) fn plus(self, more: Self) -> Self {
        Self {
            requests: self.requests + more.requests,
            events: self.events + more.events,
            others: self.others + more.others,
        }
    }

    pub(super) fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

impl Queue {
    pub(super) fn new(writer: RunWriter) -> Self {
        Self { writer, finished: VecDeque::new(), ingested: VecDeque::new(), begun: Vec::new(), bytes: 0 }
    }

    pub(super) fn put(&mut self, item: Item) {
        match item {
            Item::Finished(finished) => {
                self.bytes += bytes_of(&finished);
                self.finished.push_back(finished);
            }
            Item::Ingested(row) => {
                self.bytes += bytes_of_ingested(&row);
                self.ingested.push_back(row);
            }
        }
    }

    /// The files that it writes, to be forced to the disc by someone else.
    pub(super) fn files(&self) -> Vec<std::fs::File> {
        self.writer.files()
    }

    pub(super) fn begun(&mut self, mut rows: Vec<Begun>) {
        self.begun.append(&mut rows);
    }

    /// What it takes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes + self.begun.len() * size_of::<Begun>()
    }

    /// Writes everything, as far as it can be written. Each kind of row is tried, whatever became of the
    /// others; the first error is returned.
    pub(super) fn write(&mut self) -> anyhow::Result<()> {
        let begun = self.write_begun();
        let finished = self.write_finished();
        let ingested = self.write_ingested();
        finished.and(ingested).and(begun)
    }

    fn write_begun(&mut self) -> anyhow::Result<()> {
        if !self.begun.is_empty() {
            self.writer.begun(&self.begun)?;
            self.begun.clear();
        }
        Ok(())
    }

    fn write_finished(&mut self) -> anyhow::Result<()> {
        while !self.finished.is_empty() {
            let waiting = self.finished.make_contiguous();
            let mut events = 0;
            let fits = waiting.iter().take(ROWS_AT_ONCE).take_while(|f| {
                let first = events == 0;
                events += f.events.len();
                first || events <= EVENTS_AT_ONCE
            });
            let n = fits.count();
            self.writer.finished(waiting.get(..n).unwrap_or_default())?;
            for written in self.finished.drain(..n) {
                self.bytes = self.bytes.saturating_sub(bytes_of(&written));
            }
        }
        Ok(())
    }

    fn write_ingested(&mut self) -> anyhow::Result<()> {
        while !self.ingested.is_empty() {
            let waiting = self.ingested.make_contiguous();
            let n = write_alike(&mut self.writer, waiting)?;
            for written in self.ingested.drain(..n) {
                self.bytes = self.bytes.saturating_sub(bytes_of_ingested(&written));
            }
        }
        Ok(())
    }

    /// Closes the streams; what is still here is lost.
    pub(super) fn end(self) -> (Written, Left) {
        let left = Left {
            requests: self.finished.len(),
            events: self.finished.iter().map(|f| f.events.len()).sum(),
            others: self.ingested.len(),
        };
        let written = self.writer.written();
        // Without its last mark the event stream merely ends, and readers say so.
        drop(self.writer.end());
        (written, left)
    }
}

/// Writes the first row and those of its kind that follow it, together; how many these are.
fn write_alike(writer: &mut RunWriter, waiting: &[Box<Ingested>]) -> anyhow::Result<usize> {
    let Some(first) = waiting.first() else { return Ok(0) };
    let rows = || waiting.iter().map(Box::as_ref);
    match &**first {
        Ingested::Scrape(row) => writer.scrapes(&[row]).map(|()| 1),
        Ingested::Log(_) => {
            let logs = leading(rows(), |row| if let Ingested::Log(row) = row { Some(row) } else { None });
            writer.logs(&logs).map(|()| logs.len())
        }
        Ingested::Span(_) => {
            let spans = leading(rows(), |row| if let Ingested::Span(row) = row { Some(row) } else { None });
            writer.spans(&spans).map(|()| spans.len())
        }
        Ingested::Stat(_) => {
            let stats = leading(rows(), |row| if let Ingested::Stat(row) = row { Some(row) } else { None });
            writer.stats(&stats).map(|()| stats.len())
        }
        Ingested::Hop(_) => {
            let hops = leading(rows(), |row| if let Ingested::Hop(row) = row { Some(&**row) } else { None });
            writer.hops(&hops).map(|()| hops.len())
        }
    }
}

/// The first of all, as long as they are of one kind.
fn leading<'a, T>(
    all: impl Iterator<Item = &'a Ingested>,
    of_kind: impl FnMut(&'a Ingested) -> Option<&'a T>,
) -> Vec<&'a T> {
    all.take(ROWS_AT_ONCE).map_while(of_kind).collect()
}

fn bytes_of(finished: &Finished) -> usize {
    let text = finished.row.generated_text.as_ref().map_or(0, String::len);
    let offsets = finished.place.as_ref().map_or(0, |place| place.offsets.len() * size_of::<u64>());
    ROW_BYTES + text + offsets + finished.events.len() * size_of::<EventRow>()
}

fn bytes_of_ingested(row: &Ingested) -> usize {
    match row {
        Ingested::Scrape(scrape) => ROW_BYTES + scrape.samples.len() * SAMPLE_BYTES,
        _ => ROW_BYTES,
    }
}
