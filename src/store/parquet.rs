//! Parquet files of others, opened: what a file says of its size, at its end and in the head of each page, is held
//! against the bytes that are there before polars asks for as much memory. This file must not know what the columns
//! mean.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use polars::io::mmap::MmapBytesReader;
use polars::prelude::{DataFrame, ParquetReader, SerReader as _};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema};
use polars_parquet::read::{
    ColumnChunkMetadata, FileMetadata, PhysicalType, RowGroupMetadata, infer_schema, read_metadata,
};

use self::pages::{Chunk, Pages};

mod delta;
mod footer;
mod head;
mod pages;
mod thrift;

/// A byte of a file holds so many values, or unpacked bytes, at most: a column of one value a million times over has a
/// few hundred. In a damaged file they may be any number.
const MOST_OF_A_BYTE: u64 = 4096;
/// How a file ends: the length of what it says of itself, and a mark.
const TAIL_BYTES: u64 = 8;

/// A file whose own description has been held against its length.
#[derive(Debug)]
pub(super) struct ParquetFile<R> {
    file: R,
    metadata: Arc<FileMetadata>,
    schema: ArrowSchema,
}

impl<R: MmapBytesReader> ParquetFile<R> {
    /// Opens a file of so many bytes.
    ///
    /// # Errors
    /// When it is no Parquet file, or says of itself what cannot be.
    pub(super) fn open(mut file: R, bytes: u64) -> Result<Self> {
        if let Some(said) = said_of_itself(&mut file, bytes)? {
            footer::check(&said)?;
        }
        file.rewind()?;
        let metadata = read_metadata(&mut file)?;
        check(&metadata, bytes)?;
        let schema = infer_schema(&metadata)?;
        Ok(Self { file, metadata: Arc::new(metadata), schema })
    }

    /// The columns, in their order.
    pub(super) fn columns(&self) -> impl Iterator<Item = (&str, &ArrowDataType)> {
        self.schema.iter().map(|(name, field)| (name.as_str(), field.dtype()))
    }

    /// How many rows the file says that it has.
    pub(super) fn rows(&self) -> usize {
        self.metadata.num_rows
    }

    /// Reads these columns, after a walk over the heads of their pages; others cost nothing, whatever they are.
    ///
    /// # Errors
    /// When a page says of itself what cannot be, or polars cannot read it.
    pub(super) fn read(mut self, columns: Vec<String>) -> Result<DataFrame> {
        self.walk(&columns)?;
        let mut reader = ParquetReader::new(self.file);
        reader.set_metadata(self.metadata);
        Ok(reader.with_columns(Some(columns)).finish()?)
    }

    /// What the pages of these columns are, chunk by chunk.
    fn walk(&mut self, columns: &[String]) -> Result<Vec<Pages>> {
        let mut walked = Vec::new();
        for group in &self.metadata.row_groups {
            for chunk in columns.iter().filter_map(|name| group.columns_under_root_iter(name)).flatten() {
                walked.push(pages::walk(&mut self.file, &described(chunk)?)?);
            }
        }
        Ok(walked)
    }
}

/// The bytes in which a file speaks of itself; none where it is so short, or they would be so long, that polars says it.
fn said_of_itself(file: &mut (impl Read + Seek), bytes: u64) -> Result<Option<Vec<u8>>> {
    let Some(tail) = bytes.checked_sub(TAIL_BYTES) else { return Ok(None) };
    file.seek(SeekFrom::Start(tail))?;
    let mut length = [0; 4];
    file.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    let Some(start) = tail.checked_sub(length) else { return Ok(None) };
    file.seek(SeekFrom::Start(start))?;
    let mut said = Vec::new();
    file.take(length).read_to_end(&mut said)?;
    Ok(Some(said))
}

/// Holds counts and lengths against each other, and against the length of the file.
fn check(metadata: &FileMetadata, bytes: u64) -> Result<()> {
    let can_be = |count: u64| count <= bytes.saturating_mul(MOST_OF_A_BYTE);
    let rows = metadata.num_rows as u64;
    ensure!(can_be(rows), "the file is damaged: it says {rows} rows, and has {bytes} bytes");
    let mut in_groups = 0_u64;
    for group in &metadata.row_groups {
        let rows = group.num_rows() as u64;
        ensure!(can_be(rows), "the file is damaged: it says {rows} rows in one group, and has {bytes} bytes");
        in_groups = in_groups.saturating_add(rows);
        for column in group.parquet_columns() {
            check_column(column, group, bytes)?;
        }
    }
    ensure!(
        in_groups == rows,
        "the file is damaged: it says {rows} rows, and its groups say {in_groups} together"
    );
    Ok(())
}

fn check_column(column: &ColumnChunkMetadata, group: &RowGroupMetadata, bytes: u64) -> Result<()> {
    let can_be = |count: u64| count <= bytes.saturating_mul(MOST_OF_A_BYTE);
    let (values, unpacked) = (column.num_values(), column.uncompressed_size());
    let size_can_be = [values, unpacked].into_iter().all(|n| u64::try_from(n).is_ok_and(can_be));
    ensure!(size_can_be, "the file is damaged: a column of {values} values, {unpacked} bytes unpacked");
    let Range { start, end } = column.byte_range();
    ensure!(start <= end && end <= bytes, "the file is damaged: a column ends at {end} of {bytes} bytes");
    let (rows, values) = (group.num_rows() as u64, values as u64);
    let in_lists = column.descriptor().descriptor.max_rep_level > 0;
    ensure!(
        rows == values || in_lists && rows < values,
        "the file is damaged: it says {rows} rows in one group, and {values} values in column `{}` of it",
        name(column)
    );
    if let PhysicalType::FixedLenByteArray(length) = column.physical_type() {
        ensure!(
            can_be((length as u64).saturating_mul(values)),
            "the file is damaged: it says {values} values of {length} bytes in column `{}`, and has {bytes} bytes",
            name(column)
        );
    }
    Ok(())
}

fn described(column: &ColumnChunkMetadata) -> Result<Chunk> {
    let value_bits = match column.physical_type() {
        PhysicalType::Boolean => 1,
        // The length of a text is before it.
        PhysicalType::Int32 | PhysicalType::Float | PhysicalType::ByteArray => 32,
        PhysicalType::Int64 | PhysicalType::Double => 64,
        PhysicalType::Int96 => 96,
        PhysicalType::FixedLenByteArray(length) => (length as u64).saturating_mul(8),
    };
    let descriptor = &column.descriptor().descriptor;
    Ok(Chunk {
        column: name(column),
        range: column.byte_range(),
        packing: column.compression(),
        values: u64::try_from(column.num_values()).context("a count of values")?,
        unpacked_bytes: u64::try_from(column.uncompressed_size()).context("a count of bytes")?,
        value_bits,
        has_levels: [descriptor.max_rep_level > 0, descriptor.max_def_level > 0],
    })
}

/// The names on the way to a column.
fn name(column: &ColumnChunkMetadata) -> String {
    let names = column.descriptor().path_in_schema.iter().map(polars::prelude::PlSmallStr::as_str);
    names.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
