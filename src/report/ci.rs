//! What CI is told of a run, a comparison or an audit: gates and reconciliation checks as test cases, and a short
//! Markdown summary that fits the place it is appended to. This file must not know how a gate is judged.

use super::compare_words::gate;
use super::junit::{Case, Ended, Suite, junit};
use super::markdown::{escape, write_table};
use super::tables::{self, Table};
use super::{Report, audit, verdict};
use crate::record::comparison::{GateFound, GateOutcome};
use crate::record::correlated::{Check, Verdict};
use crate::units;

/// GitHub shows no more of one step's summary (its "Workflow commands": 1 MiB).
pub const MOST_BYTES: usize = 1024 * 1024;
const CUT: &str = "\n\n*The rest did not fit: GitHub shows 1 MiB of a step.*\n";

/// What gates said, as CI is told it.
#[derive(Clone, Copy)]
pub struct Gates<'a> {
    pub found: &'a [GateFound],
    /// Gates that cannot be judged, and why.
    pub problems: &'a [(String, String)],
    /// Gates that only a comparison judges.
    pub left: &'a [String],
}

/// The checks of one run, with its name.
pub type Checks<'a> = (&'a str, &'a [Check]);

/// Gates and checks as `JUnit` XML: a missed gate and a check whose sides differ are failures.
pub fn as_junit(gates: Gates<'_>, checks: &[Checks<'_>]) -> String {
    let mut cases: Vec<Case> = gates
        .found
        .iter()
        .map(|found| Case {
            name: format!("{}: {}", found.run, found.gate),
            ended: if found.outcome.is_missed() { Ended::Failed } else { Ended::Passed },
            said: gate(found),
        })
        .collect();
    cases.extend(gates.problems.iter().map(|(name, why)| Case {
        name: name.clone(),
        ended: Ended::Broke,
        said: why.clone(),
    }));
    cases.extend(gates.left.iter().map(|name| Case {
        name: name.clone(),
        ended: Ended::LeftOut,
        said: ONLY_COMPARED.to_owned(),
    }));
    let mut suites = vec![Suite { name: "gates".to_owned(), cases }];
    suites.extend(checks.iter().map(|(run, checks)| Suite {
        name: format!("reconciliation of {run}"),
        cases: checks.iter().map(check).collect(),
    }));
    junit(&suites)
}

/// Why a gate of a configuration was left out.
pub const ONLY_COMPARED: &str = "it is against a baseline: `tare compare` judges it";

fn check(check: &Check) -> Case {
    let side = |v: Option<f64>| v.map_or_else(|| "–".to_owned(), units::number);
    let ended = match check.verdict {
        Verdict::Agree => Ended::Passed,
        Verdict::Differ => Ended::Failed,
        Verdict::NotAvailable => Ended::LeftOut,
    };
    let word = match check.verdict {
        Verdict::Agree => "agree",
        Verdict::Differ => "differ",
        Verdict::NotAvailable => "not available",
    };
    let detail = if check.detail.is_empty() { String::new() } else { format!("; {}", check.detail) };
    let said = format!("{word}: client {}, server {}{detail}", side(check.client), side(check.server));
    Case { name: check.name.to_owned(), ended, said }
}

/// A run, or an audit, in short.
pub fn summary(report: &Report<'_>, gates: Gates<'_>) -> String {
    let mut out = format!("# tare: {}\n", escape(&report.manifest.name));
    let mut say = |text: String| {
        out.push('\n');
        out.push_str(&text);
        out.push('\n');
    };
    for warning in report.warnings() {
        say(format!("> **Warning:** {}", escape(&warning)));
    }
    for sentence in audit::verdict(report) {
        say(format!("**{}**", escape(&sentence)));
    }
    if let Some(line) = verdict::line(report) {
        say(format!("**{}**", escape(&line)));
    }
    let mut tables = vec![gates_table(gates)];
    tables.extend(tables::all(report).into_iter().take(SHOWN));
    tables.push(tables::checks(report));
    for table in tables.iter().filter(|table| !table.rows.is_empty()) {
        // Writing to a String never fails.
        let _ = write_table(&mut out, table);
    }
    out
}

/// Of the report's tables the first: what it is about.
const SHOWN: usize = 1;

/// Every gate in a row.
pub fn gates_table(gates: Gates<'_>) -> Table {
    let judged = gates.found.iter().map(|found| {
        let ended = match found.outcome {
            GateOutcome::Kept => "kept",
            GateOutcome::KeptUnsure => "kept, not surely",
            GateOutcome::MissedUnsure => "MISSED, not surely",
            GateOutcome::Missed => "MISSED",
        };
        vec![found.gate.clone(), found.run.clone(), ended.to_owned(), gate(found)]
    });
    let cannot = gates
        .problems
        .iter()
        .map(|(name, why)| vec![name.clone(), "–".to_owned(), "NOT JUDGED".to_owned(), why.clone()]);
    let left = gates
        .left
        .iter()
        .map(|name| vec![name.clone(), "–".to_owned(), "left out".to_owned(), ONLY_COMPARED.to_owned()]);
    Table {
        title: "Gates".to_owned(),
        head: ["gate", "of", "", "what was found"].map(str::to_owned).to_vec(),
        rows: judged.chain(cannot).chain(left).collect(),
        below: Vec::new(),
    }
}

/// `text` as far as it fits beside the `taken` bytes that are there, cut where a line ends.
pub fn fitting(text: &str, taken: usize) -> String {
    let room = MOST_BYTES.saturating_sub(taken);
    if text.len() <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(CUT.len()) else { return String::new() };
    let mut end = room;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let kept = text.get(..end).unwrap_or_default();
    let kept = kept.rfind('\n').and_then(|line| kept.get(..line)).unwrap_or_default();
    format!("{kept}{CUT}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_summary_is_cut_where_a_line_ends() {
        let line = "| a row of a table | ü |\n";
        let long = line.repeat(MOST_BYTES / line.len() + 1_000);
        let cut = fitting(&long, 0);
        assert!(cut.len() <= MOST_BYTES && cut.len() > MOST_BYTES - 200);
        assert!(cut.strip_suffix(CUT).is_some_and(|kept| kept.ends_with("| ü |")));
        assert_eq!(fitting(line, MOST_BYTES - line.len()), line);
        assert_eq!(fitting(line, MOST_BYTES), "");
    }

    proptest! {
        #[test]
        fn it_always_fits(text in "[a-zü\n]{0,300}", taken in MOST_BYTES - 250..MOST_BYTES + 5) {
            prop_assert!(fitting(&text, taken).len() <= MOST_BYTES.saturating_sub(taken));
        }
    }
}
