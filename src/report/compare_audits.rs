//! Audits side by side as a page: a row a gateway, what it adds at each concurrency, its verdicts and what
//! mends it. This file must not know how a figure was made.

use super::audit::words::{Of, cell_words, interval, ttft};
use super::compare;
use super::page::Page;
use super::tables::Table;
use crate::metric::{Metric, Unit};
use crate::record::audit::{Cell, CellFound};
use crate::record::comparison::{AuditFacts, Audits};
use crate::record::verdicts::VerdictRow;
use crate::units;

/// The page of audits: `all` of what was found, or what people ask for first, as wide as a terminal.
pub fn page(audits: &Audits, all: bool) -> Page {
    let names: Vec<&str> = audits.audits.iter().map(|audit| audit.name.as_str()).collect();
    let facts: Vec<&[(String, String)]> = audits.audits.iter().map(|a| a.facts.as_slice()).collect();
    let tables = vec![
        compare::unlike(&audits.unlike, &names),
        at_a_glance(audits, all),
        if all { everything(audits) } else { Table::default() },
        verdicts(audits, all),
        compare::facts_table("Audits", &facts, &names),
    ];
    let mut last = Vec::new();
    for audit in &audits.audits {
        last.extend(audit.warnings.iter().map(|warning| format!("warning of {}: {warning}", audit.name)));
    }
    if !all {
        last.push("Cell by cell, and what each gateway does to the streams in full: compare.md.".to_owned());
    }
    last.push("Added: through − direct of a pair, with its 95 % interval over rounds. Audits are runs of their own: what one gateway adds is measured against its own direct requests, and gateways are not compared pair by pair.".to_owned());
    Page::of(format!("Side by side: {}", names.join(", ")), Vec::new(), tables, last)
}

/// Cells of all audits, in the order of their concurrency.
fn cells(audits: &Audits) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for cell in audits.audits.iter().flat_map(|audit| &audit.found.cells) {
        if !cells.contains(&cell.cell) {
            cells.push(cell.cell);
        }
    }
    cells.sort_by_key(|cell| (cell.prompt_tokens, cell.connections, cell.concurrency));
    cells
}

/// Which of prompt size and connections differ.
fn varied(cells: &[Cell]) -> [bool; 2] {
    let differs =
        |of: &dyn Fn(&Cell, &Cell) -> bool| cells.windows(2).any(|w| matches!(w, [a, b] if of(a, b)));
    [differs(&|a, b| a.prompt_tokens != b.prompt_tokens), differs(&|a, b| a.connections != b.connections)]
}

/// A row a gateway, a column a cell.
fn at_a_glance(audits: &Audits, all: bool) -> Table {
    let cells = cells(audits);
    let [sizes, connections] = varied(&cells);
    // One figure for all, or gateways would be compared by different ones.
    let outside = audits.audits.iter().all(|a| a.found.cells.iter().all(|cell| cell.outside.is_some()));
    let of = if outside { Of::Outside } else { Of::Metric(Metric::Ttft) };
    let kinds: Vec<_> = audits
        .audits
        .iter()
        .flat_map(|a| &a.found.cells)
        .filter_map(|c| c.outside)
        .map(|(kind, _)| kind)
        .collect();
    let same = kinds.windows(2).all(|w| matches!(w, [a, b] if a == b));
    let of = if same { of } else { Of::Metric(Metric::Ttft) };
    let what = match of {
        Of::Outside => ttft(kinds.first().copied()),
        Of::Metric(metric) => metric.name().to_owned(),
    };
    let found = |audit: &AuditFacts, cell: &Cell| -> Option<CellFound> {
        audit.found.cells.iter().find(|found| found.cell == *cell).cloned()
    };
    // Of how many pairs, once for a column where it is the same in all rows.
    let pairs: Vec<Option<usize>> = cells
        .iter()
        .map(|cell| {
            let each =
                audits.audits.iter().filter_map(|audit| Some(of.figure(&found(audit, cell)?)?.added_mean.n));
            let each: Vec<usize> = each.collect();
            each.first().copied().filter(|first| each.iter().all(|n| n == first))
        })
        .collect();
    let row = |audit: &AuditFacts| {
        let at = |(cell, pairs): (&Cell, &Option<usize>)| {
            found(audit, cell).map_or_else(|| "–".to_owned(), |found| added(&found, of, pairs.is_none()))
        };
        [audit.name.clone()]
            .into_iter()
            .chain(cells.iter().zip(&pairs).map(at))
            .chain([in_short(&audit.verdicts, all)])
            .collect()
    };
    let heads = cells.iter().zip(&pairs).map(|(cell, pairs)| {
        let n = pairs.map_or_else(String::new, |n| format!(" ({} pairs)", units::count(n as u64)));
        format!("{}{n}", cell_words(cell, true, sizes, connections))
    });
    Table {
        title: format!("{what}: what each gateway adds"),
        head: ["gateway".to_owned()].into_iter().chain(heads).chain(["verdicts".to_owned()]).collect(),
        rows: audits.audits.iter().map(row).collect(),
        below: if outside {
            Vec::new()
        } else {
            vec!["Of the whole TTFT, the engine's own scatter included: not all audits have the server's own times (spans, in-band metrics) of their requests.".to_owned()]
        },
    }
}

