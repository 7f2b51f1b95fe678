//! Runs side by side as a page: what they were, what is not alike, client and server of each, every figure
//! against the baseline's, gates. This file must not know how a figure was made.

use super::compare_words::{self as words, Unified, ratio, show, title, verdict};
use super::page::Page;
use super::tables::Table;
use crate::metric::{Metric, Unit};
use crate::record::comparison::{Against, Comparison, Figure, RunFacts, Unlike};
use crate::record::measure::{Measure, Quantity, Stat};
use crate::stats::Estimate;
use crate::units;

/// The page of a comparison: `all` of its figures, or those that people ask for first.
pub fn page(c: &Comparison, all: bool) -> Page {
    let names: Vec<&str> = c.runs.iter().map(|run| run.name.as_str()).collect();
    let base = names.get(c.baseline).copied().unwrap_or_default();
    let others = || names.iter().enumerate().filter(|(i, _)| *i != c.baseline);
    let mut first: Vec<String> = c.gates.iter().map(|found| format!("gate {}", words::gate(found))).collect();
    first.extend(others().map(|(i, name)| words::sentence(name, base, i, &c.figures)));
    let mut tables = vec![unlike(&c.unlike, &names), runs(c, &names), sides(c, &names)];
    tables.extend(others().map(|(i, _)| against(c, &names, i, all)));
    let mut last = Vec::new();
    for run in &c.runs {
        last.extend(run.warnings.iter().map(|warning| format!("warning of {}: {warning}", run.name)));
    }
    last.push(HOW.to_owned());
    Page::of(format!("Side by side: {}", names.join(", ")), first, tables, last)
}

const HOW: &str = "Intervals are 95 %, and know that requests depend on each other: means and rates by the studentised block bootstrap (rates over slices of time), percentiles by order statistics at the effective n. Differences and ratios of independent runs put the bounds of both sides together (Zou and Donner), those of pairs resample the pairs.";

/// Conditions that differ.
pub(super) fn unlike(list: &[Unlike], names: &[&str]) -> Table {
    let rows = list.iter().map(|unlike| {
        let so = unlike.so.clone().unwrap_or_default();
        [unlike.what.clone()].into_iter().chain(unlike.values.iter().cloned()).chain([so]).collect()
    });
    Table {
        title: "Not like with like".to_owned(),
        head: [""].into_iter().chain(names.iter().copied()).chain(["so"]).map(str::to_owned).collect(),
        rows: rows.collect(),
        below: Vec::new(),
    }
}

fn runs(c: &Comparison, names: &[&str]) -> Table {
    let facts: Vec<&[(String, String)]> = c.runs.iter().map(|run| run.facts.as_slice()).collect();
    facts_table("Runs", &facts, names)
}

/// Label by label; what only some have is `–` of the others.
pub(super) fn facts_table(name: &str, facts: &[&[(String, String)]], names: &[&str]) -> Table {
    let mut labels: Vec<&str> = Vec::new();
    for (label, _) in facts.iter().flat_map(|facts| facts.iter()) {
        if !labels.contains(&label.as_str()) {
            labels.push(label);
        }
    }
    let row = |label: &&str| {
        let of = |facts: &&[(String, String)]| {
            let found = facts.iter().find(|(l, _)| l == label);
            found.map_or_else(|| NONE.to_owned(), |(_, value)| value.clone())
        };
        [(*label).to_owned()].into_iter().chain(facts.iter().map(of)).collect()
    };
    Table {
        title: name.to_owned(),
        head: [""].into_iter().chain(names.iter().copied()).map(str::to_owned).collect(),
        rows: labels.iter().map(row).collect(),
        below: Vec::new(),
    }
}

