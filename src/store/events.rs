//! Token events, columnar: millions of them, so that they are never one struct each. Written as
//! batches of an Arrow IPC stream, read back up to the last whole batch, and turned into
//! `events.parquet`. This file must not know what a gap between two events means.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use polars_arrow::array::{Array, MutableBinaryViewArray, PrimitiveArray, UInt32Array, Utf8ViewArray};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field};
use polars_arrow::io::ipc::read::{StreamReader, StreamState, read_stream_metadata};
use polars_arrow::io::ipc::write::{
    EncodedData, WriteOptions, common_sync, default_ipc_fields, encode_record_batch, schema_to_bytes,
};
use polars_arrow::record_batch::RecordBatchT;

use super::guard::guarded;
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
    /// Bytes after the last whole batch: the file was cut while one was being written.
    pub torn_bytes: u64,
    /// Why reading stopped there.
    pub torn_reason: Option<String>,
    by_id: HashMap<String, usize>,
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

    /// Gaps between the events of each of these requests, pooled, in the order of time: what one step of
    /// the server gave to all of its requests stands together.
    pub fn gaps_s<'a>(&self, ids: impl Iterator<Item = &'a str>) -> Vec<f64> {
        let mut gaps: Vec<(i64, i64)> = Vec::with_capacity(self.len());
        for rows in ids.filter_map(|id| self.of(id)) {
            let stamps = self.stamp_hi_unix_ns.get(rows).unwrap_or_default();
            gaps.extend(stamps.windows(2).filter_map(|w| match w {
                // Of a file that is damaged they can be any numbers.
                [a, b] => Some((*b, b.saturating_sub(*a))),
                _ => None,
            }));
        }
        gaps.sort_unstable();
        gaps.into_iter().map(|(_, gap)| gap as f64 / 1e9).collect()
    }

    /// The events of some requests.
    #[must_use]
    pub fn only(&self, keep: impl Fn(&str) -> bool) -> Self {
        let mut kept =
            Self { torn_bytes: self.torn_bytes, torn_reason: self.torn_reason.clone(), ..Self::default() };
        for (id, rows) in self.requests.iter().filter(|(id, _)| keep(id)) {
            let begin = kept.len();
            kept.stamp_lo_unix_ns.extend_from_slice(part(&self.stamp_lo_unix_ns, rows));
            kept.stamp_hi_unix_ns.extend_from_slice(part(&self.stamp_hi_unix_ns, rows));
            kept.user_unix_ns.extend_from_slice(part(&self.user_unix_ns, rows));
            kept.events_in_read.extend_from_slice(part(&self.events_in_read, rows));
            kept.tokens.extend_from_slice(part(&self.tokens, rows));
            kept.bytes.extend_from_slice(part(&self.bytes, rows));
            kept.claim(id, begin..kept.len());
        }
        kept
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
        for e in &finished.events {
            self.stamp_lo_unix_ns.push(e.stamp_lo_unix_ns.0);
            self.stamp_hi_unix_ns.push(e.stamp_hi_unix_ns.0);
            self.user_unix_ns.push(e.user_unix_ns.0);
            self.events_in_read.push(e.events_in_read);
            self.tokens.push(e.tokens);
            self.bytes.push(e.bytes);
        }
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

    /// Reads an event stream up to its last whole batch. A file that does not begin like one is an
    /// error; one that ends in the middle is not.
    pub fn read_stream(path: &Path) -> Result<Self> {
        let cannot = || format!("cannot read {}", path.display());
        let mut file = File::open(path).with_context(cannot)?;
        let length = file.metadata().with_context(cannot)?.len();
        let mut last = [0; END_OF_STREAM.len()];
        if length >= last.len() as u64 {
            file.seek(SeekFrom::Start(length - last.len() as u64)).with_context(cannot)?;
            file.read_exact(&mut last).with_context(cannot)?;
            file.rewind().with_context(cannot)?;
        }
        Self::from_reader(BufReader::with_capacity(READ_AT_ONCE, file), length, last == END_OF_STREAM)
            .with_context(|| format!("{} is not an event stream of tare", path.display()))
    }

    /// As `read_stream`, from memory.
    pub fn from_stream(bytes: &[u8]) -> Result<Self> {
        Self::from_reader(Cursor::new(bytes), bytes.len() as u64, bytes.ends_with(&END_OF_STREAM))
    }

    /// From a stream of so many bytes, that end with the mark of a stream's end or do not.
    fn from_reader(source: impl Read + Seek, length: u64, has_end: bool) -> Result<Self> {
        let mut events = Self::default();
        if length == 0 {
            return Ok(events); // killed before the header was written
        }
        let position = std::rc::Rc::new(std::cell::Cell::new(0));
        let mut source = Counted { inner: source, position: position.clone() };
        let metadata = match guarded(|| Ok(read_stream_metadata(&mut source)?)) {
            Ok(metadata) => metadata,
            Err(_) if length < HEADER_AT_MOST => {
                events.torn_bytes = length;
                events.torn_reason = Some("the stream's header is cut".to_owned());
                return Ok(events);
            }
            Err(e) => return Err(e),
        };
        let found: Vec<&str> = metadata.schema.iter_names().map(AsRef::as_ref).collect();
        let expected: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        ensure!(found == expected, "expected the columns {expected:?}, found {found:?}");
        let mut whole = position.get();
        let mut batches = StreamReader::new(source, metadata, None);
        loop {
            match guarded(|| Ok(batches.next().transpose()?)) {
                Ok(Some(StreamState::Some(batch))) => events.push_batch(&batch)?,
                Ok(Some(StreamState::Waiting) | None) => break,
                Err(e) => {
                    events.torn_reason = Some(e.to_string());
                    break;
                }
            }
            whole = position.get();
        }
        let rest = length - whole.min(length);
        let ended = rest == END_OF_STREAM.len() as u64 && has_end;
        events.torn_bytes = if ended { 0 } else { rest };
        if events.torn_bytes > 0 && events.torn_reason.is_none() {
            events.torn_reason = Some("the last batch is cut".to_owned());
        }
        Ok(events)
    }

    fn push_batch(&mut self, batch: &RecordBatchT<Box<dyn Array>>) -> Result<()> {
        let [ids, lo, hi, user, in_read, tokens, bytes] = batch.arrays() else {
            bail!("expected {} columns, found {}", COLUMNS.len(), batch.width());
        };
        let ids = downcast::<Utf8ViewArray>(ids.as_ref(), "request_id")?;
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

/// No header of this schema is longer; a shorter file whose header does not parse was cut in it.
const HEADER_AT_MOST: u64 = 4096;
/// A batch of events is some tens of kilobytes.
const READ_AT_ONCE: usize = 1 << 20;
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Encodes batches of events for the append stream.
pub struct EventEncoder {
    schema: Arc<ArrowSchema>,
    message: EncodedData,
    buffer: Vec<u8>,
}

impl EventEncoder {
    pub fn new() -> Result<Self> {
        let field = |(name, kind): (&str, Kind)| {
            let data = match kind {
                Kind::Text => ArrowDataType::Utf8View,
                Kind::Instant => ArrowDataType::Int64,
                Kind::Count => ArrowDataType::UInt32,
            };
            (name.into(), Field::new(name.into(), data, name == "tokens"))
        };
        let schema = COLUMNS.into_iter().map(field).collect();
        Ok(Self { schema: Arc::new(schema), message: EncodedData::default(), buffer: Vec::new() })
    }

    /// The stream's first message.
    pub fn header(&mut self) -> Result<&[u8]> {
        let fields = default_ipc_fields(self.schema.iter_values());
        let header =
            EncodedData { ipc_message: schema_to_bytes(&self.schema, &fields, None), arrow_data: Vec::new() };
        self.buffer.clear();
        common_sync::write_message(&mut self.buffer, &header)?;
        Ok(&self.buffer)
    }

    /// One batch with all events of these requests.
    pub fn batch<F: Borrow<Finished>>(&mut self, finished: &[F]) -> Result<&[u8]> {
        let mut events = Events::default();
        for f in finished {
            events.push(f.borrow());
        }
        let n = events.len();
        let arrays: Vec<Box<dyn Array>> = vec![
            Box::new(events.id_column()),
            Box::new(PrimitiveArray::from_vec(events.stamp_lo_unix_ns)),
            Box::new(PrimitiveArray::from_vec(events.stamp_hi_unix_ns)),
            Box::new(PrimitiveArray::from_vec(events.user_unix_ns)),
            Box::new(PrimitiveArray::from_vec(events.events_in_read)),
            Box::new(UInt32Array::from(events.tokens)),
            Box::new(PrimitiveArray::from_vec(events.bytes)),
        ];
        let batch = RecordBatchT::try_new(n, self.schema.clone(), arrays)?;
        encode_record_batch(&batch, &WriteOptions::default(), &mut self.message);
        self.buffer.clear();
        common_sync::write_message(&mut self.buffer, &self.message)?;
        Ok(&self.buffer)
    }

    /// The mark that the stream ended in order.
    pub fn end(&mut self) -> Result<&[u8]> {
        self.buffer.clear();
        common_sync::write_continuation(&mut self.buffer, 0)?;
        Ok(&self.buffer)
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

/// A reader that tells from outside how far it has come.
struct Counted<R> {
    inner: R,
    position: std::rc::Rc<std::cell::Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.position.set(self.position.get() + n as u64);
        Ok(n)
    }
}

impl<R: Read + Seek> Seek for Counted<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            // Within what was read ahead, which a seek to a place of the file would throw away.
            SeekFrom::Current(by) => {
                self.inner.seek_relative(by)?;
                self.position.get().saturating_add_signed(by)
            }
            place => self.inner.seek(place)?,
        };
        self.position.set(at);
        Ok(at)
    }

    fn seek_relative(&mut self, by: i64) -> std::io::Result<()> {
        self.seek(SeekFrom::Current(by)).map(drop)
    }

    fn stream_position(&mut self) -> std::io::Result<u64> {
        Ok(self.position.get())
    }
}

fn part<'a, T>(column: &'a [T], rows: &Range<usize>) -> &'a [T] {
    column.get(rows.clone()).unwrap_or_default()
}
