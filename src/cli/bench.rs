//! The command line of `vllm bench serve`, which `tare bench serve` takes as it stands: clap types only.

use clap::{Args, Subcommand};

use super::RunArgs;

/// `tare bench`.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    pub command: BenchCommand,
}

/// The only kind of benchmark here.
#[derive(Clone, Debug, Subcommand)]
pub enum BenchCommand {
    /// tare run with the flags, defaults and output of vllm bench serve
    Serve(Box<RunArgs>),
}
