//! The command line as types, and nothing else: which verbs and flags there are, and the line of
//! help for each. What a flag means together with a configuration file is said in `config`; what a
//! verb does, in `verbs`.
//!
//! Where `vllm bench serve` has a flag for the same thing, its spelling is used.

// Documentation here is the help text, printed as it stands.
#![allow(clippy::doc_markdown, rustdoc::bare_urls)]

mod audit;
mod bench;
mod compare;
mod correlate;
mod doctor;
mod explain;
mod figure;
mod foreign;
mod gates;
mod prepare;
mod results;
mod sampling;
mod serve;
mod shape;
mod slo;
mod sweep;
mod tap;
mod trace;
mod workload;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use self::audit::{ArmArgs, AuditArgs, CellArgs, WarmthName};
pub use self::bench::{BenchArgs, BenchCommand};
pub use self::compare::CompareArgs;
pub use self::correlate::CorrelateArgs;
pub use self::doctor::DoctorArgs;
pub use self::explain::{ExplainArgs, SlowestBy};
pub use self::figure::FigureArgs;
pub use self::foreign::{FOREIGN, Foreign};
pub use self::gates::{FailOnName, GateArgs};
pub use self::prepare::PrepareArgs;
pub use self::results::{IdleArgs, ResultArgs, StyleName};
pub use self::sampling::SamplingArgs;
pub use self::serve::{ClockArgs, EngineArgs, LogFormatName, PoseName, SaysArgs, ServeArgs};
pub use self::shape::{ChangeName, ShapeArgs};
pub use self::slo::SloArgs;
pub use self::sweep::{SearchName, SweepArgs};
pub use self::tap::TapArgs;
pub use self::trace::TraceArgs;
pub use self::workload::{DatasetArgs, HistoryName, MultiTurnArgs};
pub use crate::record::DatasetName;

use crate::record::selection::Selection;

/// Weighs LLM requests on both sides, client and server, and says where every millisecond went.
#[derive(Clone, Debug, Parser)]
#[command(name = "tare", version, max_term_width = 100, help_expected = true, subcommand_required = true)]
#[command(after_help = "Exit codes: 0 finished (failed requests are results), 1 a gate was missed, \
                        2 usage or configuration, 3 nothing succeeded or the run broke, 130 interrupted")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
    /// Say more about what is done; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// No progress, only the report and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

impl Cli {
    /// Reads the arguments, the program's name first. Help, version and mistakes are printed here,
    /// and end the program: with 0, or 2.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Self {
        match Self::try_parse_from(args) {
            Ok(cli) => cli,
            Err(error) => match foreign::refusal(&error) {
                Some(refusal) => {
                    // A closed terminal changes nothing about what happened.
                    let _ = crate::error::print(&mut std::io::stderr(), &refusal.into());
                    std::process::exit(crate::error::Exit::Usage as i32)
                }
                None => error.exit(),
            },
        }
    }

    /// The same, for callers that want to go on.
    pub fn try_read(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        Self::try_parse_from(args)
    }
}

/// The verbs.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Send a load, record both sides, report
    Run(Box<RunArgs>),
    /// Make every table and plot again from a run folder's raw records
    Report(Box<ReportArgs>),
    /// Join what other tools recorded: a client's records with a server's log, metrics, spans
    Correlate(Box<CorrelateArgs>),
    /// Set runs side by side: differences with their intervals, gates for CI; or audits of gateways
    Compare(Box<CompareArgs>),
    /// Find out what a gateway adds: the same requests with and without it, in turn, paired
    Audit(Box<AuditArgs>),
    /// Show one request of a run folder: every stamp of both sides, and where its time went
    Explain(ExplainArgs),
    /// Find out with a few requests what a server or gateway can prove, and which flag proves more
    Doctor(Box<DoctorArgs>),
    /// Find out how large the tool's own error is, at a load and at a ladder of others
    Calibrate(Box<CalibrateArgs>),
    /// Write what would be sent to a file, so that a run can be repeated exactly elsewhere
    Prepare(Box<PrepareArgs>),
    /// Pass everything on between a client and a server, and write down when it passed
    Tap(TapArgs),
    /// Start the embedded vLLM look-alike alone
    Serve(Box<ServeArgs>),
    /// bench serve: take a command line of vllm bench serve as it stands
    Bench(BenchArgs),
}

