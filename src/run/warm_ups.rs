//! Warm-up requests, by both ways of an audit: part of no result, but servers and hops count them. This file must not know
//! how a request is sent.

use tokio_util::sync::CancellationToken;

use crate::export::Exporter;
use crate::load::{self, Plan};
use crate::record::{RequestRow, Status};
use crate::secrets::Secrets;
use crate::store::Manifest;

/// What was sent before the load.
pub(super) struct WarmUps {
    rows: Vec<RequestRow>,
    /// So many of the first went past the hops.
    past_hops: usize,
}

impl WarmUps {
    /// Sends them, one after another; of an audit by way of the gateway, too. A run's own go through its hops.
    pub(super) fn send(
        plan: &Plan,
        through: Option<&Plan>,
        halt: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let mut rows = load::warm_up(plan, 0, halt)?;
        let past_hops = if through.is_some() { rows.len() } else { 0 };
        if let Some(through) = through {
            rows.extend(load::warm_up(through, rows.len() as u64, halt)?);
        }
        Ok(Self { rows, past_hops })
    }

    /// Their spans are exported like others; what failed is said.
    pub(super) fn tell(&self, manifest: &mut Manifest, secrets: &Secrets, exporter: Option<&Exporter>) {
        if let Some(feed) = exporter.map(Exporter::feed) {
            self.rows.iter().for_each(|row| feed.offer(row));
        }
        for error in self.rows.iter().filter_map(|row| row.error.as_ref()) {
            manifest.warn(secrets.clean(&format!("a warm-up request failed: {error}")));
        }
    }

    /// How many ended well.
    pub(super) fn ok(&self) -> u64 {
        count_ok(&self.rows)
    }

    /// Of those by way of the hops: how many ended well, and all.
    pub(super) fn by_hops(&self) -> [u64; 2] {
        let rows = self.rows.get(self.past_hops..).unwrap_or_default();
        [count_ok(rows), rows.len() as u64]
    }
}

fn count_ok(rows: &[RequestRow]) -> u64 {
    rows.iter().filter(|row| row.status == Status::Ok).count() as u64
}
