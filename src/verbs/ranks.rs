//! `tare run` as one of several processes: who it is, and what of its run is told. This file must not know
//! how ranks meet.

use std::io::Write;

use crate::cli::RunArgs;
use crate::clock::UnixNs;
use crate::config::Config;
use crate::error::{Exit, usage};
use crate::run::ranks::environment;
use crate::run::{self, Ranks};

/// How long ranks wait for each other.
const PATIENCE_S: f64 = 300.0;

/// This process among others, if it is one of several; said on stderr. The configuration then has the shard
/// as its output.
pub(super) fn of(args: &RunArgs, config: &mut Config, quiet: bool) -> anyhow::Result<Option<Ranks>> {
    let flags = &args.ranks;
    let env = |name: &str| std::env::var(name).ok();
    let found = environment::find(flags.rank, flags.world, &env)?;
    let mut err = crate::plain::stderr();
    if let Some(warning) = &found.warning {
        writeln!(err, "warning: {warning}")?;
    }
    let Some(share) = found.share else {
        if flags.start_at.is_some() {
            return Err(usage("--start-at is the start of several ranks, and this process is alone")
                .hint("add --rank R --world N")
                .into());
        }
        return Ok(None);
    };
    if !args.gates.fail_if.is_empty() || args.gates.junit.is_some() {
        return Err(usage("`--fail-if` and `--junit` are of one run, and this is a part of one")
            .hint("`tare report MERGED --fail-if …` judges the merged run")
            .into());
    }
    let start_at = flags.start_at.as_deref().map(instant).transpose()?;
    let timeout_s = flags.start_timeout.unwrap_or(PATIENCE_S);
    let ranks = Ranks::of(config, share, found.from, start_at, timeout_s)?;
    if !quiet {
        let (rank, world, from, folder) = (share.rank, share.world, &ranks.from, ranks.folder.display());
        writeln!(err, "rank {rank} of {world}, by {from}: {folder}/shard-{rank:04}")?;
    }
    Ok(Some(ranks))
}

/// One part of a run. Its report is written, and not shown: what is to be read is that of all parts.
pub(super) fn run(config: &Config, options: &run::Options, quiet: bool) -> anyhow::Result<Exit> {
    let outcome = run::record(config, options)?.report()?;
    super::unless_closed(writeln!(crate::plain::stdout(), "{}", outcome.folder.display()))?;
    super::run::tell_of_trouble(&outcome)?;
    if let Some(ranks) = options.ranks.as_ref().filter(|ranks| ranks.observes() && !quiet) {
        let folder = ranks.folder.display();
        writeln!(
            crate::plain::stderr(),
            "when all ranks have ended: tare correlate {folder}/shard-* --output {folder}/merged"
        )?;
    }
    Ok(outcome.exit)
}

/// A time as people write it.
fn instant(text: &str) -> anyhow::Result<UnixNs> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Ok(UnixNs::from_secs_f64(seconds));
    }
    let time = chrono::DateTime::parse_from_rfc3339(text).ok();
    time.and_then(|time| time.timestamp_nanos_opt()).map(UnixNs).ok_or_else(|| {
        usage(format!("expected a time for --start-at, found `{text}`"))
            .hint("such as 2026-01-31T12:00:00Z, or seconds since 1970")
            .into()
    })
}