/// `tare run`: flags override the configuration file.
#[derive(Clone, Debug, Default, Args)]
pub struct RunArgs {
    /// Configuration file (YAML), such as configs/demo.yaml
    pub config: Option<PathBuf>,

    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub observe: ObserveArgs,
    #[command(flatten)]
    pub slo: SloArgs,
    #[command(flatten)]
    pub sweep: SweepArgs,
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(flatten)]
    pub results: ResultArgs,
    #[command(flatten)]
    pub gates: GateArgs,
    #[command(flatten)]
    pub idle: IdleArgs,
}

/// Where requests go.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Target")]
pub struct TargetArgs {
    /// The server's URL; without one the embedded server is started
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// The server's host, instead of --base-url [default with --port: 127.0.0.1]
    #[arg(long, conflicts_with = "base_url")]
    pub host: Option<String>,
    /// The server's port, instead of --base-url [default with --host: 8000]
    #[arg(long, conflicts_with = "base_url")]
    pub port: Option<u16>,
    /// The API, and which server, where it names one [default: openai-chat, or what --endpoint says]
    #[arg(long, value_enum)]
    pub backend: Option<Backend>,
    /// Path of the API below the base URL [default: the API's own, such as /v1/chat/completions]
    #[arg(long, value_name = "PATH")]
    pub endpoint: Option<String>,
    /// Whose metrics, log and spans to expect: vllm, sglang, tgi, llama.cpp … [default: as recognised]
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// The model's name [default: the first that /v1/models lists]
    #[arg(long, value_name = "NAME")]
    pub model: Option<String>,
    /// The model's name in the API, where it differs from --model
    #[arg(long, value_name = "NAME")]
    pub served_model_name: Option<String>,
    /// Header to send with each request; values are never written to files
    #[arg(long, value_name = "KEY=VALUE", num_args = 1.., action = ArgAction::Append)]
    pub header: Vec<String>,
    /// Environment variable that holds the API key [default: OPENAI_API_KEY, when set]
    #[arg(long, value_name = "NAME")]
    pub api_key_env: Option<String>,
    /// PEM file of the authorities that may vouch for an https server [default: the system's]
    #[arg(long, value_name = "PATH")]
    pub ca_cert: Option<PathBuf>,
    /// Take an https server's certificate without checking it
    #[arg(long, conflicts_with = "ca_cert")]
    pub insecure: bool,
    /// Wait this long for the server to answer before the run; 0: one try [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub ready_check_timeout_sec: Option<f64>,
}

/// What to send.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Workload")]
pub struct WorkloadArgs {
    /// Where prompts come from [default: random, or by --dataset-path's ending]
    #[arg(long, value_name = "NAME", value_parser = workload::dataset_name())]
    pub dataset_name: Option<DatasetName>,
    /// The dataset's file
    #[arg(long, value_name = "PATH")]
    pub dataset_path: Option<PathBuf>,
    /// Requests to send, each with its own prompt; or conversations [default: 1000 without a duration]
    #[arg(long, value_name = "N")]
    pub num_prompts: Option<u64>,
    /// Distinct prompts to draw; requests beyond them repeat prompts [default: --num-prompts]
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// Tokens of a random prompt, about [default: 1024]
    #[arg(long, value_name = "N")]
    pub random_input_len: Option<u32>,
    /// Tokens of a random prompt's answer at most [default: 128]
    #[arg(long, value_name = "N")]
    pub random_output_len: Option<u32>,
    /// Random lengths lie in [len*(1-R), len*(1+R)]; {"input": R, "output": R} for each [default: 0]
    #[arg(long, value_name = "R")]
    pub random_range_ratio: Option<String>,
    /// The same as --random-input-len
    #[arg(long, value_name = "N")]
    pub input_len: Option<u32>,
    /// Tokens of each answer at most, whatever the dataset says
    #[arg(long, value_name = "N", visible_alias = "max-tokens")]
    pub output_len: Option<u32>,
    /// The same as --output-len, for ShareGPT [default: about as long as the dataset's answer]
    #[arg(long, value_name = "N")]
    pub sharegpt_output_len: Option<u32>,
    /// The same as --output-len, for JSON Lines; -1: each row's output_tokens [default: -1]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..=i64::from(u32::MAX)))]
    pub custom_output_len: Option<i64>,
    #[command(flatten)]
    pub trace: TraceArgs,
    /// Ask the server to go on to the length limit [default for traces]
    #[arg(long)]
    pub ignore_eos: bool,
    /// Ask for whole answers instead of streams (no TTFT then)
    #[arg(long)]
    pub no_stream: bool,
    /// Sampling temperature [default: the server's]
    #[arg(long, value_name = "T")]
    pub temperature: Option<f64>,
    /// Nucleus sampling bound [default: the server's]
    #[arg(long, value_name = "P")]
    pub top_p: Option<f64>,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    /// JSON object merged into each request's body
    #[arg(long, value_name = "JSON")]
    pub extra_body: Option<String>,
    /// Seed of schedule, sampling and random prompts [default: 0]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    #[command(flatten)]
    pub datasets: DatasetArgs,
    #[command(flatten)]
    pub multi_turn: MultiTurnArgs,
}

