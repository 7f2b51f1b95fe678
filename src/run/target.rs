//! The server that a run is sent to: what it answers when asked, which of its models is meant, and what every
//! request to it has in common. This file must not know when anything is sent.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::secrets;
use crate::clock::UnixNs;
use crate::config::Config;
use crate::error::{broken, usage};
use crate::load::openai::BodyOptions;
use crate::load::{Bodies, Requests};
use crate::net::HttpUrl;
use crate::record::Prompt;
use crate::server::probe::{self, Probe};
use crate::server::trust::Trust;
use crate::server::{self, SERVERS, Server};

/// Taken where nothing tells which server it is.
pub(super) const USUAL: &Server = &server::vllm::VLLM;

pub(super) fn ask_server(
    config: &Config,
    target: &HttpUrl,
    interrupt: &CancellationToken,
) -> anyhow::Result<Probe> {
    let mut headers = config.target.headers.clone();
    if let Some(key) = &config.target.api_key {
        headers.push(("Authorization".to_owned(), format!("Bearer {key}")));
    }
    let patience = Duration::from_secs_f64(config.target.ready_timeout_s);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let base_url = target.to_string();
    let trust = trust(config);
    let (named, pages) = (named(config)?, config.observe.metrics_urls.as_slice());
    let answered = runtime.block_on(async {
        tokio::select! {
            answered = probe::probe(&base_url, &headers, patience, &trust, named, pages) => Ok(answered),
            () = interrupt.cancelled() => Err(crate::error::interrupted("stopped while waiting for the server")),
        }
    })?;
    answered.map_err(|error| {
        let (hint, said) = (error.hint(), error.to_string());
        broken(secrets(config).clean(&said)).hint(hint).into()
    })
}

/// Which server it is, and how that is known: as named, else as recognised, else the usual one.
pub(super) fn kind(config: &Config, probe: Option<&Probe>) -> anyhow::Result<(&'static Server, String)> {
    if let Some(named) = named(config)? {
        return Ok((named, "named".to_owned()));
    }
    Ok(match probe.and_then(|probe| probe.recognised.as_ref()) {
        Some(found) => (found.server, format!("recognised by {}", found.by)),
        None => (USUAL, "assumed: nothing it says tells which server it is; --server names it".to_owned()),
    })
}

/// The server that the user names; the embedded one is what it poses as.
pub(super) fn named(config: &Config) -> anyhow::Result<Option<&'static Server>> {
    let name = match (&config.target.server, &config.target.base_url) {
        (_, None) => config.target.embedded.pose.server(),
        (Some(name), Some(_)) => name.as_str(),
        (None, Some(_)) => return Ok(None),
    };
    known(name).map(Some)
}

/// The server called `name`.
pub(super) fn known(name: &str) -> anyhow::Result<&'static Server> {
    server::find(name).ok_or_else(|| {
        let known: Vec<&str> = SERVERS.iter().map(|s| s.name).collect();
        usage(format!("`{name}` is no kind of server that is known"))
            .hint(format!("one of {}", known.join(", ")))
            .into()
    })
}

/// Where what the server says of itself is not what the user says.
pub(super) fn contradiction(kind: &Server, probe: Option<&Probe>) -> Option<String> {
    let found = probe?.recognised.as_ref().filter(|found| found.server.name != kind.name)?;
    Some(format!(
        "the server is taken for {}, as named, but looks like {} by {}",
        kind.name, found.server.name, found.by
    ))
}

/// Whose certificates are believed.
pub(super) fn trust(config: &Config) -> Trust {
    Trust { ca_cert: config.target.ca_cert.clone(), insecure: config.target.insecure }
}

/// The model asked for, or the first that is served. A name that the server does not list is wrong
/// before a thousand requests have said so.
pub(super) fn choose_model(config: &Config, probe: &Probe) -> anyhow::Result<String> {
    let listed = || probe.models.iter().map(|m| format!("`{m}`")).collect::<Vec<_>>().join(", ");
    match &config.target.model {
        Some(model) if probe.models.is_empty() || probe.models.contains(model) => Ok(model.clone()),
        // A gateway that lists a pattern serves names that it does not list.
        Some(model) if probe.models.iter().any(|m| m.contains('*')) => Ok(model.clone()),
        Some(model) => Err(usage(format!("the server does not serve a model `{model}`"))
            .hint(secrets(config).clean(&format!("it serves {}", listed())))
            .into()),
        None => probe.models.first().cloned().ok_or_else(|| {
            usage("no model given, and the server lists none").hint("name it with --model").into()
        }),
    }
}

pub(super) fn requests(
    config: &Config,
    kind: &Server,
    prompts: Arc<[Prompt]>,
    target: HttpUrl,
    model: String,
) -> Requests {
    let (t, w) = (&config.target, &config.workload);
    Requests {
        prompts,
        options: BodyOptions {
            endpoint: t.endpoint,
            model,
            stream: w.stream,
            temperature: w.temperature,
            top_p: w.top_p,
            ignore_eos: w.ignore_eos,
            extra_body: w.extra_body.clone(),
        },
        target,
        path: t.path.clone().unwrap_or_else(|| t.endpoint.path().to_owned()),
        headers: t.headers.clone(),
        api_key: t.api_key.clone(),
        id_prefix: config.load.request_id_prefix.clone(),
        continuous_usage: kind.continuous_usage.into(),
        nonce: nonce(),
        bodies: Bodies::default(),
        leg: None,
        history: None,
    }
}

/// Unlike the seed, different in every run, in its lower half too: ids are made of it, and servers'
/// logs and traces outlive runs. Never 0.
pub(super) fn nonce() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one((UnixNs::now(), std::process::id())) | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs started in the same second, on one host or on several, must not share ids.
    #[test]
    fn the_lower_half_of_the_nonce_differs_from_run_to_run() {
        let low: std::collections::HashSet<u32> = (0..50).map(|_| nonce() as u32).collect();
        assert_eq!(low.len(), 50);
    }
}
