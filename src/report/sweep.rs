//! A sweep in figures: `sweep.json` as types, and its tables for people. Each run of it has a report of its own; here they
//! stand side by side. This module must not know how a run is made, nor what is run next.

mod tables;
mod words;

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::words::answer as answer_in_words;

use super::{Figures, markdown, terminal};
use crate::clock::UnixNs;
use crate::record::slo::Slo;
use crate::store::manifest::RunState;
use crate::sweep::asked::Asked;
use crate::sweep::judge::{Judgement, Seen};
use crate::sweep::saturation::Saturated;
use crate::sweep::search::Answer;

/// Rises when a key changes its meaning.
pub const SCHEMA: u32 = 1;

/// What was asked, what was run, and what it came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sweep {
    pub tare_sweep: u32,
    pub name: String,
    pub tool_version: String,
    pub created_unix_ns: UnixNs,
    pub state: RunState,
    pub asked: Asked,
    pub slo: Slo,
    /// In the order in which each was first run.
    pub points: Vec<Point>,
    /// Of a search: why each run was made, and what was concluded.
    pub decisions: Vec<Decision>,
    pub answer: Option<Answer>,
    pub notes: Vec<String>,
    /// The configuration that all runs have in common; secrets are never in it.
    pub config: Value,
}

/// The runs at one level.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// From 1.
    pub number: usize,
    pub level: f64,
    pub runs: Vec<PointRun>,
    /// Of a search, and of objectives: what all its runs say together.
    pub judgement: Option<Judgement>,
}

/// One run at a level.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PointRun {
    /// From 1.
    pub number: usize,
    /// Below the sweep's folder.
    pub folder: String,
    pub seed: u64,
    pub end: RunEnd,
    /// Why it broke.
    pub error: Option<String>,
    pub saturated: Option<Saturated>,
    /// Requests held back by the cap on concurrency and never sent.
    pub unsent: u64,
    pub figures: Option<Figures>,
}

/// How a run of a sweep ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEnd {
    Finished,
    /// Ended before its time, since its requests piled up for good.
    OverSaturated,
    /// Stopped by the user.
    Interrupted,
    /// It came to its end, and no request had succeeded.
    NothingSucceeded,
    /// It could not be made.
    Broken,
}

/// A step of a search.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Decision {
    pub level: f64,
    /// The how-manieth run of the level.
    pub run: usize,
    /// Why it was run.
    pub why: String,
    pub judgement: Judgement,
}

impl PointRun {
    /// What it says of its level; nothing where it was stopped or broke.
    pub fn seen(&self) -> Option<Seen> {
        /// Fewer requests at full load say less than all of them.
        const FEW: usize = 10;
        if matches!(self.end, RunEnd::Interrupted | RunEnd::Broken) {
            return None;
        }
        let figures = self.figures.as_ref()?;
        let met = figures.slo.as_ref().map(|slo| slo.full.filter(|full| full.n >= FEW).unwrap_or(slo.all));
        let ended = figures.counts.ok + figures.counts.failed;
        let e2e = figures.client(crate::metric::Metric::E2e);
        Some(Seen {
            saturated: self.end == RunEnd::OverSaturated,
            met,
            failed: figures.counts.failed as f64 / (ended as f64).max(1.0),
            unsent: self.unsent,
            offered_rps: figures.rates.map_or(0.0, |rates| rates.offered_rps),
            growth_rps: figures.rates.and_then(|rates| rates.growth_rps),
            e2e_s: e2e.and_then(|f| f.percentile(50.0)).map(|p50| p50.value),
        })
    }
}

impl Point {
    /// What its runs say.
    pub fn seen(&self) -> Vec<Seen> {
        self.runs.iter().filter_map(PointRun::seen).collect()
    }

    /// The figures of runs that came to their end.
    fn figures(&self) -> Vec<&Figures> {
        let counted = self.runs.iter().filter(|run| run.end != RunEnd::Interrupted);
        counted.filter_map(|run| run.figures.as_ref()).collect()
    }
}

/// The text of `sweep.md`.
pub fn markdown(sweep: &Sweep, figures: &[(&str, &str)]) -> anyhow::Result<String> {
    let mut out = String::new();
    writeln!(out, "# {}\n", markdown::escape(&sweep.name))?;
    for line in words::head(sweep) {
        writeln!(out, "{}\n", markdown::escape(&line))?;
    }
    for sentence in words::answer(sweep) {
        writeln!(out, "**{}**\n", markdown::escape(&sentence))?;
    }
    for table in tables::all(sweep) {
        markdown::write_table(&mut out, &table)?;
    }
    for note in words::notes(sweep) {
        writeln!(out, "\n- {}", markdown::escape(&note))?;
    }
    for (name, caption) in figures {
        writeln!(out, "\n![{caption}](plots/{name}.svg)")?;
    }
    writeln!(out, "\n## Runs\n")?;
    for run in sweep.points.iter().flat_map(|point| &point.runs).filter(|run| run.figures.is_some()) {
        writeln!(out, "- [{0}]({0}/report.md)", run.folder)?;
    }
    Ok(out)
}

/// Prints the same in short.
pub fn print(out: &mut impl Write, sweep: &Sweep) -> io::Result<()> {
    for line in words::head(sweep) {
        writeln!(out, "{line}")?;
    }
    writeln!(out)?;
    for sentence in words::answer(sweep) {
        writeln!(out, "{sentence}\n")?;
    }
    for table in tables::all(sweep) {
        terminal::print_table(out, &table)?;
    }
    for note in words::notes(sweep) {
        writeln!(out, "note: {note}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
