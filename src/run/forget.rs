//! Asking the server to forget the prompts it knows, before a run. This file must not know which run is made.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{secrets, target};
use crate::config::Config;
use crate::net::HttpUrl;
use crate::server::prefix_cache;

/// A server that has just been loaded may be slow to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// Asks it. The error says why it did not, without secrets. The embedded server, which is started anew, is not asked.
pub(super) fn forget(config: &Config, interrupt: &CancellationToken) -> Result<(), String> {
    let Some(base_url) = &config.target.base_url else { return Ok(()) };
    let said = match ask(config, base_url, interrupt) {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(why)) => why,
        Err(error) => error.to_string(),
    };
    Err(secrets(config).clean(&said).into_owned())
}

fn ask(config: &Config, base_url: &str, interrupt: &CancellationToken) -> anyhow::Result<Result<(), String>> {
    let probe = target::ask_server(config, &HttpUrl::parse(base_url)?, interrupt)?;
    let (kind, _) = target::kind(config, Some(&probe))?;
    let mut headers = config.target.headers.clone();
    let key = config.target.api_key.iter();
    headers.extend(key.map(|key| ("Authorization".to_owned(), format!("Bearer {key}"))));
    let trust = target::trust(config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reset = prefix_cache::reset(kind, base_url, &headers, &trust);
    Ok(runtime.block_on(async {
        tokio::time::timeout(PATIENCE, reset).await.unwrap_or_else(|_| Err("no answer".to_owned()))
    }))
}
