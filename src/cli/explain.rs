//! The arguments of `tare explain`: clap types only, as written.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// `tare explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The run folder, such as output/demo-20260102-030405
    pub folder: PathBuf,
    /// Requests: the id sent, the answer's id, or the trace id
    #[arg(value_name = "ID", conflicts_with_all = ["id", "slowest", "by"])]
    pub ids: Vec<String>,
    /// The same as ID
    #[arg(long, value_name = "ID", conflicts_with_all = ["slowest", "by"])]
    pub id: Vec<String>,
    /// The so many slowest requests [default: 1]
    #[arg(long, value_name = "N")]
    pub slowest: Option<usize>,
    /// Slowest by what [default: ttft]
    #[arg(long, value_enum, value_name = "METRIC")]
    pub by: Option<SlowestBy>,
    /// Print JSON: an array of requests
    #[arg(long)]
    pub json: bool,
}

/// `--by`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum SlowestBy {
    // Time to first token
    #[default]
    Ttft,
    // The whole duration
    E2e,
    // Mean gap between tokens
    Itl,
    // Client TTFT - server TTFT
    Tare,
}
