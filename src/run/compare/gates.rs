//! Gates as they were asked for: read before anything is done, judged when the figures are there. What cannot
//! be judged is an error, never a pass. This file must not know how a gate is written or judged.

use std::path::Path;

use crate::compare::gate::Gate;
use crate::compare::judge::{CannotJudge, FailOn, judge};
use crate::compare::{Run, Together};
use crate::config;
use crate::error::{Failure, usage};
use crate::record::comparison::GateFound;
use crate::record::measure::Key;
use crate::run::{Recomputed, recompute};

/// Gates, and when they fail.
#[derive(Clone, Debug, Default)]
pub struct Gates {
    all: Vec<(Gate, String)>,
    fail_on: FailOn,
}

impl Gates {
    /// Reads gates; all that is wrong with them is told at once.
    pub fn read(texts: &[String], fail_on: FailOn) -> Result<Self, Failure> {
        let mut problems = Vec::new();
        let mut all = Vec::new();
        for text in texts {
            match Gate::parse(text) {
                Err(error) => problems.push(
                    usage(format!("`--fail-if '{text}'`: {error}"))
                        .hint("for example --fail-if 'p99_ttft_ms > +5%'"),
                ),
                Ok(gate) if Key::parse(&gate.figure).is_none() => problems.push(unknown(text, &gate.figure)),
                Ok(gate) => all.push((gate, text.clone())),
            }
        }
        Failure::all(problems).map_or(Ok(Self { all, fail_on }), Err)
    }

    /// The same, of a single run: there is nothing to be relative to.
    pub fn read_for_one(texts: &[String], fail_on: FailOn) -> Result<Self, Failure> {
        let gates = Self::read(texts, fail_on)?;
        let relative = gates.all.iter().filter(|(gate, _)| gate.threshold.relative);
        let problems = relative.map(|(_, text)| refused(text, &CannotJudge::NoBaseline));
        Failure::all(problems.collect()).map_or(Ok(gates), Err)
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// What they say of every run but the baseline; of a single run, of that.
    pub(super) fn judged(&self, runs: &[Run], baseline: usize) -> anyhow::Result<Vec<GateFound>> {
        let together = Together::of(runs, baseline);
        let tested: Vec<usize> = (0..runs.len()).filter(|i| Some(*i) != together.baseline()).collect();
        let mut problems = Vec::new();
        let mut all = Vec::new();
        for (gate, text) in &self.all {
            match judge(gate, text, &together, &tested, self.fail_on) {
                Ok(found) => all.extend(found),
                Err(cannot) => problems.push(refused(text, &cannot)),
            }
        }
        Failure::all(problems).map_or(Ok(all), |failure| Err(failure.into()))
    }

    /// What they say of one run, of the requests that its report is made from.
    pub fn judge_one(&self, folder: &Path, made: &Recomputed) -> anyhow::Result<Vec<GateFound>> {
        if self.is_empty() {
            return Ok(Vec::new());
        }
        if made.audit.is_some() {
            return Err(usage("`--fail-if` is not for audits: they are many loads, not one").into());
        }
        let slo = recompute::slo_of(&made.manifest);
        let run = super::run(folder, &made.manifest.name, None, made, &made.events, slo);
        self.judged(&[run], 0)
    }
}

fn refused(text: &str, cannot: &CannotJudge) -> Failure {
    let failure = usage(format!("`--fail-if '{text}'` cannot be judged: {cannot}"));
    match cannot.hint() {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

fn unknown(text: &str, figure: &str) -> Failure {
    let usual = Key::usual();
    let failure = usage(format!("`--fail-if '{text}'`: there is no figure `{figure}`"));
    if let Some(near) = config::nearest(figure, usual.iter().map(String::as_str)) {
        return failure.hint(format!("did you mean `{near}`?"));
    }
    let some: Vec<String> = usual.iter().take(6).map(|key| format!("`{key}`")).collect();
    failure.hint(format!("there are {} …", some.join(", ")))
}
