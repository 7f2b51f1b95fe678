//! Parquet files of others.

use tare::store::columns::{Cell, Columns};

/// Any bytes as a Parquet file: an error, or as many cells in each column as there are rows.
pub fn columns(data: &[u8]) {
    let Ok(table) = Columns::read(data.to_vec()) else { return };
    for name in table.names() {
        if let Some(cells) = table.cells(name) {
            assert_eq!(cells.len(), table.height());
            assert!(cells.iter().all(|cell| !matches!(cell, Cell::Unread(which) if which.is_empty())));
        }
    }
}
