//! What every step of a run has at hand while its load is made ready and goes on. This file must not know the order
//! of the steps.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::ranks::{Ranks, Session};
use super::writer::Writer;
use super::{Options, save, secrets};
use crate::config::Config;
use crate::export::Exporter;
use crate::expose::Exposed;
use crate::load::Live;
use crate::record::shard;
use crate::record::share::Share;
use crate::secrets::Secrets;
use crate::store::{Manifest, RunFolder};

/// A run that goes on, and where its records go.
pub(super) struct UnderWay<'a> {
    pub config: &'a Config,
    pub options: &'a Options,
    pub folder: &'a RunFolder,
    pub manifest: &'a mut Manifest,
    pub writer: &'a Writer,
    pub live: Arc<Live>,
    /// Ends the load: by the user's wish, or because what it measures can no longer be kept.
    pub halt: CancellationToken,
    pub beside: &'a mut Beside,
}

/// What lives longer than the load, and is ended by whoever measures, whatever became of the load.
#[derive(Default)]
pub(super) struct Beside {
    /// Ended when the last row is written.
    pub exporter: Option<Exporter>,
    /// Fed to the last row, and served for longer than that.
    pub page: Option<Exposed>,
    /// The other processes that send the load, once they have met.
    pub session: Option<Session>,
}

impl UnderWay<'_> {
    /// Writes the manifest as it stands.
    pub fn save(&mut self) -> anyhow::Result<()> {
        save(self.manifest, self.folder, self.config)
    }

    /// Writes it with the part of the load that is sent here, for the report and for the merging of all parts.
    pub fn save_shard(&mut self) -> anyhow::Result<()> {
        self.note_shard()?;
        self.save()
    }

    /// Notes which part of the load is sent here.
    pub fn note_shard(&mut self) -> anyhow::Result<()> {
        if let Some(session) = &self.beside.session {
            let shard = serde_json::to_value(session.shard())?;
            self.manifest.extra.insert(shard::SHARD.to_owned(), shard);
        }
        Ok(())
    }

    /// Whether the server's side is recorded here: of several processes one does.
    pub fn observes(&self) -> bool {
        self.options.ranks.as_ref().is_none_or(Ranks::observes)
    }

    /// The part of the load that is sent here.
    pub fn share(&self) -> Share {
        self.options.share()
    }

    pub fn secrets(&self) -> Secrets {
        secrets(self.config)
    }
}
