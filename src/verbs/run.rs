//! `tare run`: configuration and flags in, a run folder and a report out.

use std::io::Write;

use tokio_util::sync::CancellationToken;

use crate::cli::RunArgs;
use crate::error::Exit;
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
    Ok(outcome.exit)
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
            let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
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
