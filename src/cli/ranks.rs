//! Several processes that send one load: clap types only, as written.

use clap::Args;

/// Ranks.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Several machines (rates, limits and numbers are those of all ranks together)")]
pub struct RankArgs {
    /// Which of several processes this is, from 0 [default: as srun, mpirun or an indexed Job says]
    #[arg(long, value_name = "R")]
    pub rank: Option<u32>,
    /// How many processes send this load together; 1: this one alone [default: as they say]
    #[arg(long, value_name = "N")]
    pub world: Option<u32>,
    /// Wait so long for the other ranks to come [default: 300]; who then gives no sign for 15 s is dead
    #[arg(long, value_name = "SECONDS")]
    pub start_timeout: Option<f64>,
    /// Start then, without meeting in the folder: RFC 3339, or seconds since 1970
    #[arg(long, value_name = "TIME")]
    pub start_at: Option<String>,
}
