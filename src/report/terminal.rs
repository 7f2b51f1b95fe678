//! The report on a terminal: what a person wants to see first. Layout only.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, LineStyle, Table as Grid, TableStyle};
use terminal_size::terminal_size_of;

use super::calibration;
use super::page::Page;
use super::tables::{self, Table};
use super::verdict;
use super::window;
use super::{Report, audit};
use crate::record::calibration::Calibration;

/// A line above, below and under the head; nothing between rows.
const STYLE: TableStyle = TableStyle::new()
    .top_border(LineStyle::none().fill('─').junction('─'))
    .header_separator(LineStyle::none().fill('─').junction('─'))
    .bottom_border(LineStyle::none().fill('─').junction('─'));
/// The width tables are wrapped to where this is no terminal; `COLUMNS` says another.
const USUAL_WIDTH: u16 = 140;

/// Prints the report's short form to `out`.
pub fn print(out: &mut impl Write, report: &Report<'_>) -> io::Result<()> {
    for warning in report.warnings() {
        writeln!(out, "warning: {warning}")?;
    }
    for sentence in audit::verdict(report) {
        writeln!(out, "{sentence}")?;
    }
    for (label, value) in window::facts(report).iter().filter(|_| report.audit.is_none()) {
        writeln!(out, "{label}: {value}")?;
    }
    writeln!(out, "\n{}\n", tables::seed_block(report))?;
    if let Some(line) = verdict::line(report) {
        writeln!(out, "{line}\n")?;
    }
    for table in tables::all(report) {
        print_table(out, &table)?;
    }
    for sentence in tables::own_error(report) {
        writeln!(out, "{sentence}")?;
    }
    for note in report.notes.iter().chain(&report.manifest.notes) {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}

/// Prints a page of what is no single run's report to `out`.
pub fn print_page(out: &mut impl Write, page: &Page) -> io::Result<()> {
    for sentence in &page.first {
        writeln!(out, "{sentence}")?;
    }
    if !page.first.is_empty() {
        writeln!(out)?;
    }
    page.tables.iter().try_for_each(|table| print_table(out, table))?;
    page.last.iter().try_for_each(|sentence| writeln!(out, "{sentence}"))
}

/// Prints a calibration's tables to `out`.
pub fn print_calibration(out: &mut impl Write, calibration: &Calibration) -> io::Result<()> {
    calibration::tables(calibration).iter().try_for_each(|table| print_table(out, table))
}

/// How wide a table may be.
fn width() -> u16 {
    // What a test finds must not depend on where it is run.
    let of_terminal = || if cfg!(test) { None } else { terminal_size_of(io::stdout()) };
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    said.or_else(|| of_terminal().map(|(width, _)| width.0)).unwrap_or(USUAL_WIDTH)
}

/// The width of a table in which nothing is wrapped, with a blank on each side of a cell and between two.
fn widest(table: &Table) -> usize {
    let cell = |row: &Vec<String>, i: usize| row.get(i).map_or(0, |text| text.chars().count());
    let rows = || table.rows.iter().chain([&table.head]);
    (0..table.head.len())
        .map(|i| rows().map(|row| cell(row, i)).max().unwrap_or(0) + 3)
        .sum::<usize>()
        .saturating_sub(1)
}

pub(super) fn print_table(out: &mut impl Write, table: &Table) -> io::Result<()> {
    let mut grid = Grid::new();
    grid.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
    let width = width();
    grid.set_width(width);
    grid.set_header(&table.head);
    for row in &table.rows {
        grid.add_row(row);
    }
    if widest(table) > usize::from(width) {
        // Closer together before anything is wrapped.
        for column in grid.column_iter_mut() {
            column.set_padding((0, 1));
        }
    }
    writeln!(out, "{}\n{grid}", table.title)?;
    for sentence in &table.below {
        writeln!(out, "{sentence}")?;
    }
    writeln!(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Two columns of `cell` letters.
    fn lines(cell: usize) -> Vec<String> {
        let row = || vec!["a".repeat(cell), "b".repeat(cell)];
        let table = Table { title: "T".to_owned(), head: row(), rows: vec![row()], below: Vec::new() };
        let mut out = Vec::new();
        print_table(&mut out, &table).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn columns_move_together_before_a_cell_is_wrapped() {
        if std::env::var_os("COLUMNS").is_some() {
            return;
        }
        let gap = |cell: usize| lines(cell)[2].trim().matches(' ').count();
        // With 5 blanks 67 + 67 are 139 wide, and 68 + 68 are 141.
        assert_eq!((gap(67), gap(68)), (3, 2));
        // A line above, the head, a line, the row, a line; with 70 each cell takes two.
        assert_eq!([67, 68].map(|cell| lines(cell).len()), [7, 7]);
        assert!(lines(70).len() > 7);
    }
}
