//! What a server or gateway can prove today: a handful of short requests, sent and recorded as in any
//! run, read back, and asked what of them each source told. This module must not know how its findings
//! are printed.
//!
//! - [`levels`]: the kinds of evidence, one file each
//! - [`between`]: signs of a gateway, one file each
//! - `next`: the one thing to do

mod between;
mod levels;
mod next;
mod seen;

use std::path::PathBuf;
use std::time::Duration;

use self::seen::Seen;
use crate::clock::UnixNs;
use crate::config::Config;
use crate::error::broken;
use crate::load::openai::BodyOptions;
use crate::record::diagnosis::{Diagnosis, ServerFacts};
use crate::record::{Prompt, PromptKind, Status};
use crate::run::{self, Options};
use crate::secrets::Secrets;
use crate::server;
use crate::server::ask::{Asked, ask};
use crate::server::trust::Trust;

/// Streamed requests, one after another: enough pairs for the clocks to contradict one host.
pub const STREAMS: u64 = 5;
/// Tokens of each answer at most: some kilobytes of events, so that a buffer shows.
pub const STREAM_TOKENS: u32 = 48;
/// Of the request that is not streamed.
const UNSTREAMED_TOKENS: u32 = 4;
/// An answer that is not streamed may take so long.
const ANSWER: Duration = Duration::from_mins(2);

/// Examines the server of `config`, whose load is the requests to send.
pub fn examine(config: &Config, options: &Options) -> anyhow::Result<Diagnosis> {
    let url = config.target.base_url.clone().unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let secrets =
        Secrets::new(config.target.api_key.as_deref(), config.target.headers.iter().map(|(_, v)| v.clone()))
            .and_of(&config.workload.extra_body);

    let place = Place::new();
    let config = Config { output: Some(place.0.clone()), ..config.clone() };
    let recorded = run::record(&config, options)?;
    let mut read = run::read_back(recorded.path())?;
    read.events = read.events.whole()?.into();
    drop(place);
    let kind = &read.manifest.target.server;
    let kind =
        server::find(kind).ok_or_else(|| broken(format!("`{kind}` is no kind of server that is known")))?;
    let rows = || read.correlated.rows.iter().map(|row| &row.client);
    let ok = rows().filter(|row| row.status == Status::Ok).count();
    let error = rows().find_map(|row| row.error.clone());
    if ok == 0 {
        let said = error.unwrap_or_else(|| "they did not end in time".to_owned());
        return Err(broken(format!("expected answers from {url}, found none to {} requests: {said}", rows().count()))
            .hint("`tare run` with the same flags keeps every record; --model, --endpoint and --backend say what is asked for")
            .into());
    }
    let model = read.manifest.target.model.clone().unwrap_or_default();
    let id = format!("{}doctor-{:x}", config.load.request_id_prefix, UnixNs::now().0);
    let asked = runtime.block_on(unstreamed(&config, &url, model, &id));
    let asked = asked.map_err(|error| secrets.clean(&error).into_owned());

    let seen = Seen::new(&config, kind, &read, asked.as_ref().ok(), &id)?;
    let levels = levels::of(&seen);
    let mut diagnosis = Diagnosis {
        server: ServerFacts {
            kind: kind.name.to_owned(),
            kind_from: read.manifest.target.server_from.clone().unwrap_or_default(),
            version: read.manifest.target.server_version.clone(),
            fingerprint: seen.fingerprint(),
            model: read.manifest.target.model.clone(),
        },
        streamed: rows().count(),
        streamed_ok: ok,
        error,
        between: between::of(&seen),
        same_host: read.manifest.target.same_host,
        clocks: read.correlated.clocks.clone(),
        next: next::step(&seen, &levels),
        notes: seen.notes(),
        unstreamed_error: asked.err(),
        url,
        levels,
    };
    clean(&mut diagnosis, &secrets);
    Ok(diagnosis)
}

/// One short answer that is not streamed.
async fn unstreamed(config: &Config, url: &str, model: String, id: &str) -> Result<Asked, String> {
    let options = BodyOptions {
        endpoint: config.target.endpoint,
        model,
        stream: false,
        temperature: config.workload.temperature,
        top_p: config.workload.top_p,
        ignore_eos: false,
        extra_body: config.workload.extra_body.clone(),
    };
    let prompt = Prompt {
        kind: PromptKind::Text("Say yes.".to_owned()),
        max_tokens: Some(UNSTREAMED_TOKENS),
        chars: 8,
        approx_tokens: 3,
        ..Prompt::default()
    };
    let body = options.body(&prompt, false).map_err(|error| error.to_string())?;
    let path = config.target.path.clone().unwrap_or_else(|| config.target.endpoint.path().to_owned());
    let url = format!("{}{path}", url.trim_end_matches('/'));
    let answer = ask(&url, Some(body), &headers(config, Some(id)), ANSWER, &trust(config)).await?;
    if answer.status >= 300 {
        return Err(format!("HTTP {}: {}", answer.status, crate::plain::line(&answer.body, 200)));
    }
    Ok(answer)
}

fn headers(config: &Config, id: Option<&str>) -> Vec<(String, String)> {
    let mut headers: Vec<(String, String)> =
        id.map(|id| ("X-Request-Id".to_owned(), id.to_owned())).into_iter().collect();
    if let Some(key) = &config.target.api_key {
        headers.push(("Authorization".to_owned(), format!("Bearer {key}")));
    }
    headers.extend(config.target.headers.clone());
    headers
}

fn trust(config: &Config) -> Trust {
    Trust { ca_cert: config.target.ca_cert.clone(), insecure: config.target.insecure }
}

/// Servers repeat what they were sent.
fn clean(diagnosis: &mut Diagnosis, secrets: &Secrets) {
    let mut clean = |text: &mut String| *text = secrets.clean(text).into_owned();
    diagnosis.notes.iter_mut().for_each(&mut clean);
    diagnosis.error.iter_mut().for_each(&mut clean);
    diagnosis.server.fingerprint.iter_mut().for_each(&mut clean);
    diagnosis.server.version.iter_mut().for_each(&mut clean);
    diagnosis.levels.iter_mut().for_each(|level| clean(&mut level.seen));
    diagnosis.between.findings.iter_mut().for_each(|finding| clean(&mut finding.what));
    diagnosis.between.clear.iter_mut().for_each(&mut clean);
}

/// A folder that is gone when this is.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let name = format!("tare-doctor-{}-{}", std::process::id(), UnixNs::now().0);
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // What cannot be removed is in the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
