//! One figure as flags: clap types only, as written.

use std::path::PathBuf;

use clap::Args;

use crate::record::figure::{By, Kind, Of, Size};

/// `--figure` and what belongs to it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "One figure")]
pub struct FigureArgs {
    /// Draw this alone, and write nothing else: violin, ecdf, breakdown, tare, timeline, waterfall
    #[arg(long, value_name = "KIND")]
    pub figure: Option<Kind>,
    /// Of these metrics, by commas: ttft, itl, e2e, throughput [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',', requires = "figure")]
    pub metric: Vec<Of>,
    /// Beside the server's values, those of each hop, or of the runs in several folders: server, hop, run
    #[arg(long, value_name = "WHAT", requires = "figure")]
    pub by: Option<By>,
    /// Of a waterfall, the request with this id or number [default: the slowest, a median and a failed one]
    #[arg(long, value_name = "ID", requires = "figure")]
    pub request: Option<String>,
    /// As wide as a README shows it, or 16 by 9
    #[arg(long, value_name = "readme|slide", default_value_t = Size::Readme, requires = "figure")]
    pub size: Size,
    /// Where to: a file ending in .svg or .png, or a folder for both [default: the run's plots/]
    #[arg(long, value_name = "PATH", requires = "figure")]
    pub out: Option<PathBuf>,
}
