//! Gates as flags: clap types only, as written.

use clap::{ArgAction, Args, ValueEnum};

/// `--fail-if` and `--fail-on`.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Gates")]
pub struct GateArgs {
    /// Exit with 1 if a figure is beyond this, such as 'p99_ttft_ms > 500'; repeatable
    #[arg(long, value_name = "GATE", action = ArgAction::Append)]
    pub fail_if: Vec<String>,
    /// A gate fails where the whole interval is beyond its threshold, or where the estimate is
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "certain|point")]
    pub fail_on: FailOnName,
}

/// `--fail-on`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum FailOnName {
    /// The whole interval
    #[default]
    Certain,
    /// The estimate
    Point,
}
