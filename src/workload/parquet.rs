//! Parquet datasets: the columns are read by `store`, and come as plain cells. This file must not know
//! Parquet.

use std::path::Path;

use super::{Read, Want, table};
use crate::config::Columns;
use crate::error::usage;
use crate::record::DatasetName;
use crate::store::text_columns;

/// Reads a file.
pub fn read(path: &Path, asked: &Columns, want: &Want<'_>) -> anyhow::Result<Read> {
    // One that is not there is told as any other dataset's.
    drop(super::open(path)?);
    let names = text_columns::names(path).map_err(|error| {
        let failure = usage(format!("`{}` cannot be read as Parquet", path.display())).caused_by(error);
        super::looking_like(failure, path, DatasetName::Parquet)
    })?;
    let chosen = table::choose(path, &names, asked)?;
    let wanted: Vec<usize> = [Some(chosen.text), chosen.output].into_iter().flatten().collect();
    let cells = text_columns::read(path, &wanted).map_err(|error| {
        usage(format!("cannot read the columns of `{}`", path.display()))
            .caused_by(error)
            .hint("prompts are text; conversations are JSON in text, not nested lists")
    })?;
    let mut read = Read::default();
    let mut cells = cells.into_iter();
    let (texts, outputs) = (cells.next().unwrap_or_default(), cells.next());
    for (i, text) in texts.iter().enumerate() {
        let output = outputs.as_ref().and_then(|outputs| outputs.get(i));
        table::take(&mut read, &format!("row {i}"), text, output, chosen, want);
    }
    Ok(read.or_empty(path, DatasetName::Parquet, "each row has a prompt in the column of prompts")?)
}
