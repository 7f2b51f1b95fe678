//! Both sides of a run become one: requests joined one by one where the server says something about
//! each, over the whole window where it only counts, reconciled before anything is believed. polars
//! does the joins; what comes out is plain data. This module must not know how the rows were
//! recorded, nor how the result is shown.
//!
//! - [`ids`]: client ids inside the ids that servers make of them; `keys`: the joins in polars
//! - [`span_join`] and [`log_join`], put together by [`request_join`]: each request with its best
//!   evidence, or the reason why it has none
//! - [`aggregate_join`] and [`log_stats`]: what can be said of the window as a whole
//! - [`reconcile`]: whether both sides speak of the same requests
//! - [`breakdown`]: where the time to first token went
//! - [`headline`]: logged by tool, logged by server, tare

pub mod aggregate_join;
pub mod breakdown;
pub mod headline;
pub mod ids;
mod keys;
pub mod log_join;
pub mod log_stats;
pub mod reconcile;
mod reconcile_spans;
pub mod request_join;
pub mod span_join;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests;

use anyhow::{Context as _, Result};

use crate::record::correlated::Correlated;
use crate::record::{LogRow, RequestRow, ScrapeRow, SpanRow};
use crate::server::Server;

/// What is correlated with the requests.
pub struct Inputs<'a> {
    pub scrapes: &'a [ScrapeRow],
    pub log: &'a [LogRow],
    pub spans: &'a [SpanRow],
    pub server: &'a Server,
    /// Client and server read one clock.
    pub same_host: bool,
    /// Seeds the intervals: the same records give the same figures for ever.
    pub seed: u64,
}

/// Puts both sides of a run together. `requests` are the measured ones, without warm-ups; they come
/// back in the order of scheduling.
pub fn correlate(mut requests: Vec<RequestRow>, inputs: &Inputs<'_>) -> Result<Correlated> {
    requests.sort_by_key(|r| r.index);
    let (mut aggregate, between) = aggregate_join::join(inputs.scrapes, inputs.server);
    let window = between.or_else(|| aggregate_join::window_of(&requests));
    if let Some(window) = window {
        aggregate.log_stats = log_stats::estimate(inputs.log, window);
    }
    let mut join = request_join::join(requests, inputs, window).context("cannot join the two sides")?;
    for row in &mut join.rows {
        row.parts = breakdown::parts(row, inputs.same_host);
    }
    let rounds = headline::rounds(&join.rows);
    let checks = reconcile::checks(&join, inputs.spans, &aggregate, inputs.same_host, window);
    Ok(Correlated {
        headline: headline::headline(&join.rows, &aggregate, &rounds, inputs.seed),
        breakdown: breakdown::breakdown(&join.rows, &aggregate, inputs.same_host),
        checks,
        coverage: join.coverage,
        rows: join.rows,
        aggregate,
        window,
        rounds,
    })
}
