//! The command line as types, and nothing else: which verbs and flags there are, and the line of
//! help for each. What a flag means together with a configuration file is said in `config`; what a
//! verb does, in `verbs`.
//!
//! Where `vllm bench serve` has a flag for the same thing, its spelling is used.

// Documentation here is the help text, printed as it stands.
#![allow(clippy::doc_markdown, rustdoc::bare_urls)]

mod audit;
mod bench;
mod calibrate;
mod compare;
mod correlate;
mod doctor;
mod explain;
mod figure;
mod foreign;
mod gates;
mod load;
mod observe;
mod prepare;
mod ranks;
mod results;
mod sampling;
mod serve;
mod shape;
mod shipped;
mod slo;
mod sweep;
mod tap;
mod target;
mod trace;
mod workload;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

pub use self::audit::{ArmArgs, AuditArgs, CellArgs, WarmthName};
pub use self::bench::{BenchArgs, BenchCommand};
pub use self::calibrate::{CalibrateArgs, LevelArgs};
pub use self::compare::CompareArgs;
pub use self::correlate::CorrelateArgs;
pub use self::doctor::DoctorArgs;
pub use self::explain::{ExplainArgs, SlowestBy};
pub use self::figure::FigureArgs;
pub use self::foreign::{FOREIGN, Foreign};
pub use self::gates::{FailOnName, GateArgs};
pub use self::load::{ArrivalName, ConnectionsName, LoadArgs, StampsName};
pub use self::observe::ObserveArgs;
pub use self::prepare::PrepareArgs;
pub use self::ranks::RankArgs;
pub use self::results::{IdleArgs, ResultArgs, StyleName};
pub use self::sampling::SamplingArgs;
pub use self::serve::{ClockArgs, EngineArgs, LogFormatName, PoseName, SaysArgs, ServeArgs};
pub use self::shape::{ChangeName, ShapeArgs};
pub use self::shipped::{CompletionsArgs, ManArgs, Page, pages};
pub use self::slo::SloArgs;
pub use self::sweep::{SearchName, SweepArgs};
pub use self::tap::TapArgs;
pub use self::target::{Backend, TargetArgs};
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
    /// Print a script that completes tare's verbs and flags in a shell
    Completions(CompletionsArgs),
    /// Print a page of the manual, or write all pages into a folder
    Man(ManArgs),
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
    pub ranks: RankArgs,
    #[command(flatten)]
    pub idle: IdleArgs,
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
    /// Only send a span of each request to this OTLP/HTTP collector or file; env: as OTEL_* say
    #[arg(long, value_name = "URL|FILE|env", conflicts_with_all = ["others", "server_log", "hop", "stat_log", "figure"])]
    pub export_spans: Option<String>,
    /// Header for that collector, repeatable; OTEL_EXPORTER_OTLP_HEADERS keeps a key out of the command
    #[arg(long, value_name = "NAME=VALUE", action = ArgAction::Append, requires = "export_spans")]
    pub export_spans_header: Vec<String>,
    #[command(flatten)]
    pub results: ResultArgs,
    #[command(flatten)]
    pub gates: GateArgs,
    #[command(flatten)]
    pub figure: FigureArgs,
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
