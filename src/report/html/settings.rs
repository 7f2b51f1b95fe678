//! What was run, where, and on what: the resolved configuration, the machine, the sources of the server's side,
//! and the files beside the page. This file must not know what any setting does.

use std::fmt::Write as _;

use serde_json::Value;

use super::page::{Page, Section};
use crate::report::tables::Table;
use crate::report::{ARTIFACTS, Report};
use crate::units;

/// The section.
pub fn section(page: &mut Page<'_>) -> anyhow::Result<Option<Section>> {
    let report = page.report;
    let mut body = String::new();
    for table in [machine(report), sources(report), files()] {
        if !table.rows.is_empty() {
            body += &page.table(&table)?;
        }
    }
    let all = settings(report);
    if !all.rows.is_empty() {
        let n = all.rows.len();
        let _ = write!(
            body,
            "<details class=\"more\"><summary>All {n} settings, as they were resolved from file and flags</summary>"
        );
        body += &page.table(&all)?;
        body += "</details>";
    }
    let lead = "What was run, where and on what. Secrets are never in it.".to_owned();
    Ok(Some(Section {
        id: "settings",
        short: "Settings",
        title: "Configuration and environment".to_owned(),
        lead,
        body,
    }))
}

fn table(title: &str, head: &[&str], rows: Vec<Vec<String>>) -> Table {
    let head = head.iter().map(|&s| s.to_owned()).collect();
    Table { title: title.to_owned(), head, rows, below: Vec::new() }
}

fn machine(report: &Report<'_>) -> Table {
    let (m, host) = (report.manifest, &report.manifest.host);
    let facts = [
        ("tare", Some(m.tool.version.clone())),
        ("host", host.hostname.clone()),
        ("system", host.os.clone()),
        ("kernel", host.kernel.clone()),
        ("CPU", host.cpu_model.clone()),
        ("CPUs", host.cpus.map(|n| n.to_string())),
        ("memory", host.memory_bytes.map(units::mebibytes)),
        ("server", Some(m.target.server.clone())),
        ("server's version", m.target.server_version.clone()),
        ("model", m.target.model.clone()),
        ("server on this host", Some(if m.target.same_host { "yes" } else { "no" }.to_owned())),
    ];
    let rows = facts.into_iter().filter_map(|(name, value)| Some(vec![name.to_owned(), value?])).collect();
    table("Machine and server", &["what", "value"], rows)
}

fn sources(report: &Report<'_>) -> Table {
    let row = |s: &crate::store::manifest::SourceFacts| {
        let note = s.note.clone().unwrap_or_default();
        vec![s.kind.clone(), s.location.clone(), units::count(s.rows), note]
    };
    let rows = report.manifest.sources.iter().map(row).collect();
    table("Sources of the server's side", &["source", "where", "rows", "note"], rows)
}

fn settings(report: &Report<'_>) -> Table {
    let mut rows = Vec::new();
    flatten("", &report.manifest.config, &mut rows);
    table("Configuration", &["setting", "value"], rows)
}

/// A line for each leaf, with its path; what is not set is left out.
fn flatten(path: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Object(map) => map.iter().for_each(|(name, inner)| flatten(&below(name), inner, rows)),
        Value::Array(list) if list.iter().any(|inner| inner.is_object() || inner.is_array()) => {
            list.iter().enumerate().for_each(|(n, inner)| flatten(&below(&n.to_string()), inner, rows));
        }
        Value::Array(list) if list.is_empty() => {}
        Value::Array(list) => {
            let texts: Vec<String> = list.iter().map(text).collect();
            rows.push(vec![path.to_owned(), texts.join(", ")]);
        }
        Value::Null => {}
        leaf => rows.push(vec![path.to_owned(), text(leaf)]),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn files() -> Table {
    let mut rows: Vec<Vec<String>> =
        ARTIFACTS.iter().map(|a| vec![a.file.to_owned(), a.what.to_owned()]).collect();
    let plots = vec!["plots/".to_owned(), "figures as SVG and PNG, for a README or slides".to_owned()];
    rows.push(plots);
    table("Files beside this page", &["file", "what"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_lines_with_their_paths() {
        let config = serde_json::json!({
            "load": {"users": 4, "arrival": {"kind": "closed"}, "rate": null},
            "hops": [{"name": "edge"}],
            "list": ["a", 2],
        });
        let mut rows = Vec::new();
        flatten("", &config, &mut rows);
        let shown: Vec<String> = rows.iter().map(|row| row.join(" = ")).collect();
        assert_eq!(
            shown,
            ["hops.0.name = edge", "list = a, 2", "load.arrival.kind = closed", "load.users = 4"]
        );
    }
}
