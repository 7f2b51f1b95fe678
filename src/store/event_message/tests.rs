//! Damage of each kind to a stream as it was written, and any: what is said, and what is still read.

use proptest::prelude::*;

use super::super::RunEvents;
use super::super::event_stream::{EventEncoder, Torn};
use super::*;
use crate::record::fixture::finished;

/// A header, two batches of 11 events each, and the end: with what the second begins.
struct Stream {
    bytes: Vec<u8>,
    second: usize,
}

impl Stream {
    fn new() -> Self {
        let mut encoder = EventEncoder::new();
        let mut bytes = encoder.header().unwrap().to_vec();
        bytes.extend_from_slice(encoder.batch(&[finished(0)]).unwrap());
        let second = bytes.len();
        // An id that does not fit into a view: texts have a buffer.
        let mut long = finished(1);
        long.row.request_id = "a-request-with-a-long-name".to_owned();
        bytes.extend_from_slice(encoder.batch(&[long]).unwrap());
        bytes.extend_from_slice(encoder.end().unwrap());
        Self { bytes, second }
    }

    /// The second batch's metadata.
    fn metadata(&self) -> &[u8] {
        metadata_at(&self.bytes, self.second)
    }

    fn body(&self) -> u64 {
        body_bytes(self.metadata()).unwrap()
    }

    /// Where the second batch's nodes lie: a column's rows, and how many values it lacks.
    fn nodes(&self) -> Vec<usize> {
        let end = self.second + PREFIX + self.metadata().len();
        let is_node = |at: &usize| (0..=1).any(|missing| self.bytes[*at..].starts_with(&pair(11, missing)));
        let nodes: Vec<usize> = (self.second..end).filter(is_node).collect();
        assert_eq!(nodes.len(), COLUMNS.len());
        nodes
    }

    /// Puts `new` for `old` where that stands in the second batch's metadata: in one place.
    fn put(&mut self, old: &[u8], new: &[u8]) {
        assert_eq!(old.len(), new.len());
        let end = self.second + PREFIX + self.metadata().len();
        let places: Vec<usize> = (self.second..end).filter(|&at| self.bytes[at..].starts_with(old)).collect();
        let [at] = places[..] else { panic!("found at {places:?}") };
        self.bytes[at..at + new.len()].copy_from_slice(new);
    }

    /// The first batch is read, and what is said of the second.
    fn told(&self) -> String {
        let read = RunEvents::from_bytes(&self.bytes).unwrap();
        assert_eq!((read.len(), read.count_of("r-0000")), (11, 11));
        let Torn { bytes, reason } = read.torn.unwrap();
        assert_eq!(bytes as usize, self.bytes.len() - self.second);
        reason
    }
}

fn metadata_at(bytes: &[u8], at: usize) -> &[u8] {
    let begin = at + PREFIX;
    let length = metadata_bytes(&bytes[at..begin]).unwrap() as usize;
    &bytes[begin..begin + length]
}

fn batch_of(metadata: &[u8]) -> RecordBatchRef<'_> {
    let MessageHeaderRef::RecordBatch(batch) = header(metadata).unwrap() else { panic!() };
    batch
}

/// Two numbers as they lie in nodes and buffers.
fn pair(first: i64, second: i64) -> Vec<u8> {
    [first.to_le_bytes(), second.to_le_bytes()].concat()
}

/// Buffer `n` of the second batch.
fn buffer(stream: &Stream, n: usize) -> (i64, i64) {
    let batch = batch_of(stream.metadata());
    let buffers = batch.buffers().unwrap().unwrap();
    buffers.iter().map(|b| (b.offset(), b.length())).nth(n).unwrap()
}

#[test]
fn a_stream_as_it_was_written_is_believed() {
    let stream = Stream::new();
    let read = RunEvents::from_bytes(&stream.bytes).unwrap();
    assert_eq!((read.len(), read.torn), (22, None));
    check_batch(stream.metadata(), stream.body()).unwrap();
}

