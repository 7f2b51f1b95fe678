//! `events.parquet`: one row a token-bearing event. A run has millions of them, so that their pages
//! are laid out here and polars' Parquet layer only compresses and files them: to let it look for an
//! encoding of each column takes several times as long. This file must not know what an event means.
//!
//! Stamps and counts are plain little-endian numbers (zstd finds the common high bytes), the request
//! ids a dictionary with run lengths, since a request's events are one run.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use polars_parquet::parquet::CowBuffer;
use polars_parquet::parquet::error::ParquetError;
use polars_parquet::parquet::page::{DataPage, DataPageHeader, DataPageHeaderV1, DictPage};
use polars_parquet::write::{
    CompressionOptions, Compressor, Descriptor, DynIter, DynStreamingIterator, Encoding,
    FallibleStreamingIterator as _, FileWriter, Page, StatisticsOptions, Version, WriteOptions,
    to_parquet_schema,
};

use super::events::{COLUMNS, Events, schema};
use super::folder::replace_file;
use super::guard::guarded;
use super::parquet::ParquetFile;
use super::run_events::RunEvents;

/// Rows of a row group, one page a column: a megabyte of stamps.
const ROW_GROUP: usize = 1 << 17;
const COMPRESSION: CompressionOptions = CompressionOptions::Zstd(None);

/// Writes all events that are in the stream, whichever of them are kept.
pub fn write(path: &Path, events: &RunEvents) -> Result<()> {
    replace_file(path, |file| write_to(file, events))
}

fn write_to(file: impl Write, events: &RunEvents) -> Result<()> {
    let schema = schema();
    let columns = to_parquet_schema(&schema)?;
    let descriptors: Vec<Descriptor> = columns.columns().iter().map(|c| c.descriptor.clone()).collect();
    let options = WriteOptions {
        statistics: StatisticsOptions::empty(),
        version: Version::V1,
        compression: COMPRESSION,
        data_page_size: None,
    };
    let mut writer = FileWriter::try_new(file, schema, options)?;
    // Row groups are of one size, whatever the batches are.
    let mut gathered = Events::default();
    events.batches(|batch| {
        for (id, rows) in &batch.requests {
            gathered.extend(id, batch.part(rows));
        }
        let whole = gathered.len() / ROW_GROUP * ROW_GROUP;
        if whole > 0 {
            for first in (0..whole).step_by(ROW_GROUP) {
                write_rows(&mut writer, &descriptors, &gathered, &(first..first + ROW_GROUP))?;
            }
            gathered = gathered.without_first(whole);
        }
        Ok(())
    })?;
    if !gathered.is_empty() {
        write_rows(&mut writer, &descriptors, &gathered, &(0..gathered.len()))?;
    }
    writer.end(None)?;
    Ok(())
}

/// A row group.
fn write_rows(
    writer: &mut FileWriter<impl Write>,
    descriptors: &[Descriptor],
    events: &Events,
    rows: &Range<usize>,
) -> Result<()> {
    let n = rows.len();
    let pages: Vec<Vec<Page>> =
        descriptors.iter().zip(columns_of(events, rows)).map(|(of, column)| column.pages(of, n)).collect();
    let chunks = pages.into_iter().map(|pages| {
        let pages = pages.into_iter().map(Ok::<Page, ParquetError>);
        let compressed = Compressor::new(pages, COMPRESSION, Vec::new()).map_err(Into::into);
        Ok(DynStreamingIterator::new(compressed))
    });
    writer.write(n as u64, DynIter::new(chunks))?;
    Ok(())
}

/// A column's rows, encoded.
struct Encoded {
    dictionary: Option<DictPage>,
    data: Vec<u8>,
}

impl Encoded {
    fn plain(data: Vec<u8>) -> Self {
        Self { dictionary: None, data }
    }

    fn pages(self, descriptor: &Descriptor, rows: usize) -> Vec<Page> {
        let encoding = if self.dictionary.is_some() { Encoding::RleDictionary } else { Encoding::Plain };
        let header = DataPageHeader::V1(DataPageHeaderV1 {
            num_values: i32::try_from(rows).unwrap_or(i32::MAX), // at most ROW_GROUP
            encoding: encoding.into(),
            definition_level_encoding: Encoding::Rle.into(),
            repetition_level_encoding: Encoding::Rle.into(),
            statistics: None,
        });
        let data = DataPage::new(header, CowBuffer::Owned(self.data), descriptor.clone(), rows);
        self.dictionary.map(Page::Dict).into_iter().chain([Page::Data(data)]).collect()
    }
}

/// The columns of some rows, in the order of `COLUMNS`.
fn columns_of(events: &Events, rows: &Range<usize>) -> [Encoded; 7] {
    let instants = |values: &[i64]| {
        let values = values.get(rows.clone()).unwrap_or_default();
        Encoded::plain(values.iter().flat_map(|v| v.to_le_bytes()).collect())
    };
    let counts = |values: &[u32]| {
        let values = values.get(rows.clone()).unwrap_or_default();
        Encoded::plain(values.iter().flat_map(|v| v.to_le_bytes()).collect())
    };
    [
        request_ids(events, rows),
        instants(&events.stamp_lo_unix_ns),
        instants(&events.stamp_hi_unix_ns),
        instants(&events.user_unix_ns),
        counts(&events.events_in_read),
        nullable(events.tokens.get(rows.clone()).unwrap_or_default()),
        counts(&events.bytes),
    ]
}

