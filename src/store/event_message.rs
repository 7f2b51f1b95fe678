//! What a message of the event stream says of its own lengths, held against the bytes that are there: polars asks for
//! as much memory as a message says that it needs, before it reads any of it. This file must not know where the
//! bytes lie, nor what is made of a batch.

use anyhow::{Context as _, Result, anyhow, ensure};
use polars_arrow::io::ipc::format::ipc::planus::{self, ReadAsRoot as _};
use polars_arrow::io::ipc::format::ipc::{
    Endianness, FieldRef, MessageHeaderRef, MessageRef, RecordBatchRef, TypeRef,
};

use super::events::{COLUMNS, Kind};

/// A message begins with a mark and the length of its metadata.
pub(super) const PREFIX: usize = 8;
const MARK: [u8; 4] = [0xff; 4];
/// A view of a text: its length, and the text itself or where it lies.
const VIEW_BYTES: u64 = 16;
/// The only column that may lack values.
const NULLABLE: &str = "tokens";

/// How many bytes of metadata follow these; none where the stream ends.
pub(super) fn metadata_bytes(prefix: &[u8]) -> Result<u64> {
    let (mark, length) = prefix.split_first_chunk().context("no message begins there")?;
    ensure!(*mark == MARK, "no message begins there");
    let length = i32::from_le_bytes(*length.first_chunk().context("no message begins there")?);
    u64::try_from(length).map_err(|_| anyhow!("a message has {length} bytes of metadata"))
}

/// How many bytes of data follow this metadata.
pub(super) fn body_bytes(metadata: &[u8]) -> Result<u64> {
    let length = message(metadata)?.body_length().map_err(broken)?;
    u64::try_from(length).map_err(|_| anyhow!("a message has {length} bytes of data"))
}

/// That a stream which begins with this metadata has the columns of events, and no others.
pub(super) fn check_schema(metadata: &[u8]) -> Result<()> {
    let MessageHeaderRef::Schema(schema) = header(metadata)? else {
        return Err(anyhow!("expected columns, found another message"));
    };
    let fields = schema.fields().map_err(broken)?.context("expected columns, found none")?;
    let fields: Vec<FieldRef<'_>> = fields.iter().collect::<planus::Result<_>>().map_err(broken)?;
    let names = fields.iter().map(|field| Ok(field.name()?.unwrap_or_default()));
    let names: Vec<&str> = names.collect::<planus::Result<_>>().map_err(broken)?;
    let expected = COLUMNS.map(|(name, _)| name);
    ensure!(names == expected, "expected the columns {expected:?}, found {names:?}");
    ensure!(
        schema.endianness().map_err(broken)? == Endianness::Little,
        "numbers begin with their highest byte"
    );
    for (field, (name, kind)) in fields.iter().zip(COLUMNS) {
        let is_plain = is_of_kind(field, kind).map_err(broken)?;
        ensure!(is_plain, "column {name} has another type");
    }
    Ok(())
}

fn is_of_kind(field: &FieldRef<'_>, kind: Kind) -> planus::Result<bool> {
    let is_kind = match (kind, field.type_()?) {
        (Kind::Text, Some(TypeRef::Utf8View(_))) => true,
        (Kind::Instant, Some(TypeRef::Int(int))) => int.is_signed()? && int.bit_width()? == 64,
        (Kind::Count, Some(TypeRef::Int(int))) => !int.is_signed()? && int.bit_width()? == 32,
        _ => false,
    };
    let children = field.children()?.map_or(0, |children| children.iter().count());
    Ok(is_kind && children == 0 && field.dictionary()?.is_none())
}

/// That this metadata is of a batch of events whose columns lie in the `body` bytes behind it, none over another: so
/// a batch in memory is no larger than in the file.
pub(super) fn check_batch(metadata: &[u8], body: u64) -> Result<()> {
    let MessageHeaderRef::RecordBatch(batch) = header(metadata)? else {
        return Err(anyhow!("expected a batch of events, found another message"));
    };
    ensure!(batch.compression().map_err(broken)?.is_none(), "a batch is packed");
    let rows = batch.length().map_err(broken)?;
    let rows = u64::try_from(rows).map_err(|_| anyhow!("a batch has {rows} rows"))?;
    let nulls = nulls(&batch, rows)?;
    let lengths = buffer_lengths(&batch, body)?;
    let further = batch.variadic_buffer_counts().map_err(broken)?.context("no count of texts")?;
    let further: Vec<i64> = further.iter().collect();
    let texts = lengths.len().checked_sub(2 * COLUMNS.len()).context("columns are missing")?;
    ensure!(further == [i64::try_from(texts)?], "expected {texts} buffers of texts, found {further:?}");
    let mut lengths = lengths.into_iter();
    for ((name, kind), nulls) in COLUMNS.into_iter().zip(nulls) {
        let (known, values) = (lengths.next().unwrap_or(0), lengths.next().unwrap_or(0));
        let width = match kind {
            Kind::Text => VIEW_BYTES,
            Kind::Instant => 8,
            Kind::Count => 4,
        };
        ensure!(
            rows.checked_mul(width).is_some_and(|needed| needed <= values),
            "{rows} rows, and {values} bytes of {name}"
        );
        ensure!(
            nulls == 0 || rows.div_ceil(8) <= known,
            "{rows} rows, and {known} bytes of which {name} are known"
        );
        if kind == Kind::Text {
            lengths.by_ref().take(texts).for_each(drop);
        }
    }
    Ok(())
}

/// How many values each column lacks.
fn nulls(batch: &RecordBatchRef<'_>, rows: u64) -> Result<Vec<u64>> {
    let nodes = batch.nodes().map_err(broken)?.context("no columns")?;
    ensure!(nodes.len() == COLUMNS.len(), "expected {} columns, found {}", COLUMNS.len(), nodes.len());
    let each = nodes.iter().zip(COLUMNS).map(|(node, (name, _))| {
        let (length, nulls) = (node.length(), node.null_count());
        ensure!(u64::try_from(length) == Ok(rows), "{rows} rows, and {length} of {name}");
        let nulls =
            u64::try_from(nulls).ok().filter(|nulls| *nulls <= if name == NULLABLE { rows } else { 0 });
        nulls.with_context(|| format!("{} of {rows} values of {name} are missing", node.null_count()))
    });
    each.collect()
}

/// The lengths of the parts of the body, which together are no longer than it.
fn buffer_lengths(batch: &RecordBatchRef<'_>, body: u64) -> Result<Vec<u64>> {
    let buffers = batch.buffers().map_err(broken)?.context("no data")?;
    let mut left = body;
    let each = buffers.iter().map(|buffer| {
        let (offset, length) = (buffer.offset(), buffer.length());
        let outside = || format!("{length} bytes at {offset} of {body} bytes of data");
        let (offset, length) = (
            u64::try_from(offset).ok().with_context(outside)?,
            u64::try_from(length).ok().with_context(outside)?,
        );
        ensure!(offset.checked_add(length).is_some_and(|end| end <= body), outside());
        left = left
            .checked_sub(length)
            .with_context(|| format!("parts that are longer than the {body} bytes of data"))?;
        Ok(length)
    });
    each.collect()
}

fn message(metadata: &[u8]) -> Result<MessageRef<'_>> {
    MessageRef::read_as_root(metadata).map_err(broken)
}

fn header(metadata: &[u8]) -> Result<MessageHeaderRef<'_>> {
    message(metadata)?.header().map_err(broken)?.context("a message without content")
}

#[allow(clippy::needless_pass_by_value)] // `map_err` hands it over
fn broken(error: planus::Error) -> anyhow::Error {
    anyhow!("{error}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
