//! The arguments of `tare prepare`: clap types only, as written.

use std::path::PathBuf;

use clap::Args;

use super::{LoadArgs, OutputArgs, RunArgs, TargetArgs, WorkloadArgs};

/// `tare prepare`.
#[derive(Clone, Debug, Args)]
pub struct PrepareArgs {
    /// Configuration file (YAML) whose workload is meant, such as configs/demo.yaml
    pub config: Option<PathBuf>,
    /// The request set to write, such as requests/mine.jsonl
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// Write over it if it is there
    #[arg(long)]
    pub overwrite: bool,
    #[command(flatten)]
    pub workload: WorkloadArgs,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub load: LoadArgs,
}

impl PrepareArgs {
    /// As flags of a run.
    pub fn as_run(&self) -> RunArgs {
        RunArgs {
            config: self.config.clone(),
            target: self.target.clone(),
            workload: self.workload.clone(),
            load: self.load.clone(),
            output: OutputArgs::default(),
            ..RunArgs::default()
        }
    }
}
