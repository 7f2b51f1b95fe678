//! Gates as flags, and where what they say is written: clap types only, as written.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

/// `--fail-if`, `--fail-on`, and the files for CI.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Gates")]
pub struct GateArgs {
    /// Exit with 1 if a figure is beyond this, such as 'p99_ttft_ms > 500'; repeatable, instead of gates:
    #[arg(long, value_name = "GATE", action = ArgAction::Append)]
    pub fail_if: Vec<String>,
    /// A gate fails where the whole interval is beyond its threshold, or where the estimate is
    #[arg(long, value_enum, default_value_t, hide_possible_values = true, value_name = "certain|point")]
    pub fail_on: FailOnName,
    /// Write gates and reconciliation checks as JUnit XML, a test case each
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Append a summary in Markdown [default where it is set: $GITHUB_STEP_SUMMARY]
    #[arg(long, value_name = "FILE")]
    pub step_summary: Option<PathBuf>,
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
