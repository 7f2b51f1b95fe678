//! The embedded server, resolved: what it poses as, its engine, what it reports. This file must not know where the
//! values come from.

use serde::{Deserialize, Serialize};

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
