//! The arguments of `tare tap`: clap types only, as written.

use std::path::PathBuf;

use clap::Args;

/// `tare tap`.
#[derive(Clone, Debug, Default, Args)]
pub struct TapArgs {
    /// Where to listen: a port, or an address and a port; port 0: any free one
    #[arg(long, value_name = "[HOST:]PORT")]
    pub listen: String,
    /// Where everything goes, such as 127.0.0.1:8000 or http://127.0.0.1:8000
    #[arg(long, value_name = "HOST:PORT")]
    pub upstream: String,
    /// Append a JSON line for each exchange to this file [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Threads that pass bytes on [default: one per CPU, at most 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Let other hosts connect: --listen may name an address that is not loopback
    #[arg(long)]
    pub any_host: bool,
}
