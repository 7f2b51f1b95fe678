//! The heads of a column's pages, one after the other, held against the column: polars asks for as much memory as a
//! head says that its page takes unpacked, before it unpacks anything. Bodies are passed over, but for values that are
//! told as differences: those say their count once more. This file must not know what the values are, nor what a footer
//! looks like.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use anyhow::{Context as _, Result, bail, ensure};
use polars_parquet::parquet::compression::{Compression, DecompressionContext, decompress};

use super::delta::Encoding;
use super::head::{self, Kind, Levels, PageHead};
use super::thrift::Problem;

/// What the file says of one column of a group of rows.
pub(super) struct Chunk {
    /// Its name.
    pub(super) column: String,
    /// Where its pages lie.
    pub(super) range: Range<u64>,
    pub(super) packing: Compression,
    pub(super) values: u64,
    /// Of all pages together.
    pub(super) unpacked_bytes: u64,
    /// A value takes as many bits in a dictionary, at least.
    pub(super) value_bits: u64,
    /// Whether its pages say where lists begin, and which values are missing.
    pub(super) has_levels: [bool; 2],
}

/// What the pages of a column are, together.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Pages {
    pub(super) count: u64,
    pub(super) values: u64,
    pub(super) heads_bytes: u64,
    /// Without their heads.
    pub(super) packed_bytes: u64,
    /// Without their heads.
    pub(super) unpacked_bytes: u64,
}

/// A usual head has 20 to 60 bytes; one with the smallest and the largest of its values is as long as they are.
const FIRST_LOOK_BYTES: u64 = 256;
/// A head that is longer is none.
const MAX_HEAD_BYTES: u64 = 16 << 20;
/// Pages that hold nothing at all, or almost.
const SLACK_BYTES: u64 = 64;

/// Walks the pages of a column, as far as its values go.
///
/// # Errors
/// When a page passes the end of its column, says of itself what cannot be, or values are missing.
pub(super) fn walk(file: &mut (impl Read + Seek), chunk: &Chunk) -> Result<Pages> {
    let mut pages = Pages::default();
    let mut at = chunk.range.start;
    // polars looks for a dictionary even where there are no values.
    while at < chunk.range.end && (pages.values < chunk.values || pages.count == 0) {
        let (head, length) = head_at(file, at..chunk.range.end)
            .with_context(|| place(chunk, &pages, at))
            .context("the file is damaged")?;
        let body = at.saturating_add(length);
        check(&head, chunk, &pages, chunk.range.end.saturating_sub(body))
            .with_context(|| place(chunk, &pages, at))
            .context("the file is damaged")?;
        if chunk.packing == Compression::Brotli {
            check_window(file, body, &head)
                .with_context(|| place(chunk, &pages, at))
                .context("the file is damaged")?;
        }
        if let Kind::Data { values, encoding, levels } = head.kind
            && let Some(encoding) = Encoding::of(encoding)
        {
            values_of(file, body, &head, levels, chunk)
                .and_then(|bytes| encoding.check(&bytes, values))
                .with_context(|| place(chunk, &pages, at))
                .context("the file is damaged")?;
        }
        pages.count += 1;
        pages.heads_bytes += length;
        pages.packed_bytes += head.packed_bytes;
        pages.unpacked_bytes += head.unpacked_bytes;
        if let Kind::Data { values, .. } = head.kind {
            pages.values += values;
        }
        at = body + head.packed_bytes;
    }
    ensure!(
        pages.values == chunk.values,
        "the file is damaged: column `{}`, which begins at byte {}: it says {} values, and its {} pages have {}",
        chunk.column,
        chunk.range.start,
        chunk.values,
        pages.count,
        pages.values
    );
    Ok(pages)
}

fn place(chunk: &Chunk, pages: &Pages, at: u64) -> String {
    format!("column `{}`, page {} at byte {at}", chunk.column, pages.count + 1)
}

/// Whether a page can be what its head says, with so many bytes left of its column behind the head.
fn check(head: &PageHead, chunk: &Chunk, before: &Pages, left: u64) -> Result<()> {
    let PageHead { kind, packed_bytes, unpacked_bytes } = *head;
    ensure!(packed_bytes <= left, "it says {packed_bytes} bytes, and {left} are left of the column");
    let left = chunk.unpacked_bytes.saturating_sub(before.unpacked_bytes);
    ensure!(
        unpacked_bytes <= left,
        "it says {unpacked_bytes} bytes unpacked, and {left} are left of those that the column says"
    );
    let most = most_unpacked(chunk.packing, packed_bytes);
    ensure!(
        unpacked_bytes <= most,
        "it says {unpacked_bytes} bytes unpacked, and {packed_bytes} packed, which are {most} at most ({:?})",
        chunk.packing
    );
    match kind {
        Kind::Data { values, levels, .. } => {
            let left = chunk.values.saturating_sub(before.values);
            ensure!(
                values <= left,
                "it says {values} values, and {left} are left of those that the column says"
            );
            if let Levels::Before { bytes, .. } = levels {
                let most = packed_bytes.min(unpacked_bytes);
                ensure!(bytes <= most, "it says {bytes} bytes of levels, and {most} bytes in all");
            }
        }
        Kind::Dictionary { values } => {
            let most = unpacked_bytes.saturating_mul(8) / chunk.value_bits.max(1);
            ensure!(values <= most, "it says {values} values, and {unpacked_bytes} bytes can hold {most}");
        }
        Kind::Other => {}
    }
    Ok(())
}

