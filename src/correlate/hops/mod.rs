//! The hops between client and server: each request's passage through each of them, on the client's
//! clock, and where the time went on the way. Ids first, times second, as everywhere in this module. It must
//! not know how a hop's rows were read.
//!
//! - `join`: which row of a hop is which request's
//! - `zone`: a hop's log of another time zone, by its requests
//! - `order`: a list of hops that the requests contradict
//! - `place`: a passage's instants on the client's clock, and the pairs that bound its clock
//! - `cuts`: the places on the way; `path`: the parts between those that the evidence gives
//! - `stations`: what each hop saw itself; `stated`: what gateways state in the heads of answers

mod cuts;
mod join;
mod order;
mod path;
mod place;
mod stated;
pub mod stations;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod zone;

use anyhow::Result;

use super::clocks::Beside;
use crate::metric::Metric;
use crate::record::hops::{HopSummary, Hops, Passage};
use crate::record::{HopRow, JoinedRow, RequestRow};
use crate::stats::rounds::Rounds;

/// Every request's passages, in the order of the requests and, of each, of the hops.
pub struct HopJoin {
    pub passages: Vec<Vec<Option<Box<Passage>>>>,
    pub list: Vec<HopSummary>,
}

/// Joins the hops' rows to the requests, hop by hop. `names` are the hops as they are configured, in the
/// order a request passes them; hops that only rows name follow. Where the requests say another order, that is
/// taken.
pub fn join(
    requests: &[RequestRow],
    names: &[String],
    rows: &[HopRow],
    beside: Beside<'_>,
) -> Result<HopJoin> {
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    for row in rows {
        if !all.contains(&row.hop.as_str()) {
            all.push(&row.hop);
        }
    }
    let mut joined = HopJoin { passages: vec![Vec::new(); requests.len()], list: Vec::new() };
    if all.is_empty() {
        return Ok(joined);
    }
    let keys = join::RequestKeys::new(requests)?;
    for name in all {
        let of_hop: Vec<&HopRow> = rows.iter().filter(|row| row.hop == name).collect();
        let (passages, summary) = join::one(requests, &keys, name, &of_hop, beside)?;
        for (all, passage) in joined.passages.iter_mut().zip(passages) {
            all.push(passage.map(Box::new));
        }
        joined.list.push(summary);
    }
    name_by_product(&mut joined.list, rows);
    order::arrange(&mut joined);
    Ok(joined)
}

/// A hop that nobody named bears its file's name: its product's says more, where that is the only one.
fn name_by_product(list: &mut [HopSummary], rows: &[HopRow]) {
    for i in 0..list.len() {
        let Some(hop) = list.get(i) else { continue };
        let of_file = rows
            .iter()
            .find(|row| row.hop == hop.name)
            .is_some_and(|row| row.source.rsplit('/').next() == Some(hop.name.as_str()));
        let product = hop.product.clone();
        let others = list.iter().filter(|other| other.name == product || other.product == product);
        if of_file
            && !product.is_empty()
            && others.count() == 1
            && let Some(hop) = list.get_mut(i)
        {
            hop.name = product;
        }
    }
}

/// What the hops say of these requests.
pub fn hops(rows: &[JoinedRow], list: &[HopSummary], rounds: &Rounds, seed: u64) -> Hops {
    let list: Vec<HopSummary> = list
        .iter()
        .enumerate()
        .map(|(i, hop)| HopSummary { stations: stations::of(rows, i, rounds, seed), ..hop.clone() })
        .collect();
    let path = |of| path::path(rows, &list, of, rounds, seed);
    let (ttft, e2e) = (path(Metric::Ttft), path(Metric::E2e));
    let (stated, unread) = stated::of(rows, rounds, seed);
    Hops { list, ttft, e2e, stated, unread }
}
