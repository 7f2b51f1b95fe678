//! Columns of Parquet files that others wrote, as plain cells. This file must not know what a column
//! means.

use std::fs::File;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use polars::prelude::{AnyValue, ParquetReader, SerReader};
use polars_arrow::datatypes::ArrowDataType;

use crate::record::Cell;

/// The names of a file's columns, in its order.
pub fn names(path: &Path) -> Result<Vec<String>> {
    let schema = ParquetReader::new(File::open(path)?).schema()?;
    Ok(schema.iter_names().map(ToString::to_string).collect())
}

/// The cells of the columns at these places: text and numbers; anything else is an error with the
/// column's name and type.
pub fn read(path: &Path, places: &[usize]) -> Result<Vec<Vec<Cell>>> {
    let schema = ParquetReader::new(File::open(path)?).schema()?;
    for place in places {
        let (name, field) = schema.get_at_index(*place).context("there is no such column")?;
        if !is_plain(field.dtype()) {
            bail!("column `{name}` holds neither text nor numbers but {:?}", field.dtype());
        }
    }
    let frame = ParquetReader::new(File::open(path)?).with_projection(Some(places.to_vec())).finish()?;
    let mut columns = Vec::new();
    for place in places {
        let (name, _) = schema.get_at_index(*place).context("there is no such column")?;
        let column = frame.column(name)?;
        let cells = column.as_materialized_series().iter().map(|value| cell(&value));
        columns.push(cells.collect());
    }
    Ok(columns)
}

fn is_plain(kind: &ArrowDataType) -> bool {
    use ArrowDataType as A;
    match kind {
        A::Null
        | A::Boolean
        | A::Utf8
        | A::LargeUtf8
        | A::Utf8View
        | A::Int8
        | A::Int16
        | A::Int32
        | A::Int64
        | A::UInt8
        | A::UInt16
        | A::UInt32
        | A::UInt64
        | A::Float32
        | A::Float64 => true,
        A::Dictionary(_, values, _) => is_plain(values),
        _ => false,
    }
}

fn cell(value: &AnyValue<'_>) -> Cell {
    match value {
        AnyValue::Null => Cell::Null,
        AnyValue::String(text) => Cell::Text((*text).to_owned()),
        AnyValue::StringOwned(text) => Cell::Text(text.to_string()),
        other => other.extract::<f64>().map_or_else(|| Cell::Text(other.to_string()), Cell::Number),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use polars::prelude::{Column, DataFrame, NamedFrom, ParquetWriter, Series};

    use super::*;

    #[test]
    fn columns_come_in_the_order_asked_for() {
        let columns: Vec<Column> = vec![
            Series::new("text".into(), [Some("a"), None, Some("ü")]).into(),
            Series::new("n".into(), [1_i64, 2, 3]).into(),
            Series::new("x".into(), [Some(0.5), None, None]).into(),
        ];
        let mut frame = DataFrame::new_infer_height(columns).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        ParquetWriter::new(file.reopen().unwrap()).finish(&mut frame).unwrap();
        assert_eq!(names(file.path()).unwrap(), ["text", "n", "x"]);
        let cells = read(file.path(), &[2, 0]).unwrap();
        assert_eq!(
            cells,
            [
                vec![Cell::Number(0.5), Cell::Null, Cell::Null],
                vec![Cell::Text("a".into()), Cell::Null, Cell::Text("ü".into())]
            ]
        );
        assert_eq!(read(file.path(), &[1]).unwrap(), [[1.0, 2.0, 3.0].map(Cell::Number).to_vec()]);
    }

    #[test]
    fn what_is_no_parquet_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "prompt,n\n").unwrap();
        assert!(names(file.path()).is_err());
    }
}
