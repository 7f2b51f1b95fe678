//! Flags that shape a load in time, beside a rate and a number of users. clap types only.

use clap::{Args, ValueEnum};

/// How the load changes while it is sent.
#[derive(Clone, Debug, Default, Args)]
pub struct ShapeArgs {
    /// Closed loop: stop the users evenly over the last of the duration [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub ramp_down_s: Option<f64>,
    /// Open loop: the rate goes from one to another, over the duration, else over the requests
    #[arg(long, value_enum, value_name = "HOW")]
    pub ramp_up_strategy: Option<ChangeName>,
    /// The rate that a ramp begins with
    #[arg(long, value_name = "RPS")]
    pub ramp_up_start_rps: Option<f64>,
    /// The rate that a ramp ends with
    #[arg(long, value_name = "RPS")]
    pub ramp_up_end_rps: Option<f64>,
    /// Send at the trace's own times [default for traces without users or a rate]
    #[arg(long, overrides_with = "no_self_timed")]
    pub self_timed: bool,
    /// Send a trace's requests all at once, or as a rate or users say
    #[arg(long, overrides_with = "self_timed")]
    pub no_self_timed: bool,
    /// Send a trace so many times as fast [default: 1]
    #[arg(long, value_name = "FACTOR")]
    pub trace_speed: Option<f64>,
}

/// `--ramp-up-strategy`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ChangeName {
    // By so much a second
    Linear,
    // By such a factor a second
    Exponential,
}
