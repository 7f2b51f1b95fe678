//! The rows of the server's side: one scrape, one log line, one span. This file must not know how a
//! row is made, stored or joined.

use serde::{Deserialize, Serialize};

use super::any_float;
use crate::clock::UnixNs;

/// Why a scrape was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScrapePhase {
    /// The exact snapshot before the first measured request.
    Before,
    /// On the grid while the load ran; histogram buckets are left out.
    During,
    /// The exact snapshot after the last measured request.
    After,
}

/// One answer of a metrics endpoint; appended to `scrapes.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ScrapeRow {
    /// The endpoint's URL.
    pub source: String,
    pub phase: ScrapePhase,
    pub send_unix_ns: UnixNs,
    pub recv_unix_ns: UnixNs,
    /// Set when the scrape failed; `samples` is then empty.
    pub error: Option<String>,
    /// Lines of the answer that did not parse.
    pub bad_lines: u32,
    pub samples: Vec<SampleRow>,
}

/// One sample: name, labels in the exposition's order (`le` included), value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleRow {
    pub name: String,
    pub labels: Vec<(String, String)>,
    #[serde(with = "any_float")]
    pub value: f64,
}

impl SampleRow {
    /// The value of label `key`.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

/// One line of a server's log; appended to `server_log.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LogRow {
    /// The file, `stdin` or `embedded`.
    pub source: String,
    /// Number of the line in its source, from 1.
    pub line_no: u64,
    /// When tare read the line (an upper bound of when it was written, while tailing).
    pub read_unix_ns: UnixNs,
    /// The line's own time as [`lo`, `lo` + resolution); null when the line has none.
    pub time_unix_ns: Option<UnixNs>,
    pub time_resolution_ns: Option<i64>,
    /// Process name of the line's prefix (`APIServer`, `EngineCore_DP0` …).
    pub process: Option<String>,
    pub level: Option<String>,
    pub event: LogEvent,
}

/// What a log line says, as far as correlation uses it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LogEvent {
    /// `Received request X`: the id as the client gets it.
    Received {
        request_id: String,
    },
    /// `Added request X`: the engine's internal id.
    Added {
        request_id: String,
    },
    /// `Generated response X`: `phase` is `delta`, `complete` or `whole`.
    Generated {
        request_id: String,
        phase: String,
        finish_reason: Option<String>,
    },
    /// `Finished request X` (V0), or the Rust front end's finish line.
    Finished {
        request_id: String,
        input_tokens: Option<u32>,
        output_tokens: Option<u32>,
        finish_reason: Option<String>,
    },
    /// A finished request that is told without an id.
    Served {
        trace_id: Option<String>,
        e2e_s: Option<f64>,
        queue_s: Option<f64>,
        inference_s: Option<f64>,
    },
    /// How long a part (`prefill`, `decode`, `total`) of a finished task took.
    Timing {
        task: Option<u64>,
        of: String,
        elapsed_s: f64,
        tokens: u32,
    },
    Aborted {
        request_ids: Vec<String>,
    },
    Failed {
        request_id: Option<String>,
        reason: String,
    },
    /// A uvicorn access line.
    Access {
        client: String,
        port: Option<u16>,
        method: String,
        path: String,
        status: u16,
    },
    /// The periodic engine line; throughput in tokens/s over the interval that ends at the line.
    Stats {
        engine: Option<String>,
        prompt_throughput_tps: f64,
        generation_throughput_tps: f64,
        running: u32,
        waiting: u32,
        kv_cache_usage: Option<f64>,
        prefix_cache_hit_rate: Option<f64>,
    },
    /// `Iteration(n)`: one engine step.
    Iteration {
        number: u64,
        context_requests: u32,
        context_tokens: u32,
        generation_requests: u32,
        generation_tokens: u32,
        elapsed_s: f64,
    },
    Version {
        version: String,
    },
    /// A well-formed line of the format that says nothing about requests.
    Other,
    /// A line that belongs to no known format, kept (cut to 2,000 characters).
    Unparsed {
        text: String,
        reason: String,
    },
}

/// `via` of a record that is no span, but what a server stamped itself.
pub const OWN_STAMPS: &str = "server_stamps";

/// One OTLP span; appended to `spans.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SpanRow {
    pub recv_unix_ns: UnixNs,
    /// `grpc` or `http`; `file`, where that is all that is known; or [`OWN_STAMPS`].
    pub via: String,
    pub service: Option<String>,
    pub name: String,
    pub trace_id: String,
    pub span_id: String,
    pub parent_span_id: Option<String>,
    pub start_unix_ns: UnixNs,
    pub end_unix_ns: UnixNs,
    /// `gen_ai.request.id`.
    pub request_id: Option<String>,
    pub ttft_s: Option<f64>,
    pub e2e_s: Option<f64>,
    pub queue_s: Option<f64>,
    pub prefill_s: Option<f64>,
    pub decode_s: Option<f64>,
    /// Prefill and decode together, where they are not told apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inference_s: Option<f64>,
    pub input_tokens: Option<u32>,
    pub output_tokens: Option<u32>,
    /// Every other attribute, as text.
    pub attributes: std::collections::BTreeMap<String, String>,
}

/// One finished request as the server's stat logger wrote it (`assets/vllm_tare_logger`); appended to
/// `stat_log.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StatRow {
    /// The file it was read from.
    pub source: String,
    /// Number of the line in its source, from 1.
    pub line_no: u64,
    pub read_unix_ns: UnixNs,
    /// The process that wrote it, and the engine that served the request.
    pub pid: Option<u32>,
    pub engine: Option<u32>,
    /// The front end's id: `chatcmpl-X`, `cmpl-X-0`.
    pub request_id: String,
    /// The trace that the client began, by servers that write it down instead of an id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    pub finish_reason: Option<String>,
    /// Wall clock of the front end when the last output was processed: arrival + E2E.
    pub iteration_unix_ns: Option<UnixNs>,
    pub e2e_s: Option<f64>,
    /// Arrival until the first token at the front end, by servers that write it down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttft_s: Option<f64>,
    pub queue_s: Option<f64>,
    pub prefill_s: Option<f64>,
    pub inference_s: Option<f64>,
    pub decode_s: Option<f64>,
    pub input_tokens: Option<u32>,
    pub output_tokens: Option<u32>,
    pub cached_tokens: Option<u32>,
    pub preemptions: Option<u32>,
    pub max_tokens: Option<u32>,
}
