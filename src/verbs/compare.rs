//! `tare compare A B …`: run folders in; differences with their intervals, tables, figures and the verdict of
//! gates out.

use std::io::Write;

use super::gates;
use crate::cli::CompareArgs;
use crate::error::{Exit, Failure, usage};
use crate::record::comparison::Audits;
use crate::record::slo::Slo;
use crate::report;
use crate::report::ci;
use crate::run::{self, Compared, ToCompare};

/// Runs the verb.
pub fn compare(args: &CompareArgs, quiet: bool) -> anyhow::Result<Exit> {
    let asked = ToCompare {
        folders: args.folders.clone(),
        names: args.name.clone(),
        baseline: args.baseline.clone(),
        selection: args.window,
        slo: slo(&args.slo.goodput)?,
        fail_if: args.gates.fail_if.clone(),
        fail_on: gates::fail_on(&args.gates),
        output: args.output.clone(),
        overwrite: args.overwrite,
    };
    let (folder, compared, judged) = run::compare(&asked)?;
    let mut out = crate::plain::stdout();
    if !quiet {
        super::unless_closed(report::print_page(&mut out, &compared.page(false)))?;
    }
    super::unless_closed(writeln!(out, "{}", folder.display()))?;
    let checks = match &compared {
        Compared::Runs(found) => {
            found.runs.iter().map(|run| (run.name.as_str(), run.checks.as_slice())).collect()
        }
        Compared::Audits(Audits { .. }) => Vec::new(),
    };
    let summary = |told: ci::Gates<'_>| compared.page(false).with(ci::gates_table(told)).markdown();
    gates::tell(&args.gates, judged, &checks, summary, Exit::Finished)
}

/// `ttft:500 tpot:50`, in milliseconds.
fn slo(texts: &[String]) -> Result<Slo, Failure> {
    let mut slo = Slo::default();
    for text in texts {
        let refused = || {
            usage(format!("`--goodput {text}`: expected NAME:MS, such as ttft:500"))
                .hint("names are ttft, tpot and e2el; folders stand before the flag")
        };
        let (name, limit) = text.split_once(':').ok_or_else(refused)?;
        let limit: f64 =
            limit.parse().ok().filter(|ms: &f64| ms.is_finite() && *ms > 0.0).ok_or_else(refused)?;
        let place = match name {
            "ttft" => &mut slo.ttft_s,
            "tpot" => &mut slo.tpot_s,
            "e2el" => &mut slo.e2e_s,
            _ => return Err(refused()),
        };
        *place = Some(limit / 1e3);
    }
    Ok(slo)
}
