//! Tables of where the time went: TTFT and E2E as parts, at the mean, around percentiles, and by what
//! requests have in common. This file must not know how a part was found.

use std::fmt::Write as _;

use super::tables::Table;
use crate::metric::Metric;
use crate::record::correlated::{Breakdown, BreakdownColumn, Part, PartRow};
use crate::units::{self, milliseconds};

/// The table of one breakdown; without rows where nothing is known. `next`: what would tell more.
pub fn table(breakdown: &Breakdown, next: Option<String>) -> Table {
    let what = short(breakdown.of);
    let mut below = vec![format!(
        "Evidence: {}; {} of {} requests with {}. {}. In brackets: the 95 % interval of the mean, over requests.",
        breakdown.source.name(),
        units::count(breakdown.n as u64),
        units::count(breakdown.n_total as u64),
        if breakdown.of == Metric::E2e { "an E2E" } else { "a TTFT" },
        breakdown.rule
    )];
    if breakdown.columns.iter().flat_map(|c| &c.parts).any(|p| p.bounds.is_some()) {
        below.push(
            "`a … b`: the evidence leaves the mean open between these; no request narrows it.".to_owned(),
        );
    }
    below.extend(breakdown.lacking.as_ref().map(|why| format!("{why}.")));
    below.extend(next);
    Table {
        title: match breakdown.of {
            Metric::E2e => "Where the whole duration (E2E) went".to_owned(),
            _ => "Where the time to first token went".to_owned(),
        },
        below,
        ..grid(&format!("part of {what}"), &format!("= {what}"), &breakdown.columns)
    }
}

/// The same by prompt length, by concurrency and by the time of the run: a table each.
pub fn by(breakdown: &Breakdown) -> Vec<Table> {
    let what = short(breakdown.of);
    breakdown
        .by
        .iter()
        .map(|by| Table {
            title: format!("{what} by {}", by.what),
            ..grid(&format!("part of {what}"), &format!("= {what}"), &by.columns)
        })
        .collect()
}

/// `TTFT: queue is 95 % of the mean (520.5 of 546.3 ms)`.
pub fn chief(of: &Breakdown) -> Option<String> {
    let mean = of.columns.first()?;
    let inside = mean.parts.iter().filter(|p| p.row.inside());
    let most = inside.max_by(|a, b| a.mean_s.total_cmp(&b.mean_s))?;
    Some(format!(
        "{}: {} is {} of the mean ({} of {} ms)",
        short(of.of),
        most.row.name(),
        units::percent(most.mean_s / mean.total_s),
        milliseconds(most.mean_s),
        milliseconds(mean.total_s)
    ))
}

fn short(of: Metric) -> &'static str {
    if of == Metric::E2e { "E2E" } else { "TTFT" }
}

fn grid(corner: &str, total: &str, columns: &[BreakdownColumn]) -> Table {
    let mut head = vec![corner.to_owned()];
    head.extend(columns.iter().map(|c| format!("{} (ms, n {})", c.at, units::count(c.n as u64))));
    head.push("how".to_owned());
    let mut rows = Vec::new();
    for row in PartRow::ALL {
        let cells: Vec<Option<&Part>> =
            columns.iter().map(|c| c.parts.iter().find(|p| p.row == row)).collect();
        let Some(first) = cells.iter().flatten().next() else { continue };
        let mut line = vec![row.name().to_owned()];
        line.extend(cells.iter().map(|c| c.map_or_else(|| "–".to_owned(), cell)));
        line.push(how(first, cells.first().and_then(|c| *c)));
        rows.push(line);
    }
    if !rows.is_empty() {
        let mut line = vec![total.to_owned()];
        line.extend(columns.iter().map(|c| milliseconds(c.total_s)));
        line.push("sum of the parts inside".to_owned());
        rows.push(line);
    }
    Table { head, rows, ..Table::default() }
}

fn cell(part: &Part) -> String {
    if let Some(b) = part.bounds {
        return format!("{} … {}", milliseconds(b.lo_s), milliseconds(b.hi_s));
    }
    let mut text = milliseconds(part.mean_s);
    // An interval narrower than what is printed says nothing more.
    if let Some(i) = part.interval.filter(|i| milliseconds(i.lo_s) != milliseconds(i.hi_s)) {
        let _ = write!(text, " [{}, {}]", milliseconds(i.lo_s), milliseconds(i.hi_s));
    }
    text
}

fn how(part: &Part, at_the_mean: Option<&Part>) -> String {
    let mut how = match (part.bounds, part.measured) {
        (Some(_), _) => "within bounds",
        (None, true) => "measured",
        (None, false) => "by subtraction",
    }
    .to_owned();
    if !part.row.inside() {
        how.push_str(", beside it");
    }
    let negative = at_the_mean.map_or(0, |p| p.n_negative);
    if negative > 0 {
        let _ = write!(how, ", {negative} negative");
    }
    how
}
