//! Conversations, turn by turn: how the time to first token changes as what is sent grows. This file must
//! not know how a conversation is held.

use std::collections::BTreeMap;

use super::Report;
use super::tables::{Table, counted, show};
use crate::metric::Unit;
use crate::record::{RequestRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::{bootstrap, moments};
use crate::units;

/// Seeds the intervals: the same records give the same table.
const SEED: u64 = 0;
/// Turns beyond these are put together.
const MOST_ROWS: u32 = 12;

/// A row for each turn; without rows where there are no conversations.
pub fn table(report: &Report<'_>) -> Table {
    of(report.correlated.rows.iter().map(|row| &row.client))
}

fn of<'a>(rows: impl Iterator<Item = &'a RequestRow>) -> Table {
    let mut turns: BTreeMap<u32, Vec<&RequestRow>> = BTreeMap::new();
    for row in rows.filter(|row| row.status == Status::Ok) {
        if let Some(turn) = row.turn {
            turns.entry(turn.min(MOST_ROWS)).or_default().push(row);
        }
    }
    let knows_cached = turns.values().flatten().any(|row| row.cached_input_tokens.is_some());
    let mut head: Vec<String> =
        ["turn", "TTFT", "n", "prompt tokens"].into_iter().map(str::to_owned).collect();
    if knows_cached {
        head.push("of them cached".to_owned());
    }
    head.push("output tokens".to_owned());
    let rows = turns.iter().map(|(turn, rows)| line(*turn, rows, knows_cached)).collect();
    let mut below = vec![
        "Successful requests; TTFT: mean with its 95 % interval; tokens: means, as the server counts them."
            .to_owned(),
    ];
    if knows_cached {
        below.push("Cached: Σ `cached_tokens` / Σ `prompt_tokens` of the answers' usage.".to_owned());
    }
    Table { title: "By turn of the conversation".to_owned(), head, rows, below }
}

fn line(turn: u32, rows: &[&RequestRow], knows_cached: bool) -> Vec<String> {
    let ttft: Vec<f64> = rows.iter().filter_map(|row| row.ttft_s).collect();
    let estimate = bootstrap::mean(&ttft, Blocks::Rows, SEED);
    let mean = |of: fn(&RequestRow) -> Option<u32>| {
        let values: Vec<f64> = rows.iter().filter_map(|row| of(row)).map(f64::from).collect();
        moments::mean(&values).map_or_else(|| "–".to_owned(), |mean| format!("{mean:.1}"))
    };
    let name = if turn == MOST_ROWS { format!("{turn} and later") } else { turn.to_string() };
    let mut cells = vec![
        name,
        estimate.as_ref().map_or_else(|| "–".to_owned(), |e| show(e, Unit::Seconds)),
        estimate.as_ref().map_or_else(|| "0".to_owned(), counted),
        mean(|row| row.input_tokens),
    ];
    if knows_cached {
        let both = rows.iter().filter_map(|row| row.cached_input_tokens.zip(row.input_tokens));
        let (cached, all) =
            both.fold((0.0, 0.0), |(cached, all), (c, n)| (cached + f64::from(c), all + f64::from(n)));
        cells.push(if all > 0.0 { units::percent(cached / all) } else { "–".to_owned() });
    }
    cells.push(mean(|row| row.output_tokens));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;

    #[test]
    fn each_turn_has_its_line() {
        let row = |index: u64, turn: u32, input: u32| RequestRow {
            session: Some(index),
            turn: Some(turn),
            input_tokens: Some(input),
            cached_input_tokens: Some(input / 2),
            ..fixture::request(index)
        };
        let failed = RequestRow { status: Status::Cut, ..row(9, 2, 999) };
        let rows = [row(0, 1, 10), row(1, 1, 30), row(2, 2, 100), failed];
        let table = of(rows.iter());
        assert_eq!(table.head, ["turn", "TTFT", "n", "prompt tokens", "of them cached", "output tokens"]);
        let seen: Vec<[&str; 4]> =
            table.rows.iter().map(|r| [&r[0], &r[2], &r[3], &r[4]].map(String::as_str)).collect();
        assert_eq!(seen, [["1", "2", "20.0", "50.0 %"], ["2", "1", "100.0", "50.0 %"]]);
        assert!(of([fixture::request(0)].iter()).rows.is_empty());
    }
}
