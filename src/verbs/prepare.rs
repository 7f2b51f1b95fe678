//! `tare prepare`: configuration and flags in, a request set out, with where it comes from. Sends nothing.

use std::io::Write;

use crate::cli::PrepareArgs;
use crate::config;
use crate::error::{Exit, usage};
use crate::units::count;
use crate::{run, workload};

/// Runs the verb.
pub fn prepare(args: &PrepareArgs, quiet: bool) -> anyhow::Result<Exit> {
    let flags = args.as_run();
    let config = config::load(args.config.as_deref(), &flags)?;
    if args.out.exists() && !args.overwrite {
        return Err(usage(format!("`{}` is there already", args.out.display()))
            .hint("take another name, or write over it with --overwrite")
            .into());
    }
    let options = super::options(quiet)?;
    let workload = run::workload(&config, &options.interrupt)?;
    workload.write(&args.out)?;
    let mut out = crate::plain::stdout();
    if !quiet {
        let said = workload::plan::prepared_text(&config, &workload)?;
        super::unless_closed(write!(out, "{said}"))?;
    }
    let n = workload.prompts.len() as u64;
    let what = match workload.requests(n) {
        all if all > n => format!("{} conversations of {} requests", count(n), count(all)),
        _ => format!("{} requests", count(n)),
    };
    super::unless_closed(writeln!(out, "{}: {what}", args.out.display()))?;
    Ok(Exit::Finished)
}
