//! The arguments of `tare serve`: clap types only, as written.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

/// `tare serve`.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1")]
    pub host: String,
    /// Port to listen on; 0: any free one
    #[arg(long, default_value_t = 8000)]
    pub port: u16,
    /// Write what really happened to each request to this file (JSON Lines)
    #[arg(long, value_name = "PATH")]
    pub truth: Option<PathBuf>,
    /// Append a line for each finished request to this file, as the stat-logger plugin for vLLM does
    #[arg(long, value_name = "PATH")]
    pub stat_log: Option<PathBuf>,
    /// Export llm_request spans to this OTLP receiver (HTTP), such as http://127.0.0.1:4318
    #[arg(long, value_name = "URL", visible_alias = "otlp-traces-endpoint")]
    pub otlp_endpoint: Option<String>,
    /// End when this process is no longer the parent
    #[arg(long, hide = true)]
    pub parent_pid: Option<u32>,
    /// Close a connection after so many seconds without a next request [default: 5]
    #[arg(long, value_name = "SECONDS", hide = true)]
    pub keep_alive_s: Option<f64>,
    /// A fault to play, repeatable; see the documentation of fault scripts
    #[arg(long, value_name = "SCRIPT", action = ArgAction::Append)]
    pub fault: Vec<String>,
    #[command(flatten)]
    pub engine: EngineArgs,
    #[command(flatten)]
    pub says: SaysArgs,
    #[command(flatten)]
    pub clock: ClockArgs,
}

/// The engine model; vLLM's names where it has them.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// The model's name [default: tare-mock]
    #[arg(long, value_name = "NAME", visible_alias = "served-model-name")]
    pub model: Option<String>,
    /// The server to look like [default: vllm]
    #[arg(long = "as", value_name = "SERVER", value_enum)]
    pub pose: Option<PoseName>,
    /// Seed of step times and answer lengths [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Requests decoded together at most [default: 256]
    #[arg(long, value_name = "N")]
    pub max_num_seqs: Option<u32>,
    /// Tokens one step may process [default: 2048]
    #[arg(long, value_name = "N")]
    pub max_num_batched_tokens: Option<u32>,
    /// Tokens of prompt and answer together at most [default: 8192]
    #[arg(long, value_name = "N")]
    pub max_model_len: Option<u32>,
    /// Blocks of KV memory, 16 tokens each; where they run out, requests are preempted [default: enough]
    #[arg(long, value_name = "N", visible_alias = "num-gpu-blocks")]
    pub num_gpu_blocks_override: Option<u64>,
    /// Cost of one prompt token, in microseconds [default: 60]
    #[arg(long, value_name = "US")]
    pub prefill_us_per_token: Option<f64>,
    /// Fixed cost of a decode step, in milliseconds [default: 8]
    #[arg(long, value_name = "MS")]
    pub decode_base_ms: Option<f64>,
    /// Cost that each running request adds to a step, in milliseconds [default: 0.15]
    #[arg(long, value_name = "MS")]
    pub decode_per_seq_ms: Option<f64>,
    /// Relative spread of a step's duration [default: 0.05]
    #[arg(long, value_name = "SHARE")]
    pub jitter: Option<f64>,
    /// Time in the front end before the engine, in milliseconds [default: 1.5]
    #[arg(long, value_name = "MS")]
    pub frontend_ms: Option<f64>,
    /// What each prompt token adds there, in microseconds [default: 4]
    #[arg(long, value_name = "US")]
    pub frontend_us_per_token: Option<f64>,
    /// Mean length of an answer that ends by itself [default: 180]
    #[arg(long, value_name = "TOKENS")]
    pub mean_output_tokens: Option<f64>,
    /// API servers: threads, with merged metrics and no statistics in the log [default: 1]
    #[arg(long, value_name = "N")]
    pub api_server_count: Option<u16>,
    /// Engines, over which requests are spread [default: 1]
    #[arg(long, value_name = "N")]
    pub data_parallel_size: Option<u16>,
}

/// `--as`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum PoseName {
    // vLLM 0.32
    Vllm,
    // SGLang 0.5.23, by its sources
    Sglang,
    // llama.cpp's server, as one was seen
    #[value(name = "llama.cpp", alias = "llama_cpp")]
    LlamaCpp,
}

/// `--log-format`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LogFormatName {
    /// vLLM 0.31 and later: whole seconds
    Default,
    /// A logging configuration with microseconds
    Us,
    /// The JSON formatter of vLLM 0.32: milliseconds
    Json,
    /// The coloured heads of vLLM 0.10.1 to 0.11
    #[value(name = "0.10")]
    V0_10,
}

/// What the embedded server tells about itself.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "What it reports")]
pub struct SaysArgs {
    /// Time between the engine's lines of statistics in the log [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub log_stats_interval_s: Option<f64>,
    /// Log each request (the default)
    #[arg(long, overrides_with = "no_enable_log_requests")]
    pub enable_log_requests: bool,
    /// Do not log each request
    #[arg(long)]
    pub no_enable_log_requests: bool,
    /// Log what is answered to chats, piece by piece and whole
    #[arg(long)]
    pub enable_log_outputs: bool,
    /// Of --enable-log-outputs, do not log the pieces
    #[arg(long)]
    pub no_enable_log_deltas: bool,
    /// Log each step of the engine
    #[arg(long)]
    pub enable_logging_iteration_details: bool,
    /// The shape of log lines [default: default]
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub log_format: Option<LogFormatName>,
    /// Put each request's metrics into its answer (the default)
    #[arg(long, overrides_with = "no_enable_per_request_metrics")]
    pub enable_per_request_metrics: bool,
    /// Tell in each answer's usage how many of its prompt's tokens were cached
    #[arg(long)]
    pub enable_prompt_tokens_details: bool,
    /// Put no metrics into answers
    #[arg(long)]
    pub no_enable_per_request_metrics: bool,
}

/// How wrong its wall clock is. The truth is never on it, and says how wrong it was.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Its wall clock")]
pub struct ClockArgs {
    /// Ahead of this machine's by so much; negative: behind [default: 0]
    #[arg(long, value_name = "MS", allow_hyphen_values = true)]
    pub clock_offset_ms: Option<f64>,
    /// Gains so many microseconds in a second; negative: loses [default: 0]
    #[arg(long, value_name = "PPM", allow_hyphen_values = true)]
    pub clock_drift_ppm: Option<f64>,
    /// Set forward by so much, once, at --clock-step-at-s; negative: back
    #[arg(long, value_name = "MS", allow_hyphen_values = true)]
    pub clock_step_ms: Option<f64>,
    /// When it is set, after the start
    #[arg(long, value_name = "SECONDS")]
    pub clock_step_at_s: Option<f64>,
}
