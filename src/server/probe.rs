//! Is there a server, which models does it serve, which version is it? Asked once before a run, so
//! that a wrong address or name is an error at second 0 and not a thousand failed requests. This
//! file must not know the load.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::server::trust::Trust;

/// What a server says of itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Probe {
    /// Names that `/v1/models` lists; empty where the server has no such endpoint.
    pub models: Vec<String>,
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
                "start the server first, wait for it with --ready-check-timeout-sec, or leave --base-url out to use the embedded server"
            }
            ProbeError::Refused { status: 401 | 403, .. } => {
                "set the API key in the environment (OPENAI_API_KEY, or name another variable with --api-key-env)"
            }
            ProbeError::Refused { .. } | ProbeError::NotModels { .. } => {
                "the base URL is the part before /v1, for example http://127.0.0.1:8000"
            }
        }
    }
}

/// Asks the server at `base_url`, again and again until `patience` is over.
pub async fn probe(
    base_url: &str,
    headers: &[(String, String)],
    patience: Duration,
    trust: &Trust,
) -> Result<Probe, ProbeError> {
    let unusable = |reason: String| ProbeError::Unreachable { url: base_url.to_owned(), reason };
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(10));
    let client = trust.applied(base_url, client).map_err(|failure| unusable(failure.to_string()))?;
    let client = client.build().map_err(|error| unusable(error.to_string()))?;
    let begun = Instant::now();
    loop {
        match models(&client, base_url, headers).await {
            Ok((models, max_model_len)) => {
                let version = version(&client, base_url, headers).await;
                return Ok(Probe { models, max_model_len, version });
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

async fn models(
    client: &reqwest::Client,
    base_url: &str,
    headers: &[(String, String)],
) -> Result<(Vec<String>, BTreeMap<String, u32>), ProbeError> {
    let url = format!("{base_url}/v1/models");
    let (status, body) = get(client, &url, headers)
        .await
        .map_err(|e| ProbeError::Unreachable { url: base_url.to_owned(), reason: innermost(&e) })?;
    if status == 404 || status == 405 {
        return Ok(Default::default());
    }
    let shown =
        || body.chars().take(200).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ");
    if status >= 300 {
        return Err(ProbeError::Refused { url, status, body: shown() });
    }
    let listed = serde_json::from_str::<Value>(&body).ok().and_then(|value| {
        let data = value.get("data")?.as_array()?;
        let id = |model: &Value| model.get("id")?.as_str().map(str::to_owned);
        let length = |model: &Value| u32::try_from(model.get("max_model_len")?.as_u64()?).ok();
        let lengths = data.iter().filter_map(|model| Some((id(model)?, length(model)?))).collect();
        Some((data.iter().filter_map(id).collect(), lengths))
    });
    listed.ok_or_else(|| ProbeError::NotModels { url, body: shown() })
}

async fn version(client: &reqwest::Client, base_url: &str, headers: &[(String, String)]) -> Option<String> {
    let (status, body) = get(client, &format!("{base_url}/version"), headers).await.ok()?;
    let value: Value = serde_json::from_str(&body).ok()?;
    (status == 200).then(|| value.get("version")?.as_str().map(str::to_owned))?
}

/// At most this much of an answer is read.
const MAX_BYTES: usize = 4 * 1024 * 1024;

async fn get(
    client: &reqwest::Client,
    url: &str,
    headers: &[(String, String)],
) -> Result<(u16, String), reqwest::Error> {
    let mut request = client.get(url);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut response = request.send().await?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() > MAX_BYTES {
            break;
        }
    }
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// The cause that a person can do something about ("connection refused").
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
