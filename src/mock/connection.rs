//! One client's connection: its requests one after the other, each counted when it has been answered.
//! This file must not know what an answer says.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpStream;

use crate::clock::UnixNs;

use super::endpoints::{self, Reply};
use super::exchange::Exchange;
use super::head::{Head, ResponseHead, reason};
use super::http_metrics::HttpExchange;
use super::log::Log;
use super::server::{Shared, client};
use super::wire::{Closed, Incoming, Wire};

/// Who is on the other side.
pub struct Client {
    /// Address and port as the log shows them.
    pub name: String,
    pub port: u16,
    pub accepted: UnixNs,
    /// As the API server writes it that has this connection.
    pub log: Log,
}

/// How an exchange left the connection.
pub struct Ended {
    pub status: u16,
    /// As the content-length header said; zero without one.
    pub response_bytes: u64,
    /// The connection can take another request.
    pub reusable: bool,
}

/// Serves a connection until either side closes it.
pub async fn run(shared: Arc<Shared>, log: Log, stream: TcpStream, peer: SocketAddr, accepted: UnixNs) {
    let mut wire = Wire::new(stream);
    let client = Client { name: client(peer), port: peer.port(), accepted, log };
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
            Err(Closed::Invalid(what)) => return refuse(&shared, &client, &mut wire, what).await,
        };
        count += 1;
        // As on asyncio's loop: what has come in on other connections is read before work on this
        // request begins.
        tokio::task::yield_now().await;
        let ended = one(&shared, &mut wire, &client, &incoming, count).await;
        observe(&shared, &incoming, &ended);
        if incoming.head.close || !ended.reusable {
            return;
        }
    }
}

/// Writes the access line of a response.
pub fn log_access(client: &Client, head: &Head, status: u16) {
    let request = format!("{} {}", head.method, head.target);
    client.log.access(&client.name, &request, status, reason(status));
}

async fn one(shared: &Shared, wire: &mut Wire, client: &Client, incoming: &Incoming, count: u32) -> Ended {
    let head = &incoming.head;
    if let Some(api) = endpoints::generates(&head.method, head.path()) {
        return Exchange::new(shared, wire, client, incoming, count).run(&incoming.body, api).await;
    }
    let reply = endpoints::reply(shared, head, &incoming.body).await;
    log_access(client, head, reply.status);
    let response_bytes = reply.body.len() as u64;
    let reusable = send(&reply, shared, wire, head).await.is_ok();
    Ended { status: reply.status, response_bytes, reusable }
}

/// What is not HTTP gets an answer as from uvicorn.
async fn refuse(shared: &Shared, client: &Client, wire: &mut Wire, what: &'static str) {
    client.log.uvicorn("WARNING", "httptools_impl.py:165", what);
    let head = ResponseHead {
        status: 400,
        content_type: "text/plain; charset=utf-8",
        content_length: Some(what.len()),
        request_id: None,
        allow: None,
        close: true,
        date: shared.clock.date(),
        pose: shared.embedded.pose,
    };
    let mut bytes = head.bytes();
    bytes.extend_from_slice(what.as_bytes());
    // The client may be gone; the connection ends anyway.
    let _ = wire.write(&bytes).await;
}

fn observe(shared: &Shared, incoming: &Incoming, ended: &Ended) {
    let Some(handler) = endpoints::handler(incoming.head.path()) else {
        return;
    };
    shared.front.observe_http(&HttpExchange {
        handler,
        method: &incoming.head.method,
        status: ended.status,
        request_bytes: incoming.head.content_length,
        response_bytes: ended.response_bytes,
        duration_s: UnixNs::now().seconds_since(incoming.head_read),
    });
}

async fn send(reply: &Reply, shared: &Shared, wire: &mut Wire, head: &Head) -> std::io::Result<()> {
    let response = ResponseHead {
        status: reply.status,
        content_type: reply.content_type,
        content_length: Some(reply.body.len()),
        request_id: head.x_request_id.as_deref().filter(|_| shared.request_id_headers),
        allow: reply.allow,
        close: head.close,
        date: shared.clock.date(),
        pose: shared.embedded.pose,
    };
    wire.write(&response.bytes()).await?;
    if head.method != "HEAD" {
        wire.write(&reply.body).await?;
    }
    Ok(())
}
