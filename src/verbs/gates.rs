//! What gates say: on stderr, in files for CI, and as the exit code that scripts see. This file must not know how a gate
//! is judged.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::cli::{FailOnName, GateArgs};
use crate::compare::judge::FailOn;
use crate::error::{Exit, Explain};
use crate::report;
use crate::report::ci;
use crate::run::{Gates, Judged, Recomputed};

/// Where GitHub says that a step's summary belongs.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// When gates fail.
pub(super) fn fail_on(args: &GateArgs) -> FailOn {
    match args.fail_on {
        FailOnName::Certain => FailOn::Certain,
        FailOnName::Point => FailOn::Point,
    }
}

/// Says which gates were missed, and writes the files that were asked for: `summary` makes the text for a step's summary.
/// The exit code is `otherwise` where no gate was missed, or where that is no success; a gate that cannot be judged is an
/// error.
pub(super) fn tell(
    args: &GateArgs,
    judged: Judged,
    checks: &[ci::Checks<'_>],
    summary: impl FnOnce(ci::Gates<'_>) -> String,
    otherwise: Exit,
) -> anyhow::Result<Exit> {
    let mut err = crate::plain::stderr();
    for gate in &judged.left {
        writeln!(err, "note: the gate `{gate}` is left out: {}", ci::ONLY_COMPARED)?;
    }
    let missed = judged.found.iter().filter(|found| found.outcome.is_missed());
    let missed = missed.map(|found| writeln!(err, "gate {}", report::gate_in_words(found)));
    let missed = missed.collect::<Result<Vec<()>, _>>()?.len();
    let problems: Vec<(String, String)> =
        judged.problems.iter().map(|(gate, why)| (gate.clone(), why.to_string())).collect();
    let gates = ci::Gates { found: &judged.found, problems: &problems, left: &judged.left };
    if let Some(path) = &args.junit {
        std::fs::write(path, ci::as_junit(gates, checks)).or_broken(cannot(path))?;
    }
    let from_env = std::env::var_os(STEP_SUMMARY).filter(|path| !path.is_empty()).map(PathBuf::from);
    if let Some(path) = args.step_summary.clone().or(from_env) {
        append(&path, &summary(gates))?;
    }
    if otherwise != Exit::Finished {
        // Of a run that broke, that is what is said; CI has its files all the same, and no older ones.
        return Ok(otherwise);
    }
    judged.all()?;
    Ok(if missed == 0 { otherwise } else { Exit::GateMissed })
}

/// The same of one run, or audit, which is judged first.
pub(super) fn tell_one(
    args: &GateArgs,
    gates: &Gates,
    folder: &Path,
    made: &Recomputed,
    otherwise: Exit,
) -> anyhow::Result<Exit> {
    let report = made.report();
    let checks = [(made.manifest.name.as_str(), made.correlated.checks.as_slice())];
    let judged = gates.judge_one(folder, made)?;
    tell(args, judged, &checks, |told| ci::summary(&report, told), otherwise)
}

/// Puts a summary below what earlier commands of the step said.
fn append(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path).or_broken(cannot(path))?;
    let taken = usize::try_from(file.metadata().or_broken(cannot(path))?.len()).unwrap_or(usize::MAX);
    let text = if taken == 0 { text.to_owned() } else { format!("\n{text}") };
    file.write_all(ci::fitting(&text, taken).as_bytes()).or_broken(cannot(path))
}

fn cannot(path: &Path) -> String {
    format!("{} could not be written", path.display())
}
