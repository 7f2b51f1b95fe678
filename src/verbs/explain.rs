//! `tare explain RUN`: single requests of a run folder, each as a waterfall of both sides. Reads the raw
//! records and writes nothing into the folder.

use std::io::{self, Write};

use crate::cli::{ExplainArgs, SlowestBy};
use crate::error::{Exit, usage};
use crate::record::JoinedRow;
use crate::run::{self, ReadBack};
use crate::{report, units};

/// Runs the verb.
pub fn explain(args: &ExplainArgs) -> anyhow::Result<Exit> {
    if args.slowest == Some(0) {
        return Err(usage("`--slowest`: expected a whole number from 1, found 0").into());
    }
    let read = run::read_back(&args.folder)?;
    let chosen = choose(args, &read)?;
    let waterfalls: Vec<_> = chosen.iter().map(|row| read.waterfall(row)).collect::<anyhow::Result<_>>()?;
    let mut out = crate::plain::stdout();
    if args.json {
        super::unless_closed(serde_json::to_writer_pretty(&mut out, &waterfalls).map_err(io::Error::from))?;
        super::unless_closed(writeln!(out))?;
        return Ok(Exit::Finished);
    }
    for note in &read.notes {
        super::unless_closed(writeln!(out, "note: {note}"))?;
    }
    for (n, waterfall) in waterfalls.iter().enumerate() {
        if n > 0 {
            super::unless_closed(writeln!(out))?;
        }
        super::unless_closed(report::print_waterfall(&mut out, waterfall))?;
    }
    Ok(Exit::Finished)
}

/// The requests asked for.
fn choose<'a>(args: &ExplainArgs, read: &'a ReadBack) -> anyhow::Result<Vec<&'a JoinedRow>> {
    let rows = &read.correlated.rows;
    if rows.is_empty() {
        return Err(usage(format!("{} holds no request that ended", args.folder.display())).into());
    }
    let ids = args.ids.iter().chain(&args.id);
    let named: Vec<&JoinedRow> = ids.map(|id| run::named(id, rows)).collect::<anyhow::Result<_>>()?;
    if !named.is_empty() {
        return Ok(named);
    }
    let by = args.by.unwrap_or_default();
    let mut valued: Vec<(f64, &JoinedRow)> =
        rows.iter().filter_map(|row| Some((value(row, by)?, row))).collect();
    if valued.is_empty() {
        return Err(nothing_to_rank(by, rows.len()));
    }
    valued.sort_by(|a, b| b.0.total_cmp(&a.0));
    Ok(valued.into_iter().take(args.slowest.unwrap_or(1)).map(|(_, row)| row).collect())
}

fn value(row: &JoinedRow, by: SlowestBy) -> Option<f64> {
    let c = &row.client;
    match by {
        SlowestBy::Ttft => c.ttft_s,
        SlowestBy::E2e => c.e2e_s,
        SlowestBy::Itl => c.itl_mean_s,
        SlowestBy::Tare => Some(c.ttft_s? - row.server_ttft_s?),
    }
}

fn nothing_to_rank(by: SlowestBy, n: usize) -> anyhow::Error {
    let (what, hint) = match by {
        SlowestBy::Ttft => ("a TTFT", "answers that were not streamed have none: --by e2e"),
        SlowestBy::E2e => ("a duration", "only answers that came whole have one: --by ttft"),
        SlowestBy::Itl => {
            ("a mean gap between tokens", "it needs a stream of two events, and usage: --by e2e")
        }
        SlowestBy::Tare => ("a TTFT of both sides", "the server's comes with OTLP spans only: --by ttft"),
    };
    usage(format!("expected a request with {what}, found {} without", units::count(n as u64)))
        .hint(hint)
        .into()
}
