//! `tare serve`: the embedded vLLM look-alike alone, until it is stopped. Writes its log to stdout
//! and, when asked, its truth to a file. This file must not know how it answers.

use std::time::Duration;

use crate::cli::ServeArgs;
use crate::config;
use crate::error::{Exit, Explain};
use crate::mock::script::Script;
use crate::mock::{self, ServeOptions};

/// Runs the verb; returns when stopped by SIGTERM, SIGINT or the end of the parent.
pub fn serve(args: &ServeArgs) -> anyhow::Result<Exit> {
    let embedded = config::embedded_from_flags(args)?;
    Script::parse(&embedded.faults).or_usage("`--fault` cannot be played")?;
    let usual = ServeOptions::default();
    mock::run(ServeOptions {
        host: args.host.clone(),
        port: args.port,
        embedded,
        otlp_endpoint: args.otlp_endpoint.clone(),
        truth: args.truth.clone(),
        stat_log: args.stat_log.clone(),
        parent_pid: args.parent_pid,
        keep_alive: args
            .keep_alive_s
            .map_or(usual.keep_alive, |s| Duration::try_from_secs_f64(s).unwrap_or_default()),
        ..usual
    })?;
    Ok(Exit::Finished)
}
