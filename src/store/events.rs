//! Token events, columnar: so many that they are never one struct each. This file must not know where they lie,
//! nor what a gap between two of them means.

use std::collections::HashMap;
use std::ops::Range;

use anyhow::{Context as _, Result, bail};
use polars_arrow::array::{Array, MutableBinaryViewArray, PrimitiveArray, UInt32Array, Utf8ViewArray, View};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field};
use polars_arrow::record_batch::RecordBatchT;

use crate::clock::UnixNs;
use crate::record::{EventRow, Finished};

/// The columns, in their order, everywhere.
pub const COLUMNS: [(&str, Kind); 7] = [
    ("request_id", Kind::Text),
    ("stamp_lo_unix_ns", Kind::Instant),
    ("stamp_hi_unix_ns", Kind::Instant),
    ("user_unix_ns", Kind::Instant),
    ("events_in_read", Kind::Count),
    ("tokens", Kind::Count),
    ("bytes", Kind::Count),
];

/// What a column holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    Text,
    Instant,
    Count,
}

/// The columns as Arrow has them.
pub(super) fn schema() -> ArrowSchema {
    let field = |(name, kind): (&str, Kind)| {
        let data = match kind {
            Kind::Text => ArrowDataType::Utf8View,
            Kind::Instant => ArrowDataType::Int64,
            Kind::Count => ArrowDataType::UInt32,
        };
        (name.into(), Field::new(name.into(), data, name == "tokens"))
    };
    COLUMNS.into_iter().map(field).collect()
}

/// The events of many requests; a request's events are contiguous.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Events {
    /// In the order of the file: whose events, and which rows.
    pub requests: Vec<(String, Range<usize>)>,
    pub stamp_lo_unix_ns: Vec<i64>,
    pub stamp_hi_unix_ns: Vec<i64>,
    pub user_unix_ns: Vec<i64>,
    pub events_in_read: Vec<u32>,
    pub tokens: Vec<Option<u32>>,
    pub bytes: Vec<u32>,
    by_id: HashMap<String, usize>,
}

/// Rows of some events: of each column as many.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    pub stamp_lo_unix_ns: &'a [i64],
    pub stamp_hi_unix_ns: &'a [i64],
    pub user_unix_ns: &'a [i64],
    pub events_in_read: &'a [u32],
    pub tokens: &'a [Option<u32>],
    pub bytes: &'a [u32],
}

impl Events {
    pub fn len(&self) -> usize {
        self.stamp_hi_unix_ns.len()
    }

    pub fn is_empty(&self) -> bool {
        self.stamp_hi_unix_ns.is_empty()
    }

    /// The rows of one request.
    pub fn of(&self, request_id: &str) -> Option<Range<usize>> {
        self.by_id.get(request_id).and_then(|&i| self.requests.get(i)).map(|(_, rows)| rows.clone())
    }

