//! When and how requests are sent: clap types only, as written.

use clap::{ArgAction, Args, ValueEnum};

use super::ShapeArgs;

/// When and how to send.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Load")]
pub struct LoadArgs {
    /// Closed loop: so many users, each sends when its last request ended
    #[arg(long, value_name = "N")]
    pub users: Option<u32>,
    /// Closed loop: start the users evenly over this time [default: 0]
    #[arg(long, value_name = "SECONDS")]
    pub ramp_s: Option<f64>,
    /// Open loop: requests per second; inf (the default): all at once, or as --max-concurrency lets
    #[arg(long, value_name = "RPS")]
    pub request_rate: Option<f64>,
    /// Open loop: gaps between arrivals [default: poisson]
    #[arg(long, value_enum, visible_alias = "arrival-pattern")]
    pub arrival: Option<ArrivalName>,
    /// Open loop: gamma gaps of this shape; below 1 in bursts, 1: poisson, above evenly, inf: constant
    #[arg(long, value_name = "B")]
    pub burstiness: Option<f64>,
    #[command(flatten)]
    pub shape: ShapeArgs,
    /// At most so many requests at once; without a rate the same as --users
    #[arg(long, value_name = "N")]
    pub max_concurrency: Option<u32>,
    /// Stop sending after this time
    #[arg(long, value_name = "SECONDS", visible_alias = "benchmark-duration")]
    pub duration: Option<f64>,
    /// Requests may go on so long after sending stopped [default: 30 with a duration, else --timeout]
    #[arg(long, value_name = "SECONDS", visible_alias = "benchmark-grace-period")]
    pub grace_period: Option<f64>,
    /// One request may take this long [default: 3600]
    #[arg(long, value_name = "SECONDS", visible_alias = "request-timeout-seconds")]
    pub timeout: Option<f64>,
    /// A connection may take this long [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub connect_timeout: Option<f64>,
    /// Connections: opened ahead, opened when needed and kept, or one per request [default: warm]
    #[arg(long, value_enum, value_name = "HOW")]
    pub connections: Option<ConnectionsName>,
    /// Local addresses to connect from, in turn; each has source ports of its own
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', action = ArgAction::Append)]
    pub source_address: Vec<String>,
    /// Threads that send and read [default: one per CPU, at most 4; one for 64 warm users or fewer]
    #[arg(long, value_name = "N")]
    pub threads: Option<u16>,
    /// CPUs that these threads may run on, such as 0,2-3 [default: any]
    #[arg(long, value_name = "CPULIST")]
    pub affinity: Option<String>,
    /// Requests sent first and counted on neither side [default: 0]
    #[arg(long, value_name = "N")]
    pub num_warmups: Option<u32>,
    /// Who dates the tokens' arrival [default: auto]
    #[arg(long, value_enum)]
    pub stamps: Option<StampsName>,
    /// Beginning of each X-Request-Id [default: tare-]
    #[arg(long, value_name = "TEXT")]
    pub request_id_prefix: Option<String>,
}

/// `--stamps`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum StampsName {
    /// The kernel, else the program
    Auto,
    /// The kernel, once per segment (captures headers; needs CAP_NET_RAW)
    Packet,
    /// The kernel, once per read
    Kernel,
    /// The program, when it has read the bytes
    User,
}

/// `--arrival`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ArrivalName {
    // Exponential gaps
    Poisson,
    // Equal gaps
    Constant,
    // Gamma gaps of shape --burstiness
    Gamma,
}

/// `--connections`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum ConnectionsName {
    // Opened ahead of their requests, off the clock, and kept
    Warm,
    // Opened by the request that finds none, on the clock, and kept
    Cold,
    // A new one for each request, on the clock
    PerRequest,
}
