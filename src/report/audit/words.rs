//! An audit in words: its verdict, its warnings, and what its cells are called. This file must not know how
//! a figure was made.

use crate::metric::{Metric, Unit};
use crate::record::audit::{Arm, Cell, CellFound, Figure, Found, OrderEffect, Outside};
use crate::report::{Report, verdict};
use crate::stats::Estimate;
use crate::units::{self, Scale};

/// What a reader wants to know first, a sentence each; nothing of a run that is no audit.
pub fn verdict(report: &Report<'_>) -> Vec<String> {
    let Some(found) = report.audit else { return Vec::new() };
    let of = [Of::Metric(Metric::Ttft), Of::Outside, Of::Metric(Metric::ItlMean)];
    let mut said: Vec<String> = of.into_iter().flat_map(|of| sentences(found, of)).collect();
    let causes = &report.correlated.verdicts;
    said.extend(found.arms.iter().filter_map(|arm| {
        let causes = if arm.arm == Arm::Through { causes.as_slice() } else { &[] };
        Some(format!(
            "{}: {}",
            arm.arm.as_str(),
            verdict::of(&arm.breakdown, arm.hops.ttft.as_ref(), causes)?
        ))
    }));
    said.extend(failures(found));
    said
}

/// The load, as a person would say it.
pub fn load_in_words(found: &Found) -> String {
    let most = found.cells.iter().map(|cell| cell.rounds).max().unwrap_or(0);
    format!(
        "{} cells, up to {most} rounds of each; in each round {} requests of each user by each way, begun within {} s",
        found.cells.len(),
        found.requests_per_user,
        found.spread_s
    )
}

/// Warnings that only an audit has.
pub fn warnings(found: &Found) -> Vec<String> {
    let mut said = Vec::new();
    for effect in found.order.iter().filter(|_| !found.salted) {
        let e = &effect.second_less_first;
        if e.lo > 0.0 || e.hi < 0.0 {
            said.push(format!(
                "{}: coming second in a round changes TTFT by {}: the server's prefix cache may know the first leg's prompts; both orders are equally frequent, so that it falls on both arms alike, but `--salt` takes it out",
                whose(effect, found),
                bracketed(e, Unit::Seconds)
            ));
        }
    }
    let few: Vec<String> = found
        .cells
        .iter()
        .filter_map(|cell| Some(format!("{} ({})", name(&cell.cell, found), cell.too_few.as_ref()?)))
        .collect();
    if !few.is_empty() {
        said.push(format!("too little for a conclusion: {}", few.join("; ")));
    }
    let uneven: usize = found.cells.iter().map(|cell| cell.uneven).sum();
    if uneven > 0 {
        let n = |n: usize| units::count(n as u64);
        said.push(format!(
            "{} of {} pairs have answers of unequal length: Request Duration and throughput differ by that, too",
            n(uneven),
            n(found.cells.iter().map(|cell| cell.pairs).sum())
        ));
    }
    if !found.own_prompts {
        said.push("the dataset has fewer prompts than there are pairs: later rounds send earlier ones' again, which a prefix cache may know".to_owned());
    }
    said
}

/// What a sentence is about.
#[derive(Clone, Copy)]
pub(in crate::report) enum Of {
    Metric(Metric),
    /// TTFT without what the server, or the engine, took itself.
    Outside,
}

impl Of {
    fn name(self, cells: &[&CellFound]) -> Option<String> {
        let outside = cells.iter().find_map(|cell| cell.outside).map(|(outside, _)| outside);
        match self {
            Of::Metric(metric) => Some(metric.name().to_owned()),
            Of::Outside => outside.map(|outside| ttft(Some(outside))),
        }
    }

    pub(in crate::report) fn figure(self, cell: &CellFound) -> Option<Figure> {
        match self {
            Of::Metric(metric) => cell.figures.iter().find(|figure| figure.metric == metric).copied(),
            Of::Outside => cell.outside.map(|(_, figure)| figure),
        }
    }
}

/// TTFT, and what was taken off.
pub(in crate::report) fn ttft(outside: Option<Outside>) -> String {
    let off = match outside {
        None => "",
        Some(Outside::Server) => " outside the server",
        Some(Outside::Engine) => " without queue and prefill",
    };
    format!("{}{off}", Metric::Ttft.name())
}

