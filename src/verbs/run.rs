//! `tare run`: configuration and flags in, a run folder and a report out.

use std::io::Write;

use tokio_util::sync::CancellationToken;

use crate::cli::RunArgs;
use crate::error::{self, Exit};
use crate::{config, report, run, workload};

/// Runs the verb.
pub fn run(args: &RunArgs, quiet: bool) -> anyhow::Result<Exit> {
    let config = config::load(args.config.as_deref(), args)?;
    let mut out = std::io::stdout();
    if args.output.dry_run {
        let workload = workload::load(&config.workload, config.seed)?;
        write!(out, "{}", workload::plan::plan_text(&config, &workload)?)?;
        return Ok(Exit::Finished);
    }
    let options = run::Options { exe: std::env::current_exe()?, quiet, interrupt: interrupt()?, truth: None };
    let outcome = run::run(&config, &options)?;
    if !quiet {
        super::unless_closed(report::print(&mut out, &outcome.recomputed.report()))?;
    }
    super::unless_closed(writeln!(out, "{}", outcome.folder.display()))?;
    if outcome.exit == Exit::Broken {
        error::print(&mut std::io::stderr(), &nothing_succeeded(&outcome))?;
    }
    Ok(outcome.exit)
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

/// The first Ctrl-C (or SIGTERM) stops the load; what was measured is reported. The second ends the
/// program at once; what was written stays.
fn interrupt() -> anyhow::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancel = token.clone();
    std::thread::Builder::new().name("tare-signals".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut int), Ok(mut term)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            let mut count = 0;
            loop {
                tokio::select! {
                    _ = int.recv() => {}
                    _ = term.recv() => {}
                }
                count += 1;
                if count > 1 {
                    std::process::exit(Exit::Interrupted as i32);
                }
                let _ = writeln!(std::io::stderr(), "stopping: the report follows (again to end at once)");
                cancel.cancel();
            }
        });
    })?;
    Ok(token)
}
