//! A run whose raw records are on disk and whose report is still to be made: what is found out in
//! between can be kept with it. This file must not know what that is.

use std::path::Path;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Outcome, recompute};
use crate::error::Exit;
use crate::store::{Manifest, RunFolder};

/// The first half of a run, done.
pub struct Recorded {
    pub(super) folder: RunFolder,
    pub(super) manifest: Manifest,
    pub(super) interrupt: CancellationToken,
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
        let recomputed = recompute(self.folder.path())?;
        let exit = if self.interrupt.is_cancelled() {
            Exit::Interrupted
        } else if recomputed.summary.counts.ok == 0 {
            Exit::Broken
        } else {
            Exit::Finished
        };
        Ok(Outcome { folder: self.folder.path().to_owned(), exit, recomputed })
    }
}
