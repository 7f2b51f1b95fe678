//! What the report says of the time between tokens: stalls and who made them, and what scrapes did. This
//! file must not know how a gap was found.

use super::Report;
use super::tables::Table;
use crate::record::correlated::{Probe, Stalls};
use crate::units;

/// The table; empty without gaps.
pub fn table(report: &Report<'_>) -> Table {
    let mut rows = Vec::new();
    if let Some(stalls) = &report.correlated.stalls {
        rows.extend(stalls_rows(stalls));
    }
    if let Some(probe) = &report.correlated.probe {
        rows.push(probe_row(probe));
    }
    Table {
        title: "Between the tokens".to_owned(),
        head: ["", "value", "n", "what it is"].map(str::to_owned).to_vec(),
        rows,
        below: Vec::new(),
    }
}

fn stalls_rows(s: &Stalls) -> Vec<Vec<String>> {
    let n = |n: usize| units::count(n as u64);
    let row =
        |what: &str, value: String, count: String, means: String| vec![what.to_owned(), value, count, means];
    let mut rows = vec![
        row(
            "gap",
            units::seconds(s.median_s),
            n(s.gaps),
            "median; the longest ".to_owned() + &units::seconds(s.longest_s),
        ),
        row(
            "stalls",
            units::seconds(s.beyond_s),
            n(s.stalls),
            "gaps of more than twice the median: what they have beyond it, all together".to_owned(),
        ),
    ];
    rows.push(match (s.by_prefill, s.by_prefill_s, s.resolution_s) {
        (Some(by), Some(beyond), _) => row(
            "of these by prefill of others",
            units::seconds(beyond),
            n(by),
            format!(
                "filled at least by half by the {} engine steps with prefill in the log",
                n(s.steps_with_prefill)
            ),
        ),
        (_, _, Some(resolution)) => row(
            "of these by prefill of others",
            "–".to_owned(),
            "–".to_owned(),
            format!(
                "the log tells of engine steps, but only to {}: finer stamps would tell",
                units::seconds(resolution)
            ),
        ),
        _ => row(
            "of these by prefill of others",
            "–".to_owned(),
            "–".to_owned(),
            "unknown: the log tells nothing of engine steps (vLLM: --enable-logging-iteration-details)"
                .to_owned(),
        ),
    });
    rows
}

fn probe_row(p: &Probe) -> Vec<String> {
    let effect = if p.effect.is_bounded() {
        let ends = [p.effect.lo, p.effect.hi].map(units::seconds);
        format!("{} [{}, {}]", units::seconds(p.effect.value), ends[0], ends[1])
    } else {
        units::seconds(p.effect.value)
    };
    vec![
        "effect of a scrape".to_owned(),
        effect,
        units::count(p.effect.n as u64),
        format!(
            "how much longer a gap is that a scrape ({} long) falls into than the same request's a few gaps earlier; {} gaps, 95 % over scrapes",
            units::seconds(p.scrape_s),
            units::count(p.gaps as u64)
        ),
    ]
}
