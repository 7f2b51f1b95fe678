//! What lies between client and server: verdicts, how each hop's rows were joined, what gateways state. This
//! file must not know how a verdict is reached.

use super::page::{Page, Section};
use crate::report::{hops, tables, verdicts};

/// The section; of an audit all its tables, which are about nothing else.
pub fn section(page: &mut Page<'_>) -> anyhow::Result<Option<Section>> {
    let report = page.report;
    let run = report.correlated;
    let (id, short, title, shown) = if report.audit.is_some() {
        let all = tables::all(report).into_iter().chain(tables::more(report)).collect();
        ("audit", "Audit", "What going through adds", all)
    } else {
        let tables = vec![
            tables::whole_run(report, verdicts::table(report)),
            tables::whole_run(report, hops::joins(&run.hops)),
            hops::stated(&run.hops),
        ];
        ("between", "Between", "Between client and server", tables)
    };
    let mut body = String::new();
    for table in shown.iter().filter(|table| !table.rows.is_empty()) {
        body += &page.table(table)?;
    }
    Ok((!body.is_empty()).then(|| Section { id, short, title: title.to_owned(), lead: String::new(), body }))
}