/// The mean that is added; `pairs` says of how many.
fn added(cell: &CellFound, of: Of, pairs: bool) -> String {
    let Some(figure) = of.figure(cell) else { return "–".to_owned() };
    let e = figure.added_mean;
    let shown = interval(&e, Unit::Seconds);
    let n = if pairs { format!(" ({} pairs)", units::count(e.n as u64)) } else { String::new() };
    match &cell.too_few {
        Some(_) => format!("{}, too few for a conclusion{n}", units::seconds(e.value)),
        None if e.is_bounded() && e.lo <= 0.0 && e.hi >= 0.0 => format!("nothing shown, {shown}{n}"),
        None => format!("{shown}{n}"),
    }
}

/// Every cell of every audit.
fn everything(audits: &Audits) -> Table {
    let [sizes, connections] = varied(&cells(audits));
    let mut rows = Vec::new();
    for audit in &audits.audits {
        for cell in &audit.found.cells {
            let median =
                Of::Metric(Metric::Ttft).figure(cell).map(|f| interval(&f.added_median, Unit::Seconds));
            let mut row = vec![
                audit.name.clone(),
                cell_words(&cell.cell, true, sizes, connections),
                units::count(cell.pairs as u64),
                units::count(cell.rounds as u64),
                added(cell, Of::Metric(Metric::Ttft), false),
                median.unwrap_or_else(|| "–".to_owned()),
            ];
            let others = [Of::Outside, Of::Metric(Metric::ItlMean), Of::Metric(Metric::E2e)];
            row.extend(others.map(|of| added(cell, of, false)));
            let [direct, through] = cell.failed;
            row.push(format!("{} | {}", units::count(direct as u64), units::count(through as u64)));
            rows.push(row);
        }
    }
    Table {
        title: "What going through adds, cell by cell".to_owned(),
        head: [
            "gateway",
            "cell",
            "pairs",
            "rounds",
            "TTFT, mean",
            "TTFT, median",
            "TTFT outside the server, mean",
            "Inter-Token Latency, mean",
            "Request Duration, mean",
            "failed direct | through",
        ]
        .map(str::to_owned)
        .to_vec(),
        rows,
        below: Vec::new(),
    }
}

/// All verdicts of one gateway in one cell of a table.
fn in_short(verdicts: &[VerdictRow], all: bool) -> String {
    let one = |v: &VerdictRow| {
        let cost =
            v.at_stake.map_or_else(String::new, |stake| format!(", {}", units::seconds(stake.seconds.value)));
        let mends: Vec<String> = if all { named_remedies(v) } else { Vec::new() };
        let mends = if mends.is_empty() { String::new() } else { format!(": {}", mends.join(", ")) };
        format!("{}{cost}{mends}", v.kind.as_str())
    };
    if verdicts.is_empty() {
        "none".to_owned()
    } else {
        verdicts.iter().map(one).collect::<Vec<_>>().join("; ")
    }
}

/// The settings of the products that are known to be there.
fn named_remedies(v: &VerdictRow) -> Vec<String> {
    let known = |product: &str| v.products.iter().any(|named| named.eq_ignore_ascii_case(product));
    v.remedies.iter().filter(|r| known(r.product)).map(|r| format!("`{}`", r.setting)).collect()
}

fn verdicts(audits: &Audits, all: bool) -> Table {
    let rows = audits.audits.iter().flat_map(|audit| {
        audit.verdicts.iter().map(|v| {
            let stake = v.at_stake.map_or_else(
                || "–".to_owned(),
                |stake| format!("{} {}", stake.metric.name(), interval(&stake.seconds, Unit::Seconds)),
            );
            let mends: Vec<String> =
                v.remedies.iter().map(|r| format!("{}: `{}`", r.product, r.setting)).collect();
            let mends = if mends.is_empty() { "–".to_owned() } else { mends.join("; ") };
            let (who, kind, sure) =
                (audit.name.clone(), v.kind.as_str().to_owned(), v.certainty.as_str().to_owned());
            if all {
                let n = format!("{} of {}", units::count(v.n as u64), units::count(v.of as u64));
                vec![who, kind, v.what.clone(), n, stake, sure, mends]
            } else {
                vec![who, kind, stake, sure, mends]
            }
        })
    });
    let head: &[&str] = if all {
        &["gateway", "", "what", "requests", "at stake", "certainty", "what mends it"]
    } else {
        &["gateway", "", "at stake", "certainty", "what mends it"]
    };
    Table {
        title: "What each gateway does to the streams".to_owned(),
        head: head.iter().map(|&word| word.to_owned()).collect(),
        rows: rows.collect(),
        below: Vec::new(),
    }
}
