//! Which single requests a report draws: the slowest, one of each kind of failure, and ordinary ones to hold
//! them against. This file must not know how they are drawn.

use std::collections::{BTreeMap, BTreeSet};

use crate::record::{JoinedRow, Status};

/// So many of the slowest by each measure, and of the kinds of failures.
const SLOWEST: usize = 3;
const KINDS: usize = 6;

/// Rows by their number, each with what it was chosen for; in the order of choosing.
pub fn choose(rows: &[JoinedRow]) -> Vec<(usize, Vec<String>)> {
    let mut chosen = Chosen::default();
    let by_ttft = ranked(rows, |row| row.client.ttft_s);
    chosen.slowest("slowest TTFT", &by_ttft);
    chosen.slowest("largest tare", &ranked(rows, |row| Some(row.client.ttft_s? - row.server_ttft_s?)));
    chosen.slowest("slowest E2E", &ranked(rows, |row| row.client.e2e_s));
    chosen.slowest("slowest ITL", &ranked(rows, |row| row.client.itl_mean_s));
    let mut kinds: BTreeSet<(Status, &str)> = BTreeSet::new();
    for (n, row) in rows.iter().enumerate() {
        let c = &row.client;
        if c.status != Status::Ok && kinds.len() < KINDS {
            // Messages that differ in a number only are one kind.
            let said = c.error.as_deref().unwrap_or("").split(|c: char| c.is_ascii_digit()).next();
            if kinds.insert((c.status, said.unwrap_or(""))) {
                let what = if c.status == Status::InFlight { "not ended" } else { "failed" };
                chosen.add(n, format!("{what}: {}", c.status.as_str()));
            }
        }
    }
    for (share, name) in [(0.5, "median TTFT"), (0.9, "p90 of TTFT"), (0.99, "p99 of TTFT")] {
        let last = by_ttft.len().saturating_sub(1);
        // Ranked from the slowest on.
        let rank = ((1.0 - share) * last as f64).round() as usize;
        if let Some(n) = by_ttft.get(rank) {
            chosen.add(*n, format!("at the {name}"));
        }
    }
    chosen.0
}

/// Rows that have a value, from the largest on; equal ones in the order of scheduling.
fn ranked(rows: &[JoinedRow], value: impl Fn(&JoinedRow) -> Option<f64>) -> Vec<usize> {
    let with_value = |(n, row)| Some((value(row).filter(|v| v.is_finite())?, n));
    let mut all: Vec<(f64, usize)> = rows.iter().enumerate().filter_map(with_value).collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all.into_iter().map(|(_, n)| n).collect()
}

#[derive(Default)]
struct Chosen(Vec<(usize, Vec<String>)>);

impl Chosen {
    fn add(&mut self, n: usize, why: String) {
        match self.0.iter_mut().find(|(known, _)| *known == n) {
            Some((_, whys)) => whys.push(why),
            None => self.0.push((n, vec![why])),
        }
    }

    fn slowest(&mut self, what: &str, ranked: &[usize]) {
        let ordinals: BTreeMap<usize, &str> = [(1, "second "), (2, "third ")].into();
        for (i, n) in ranked.iter().take(SLOWEST).enumerate() {
            self.add(*n, format!("{}{what}", ordinals.get(&i).copied().unwrap_or("")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::fixture;

    #[test]
    fn the_slowest_the_failed_and_ordinary_ones_are_chosen_once_each() {
        let mut rows: Vec<JoinedRow> = (0..101)
            .map(|i| {
                let mut row = fixture::request(i);
                row.ttft_s = Some(0.1 + i as f64 / 1_000.0);
                // The slowest stream is that of the fastest first token.
                row.itl_mean_s = Some(1.0 - i as f64 / 1_000.0);
                row.e2e_s = None;
                JoinedRow::of(row)
            })
            .collect();
        for (n, message) in [(10, "status 503 after 1 s"), (20, "status 500 after 2 s"), (30, "closed")] {
            rows[n].client.status = Status::HttpError;
            rows[n].client.error = Some(message.to_owned());
            rows[n].client.ttft_s = None;
            rows[n].client.itl_mean_s = None;
        }
        let shown: Vec<String> =
            choose(&rows).iter().map(|(n, why)| format!("{n}: {}", why.join(", "))).collect();
        assert_eq!(
            shown,
            [
                "100: slowest TTFT",
                "99: second slowest TTFT, at the p99 of TTFT",
                "98: third slowest TTFT",
                "0: slowest ITL",
                "1: second slowest ITL",
                "2: third slowest ITL",
                "10: failed: http_error",
                "30: failed: http_error",
                "51: at the median TTFT",
                "90: at the p90 of TTFT",
            ]
        );
        assert!(choose(&[]).is_empty());
    }
}
