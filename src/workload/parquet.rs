//! Parquet datasets: the columns are read by `store`, and come as plain cells. This file must not know
//! Parquet.

use std::path::Path;

use super::{Read, Want, table};
use crate::config::Columns;
use crate::error::{Explain, usage};
use crate::record::DatasetName;
use crate::store::columns::Columns as Table;

/// Reads a file.
pub fn read(path: &Path, asked: &Columns, want: &Want<'_>) -> anyhow::Result<Read> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut super::open(path)?, &mut bytes)
        .or_usage(format!("cannot read the dataset `{}`", path.display()))?;
    let unusable = |error| {
        let failure = usage(format!("`{}` cannot be read as Parquet", path.display())).caused_by(error);
        super::looking_like(failure, path, DatasetName::Parquet)
    };
    if !Table::recognises(&bytes) {
        return Err(unusable(anyhow::anyhow!("it does not begin as Parquet files do")).into());
    }
    let table = Table::read(bytes).map_err(unusable)?;
    let names: Vec<String> = table.names().into_iter().map(str::to_owned).collect();
    let chosen = table::choose(path, &names, asked)?;
    let cells = |at: usize| names.get(at).and_then(|name| table.cells(name)).unwrap_or_default();
    let (texts, outputs) = (cells(chosen.text), chosen.output.map(cells));
    let mut read = Read::default();
    for (i, text) in texts.iter().enumerate() {
        let output = outputs.as_ref().and_then(|outputs| outputs.get(i));
        table::take(&mut read, &format!("row {i}"), text, output, chosen, want);
    }
    Ok(read.or_empty(path, DatasetName::Parquet, "each row has a prompt in the column of prompts")?)
}
