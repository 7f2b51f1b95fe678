//! The resolved configuration: what the program uses, every default filled in, every value checked.
//! `file` holds the YAML exactly as written, `read` reads it, `overlay` and `texts` lay the flags over
//! it, and `validate` turns the two into this. Nothing below this module sees a raw flag or a YAML key.

mod args;
mod arrival;
mod audit;
mod bench;
mod check;
mod cpus;
mod embedded;
pub mod file;
mod hops;
pub mod law;
mod overlay;
mod read;
pub mod results;
mod slo;
mod suggest;
mod sweep;
mod texts;
pub mod validate;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::args::normalise_args;
pub use self::arrival::{Arrival, Change, Gaps, Over, RateStage, Times, UserStage};
pub use self::bench::as_vllm;
pub use self::cpus::CpuList;
pub use self::embedded::{from_flags as embedded_from_flags, to_flags as embedded_to_flags};
pub use self::hops::hop_of;
use self::law::Law;
pub use self::suggest::nearest;
use crate::cli::{AuditArgs, ResultArgs, RunArgs};
use crate::record::audit::Warmth;
use crate::record::results::Results;
use crate::record::slo::Slo;
use crate::record::{Endpoint, History};

/// Reads the file, if there is one, lays the flags over it and resolves everything. Keys come from
/// the environment.
pub fn load(path: Option<&Path>, flags: &RunArgs) -> anyhow::Result<Config> {
    let file = path.map(read::read).transpose()?.unwrap_or_default();
    audit::refuse(&file)?;
    let env = |name: &str| std::env::var(name).ok();
    Ok(validate::resolve(file, path, flags, &env)?)
}

/// The same for an audit: its flags and the file's section `audit` stand in the place of a load.
pub fn load_audit(args: &AuditArgs) -> anyhow::Result<Config> {
    let path = args.config.as_deref();
    let file = path.map(read::read).transpose()?.unwrap_or_default();
    let env = |name: &str| std::env::var(name).ok();
    Ok(validate::resolve_audit(file, path, args, &env)?)
}

/// How a run that has ended is told, by other flags than it was made with.
pub fn results_of(flags: &ResultArgs, given: Results) -> anyhow::Result<Results> {
    let origins = check::Origins::default();
    let mut check = check::Check::new(&origins);
    let results = results::laid(flags, given, &mut check);
    check.finish()?;
    Ok(results)
}

/// One run, completely specified. Serialised into the manifest with secrets redacted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// The run's name, used in the run folder's name when `output` is not given.
    pub name: String,
    pub target: Target,
    pub workload: Workload,
    pub load: Load,
    pub observe: Observe,
    /// What lies between client and server, in the order a request passes it.
    #[serde(default)]
    pub hops: Vec<Hop>,
    /// What each request should keep to; goodput is of those that do.
    #[serde(default, skip_serializing_if = "Slo::is_empty")]
    pub slo: Slo,
    /// What a figure of the run must not reach, each as it is written on the command line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// How the result is told in the words of `vllm bench serve`.
    #[serde(default)]
    pub results: Results,
    /// Seeds schedule, sampling and synthetic prompts; the same seed gives the same run.
    pub seed: u64,
    /// Free text pairs kept in the manifest and `summary.json` (`--metadata KEY=VALUE`).
    pub metadata: BTreeMap<String, String>,
    pub label: Option<String>,
    /// The run folder, exactly; else `output/<name>-<time>`.
    pub output: Option<PathBuf>,
    pub overwrite: bool,
    /// When the run has ended, find out how large the tool's own error is at its load.
    #[serde(default)]
    pub calibrate: bool,
    /// Several runs instead of one, each with a `load` of its own level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<crate::sweep::asked::Asked>,
    /// An open loop ends before its time when its requests pile up for good.
    #[serde(default)]
    pub stop_over_saturated: bool,
    /// Two ways to the target, compared; `load` is then what all legs have in common.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit>,
}

/// What `tare audit` compares. The direct arm is the target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Audit {
    /// `http://host:port[/prefix]` of what stands before the server.
    pub through: String,
    /// The model's name there; `None`: as at the server.
    pub through_model: Option<String>,
    /// Bearer token for it; never serialised.
    #[serde(skip)]
    pub through_api_key: Option<String>,
    pub through_api_key_env: Option<String>,
    /// Levels of the three factors, ascending: every combination is a cell. No prompt sizes where
    /// prompts come from a file.
    pub concurrency: Vec<u32>,
    pub prompt_tokens: Vec<u32>,
    pub connections: Vec<Warmth>,
    /// Each answer's length; `None`: as the dataset has it.
    pub output_tokens: Option<u32>,
    /// Rounds of each cell, and/or a time after which none is begun.
    pub rounds: Option<u32>,
    pub duration_s: Option<f64>,
    pub requests_per_user: u32,
    /// Users of a leg start within this time.
    pub spread_s: f64,
    /// Each prompt begins with words of its own.
    pub salt: bool,
}

