//! A log or a stat log of the server, or the log of a hop, given after the run: its rows join the raw records of the run
//! folder. This file must not know what the lines say.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::hop_file;
use crate::config::Hop;
use crate::error::usage;
use crate::ingest::reader::{HOP_LOG, Kind, SERVER_LOG, STAT_LOG};
use crate::ingest::{self, SourceReport};
use crate::record::{HopRow, LogRow, StatRow};
use crate::store::append::JsonLines;
use crate::store::folder::{HOPS_STREAM, LOG_STREAM, STAT_LOG_STREAM};
use crate::store::manifest::{SourceFacts, StageCounts};
use crate::store::{Lines, Manifest, RunFolder};

/// Parses `log` and appends its lines to `folder`; a log that is there already is refused.
pub fn add_log(folder: &Path, log: &Path) -> anyhow::Result<()> {
    let folder = RunFolder::open_to_write(folder).map_err(super::unusable)?;
    is_new::<LogRow>(&folder, LOG_STREAM, &SERVER_LOG, log, |row| &row.source)?;
    let mut manifest = Manifest::read(&folder)?;
    let server = super::target::known(&manifest.target.server)?;
    let mut rows = Vec::new();
    let (report, notes) = ingest::read_log(log, server, |row| rows.push(row))?;
    append(&folder, LOG_STREAM, &rows)?;
    note(&mut manifest, &report, notes);
    manifest.write(&folder)
}

/// The same for what the server's stat logger wrote.
pub fn add_stat_log(folder: &Path, log: &Path) -> anyhow::Result<()> {
    let folder = RunFolder::open_to_write(folder).map_err(super::unusable)?;
    is_new::<StatRow>(&folder, STAT_LOG_STREAM, &STAT_LOG, log, |row| &row.source)?;
    let mut manifest = Manifest::read(&folder)?;
    let mut rows = Vec::new();
    let (report, notes) = ingest::read_stat_log(log, |row| rows.push(row))?;
    append(&folder, STAT_LOG_STREAM, &rows)?;
    note(&mut manifest, &report, notes);
    manifest.write(&folder)
}

/// The same for the log of a hop, which joins the run's list of hops if it is not in it.
pub fn add_hop(folder: &Path, hop: &Hop) -> anyhow::Result<()> {
    let folder = RunFolder::open_to_write(folder).map_err(super::unusable)?;
    is_new::<HopRow>(&folder, HOPS_STREAM, &HOP_LOG, &hop.log, |row| &row.source)?;
    let mut manifest = Manifest::read(&folder)?;
    let (rows, report, notes) = hop_file::read(hop, None)?;
    append(&folder, HOPS_STREAM, &rows)?;
    note(&mut manifest, &report, notes);
    manifest.write(&folder)
}

fn is_new<T: DeserializeOwned>(
    folder: &RunFolder,
    stream: &str,
    kind: &Kind,
    file: &Path,
    source_of: fn(&T) -> &String,
) -> anyhow::Result<()> {
    let source = file.display().to_string();
    let there: Lines<T> = Lines::read(&folder.file(stream))?;
    if there.rows.iter().any(|row| *source_of(row) == source) {
        return Err(usage(format!("`{source}` is among the records of this run already"))
            .hint(format!("leave {} out: the report is made from the records", kind.flag))
            .into());
    }
    Ok(())
}

/// All rows or none: half a log would be refused the next time as one that is there already.
fn append<T: Serialize>(folder: &RunFolder, stream: &str, rows: &[T]) -> anyhow::Result<()> {
    JsonLines::extend(&folder.file(stream))?.append_all(rows.iter())
}

fn note(manifest: &mut Manifest, report: &SourceReport, notes: Vec<String>) {
    manifest.sources.push(SourceFacts {
        kind: report.kind.clone(),
        location: report.source.clone(),
        rows: report.parsed,
        note: Some("given after the run".to_owned()),
    });
    let counts = StageCounts { rows_in: report.seen, rows_out: report.parsed, bad: report.rejected };
    manifest.counts.insert(format!("{} {}", report.kind, report.source), counts);
    manifest.notes.extend(notes);
}