/// The request ids of some rows: a dictionary in the order of the rows, and a run for each request.
fn request_ids(events: &Events, rows: &Range<usize>) -> Encoded {
    let first = events.requests.partition_point(|(_, range)| range.end <= rows.start);
    let requests = events.requests.iter().skip(first).take_while(|(_, range)| range.start < rows.end);
    let (mut names, mut runs) = (Vec::new(), Vec::new());
    for (id, range) in requests {
        names.extend((id.len() as u32).to_le_bytes());
        names.extend(id.as_bytes());
        runs.push(range.end.min(rows.end) - range.start.max(rows.start));
    }
    let key_bits = usize::BITS - runs.len().saturating_sub(1).leading_zeros();
    let mut data = vec![key_bits as u8];
    for (key, run) in runs.iter().enumerate() {
        push_run(&mut data, *run, key as u32, key_bits);
    }
    Encoded { dictionary: Some(DictPage::new(CowBuffer::Owned(names), runs.len(), false)), data }
}

/// Counts that may be null: definition levels (their length first), then the values there are.
fn nullable(values: &[Option<u32>]) -> Encoded {
    let mut data = vec![0; 4];
    for run in values.chunk_by(|a, b| a.is_some() == b.is_some()) {
        let defined = u32::from(run.first().is_some_and(Option::is_some));
        push_run(&mut data, run.len(), defined, 1);
    }
    let levels = (data.len() - 4) as u32;
    for (slot, byte) in data.iter_mut().zip(levels.to_le_bytes()) {
        *slot = byte;
    }
    data.extend(values.iter().flatten().flat_map(|v| v.to_le_bytes()));
    Encoded::plain(data)
}

/// A run of Parquet's RLE hybrid: its length as a varint, times two; the value in whole bytes.
fn push_run(out: &mut Vec<u8>, length: usize, value: u32, bits: u32) {
    let mut header = (length as u64) << 1;
    while header >= 0x80 {
        out.push((header as u8 & 0x7f) | 0x80);
        header >>= 7;
    }
    out.push(header as u8);
    out.extend(value.to_le_bytes().into_iter().take(bits.div_ceil(8) as usize));
}

/// The events back, where their stream is no longer there.
pub fn read(path: &Path) -> Result<Events> {
    guarded(|| unguarded(path))
}

fn unguarded(path: &Path) -> Result<Events> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let frame = file
        .metadata()
        .map_err(anyhow::Error::from)
        .and_then(|meta| ParquetFile::open(file, meta.len()))
        .and_then(|file| file.read(COLUMNS.map(|(name, _)| name.to_owned()).to_vec()))
        .with_context(|| format!("{} is not a Parquet file of token events", path.display()))?;
    let instants =
        |name: &str| -> Result<Vec<i64>> { Ok(frame.column(name)?.i64()?.into_no_null_iter().collect()) };
    let counts =
        |name: &str| -> Result<Vec<u32>> { Ok(frame.column(name)?.u32()?.into_no_null_iter().collect()) };
    let mut events = Events::default();
    events.stamp_lo_unix_ns = instants("stamp_lo_unix_ns")?;
    events.stamp_hi_unix_ns = instants("stamp_hi_unix_ns")?;
    events.user_unix_ns = instants("user_unix_ns")?;
    events.events_in_read = counts("events_in_read")?;
    events.tokens = frame.column("tokens")?.u32()?.iter().collect();
    events.bytes = counts("bytes")?;
    let ids = frame.column("request_id")?.str()?;
    // polars does not hold columns against each other: in a damaged file one may end earlier.
    let lengths = [
        events.stamp_lo_unix_ns.len(),
        events.stamp_hi_unix_ns.len(),
        events.user_unix_ns.len(),
        events.events_in_read.len(),
        events.tokens.len(),
        events.bytes.len(),
    ];
    ensure!(
        lengths.iter().all(|length| *length == ids.len()),
        "{} is damaged: its columns have {} and {lengths:?} values",
        path.display(),
        ids.len()
    );
    for (row, id) in ids.iter().enumerate() {
        events.claim(id.unwrap_or_default(), row..row + 1);
    }
    Ok(events)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::UnixNs;
    use crate::record::fixture::finished;

    fn round_trip(events: &Events) -> Events {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.parquet");
        write(&path, &events.clone().into()).unwrap();
        read(&path).unwrap()
    }

    #[test]
    fn a_request_across_row_groups_stays_one() {
        let mut one = finished(0);
        one.events = one.events.iter().copied().cycle().take(50_000).collect();
        let mut events = Events::default();
        for i in 0..7 {
            one.row.request_id = format!("long-{i}");
            events.push(&one);
        }
        assert!(events.len() > 2 * ROW_GROUP);
        assert!(round_trip(&events) == events);
    }

    #[test]
    fn a_group_of_one_request_needs_no_key_bits() {
        let mut events = Events::default();
        events.push(&finished(0));
        assert_eq!(round_trip(&events), events);
    }

    #[test]
    fn another_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.parquet");
        std::fs::write(&path, "not parquet at all").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("is not a Parquet file of token events"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_is_written_is_read(
            requests in prop::collection::vec(
                prop::collection::vec((any::<i64>(), any::<u32>(), any::<Option<u32>>()), 0..40), 0..300),
        ) {
            let mut events = Events::default();
            for (i, of_one) in requests.iter().enumerate() {
                let mut one = finished(i as u64);
                one.row.request_id = format!("id-{i}-{}", "x".repeat(i % 30));
                let template = one.events[0];
                one.events = of_one.iter().map(|(stamp, n, tokens)| {
                    let mut event = template;
                    event.stamp_lo_unix_ns = UnixNs(*stamp);
                    (event.bytes, event.tokens) = (*n, *tokens);
                    event
                }).collect();
                events.push(&one);
            }
            prop_assert!(round_trip(&events) == events);
        }
    }
}
