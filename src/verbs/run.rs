//! `tare run`: configuration and flags in, a run folder and a report out.

use std::io::Write;

use super::gates;
use crate::cli::RunArgs;
use crate::error::{self, Exit, usage};
use crate::run::Gates;
use crate::{calibrate, config, report, run, workload};

/// Runs the verb.
pub fn run(args: &RunArgs, quiet: bool) -> anyhow::Result<Exit> {
    let mut config = config::load(args.config.as_deref(), args)?;
    let ranks = super::ranks::of(args, &mut config, quiet)?;
    let gates = Gates::read_for_one(&args.gates.fail_if, &config.gates, gates::fail_on(&args.gates))?;
    let mut out = crate::plain::stdout();
    if args.output.dry_run {
        let workload = run::workload(&config, &super::options(quiet)?.interrupt)?;
        let config = run::completed(&config, &workload)?;
        super::unless_closed(write!(out, "{}", workload::plan::plan_text(&config, &workload)?))?;
        return Ok(Exit::Finished);
    }
    if let Some(idle) = config::results::idle(&args.results) {
        writeln!(crate::plain::stderr(), "note: {idle}")?;
    }
    let mut options = super::options(quiet || args.idle.disable_tqdm)?;
    if ranks.is_some() {
        options.ranks = ranks;
        return super::ranks::run(&config, &options, quiet);
    }
    if let Some(asked) = &config.sweep {
        if !args.gates.fail_if.is_empty() || args.gates.junit.is_some() {
            return Err(usage("`--fail-if` and `--junit` are of one run, and a sweep has many")
                .hint("`tare report RUN --fail-if …` judges one of them; a search has --goodput")
                .into());
        }
        if !gates.is_empty() {
            writeln!(
                crate::plain::stderr(),
                "note: gates are of one run: `tare report RUN` judges them for each"
            )?;
        }
        if config.results.save.is_some() {
            writeln!(
                crate::plain::stderr(),
                "note: the runs of a sweep write no such file; `tare report RUN --save-result` does, for each"
            )?;
        }
        return sweep(&config, asked, &options, quiet);
    }
    let mut recorded = run::record(&config, &options)?;
    // What was measured is reported, whatever comes of its calibration.
    let mut uncalibrated = None;
    if config.calibrate && !options.interrupt.is_cancelled() {
        if !quiet {
            writeln!(
                crate::plain::stderr(),
                "the run has ended; its load is calibrated against the embedded server"
            )?;
        }
        uncalibrated = calibrate::after_run(&config, &options, &mut recorded).err();
    }
    let outcome = recorded.report()?;
    // Whatever else goes wrong, gates are judged, and CI has its files.
    let told = super::results::tell(&outcome.recomputed, &config.results, quiet);
    super::unless_closed(writeln!(out, "{}", outcome.folder.display()))?;
    tell_of_trouble(&outcome)?;
    let exit = gates::tell_one(&args.gates, &gates, &outcome.folder, &outcome.recomputed, outcome.exit);
    super::unless_broken(told.err().into_iter().chain(uncalibrated), exit)
}

/// Several runs instead of one.
fn sweep(
    config: &config::Config,
    asked: &crate::sweep::asked::Asked,
    options: &run::Options,
    quiet: bool,
) -> anyhow::Result<Exit> {
    let mut begins = |what: &str| {
        if !quiet {
            // A closed stderr must not end a sweep.
            let _ = writeln!(crate::plain::stderr(), "{what}");
        }
    };
    let swept = run::sweep(config, asked, options, &mut begins)?;
    let mut out = crate::plain::stdout();
    if !quiet {
        super::unless_closed(report::sweep::print(&mut out, &swept.sweep))?;
    }
    super::unless_closed(writeln!(out, "{}", swept.folder.display()))?;
    if swept.exit == Exit::Broken {
        let nothing = error::broken("no request of the sweep succeeded");
        let hint = format!("{} has every run", swept.folder.join("sweep.md").display());
        error::print(&mut crate::plain::stderr(), &nothing.hint(hint).into())?;
    }
    Ok(swept.exit)
}

/// Says so where something could not be written, or nothing succeeded.
pub(super) fn tell_of_trouble(outcome: &run::Outcome) -> std::io::Result<()> {
    if let Some(broke) = &outcome.broke {
        error::print(&mut crate::plain::stderr(), broke)?;
    }
    if outcome.recomputed.summary.counts.ok == 0 && outcome.exit == Exit::Broken {
        error::print(&mut crate::plain::stderr(), &nothing_succeeded(outcome))?;
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
