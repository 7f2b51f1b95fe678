//! A configuration file exactly as it is written: one field per YAML key, everything optional. What
//! a missing key means and which values make sense is said in `validate`, never here.
//!
//! The words of `expecting` end up in error messages after "expected".

mod choices;
mod workload;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize};

pub use self::workload::{Columns, MultiTurn, MultiTurnChoice, PrefixRepetition, Sonnet};
use super::law::Law;
use super::sweep::Sweep;
use super::{Change, Connections, LogFormat, Pose, Stamps};
pub use crate::record::DatasetName;
use crate::record::Endpoint;
use crate::record::audit::Warmth;
use crate::record::slo::Slo;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct File {
    pub name: Option<String>,
    pub seed: Option<u64>,
    pub label: Option<String>,
    #[serde(deserialize_with = "section")]
    pub metadata: BTreeMap<String, String>,
    #[serde(deserialize_with = "section")]
    pub target: Target,
    #[serde(deserialize_with = "section")]
    pub embedded: Embedded,
    #[serde(deserialize_with = "section")]
    pub workload: Workload,
    #[serde(deserialize_with = "section")]
    pub load: Load,
    #[serde(deserialize_with = "section")]
    pub observe: Observe,
    #[serde(deserialize_with = "section")]
    pub hops: Vec<Hop>,
    #[serde(deserialize_with = "section")]
    pub slo: Slo,
    #[serde(deserialize_with = "section")]
    pub gates: Vec<String>,
    pub sweep: Option<Sweep>,
    pub audit: Option<Audit>,
    pub output: Option<PathBuf>,
    pub overwrite: Option<bool>,
    pub calibrate: Option<bool>,
}

/// `target:` where requests go.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Target {
    pub base_url: Option<String>,
    pub server: Option<String>,
    pub endpoint: Option<Endpoint>,
    pub path: Option<String>,
    pub model: Option<String>,
    #[serde(deserialize_with = "section")]
    pub headers: BTreeMap<String, String>,
    pub api_key_env: Option<String>,
    pub ca_cert: Option<PathBuf>,
    pub insecure: Option<bool>,
    pub ready_timeout_s: Option<f64>,
}

/// `embedded:` the server that is started when there is no `target.base_url`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Embedded {
    pub model: Option<String>,
    #[serde(rename = "as")]
    pub pose: Option<Pose>,
    pub seed: Option<u64>,
    pub max_num_seqs: Option<u32>,
    pub max_num_batched_tokens: Option<u32>,
    pub max_model_len: Option<u32>,
    pub num_gpu_blocks_override: Option<u64>,
    pub prefill_us_per_token: Option<f64>,
    pub decode_base_ms: Option<f64>,
    pub decode_per_seq_ms: Option<f64>,
    pub jitter: Option<f64>,
    pub frontend_ms: Option<f64>,
    pub frontend_us_per_token: Option<f64>,
    pub mean_output_tokens: Option<f64>,
    pub api_server_count: Option<u16>,
    pub log_stats_interval_s: Option<f64>,
    pub data_parallel_size: Option<u16>,
    pub enable_log_requests: Option<bool>,
    pub enable_log_outputs: Option<bool>,
    pub enable_log_deltas: Option<bool>,
    pub enable_logging_iteration_details: Option<bool>,
    pub enable_per_request_metrics: Option<bool>,
    pub enable_prompt_tokens_details: Option<bool>,
    pub log_format: Option<LogFormat>,
    pub stat_log: Option<bool>,
    pub spans: Option<bool>,
    pub clock_offset_ms: Option<f64>,
    pub clock_drift_ppm: Option<f64>,
    pub clock_step_ms: Option<f64>,
    pub clock_step_at_s: Option<f64>,
    pub faults: Option<Vec<String>>,
}

/// `workload:` what to send.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    pub dataset: Option<DatasetName>,
    pub path: Option<PathBuf>,
    pub samples: Option<usize>,
    pub random_input_len: Option<u32>,
    pub random_output_len: Option<u32>,
    pub range_ratio: Option<f64>,
    pub trace_start_s: Option<f64>,
    pub trace_end_s: Option<f64>,
    #[serde(deserialize_with = "section")]
    pub timed_trace: TimedTrace,
    pub random_input_law: Option<Law>,
    pub random_output_law: Option<Law>,
    pub random_prefix_len: Option<u32>,
    #[serde(deserialize_with = "section")]
    pub prefix_repetition: PrefixRepetition,
    #[serde(deserialize_with = "section")]
    pub sonnet: Sonnet,
    #[serde(deserialize_with = "section")]
    pub columns: Columns,
    pub multi_turn: Option<MultiTurnChoice>,
    pub tokenizer: Option<String>,
    pub allow_tokenizer_mismatch: Option<bool>,
    pub max_tokens: Option<u32>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub ignore_eos: Option<bool>,
    pub stream: Option<bool>,
    #[serde(deserialize_with = "section")]
    pub extra_body: serde_json::Map<String, serde_json::Value>,
}

