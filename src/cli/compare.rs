//! The arguments of `tare compare`: clap types only, as written.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::{GateArgs, SloArgs};
use crate::record::selection::Selection;

/// `tare compare`.
#[derive(Clone, Debug, Args)]
#[command(
    after_help = "A gate says when a run fails: FIGURE OP THRESHOLD. FIGURE is named as in the result files \
                        (mean_ttft_ms, p99_itl_ms, request_throughput, failed_percent, …), OP is >, >=, < or <=. \
                        A threshold with a sign is against the baseline (+5%, -2%, +10ms), one without is the value \
                        itself (200ms). A missed gate exits with 1, one that cannot be judged with 2."
)]
pub struct CompareArgs {
    /// Run folders, the baseline first; or folders of audits
    #[arg(value_name = "FOLDER", required = true, num_args = 1..)]
    pub folders: Vec<PathBuf>,
    /// What a run is called; A is the first folder, B the second [default: as it was run]
    #[arg(long, value_name = "A=NAME", action = ArgAction::Append)]
    pub name: Vec<String>,
    /// The run that the others are compared with: its name, letter or folder [default: the first]
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// Compare only requests that started in the steady state, or from A to B seconds into the run
    #[arg(long, value_name = "all|steady|A..B", default_value_t)]
    pub window: Selection,
    /// The folder for tables and figures, exactly [default: output/compare-TIME]
    #[arg(long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Use the folder even if it is not empty
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub slo: SloArgs,
    #[command(flatten)]
    pub gates: GateArgs,
}