/// When and how to send.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Load")]
pub struct LoadArgs {
    /// Closed loop: so many users, each sends when its last request ended
    #[arg(long, value_name = "N")]
    pub users: Option<u32>,
    /// Closed loop: start the users evenly over this time [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub ramp_s: Option<f64>,
    /// Open loop: requests per second; inf (the default): all at once, or as --max-concurrency lets
    #[arg(long, value_name = "RPS")]
    pub request_rate: Option<f64>,
    /// Open loop: gaps between arrivals [default: poisson]
    #[arg(long, value_enum, visible_alias = "arrival-pattern")]
    pub arrival: Option<ArrivalName>,
    /// Open loop: gamma gaps of this shape; below 1 in bursts, 1: poisson, above evenly, inf: constant
    #[arg(long, value_name = "B")]
    pub burstiness: Option<f64>,
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// At most so many requests at once; without a rate the same as --users
    #[arg(long, value_name = "N")]
    pub max_concurrency: Option<u32>,
    /// Stop sending after this time
    #[arg(long, value_name = "SECONDS", visible_alias = "benchmark-duration")]
    pub duration: Option<f64>,
    /// Requests may go on so long after sending stopped [default: 30 with a duration, else --timeout]
    #[arg(long, value_name = "SECONDS", visible_alias = "benchmark-grace-period")]
    pub grace_period: Option<f64>,
    /// One request may take this long [default: 3600]
    #[arg(long, value_name = "SECONDS", visible_alias = "request-timeout-seconds")]
    pub timeout: Option<f64>,
    /// A connection may take this long [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub connect_timeout: Option<f64>,
    /// Connections: opened ahead, opened when needed and kept, or one per request [default: warm]
    #[arg(long, value_enum, value_name = "HOW")]
    pub connections: Option<ConnectionsName>,
    /// Local addresses to connect from, in turn; each has source ports of its own
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', action = ArgAction::Append)]
    pub source_address: Vec<String>,
    /// Threads that send and read [default: one per CPU, at most 4]
    #[arg(long, value_name = "N")]
    pub threads: Option<u16>,
    /// CPUs that these threads may run on, such as 0,2-3 [default: any]
    #[arg(long, value_name = "CPULIST")]
    pub affinity: Option<String>,
    /// Requests sent first and counted on neither side [default: 0]
    #[arg(long, value_name = "N")]
    pub num_warmups: Option<u32>,
    /// Who dates the tokens' arrival [default: auto]
    #[arg(long, value_enum)]
    pub stamps: Option<StampsName>,
    /// Beginning of each X-Request-Id [default: tare-]
    #[arg(long, value_name = "TEXT")]
    pub request_id_prefix: Option<String>,
}

/// What to record of the server's side.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Server side")]
pub struct ObserveArgs {
    /// Metrics endpoints [default: /metrics of the base URL]
    #[arg(long, value_name = "URL", num_args = 1.., action = ArgAction::Append, conflicts_with = "no_server_metrics")]
    pub server_metrics: Vec<String>,
    /// Scrape no metrics
    #[arg(long)]
    pub no_server_metrics: bool,
    /// Time between scrapes [default: 1]
    #[arg(long, value_name = "SECONDS")]
    pub scrape_interval: Option<f64>,
    /// Server log to follow while it is written; - for standard input
    #[arg(long, value_name = "PATH")]
    pub server_log: Option<String>,
    /// File that vLLM's stat logger of tare (assets/vllm_tare_logger) writes, to follow
    #[arg(long, value_name = "PATH")]
    pub stat_log: Option<String>,
    /// Log of a gateway between client and server, repeatable in the order a request passes them
    #[arg(long, value_name = "[NAME=][KIND:]FILE", action = ArgAction::Append)]
    pub hop: Vec<String>,
    /// Receive OpenTelemetry spans, listening on HOST [default: 127.0.0.1]
    #[arg(long, value_name = "HOST", num_args = 0..=1, require_equals = true)]
    pub otlp: Option<Option<String>>,
    /// Receive no spans
    #[arg(long, conflicts_with_all = ["otlp", "otlp_grpc_port", "otlp_http_port"])]
    pub no_otlp: bool,
    /// Port for spans over gRPC; 0: any free one [default: 4317]
    #[arg(long, value_name = "PORT")]
    pub otlp_grpc_port: Option<u16>,
    /// Port for spans over HTTP; 0: any free one [default: 4318]
    #[arg(long, value_name = "PORT")]
    pub otlp_http_port: Option<u16>,
    /// Serve the client's own metrics to Prometheus while the run goes on, at /metrics of this port
    #[arg(long, value_name = "[HOST:]PORT")]
    pub listen_metrics: Option<String>,
    /// Wait so long for late spans and lines of hops after the last request [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub span_wait: Option<f64>,
    /// By how much the server's clock differs from this one's at most (NTP, PTP: on both hosts)
    #[arg(long, value_name = "SECONDS")]
    pub clock_bound: Option<f64>,
}