/// Where requests go.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Target {
    /// `http://host:port[/prefix]`; `None` starts the embedded server.
    pub base_url: Option<String>,
    /// Name in the table `SERVERS`; `None`: it is recognised.
    pub server: Option<String>,
    pub endpoint: Endpoint,
    /// Path below the base URL, when not the endpoint's usual one.
    pub path: Option<String>,
    /// `None`: the first model that `/v1/models` lists.
    pub model: Option<String>,
    /// Extra headers; values may be secret and are never serialised, only the names are.
    #[serde(serialize_with = "header_names::write", deserialize_with = "header_names::read")]
    pub headers: Vec<(String, String)>,
    /// Bearer token from the environment; never serialised.
    #[serde(skip)]
    pub api_key: Option<String>,
    /// The variable the key came from, for the manifest.
    pub api_key_env: Option<String>,
    /// PEM file of the authorities that may vouch for an `https` server; `None`: the system's.
    pub ca_cert: Option<PathBuf>,
    /// Take an `https` server's certificate unchecked.
    pub insecure: bool,
    /// Wait this long for the server to answer before the run; 0: one try.
    pub ready_timeout_s: f64,
    pub embedded: Embedded,
}

/// As which server the embedded one poses.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub enum Pose {
    #[default]
    #[serde(rename = "vllm")]
    Vllm,
    #[serde(rename = "sglang")]
    Sglang,
    #[serde(rename = "llama.cpp", alias = "llama_cpp")]
    LlamaCpp,
}

impl Pose {
    /// Its name in the table `SERVERS`.
    pub fn server(self) -> &'static str {
        match self {
            Pose::Vllm => "vllm",
            Pose::Sglang => "sglang",
            Pose::LlamaCpp => "llama_cpp",
        }
    }

    /// The word for it on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Pose::LlamaCpp => "llama.cpp",
            other => other.server(),
        }
    }
}

/// The shape of the embedded server's log lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// As vLLM 0.31 and later write them: whole seconds.
    #[default]
    Default,
    /// A logging configuration with microseconds.
    Us,
    /// The JSON formatter of vLLM 0.32: milliseconds.
    Json,
    /// The heads of vLLM 0.10.1 to 0.11; messages are those of 0.32.
    #[serde(rename = "0.10")]
    V0_10,
}

impl LogFormat {
    /// As it is written on the command line and in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            LogFormat::Default => "default",
            LogFormat::Us => "us",
            LogFormat::Json => "json",
            LogFormat::V0_10 => "0.10",
        }
    }
}

/// Parameters of the embedded server (`tare serve`): an engine model, what it reports, its faults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Embedded {
    pub model: String,
    #[serde(default, rename = "as")]
    pub pose: Pose,
    pub seed: u64,
    /// Requests decoded together at most.
    pub max_num_seqs: u32,
    /// Tokens one engine step may process, prefill and decode together.
    pub max_num_batched_tokens: u32,
    pub max_model_len: u32,
    /// Blocks of KV memory, 16 tokens each; `None`: as many as can be needed, so that nothing is preempted.
    pub num_gpu_blocks_override: Option<u64>,
    /// Cost of one prompt token, microseconds.
    pub prefill_us_per_token: f64,
    /// A decode step's fixed cost, and what each running request adds, milliseconds.
    pub decode_base_ms: f64,
    pub decode_per_seq_ms: f64,
    /// Relative spread (standard deviation) of a step's duration.
    pub jitter: f64,
    /// Front end before the engine (template, tokenizer), milliseconds + per token microseconds.
    pub frontend_ms: f64,
    pub frontend_us_per_token: f64,
    /// Natural answer length when `ignore_eos` is not asked for: geometric with this mean.
    pub mean_output_tokens: f64,
    /// API servers: threads here, where vLLM has processes.
    pub api_server_count: u16,
    pub log_stats_interval_s: f64,
    /// Engines, each with a cache, a batch and metrics of its own.
    pub data_parallel_size: u16,
    /// As vLLM's flags of the same name.
    pub enable_log_requests: bool,
    pub enable_log_outputs: bool,
    pub enable_log_deltas: bool,
    pub enable_logging_iteration_details: bool,
    pub enable_per_request_metrics: bool,
    /// Tell in `usage` how many of the prompt's tokens were cached.
    pub enable_prompt_tokens_details: bool,
    pub log_format: LogFormat,
    /// Write what the stat-logger plugin writes, into the run folder.
    pub stat_log: bool,
    /// Export `llm_request` spans to tare's receiver.
    pub spans: bool,
    /// Its wall clock is ahead of the host's by so much from the start, and gains so many microseconds
    /// a second; negative: behind, and loses.
    pub clock_offset_ms: f64,
    pub clock_drift_ppm: f64,
    /// It is set forward by so much (negative: back) so long after the start.
    pub clock_step_ms: f64,
    pub clock_step_at_s: Option<f64>,
    /// Fault script: see `mock::script`.
    pub faults: Vec<String>,
}

