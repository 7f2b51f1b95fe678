//! The arguments of sweeps and searches: clap types only, as written.

use clap::{Args, ValueEnum};

/// Several runs instead of one.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Sweeps and searches")]
pub struct SweepArgs {
    /// A run at each rate: 1,2,5 or 1..64x2 or 1..10+1; auto finds the highest the server keeps up with
    #[arg(long, value_name = "LIST|auto")]
    pub sweep_request_rate: Option<String>,
    /// A run at each number of requests at once: 1,2,4,8 or 1..64x2 or 1..10+1
    #[arg(long, value_name = "LIST", alias = "sweep-concurrency")]
    pub sweep_max_concurrency: Option<String>,
    /// The same as --sweep-request-rate auto
    #[arg(long, conflicts_with = "sweep_request_rate")]
    pub find_knee: bool,
    /// Find the highest level at which enough requests meet the objectives of --goodput
    #[arg(long, value_enum, value_name = "WHAT", visible_alias = "slo-search")]
    pub search_slo: Option<SearchName>,
    /// How many are enough [default: 0.95]
    #[arg(long, value_name = "SHARE")]
    pub goodput_share: Option<f64>,
    /// The first level of a search [default: the configured rate or users, else 1]
    #[arg(long, value_name = "LEVEL")]
    pub search_from: Option<f64>,
    /// No level of a search is lower [default: 0.01 requests/s, 1 at once]
    #[arg(long, value_name = "LEVEL")]
    pub search_least: Option<f64>,
    /// No level of a search is higher [default: 100000 requests/s, 10000 at once]
    #[arg(long, value_name = "LEVEL")]
    pub search_most: Option<f64>,
    /// A search ends when what passes and what fails differ by this share [default: 0.05]
    #[arg(long, value_name = "SHARE")]
    pub search_tolerance: Option<f64>,
    /// A level that is not clear is run so often at most [default: 3]
    #[arg(long, value_name = "N")]
    pub search_repeats: Option<u32>,
    /// Runs of a search at most [default: 30]
    #[arg(long, value_name = "N")]
    pub search_max_runs: Option<u32>,
    /// Run each level of a list, or the load as it is, so often [default: 1]
    #[arg(long, value_name = "N")]
    pub num_runs: Option<u32>,
    /// Before the run, or each run of a sweep, ask the server to forget the prompts it knows
    #[arg(long)]
    pub reset_prefix_cache: bool,
    /// End an open loop whose requests pile up for good before its time [default in sweeps]
    #[arg(long)]
    pub stop_over_saturated: bool,
    /// Let runs of a sweep go on however their requests pile up
    #[arg(long, conflicts_with = "stop_over_saturated")]
    pub no_stop_over_saturated: bool,
}

/// `--search-slo`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum SearchName {
    // Requests per second of an open loop
    Rate,
    // Users of a closed loop
    Concurrency,
}
