//! The arguments of `tare audit`: clap types only, as written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{GateArgs, ObserveArgs, OutputArgs, StampsName, TargetArgs};

/// `tare audit`.
#[derive(Clone, Debug, Default, Args)]
#[command(mut_arg("base_url", |arg| arg.hide(true)), mut_arg("host", |arg| arg.hide(true)), mut_arg("port", |arg| arg.hide(true)), mut_arg("calibrate", |arg| arg.hide(true)))]
pub struct AuditArgs {
    /// Configuration file (YAML) with a section audit
    pub config: Option<PathBuf>,
    /// Only print what turns on a log for tare: of nginx, haproxy, envoy, caddy, traefik, litellm or kong
    #[arg(long, value_name = "PRODUCT", exclusive = true)]
    pub print_config: Option<String>,
    #[command(flatten)]
    pub arms: ArmArgs,
    #[command(flatten)]
    pub cells: CellArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub observe: ObserveArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub gates: GateArgs,
}

/// The two ways that are compared.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Arms")]
pub struct ArmArgs {
    /// The server's own URL
    #[arg(long, value_name = "URL")]
    pub direct: Option<String>,
    /// The URL of what stands before it and is audited
    #[arg(long, value_name = "URL")]
    pub through: Option<String>,
    /// The model's name there [default: as at the server]
    #[arg(long, value_name = "NAME")]
    pub through_model: Option<String>,
    /// Environment variable with the API key there [default: as at the server]
    #[arg(long, value_name = "NAME")]
    pub through_api_key_env: Option<String>,
}

/// What is compared, how often, and how each request looks.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Cells and rounds")]
pub struct CellArgs {
    /// Users at once, a cell for each [default: 1,8]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub concurrency: Vec<u32>,
    /// Tokens of a prompt, about, a cell for each [default: 50]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub prompt_tokens: Vec<u32>,
    /// Connections: opened ahead and kept, or one per request; a cell for each [default: warm]
    #[arg(long, value_enum, value_name = "LIST", value_delimiter = ',')]
    pub connections: Vec<WarmthName>,
    /// Tokens of each answer [default: 64]
    #[arg(long, value_name = "N")]
    pub output_tokens: Option<u32>,
    /// Rounds of each cell; each sends the same by both ways [default: 20 if no duration is given]
    #[arg(long, value_name = "N")]
    pub rounds: Option<u32>,
    /// Begin no more rounds after this time
    #[arg(long, value_name = "SECONDS")]
    pub duration: Option<f64>,
    /// Requests of each user in each round by each way [default: 3]
    #[arg(long, value_name = "N")]
    pub requests_per_user: Option<u32>,
    /// Users start at random moments of so long a time, the same by both ways [default: 0.1]
    #[arg(long, value_name = "SECONDS")]
    pub spread: Option<f64>,
    /// Begin each prompt with words of its own, so that no prefix cache knows it
    #[arg(long)]
    pub salt: bool,
    /// Let answers end where the model ends them, instead of at their length
    #[arg(long)]
    pub stop_at_eos: bool,
    /// Prompts from this file instead of random ones: ShareGPT JSON, or JSON Lines
    #[arg(long, value_name = "PATH")]
    pub dataset_path: Option<PathBuf>,
    /// Sampling temperature [default: 0]
    #[arg(long, value_name = "T")]
    pub temperature: Option<f64>,
    /// JSON object merged into each request's body
    #[arg(long, value_name = "JSON")]
    pub extra_body: Option<String>,
    /// Seed of order, starts and prompts [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Requests sent first by each way and counted nowhere [default: 1]
    #[arg(long, value_name = "N")]
    pub num_warmups: Option<u32>,
    /// One request may take this long [default: 120]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<f64>,
    /// A connection may take this long [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub connect_timeout: Option<f64>,
    /// Who dates the tokens' arrival: auto, kernel or user [default: auto]
    #[arg(long, value_enum, hide_possible_values = true)]
    pub stamps: Option<StampsName>,
    /// Threads that send and read [default: one per CPU, at most 4; one for 64 warm users or fewer]
    #[arg(long, value_name = "N")]
    pub threads: Option<u16>,
    /// CPUs that these threads may run on, such as 0,2-3 [default: any]
    #[arg(long, value_name = "CPULIST")]
    pub affinity: Option<String>,
    /// Beginning of each X-Request-Id [default: tare-]
    #[arg(long, value_name = "TEXT")]
    pub request_id_prefix: Option<String>,
}

/// `--connections` of an audit.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum WarmthName {
    // Opened ahead of their requests, off the clock, and kept
    Warm,
    // A new one for each request, on the clock
    Cold,
}