/// Where results go, and what is written with them.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// The run's name [default: the configuration file's]
    #[arg(long)]
    pub name: Option<String>,
    /// The run folder, exactly [default: output/NAME-TIME]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Use the run folder even if it is not empty
    #[arg(long)]
    pub overwrite: bool,
    /// Label kept with the results
    #[arg(long)]
    pub label: Option<String>,
    /// Facts kept with the results
    #[arg(long, value_name = "KEY=VALUE", num_args = 1.., action = ArgAction::Append)]
    pub metadata: Vec<String>,
    /// After the run, find out how large the tool's own error is at its load, and report it
    #[arg(long)]
    pub calibrate: bool,
    /// Print the resolved configuration and the plan; send nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// `tare report`.
#[derive(Clone, Debug, Args)]
pub struct ReportArgs {
    /// The run folder, such as output/demo-20260102-030405
    pub folder: PathBuf,
    /// With `--figure … --by run`: more of them
    #[arg(value_name = "FOLDER")]
    pub others: Vec<PathBuf>,
    /// A log of the server that was not followed during the run: added to the folder, then joined
    #[arg(long, value_name = "PATH")]
    pub server_log: Option<PathBuf>,
    /// Log of a gateway that was not followed: added to the folder, then joined
    #[arg(long, value_name = "[NAME=][KIND:]FILE", action = ArgAction::Append)]
    pub hop: Vec<String>,
    /// Report only requests that started in the steady state, or from A to B seconds into the run
    #[arg(long, value_name = "all|steady|A..B", default_value_t)]
    pub window: Selection,
    /// A stat log of the server that was not followed: added to the folder, then joined
    #[arg(long, value_name = "PATH")]
    pub stat_log: Option<PathBuf>,
    #[command(flatten)]
    pub results: ResultArgs,
    #[command(flatten)]
    pub gates: GateArgs,
    #[command(flatten)]
    pub figure: FigureArgs,
}

/// `tare calibrate`: what `tare run` takes, and how to calibrate.
#[derive(Clone, Debug, Default, Args)]
pub struct CalibrateArgs {
    /// Configuration file (YAML) whose load is calibrated, such as configs/demo.yaml
    pub config: Option<PathBuf>,

    #[command(flatten)]
    pub levels: LevelArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    #[command(flatten)]
    pub load: LoadArgs,
    #[command(flatten)]
    pub observe: ObserveArgs,
}

/// Which loads to calibrate at, and where what was found goes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Calibration")]
pub struct LevelArgs {
    /// Levels: numbers of streams, or own for the load asked for [default: own,1,10,100,500,1000,2000]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub streams: Vec<String>,
    /// Each level sends for this time [default: 10]
    #[arg(long, value_name = "SECONDS")]
    pub level_duration: Option<f64>,
    /// The embedded engine's rate for each stream; a configured one keeps its own [default: 20]
    #[arg(long, value_name = "TPS")]
    pub tokens_per_second: Option<f64>,
    /// Spread the embedded server's TTFT by so much of its mean to either side [default: 0]
    #[arg(long, value_name = "SHARE")]
    pub ttft_spread: Option<f64>,
    /// Write every number to this file as well (JSON)
    #[arg(long, value_name = "PATH")]
    pub json: Option<PathBuf>,
    /// Keep the levels' run folders and the server's truth in this folder
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// `--backend`, in the words of `vllm bench serve`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum Backend {
    // Chat completions
    #[value(name = "openai-chat")]
    OpenaiChat,
    // Text completions
    Openai,
    // Text completions
    Vllm,
    // Responses
    #[value(name = "openai-responses")]
    OpenaiResponses,
    // Text completions of SGLang
    Sglang,
    // Text completions of LMDeploy
    Lmdeploy,
    // Text completions of llama.cpp's server
    #[value(name = "llama.cpp", alias = "llama-cpp")]
    LlamaCpp,
    // Chat completions of Text Generation Inference
    Tgi,
    // Chat completions of TensorRT-LLM's trtllm-serve
    #[value(name = "tensorrt-llm", alias = "trtllm")]
    TensorrtLlm,
    // Chat completions of Ollama
    Ollama,
}

