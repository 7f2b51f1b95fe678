//! `tare audit`: a server and what stands before it in, a run folder and what the gateway adds out.

use std::io::Write;

use super::gates;
use crate::cli::AuditArgs;
use crate::error::Exit;
use crate::run::Gates;
use crate::{config, gateway_config, report, run, workload};

/// Runs the verb.
pub fn audit(args: &AuditArgs, quiet: bool) -> anyhow::Result<Exit> {
    let mut out = crate::plain::stdout();
    if let Some(product) = &args.print_config {
        super::unless_closed(out.write_all(gateway_config::snippet(product)?.as_bytes()))?;
        return Ok(Exit::Finished);
    }
    let config = config::load_audit(args)?;
    let gates = Gates::read(&args.gates.fail_if, &config.gates, gates::fail_on(&args.gates))?;
    if args.output.dry_run {
        let workload = run::workload(&config, &super::options(quiet)?.interrupt)?;
        super::unless_closed(write!(out, "{}", workload::plan::plan_text(&config, &workload)?))?;
        return Ok(Exit::Finished);
    }
    let outcome = run::record(&config, &super::options(quiet)?)?.report()?;
    if !quiet {
        super::unless_closed(report::print(&mut out, &outcome.recomputed.report()))?;
    }
    super::unless_closed(writeln!(out, "{}", outcome.folder.display()))?;
    super::run::tell_of_trouble(&outcome)?;
    gates::tell_one(&args.gates, &gates, &outcome.folder, &outcome.recomputed, outcome.exit)
}
