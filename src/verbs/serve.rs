//! `tare serve`: the embedded vLLM look-alike alone, until it is stopped. Writes its log to stdout
//! and, when asked, its truth to a file. This file must not know how it answers.

use std::io::Write;
use std::net::ToSocketAddrs;
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
    let is_open = (args.host.as_str(), args.port)
        .to_socket_addrs()
        .is_ok_and(|mut all| all.any(|address| !address.ip().is_loopback()));
    if is_open {
        let _ = writeln!(
            crate::plain::stderr(),
            "warning: whoever reaches {} is answered, without a key; 127.0.0.1 is this machine alone",
            args.host
        );
    }
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
