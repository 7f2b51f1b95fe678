//! `tare compare A B …`: run folders in; differences with their intervals, tables, figures and the verdict of
//! gates out.

use std::io::Write;

use crate::cli::{CompareArgs, FailOnName};
use crate::compare::judge::FailOn;
use crate::error::{Exit, Failure, usage};
use crate::metric::Metric;
use crate::report;
use crate::run::{self, ToCompare};

/// Runs the verb.
pub fn compare(args: &CompareArgs, quiet: bool) -> anyhow::Result<Exit> {
    let asked = ToCompare {
        folders: args.folders.clone(),
        names: args.name.clone(),
        baseline: args.baseline.clone(),
        selection: args.window,
        objectives: args.goodput.iter().map(|text| objective(text)).collect::<Result<_, _>>()?,
        gates: args.fail_if.clone(),
        fail_on: match args.fail_on {
            FailOnName::Certain => FailOn::Certain,
            FailOnName::Point => FailOn::Point,
        },
        output: args.output.clone(),
        overwrite: args.overwrite,
    };
    let (folder, compared) = run::compare(&asked)?;
    let mut out = std::io::stdout();
    if !quiet {
        super::unless_closed(report::print_page(&mut out, &compared.page(false)))?;
    }
    super::unless_closed(writeln!(out, "{}", folder.display()))?;
    let missed = compared.missed();
    for gate in &missed {
        writeln!(std::io::stderr(), "gate {gate}")?;
    }
    Ok(if missed.is_empty() { Exit::Finished } else { Exit::GateMissed })
}

/// `ttft:500`: a limit in milliseconds, in seconds.
fn objective(text: &str) -> Result<(Metric, f64), Failure> {
    let refused = || {
        usage(format!("`--goodput {text}`: expected METRIC:MS, such as ttft:500"))
            .hint("metrics are ttft, tpot and e2el")
    };
    let (name, limit) = text.split_once(':').ok_or_else(refused)?;
    let metric = match name {
        "ttft" => Metric::Ttft,
        "tpot" => Metric::Tpot,
        "e2el" | "e2e" => Metric::E2e,
        _ => return Err(refused()),
    };
    let limit: f64 = limit.parse().ok().filter(|ms: &f64| ms.is_finite() && *ms > 0.0).ok_or_else(refused)?;
    Ok((metric, limit / 1e3))
}
