//! Both sides of a run become one: requests joined one by one where the server says something about
//! each, over the whole window where it only counts, reconciled before anything is believed. polars
//! does the joins; what comes out is plain data. This module must not know how the rows were
//! recorded, nor how the result is shown.
//!
//! - [`ids`]: client ids inside the ids that servers make of them; `keys`: the joins in polars
//! - [`span_join`], [`stat_join`], [`log_join`] and [`access_join`], put together by [`request_join`]:
//!   each request with its best evidence, or the reason why it has none
//! - `log_zone`: a log of another time zone, by its requests
//! - [`clocks`]: the server's clock on the client's axis, from what the joins show
//! - [`aggregate_join`] and [`log_stats`]: what can be said of the window as a whole
//! - [`over_window`]: what its histograms say beside the client's figures, and what they cannot tell
//! - [`reconcile`]: whether both sides speak of the same requests
//! - `reconcile_spans`, `agreement`: whether the sources of one request say the same
//! - [`parts`], [`shape`], [`breakdown`]: where the time went
//! - `gaps`: what happened between a request's tokens: scrapes, others' prefill
//! - [`hops`]: what lies between client and server, request by request
//! - [`headline`]: logged by tool, logged by server, tare; [`within`]: the figures of some
//!   requests
//! - [`diagnosis`]: what a gateway does to the streams
//! - [`audit`]: two ways to one server, in pairs
//! - [`waterfall`]: one request, every stamp and part of it
//! - [`timeline`]: both sides over time

pub mod access_join;
pub mod aggregate_join;
mod agreement;
pub mod audit;
pub mod breakdown;
pub mod clocks;
pub mod diagnosis;
mod gaps;
mod groups;
pub mod headline;
pub mod hops;
pub mod ids;
mod keys;
pub mod log_join;
mod log_lines;
pub mod log_stats;
mod log_zone;
pub mod over_window;
pub mod parts;
pub mod reconcile;
mod reconcile_spans;
pub mod request_join;
pub mod shape;
pub mod span_join;
pub mod stat_join;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::float_cmp)]
mod tests;
pub mod timeline;
pub mod waterfall;
mod within;

use anyhow::{Context as _, Result};

pub use self::within::within;

use crate::metric::Metric;
use crate::record::correlated::Correlated;
use crate::record::own::OwnLag;
use crate::record::verdicts::VerdictRow;
use crate::record::{Arm, HopRow, JoinedRow, LogRow, RequestRow, ScrapeRow, SpanRow, StatRow};
use crate::server::Server;
use crate::store::RunEvents;

/// What is correlated with the requests.
pub struct Inputs<'a> {
    pub scrapes: &'a [ScrapeRow],
    pub log: &'a [LogRow],
    pub spans: &'a [SpanRow],
    pub stat_log: &'a [StatRow],
    pub hops: &'a [HopRow],
    /// The hops' names, in the order a request passes them.
    pub hop_names: &'a [String],
    /// Every token event, for what happened between them.
    pub events: &'a RunEvents,
    /// What the program saw of itself; `None` of imported records.
    pub own: Option<&'a OwnLag>,
    pub server: &'a Server,
    /// Client and server read one clock, as far as their addresses tell.
    pub same_host: bool,
    /// Of a load from several hosts: whose clock is the server's.
    pub ranks_beside_server: &'a [u32],
    /// The clocks of the two hosts are said to differ by no more than this.
    pub clock_bound_s: Option<f64>,
    /// Seeds the intervals: the same records give the same figures for ever.
    pub seed: u64,
}

impl<'a> Inputs<'a> {
    /// Whose clock is the server's.
    fn beside(&self) -> clocks::Beside<'a> {
        clocks::Beside { same_host: self.same_host, ranks: self.ranks_beside_server }
    }
}

/// Puts both sides of a run together. `requests` are the measured ones, without warm-ups; they come
/// back in the order of scheduling.
pub fn correlate(mut requests: Vec<RequestRow>, inputs: &Inputs<'_>) -> Result<Correlated> {
    requests.sort_by_key(|r| r.index);
    let (mut aggregate, between) = aggregate_join::join(inputs.scrapes, inputs.server);
    let window = between.or_else(|| aggregate_join::window_of(&requests));
    let passed = hops::join(&requests, inputs.hop_names, inputs.hops, inputs.beside())
        .context("cannot join the hops")?;
    let mut join = request_join::join(requests, inputs, window).context("cannot join the two sides")?;
    if let Some(window) = window {
        aggregate.log_stats = log_stats::estimate(&join.log, window, &join.maps.reference);
    }
    for (row, told) in join.rows.iter_mut().zip(&join.told) {
        row.parts = parts::parts(row, told, join.maps.of(&row.client));
    }
    for (row, passages) in join.rows.iter_mut().zip(passed.passages) {
        row.hops = passages;
    }
    let rounds = headline::rounds(&join.rows);
    let gaps =
        gaps::Gaps { scrapes: inputs.scrapes, log: &join.log, map: &join.maps.reference, seed: inputs.seed };
    let gaps = gaps.found(join.rows.iter().map(|r| &r.client), inputs.events)?;
    let checks = reconcile::checks(&join, inputs.spans, &aggregate, window);
    let mut headline = headline::headline(&join.rows, &aggregate, &rounds, inputs.seed);
    headline::tell_of_steps(&mut headline, &join.clocks);
    let verdicts = verdicts(&join.rows, inputs, aggregate.of(Metric::Itl).and_then(|itl| itl.mean))?;
    Ok(Correlated {
        verdicts,
        headline,
        breakdown: breakdown::breakdown(
            &join.rows,
            &join.rows,
            &aggregate,
            Metric::Ttft,
            &rounds,
            inputs.seed,
        ),
        breakdown_e2e: breakdown::breakdown(
            &join.rows,
            &join.rows,
            &aggregate,
            Metric::E2e,
            &rounds,
            inputs.seed,
        ),
        checks,
        coverage: join.coverage,
        clocks: join.clocks,
        hops: hops::hops(&join.rows, &passed.list, &rounds, inputs.seed),
        probe: gaps.probe,
        stalls: gaps.stalls,
        over_window: over_window::rows(&join.rows, &aggregate, &rounds, inputs.seed),
        rows: join.rows,
        aggregate,
        window,
        rounds,
    })
}

/// What is concluded about the way between the two sides: of an audit, about the way through, beside the
/// direct one.
fn verdicts(rows: &[JoinedRow], inputs: &Inputs<'_>, server_itl_s: Option<f64>) -> Result<Vec<VerdictRow>> {
    let of = |arm| rows.iter().filter(move |row| row.client.arm == arm);
    let (events, server) = (inputs.events, inputs.server);
    let route = if of(Some(Arm::Through)).next().is_some() {
        let through = diagnosis::Route::new("through", of(Some(Arm::Through)), events, server)?;
        through.beside(of(Some(Arm::Direct)), events)?
    } else {
        diagnosis::Route::new("all requests", rows, events, server)?
    };
    Ok(diagnosis::diagnose(&diagnosis::Route {
        spans: inputs.spans,
        log: inputs.log,
        server_itl_s,
        own: inputs.own,
        same_host: inputs.same_host,
        seed: inputs.seed,
        ..route
    }))
}
