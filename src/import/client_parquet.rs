//! A Parquet table of requests, a row each, with the columns of [`columns`](super::columns), such as
//! `results.parquet` of a run folder. It must not know what is done with the rows.

use super::columns::{self, Layout};
use super::input::Reading;
use super::{Format, Of, Reads};
use crate::error::usage;
use crate::store::columns::{Cell, Columns};

pub(super) const FORMAT: Format = Format {
    name: "client_parquet",
    of: Of::Client,
    description: "Parquet with the named columns of client_csv, such as tare's results.parquet",
    reads: Reads::Columns { recognises: columns::recognises, read },
};

fn read(table: &Columns, reading: &mut Reading<'_>) {
    let shown = reading.path.display().to_string();
    let names = table.names();
    let layout = match Layout::of(&names) {
        Ok(layout) => layout,
        Err(error) => {
            return reading.refuse(
                usage(format!("{shown}: {error}"))
                    .hint("README.md, \"Columns of a table of requests\", lists them"),
            );
        }
    };
    let cells: Vec<Vec<Cell>> = names.iter().map(|name| table.cells(name).unwrap_or_default()).collect();
    for i in 0..table.height() {
        let cell =
            |column: usize| cells.get(column).and_then(|cells| cells.get(i)).cloned().unwrap_or(Cell::Null);
        let taken = layout.request(&cell, &format!("{shown}:{}", i + 1));
        let taken = taken.map(|finished| reading.rows.requests.push(finished));
        reading.count(&format!("row {}", i + 1), taken);
    }
    columns::tell(&layout, reading);
}
