//! The report on a terminal: what a person wants to see first. Layout only.

use std::io::{self, Write};

use comfy_table::{ContentArrangement, LineStyle, Table as Grid, TableStyle};

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
/// The width tables are wrapped to; `COLUMNS` says another.
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

pub(super) fn print_table(out: &mut impl Write, table: &Table) -> io::Result<()> {
    let mut grid = Grid::new();
    grid.load_style(STYLE).set_content_arrangement(ContentArrangement::Dynamic);
    let width = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).unwrap_or(USUAL_WIDTH);
    grid.set_width(width);
    grid.set_header(&table.head);
    for row in &table.rows {
        grid.add_row(row);
    }
    writeln!(out, "{}\n{grid}", table.title)?;
    for sentence in &table.below {
        writeln!(out, "{sentence}")?;
    }
    writeln!(out)
}