/// The table that the tool exists for, of several platforms: each by its client and by its server.
fn sides(c: &Comparison, names: &[&str]) -> Table {
    let metrics = c.runs.first().map(|run| run.headline.iter().map(|row| row.metric).collect::<Vec<_>>());
    let row = |metric: Metric| {
        let of = |run: &RunFacts| {
            let row = run.headline.iter().find(|row| row.metric == metric);
            [row.and_then(|row| row.tool), row.and_then(|row| row.server)]
        };
        let cells: Vec<Option<Estimate>> = c.runs.iter().flat_map(of).collect();
        let known: Vec<Estimate> = cells.iter().flatten().copied().collect();
        let unit = Unified::of(&known, quantity(metric.unit()));
        let shown = cells.iter().map(|cell| cell.map_or_else(|| NONE.to_owned(), |e| unit.show(&e)));
        [unit.head(metric.name())].into_iter().chain(shown).collect()
    };
    // What the server's side really is, where it is not the metric itself.
    let really = c.runs.iter().flat_map(|run| {
        run.headline.iter().filter(|row| row.server.is_some()).filter_map(|row| {
            let (_, really) = row.title.split_once(" | ")?;
            Some(format!("{} by the server of {}: {really}.", row.metric.name(), run.name))
        })
    });
    let heads = names.iter().flat_map(|name| [format!("{name}: client"), format!("{name}: server")]);
    Table {
        title: "Client and server".to_owned(),
        head: [String::new()].into_iter().chain(heads).collect(),
        rows: metrics.into_iter().flatten().map(row).collect(),
        below: vec!["Means with 95 % intervals; both sides of a run by the same estimator (throughput and latency between tokens are ratios of sums). A server's figure without interval is its metrics endpoint's, exact for the run.".to_owned()].into_iter().chain(really).collect(),
    }
}

fn quantity(unit: Unit) -> Quantity {
    match unit {
        Unit::Seconds => Quantity::Seconds,
        Unit::TokensPerSecond => Quantity::TokensPerSecond,
    }
}

/// Every figure of one run against the baseline's. Those that people ask for first are in rows that fit a terminal.
fn against(c: &Comparison, names: &[&str], i: usize, all: bool) -> Table {
    let (base, name) =
        (names.get(c.baseline).copied().unwrap_or_default(), names.get(i).copied().unwrap_or_default());
    let row = if all { whole_row } else { short_row };
    let shown = c.figures.iter().filter(|figure| all || is_asked_first(figure));
    let rows =
        shown.filter_map(|figure| Beside::of(figure, c.baseline, i)).map(|beside| row(&beside)).collect();
    let mut below: Vec<String> =
        c.pairing.get(i).cloned().flatten().into_iter().map(|p| sentence(&p.why)).collect();
    let what = if all {
        format!("Difference: {name} − {base}; ratio: {name} / {base}.")
    } else {
        format!(
            "Percent: of {base}. n and effective n: {base}|{name}, where they are not the same; no effective n: it is n."
        )
    };
    below.push(format!("{what} {}", by_chance(c.comparisons)));
    below.extend((!all).then(|| "All figures, differences and ratios: compare.md.".to_owned()));
    let whole: &[&str] = &["", base, name, "n", "difference", "ratio", "verdict"];
    let short: &[&str] = &["", base, name, "n", "eff. n", "verdict"];
    let head = (if all { whole } else { short }).iter().map(|head| (*head).to_owned()).collect();
    Table { title: format!("{name} against {base}"), head, rows, below }
}

/// Of the client's latencies the mean, the median and the tail; of the server's the mean.
fn is_asked_first(figure: &Figure) -> bool {
    let client = matches!(figure.measure, Measure::Ttft | Measure::Itl | Measure::Tpot | Measure::E2e);
    match figure.key.stat {
        Stat::Mean => !matches!(figure.measure, Measure::InputTokens | Measure::OutputTokens),
        Stat::Percentile(p) => client && !(89.0..91.0).contains(&p),
        Stat::Whole => figure.measure != Measure::TotalThroughput,
    }
}

/// A figure of two runs.
struct Beside<'a> {
    figure: &'a Figure,
    first: Option<Estimate>,
    second: Option<Estimate>,
    against: Option<Against>,
}