/// One sentence for each group of cells that differ in nothing but their concurrency.
fn sentences(found: &Found, of: Of) -> Vec<String> {
    let mut groups: Vec<(Cell, Vec<&CellFound>)> = Vec::new();
    for cell in &found.cells {
        let same = Cell { concurrency: 0, ..cell.cell };
        match groups.iter_mut().find(|(group, _)| *group == same) {
            Some((_, cells)) => cells.push(cell),
            None => groups.push((same, vec![cell])),
        }
    }
    let sentence = |(group, cells): &(Cell, Vec<&CellFound>)| {
        let parts: Vec<String> = cells.iter().map(|cell| at(cell, of)).collect();
        let which = describe(group, found);
        let which = if which.is_empty() { which } else { format!(" ({which})") };
        Some(format!("through adds to {}{which}: {}", of.name(cells)?, parts.join("; ")))
    };
    groups.iter().filter_map(sentence).collect()
}

/// `0.42 ms [0.38, 0.47] at concurrency 1`.
fn at(cell: &CellFound, of: Of) -> String {
    let at = format!("at concurrency {}", cell.cell.concurrency);
    let Some(figure) = of.figure(cell) else { return format!("nothing measured {at}") };
    let e = &figure.added_mean;
    let shown = bracketed(e, Unit::Seconds);
    match &cell.too_few {
        Some(why) => format!("{} {at}, no conclusion (too few: {why})", units::seconds(e.value)),
        None if !e.is_bounded() => format!("{} {at} (no interval)", units::seconds(e.value)),
        None if e.lo > 0.0 => format!("{shown} {at}"),
        None if e.hi < 0.0 => format!("{shown} {at}: it is shorter through"),
        None => format!("nothing shown {at} ({shown})"),
    }
}

fn failures(found: &Found) -> Option<String> {
    let sum = |arm: Arm| found.cells.iter().filter_map(|c| c.failed.get(arm.number())).sum::<usize>();
    let begun: usize = found.cells.iter().map(|c| c.begun).sum();
    let [direct, through] = Arm::BOTH.map(sum);
    (direct + through > 0).then(|| {
        let n = |n: usize| units::count(n as u64);
        format!("failed: {} of {} requests through, {} of as many direct", n(through), n(begun), n(direct))
    })
}

/// A cell by what tells it from the others.
pub fn name(cell: &Cell, found: &Found) -> String {
    let [sizes, connections] = varied(found);
    cell_words(cell, true, sizes, connections)
}

/// What cells of several concurrencies have in common and others have not.
fn describe(cell: &Cell, found: &Found) -> String {
    let [sizes, connections] = varied(found);
    cell_words(cell, false, sizes, connections)
}

/// Whether there are several prompt sizes, several ways to connect.
pub(in crate::report) fn varied(found: &Found) -> [bool; 2] {
    let first = found.cells.first().map(|cell| cell.cell);
    let differs = |by: &dyn Fn(&Cell, &Cell) -> bool| {
        first.is_some_and(|first| found.cells.iter().any(|cell| by(&cell.cell, &first)))
    };
    [differs(&|a, b| a.prompt_tokens != b.prompt_tokens), differs(&|a, b| a.connections != b.connections)]
}

pub(in crate::report) fn cell_words(cell: &Cell, concurrency: bool, size: bool, connections: bool) -> String {
    let mut words = Vec::new();
    if concurrency {
        words.push(format!("concurrency {}", cell.concurrency));
    }
    if let Some(tokens) = cell.prompt_tokens.filter(|_| size) {
        words.push(format!("{} prompt tokens", units::count(u64::from(tokens))));
    }
    if connections {
        words.push(cell.connections.as_str().to_owned());
    }
    words.join(", ")
}

/// `0.42 ms [0.38, 0.47]`; of what the data do not bound, only the value.
pub(in crate::report) fn interval(e: &Estimate, unit: Unit) -> String {
    if e.is_bounded() {
        bracketed(e, unit)
    } else {
        format!("{} (no interval)", units::quantity(e.value, unit))
    }
}

pub(in crate::report) fn bracketed(e: &Estimate, unit: Unit) -> String {
    let scale = Scale::of(unit, e.value.abs().max(e.lo.abs()).max(e.hi.abs()));
    format!("{} [{}, {}]", scale.show(e.value), scale.number(e.lo), scale.number(e.hi))
}

pub(in crate::report) fn whose(effect: &OrderEffect, found: &Found) -> String {
    match effect.prompt_tokens.filter(|_| varied(found)[0]) {
        Some(tokens) => format!("{}, {} prompt tokens", effect.arm.as_str(), units::count(u64::from(tokens))),
        None => effect.arm.as_str().to_owned(),
    }
}
