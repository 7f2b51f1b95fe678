//! `tare run`: configuration and flags in, a run folder and a report out.

use std::io::Write;

use crate::cli::RunArgs;
use crate::error::{self, Exit};
use crate::{calibrate, config, report, run, workload};

/// Runs the verb.
pub fn run(args: &RunArgs, quiet: bool) -> anyhow::Result<Exit> {
    let config = config::load(args.config.as_deref(), args)?;
    let mut out = std::io::stdout();
    if args.output.dry_run {
        let workload = run::workload(&config, &super::options(quiet)?.interrupt)?;
        let config = run::completed(&config, &workload)?;
        write!(out, "{}", workload::plan::plan_text(&config, &workload)?)?;
        return Ok(Exit::Finished);
    }
    let options = super::options(quiet)?;
    let mut recorded = run::record(&config, &options)?;
    if config.calibrate && !options.interrupt.is_cancelled() {
        if !quiet {
            writeln!(
                std::io::stderr(),
                "the run has ended; its load is calibrated against the embedded server"
            )?;
        }
        calibrate::after_run(&config, &options, &mut recorded)?;
    }
    let outcome = recorded.report()?;
    if !quiet {
        super::unless_closed(report::print(&mut out, &outcome.recomputed.report()))?;
    }
    super::unless_closed(writeln!(out, "{}", outcome.folder.display()))?;
    tell_of_nothing(&outcome)?;
    Ok(outcome.exit)
}

/// Says so where nothing succeeded.
pub(super) fn tell_of_nothing(outcome: &run::Outcome) -> std::io::Result<()> {
    if outcome.exit == Exit::Broken {
        error::print(&mut std::io::stderr(), &nothing_succeeded(outcome))?;
    }
    Ok(())
}

/// Says why the run ends with an error although it was made to its end.
fn nothing_succeeded(outcome: &run::Outcome) -> anyhow::Error {
    let summary = &outcome.recomputed.summary;
    let said = match (summary.counts.total, summary.errors.first()) {
        (0, _) => "no request was sent".to_owned(),
        (1, Some(e)) => format!("the one request failed: {}", e.message),
        (total, Some(e)) => format!("none of {total} requests succeeded ({} times: {})", e.n, e.message),
        (total, None) => format!("none of {total} requests ended in time"),
    };
    error::broken(said).hint(format!("{} has every error", outcome.folder.join("report.md").display())).into()
}