impl Default for Embedded {
    fn default() -> Self {
        Self {
            model: "tare-mock".to_owned(),
            pose: Pose::Vllm,
            seed: 0,
            max_num_seqs: 256,
            max_num_batched_tokens: 2048,
            max_model_len: 8192,
            num_gpu_blocks_override: None,
            prefill_us_per_token: 60.0,
            decode_base_ms: 8.0,
            decode_per_seq_ms: 0.15,
            jitter: 0.05,
            frontend_ms: 1.5,
            frontend_us_per_token: 4.0,
            mean_output_tokens: 180.0,
            api_server_count: 1,
            log_stats_interval_s: 10.0,
            data_parallel_size: 1,
            enable_log_requests: true,
            enable_log_outputs: false,
            enable_log_deltas: true,
            enable_logging_iteration_details: false,
            enable_per_request_metrics: true,
            enable_prompt_tokens_details: false,
            log_format: LogFormat::Default,
            stat_log: false,
            spans: true,
            clock_offset_ms: 0.0,
            clock_drift_ppm: 0.0,
            clock_step_ms: 0.0,
            clock_step_at_s: None,
            faults: Vec::new(),
        }
    }
}

/// What to send.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Workload {
    pub dataset: Dataset,
    /// Draw this many distinct prompts at random (seeded); `None`: all, in order.
    /// Always given for a dataset that is made: so many are.
    pub samples: Option<usize>,
    /// Each answer's length limit; in place of the dataset row's own when given.
    pub max_tokens: Option<u32>,
    /// Who counts tokens exactly; `None`: nobody, they are estimated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<Tokenizer>,
    /// Go on although it counts otherwise than the server.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_tokenizer_mismatch: bool,
    /// Hold whole conversations. A request set that has them is always held so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multi_turn: Option<MultiTurn>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub ignore_eos: bool,
    pub stream: bool,
    /// Merged into every body, last (`--extra-body`).
    pub extra_body: serde_json::Map<String, serde_json::Value>,
}

/// Where prompts come from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum Dataset {
    /// ShareGPT JSON: a list of `{"conversations": [{"from"|"role", "value"|"content"}]}`.
    Sharegpt {
        path: PathBuf,
    },
    /// One JSON object a line: `{"prompt"}` or `{"messages"}`, with optional `output_tokens`.
    Jsonl {
        path: PathBuf,
    },
    /// A CSV file with a header.
    Csv {
        path: PathBuf,
        columns: Columns,
    },
    Parquet {
        path: PathBuf,
        columns: Columns,
    },
    /// Synthetic words: `prefix_len` tokens that all begin with, then as many as the law says. Without a
    /// tokenizer, about so many by the rule in `workload::synthetic`.
    Random {
        input_len: Law,
        output_len: Law,
        #[serde(default)]
        prefix_len: u32,
    },
    /// Synthetic words: prompt i begins with prefix i mod `num_prefixes`; then they are shuffled.
    PrefixRepetition {
        prefix_len: u32,
        suffix_len: u32,
        num_prefixes: u32,
        output_len: u32,
    },
    /// Lines of sonnets after a shared beginning of `prefix_len` tokens; `input_len` in all.
    Sonnet {
        input_len: u32,
        output_len: u32,
        prefix_len: u32,
    },
    /// Requests that were made somewhere at some time: their lengths, and when they came.
    Trace(Trace),
}

/// A trace of requests, and how to read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    pub path: PathBuf,
    pub format: TraceFormat,
    /// Only what came from here on, and before there, in seconds since the trace's first request.
    pub start_s: f64,
    pub end_s: Option<f64>,
    /// Of a `timed-trace`: how many seconds one unit of its time stamps is …
    pub sec_multiplier: f64,
    /// … how many tokens a hash id stands for (512 in Mooncake's) …
    pub block_tokens: u32,
    /// … and what its fields are called.
    pub fields: TraceFields,
}

/// Formats of traces.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TraceFormat {
    /// JSON Lines, milliseconds.
    Mooncake,
    /// JSON Lines as `vllm bench serve --dataset-name timed_trace` reads them, seconds by default.
    TimedTrace,
    /// CSV of `TIMESTAMP,ContextTokens,GeneratedTokens`, dates.
    Azure,
    /// CSV of `Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type`, seconds.
    Burstgpt,
}

/// Names of fields.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct TraceFields {
    pub timestamp: String,
    pub input_length: String,
    pub output_length: String,
    pub hash_ids: String,
}

