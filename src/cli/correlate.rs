//! The arguments of `tare correlate`: clap types only, as written.

use std::path::PathBuf;

use clap::{ArgAction, Args};

/// `tare correlate`.
#[derive(Clone, Debug, Default, Args)]
pub struct CorrelateArgs {
    /// Shards of a run of several ranks, to be merged: DIR/shard-*
    #[arg(value_name = "SHARD", conflicts_with_all = ["client", "server_log", "metrics_before", "metrics_after", "metrics", "spans", "stat_log", "hop", "same_host", "client_format", "client_part", "client_id_prefix", "spans_format", "stat_log_format"])]
    pub shards: Vec<PathBuf>,
    /// The client's records: of tare or another load tool, CSV, Parquet, stamps as JSON Lines
    #[arg(long, value_name = "FILE", required_unless_present = "shards")]
    pub client: Option<PathBuf>,
    /// The server's log, repeatable
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub server_log: Vec<PathBuf>,
    /// Page of metrics from before the first request
    #[arg(long, value_name = "FILE")]
    pub metrics_before: Option<PathBuf>,
    /// Page of metrics from after the last request
    #[arg(long, value_name = "FILE")]
    pub metrics_after: Option<PathBuf>,
    /// Pages of metrics with their times, repeatable: files or folders of any format in the README
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub metrics: Vec<PathBuf>,
    /// Spans as JSON Lines, such as the OpenTelemetry collector's file exporter writes, repeatable
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub spans: Vec<PathBuf>,
    /// What the server's stat logger wrote, repeatable
    #[arg(long, value_name = "FILE", action = ArgAction::Append)]
    pub stat_log: Vec<PathBuf>,
    /// Log, or packet capture, of a gateway that was between them, repeatable in their order
    #[arg(long, value_name = "[NAME=][KIND:]FILE", action = ArgAction::Append)]
    pub hop: Vec<String>,
    /// Client and server ran on one host: their clocks are one, and the way there and back two rows
    #[arg(long)]
    pub same_host: bool,
    /// Whose metrics, log and spans these are: vllm, sglang, tgi or llama_cpp
    #[arg(long, value_name = "NAME", default_value = "vllm")]
    pub server: String,
    /// Format of the client's records [default: found by looking]
    #[arg(long, value_name = "NAME")]
    pub client_format: Option<String>,
    /// Which of several benchmarks in the client's file: its number from 1, or its name
    #[arg(long, value_name = "PART")]
    pub client_part: Option<String>,
    /// What `vllm bench serve --request-id-prefix` was given: with it its requests have their ids
    #[arg(long, value_name = "PREFIX")]
    pub client_id_prefix: Option<String>,
    /// Format of the spans [default: found by looking]
    #[arg(long, value_name = "NAME")]
    pub spans_format: Option<String>,
    /// Format of the stat log [default: found by looking]
    #[arg(long, value_name = "NAME")]
    pub stat_log_format: Option<String>,
    /// The run's name [default: correlated; of shards, theirs]
    #[arg(long)]
    pub name: Option<String>,
    /// The run folder, exactly [default: output/NAME-TIME; of shards, merged beside them]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Use the run folder even if it is not empty
    #[arg(long)]
    pub overwrite: bool,
}
