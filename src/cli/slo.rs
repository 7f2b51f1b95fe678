//! The objectives of requests as flags: clap types only, as written.

use clap::{ArgAction, Args};

/// `--goodput`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Objectives")]
pub struct SloArgs {
    /// Objectives in ms, such as ttft:200 tpot:50 e2el:5000; goodput is of requests that meet all
    #[arg(long, value_name = "NAME:MS", num_args = 1.., action = ArgAction::Append)]
    pub goodput: Vec<String>,
}