#[test]
fn a_length_of_metadata_that_is_not_there() {
    for (length, said) in [
        (i32::MAX, "the last batch is cut"),
        (-5, "a message has -5 bytes of metadata"),
        (0, "the stream's end is marked there"),
    ] {
        let mut stream = Stream::new();
        let at = stream.second + 4;
        stream.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
        assert_eq!(stream.told(), said);
    }
    let mut stream = Stream::new();
    stream.bytes[stream.second] = 0;
    assert_eq!(stream.told(), "no message begins there");
}

#[test]
fn a_length_of_data_that_is_not_there() {
    for (length, said) in
        [(1 << 40, "the last batch is cut"), (i64::MIN, "a message has -9223372036854775808 bytes of data")]
    {
        let mut stream = Stream::new();
        let body = stream.body().cast_signed();
        stream.put(&body.to_le_bytes(), &i64::to_le_bytes(length));
        assert_eq!(stream.told(), said);
    }
}

/// The instants' second column: its known values, then its values, each 11 of 8 bytes.
#[test]
fn a_buffer_that_is_not_in_the_data() {
    let (offset, length) = buffer(&Stream::new(), 4);
    assert_eq!(length, 88);
    for (new, said) in [
        ((offset, 1 << 40), "1099511627776 bytes at 128 of 832 bytes of data"),
        ((1 << 50, length), "88 bytes at 1125899906842624 of 832 bytes of data"),
        ((i64::MAX, i64::MAX), "9223372036854775807 bytes at 9223372036854775807 of 832 bytes of data"),
        ((offset, -1), "-1 bytes at 128 of 832 bytes of data"),
        ((0, 832), "parts that are longer than the 832 bytes of data"),
        ((offset, 87), "11 rows, and 87 bytes of stamp_lo_unix_ns"),
    ] {
        let mut stream = Stream::new();
        let told = said.replace("at 128", &format!("at {offset}")).replace("832", &stream.body().to_string());
        let new = if new == (0, 832) { (0, stream.body().cast_signed()) } else { new };
        stream.put(&pair(offset, length), &pair(new.0, new.1));
        assert_eq!(stream.told(), told);
    }
}

#[test]
fn rows_that_the_data_has_no_room_for() {
    let mut stream = Stream::new();
    let nodes = stream.nodes();
    stream.bytes[nodes[3]..][..8].copy_from_slice(&(1_i64 << 60).to_le_bytes());
    assert_eq!(stream.told(), "11 rows, and 1152921504606846976 of user_unix_ns");

    let mut stream = Stream::new();
    for at in stream.second..stream.bytes.len() - 8 {
        // All of them, and the batch's own.
        if stream.bytes[at..].starts_with(&11_i64.to_le_bytes()) {
            stream.bytes[at..at + 8].copy_from_slice(&(1_i64 << 60).to_le_bytes());
        }
    }
    assert_eq!(stream.told(), "1152921504606846976 rows, and 176 bytes of request_id");
}

#[test]
fn values_that_cannot_be_missing() {
    for (column, nulls, said) in
        [(0, 3, "3 of 11 values of request_id are missing"), (5, 12, "12 of 11 values of tokens are missing")]
    {
        let mut stream = Stream::new();
        let nodes = stream.nodes();
        stream.bytes[nodes[column] + 8..][..8].copy_from_slice(&i64::to_le_bytes(nulls));
        assert_eq!(stream.told(), said);
    }
    // Which tokens are known: one bit each.
    let mut stream = Stream::new();
    let (offset, length) = buffer(&stream, 11);
    assert_eq!(length, 2);
    stream.put(&pair(offset, length), &pair(offset, 1));
    assert_eq!(stream.told(), "11 rows, and 1 bytes of which tokens are known");
}

#[test]
fn texts_of_which_there_are_more_than_buffers() {
    let mut stream = Stream::new();
    let batch = batch_of(stream.metadata());
    let counts: Vec<i64> = batch.variadic_buffer_counts().unwrap().unwrap().iter().collect();
    assert_eq!(counts, [1]);
    // A vector of one: its length, and the number.
    let written = [1_u32.to_le_bytes().as_slice(), &1_i64.to_le_bytes()].concat();
    let changed = [1_u32.to_le_bytes().as_slice(), &i64::MAX.to_le_bytes()].concat();
    stream.put(&written, &changed);
    assert_eq!(stream.told(), "expected 1 buffers of texts, found [9223372036854775807]");
}

