//! The append stream of token events: batches of an Arrow IPC stream, each with all events of some requests,
//! readable up to the last whole one. A message is read whole, and held against its own lengths
//! (`event_message`), before polars sees it. This file must not know who reads them, nor what they mean.

use std::borrow::Borrow;
use std::cell::RefCell;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use polars_arrow::array::{Array, PrimitiveArray, UInt32Array};
use polars_arrow::datatypes::ArrowSchema;
use polars_arrow::io::ipc::read::{StreamReader, StreamState, read_stream_metadata};
use polars_arrow::io::ipc::write::{
    EncodedData, WriteOptions, common_sync, default_ipc_fields, encode_record_batch, schema_to_bytes,
};
use polars_arrow::record_batch::RecordBatchT;

use super::event_message::{self, PREFIX};
use super::events::{Events, schema};
use super::guard::guarded;
use crate::record::Finished;

/// No header of this schema is longer; a shorter file whose header does not parse was cut in it.
const HEADER_AT_MOST: u64 = 4096;
pub(super) const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
const CUT: &str = "the last batch is cut";

/// A file that was cut while something was being written, or damaged afterwards.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Torn {
    /// After the last whole batch.
    pub bytes: u64,
    /// Why reading stopped there.
    pub reason: String,
}

/// The whole batches of a stream, one after the other.
pub(super) struct Batches<R: Read + Seek> {
    source: R,
    /// Where it is, if that is known.
    at: Option<u64>,
    /// Where the last whole batch ended.
    whole: u64,
    length: u64,
    has_end: bool,
    /// Nothing of the stream can be read.
    headless: bool,
    stopped: Option<String>,
    message: Message,
    reader: StreamReader<Message>,
}

impl<R: Read + Seek> Batches<R> {
    /// Of a stream of so many bytes, which end with the mark of a stream's end or do not. What does not begin like
    /// an event stream is an error; what ends in the middle is not.
    pub(super) fn new(source: R, length: u64, has_end: bool) -> Result<Self> {
        // What is in the file is only compared with the columns that there are.
        let columns = read_stream_metadata(&mut EventEncoder::new().header()?)?;
        let message = Message::default();
        let reader = StreamReader::new(message.clone(), columns, None);
        let mut batches = Self {
            source,
            at: Some(0),
            whole: 0,
            length,
            has_end,
            headless: false,
            stopped: None,
            message,
            reader,
        };
        if length == 0 {
            return Ok(batches); // killed before the header was written
        }
        match batches.load(HEADER_AT_MOST, |metadata, _| event_message::check_schema(metadata)) {
            Ok(true) => batches.whole = batches.at.unwrap_or(length),
            Ok(false) => bail!("expected columns, found the end of a stream"),
            Err(_) if length < HEADER_AT_MOST => {
                batches.headless = true;
                batches.stopped = Some("the stream's header is cut".to_owned());
            }
            Err(e) => return Err(e),
        }
        Ok(batches)
    }

    /// Where the next batch begins.
    pub(super) fn place(&self) -> u64 {
        self.whole
    }

    /// Goes to where a batch begins.
    pub(super) fn go_to(&mut self, place: u64) {
        self.whole = place;
    }

    /// The next batch in place of what `events` held; false behind the last whole one.
    pub(super) fn next(&mut self, events: &mut Events) -> bool {
        events.clear();
        if self.headless || self.whole >= self.length {
            return false;
        }
        match self.read_batch(events) {
            Ok(is_there) => is_there,
            Err(e) => {
                events.clear();
                self.stopped = Some(format!("{e:#}"));
                false
            }
        }
    }

    fn read_batch(&mut self, events: &mut Events) -> Result<bool> {
        if !self.load(u64::MAX, event_message::check_batch)? {
            return Ok(false);
        }
        let read = guarded(|| Ok(self.reader.next().transpose()?))?;
        let Some(StreamState::Some(batch)) = read else { bail!("a batch is damaged") };
        events.push_batch(&batch)?;
        self.whole = self.at.unwrap_or(self.length);
        Ok(true)
    }

    /// The next message, whole, as what polars reads next; false if there is the mark of the stream's end. What it
    /// says of its lengths is `check`ed with its metadata and how much data follows, before that is read.
    fn load(&mut self, at_most: u64, check: impl FnOnce(&[u8], u64) -> Result<()>) -> Result<bool> {
        if self.at.take() != Some(self.whole) {
            self.source.seek(SeekFrom::Start(self.whole))?;
        }
        let room = self.length.saturating_sub(self.whole).min(at_most);
        let mut message = self.message.0.borrow_mut();
        message.set_position(0);
        let bytes = message.get_mut();
        bytes.clear();
        fill(&mut self.source, bytes, PREFIX as u64, room)?;
        let metadata = event_message::metadata_bytes(bytes)?;
        if metadata == 0 {
            if room > PREFIX as u64 {
                self.stopped = Some("the stream's end is marked there".to_owned());
            }
            return Ok(false);
        }
        fill(&mut self.source, bytes, metadata, room)?;
        let metadata = bytes.get(PREFIX..).unwrap_or_default();
        let body = event_message::body_bytes(metadata)?;
        check(metadata, body)?;
        fill(&mut self.source, bytes, body, room)?;
        self.at = Some(self.whole + bytes.len() as u64);
        Ok(true)
    }

    /// What is behind the last whole batch, once that was read.
    pub(super) fn torn(self) -> Option<Torn> {
        let bytes = self.length - self.whole.min(self.length);
        let is_end = self.has_end && bytes == END_OF_STREAM.len() as u64;
        let reason = self.stopped.unwrap_or_else(|| CUT.to_owned());
        (bytes > 0 && !is_end).then_some(Torn { bytes, reason })
    }
}

/// Appends so many bytes of `source` to those of a message that may have `room` in all.
fn fill(source: &mut impl Read, bytes: &mut Vec<u8>, more: u64, room: u64) -> Result<()> {
    ensure!((bytes.len() as u64).checked_add(more).is_some_and(|end| end <= room), CUT);
    bytes.try_reserve(usize::try_from(more)?)?;
    ensure!(source.take(more).read_to_end(bytes)? as u64 == more, CUT);
    Ok(())
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

/// One message in memory, handed to polars' reader.
#[derive(Clone, Default)]
struct Message(Rc<RefCell<Cursor<Vec<u8>>>>);

impl Read for Message {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buf)
    }
}

impl Seek for Message {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.borrow_mut().seek(to)
    }
}
