//! The files of a sweep's folder: `sweep.json`, written anew after each run, and what is made of it. This file must not know
//! which runs are made.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;

use super::Swept;
use crate::error::{Exit, usage};
use crate::metric::Metric;
use crate::plot::sweep::{self as figures, Level, SweepData};
use crate::report::Figures;
use crate::report::sweep::{self as report, Point, Sweep};
use crate::stats::{Estimate, linear};
use crate::store::RunFolder;
use crate::store::folder::{MANIFEST, PLOTS, SWEEP, SWEEP_MD, replace_file};

/// Whether a folder is that of a sweep.
pub fn is_sweep(folder: &Path) -> bool {
    folder.join(SWEEP).is_file()
}

/// Makes everything of a sweep again from the raw records of its runs.
pub fn resweep(folder: &Path) -> anyhow::Result<Swept> {
    // A sweep that goes on writes the same file.
    let _held = RunFolder::hold(folder).map_err(super::super::unusable)?;
    let path = folder.join(SWEEP);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut sweep: Sweep = serde_json::from_str(&text).map_err(|error| {
        usage(format!("{} is not a sweep that this version reads", path.display())).caused_by(error)
    })?;
    super::reread(folder, &mut sweep)?;
    write(folder, &sweep)?;
    write_report(folder, &sweep)?;
    Ok(Swept { folder: folder.to_owned(), exit: Exit::Finished, sweep })
}

/// `sweep.json`, whole at any moment.
pub(super) fn write(folder: &Path, sweep: &Sweep) -> anyhow::Result<()> {
    replace_file(&folder.join(SWEEP), |file| {
        serde_json::to_writer_pretty(&mut *file, sweep)?;
        Ok(file.write_all(b"\n")?)
    })
}

/// `sweep.md` and the figures.
pub(super) fn write_report(folder: &Path, sweep: &Sweep) -> anyhow::Result<()> {
    let drawn = figures::write(&folder.join(PLOTS), &data(sweep))?;
    let text = report::markdown(sweep, &drawn)?;
    replace_file(&folder.join(SWEEP_MD), |file| Ok(file.write_all(text.as_bytes())?))
}

/// Removes the runs of an earlier sweep in this folder: what tare wrote, and nothing else.
pub(super) fn remove_runs(folder: &Path) -> anyhow::Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for point in entries.flatten().map(|entry| entry.path()) {
        let named = point.file_name().is_some_and(|name| name.to_string_lossy().starts_with("point-"));
        let Some(runs) = named.then(|| fs::read_dir(&point).ok()).flatten() else { continue };
        for run in runs.flatten().map(|entry| entry.path()).filter(|run| run.join(MANIFEST).is_file()) {
            RunFolder::create(&run, true).map_err(super::super::unusable)?.discard();
            drop(fs::remove_dir(&run));
        }
        // Still there when something else is in it.
        drop(fs::remove_dir(&point));
    }
    Ok(())
}

fn data(sweep: &Sweep) -> SweepData {
    let mut levels: Vec<Level> = sweep.points.iter().filter_map(|point| level(sweep, point)).collect();
    levels.sort_by(|a, b| a.level.total_cmp(&b.level));
    SweepData {
        name: sweep.name.clone(),
        axis: sweep.asked.axis.heading().to_owned(),
        is_rate: sweep.asked.axis == crate::sweep::asked::Axis::Rate,
        marked: sweep.answer.as_ref().and_then(|answer| answer.highest),
        levels,
    }
}

fn level(sweep: &Sweep, point: &Point) -> Option<Level> {
    let runs: Vec<&Figures> = point.runs.iter().filter_map(|run| run.figures.as_ref()).collect();
    let mean = |of: &dyn Fn(&Figures) -> Option<Estimate>| {
        linear::mean(&runs.iter().filter_map(|f| of(f)).collect::<Vec<_>>())
    };
    let both = |f: &Figures, metric: Metric| f.both(metric)?.server;
    let (ttft_server, server_is) = match mean(&|f| both(f, Metric::Ttft)) {
        Some(e) => (Some(e), "TTFT"),
        None => (mean(&|f| both(f, Metric::QueuePrefill)), "of TTFT: queue + prefill"),
    };
    (!runs.is_empty()).then(|| Level {
        level: point.level,
        label: if sweep.asked.axis == crate::sweep::asked::Axis::AsConfigured {
            String::new()
        } else {
            point.level.to_string()
        },
        n_ok: runs.iter().map(|f| f.counts.ok).sum(),
        ended_early: point.runs.iter().any(|run| run.saturated.is_some()),
        achieved_rps: mean(&|f| Some(f.rates?.achieved_rps)),
        output_tps: mean(&|f| f.rates?.output_tps),
        per_user_tps: mean(&|f| Some(f.client(Metric::Throughput)?.mean)),
        ttft: mean(&|f| Some(f.client(Metric::Ttft)?.mean)),
        ttft_p99: mean(&|f| f.client(Metric::Ttft)?.percentile(99.0)).map(|e| e.value),
        ttft_server,
        server_is: server_is.to_owned(),
        e2e: mean(&|f| Some(f.client(Metric::E2e)?.mean)),
        e2e_server: mean(&|f| both(f, Metric::E2e)),
    })
}
