//! One value of a table that someone else wrote, plain. This file must not know how tables are stored.

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Text(String),
    Number(f64),
}