/// `workload.timed_trace`: what `--dataset-name timed-trace` reads.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimedTrace {
    pub sec_multiplier: Option<f64>,
    pub chunk_hash_size: Option<u32>,
    pub label_timestamp: Option<String>,
    pub label_input_length: Option<String>,
    pub label_output_length: Option<String>,
    pub label_hash_ids: Option<String>,
}

/// `load:` when and how to send.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    pub users: Option<u32>,
    pub ramp_s: Option<f64>,
    pub ramp_down_s: Option<f64>,
    pub request_rate: Option<Rate>,
    pub arrival: Option<ArrivalName>,
    pub burstiness: Option<f64>,
    pub ramp_up_strategy: Option<Change>,
    pub ramp_up_start_rps: Option<f64>,
    pub ramp_up_end_rps: Option<f64>,
    pub stages: Option<Vec<Stage>>,
    pub self_timed: Option<bool>,
    pub trace_speed: Option<f64>,
    pub requests: Option<u64>,
    pub duration_s: Option<f64>,
    pub grace_period_s: Option<f64>,
    pub timeout_s: Option<f64>,
    pub connect_timeout_s: Option<f64>,
    pub warmups: Option<u32>,
    pub max_concurrency: Option<u32>,
    pub stamps: Option<Stamps>,
    pub connections: Option<Connections>,
    pub source_addresses: Option<Vec<String>>,
    pub threads: Option<u16>,
    pub affinity: Option<Scalar>,
    pub request_id_prefix: Option<String>,
}

/// One of `load.stages`: users, or a rate.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stage {
    pub users: Option<u32>,
    pub ramp_s: Option<f64>,
    pub rate: Option<f64>,
    pub to_rate: Option<f64>,
    pub ramp: Option<Change>,
    pub arrival: Option<ArrivalName>,
    pub burstiness: Option<f64>,
    pub duration_s: Option<f64>,
}

/// One value as it is written: `2` and `0-3` alike.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Scalar(pub String);

/// `load.arrival`: how the gaps of an open loop are drawn.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArrivalName {
    Poisson,
    Constant,
    Gamma,
}

/// Requests per second; `inf` means all at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub f64);

/// `observe:` what to record of the server's side.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Observe {
    pub metrics: Option<Metrics>,
    pub scrape_interval_s: Option<f64>,
    pub server_log: Option<String>,
    pub stat_log: Option<String>,
    pub otlp: Option<OtlpChoice>,
    pub listen_metrics: Option<String>,
    pub export_spans: Option<String>,
    pub export_spans_headers: BTreeMap<String, String>,
    pub span_wait_s: Option<f64>,
    pub clock_bound_s: Option<f64>,
}

/// `hops:` what lies between client and server, in the order a request passes it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Hop {
    pub name: Option<String>,
    pub kind: Option<String>,
    pub log: Option<PathBuf>,
}

/// `audit:` two ways to one server, compared; for `tare audit` alone.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    pub direct: Option<String>,
    pub through: Option<String>,
    pub through_model: Option<String>,
    pub through_api_key_env: Option<String>,
    pub concurrency: Option<OneOrMore<u32>>,
    pub prompt_tokens: Option<OneOrMore<u32>>,
    pub connections: Option<OneOrMore<Warmth>>,
    pub output_tokens: Option<u32>,
    pub rounds: Option<u32>,
    pub duration_s: Option<f64>,
    pub requests_per_user: Option<u32>,
    pub spread_s: Option<f64>,
    pub salt: Option<bool>,
    pub stop_at_eos: Option<bool>,
}

/// `8` and `[1, 8]` alike.
#[derive(Clone, Debug, PartialEq)]
pub struct OneOrMore<T>(pub Vec<T>);

/// `observe.metrics`: `false`, `true` (found at the base URL), one URL or several.
#[derive(Clone, Debug, PartialEq)]
pub enum Metrics {
    Off,
    Found,
    At(Vec<String>),
}

/// `observe.otlp`: `false`, `true` (the usual ports) or where to listen.
#[derive(Clone, Debug, PartialEq)]
pub enum OtlpChoice {
    Off,
    On(Otlp),
}

/// `observe.otlp` in full.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    pub host: Option<String>,
    pub grpc_port: Option<u16>,
    pub http_port: Option<u16>,
}

/// A section whose keys are all commented out is an empty section, not an error.
fn section<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}
