//! The append stream of token events: batches of an Arrow IPC stream, each with all events of some requests,
//! readable up to the last whole one. This file must not know who reads them, nor what they mean.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::io::{Read, Seek, SeekFrom};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Result, ensure};
use polars_arrow::array::{Array, PrimitiveArray, UInt32Array};
use polars_arrow::datatypes::ArrowSchema;
use polars_arrow::io::ipc::read::{StreamReader, StreamState, read_stream_metadata};
use polars_arrow::io::ipc::write::{
    EncodedData, WriteOptions, common_sync, default_ipc_fields, encode_record_batch, schema_to_bytes,
};
use polars_arrow::record_batch::RecordBatchT;

use super::events::{COLUMNS, Events, schema};
use super::guard::guarded;
use crate::record::Finished;

/// No header of this schema is longer; a shorter file whose header does not parse was cut in it.
const HEADER_AT_MOST: u64 = 4096;
pub(super) const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// A file that was cut while something was being written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Torn {
    /// After the last whole batch.
    pub bytes: u64,
    /// Why reading stopped there.
    pub reason: String,
}

/// The whole batches of a stream, one after the other.
pub(super) struct Batches<R: Read + Seek> {
    reader: Option<StreamReader<Counted<R>>>,
    /// The reader's own.
    source: Counted<R>,
    /// Where the last whole batch ended.
    whole: u64,
    length: u64,
    has_end: bool,
    stopped: Option<String>,
}

impl<R: Read + Seek> Batches<R> {
    /// Of a stream of so many bytes, which end with the mark of a stream's end or do not. What does not begin like
    /// an event stream is an error; what ends in the middle is not.
    pub(super) fn new(source: R, length: u64, has_end: bool) -> Result<Self> {
        let source = Counted { inner: Rc::new(RefCell::new(source)), position: Rc::default() };
        let mut batches = Self { reader: None, source, whole: 0, length, has_end, stopped: None };
        if length == 0 {
            return Ok(batches); // killed before the header was written
        }
        let metadata = match guarded(|| Ok(read_stream_metadata(&mut batches.source)?)) {
            Ok(metadata) => metadata,
            Err(_) if length < HEADER_AT_MOST => {
                batches.stopped = Some("the stream's header is cut".to_owned());
                return Ok(batches);
            }
            Err(e) => return Err(e),
        };
        let found: Vec<&str> = metadata.schema.iter_names().map(AsRef::as_ref).collect();
        let expected: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
        ensure!(found == expected, "expected the columns {expected:?}, found {found:?}");
        batches.whole = batches.source.position.get();
        batches.reader = Some(StreamReader::new(batches.source.clone(), metadata, None));
        Ok(batches)
    }

    /// Where the next batch begins.
    pub(super) fn place(&self) -> u64 {
        self.whole
    }

    /// Goes to where a batch begins.
    pub(super) fn go_to(&mut self, place: u64) -> Result<()> {
        if place != self.whole {
            self.source.seek(SeekFrom::Start(place))?;
            self.whole = place;
        }
        Ok(())
    }

    /// The next batch in place of what `events` held; false behind the last whole one.
    pub(super) fn next(&mut self, events: &mut Events) -> Result<bool> {
        events.clear();
        match guarded(|| Ok(self.reader.as_mut().and_then(Iterator::next).transpose()?)) {
            Ok(Some(StreamState::Some(batch))) => {
                events.push_batch(&batch)?;
                self.whole = self.source.position.get();
                return Ok(true);
            }
            Err(e) => self.stopped = Some(e.to_string()),
            Ok(Some(StreamState::Waiting) | None) => {}
        }
        Ok(false)
    }

    /// What is behind the last whole batch, once that was read.
    pub(super) fn torn(self) -> Option<Torn> {
        let bytes = self.length - self.whole.min(self.length);
        let is_end = self.has_end && bytes == END_OF_STREAM.len() as u64;
        let reason = self.stopped.unwrap_or_else(|| "the last batch is cut".to_owned());
        (bytes > 0 && !is_end).then_some(Torn { bytes, reason })
    }
}

/// Encodes batches of events for the append stream.
pub struct EventEncoder {
    schema: Arc<ArrowSchema>,
    message: EncodedData,
    buffer: Vec<u8>,
}

impl EventEncoder {
    pub fn new() -> Self {
        Self { schema: Arc::new(schema()), message: EncodedData::default(), buffer: Vec::new() }
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

/// A reader that tells from outside how far it has come, and can be sent elsewhere from there.
struct Counted<R> {
    inner: Rc<RefCell<R>>,
    position: Rc<Cell<u64>>,
}

impl<R> Clone for Counted<R> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), position: self.position.clone() }
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        let n = self.inner.borrow_mut().read(buf)?;
        self.position.set(self.position.get() + n as u64);
        Ok(n)
    }
}

impl<R: Read + Seek> Seek for Counted<R> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        let at = match to {
            // Within what was read ahead, which a seek to a place of the file would throw away.
            SeekFrom::Current(by) => {
                self.inner.borrow_mut().seek_relative(by)?;
                self.position.get().saturating_add_signed(by)
            }
            place => self.inner.borrow_mut().seek(place)?,
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