    /// Some rows, as they lie.
    pub fn part(&self, rows: &Range<usize>) -> Part<'_> {
        Part {
            stamp_lo_unix_ns: part(&self.stamp_lo_unix_ns, rows),
            stamp_hi_unix_ns: part(&self.stamp_hi_unix_ns, rows),
            user_unix_ns: part(&self.user_unix_ns, rows),
            events_in_read: part(&self.events_in_read, rows),
            tokens: part(&self.tokens, rows),
            bytes: part(&self.bytes, rows),
        }
    }

    /// Appends what lies elsewhere.
    pub fn extend(&mut self, request_id: &str, of: Part<'_>) {
        let begin = self.len();
        self.stamp_lo_unix_ns.extend_from_slice(of.stamp_lo_unix_ns);
        self.stamp_hi_unix_ns.extend_from_slice(of.stamp_hi_unix_ns);
        self.user_unix_ns.extend_from_slice(of.user_unix_ns);
        self.events_in_read.extend_from_slice(of.events_in_read);
        self.tokens.extend_from_slice(of.tokens);
        self.bytes.extend_from_slice(of.bytes);
        self.claim(request_id, begin..self.len());
    }

    /// Nothing, with the room that there was.
    pub fn clear(&mut self) {
        self.requests.clear();
        self.by_id.clear();
        self.stamp_lo_unix_ns.clear();
        self.stamp_hi_unix_ns.clear();
        self.user_unix_ns.clear();
        self.events_in_read.clear();
        self.tokens.clear();
        self.bytes.clear();
    }

    /// What is left without the first rows.
    #[must_use]
    pub(super) fn without_first(&self, n: usize) -> Self {
        let mut rest = Self::default();
        for (id, rows) in &self.requests {
            rest.extend(id, self.part(&(rows.start.max(n)..rows.end)));
        }
        rest
    }

    /// All of them, one by one: of a few requests.
    pub fn rows(&self) -> Vec<EventRow> {
        (0..self.len()).filter_map(|n| self.row(n)).collect()
    }

    /// One event by its row.
    pub fn row(&self, n: usize) -> Option<EventRow> {
        Some(EventRow {
            stamp_lo_unix_ns: UnixNs(*self.stamp_lo_unix_ns.get(n)?),
            stamp_hi_unix_ns: UnixNs(*self.stamp_hi_unix_ns.get(n)?),
            user_unix_ns: UnixNs(*self.user_unix_ns.get(n)?),
            events_in_read: *self.events_in_read.get(n)?,
            tokens: *self.tokens.get(n)?,
            bytes: *self.bytes.get(n)?,
        })
    }

    /// Appends a request's events.
    pub fn push(&mut self, finished: &Finished) {
        let begin = self.len();
        let events = finished.events.iter();
        self.stamp_lo_unix_ns.extend(events.clone().map(|e| e.stamp_lo_unix_ns.0));
        self.stamp_hi_unix_ns.extend(events.clone().map(|e| e.stamp_hi_unix_ns.0));
        self.user_unix_ns.extend(events.clone().map(|e| e.user_unix_ns.0));
        self.events_in_read.extend(events.clone().map(|e| e.events_in_read));
        self.tokens.extend(events.clone().map(|e| e.tokens));
        self.bytes.extend(events.map(|e| e.bytes));
        self.claim(&finished.row.request_id, begin..self.len());
    }

    /// Notes whose rows these are; rows that follow on from the same request's are one range.
    pub(super) fn claim(&mut self, request_id: &str, rows: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        if let Some((last, range)) = self.requests.last_mut()
            && last == request_id
            && range.end == rows.start
        {
            range.end = rows.end;
            return;
        }
        self.by_id.insert(request_id.to_owned(), self.requests.len());
        self.requests.push((request_id.to_owned(), rows));
    }

    /// Appends a batch of a stream.
    pub(super) fn push_batch(&mut self, batch: &RecordBatchT<Box<dyn Array>>) -> Result<()> {
        let [ids, lo, hi, user, in_read, tokens, bytes] = batch.arrays() else {
            bail!("expected {} columns, found {}", COLUMNS.len(), batch.width());
        };
        let ids = downcast::<Utf8ViewArray>(ids.as_ref(), "request_id")?;
        // Written, an id lies there once for all of a request's events, or in its view.
        let mut id_bytes = ids.total_buffer_len();
        let begin = self.len();
        self.stamp_lo_unix_ns.extend_from_slice(instants(lo.as_ref(), "stamp_lo_unix_ns")?);
        self.stamp_hi_unix_ns.extend_from_slice(instants(hi.as_ref(), "stamp_hi_unix_ns")?);
        self.user_unix_ns.extend_from_slice(instants(user.as_ref(), "user_unix_ns")?);
        self.events_in_read.extend_from_slice(counts(in_read.as_ref(), "events_in_read")?.values());
        self.tokens.extend(counts(tokens.as_ref(), "tokens")?.iter().map(Option::<&u32>::copied));
        self.bytes.extend_from_slice(counts(bytes.as_ref(), "bytes")?.values());
        let mut first = 0;
        while first < ids.len() {
            let id = ids.value(first);
            let run = (first + 1..ids.len()).find(|&i| ids.value(i) != id).unwrap_or(ids.len());
            if id.len() > View::MAX_INLINE_SIZE as usize {
                let left = id_bytes.checked_sub(id.len());
                id_bytes = left.context("its request ids are longer than what is there of them")?;
            }
            self.claim(id, begin + first..begin + run);
            first = run;
        }
        Ok(())
    }

    /// The `request_id` column, one entry an event.
    pub(super) fn id_column(&self) -> Utf8ViewArray {
        let mut ids = MutableBinaryViewArray::<str>::with_capacity(self.len());
        for (id, rows) in &self.requests {
            ids.extend_constant(rows.len(), Some(id));
        }
        ids.freeze()
    }
}

fn downcast<'a, T: 'static>(array: &'a dyn Array, column: &str) -> Result<&'a T> {
    let found = array.dtype();
    array.as_any().downcast_ref().with_context(|| format!("column {column} has the type {found:?}"))
}

fn instants<'a>(array: &'a dyn Array, column: &str) -> Result<&'a [i64]> {
    Ok(downcast::<PrimitiveArray<i64>>(array, column)?.values().as_slice())
}

fn counts<'a>(array: &'a dyn Array, column: &str) -> Result<&'a UInt32Array> {
    downcast(array, column)
}

fn part<'a, T>(column: &'a [T], rows: &Range<usize>) -> &'a [T] {
    column.get(rows.clone()).unwrap_or_default()
}
