//! How requests ended, and what was said of those that failed. This file must not know why any did.

use super::page::{Page, Section};
use crate::report::tables;
use crate::units;

/// The section.
pub fn section(page: &mut Page<'_>) -> anyhow::Result<Option<Section>> {
    let counts = &page.report.summary.counts;
    let by_status: Vec<String> =
        counts.by_status.iter().map(|(status, n)| format!("{} {status}", units::count(*n as u64))).collect();
    let table = tables::errors(page.report);
    let body = if table.rows.is_empty() || page.report.audit.is_some() {
        String::new()
    } else {
        page.table(&table)?
    };
    let lead = if counts.failed == 0 {
        format!("No request failed: {}.", by_status.join(", "))
    } else {
        format!(
            "{} of {} requests failed: {}.",
            units::count(counts.failed as u64),
            units::count(counts.total as u64),
            by_status.join(", ")
        )
    };
    Ok(Some(Section { id: "errors", short: "Errors", title: "Errors".to_owned(), lead, body }))
}