/// Every other row has the other of two ids which share their bytes: each run would have its own copy.
#[test]
fn ids_that_are_one_over_another() {
    let mut stream = Stream::new();
    let id = b"a-request-with-a-long-name";
    let view =
        [26_u32.to_le_bytes().as_slice(), b"a-re", &0_u32.to_le_bytes(), &0_u32.to_le_bytes()].concat();
    let shorter =
        [20_u32.to_le_bytes().as_slice(), b"a-re", &0_u32.to_le_bytes(), &0_u32.to_le_bytes()].concat();
    let views: Vec<usize> = (stream.second..stream.bytes.len() - 16)
        .filter(|&at| stream.bytes[at..].starts_with(&view))
        .collect();
    assert_eq!((views.len(), id.len()), (11, 26));
    for at in views.iter().step_by(2) {
        stream.bytes[*at..at + 16].copy_from_slice(&shorter);
    }
    assert_eq!(stream.told(), "its request ids are longer than what is there of them");
}

#[test]
fn another_header_is_an_error_in_words() {
    let written = Stream::new();
    let mut stream = Stream::new();
    let at = stream.bytes.windows(8).position(|bytes| bytes == b"user_uni").unwrap();
    stream.bytes[at] = b'v';
    let header = metadata_at(&stream.bytes, 0).to_vec();
    let error = check_schema(&header).unwrap_err().to_string();
    assert!(
        error.starts_with("expected the columns [\"request_id\"") && error.contains("\"vser_unix_ns\""),
        "{error}"
    );
    assert!(check_schema(written.metadata()).unwrap_err().to_string().contains("found another message"));
    assert!(
        check_batch(metadata_at(&written.bytes, 0), 0).unwrap_err().to_string().contains("another message")
    );
}

/// What polars would ask for to read this message, by its own reading of it.
fn asked_for(metadata: &[u8]) -> u64 {
    let batch = batch_of(metadata);
    let rows = batch.nodes().unwrap().unwrap().iter().map(|node| node.length()).max().unwrap();
    let buffers = batch.buffers().unwrap().unwrap();
    let buffers = buffers.iter().map(|b| u64::try_from(b.length()).unwrap()).sum::<u64>();
    buffers.max(u64::try_from(rows).unwrap() * VIEW_BYTES) + metadata.len() as u64
}

/// However a stream is changed: no panic, no message that is believed and asks for more than the file is long, and no
/// more events than there is room for.
fn holds(bytes: &[u8]) {
    let Ok(read) = RunEvents::from_bytes(bytes) else { return };
    assert!(read.len() * 52 <= bytes.len(), "{} events", read.len());
    let whole = read.whole().unwrap();
    assert!(whole.requests.iter().map(|(id, _)| id.len()).sum::<usize>() <= bytes.len());
    let mut at = 0;
    while let Some(prefix) = bytes.get(at..at + PREFIX) {
        let Some(length) = metadata_bytes(prefix).ok().filter(|length| *length > 0) else { break };
        let Some(metadata) = bytes.get(at + PREFIX..at + PREFIX + length as usize) else { break };
        let Ok(body) = body_bytes(metadata) else { break };
        if at > 0 {
            if check_batch(metadata, body).is_err() {
                break;
            }
            assert!(asked_for(metadata) <= length + body);
        }
        let Some(end) = (at + PREFIX + length as usize).checked_add(body as usize) else { break };
        at = end;
    }
}

/// Every byte, and every value of those that matter most: of a number, its highest and its lowest.
#[test]
fn any_byte_may_be_another() {
    let stream = Stream::new();
    for at in 0..stream.bytes.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut bytes = stream.bytes.clone();
            bytes[at] = value;
            holds(&bytes);
        }
    }
}

proptest! {
    #[test]
    fn many_bytes_may_be_others(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20)) {
        let mut bytes = Stream::new().bytes;
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        holds(&bytes);
    }

    #[test]
    fn parts_may_be_numbers(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<i64>()), 1..4), narrow: bool) {
        let mut bytes = Stream::new().bytes;
        for (at, value) in changes {
            let at = at.index(bytes.len() / 4 - 2) * 4;
            let value = if narrow { value >> 40 } else { value };
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        }
        holds(&bytes);
    }
}
