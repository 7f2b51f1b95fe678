//! `tare correlate`: what other tools recorded in, a run folder and a report out.

use std::io::Write;

use crate::cli::CorrelateArgs;
use crate::config::hop_of;
use crate::error::{self, Exit, usage};
use crate::report;
use crate::run::{self, Import, ToMerge};

/// Runs the verb.
pub fn correlate(args: &CorrelateArgs, quiet: bool) -> anyhow::Result<Exit> {
    if !args.shards.is_empty() {
        return merge(args, quiet);
    }
    let Some(client) = args.client.clone() else {
        return Err(usage("no client's records are given").hint("name them with --client").into());
    };
    let given = Import {
        client,
        client_format: args.client_format.clone(),
        client_part: args.client_part.clone(),
        client_id_prefix: args.client_id_prefix.clone(),
        server_logs: args.server_log.clone(),
        metrics_before: args.metrics_before.clone(),
        metrics_after: args.metrics_after.clone(),
        metrics: args.metrics.clone(),
        spans: args.spans.clone(),
        spans_format: args.spans_format.clone(),
        stat_logs: args.stat_log.clone(),
        stat_log_format: args.stat_log_format.clone(),
        hops: args.hop.iter().map(|text| hop_of(text)).collect::<Result<_, _>>()?,
        server: args.server.clone(),
        same_host: args.same_host,
        name: args.name.clone().unwrap_or_else(|| "correlated".to_owned()),
        output: args.output.clone(),
        overwrite: args.overwrite,
    };
    let (folder, mut recomputed) = run::import(&given)?;
    let mut out = crate::plain::stdout();
    if !quiet {
        super::unless_closed(report::print(&mut out, &recomputed.report()))?;
    }
    super::unless_closed(writeln!(out, "{}", folder.display()))?;
    recomputed.unwritten_in(&folder).map_or(Ok(Exit::Finished), Err)
}

/// The shards of one run, as one.
fn merge(args: &CorrelateArgs, quiet: bool) -> anyhow::Result<Exit> {
    let given = ToMerge {
        shards: args.shards.clone(),
        name: args.name.clone(),
        output: args.output.clone(),
        overwrite: args.overwrite,
    };
    let merged = run::merge(&given)?;
    let mut out = crate::plain::stdout();
    if !quiet {
        super::unless_closed(report::print(&mut out, &merged.recomputed.report()))?;
    }
    super::unless_closed(writeln!(out, "{}", merged.folder.display()))?;
    let Some(lacking) = merged.lacking else { return Ok(Exit::Finished) };
    error::print(&mut crate::plain::stderr(), &lacking.into())?;
    Ok(Exit::Broken)
}
