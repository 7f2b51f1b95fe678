//! How far the numbers can be trusted: the reconciliation, the clocks, the tool's own part. This file must not
//! know how a check is made.

use super::page::{Page, Section};
use crate::report::{calibration, clocks, gaps, hosts, over_window, own, tables};

/// The section.
pub fn section(page: &mut Page<'_>) -> anyhow::Result<Option<Section>> {
    let report = page.report;
    // An audit's tables have them already.
    let shown = if report.audit.is_some() {
        Vec::new()
    } else {
        let whole = |table| tables::whole_run(report, table);
        vec![
            hosts::table(report),
            whole(tables::checks(report)),
            whole(clocks::table(report)),
            own::table(report),
            whole(gaps::table(report)),
            calibration::section(report),
            whole(over_window::table(report)),
        ]
    };
    let mut body = String::new();
    for table in shown.iter().filter(|table| !table.rows.is_empty()) {
        body += &page.table(table)?;
    }
    let lead = tables::own_error(report).join(" ");
    Ok((!body.is_empty() || !lead.is_empty()).then(|| Section {
        id: "evidence",
        short: "Evidence",
        title: "How sure this is".to_owned(),
        lead,
        body,
    }))
}
