//! `tare report FOLDER`: every table and figure again, from the raw records; also after a kill, and
//! with a log of the server, its stat logger or a hop that was fetched later, or of a part of the requests.

use std::io::Write as _;

use serde::Deserialize;

use super::gates;
use crate::cli::ReportArgs;
use crate::config::hop_of;
use crate::error::{Exit, broken, usage};
use crate::record::figure::Asked;
use crate::record::results::{Results, Style};
use crate::record::selection::Selection;
use crate::run::Gates;
use crate::{config, report, run};

/// Runs the verb.
pub fn report(args: &ReportArgs, quiet: bool) -> anyhow::Result<Exit> {
    if let Some(kind) = args.figure.figure {
        let f = &args.figure;
        let asked = Asked { kind, of: f.metric.clone(), by: f.by, size: f.size, request: f.request.clone() };
        let folders: Vec<_> = std::iter::once(&args.folder).chain(&args.others).cloned().collect();
        for file in run::figure(&folders, &asked, args.window, f.out.as_deref())? {
            if !quiet {
                super::unless_closed(writeln!(crate::plain::stdout(), "{}", file.display()))?;
            }
        }
        return Ok(Exit::Finished);
    }
    if let Some(to) = &args.export_spans {
        if args.window != Selection::All {
            return Err(usage("spans are exported of all requests, and `--window` names some")
                .hint("leave it out; a tracing backend filters by time")
                .into());
        }
        let exported = run::export_spans(&args.folder, &config::span_export(to, &args.export_spans_header)?)?;
        if !quiet {
            super::unless_closed(writeln!(crate::plain::stdout(), "{}", exported.arrived()))?;
        }
        return match exported.lacking() {
            Some(lacking) => Err(broken(lacking).into()),
            None => Ok(Exit::Finished),
        };
    }
    if !args.others.is_empty() {
        return Err(usage(format!("expected one run folder, found {}", 1 + args.others.len()))
            .hint("`tare compare` sets runs side by side; `--figure violin --by run` draws them")
            .into());
    }
    let fail_on = gates::fail_on(&args.gates);
    // What is wrong with these is known without the run.
    let asked = Gates::read(&args.gates.fail_if, &[], fail_on)?;
    if run::is_sweep(&args.folder) {
        let for_one_run = args.server_log.is_some() || args.stat_log.is_some() || !args.hop.is_empty();
        if for_one_run || args.window != Selection::All {
            return Err(usage("this is the folder of a sweep: logs and windows are those of one run")
                .hint("give them with the folder of a run in it, such as point-01-rate-8/run-1")
                .into());
        }
        if !asked.is_empty() || args.gates.junit.is_some() {
            return Err(usage("this is the folder of a sweep: `--fail-if` and `--junit` are of one run")
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
    let told = super::results::tell(&recomputed, &config::results_of(&args.results, given)?, quiet);
    // Whatever could not be written, gates are judged, and CI has its files.
    let unwritten = recomputed.unwritten_in(&args.folder);
    let configured = run::configured_gates(&recomputed.manifest);
    // The direct requests of an audit are what a threshold with a sign is against.
    let read = if recomputed.audit.is_some() { Gates::read } else { Gates::read_for_one };
    let gates = read(&args.gates.fail_if, &configured, fail_on)?;
    let exit = gates::tell_one(&args.gates, &gates, &args.folder, &recomputed, Exit::Finished);
    super::unless_broken(told.err().into_iter().chain(unwritten), exit)
}
