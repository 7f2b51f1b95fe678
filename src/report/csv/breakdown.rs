//! `data/breakdown.csv`: a row per part and place of the distribution. This file must not know how a part
//! was found.

use super::{cell, table};
use crate::metric::Metric;
use crate::record::correlated::{Breakdown, BreakdownColumn, Part};
use crate::report::{Artifact, Report};

pub(in crate::report) const BREAKDOWN: Artifact = Artifact {
    file: "data/breakdown.csv",
    what: "where the time went: each part at the mean and around percentiles",
    write,
};

const HEAD: [&str; 13] = [
    "of",
    "by",
    "at",
    "n",
    "total_s",
    "part",
    "mean_s",
    "interval_lo_s",
    "interval_hi_s",
    "bound_lo_s",
    "bound_hi_s",
    "measured",
    "inside",
];

fn write(report: &Report<'_>) -> anyhow::Result<String> {
    let mut rows = Vec::new();
    let of_runs = [&report.correlated.breakdown, &report.correlated.breakdown_e2e];
    // Both arms together are no load.
    for breakdown in of_runs.into_iter().filter(|_| report.audit.is_none()) {
        add(&mut rows, breakdown, "");
    }
    for arm in report.audit.into_iter().flat_map(|found| &found.arms) {
        add(&mut rows, &arm.breakdown, arm.arm.as_str());
        add(&mut rows, &arm.breakdown_e2e, arm.arm.as_str());
    }
    table(&HEAD, rows.into_iter())
}

fn add(rows: &mut Vec<Vec<String>>, breakdown: &Breakdown, by: &str) {
    let what = if breakdown.of == Metric::E2e { "E2E" } else { "TTFT" };
    for column in &breakdown.columns {
        rows.extend(column.parts.iter().map(|part| row(what, by, column, part)));
    }
    for group in &breakdown.by {
        for column in &group.columns {
            let by = if by.is_empty() { group.what.to_owned() } else { format!("{by}, {}", group.what) };
            rows.extend(column.parts.iter().map(|part| row(what, &by, column, part)));
        }
    }
}

fn row(what: &str, by: &str, column: &BreakdownColumn, part: &Part) -> Vec<String> {
    vec![
        what.to_owned(),
        by.to_owned(),
        column.at.clone(),
        column.n.to_string(),
        column.total_s.to_string(),
        part.row.name().to_owned(),
        part.mean_s.to_string(),
        cell(part.interval.map(|i| i.lo_s)),
        cell(part.interval.map(|i| i.hi_s)),
        cell(part.bounds.map(|b| b.lo_s)),
        cell(part.bounds.map(|b| b.hi_s)),
        part.measured.to_string(),
        part.row.inside().to_string(),
    ]
}
