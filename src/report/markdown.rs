//! `report.md`: the whole report, to be read on a forge or pasted into a page. Layout only.

use std::fmt::Write as _;

use super::page::Page;
use super::tables::{self, Table};
use super::{Artifact, Report, audit, verdict};
use crate::plain::steers;
use crate::plot;

pub(super) const ARTIFACT: Artifact = Artifact { file: "report.md", what: "the report for people", write };

fn write(report: &Report<'_>) -> anyhow::Result<String> {
    let mut out = String::new();
    writeln!(out, "# {}\n", escape(&report.manifest.name))?;
    for warning in report.warnings() {
        writeln!(out, "> **Warning:** {}\n", escape(&warning))?;
    }
    for sentence in audit::verdict(report) {
        writeln!(out, "**{}**\n", escape(&sentence))?;
    }
    for (label, value) in report.facts() {
        writeln!(out, "- {label}: {}", escape(&value))?;
    }
    if let Some(line) = verdict::line(report) {
        writeln!(out, "\n**{}**", escape(&line))?;
    }
    writeln!(out, "\n```\n{}\n```", tables::seed_block(report))?;
    for table in tables::all(report).iter().chain(&tables::more(report)) {
        write_table(&mut out, table)?;
    }
    writeln!(out, "\n## The tool's own part\n")?;
    for sentence in tables::own_error(report) {
        writeln!(out, "- {}", escape(&sentence))?;
    }
    let notes: Vec<&String> = report.notes.iter().chain(&report.manifest.notes).collect();
    if !notes.is_empty() {
        writeln!(out, "\n## Notes\n")?;
        for note in notes {
            writeln!(out, "- {}", escape(note))?;
        }
    }
    writeln!(out, "\n## Definitions\n")?;
    for m in &report.summary.client {
        writeln!(out, "- {}: {}", m.title, m.definition)?;
    }
    writeln!(
        out,
        "- Percentiles: linear interpolation between order statistics. Intervals: 95 %, of requests in time order: for means the studentised block bootstrap (block length by Politis and White), for percentiles order statistics at the effective n."
    )?;
    for (caption, name) in figures(report) {
        writeln!(out, "\n![{caption}](plots/{name}.svg)")?;
    }
    Ok(out)
}

/// Caption and name of each figure that there is.
fn figures(report: &Report<'_>) -> Vec<(&'static str, &'static str)> {
    let data = report.figures;
    if report.audit.is_some() {
        return vec![("Both ways, cell by cell", "audit")];
    }
    let known = [
        (!data.bars.is_empty(), ("Where the time went", "breakdown")),
        (!plot::pairs(data).is_empty(), ("Client and server", "split_violin")),
        (!data.samples.is_empty(), ("The run's four metrics", "req_metrics_violin")),
        (data.over_time.is_some(), ("The run over time", "timeline")),
        (!data.falls.is_empty(), ("Single requests", "waterfall")),
    ];
    known.into_iter().filter(|(there, _)| *there).map(|(_, figure)| figure).collect()
}

/// A page of what is no single run's report.
pub(super) fn page(page: &Page) -> String {
    let mut out = format!("# {}\n", escape(&page.title));
    for sentence in &page.first {
        let _ = write!(out, "\n**{}**\n", escape(sentence));
    }
    for table in &page.tables {
        let _ = write_table(&mut out, table);
    }
    for (caption, file) in &page.figures {
        let _ = write!(out, "\n![{}]({file})\n", escape(caption));
    }
    if !page.last.is_empty() {
        out.push('\n');
    }
    for sentence in &page.last {
        let _ = writeln!(out, "- {}", escape(sentence));
    }
    out
}

pub(super) fn write_table(out: &mut String, table: &Table) -> std::fmt::Result {
    writeln!(out, "\n## {}\n", table.title)?;
    let line =
        |cells: &[String]| format!("| {} |", cells.iter().map(|c| escape(c)).collect::<Vec<_>>().join(" | "));
    writeln!(out, "{}", line(&table.head))?;
    writeln!(out, "|{}", "---|".repeat(table.head.len()))?;
    for row in &table.rows {
        writeln!(out, "{}", line(row))?;
    }
    for sentence in &table.below {
        writeln!(out, "\n{}", escape(sentence))?;
    }
    Ok(())
}

/// Text from outside (errors, names) must not become markup or break a table.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '`' | '*' | '<' | '~' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            // A link, and no interval like `[1, 2]`.
            '(' if out.ends_with(']') => out.push_str("\\("),
            '\n' | '\r' => out.push(' '),
            // The file is looked at on terminals, too.
            c if steers(c) => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_stays_text() {
        assert_eq!(
            escape("a|b\n`c` <i> [x](http://y) 3 ms [2, 4]"),
            "a\\|b \\`c\\` \\<i> [x]\\(http://y) 3 ms [2, 4]"
        );
    }
}
