//! A run folder read and correlated again, with nothing written: for verbs that only look. This file
//! must not know what they look for.

use std::path::Path;

use super::recompute;
use crate::correlate::waterfall;
use crate::record::correlated::Correlated;
use crate::record::own::OwnLag;
use crate::record::waterfall::Waterfall;
use crate::record::{JoinedRow, LogRow, ScrapeRow, SpanRow};
use crate::store::{Manifest, RunData, RunEvents, RunFolder};

/// A run, looked at.
pub struct ReadBack {
    pub manifest: Manifest,
    pub correlated: Correlated,
    pub events: RunEvents,
    pub scrapes: Vec<ScrapeRow>,
    pub log: Vec<LogRow>,
    pub spans: Vec<SpanRow>,
    /// What could not be read.
    pub notes: Vec<String>,
    /// What the program saw of itself while it ran; `None` of a run that was killed.
    pub own: Option<OwnLag>,
}

/// Reads and correlates the raw records of `folder`; changes nothing in it.
pub fn read_back(folder: &Path) -> anyhow::Result<ReadBack> {
    let folder = RunFolder::open(folder).map_err(super::unusable)?;
    let mut data = RunData::read(&folder)?;
    let notes = data.complaints();
    let correlated = recompute::correlated(&mut data)?;
    let own = recompute::own_of(&data.manifest);
    Ok(ReadBack {
        manifest: data.manifest,
        correlated,
        events: data.events,
        scrapes: data.scrapes.rows,
        log: data.log.rows,
        spans: data.spans.rows,
        notes,
        own,
    })
}

impl ReadBack {
    /// One request of it, explained.
    pub fn waterfall(&self, row: &JoinedRow) -> anyhow::Result<Waterfall> {
        let events = self.events.of(&row.client.request_id)?.rows();
        Ok(waterfall::waterfall(row, &events, &self.correlated, self.own.as_ref()))
    }
}
