//! The table of the server's log: what the kinds of lines say, laid out flat. It must not know what a
//! column means.

use polars::prelude::Column;

use super::{column, ns};
use crate::record::{LogEvent, LogRow};

/// One row a line.
pub(super) fn columns(rows: &[LogRow]) -> Vec<Column> {
    let mut columns = columns![rows;
        "source": |r| r.source.as_str(),
        "line_no": |r| r.line_no,
        "read_unix_ns": |r| r.read_unix_ns.0,
        "time_unix_ns": |r| ns(r.time_unix_ns),
        "time_resolution_ns": |r| r.time_resolution_ns,
        "process": |r| r.process.as_deref(),
        "level": |r| r.level.as_deref(),
    ];
    let facts: Vec<LogFacts> = rows.iter().map(|r| LogFacts::of(&r.event)).collect();
    let facts = facts.as_slice();
    columns.extend(columns![facts;
        "kind": |f| f.kind,
        "request_id": |f| f.request_id.as_deref(),
        "text": |f| f.text,
        "http_status": |f| f.status,
        "client_port": |f| f.port,
        "input_tokens": |f| f.input_tokens,
        "output_tokens": |f| f.output_tokens,
        "prompt_throughput_tps": |f| f.prompt_tps,
        "generation_throughput_tps": |f| f.generation_tps,
        "running": |f| f.running,
        "waiting": |f| f.waiting,
        "kv_cache_usage": |f| f.kv_cache_usage,
        "prefix_cache_hit_rate": |f| f.prefix_cache_hit_rate,
        "elapsed_s": |f| f.elapsed_s,
    ]);
    columns
}

/// One line's facts laid out flat: the union of what the kinds of line say.
#[derive(Default)]
struct LogFacts<'a> {
    kind: &'static str,
    request_id: Option<std::borrow::Cow<'a, str>>,
    text: Option<&'a str>,
    status: Option<u32>,
    port: Option<u32>,
    input_tokens: Option<u32>,
    output_tokens: Option<u32>,
    prompt_tps: Option<f64>,
    generation_tps: Option<f64>,
    running: Option<u32>,
    waiting: Option<u32>,
    kv_cache_usage: Option<f64>,
    prefix_cache_hit_rate: Option<f64>,
    elapsed_s: Option<f64>,
}

impl<'a> LogFacts<'a> {
    fn of(event: &'a LogEvent) -> Self {
        let id = |id: &'a str| Some(std::borrow::Cow::Borrowed(id));
        let none = Self::default;
        match event {
            LogEvent::Received { request_id } => {
                Self { kind: "received", request_id: id(request_id), ..none() }
            }
            LogEvent::Added { request_id } => Self { kind: "added", request_id: id(request_id), ..none() },
            LogEvent::Generated { request_id, phase, .. } => {
                Self { kind: "generated", request_id: id(request_id), text: Some(phase), ..none() }
            }
            LogEvent::Finished { request_id, input_tokens, output_tokens, finish_reason } => Self {
                kind: "finished",
                request_id: id(request_id),
                text: finish_reason.as_deref(),
                input_tokens: *input_tokens,
                output_tokens: *output_tokens,
                ..none()
            },
            // Its queue and inference are in the raw record.
            LogEvent::Served { trace_id, e2e_s, .. } => {
                Self { kind: "served", text: trace_id.as_deref(), elapsed_s: *e2e_s, ..none() }
            }
            LogEvent::Timing { of, elapsed_s, tokens, .. } => Self {
                kind: "timing",
                text: Some(of),
                output_tokens: Some(*tokens),
                elapsed_s: Some(*elapsed_s),
                ..none()
            },
            LogEvent::Aborted { request_ids } => {
                Self { kind: "aborted", request_id: Some(request_ids.join(",").into()), ..none() }
            }
            LogEvent::Failed { request_id, reason } => Self {
                kind: "failed",
                request_id: request_id.as_deref().map(Into::into),
                text: Some(reason),
                ..none()
            },
            LogEvent::Access { port, path, status, .. } => Self {
                kind: "access",
                text: Some(path),
                status: Some((*status).into()),
                port: port.map(u32::from),
                ..none()
            },
            LogEvent::Stats {
                prompt_throughput_tps,
                generation_throughput_tps,
                running,
                waiting,
                kv_cache_usage,
                prefix_cache_hit_rate,
                ..
            } => Self {
                kind: "stats",
                prompt_tps: Some(*prompt_throughput_tps),
                generation_tps: Some(*generation_throughput_tps),
                running: Some(*running),
                waiting: Some(*waiting),
                kv_cache_usage: *kv_cache_usage,
                prefix_cache_hit_rate: *prefix_cache_hit_rate,
                ..none()
            },
            LogEvent::Iteration { context_tokens, generation_tokens, elapsed_s, .. } => Self {
                kind: "iteration",
                input_tokens: Some(*context_tokens),
                output_tokens: Some(*generation_tokens),
                elapsed_s: Some(*elapsed_s),
                ..none()
            },
            LogEvent::Version { version } => Self { kind: "version", text: Some(version), ..none() },
            LogEvent::Other => Self { kind: "other", ..none() },
            LogEvent::Unparsed { text, .. } => Self { kind: "unparsed", text: Some(text), ..none() },
        }
    }
}
