//! Is there a server, which one is it, which models does it serve, which version is it? Asked once before a
//! run, so that a wrong address or name is an error at second 0 and not a thousand failed requests. This
//! file must not know the load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::recognise::{self, Recognised, by_models};
use super::{SERVERS, Server, Version, vllm};
use crate::plain;
use crate::server::trust::Trust;

/// What a server says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Probe {
    /// Names that `/v1/models` lists; empty where the server has no such endpoint.
    pub models: Vec<String>,
    /// Which server it is, and by what that was seen; `None`: nothing tells.
    pub recognised: Option<Recognised>,
    /// How many tokens a model's prompt and answer may have together, where `/v1/models` says that.
    pub max_model_len: BTreeMap<String, u32>,
    /// From `/version`, where there is one.
    pub version: Option<String>,
}

/// Why there is no answer to go on with.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("no server answers at {url}: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("{url} answered HTTP {status}: {body}")]
    Refused { url: String, status: u16, body: String },
    #[error("{url} answered with something else than a list of models: {body}")]
    NotModels { url: String, body: String },
}

impl ProbeError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            ProbeError::Unreachable { reason, .. } if reason.contains("certificate") => {
                "name the authority that vouches for the server with --ca-cert FILE, or do without the check: --insecure"
            }
            ProbeError::Unreachable { reason, .. } if reason.contains("InvalidContentType") => {
                "is it `http://`, without TLS?"
            }
            ProbeError::Unreachable { .. } => {
                "start the server first, or say where it is (--base-url, or --host and --port); --ready-check-timeout-sec waits for it, and `tare run` without a URL starts an embedded one"
            }
            ProbeError::Refused { status: 401 | 403, .. } => {
                "set the API key in the environment (OPENAI_API_KEY, or name another variable with --api-key-env)"
            }
            ProbeError::Refused { status: 502..=504, .. } => {
                "so answers a gateway that has no server behind it: is that one up?"
            }
            ProbeError::Refused { status: 429, .. } => {
                "it limits how often it is asked: wait, or raise its limit for this client"
            }
            ProbeError::Refused { .. } | ProbeError::NotModels { .. } => {
                "the base URL is the part before /v1, for example http://127.0.0.1:8000"
            }
        }
    }
}

