//! What gates say, and the exit code that scripts see. This file must not know how a gate is judged.

use std::io::Write;

use crate::cli::{FailOnName, GateArgs};
use crate::compare::judge::FailOn;
use crate::error::Exit;
use crate::record::comparison::GateFound;
use crate::report;

/// When gates fail.
pub(super) fn fail_on(args: &GateArgs) -> FailOn {
    match args.fail_on {
        FailOnName::Certain => FailOn::Certain,
        FailOnName::Point => FailOn::Point,
    }
}

/// Says which gates were missed; the exit code is `otherwise` where none was, or where that is no success.
pub(super) fn tell(gates: &[GateFound], otherwise: Exit) -> anyhow::Result<Exit> {
    let missed: Vec<&GateFound> = gates.iter().filter(|found| found.outcome.is_missed()).collect();
    for found in &missed {
        writeln!(crate::plain::stderr(), "gate {}", report::gate_in_words(found))?;
    }
    Ok(if missed.is_empty() || otherwise != Exit::Finished { otherwise } else { Exit::GateMissed })
}
