//! What a server may remember from one run of a sweep to the next, and asking it to forget. This file must not know which
//! run is made.

use tokio_util::sync::CancellationToken;

use super::super::forget::forget;
use crate::config::{Config, Dataset};
use crate::sweep::asked::Asked;

/// The caches of the server that a sweep is sent to.
pub(super) struct Caches<'a> {
    config: &'a Config,
    asks: bool,
    refused: Option<String>,
    interrupt: &'a CancellationToken,
}

impl<'a> Caches<'a> {
    pub(super) fn new(config: &'a Config, asked: &Asked, interrupt: &'a CancellationToken) -> Self {
        Self { config, asks: asked.reset_prefix_cache, refused: None, interrupt }
    }

    /// Asks the server to forget, if that is wanted; that it would not is noted once.
    pub(super) fn before_a_run(&mut self) {
        if self.asks && self.refused.is_none() {
            self.refused = forget(self.config, self.interrupt).err();
        }
    }

    /// What a reader must know of caches.
    pub(super) fn note(&self, notes: &mut Vec<String>) {
        if self.config.target.base_url.is_none() {
            notes.push("the embedded server was started anew for each run: no run finds another's prompts in its prefix cache".to_owned());
        } else if let Some(why) = &self.refused {
            notes.push(format!("the server's prefix cache was not reset between runs: {why}"));
        } else if !self.asks {
            let repeated = !matches!(self.config.workload.dataset, Dataset::Random { .. });
            notes.push(format!(
                "all runs were sent to one server, whose prefix cache was not reset between them{}",
                if repeated { ": prompts come from one file, and a later run may send those of an earlier one again (`--reset-prefix-cache`)" } else { "; each run drew prompts of its own" }
            ));
        }
    }
}
