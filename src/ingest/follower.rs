//! What following a log comes to, whatever it is read from: lines to rows to the sink, signs to
//! whoever waits for the server. This file does no I/O, and must not know what a line says.

use std::time::Duration;

use tokio::sync::watch;

use super::Ingested;
use super::lines::{Line, Lines, MAX_LINE_BYTES};
use super::log::{Freshness, LogCounts, Sign};
use super::problem::{Notes, Problem};
use super::reader::{Kind, LineReader};
use crate::clock::UnixNs;
use crate::record::Sink;

/// After the end was asked for, what is still coming is read for so long at most.
pub const DRAIN: Duration = Duration::from_secs(2);
pub const CHUNK_BYTES: usize = 64 << 10;
/// Whether something is text is judged by its first bytes.
pub const SNIFF_BYTES: usize = 8 << 10;

/// What an attached server has said about itself so far.
#[derive(Clone, Debug, Default)]
pub struct Signs {
    /// The URL it serves on, as it wrote it.
    pub url: Option<String>,
    /// It has said that it takes requests.
    pub started: bool,
    /// Its log has ended; the last lines of it.
    pub ended: Option<Vec<String>>,
}

/// One log being followed: lines in, rows to the sink.
pub struct Follower {
    reader: Box<dyn LineReader>,
    lines: Lines,
    sink: Sink<Ingested>,
    notes: Notes,
    signs: Option<watch::Sender<Signs>>,
}

impl Follower {
    pub fn new(reader: impl LineReader + 'static, sink: impl Into<Sink<Ingested>>, notes: Notes) -> Self {
        Self {
            reader: Box::new(reader),
            lines: Lines::new(MAX_LINE_BYTES),
            sink: sink.into(),
            notes,
            signs: None,
        }
    }

    /// Tells what the log says about the server as a whole while it is read.
    #[must_use]
    pub fn with_signs(mut self, signs: watch::Sender<Signs>) -> Self {
        self.signs = Some(signs);
        self
    }

    pub fn push(&mut self, bytes: &[u8], read: UnixNs, freshness: Freshness) {
        let Self { reader, lines, sink, signs, .. } = self;
        lines.push(bytes, |line| take(reader.as_mut(), sink, signs.as_ref(), &line, read, freshness));
    }

    pub fn finish_line(&mut self, freshness: Freshness) {
        let Self { reader, lines, sink, signs, .. } = self;
        lines.finish(|line| take(reader.as_mut(), sink, signs.as_ref(), &line, UnixNs::now(), freshness));
    }

    pub fn end(self) -> LogCounts {
        if let Some(problem) = self.reader.verdict() {
            self.notes.add(problem.note());
        }
        if let Some(signs) = self.signs {
            let recent = self.reader.recent();
            signs.send_modify(|signs| signs.ended = Some(recent));
        }
        self.reader.counts()
    }

    pub fn kind(&self) -> &'static Kind {
        self.reader.kind()
    }

    pub fn note(&self, problem: &Problem) {
        self.notes.add(problem.note());
    }

    /// What was there before is not read.
    pub fn skip_partial(&mut self) {
        self.lines.skip_partial();
    }

    pub fn refuse(&self, kind: &str) {
        self.notes.add(self.kind().not_text(self.reader.source(), kind).note());
    }
}

fn take(
    reader: &mut dyn LineReader,
    sink: &Sink<Ingested>,
    signs: Option<&watch::Sender<Signs>>,
    line: &Line<'_>,
    read: UnixNs,
    freshness: Freshness,
) {
    let (row, sign) = reader.take(line, read, freshness);
    if let Some(row) = row {
        // The writer is gone only when the program ends; there is nobody left to tell.
        sink.send(row);
    }
    if let (Some(sign), Some(signs)) = (sign, signs) {
        signs.send_modify(|signs| match sign {
            Sign::Serving(url) => signs.url = Some(url),
            Sign::Started => signs.started = true,
        });
    }
}
