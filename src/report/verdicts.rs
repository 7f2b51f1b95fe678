//! What the report says of the way between client and server: a verdict a row, its evidence and what
//! mends it below. This file must not know how a verdict is reached.

use super::Report;
use super::tables::Table;
use crate::record::verdicts::{Remedy, VerdictRow};
use crate::units;

/// The table; empty where nothing shows.
pub fn table(report: &Report<'_>) -> Table {
    of(&report.correlated.verdicts)
}

/// The table of any verdicts.
pub fn of(verdicts: &[VerdictRow]) -> Table {
    let rows = verdicts.iter().map(|v| {
        vec![
            v.kind.as_str().to_owned(),
            v.what.clone(),
            format!("{} of {}", units::count(v.n as u64), units::count(v.of as u64)),
            at_stake(v),
            v.certainty.as_str().to_owned(),
            if v.products.is_empty() { "not named".to_owned() } else { v.products.join(", ") },
        ]
    });
    Table {
        title: "Between client and server".to_owned(),
        head: ["", "what", "requests", "at stake", "certainty", "product"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
        below: verdicts.iter().flat_map(below).collect(),
    }
}

/// Seconds of a metric with their interval.
fn at_stake(v: &VerdictRow) -> String {
    v.at_stake.map_or_else(
        || "–".to_owned(),
        |stake| {
            let s = stake.seconds;
            format!(
                "{} {} [{}, {}]",
                stake.metric.name(),
                units::seconds(s.value),
                units::milliseconds(s.lo),
                units::milliseconds(s.hi)
            )
        },
    )
}

fn below(v: &VerdictRow) -> Vec<String> {
    let mut out = vec![format!("{} ({}): {}.", v.what, v.route, v.evidence.join("; "))];
    let remedy = |r: &Remedy| format!("{}: `{}` ({})", r.product, r.setting, r.doc);
    if !v.remedies.is_empty() {
        let all: Vec<String> = v.remedies.iter().map(remedy).collect();
        out.push(format!("What mends it: {}.", all.join("; ")));
    }
    out
}