impl<'a> Beside<'a> {
    /// `None` where neither run has it.
    fn of(figure: &'a Figure, base: usize, i: usize) -> Option<Self> {
        let (first, second) = (figure.of.get(base).copied().flatten(), figure.of.get(i).copied().flatten());
        let against = figure.against.get(i).copied().flatten();
        (first.is_some() || second.is_some()).then_some(Self { figure, first, second, against })
    }

    fn quantity(&self) -> Quantity {
        self.figure.measure.about().quantity
    }

    /// What is made of both.
    fn told(&self, part: impl Fn(&Against) -> Option<String>) -> String {
        self.against.as_ref().and_then(part).unwrap_or_else(|| NONE.to_owned())
    }

    /// `300`, `300 | 280`: how many each side's figure is of; and how many independent ones those are worth, where fewer.
    fn counts(&self, between: &str) -> (String, String) {
        if let Some(pairs) = self.against.and_then(|against| against.pairs) {
            return (format!("{} pairs", units::count(pairs as u64)), NONE.to_owned());
        }
        let both = [self.first, self.second];
        let n = both.map(|e| match e {
            None => "0".to_owned(),
            // Another tool's figure, which does not say of how many.
            Some(e) if e.n == 0 => NONE.to_owned(),
            Some(e) => units::count(e.n as u64),
        });
        let eff = both.map(|e| match e {
            Some(e) if e.is_dependent() => units::count(e.n_eff.round() as u64),
            _ => NONE.to_owned(),
        });
        let one = |[a, b]: [String; 2]| if a == b { a } else { format!("{a}{between}{b}") };
        (one(n), one(eff))
    }
}

fn whole_row(b: &Beside<'_>) -> Vec<String> {
    let quantity = b.quantity();
    let shown = |e: Option<Estimate>| e.map_or_else(|| NONE.to_owned(), |e| show(&e, quantity));
    let n = match b.counts(" | ") {
        (n, eff) if eff == NONE => n,
        (n, eff) => format!("{n} (eff. {eff})"),
    };
    vec![
        title(b.figure.key),
        shown(b.first),
        shown(b.second),
        n,
        b.told(|a| Some(show(&a.difference, quantity))),
        b.told(|a| a.ratio.as_ref().map(ratio)),
        b.told(|a| Some(verdict(b.figure.measure, a))),
    ]
}

/// Without difference and ratio, of which the verdict says enough.
fn short_row(b: &Beside<'_>) -> Vec<String> {
    let known: Vec<Estimate> = [b.first, b.second].into_iter().flatten().collect();
    let unit = Unified::of(&known, b.quantity());
    let shown = |e: Option<Estimate>| e.map_or_else(|| NONE.to_owned(), |e| unit.show(&e));
    let (n, eff) = b.counts("|");
    vec![
        unit.head(&title(b.figure.key)),
        shown(b.first),
        shown(b.second),
        n,
        eff,
        b.told(|a| Some(verdict(b.figure.measure, a))),
    ]
}

const NONE: &str = "–";

/// The first letter of a sentence, and its end.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str())
}

