//! One client's connection: its requests one after the other, and the endpoints that answer without
//! the engine. This file must not know how an answer is generated.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpStream;

use crate::clock::UnixNs;

use super::body;
use super::exchange::{self, Exchange};
use super::head::{Head, ResponseHead, reason};
use super::http_metrics::HttpExchange;
use super::reject::Reject;
use super::script::MetricsPage;
use super::server::{Shared, client};
use super::startup::{ROUTES, VERSION};
use super::wire::{Closed, Incoming, Wire};
use super::{engine, exposition, families};

const JSON: &str = "application/json";

/// Who is on the other side.
pub struct Client {
    /// Address and port as the log shows them.
    pub name: String,
    pub port: u16,
    pub accepted: UnixNs,
}

/// How an exchange left the connection.
pub struct Ended {
    pub status: u16,
    /// As the content-length header said; zero without one.
    pub response_bytes: u64,
    /// The connection can take another request.
    pub reusable: bool,
}

/// An answer that is there at once.
struct Reply {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    allow: Option<&'static str>,
}

/// Serves a connection until either side closes it.
pub async fn run(shared: Arc<Shared>, stream: TcpStream, peer: SocketAddr, accepted: UnixNs) {
    let mut wire = Wire::new(stream);
    let client = Client {
        name: client(peer),
        port: peer.port(),
        accepted,
    };
    let mut stopping = shared.stopping.subscribe();
    let mut count = 0;
    loop {
        let idle = (count > 0).then_some(shared.keep_alive);
        let next = tokio::select! {
            next = wire.next_request(idle) => next,
            _ = stopping.wait_for(|stopping| *stopping) => return,
        };
        let incoming = match next {
            Ok(incoming) => incoming,
            Err(Closed::Quietly) => return,
            Err(Closed::Invalid(what)) => return refuse(&shared, &mut wire, what).await,
        };
        count += 1;
        let ended = one(&shared, &mut wire, &client, &incoming, count).await;
        observe(&shared, &incoming, &ended);
        if incoming.head.close || !ended.reusable {
            return;
        }
    }
}

/// Writes the access line of a response.
pub fn log_access(shared: &Shared, client: &Client, head: &Head, status: u16) {
    let Head { method, target, .. } = head;
    let line = format!(
        "{} - \"{method} {target} HTTP/1.1\" {status} {}",
        client.name,
        reason(status)
    );
    shared.log.uvicorn("INFO", &line);
}

async fn one(
    shared: &Shared,
    wire: &mut Wire,
    client: &Client,
    incoming: &Incoming,
    count: u32,
) -> Ended {
    let head = &incoming.head;
    let reply = match (head.method.as_str(), head.path()) {
        ("POST", path @ ("/v1/chat/completions" | "/v1/completions")) => {
            let chat = path == "/v1/chat/completions";
            return Exchange::new(shared, wire, client, incoming, count)
                .run(&incoming.body, chat)
                .await;
        }
        ("POST", "/tokenize") => {
            exchange::front_end(shared, 0, 0).await;
            tokenize(shared, &incoming.body).unwrap_or_else(|reject| Reply::reject(&reject))
        }
        ("GET", "/metrics") => metrics(shared),
        ("GET", "/health" | "/ping") => Reply {
            status: 200,
            content_type: "",
            body: Vec::new(),
            allow: None,
        },
        ("GET", "/version") => Reply::json(&json!({ "version": VERSION })),
        ("GET", "/v1/models") => models(shared),
        (_, path) => match ROUTES.iter().find(|(route, _)| *route == path) {
            Some((_, allow)) => Reply {
                allow: Some(allow),
                ..Reply::reject(&Reject::status(405, "Method Not Allowed"))
            },
            None => Reply::reject(&Reject::status(404, "Not Found")),
        },
    };
    log_access(shared, client, head, reply.status);
    let response_bytes = reply.body.len() as u64;
    let reusable = reply.send(shared, wire, head).await.is_ok();
    Ended {
        status: reply.status,
        response_bytes,
        reusable,
    }
}

/// What is not HTTP gets an answer as from uvicorn.
async fn refuse(shared: &Shared, wire: &mut Wire, what: &'static str) {
    shared.log.uvicorn("WARNING", what);
    let head = ResponseHead {
        status: 400,
        content_type: "text/plain; charset=utf-8",
        content_length: Some(what.len()),
        request_id: None,
        allow: None,
        close: true,
    };
    let mut bytes = head.bytes();
    bytes.extend_from_slice(what.as_bytes());
    // The client may be gone; the connection ends anyway.
    let _ = wire.write(&bytes).await;
}

fn observe(shared: &Shared, incoming: &Incoming, ended: &Ended) {
    let path = incoming.head.path();
    if ["/metrics", "/health", "/ping", "/version"].contains(&path) {
        return;
    }
    let handler = ROUTES
        .iter()
        .find(|(route, _)| *route == path)
        .map_or("none", |(route, _)| *route);
    shared.front.observe_http(&HttpExchange {
        handler,
        method: &incoming.head.method,
        status: ended.status,
        request_bytes: incoming.head.content_length,
        response_bytes: ended.response_bytes,
        duration_s: UnixNs::now().seconds_since(incoming.head_read),
    });
}

impl Reply {
    fn json(value: &serde_json::Value) -> Self {
        Self {
            status: 200,
            content_type: JSON,
            body: value.to_string().into_bytes(),
            allow: None,
        }
    }

    fn reject(reject: &Reject) -> Self {
        Self {
            status: reject.status,
            content_type: JSON,
            body: reject.body(),
            allow: None,
        }
    }

    async fn send(&self, shared: &Shared, wire: &mut Wire, head: &Head) -> std::io::Result<()> {
        let response = ResponseHead {
            status: self.status,
            content_type: self.content_type,
            content_length: Some(self.body.len()),
            request_id: head
                .x_request_id
                .as_deref()
                .filter(|_| shared.request_id_headers),
            allow: self.allow,
            close: head.close,
        };
        wire.write(&response.bytes()).await?;
        if head.method != "HEAD" {
            wire.write(&self.body).await?;
        }
        Ok(())
    }
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
            let page = shared.front.with_registry(|r| families::page(r, &shared.embedded.model, &limits));
            Reply { status: 200, content_type: exposition::CONTENT_TYPE, body: page.into_bytes(), allow: None }
        }
    }
}

fn tokenize(shared: &Shared, bytes: &[u8]) -> Result<Reply, Reject> {
    let body = body::parse_tokenize(bytes)?;
    exchange::check_model(shared, body.model.as_deref())?;
    let tokens = body.prompt_tokens()?;
    Ok(Reply::json(&json!({
        "count": tokens.len(),
        "max_model_len": shared.embedded.max_model_len,
        "tokens": tokens,
        "token_strs": null,
    })))
}

fn models(shared: &Shared) -> Reply {
    let created = UnixNs::now().0 / 1_000_000_000;
    let model = &shared.embedded.model;
    Reply::json(&json!({
        "object": "list",
        "data": [{
            "id": model,
            "object": "model",
            "created": created,
            "owned_by": "vllm",
            "root": model,
            "parent": null,
            "max_model_len": shared.embedded.max_model_len,
            "permission": [{
                "id": format!("modelperm-{}", shared.with_ids(|ids| ids.hex(16))),
                "object": "model_permission",
                "created": created,
                "allow_create_engine": false,
                "allow_sampling": true,
                "allow_logprobs": true,
                "allow_search_indices": false,
                "allow_view": true,
                "allow_fine_tuning": false,
                "organization": "*",
                "group": null,
                "is_blocking": false,
            }],
        }],
    }))
}
