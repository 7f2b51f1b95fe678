//! What a run has come to, told as it was asked to be: tare's report or the block of `vllm bench serve` on
//! stdout, and the result file of the latter.

use std::fs::OpenOptions;
use std::io::{self, Write};

use crate::error::Explain;
use crate::record::results::{Results, Save, Style};
use crate::report;
use crate::report::vllm::Bench;
use crate::run::Recomputed;

/// Prints the report, and writes the file, if one was asked for.
pub(super) fn tell(recomputed: &Recomputed, results: &Results, quiet: bool) -> anyhow::Result<()> {
    let report = recomputed.report();
    let mut out = crate::plain::stdout();
    if !quiet && results.style == Style::Tare {
        super::unless_closed(report::print(&mut out, &report))?;
    }
    // It holds every gap of every request.
    if results.style == Style::Vllm || results.save.is_some() {
        let bench = Bench::new(&report, &recomputed.events.whole()?, results);
        if !quiet && results.style == Style::Vllm {
            super::unless_closed(warn(&report).and_then(|()| bench.print(&mut out)))?;
        }
        if let Some(save) = &results.save {
            write(&bench, save)?;
        }
    }
    Ok(())
}

/// The block has no place for what must be known before any number.
fn warn(report: &report::Report<'_>) -> io::Result<()> {
    let mut err = crate::plain::stderr();
    report.warnings().iter().try_for_each(|warning| writeln!(err, "warning: {warning}"))
}

fn write(bench: &Bench<'_>, save: &Save) -> anyhow::Result<()> {
    let Some(path) = bench.file() else { return Ok(()) };
    let shown = path.display();
    let failed = || format!("the result could not be written to {shown}");
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).or_broken(failed())?;
    }
    let mut text = serde_json::to_vec(&bench.object(save.detailed))?;
    let mut options = OpenOptions::new();
    options.create(true);
    if save.append {
        options.append(true);
    } else {
        options.write(true).truncate(true);
    }
    let mut file = options.open(&path).or_broken(failed())?;
    // An object a line.
    if save.append && file.metadata().or_broken(failed())?.len() > 0 {
        text.insert(0, b'\n');
    }
    file.write_all(&text).or_broken(failed())
}