impl Default for TraceFields {
    fn default() -> Self {
        Self {
            timestamp: "timestamp".to_owned(),
            input_length: "input_length".to_owned(),
            output_length: "output_length".to_owned(),
            hash_ids: "hash_ids".to_owned(),
        }
    }
}

/// Which columns of a table hold what; `None`: the usual name.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Columns {
    pub prompt: Option<String>,
    pub output: Option<String>,
    pub messages: Option<String>,
}

/// Who counts tokens.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tokenizer {
    /// A `tokenizer.json`, or the folder it is in.
    File(PathBuf),
    /// The server, at `/tokenize`.
    Server,
}

/// How conversations are held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MultiTurn {
    /// `None`: as a prepared request set says; else the server's own answers.
    pub history: Option<History>,
    /// Time between an answer and the next turn, in seconds; `None`: as a prepared set says, else none.
    pub think_time_s: Option<Law>,
    /// Conversations of fewer turns are left out.
    pub min_turns: u32,
    pub max_turns: Option<u32>,
    /// Lengths of later turns, where they are made; `None`: as the first.
    pub turn_input_len: Option<Law>,
}

impl Dataset {
    /// Whether its prompts are made to number, not read.
    pub fn is_made(&self) -> bool {
        matches!(self, Self::Random { .. } | Self::PrefixRepetition { .. } | Self::Sonnet { .. })
    }
}

/// When and how to send.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    pub arrival: Arrival,
    /// Stop sending after this many requests, and/or after this time, whichever comes first.
    pub requests: Option<u64>,
    pub duration_s: Option<f64>,
    /// How long requests in flight may go on after the last was sent; then they are `in_flight`.
    pub grace_period_s: f64,
    /// One request may take this long.
    pub timeout_s: f64,
    pub connect_timeout_s: f64,
    /// Requests sent first, excluded on both sides.
    pub warmups: u32,
    /// In an open loop, at most so many at once; waiting shows as `started − scheduled`.
    pub max_concurrency: Option<u32>,
    pub stamps: Stamps,
    pub connections: Connections,
    /// Connections are bound to these local addresses in turn; empty: the system chooses.
    pub source_addresses: Vec<IpAddr>,
    /// Worker threads of the load; `None`: by the number of CPUs.
    pub threads: Option<u16>,
    /// CPUs that the load's threads are bound to.
    pub affinity: Option<CpuList>,
    pub request_id_prefix: String,
    /// Keep what each answer says with its row.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_texts: bool,
}

/// Who dates the arrival of tokens.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stamps {
    /// The kernel, once per read; where it does not, the program.
    #[default]
    Auto,
    /// The kernel, once per segment, by a capture of the run's own packets.
    Packet,
    /// The kernel, once per read.
    Kernel,
    /// The program, when it has read the bytes.
    User,
}

/// How requests come by their connections.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Connections {
    /// Opened ahead of their requests, off the clock, then kept: TTFT holds no connecting.
    #[default]
    Warm,
    /// Opened by the request that finds none, on the clock, then kept.
    Cold,
    /// A new one for each request, on the clock, closed after it.
    PerRequest,
}

/// What to record of the server's side.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Observe {
    /// Metrics endpoints; empty: `BASE_URL/metrics`. Ignored when `no_metrics`.
    pub metrics_urls: Vec<String>,
    pub no_metrics: bool,
    pub scrape_interval_s: f64,
    /// Server log to tail: a path, or `-` for stdin.
    pub server_log: Option<String>,
    /// What the server's stat logger (`assets/vllm_tare_logger`) writes, to tail: a path.
    #[serde(default)]
    pub stat_log: Option<String>,
    pub otlp: Option<Otlp>,
    /// How long to wait for late spans after the last request.
    pub span_wait_s: f64,
    /// By how much the server's clock differs from this one's at most, as NTP or PTP say on both hosts;
    /// `None`: only what the run itself shows.
    #[serde(default)]
    pub clock_bound_s: Option<f64>,
}

/// Something between client and server that keeps a log: a gateway, a proxy, `tare tap`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hop {
    pub name: String,
    /// Name in the table of log formats; `None`: found by looking.
    pub kind: Option<String>,
    pub log: PathBuf,
}

/// Where the OTLP receiver listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Otlp {
    pub host: String,
    /// 0: any free port.
    pub grpc_port: u16,
    pub http_port: u16,
}

/// Headers in files: their names. Read back, the values are empty.
mod header_names {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn write<S: Serializer>(headers: &[(String, String)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(headers.iter().map(|(name, _)| name))
    }

    pub fn read<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, String)>, D::Error> {
        let names = Vec::<String>::deserialize(from)?;
        Ok(names.into_iter().map(|name| (name, String::new())).collect())
    }
}
