//! `tare report FOLDER`: every table and figure again, from the raw records; also after a kill, and
//! with a log of the server, its stat logger or a hop that was fetched later, or of a part of the requests.

use std::io::Write as _;

use serde::Deserialize;

use super::gates;
use crate::cli::ReportArgs;
use crate::config::hop_of;
use crate::error::{Exit, usage};
use crate::record::figure::Asked;
use crate::record::results::{Results, Style};
use crate::record::selection::Selection;
use crate::run::Gates;
use crate::{config, report, run};

/// Runs the verb.
pub fn report(args: &ReportArgs, quiet: bool) -> anyhow::Result<Exit> {
    if let Some(kind) = args.figure.figure {
        let f = &args.figure;
        let asked = Asked { kind, of: f.metric.clone(), by: f.by, size: f.size };
        let folders: Vec<_> = std::iter::once(&args.folder).chain(&args.others).cloned().collect();
        for file in run::figure(&folders, &asked, args.window, f.out.as_deref())? {
            if !quiet {
                super::unless_closed(writeln!(std::io::stdout(), "{}", file.display()))?;
            }
        }
        return Ok(Exit::Finished);
    }
    if !args.others.is_empty() {
        return Err(usage(format!("expected one run folder, found {}", 1 + args.others.len()))
            .hint("`tare compare` sets runs side by side; `--figure violin --by run` draws them")
            .into());
    }
    let gates = Gates::read_for_one(&args.gates.fail_if, gates::fail_on(&args.gates))?;
    if run::is_sweep(&args.folder) {
        let for_one_run = args.server_log.is_some() || args.stat_log.is_some() || !args.hop.is_empty();
        if for_one_run || args.window != Selection::All {
            return Err(usage("this is the folder of a sweep: logs and windows are those of one run")
                .hint("give them with the folder of a run in it, such as point-01-rate-8/run-1")
                .into());
        }
        if !gates.is_empty() {
            return Err(usage("this is the folder of a sweep: `--fail-if` is of one run")
                .hint("give it with the folder of a run in it, such as point-01-rate-8/run-1")
                .into());
        }
        let swept = run::resweep(&args.folder)?;
        if !quiet {
            super::unless_closed(report::sweep::print(&mut crate::plain::stdout(), &swept.sweep))?;
        }
        return Ok(swept.exit);
    }
    if let Some(log) = &args.server_log {
        run::add_log(&args.folder, log)?;
    }
    if let Some(log) = &args.stat_log {
        run::add_stat_log(&args.folder, log)?;
    }
    for hop in &args.hop {
        run::add_hop(&args.folder, &hop_of(hop)?)?;
    }
    let mut recomputed = run::recompute_within(&args.folder, args.window)?;
    let given = recomputed.manifest.config.get("results").map(Results::deserialize);
    // Written once, when the run had ended; again only when that is asked for.
    let given = Results { save: None, style: Style::Tare, ..given.and_then(Result::ok).unwrap_or_default() };
    super::results::tell(&recomputed, &config::results_of(&args.results, given)?, quiet)?;
    if let Some(unwritten) = recomputed.unwritten_in(&args.folder) {
        return Err(unwritten);
    }
    gates::tell(&gates.judge_one(&args.folder, &recomputed)?, Exit::Finished)
}
