//! A server's log given after the run: its lines join the raw records of the run folder. This file
//! must not know what the lines say.

use std::path::Path;

use crate::error::usage;
use crate::ingest;
use crate::record::LogRow;
use crate::store::append::JsonLines;
use crate::store::folder::LOG_STREAM;
use crate::store::manifest::{SourceFacts, StageCounts};
use crate::store::{Lines, Manifest, RunFolder};

/// Parses `log` and appends its lines to `folder`; a log that is there already is refused.
pub fn add_log(folder: &Path, log: &Path) -> anyhow::Result<()> {
    let folder = RunFolder::open(folder)?;
    let stream = folder.file(LOG_STREAM);
    let source = log.display().to_string();
    let there: Lines<LogRow> = Lines::read(&stream)?;
    if there.rows.iter().any(|row| row.source == source) {
        return Err(usage(format!("`{source}` is among the records of this run already"))
            .hint("leave --server-log out: the report is made from the records")
            .into());
    }
    let mut manifest = Manifest::read(&folder)?;
    let server = super::server_kind(&manifest.target.server)?;
    let mut rows = Vec::new();
    let (report, notes) = ingest::read_log(log, server, |row| rows.push(row))?;
    let mut stream = JsonLines::extend(&stream)?;
    rows.iter().try_for_each(|row| stream.append(row))?;
    manifest.sources.push(SourceFacts {
        kind: report.kind.clone(),
        location: report.source.clone(),
        rows: report.parsed,
        note: Some("given after the run".to_owned()),
    });
    let counts = StageCounts { rows_in: report.seen, rows_out: report.parsed, bad: report.rejected };
    manifest.counts.insert(format!("{} {}", report.kind, report.source), counts);
    manifest.notes.extend(notes);
    manifest.write(&folder)
}