impl Backend {
    /// The server that it names, by its name in the table of servers; `None`: whichever it is.
    pub fn server(self) -> Option<&'static str> {
        match self {
            Backend::OpenaiChat | Backend::Openai | Backend::OpenaiResponses => None,
            Backend::Vllm => Some("vllm"),
            Backend::Sglang => Some("sglang"),
            Backend::Lmdeploy => Some("lmdeploy"),
            Backend::LlamaCpp => Some("llama_cpp"),
            Backend::Tgi => Some("tgi"),
            Backend::TensorrtLlm => Some("tensorrt_llm"),
            Backend::Ollama => Some("ollama"),
        }
    }
}

/// `--stamps`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum StampsName {
    /// The kernel, else the program
    Auto,
    /// The kernel, once per segment (captures headers; needs CAP_NET_RAW)
    Packet,
    /// The kernel, once per read
    Kernel,
    /// The program, when it has read the bytes
    User,
}

/// `--arrival`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ArrivalName {
    // Exponential gaps
    Poisson,
    // Equal gaps
    Constant,
    // Gamma gaps of shape --burstiness
    Gamma,
}

/// `--connections`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ConnectionsName {
    // Opened ahead of their requests, off the clock, and kept
    Warm,
    // Opened by the request that finds none, on the clock, and kept
    Cold,
    // A new one for each request, on the clock
    PerRequest,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Every verb with its own flags.
    fn flags() -> Vec<(String, clap::Arg)> {
        let cli = Cli::command();
        let verbs = cli.get_subcommands();
        verbs
            .flat_map(|verb| verb.get_arguments().map(|arg| (verb.get_name().to_owned(), arg.clone())))
            .collect()
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_one_line_of_help_without_a_full_stop() {
        for (verb, arg) in flags() {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(
                !help.is_empty() && help.len() <= 100 && !help.contains('\n') && !help.ends_with('.'),
                "tare {verb} {}: {help:?}",
                arg.get_id()
            );
            assert!(
                arg.get_long_help().is_none(),
                "tare {verb} {}: the help has a second paragraph",
                arg.get_id()
            );
        }
    }

    #[test]
    fn flags_are_spelt_with_dashes() {
        for (verb, arg) in flags() {
            let name = arg.get_long().unwrap_or("a-positional");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "tare {verb} --{name}");
        }
    }

    /// The flags of `vllm bench serve` whose meaning tare has, by the list in its documentation.
    #[test]
    fn a_vllm_bench_command_line_is_understood() {
        let line = "tare run --backend openai-chat --base-url http://gpu:8000 --endpoint /v1/chat/completions \
                    --model m --served-model-name s --dataset-name sharegpt --dataset-path d.json --num-prompts 500 \
                    --input-len 10 --output-len 20 --random-input-len 1 --random-output-len 2 --random-range-ratio 0.5 \
                    --sharegpt-output-len 3 --custom-output-len 4 --request-rate inf --burstiness 1.0 \
                    --max-concurrency 50 --num-warmups 2 --ready-check-timeout-sec 60 --ignore-eos --temperature 0 \
                    --top-p 0.9 --extra-body {} --header a=b c=d --header e=f --seed 1 --request-id-prefix x- \
                    --label l --metadata version=1 tp=2";
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Run(run) = cli.command else { panic!("not a run") };
        assert_eq!(run.load.request_rate, Some(f64::INFINITY));
        assert_eq!(run.target.header, ["a=b", "c=d", "e=f"]);
        assert_eq!(run.output.metadata, ["version=1", "tp=2"]);
        assert_eq!(run.workload.num_prompts, Some(500));
    }

    #[test]
    fn otlp_may_stand_alone_before_the_file() {
        let cli = Cli::try_parse_from(["tare", "run", "--otlp", "configs/demo.yaml"]).unwrap();
        let Command::Run(run) = cli.command else { panic!("not a run") };
        assert_eq!(run.observe.otlp, Some(None));
        assert_eq!(run.config, Some(PathBuf::from("configs/demo.yaml")));
    }

    #[test]
    fn no_flag_takes_a_key_itself() {
        for (verb, arg) in flags() {
            let name = arg.get_long().unwrap_or_default();
            assert!(
                !name.ends_with("key") && !name.contains("token-value") && !name.contains("password"),
                "tare {verb} --{name}"
            );
        }
    }
}
