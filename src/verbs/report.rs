//! `tare report FOLDER`: every table and figure again, from the raw records; also after a kill.

use crate::cli::ReportArgs;
use crate::error::Exit;
use crate::{report, run};

/// Runs the verb.
pub fn report(args: &ReportArgs, quiet: bool) -> anyhow::Result<Exit> {
    let recomputed = run::recompute(&args.folder)?;
    if !quiet {
        super::unless_closed(report::print(&mut std::io::stdout(), &recomputed.report()))?;
    }
    Ok(Exit::Finished)
}