/// So many looks, of which each may err.
fn by_chance(comparisons: usize) -> String {
    let expected = comparisons as f64 * (1.0 - crate::stats::LEVEL);
    format!(
        "{} differences were looked at, each at 95 %: of as many without any, about {expected:.1} would be told by chance.",
        units::count(comparisons as u64)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::comparison::Told;

    fn e(value: f64, lo: f64, hi: f64) -> Estimate {
        Estimate::within(value, lo, hi, 100)
    }

    #[test]
    fn a_verdict_says_no_more_than_its_interval() {
        let said = |measure, difference, ratio, told| {
            verdict(measure, &Against { difference, ratio, pairs: None, told })
        };
        let lines = [
            said(Measure::Ttft, e(0.036, 0.02, 0.05), Some(e(1.12, 1.08, 1.162)), Told::More),
            said(Measure::Ttft, e(-0.036, -0.05, -0.02), Some(e(0.88, 0.83, 0.93)), Told::Less),
            said(Measure::Ttft, e(0.3, 0.2, 0.4), Some(e(2.31, 2.1, 2.5)), Told::More),
            said(Measure::OutputThroughput, e(50.0, 20.0, 80.0), Some(e(1.1, 1.04, 1.16)), Told::More),
            said(Measure::OutputThroughput, e(50.0, 20.0, 80.0), Some(e(3.1, 3.04, 3.16)), Told::More),
            said(Measure::Ttft, e(0.001, -0.01, 0.012), Some(e(1.003, 0.97, 1.04)), Told::Nothing),
            said(Measure::TareTtft, e(-0.0002, -0.0003, -0.0001), None, Told::Less),
            said(Measure::TareTtft, e(0.0002, -0.0001, 0.0003), None, Told::Nothing),
            said(Measure::Ttft, e(0.3, 0.2, f64::INFINITY), Some(e(1.3, 1.2, f64::INFINITY)), Told::More),
            said(Measure::Ttft, e(0.3, -0.2, f64::INFINITY), Some(e(1.3, 0.9, f64::INFINITY)), Told::Nothing),
            said(Measure::ServerTtft, Estimate::unbounded(0.3, 9), None, Told::Unknown),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        12.0 % longer [8.00, 16.2]
        12.0 % shorter [7.00, 17.0]
        2.31 × as long [2.10, 2.50]
        10.0 % more [4.00, 16.0]
        3.10 × as much [3.04, 3.16]
        not told apart (±4.00 %)
        200.0 µs shorter [100.0, 300.0]
        not told apart (±300.0 µs)
        30.0 % longer (≥ 20.0)
        not told apart (n too small)
        no interval
        ");
    }

    #[test]
    fn a_short_row_names_its_unit_once_and_by_the_smaller_of_both() {
        let row = |measure, stat, first: Estimate, second: Estimate| {
            let key = crate::record::measure::Key { measure, stat };
            let of = vec![Some(first), Some(second)];
            let figure = Figure { key, measure, definition: "", of, against: vec![None, None] };
            short_row(&Beside::of(&figure, 0, 1).unwrap()).join(" / ")
        };
        let rows = [
            row(Measure::Ttft, Stat::Mean, e(0.04, 0.035, 0.045), e(2.1, 2.0, 2.25).effective(31.0)),
            row(Measure::ServerQueue, Stat::Mean, e(8e-6, 7.5e-6, 9e-6), e(0.0, 0.0, 0.0)),
            row(
                Measure::Tpot,
                Stat::Percentile(99.0),
                e(0.011, 0.0109, f64::INFINITY),
                e(0.01, 0.0099, 0.0105),
            ),
            row(Measure::UserThroughput, Stat::Mean, e(85.0, 84.0, 86.0), e(87.0, 86.0, 88.0)),
            row(Measure::OutputThroughput, Stat::Whole, e(683.5, 587.3, 811.1), e(694.3, 637.2, 819.9)),
            row(Measure::Failed, Stat::Whole, e(0.0, 0.0, 2.34), e(1.0, 0.5, 3.0)),
        ];
        insta::assert_snapshot!(rows.join("\n"), @r"
        TTFT, mean, ms / 40.00 [35.00, 45.00] / 2,100 [2,000, 2,250] / 100 / –|31 / –
        Server: queue, mean, µs / 8.00 [7.50, 9.00] / 0.000 [0.000, 0.000] / 100 / – / –
        TPOT, p99, ms / 11.00 (≥ 10.90) / 10.00 [9.90, 10.50] / 100 / – / –
        Token Throughput, mean, tok/s / 85.00 [84.00, 86.00] / 87.00 [86.00, 88.00] / 100 / – / –
        Output tokens/s / 683.5 [587.3, 811.1] / 694.3 [637.2, 819.9] / 100 / – / –
        Failed requests, % / 0.000 [0.000, 2.34] / 1.00 [0.500, 3.00] / 100 / – / –
        ");
    }
}
