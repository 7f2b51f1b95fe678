//! What a hop saw itself, by its own timers alone: durations, which need no common clock. This file must not
//! know how a row was joined.

use crate::metric::Metric;
use crate::record::hops::Station;
use crate::record::{HopRow, JoinedRow, RequestRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::bootstrap;
use crate::stats::rounds::Rounds;

/// TTFT at a hop: its start until the first token (or the first byte of the body) came.
pub fn ttft_s(row: &HopRow) -> Option<f64> {
    row.first_token_in_s.or(row.upstream_first_body_s)
}

/// E2E at a hop: its start until the last token, else the last byte, came.
pub fn e2e_s(row: &HopRow) -> Option<f64> {
    row.last_token_in_s.or(row.upstream_end_s).or(row.total_s)
}

/// The means over the requests that ended well and passed hop `hop`.
pub fn of(rows: &[JoinedRow], hop: usize, rounds: &Rounds, seed: u64) -> Vec<Station> {
    let row_of = |metric, at_hop: fn(&HopRow) -> Option<f64>, at_client: fn(&RequestRow) -> Option<f64>| {
        let of_request = |row: &JoinedRow| {
            let passed = row.hops.get(hop)?.as_ref().filter(|_| row.client.status == Status::Ok)?;
            let there = at_hop(&passed.row)?;
            Some((row.client.index, (there, at_client(&row.client)? - there)))
        };
        let (indices, values): (Vec<u64>, Vec<(f64, f64)>) = rows.iter().filter_map(of_request).unzip();
        let (there, outside): (Vec<f64>, Vec<f64>) = values.into_iter().unzip();
        let labels = rounds.labels(indices.into_iter());
        let mean = |values: &[f64]| bootstrap::mean(values, Blocks::known(labels.as_deref()), seed);
        Some(Station { metric, seen: mean(&there)?, outside: mean(&outside)? })
    };
    let ttft = row_of(Metric::Ttft, ttft_s, |client| client.ttft_s);
    [ttft, row_of(Metric::E2e, e2e_s, |client| client.e2e_s)].into_iter().flatten().collect()
}
