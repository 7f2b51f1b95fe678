//! The endpoints that answer without the engine. This file must not know sockets.

use serde::Serialize;

use crate::config::Embedded;

use super::body::{self, Api};
use super::exchange::{check_model, front_end};
use super::head::Head;
use super::pose;
use super::reject::Reject;
use super::script::MetricsPage;
use super::server::Shared;
use super::startup::{ROUTES, VERSION};
use super::{engine, exposition, families};

/// An answer that is there at once.
pub struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    pub allow: Option<&'static str>,
}

/// What a request asks of the engine, if it is for it.
pub fn generates(method: &str, path: &str) -> Option<Api> {
    match (method, path) {
        ("POST", "/v1/chat/completions") => Some(Api::Chat),
        ("POST", "/v1/completions") => Some(Api::Completions),
        ("POST", "/v1/responses") => Some(Api::Responses),
        _ => None,
    }
}

/// The route's name in the HTTP metrics; `None` where nothing is counted.
pub fn handler(path: &str) -> Option<&'static str> {
    if ["/metrics", "/health", "/ping", "/version"].contains(&path) {
        return None;
    }
    Some(ROUTES.iter().find(|(route, _)| *route == path).map_or("none", |(route, _)| *route))
}

/// Answers everything that is not for the engine.
pub async fn reply(shared: &Shared, head: &Head, body: &[u8]) -> Reply {
    if let Some(reply) = pose::reply(shared, &head.method, head.path()) {
        return reply;
    }
    match (head.method.as_str(), head.path()) {
        ("POST", "/tokenize") => {
            front_end(shared, 0, 0).await;
            tokenize(shared, body).unwrap_or_else(|reject| Reply::reject(&reject))
        }
        ("GET", "/metrics") => metrics(shared),
        ("GET", "/health" | "/ping") => {
            Reply { status: 200, content_type: "", body: Vec::new(), allow: None }
        }
        ("GET", "/version") => Reply::json(&Version { version: VERSION }),
        ("GET", "/v1/models") => models(shared),
        (_, path) => match ROUTES.iter().find(|(route, _)| *route == path) {
            Some((_, allow)) => {
                Reply { allow: Some(allow), ..Reply::reject(&Reject::status(405, "Method Not Allowed")) }
            }
            None => Reply::reject(&Reject::status(404, "Not Found")),
        },
    }
}

impl Reply {
    fn json(value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).unwrap_or_default();
        Self { status: 200, content_type: "application/json", body, allow: None }
    }

    fn reject(reject: &Reject) -> Self {
        Self { status: reject.status, content_type: "application/json", body: reject.body(), allow: None }
    }
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
}

#[derive(Serialize)]
struct Tokenized {
    count: usize,
    max_model_len: u32,
    tokens: Vec<u32>,
    token_strs: Option<Vec<String>>,
}

#[derive(Serialize)]
struct Models<'a> {
    object: &'static str,
    data: [Model<'a>; 1],
}

#[derive(Serialize)]
struct Model<'a> {
    id: &'a str,
    object: &'static str,
    created: i64,
    owned_by: &'static str,
    root: &'a str,
    parent: Option<&'a str>,
    max_model_len: u32,
    permission: [Permission; 1],
}

#[derive(Serialize)]
struct Permission {
    id: String,
    object: &'static str,
    created: i64,
    allow_create_engine: bool,
    allow_sampling: bool,
    allow_logprobs: bool,
    allow_search_indices: bool,
    allow_view: bool,
    allow_fine_tuning: bool,
    organization: &'static str,
    group: Option<&'static str>,
    is_blocking: bool,
}

fn tokenize(shared: &Shared, bytes: &[u8]) -> Result<Reply, Reject> {
    let body = body::parse_tokenize(bytes)?;
    check_model(shared, body.model.as_deref())?;
    let tokens = body.prompt_tokens()?;
    let max_model_len = shared.embedded.max_model_len;
    Ok(Reply::json(&Tokenized { count: tokens.len(), max_model_len, tokens, token_strs: None }))
}

fn models(shared: &Shared) -> Reply {
    let created = shared.clock.now().0 / 1_000_000_000;
    let permission = Permission {
        id: format!("modelperm-{}", shared.with_ids(|ids| ids.hex(16))),
        object: "model_permission",
        created,
        allow_create_engine: false,
        allow_sampling: true,
        allow_logprobs: true,
        allow_search_indices: false,
        allow_view: true,
        allow_fine_tuning: false,
        organization: "*",
        group: None,
        is_blocking: false,
    };
    let model = Model {
        id: &shared.embedded.model,
        object: "model",
        created,
        owned_by: "vllm",
        root: &shared.embedded.model,
        parent: None,
        max_model_len: shared.embedded.max_model_len,
        permission: [permission],
    };
    Reply::json(&Models { object: "list", data: [model] })
}

fn metrics(shared: &Shared) -> Reply {
    match shared.script.metrics {
        MetricsPage::NotFound => Reply::reject(&Reject::status(404, "Not Found")),
        MetricsPage::Html => Reply {
            status: 200,
            content_type: "text/html; charset=utf-8",
            body: b"<!DOCTYPE html>\n<html><head><title>Login</title></head><body>Please log in.</body></html>\n".to_vec(),
            allow: None,
        },
        MetricsPage::Page => {
            let limits = engine::limits(&shared.embedded);
            let Embedded { model, api_server_count, .. } = &shared.embedded;
            let merged = *api_server_count > 1;
            let pose = shared.embedded.pose;
            let page = shared.front.with_metrics(|engines, http| {
                pose::page(pose, &engines, model)
                    .unwrap_or_else(|| families::page(engines, http, model, &limits, merged))
            });
            Reply { status: 200, content_type: exposition::CONTENT_TYPE, body: page.into_bytes(), allow: None }
        }
    }
}
