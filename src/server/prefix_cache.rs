//! Asking a server to forget the prompts it knows, where it can be asked. This file must not know when that is needed.

use std::time::Duration;

use super::Server;
use super::ask::ask;
use super::trust::Trust;

/// Paths below the base URL, by server; both are POST without a body.
const PATHS: [(&str, &str); 2] = [("vllm", "/reset_prefix_cache"), ("sglang", "/flush_cache")];

/// Where a server is asked; `None`: it cannot be.
pub fn path(server: &Server) -> Option<&'static str> {
    PATHS.iter().find(|(name, _)| *name == server.name).map(|(_, path)| *path)
}

/// Asks it. The error says why it did not, and what to do.
pub async fn reset(
    server: &Server,
    base_url: &str,
    headers: &[(String, String)],
    trust: &Trust,
) -> Result<(), String> {
    let path = path(server).ok_or_else(|| format!("{} cannot be asked to", server.name))?;
    let url = format!("{}{path}", base_url.trim_end_matches('/'));
    let answer = ask(&url, Some(Vec::new()), headers, Duration::from_secs(30), trust).await?;
    match answer.status {
        200..=299 => Ok(()),
        404 | 405 if server.name == "vllm" => {
            Err(format!("{path}: HTTP {} (vLLM has it with VLLM_SERVER_DEV_MODE=1)", answer.status))
        }
        status => Err(format!("{path}: HTTP {status}")),
    }
}