/// Asks the server at `base_url`, again and again until `patience` is over. `named`: which one it is, as the
/// user says; then no more is asked to find out. `pages`: pages of metrics that the user has named.
pub async fn probe(
    base_url: &str,
    headers: &[(String, String)],
    patience: Duration,
    trust: &Trust,
    named: Option<&'static Server>,
    pages: &[String],
) -> Result<Probe, ProbeError> {
    let unusable = |reason: String| ProbeError::Unreachable { url: base_url.to_owned(), reason };
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10));
    let client = trust.applied(base_url, client).map_err(|failure| unusable(failure.to_string()))?;
    let client = client.build().map_err(|error| unusable(error.to_string()))?;
    let asking = Asking { client: &client, base_url: base_url.trim_end_matches('/'), headers };
    let begun = Instant::now();
    loop {
        match asking.models().await {
            Ok(Listed { models, max_model_len, recognised }) => {
                let recognised = match recognised {
                    None if named.is_none() => asking.recognise(pages).await,
                    found => found,
                };
                let kind = named.or(recognised.as_ref().map(|found| found.server));
                let version = asking.version(kind).await;
                return Ok(Probe { models, recognised, max_model_len, version });
            }
            // A gateway that starts answers 502 and 503 for a while.
            Err(ProbeError::Unreachable { .. } | ProbeError::Refused { status: 502..=504, .. })
                if begun.elapsed() < patience =>
            {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// How a server is asked.
struct Asking<'a> {
    client: &'a reqwest::Client,
    base_url: &'a str,
    headers: &'a [(String, String)],
}

/// What `/v1/models` says.
#[derive(Default)]
struct Listed {
    models: Vec<String>,
    max_model_len: BTreeMap<String, u32>,
    recognised: Option<Recognised>,
}

impl Asking<'_> {
    async fn models(&self) -> Result<Listed, ProbeError> {
        let url = format!("{}/v1/models", self.base_url);
        let answer = get(self.client, &url, self.headers)
            .await
            .map_err(|e| ProbeError::Unreachable { url: self.base_url.to_owned(), reason: innermost(&e) })?;
        let Answer { status, headers, body } = answer;
        if status == 404 || status == 405 {
            return Ok(Listed { recognised: recognise::by_headers(&headers), ..Listed::default() });
        }
        let shown = || plain::line(&body, 200);
        if status >= 300 {
            return Err(ProbeError::Refused { url, status, body: shown() });
        }
        let listed = serde_json::from_str::<Value>(&body).ok().and_then(|value| {
            let data = value.get("data")?.as_array()?;
            let id = |model: &Value| model.get("id")?.as_str().filter(|id| is_name(id)).map(str::to_owned);
            let length = |model: &Value| u32::try_from(model.get("max_model_len")?.as_u64()?).ok();
            let lengths = data.iter().filter_map(|model| Some((id(model)?, length(model)?)));
            Some(Listed {
                models: data.iter().filter_map(id).collect(),
                max_model_len: lengths.collect(),
                recognised: by_models(&headers, &value),
            })
        });
        listed.ok_or_else(|| ProbeError::NotModels { url, body: shown() })
    }

    /// Where the models do not tell: by the names on pages of metrics, then by paths that only one has. A
    /// page may be another host's, so it gets no key.
    async fn recognise(&self, pages: &[String]) -> Option<Recognised> {
        let usual = recognise::metrics_paths().map(|path| format!("{}{path}", self.base_url));
        for page in pages.iter().cloned().chain(usual) {
            let Some(body) = ok(get(self.client, &page, &[]).await) else { continue };
            if let Some(server) = recognise::by_metrics(&recognise::names(&body)) {
                return Some(Recognised { server, by: format!("the names of its metrics at {page}") });
            }
        }
        for server in SERVERS {
            for at in server.versions.iter().filter(|at| at.only_here) {
                if self.told_at(*at).await.is_some() {
                    return Some(Recognised { server, by: format!("`{}` at {}", at.key, at.path) });
                }
            }
        }
        None
    }

    /// As the server tells it; of one that is not recognised, where vLLM would.
    async fn version(&self, kind: Option<&Server>) -> Option<String> {
        for at in kind.unwrap_or(&vllm::VLLM).versions {
            if let Some(version) = self.told_at(*at).await {
                return Some(version);
            }
        }
        None
    }

    async fn told_at(&self, at: Version) -> Option<String> {
        let url = format!("{}{}", self.base_url, at.path);
        at.read(&ok(get(self.client, &url, self.headers).await)?)
    }
}

/// Whether a model can be called so: it stands in every request and in every report.
fn is_name(id: &str) -> bool {
    id.len() <= MAX_MODEL_BYTES && plain::plain(id) == id && !id.contains('\n')
}

/// The body of an answer that is no refusal.
fn ok(answer: Result<Answer, reqwest::Error>) -> Option<String> {
    answer.ok().filter(|answer| answer.status == 200).map(|answer| answer.body)
}

/// An answer; names of headers in lower case.
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// At most this much of an answer is read.
const MAX_BYTES: usize = 4 * 1024 * 1024;
/// A longer name is no model's.
const MAX_MODEL_BYTES: usize = 1024;

async fn get(
    client: &reqwest::Client,
    url: &str,
    headers: &[(String, String)],
) -> Result<Answer, reqwest::Error> {
    let mut request = client.get(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let told = response.headers().iter();
    let told = told.map(|(n, v)| (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()));
    let headers = told.collect();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_BYTES {
            break;
        }
    }
    Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// The cause that a person can do something about ("connection refused").
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
