//! The arguments of `tare doctor`: clap types only, as written.

use clap::Args;

use super::{ObserveArgs, TargetArgs};

/// `tare doctor`.
#[derive(Clone, Debug, Default, Args)]
pub struct DoctorArgs {
    /// The server's URL, such as http://127.0.0.1:8000
    #[arg(conflicts_with_all = ["base_url", "host", "port"], required_unless_present_any = ["base_url", "host", "port"])]
    pub url: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub target: TargetArgs,
    #[command(flatten)]
    pub observe: ObserveArgs,
}
