//! `tare bench serve`: a command line of `vllm bench serve`, as it stands.

use crate::cli::{BenchArgs, BenchCommand};
use crate::config;
use crate::error::Exit;

/// Runs the verb.
pub fn bench(args: &BenchArgs, quiet: bool) -> anyhow::Result<Exit> {
    let BenchCommand::Serve(args) = &args.command;
    super::run::run(&config::as_vllm(args)?, quiet)
}