/// What so many bytes can be unpacked, at most.
fn most_unpacked(packing: Compression, packed_bytes: u64) -> u64 {
    let times = match packing {
        Compression::Uncompressed => return packed_bytes,
        // Three bytes that repeat 64.
        Compression::Snappy => 22,
        // Each further byte of a length repeats 255.
        Compression::Lz4 | Compression::Lz4Raw => 256,
        // Two bits that repeat 258.
        Compression::Gzip => 1032,
        // A block of 128 KiB in four bytes.
        Compression::Zstd => (128 << 10) / 4,
        // A few bytes repeat 16 MiB.
        Compression::Brotli | Compression::Lzo => return u64::MAX,
    };
    packed_bytes.saturating_mul(times).saturating_add(SLACK_BYTES)
}

/// That what is packed by Brotli begins with a window of RFC 7932, which is 16 MiB at most: the decoder also knows
/// larger ones, up to 1 GiB, of which Parquet does not.
fn check_window(file: &mut (impl Read + Seek), body: u64, head: &PageHead) -> Result<()> {
    const LARGER: u8 = 0x11;
    let before = match head.kind {
        Kind::Data { levels: Levels::Before { is_body_packed: false, .. }, .. } => return Ok(()),
        Kind::Data { levels: Levels::Before { bytes, .. }, .. } => bytes,
        _ => 0,
    };
    if before < head.packed_bytes {
        let mut first = [0];
        file.seek(SeekFrom::Start(body.saturating_add(before)))?;
        file.read_exact(&mut first)?;
        ensure!(first[0] & 0x7f != LARGER, "it was packed with a window of more than 16 MiB");
    }
    Ok(())
}

/// The bytes of a page's values, unpacked: its head has been found to be one that can be.
fn values_of(
    file: &mut (impl Read + Seek),
    body: u64,
    head: &PageHead,
    levels: Levels,
    chunk: &Chunk,
) -> Result<Vec<u8>> {
    let mut packed = Vec::new();
    file.seek(SeekFrom::Start(body))?;
    file.take(head.packed_bytes).read_to_end(&mut packed)?;
    let (before, is_packed) = match levels {
        Levels::Inside => (0, true),
        Levels::Before { bytes, is_body_packed } => (bytes, is_body_packed),
    };
    let mut bytes = packed.split_off(usize::try_from(before)?.min(packed.len()));
    if is_packed && chunk.packing != Compression::Uncompressed && !bytes.is_empty() {
        let mut unpacked = vec![0; usize::try_from(head.unpacked_bytes.saturating_sub(before))?];
        decompress(chunk.packing, &bytes, &mut unpacked, &mut DecompressionContext::Unset)?;
        bytes = unpacked;
    }
    if levels == Levels::Inside {
        for _ in chunk.has_levels.into_iter().filter(|has| *has) {
            let length = bytes.first_chunk().map(|length| u32::from_le_bytes(*length) as usize);
            let end = length.and_then(|length| length.checked_add(4)).filter(|end| *end <= bytes.len());
            bytes.drain(..end.context("its levels are longer than the page")?);
        }
    }
    Ok(bytes)
}

/// The head at the begin of these bytes of the file, and how long it is.
fn head_at(file: &mut (impl Read + Seek), range: Range<u64>) -> Result<(PageHead, u64)> {
    let there = range.end.saturating_sub(range.start);
    let most = there.min(MAX_HEAD_BYTES);
    let mut look = FIRST_LOOK_BYTES;
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        file.seek(SeekFrom::Start(range.start))?;
        let read = file.take(look.min(most)).read_to_end(&mut bytes)? as u64;
        let is_all = read < look;
        match head::read(&bytes) {
            Ok((head, length)) => return Ok((head, length as u64)),
            Err(Problem::Cut { needed }) if needed as u64 <= most && !is_all => {
                look = (look * 2).max(needed as u64);
            }
            Err(Problem::Cut { .. }) => bail!("its head does not end in the {most} bytes where it could be"),
            Err(problem) => bail!("its head: {problem}"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
