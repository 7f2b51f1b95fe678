//! `tare report FOLDER`: every table and figure again, from the raw records; also after a kill, and
//! with a log of the server, its stat logger or a hop that was fetched later, or of a part of the requests.

use crate::cli::ReportArgs;
use crate::config::hop_of;
use crate::error::Exit;
use crate::{report, run};

/// Runs the verb.
pub fn report(args: &ReportArgs, quiet: bool) -> anyhow::Result<Exit> {
    if let Some(log) = &args.server_log {
        run::add_log(&args.folder, log)?;
    }
    if let Some(log) = &args.stat_log {
        run::add_stat_log(&args.folder, log)?;
    }
    for hop in &args.hop {
        run::add_hop(&args.folder, &hop_of(hop)?)?;
    }
    let recomputed = run::recompute_within(&args.folder, args.window)?;
    if !quiet {
        super::unless_closed(report::print(&mut std::io::stdout(), &recomputed.report()))?;
    }
    Ok(Exit::Finished)
}
