//! A run whose raw records are on disk and whose report is still to be made: what is found out in
//! between can be kept with it. This file must not know what that is.

use std::path::Path;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::Outcome;
use super::recompute::recompute_in;
use crate::error::{self, Exit, Explain};
use crate::expose::Exposed;
use crate::record::selection::Selection;
use crate::store::{Manifest, RunFolder};

/// The first half of a run, done.
pub struct Recorded {
    pub(super) folder: RunFolder,
    pub(super) manifest: Manifest,
    pub(super) interrupt: CancellationToken,
    /// What was measured and could not be kept.
    pub(super) broke: Option<String>,
    /// The client's metrics, while they are served.
    pub(super) page: Option<Exposed>,
}

impl Recorded {
    /// The run folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Token events that were written.
    pub fn events(&self) -> u64 {
        self.manifest.counts.get("events").map_or(0, |counts| counts.rows_out)
    }

    /// Keeps a value in the manifest, where the report finds it.
    pub fn keep(&mut self, key: &str, value: Value) -> anyhow::Result<()> {
        self.manifest.extra.insert(key.to_owned(), value);
        self.manifest.write(&self.folder)
    }

    /// Keeps a note for the report.
    pub fn note(&mut self, note: &str) -> anyhow::Result<()> {
        self.manifest.note(note);
        self.manifest.write(&self.folder)
    }

    /// Keeps a warning for the report.
    pub fn warn(&mut self, warning: &str) -> anyhow::Result<()> {
        self.manifest.warn(warning);
        self.manifest.write(&self.folder)
    }

    /// The second half: tables, report and figures.
    pub fn report(self) -> anyhow::Result<Outcome> {
        let path = self.folder.path().to_owned();
        let mut recomputed = recompute_in(&self.folder, Selection::All).hint(kept(&path))?;
        let broke = self.broke.map(|said| error::broken(said).hint(written(&path)).into());
        let broke = broke.or_else(|| recomputed.unwritten_in(&path));
        let exit = if self.interrupt.is_cancelled() {
            Exit::Interrupted
        } else if recomputed.summary.counts.ok == 0 || broke.is_some() {
            Exit::Broken
        } else {
            Exit::Finished
        };
        Ok(Outcome { folder: path, exit, recomputed, broke, page: self.page })
    }
}

fn kept(folder: &Path) -> String {
    format!("every record is kept: `tare report {}` makes the report of them", folder.display())
}

fn written(folder: &Path) -> String {
    format!("what was written is kept: `tare report {}` makes the report of it", folder.display())
}
