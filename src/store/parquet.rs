//! Parquet files of others, opened: what a file says of its size is held against the bytes that are there before polars
//! asks for as much memory. This file must not know what the columns mean.

use std::ops::Range;

use anyhow::{Result, ensure};
use polars::io::mmap::MmapBytesReader;
use polars::prelude::{ParquetReader, SerReader as _};

/// A byte of a file holds so many values, or unpacked bytes, at most: a column of one value a million times over has a
/// few hundred. In a damaged file they may be any number.
const MOST_OF_A_BYTE: u64 = 4096;

/// A reader of `file`, which is so long.
///
/// # Errors
/// When it is no Parquet file, or says of itself what cannot be.
pub(super) fn open<R: MmapBytesReader>(file: R, bytes: u64) -> Result<ParquetReader<R>> {
    let mut reader = ParquetReader::new(file);
    let metadata = reader.get_metadata()?;
    let most = bytes.saturating_mul(MOST_OF_A_BYTE);
    let can_be = |count: u64| count <= most;
    let rows = metadata.num_rows as u64;
    ensure!(can_be(rows), "the file is damaged: it says {rows} rows, and has {bytes} bytes");
    for group in &metadata.row_groups {
        let rows = group.num_rows() as u64;
        ensure!(can_be(rows), "the file is damaged: it says {rows} rows in one group, and has {bytes} bytes");
        for column in group.parquet_columns() {
            let (values, unpacked) = (column.num_values(), column.uncompressed_size());
            let size_can_be = [values, unpacked].into_iter().all(|n| u64::try_from(n).is_ok_and(can_be));
            ensure!(
                size_can_be,
                "the file is damaged: a column of {values} values, {unpacked} bytes unpacked"
            );
            let Range { start, end } = column.byte_range();
            ensure!(
                start <= end && end <= bytes,
                "the file is damaged: a column ends at {end} of {bytes} bytes"
            );
        }
    }
    Ok(reader)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::store::columns::Columns;
    use crate::store::guard::guarded;

    fn sample() -> Vec<u8> {
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/parquet/types.parquet")).unwrap()
    }

    /// The last eight bytes are the length of what the file says of itself, and a mark.
    fn where_it_speaks_of_itself(file: &[u8]) -> Range<usize> {
        let tail = file.len() - 8;
        let length = u32::from_le_bytes(file[tail..tail + 4].try_into().unwrap()) as usize;
        tail - length..tail
    }

    /// Numbers have seven bits a byte, and a byte above 0x7f says that there is another: five of them before a small
    /// number make a large one, which is not negative if the first is even.
    #[test]
    fn a_file_that_says_that_it_is_larger_than_it_can_be_is_an_error() {
        let file = sample();
        let bytes = file.len() as u64;
        assert!(guarded(|| open(Cursor::new(file.clone()), bytes)).is_ok());
        let mut refused = 0;
        for at in where_it_speaks_of_itself(&file) {
            let mut damaged = file.clone();
            damaged.splice(at..at, [0xfe; 5]);
            let tail = damaged.len() - 8;
            let length = (where_it_speaks_of_itself(&file).len() + 5) as u32;
            damaged[tail..tail + 4].copy_from_slice(&length.to_le_bytes());
            let bytes = damaged.len() as u64;
            match guarded(|| open(Cursor::new(damaged.clone()), bytes).map(drop)) {
                Ok(()) => {}
                Err(error) => {
                    refused += usize::from(error.to_string().contains("the file is damaged: it says"));
                }
            }
            // Whatever it says, reading it comes back.
            drop(Columns::read(damaged));
        }
        assert!(refused > 0, "no count of rows was among what was changed");
    }
}
