//! Gates as they were asked for: read, and judged. What cannot be judged is an error, never a pass. This
//! file must not know how a gate is written or judged.

use crate::compare::gate::Gate;
use crate::compare::judge::{FailOn, judge};
use crate::compare::{Run, Together};
use crate::config;
use crate::error::{Failure, usage};
use crate::record::comparison::GateFound;
use crate::record::measure::Key;

/// A gate, and how it was written.
pub(super) struct Written {
    gate: Gate,
    text: String,
}

/// Reads gates; all that is wrong with them is told at once.
pub(super) fn read(texts: &[String]) -> anyhow::Result<Vec<Written>> {
    let mut problems = Vec::new();
    let mut gates = Vec::new();
    for text in texts {
        match Gate::parse(text) {
            Err(error) => problems.push(
                usage(format!("`--fail-if '{text}'`: {error}"))
                    .hint("for example --fail-if 'p99_ttft_ms > +5%'"),
            ),
            Ok(gate) if Key::parse(&gate.figure).is_none() => problems.push(unknown(text, &gate.figure)),
            Ok(gate) => gates.push(Written { gate, text: text.clone() }),
        }
    }
    Failure::all(problems).map_or(Ok(gates), |failure| Err(failure.into()))
}

fn unknown(text: &str, figure: &str) -> Failure {
    let usual = Key::usual();
    let failure = usage(format!("`--fail-if '{text}'`: there is no figure `{figure}`"));
    match config::nearest(figure, usual.iter().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!(
            "there are {} …",
            usual.iter().take(6).map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// What the gates say of every run but the baseline.
pub(super) fn judged(
    gates: &[Written],
    runs: &[Run],
    baseline: usize,
    fail_on: FailOn,
) -> anyhow::Result<Vec<GateFound>> {
    let together = Together::of(runs, baseline);
    let tested: Vec<usize> = (0..runs.len()).filter(|i| *i != baseline).collect();
    let mut problems = Vec::new();
    let mut all = Vec::new();
    for Written { gate, text } in gates {
        match judge(gate, text, &together, &tested, fail_on) {
            Ok(found) => all.extend(found),
            Err(cannot) => {
                let failure = usage(format!("`--fail-if '{text}'` cannot be judged: {cannot}"));
                problems.push(match cannot.hint() {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                });
            }
        }
    }
    Failure::all(problems).map_or(Ok(all), |failure| Err(failure.into()))
}
