//! What a server may remember from one run of a sweep to the next, and asking it to forget. This file must not know which
//! run is made.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::super::target;
use crate::config::{Config, Dataset};
use crate::net::HttpUrl;
use crate::server::{Server, prefix_cache};
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
        let target = &self.config.target;
        let Some(base_url) = target.base_url.as_ref().filter(|_| self.asks && self.refused.is_none()) else {
            return;
        };
        let mut headers = target.headers.clone();
        headers
            .extend(target.api_key.iter().map(|key| ("Authorization".to_owned(), format!("Bearer {key}"))));
        let trust = target::trust(self.config);
        let asked = self.kind(base_url).and_then(|kind| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let reset = prefix_cache::reset(kind, base_url, &headers, &trust);
            Ok(runtime.block_on(async {
                // A server that has just been loaded may be slow to answer.
                tokio::time::timeout(Duration::from_mins(1), reset)
                    .await
                    .unwrap_or_else(|_| Err("no answer".to_owned()))
            }))
        });
        let said = match asked {
            Ok(Ok(())) => return,
            Ok(Err(why)) => why,
            Err(error) => error.to_string(),
        };
        self.refused = Some(super::super::secrets(self.config).clean(&said).into_owned());
    }

    /// Which server it is, asked where that was not said.
    fn kind(&self, base_url: &str) -> anyhow::Result<&'static Server> {
        let probe = target::ask_server(self.config, &HttpUrl::parse(base_url)?, self.interrupt)?;
        Ok(target::kind(self.config, Some(&probe))?.0)
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
