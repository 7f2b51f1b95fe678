//! What the report says of the two sides' clocks. This file must not know how the bounds were found.

use super::Report;
use super::tables::Table;
use crate::record::clocks::{ClockRelation, Stretch};
use crate::units;

/// The table; empty where both sides read one clock and every pair agrees, which the reconciliation
/// says already.
pub fn table(report: &Report<'_>) -> Table {
    let clocks = &report.correlated.clocks;
    if clocks.relation != ClockRelation::Bounded {
        return Table::default();
    }
    let begin = clocks.stretches.first().map(|s| s.begin_unix_ns);
    let rows = clocks.stretches.iter().map(|s| {
        let at = |t: crate::clock::UnixNs| begin.map_or(0.0, |b| t.seconds_since(b));
        vec![
            format!("{:.1}–{:.1} s", at(s.begin_unix_ns), at(s.end_unix_ns)),
            format!("{} … {}", units::seconds(s.offset_lo_s), units::seconds(s.offset_hi_s)),
            units::seconds(s.reach_s()),
            drift(s),
            s.step_before.map_or_else(
                || "–".to_owned(),
                |b| format!("{} … {}", units::seconds(b.lo_s), units::seconds(b.hi_s)),
            ),
        ]
    });
    let mut below = vec![format!(
        "From the run's own pairs: {} requests that left here before they arrived there, {} tokens that left there before they were here. Bounds hold if a clock ran evenly within a stretch; they are not an estimate.",
        units::count(clocks.pairs_out as u64),
        units::count(clocks.pairs_back as u64)
    )];
    if let (Some(bound), Some(fits)) = (clocks.stated_bound_s, clocks.stated_bound_fits) {
        below.push(if fits {
            format!("Narrowed by the bound given: the clocks differ by at most {}.", units::seconds(bound))
        } else {
            format!(
                "The bound given (at most {}) contradicts the pairs and is not used.",
                units::seconds(bound)
            )
        });
    }
    Table {
        title: if report.summary.hosts.is_empty() {
            "The server's clock against the client's".to_owned()
        } else {
            "The server's clock against the first load host's".to_owned()
        },
        head: [
            "stretch of the run",
            "offset in its middle (server − client)",
            "half width",
            "drift (ppm)",
            "step before it",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows: rows.collect(),
        below,
    }
}

fn drift(s: &Stretch) -> String {
    format!("{:.1} … {:.1}", s.drift_lo_ppm, s.drift_hi_ppm)
}
