//! The arguments of `tare calibrate`: clap types only, as written.

use std::path::PathBuf;

use clap::Args;

use super::{LoadArgs, ObserveArgs, TargetArgs, WorkloadArgs};

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
