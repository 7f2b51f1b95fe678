//! The embedded vLLM look-alike: a server whose timing is known. `tare run` starts it as a child
//! process when no URL is given, and tests measure it and compare with its own truth.
//!
//! It behaves like a vLLM 0.32 server with one engine or several, seen from outside: `OpenAI` endpoints
//! with server-sent events, `/metrics`, a log, request ids, per-request metrics in the answer, OTLP
//! spans. Behind them is a model of continuous batching instead of a neural network. Unlike the real
//! server it keeps a record of what really happened ([`truth`]), misbehaves on demand ([`script`]), and
//! may have a wall clock that is known to be wrong ([`server_clock`]).
//!
//! In reading order:
//! - `process`: signals and the socket; `server`: puts it together; `connection`: one client's
//!   requests; `endpoints`: what needs no engine
//! - `exchange`: one answer, from its body on; `stream`: its tokens become events; `emit`: events
//!   become bytes
//! - `wire`, `head`: sockets and heads, with stamps; `body`, `json_error`, `params`, `reject`: what
//!   is asked and what is refused; `parts`, `teller`, `chunks`, `responses`: what answers look like
//! - `schedule`, `blocks`, `engine`: the engine model; `front`: where its tokens become numbers
//! - `registry`, `http_metrics`, `families`, `other_families`, `exposition`: `/metrics`;
//!   `stats_line`, `log`, `log_line`, `startup`: the log; `trace`, `spans`: OTLP; `stat_log`: what the
//!   stat-logger plugin writes
//! - `pose`: what is another server's, where it poses as one
//! - `tokens`, `answer`, `ids`, `python`, `timer`, `draws`, `spec`: small things they need
//!
//! It must not share code with the load generator, its sockets, the ingester or the parsers: an
//! error in shared code would cancel out in every comparison.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::config::Embedded;

pub mod script;
pub mod server_clock;
pub mod truth;

mod answer;
mod blocks;
mod body;
mod chunks;
mod connection;
mod draws;
mod emit;
mod endpoints;
mod engine;
mod exchange;
mod exposition;
mod families;
mod front;
mod head;
mod http_metrics;
mod ids;
mod json_error;
mod log;
mod log_line;
mod other_families;
mod params;
mod parts;
mod pose;
mod process;
mod python;
mod registry;
mod reject;
mod responses;
mod schedule;
mod server;
mod spans;
mod spec;
mod startup;
mod stat_log;
mod stats_line;
mod stream;
mod teller;
mod timer;
mod tokens;
mod trace;
mod wire;

#[cfg(test)]
mod tests;

pub use process::run;

/// What to serve, where, and where to report to.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    pub host: String,
    /// 0: any free port; the log's `Starting vLLM server on` line tells which.
    pub port: u16,
    pub embedded: Embedded,
    /// An OTLP/HTTP receiver, `http://host:port`; spans go there if `embedded.spans` is on, too.
    pub otlp_endpoint: Option<String>,
    /// How long a span may wait for others to travel with it.
    pub otlp_delay: Duration,
    /// Write what really happened to this file, one JSON line per request ([`truth::TruthRow`]).
    pub truth: Option<PathBuf>,
    /// Append a line for each finished request to this file, as the stat-logger plugin does.
    pub stat_log: Option<PathBuf>,
    /// Echo `X-Request-Id`, as vLLM does with `--enable-request-id-headers`.
    pub request_id_headers: bool,
    /// Close a connection on which no next request has begun for so long.
    pub keep_alive: Duration,
    /// End when this process is no longer the parent.
    pub parent_pid: Option<u32>,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 0,
            embedded: Embedded::default(),
            otlp_endpoint: None,
            otlp_delay: Duration::from_millis(500),
            truth: None,
            stat_log: None,
            request_id_headers: false,
            keep_alive: Duration::from_secs(5),
            parent_pid: None,
        }
    }
}

/// Serves on a socket that listens already, until `shutdown` is ready; the log goes to stdout.
/// Host, port and parent of the options are not looked at.
pub async fn serve(
    options: ServeOptions,
    listener: tokio::net::TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    serve_with_log(options, listener, Box::new(std::io::stdout()), shutdown).await
}

/// As [`serve`], with the log going somewhere else.
pub async fn serve_with_log(
    options: ServeOptions,
    listener: tokio::net::TcpListener,
    log: Box<dyn Write + Send>,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    server::serve(options, listener, log, shutdown).await
}
