//! A Parquet file of someone else's, as named columns of plain cells: polars stays in here. It must not
//! know what a column means.

use std::collections::BTreeMap;
use std::io::Cursor;

use anyhow::{Result, ensure};
use polars::prelude::{AnyValue, DataFrame, TimeUnit};
use polars_arrow::datatypes::ArrowDataType;

use super::guard::guarded;
use super::parquet::ParquetFile;

/// How a Parquet file begins.
const MAGIC: &[u8] = b"PAR1";

/// A table.
pub struct Columns {
    /// All columns, in their order.
    names: Vec<String>,
    /// Those of a type that can be read.
    frame: DataFrame,
    /// Those of another, and which.
    unread: BTreeMap<String, String>,
    height: usize,
}

/// What is in a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    /// Nanoseconds since 1970, of a column of timestamps. One without a zone counts as UTC, as Parquet
    /// has it.
    Instant(i64),
    /// A list: as polars shows it.
    Other(String),
    /// Of a type that this build of polars does not read: which.
    Unread(String),
}

impl Columns {
    /// Whether these bytes are a Parquet file.
    pub fn recognises(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Reads a whole file. A column that cannot be read costs nothing unless it is asked for.
    ///
    /// # Errors
    /// When the file is cut, or damaged.
    pub fn read(bytes: Vec<u8>) -> Result<Self> {
        guarded(|| Self::unguarded(bytes))
    }

    fn unguarded(bytes: Vec<u8>) -> Result<Self> {
        let length = bytes.len() as u64;
        let file = ParquetFile::open(Cursor::new(bytes), length)?;
        let height = file.rows();
        let (mut names, mut read, mut unread) = (Vec::new(), Vec::new(), BTreeMap::new());
        for (name, kind) in file.columns() {
            names.push(name.to_owned());
            // Some others make polars panic.
            if is_read(kind) {
                read.push(name.to_owned());
            } else {
                unread.insert(name.to_owned(), format!("{kind:?}"));
            }
        }
        // What the file says of its rows without having one is nothing to make cells of.
        ensure!(!read.is_empty() || names.is_empty(), "none of its columns can be read: {unread:?}");
        let frame = file.read(read)?;
        ensure!(frame.height() == height, "it says {height} rows and has {}", frame.height());
        // polars does not hold each column against the table: in a damaged file one may end earlier.
        for column in frame.columns() {
            let cells = column.len();
            ensure!(cells == height, "it says {height} rows, and column {} has {cells}", column.name());
        }
        Ok(Self { names, frame, unread, height })
    }

    /// The names of the columns, in their order.
    pub fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    /// How many rows there are.
    pub fn height(&self) -> usize {
        self.height
    }

    /// One column's cells.
    pub fn cells(&self, name: &str) -> Option<Vec<Cell>> {
        if let Some(which) = self.unread.get(name) {
            return Some(vec![Cell::Unread(which.clone()); self.height]);
        }
        let series = self.frame.column(name).ok()?.as_materialized_series();
        Some(series.iter().map(cell).collect())
    }
}

/// Whether polars, as it is built here, makes a column of it.
fn is_read(kind: &ArrowDataType) -> bool {
    use ArrowDataType as Kind;
    match kind {
        Kind::List(inner) | Kind::LargeList(inner) => is_read(inner.dtype()),
        Kind::Struct(fields) => fields.iter().all(|field| is_read(field.dtype())),
        Kind::Null
        | Kind::Boolean
        | Kind::Int8
        | Kind::Int16
        | Kind::Int32
        | Kind::Int64
        | Kind::UInt32
        | Kind::UInt64
        | Kind::Float32
        | Kind::Float64
        | Kind::Utf8
        | Kind::LargeUtf8
        | Kind::Utf8View
        | Kind::Binary
        | Kind::LargeBinary
        | Kind::BinaryView
        | Kind::FixedSizeBinary(_)
        | Kind::Date32
        | Kind::Time32(_)
        | Kind::Time64(_)
        | Kind::Timestamp(..)
        | Kind::Duration(_) => true,
        _ => false,
    }
}

fn cell(value: AnyValue<'_>) -> Cell {
    match value {
        AnyValue::Null => Cell::Null,
        AnyValue::Boolean(value) => Cell::Bool(value),
        AnyValue::String(text) => Cell::Text(text.to_owned()),
        AnyValue::StringOwned(text) => Cell::Text(text.to_string()),
        AnyValue::Float32(value) => Cell::Float(f64::from(value)),
        AnyValue::Float64(value) => Cell::Float(value),
        AnyValue::Datetime(value, unit, _) | AnyValue::DatetimeOwned(value, unit, _) => {
            let unit_ns = match unit {
                TimeUnit::Nanoseconds => 1,
                TimeUnit::Microseconds => 1_000,
                TimeUnit::Milliseconds => 1_000_000,
            };
            value.checked_mul(unit_ns).map_or(Cell::Null, Cell::Instant)
        }
        other => match other.extract::<i64>() {
            Some(value) if other.is_integer() => Cell::Int(value),
            _ => Cell::Other(other.to_string()),
        },
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use polars::prelude::{Column, NamedFrom, ParquetWriter, Series};

    use super::*;

    fn column<T, P: ?Sized>(name: &str, values: Vec<T>) -> Column
    where
        Series: NamedFrom<Vec<T>, P>,
    {
        Series::new(name.into(), values).into()
    }

    #[test]
    fn a_table_comes_back_cell_by_cell() {
        let mut frame = DataFrame::new_infer_height(vec![
            column("n", vec![Some(7_i64), None]),
            column("u", vec![3_u32, u32::MAX]),
            column("x", vec![0.5, f64::NAN]),
            column("name", vec!["a", "b, c"]),
            column("ok", vec![true, false]),
        ])
        .unwrap();
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
        assert!(Columns::recognises(&bytes));
        let read = Columns::read(bytes.clone()).unwrap();
        assert_eq!((read.names(), read.height()), (vec!["n", "u", "x", "name", "ok"], 2));
        assert_eq!(read.cells("n"), Some(vec![Cell::Int(7), Cell::Null]));
        assert_eq!(read.cells("u"), Some(vec![Cell::Int(3), Cell::Int(4_294_967_295)]));
        assert_eq!(read.cells("name"), Some(vec![Cell::Text("a".to_owned()), Cell::Text("b, c".to_owned())]));
        assert_eq!(read.cells("ok"), Some(vec![Cell::Bool(true), Cell::Bool(false)]));
        assert!(matches!(read.cells("x").as_deref(), Some([Cell::Float(0.5), Cell::Float(x)]) if x.is_nan()));
        assert_eq!(read.cells("nope"), None);
        bytes.truncate(bytes.len() / 2);
        assert!(Columns::read(bytes).is_err());
    }

    /// Of `tests/samples/parquet`: decimals made polars panic, and the others made the whole file unreadable.
    #[test]
    fn a_column_that_cannot_be_read_costs_no_other() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/parquet/types.parquet");
        let read = Columns::read(std::fs::read(file).unwrap()).unwrap();
        assert_eq!(read.names(), ["prompt", "output_tokens", "price", "small", "kind", "talk"]);
        assert_eq!(read.height(), 2);
        assert_eq!(read.cells("output_tokens"), Some(vec![Cell::Int(5), Cell::Int(6)]));
        assert_eq!(read.cells("price"), Some(vec![Cell::Unread("Decimal(5, 0)".to_owned()); 2]));
        assert_eq!(read.cells("small"), Some(vec![Cell::Unread("UInt8".to_owned()); 2]));
    }
}
