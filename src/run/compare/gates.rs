//! Gates as they were asked for, on the command line or in the configuration: read before anything is done, judged
//! when the figures are there. What cannot be judged is an error, never a pass. This file must not know how a gate is
//! written or judged.

use std::path::Path;

use crate::compare::gate::Gate;
use crate::compare::judge::{CannotJudge, FailOn, judge};
use crate::compare::judge_audit::judge_audit;
use crate::compare::{Run, Together};
use crate::config;
use crate::error::{Failure, usage};
use crate::record::comparison::GateFound;
use crate::record::measure::Key;
use crate::report;
use crate::run::{Recomputed, recompute};
use crate::store::Manifest;

/// Gates, and when they fail.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    all: Vec<Asked>,
    fail_on: FailOn,
    /// Of the configuration, against a baseline that a single run has not.
    left: Vec<String>,
}

/// A gate, and how it is called where it is wrong.
#[derive(Clone, Debug)]
struct Asked {
    gate: Gate,
    text: String,
    called: String,
}

/// What gates said.
#[derive(Debug, Default)]
pub struct Judged {
    pub found: Vec<GateFound>,
    /// Those that cannot be judged, each with why.
    pub problems: Vec<(String, Failure)>,
    /// Those that are judged by `tare compare` alone.
    pub left: Vec<String>,
}

impl Gates {
    /// Reads the flags' gates, or where there are none the `configured` ones; all that is wrong with them is told at
    /// once.
    pub fn read(flags: &[String], configured: &[String], fail_on: FailOn) -> Result<Self, Failure> {
        let called = |text: &str| match flags {
            [] => format!("the gate `{text}` of the configuration"),
            _ => format!("`--fail-if '{text}'`"),
        };
        let mut problems = Vec::new();
        let mut all = Vec::new();
        for text in if flags.is_empty() { configured } else { flags } {
            let called = called(text);
            match Gate::parse(text) {
                Err(error) => {
                    problems
                        .push(usage(format!("{called}: {error}")).hint("for example 'p99_ttft_ms > +5%'"));
                }
                Ok(gate) if Key::parse(&gate.figure).is_none() => {
                    problems.push(unknown(&called, &gate.figure));
                }
                Ok(gate) => all.push(Asked { gate, text: text.clone(), called }),
            }
        }
        let gates = Self { all, fail_on, left: Vec::new() };
        Failure::all(problems).map_or(Ok(gates), Err)
    }

    /// The same, of a single run: there is nothing to be relative to. Of a configuration, which may be for comparisons
    /// as well, such gates are left out.
    pub fn read_for_one(flags: &[String], configured: &[String], fail_on: FailOn) -> Result<Self, Failure> {
        let mut gates = Self::read(flags, configured, fail_on)?;
        let (relative, absolute) = gates.all.into_iter().partition(|asked| asked.gate.threshold.relative);
        gates.all = absolute;
        if flags.is_empty() {
            gates.left = relative.into_iter().map(|asked: Asked| asked.text).collect();
            return Ok(gates);
        }
        let problems = relative.iter().map(|asked: &Asked| refused(asked, &CannotJudge::NoBaseline));
        Failure::all(problems.collect()).map_or(Ok(gates), Err)
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What they say of every run but the baseline; of a single run, of that.
    pub(super) fn judged(&self, runs: &[Run], baseline: usize) -> Judged {
        let together = Together::of(runs, baseline);
        let tested: Vec<usize> = (0..runs.len()).filter(|i| Some(*i) != together.baseline()).collect();
        self.each(|asked| judge(&asked.gate, &asked.text, &together, &tested, self.fail_on))
    }

    /// What they say of one run, of the requests that its report is made from; of an audit, of what goes through,
    /// against what goes straight.
    pub fn judge_one(&self, folder: &Path, made: &Recomputed) -> anyhow::Result<Judged> {
        if self.is_empty() {
            return Ok(Judged { left: self.left.clone(), ..Judged::default() });
        }
        if let Some(found) = &made.audit {
            let cells: Vec<_> =
                found.cells.iter().map(|cell| (report::cell_name(&cell.cell, found), cell)).collect();
            return Ok(self.each(|asked| judge_audit(&asked.gate, &asked.text, &cells, self.fail_on)));
        }
        let slo = recompute::slo_of(&made.manifest);
        let run = super::run(folder, &made.manifest.name, None, made, slo)?;
        Ok(self.judged(&[run], 0))
    }

    fn each(&self, judge: impl Fn(&Asked) -> Result<Vec<GateFound>, CannotJudge>) -> Judged {
        let mut judged = Judged { left: self.left.clone(), ..Judged::default() };
        for asked in &self.all {
            match judge(asked) {
                Ok(found) => judged.found.extend(found),
                Err(cannot) => judged.problems.push((asked.text.clone(), refused(asked, &cannot))),
            }
        }
        judged
    }
}

impl Judged {
    /// What was said, or everything that cannot be judged.
    pub fn all(self) -> Result<Vec<GateFound>, Failure> {
        let problems = self.problems.into_iter().map(|(_, failure)| failure).collect();
        Failure::all(problems).map_or(Ok(self.found), Err)
    }
}

/// The gates that a run was given by its configuration.
pub fn configured(manifest: &Manifest) -> Vec<String> {
    let list = manifest.config.get("gates").and_then(serde_json::Value::as_array);
    list.into_iter().flatten().filter_map(|gate| Some(gate.as_str()?.to_owned())).collect()
}

fn refused(asked: &Asked, cannot: &CannotJudge) -> Failure {
    let failure = usage(format!("{} cannot be judged: {cannot}", asked.called));
    match cannot.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn unknown(called: &str, figure: &str) -> Failure {
    let usual = Key::usual();
    let failure = usage(format!("{called}: there is no figure `{figure}`"));
    if let Some(near) = config::nearest(figure, usual.iter().map(String::as_str)) {
        return failure.hint(format!("did you mean `{near}`?"));
    }
    let some: Vec<String> = usual.iter().take(6).map(|key| format!("`{key}`")).collect();
    failure.hint(format!("there are {} …", some.join(", ")))
}
