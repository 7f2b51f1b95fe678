//! What correlation hands to the report and the plots: both sides of a run as one plain structure.
//! Every figure names its source and its n. This file must not know how anything in it is computed
//! or drawn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use super::breakdown::{Bounds, Breakdown, BreakdownColumn, BrokenDownBy, Part, PartRow, Parts, Within};
use super::clocks::Clocks;
use super::hops::Hops;
use super::verdicts::VerdictRow;
use super::{JoinedRow, Source};
use crate::clock::UnixNs;
use crate::metric::Metric;
use crate::stats::Estimate;
use crate::stats::histogram::Buckets;
use crate::stats::rounds::Rounds;

/// Both sides of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Correlated {
    /// One per request, in the order of scheduling.
    pub rows: Vec<JoinedRow>,
    pub headline: Vec<HeadlineRow>,
    /// Of TTFT and of E2E.
    pub breakdown: Breakdown,
    pub breakdown_e2e: Breakdown,
    /// The reconciliation: printed before anything is believed.
    pub checks: Vec<Check>,
    pub coverage: Coverage,
    /// What the metrics endpoints say about the window, exactly.
    pub aggregate: Aggregate,
    /// `None`: there was nothing, neither a request nor a snapshot.
    pub window: Option<Window>,
    /// The server's clock against the client's.
    pub clocks: Clocks,
    /// What lies between client and server.
    pub hops: Hops,
    /// What scrapes do to the gaps between tokens, and which of these are stalls.
    pub probe: Option<Probe>,
    pub stalls: Option<Stalls>,
    /// What the metrics endpoints' histograms say beside the client's figures.
    pub over_window: Vec<WindowRow>,
    /// What something between client and server does to the streams; empty where nothing shows.
    pub verdicts: Vec<VerdictRow>,
    /// The rounds of users that moved in lockstep: the blocks that intervals are made from.
    #[serde(skip)]
    pub rounds: Rounds,
}

/// The span of time both sides are compared over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Window {
    pub begin_unix_ns: UnixNs,
    pub end_unix_ns: UnixNs,
}

/// Where the server's side of a figure comes from, best first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Per request, from OTLP spans.
    Span,
    /// Per request, from stamps that the server kept itself.
    ServerStamps,
    /// Per request, from the server's stat logger.
    StatLog,
    /// Per request, from the metrics in the answer.
    InBand,
    /// Per request, from the log's lines with stamps fine enough.
    Log,
    /// Exact means over the window, from the metrics endpoints' sums and counts.
    Metrics,
    /// Estimated from the log's periodic stats lines.
    LogStats,
    None,
}

impl From<Source> for Evidence {
    fn from(source: Source) -> Self {
        match source {
            Source::Span => Evidence::Span,
            Source::ServerStamps => Evidence::ServerStamps,
            Source::StatLog => Evidence::StatLog,
            Source::InBand => Evidence::InBand,
            Source::Log => Evidence::Log,
            Source::None => Evidence::None,
        }
    }
}

impl Evidence {
    /// What told most of them; of equally many the better.
    pub fn of_most(sources: impl Iterator<Item = Source>) -> Self {
        let mut told: BTreeMap<Evidence, usize> = BTreeMap::new();
        sources.for_each(|source| *told.entry(source.into()).or_default() += 1);
        let most = told.values().copied().max();
        let best = told.into_iter().find(|(_, n)| Some(*n) == most);
        best.map_or(Evidence::None, |(evidence, _)| evidence)
    }

    /// The words used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Evidence::Span => "OTLP spans",
            Evidence::ServerStamps => "server's own stamps",
            Evidence::StatLog => "stat log",
            Evidence::Log => "log lines",
            Evidence::InBand => "in-band metrics",
            Evidence::Metrics => "metrics endpoint",
            Evidence::LogStats => "log stats lines (estimated)",
            Evidence::None => "none",
        }
    }
}

/// A row of the headline table: logged by tool | logged by server | tare.
#[derive(Clone, Debug, Serialize)]
pub struct HeadlineRow {
    pub metric: Metric,
    /// The metric's name, or what the server's side really is (`queue + prefill`).
    pub title: String,
    pub tool: Option<Estimate>,
    pub server: Option<Estimate>,
    /// Tool − server; for a throughput too, so that a slower tool shows as negative.
    pub tare: Option<Estimate>,
    pub source: Evidence,
    /// How both sides were estimated: the same formula.
    pub estimator: &'static str,
    pub note: Option<String>,
    /// Both sides are of the whole run, though the report is made from a part of it.
    pub whole_run: bool,
}

/// Whether two sides agree on one thing.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Agree,
    Differ,
    NotAvailable,
}

/// One line of the reconciliation.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    pub name: &'static str,
    pub client: Option<f64>,
    pub server: Option<f64>,
    pub verdict: Verdict,
    pub detail: String,
}

/// Rows in = joined + unjoined, and what the server's side has left over.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Coverage {
    pub requests: usize,
    pub joined: usize,
    /// By `Source::as_str`.
    pub by_source: BTreeMap<String, usize>,
    /// Reason → requests.
    pub unjoined: BTreeMap<String, usize>,
    /// Requests without a span, where others have one, reason → requests, whatever else tells of them.
    pub without_span: BTreeMap<String, usize>,
    /// Of these: requests whose span ought to be there.
    pub lost_spans: usize,
    /// Of the joined: spans that do not lie inside the client's stamps.
    pub disagree_in_time: usize,
    /// Ids that fit more than one request, or more than one span: counted, not joined.
    pub ambiguous: usize,
    pub spans: usize,
    /// Lines of the stat log.
    pub stats: usize,
    /// Spans that belong to no request, reason → spans.
    pub span_leftovers: BTreeMap<String, usize>,
    /// Lines of the stat log that belong to no request, reason → lines.
    pub stat_leftovers: BTreeMap<String, usize>,
    /// Requests with an access line of their own, and lines that belong to none, reason → lines.
    pub access_lines: usize,
    pub access_leftovers: BTreeMap<String, usize>,
    /// Ids in the log that belong to no request, reason → ids.
    pub log_leftovers: BTreeMap<String, usize>,
}

/// A histogram's change over the window.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WindowMean {
    pub metric: Metric,
    pub sum: f64,
    pub count: f64,
    pub mean: Option<f64>,
    /// Quantiles as the bucket they fall in: `(q, lower, upper)`; `None`: the last bucket has no end.
    pub quantiles: Vec<(f64, f64, Option<f64>)>,
    /// What came in the window, by bucket.
    #[serde(skip)]
    pub buckets: Option<Buckets>,
}

/// What a histogram over the window says beside the client's figures: the mean exactly, quantiles as
/// the buckets they fall in.
#[derive(Clone, Debug, Serialize)]
pub struct WindowRow {
    pub metric: Metric,
    /// Observations, of whatever requests, and how many of them are of this run's requests at most.
    pub server_n: f64,
    pub ours_n: usize,
    /// The mean of all of them, exactly.
    pub server_mean: f64,
    /// Where the mean of this run's own lies, if others are among them.
    pub ours_mean: Option<Bounds>,
    pub client_mean: Option<Estimate>,
    pub quantiles: Vec<WindowQuantile>,
    /// The upper end of the first bucket, if all the quantiles lie in it: what happens below cannot be
    /// told.
    pub unresolved_below: Option<f64>,
}

/// One quantile, by the server's buckets and at the client.
#[derive(Clone, Debug, Serialize)]
pub struct WindowQuantile {
    pub q: f64,
    /// The server's lies in (lo, hi]; `None`: the last bucket has no end.
    pub server_lo: f64,
    pub server_hi: Option<f64>,
    pub client: Option<Estimate>,
    /// Client − server: within the buckets and the client's own interval.
    pub difference_lo: Option<f64>,
    pub difference_hi: Option<f64>,
}

/// What the metrics endpoints counted between the snapshots before and after.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Aggregate {
    /// Why it cannot be used; `None`: usable.
    pub unusable: Option<String>,
    pub endpoints: usize,
    pub histograms: Vec<WindowMean>,
    pub prompt_tokens: Option<f64>,
    pub generation_tokens: Option<f64>,
    /// Seconds of decoding of all requests together, and the counter's reading at the end, where a server
    /// has that instead of a histogram.
    pub decode_seconds: Option<(f64, f64)>,
    /// Finished requests by reason.
    pub finished: BTreeMap<String, f64>,
    /// Requests in the engine (running + waiting) at the snapshots before and after.
    pub in_flight_before: Option<f64>,
    pub in_flight_after: Option<f64>,
    /// From the log's stats lines alone.
    pub log_stats: Option<LogStats>,
}

impl Aggregate {
    /// The window's figures for one metric, if its mean is known.
    pub fn of(&self, metric: Metric) -> Option<&WindowMean> {
        self.histograms.iter().find(|h| h.metric == metric && h.mean.is_some())
    }

    /// All requests that ended in the window.
    pub fn finished_total(&self) -> Option<f64> {
        (!self.finished.is_empty()).then(|| self.finished.values().sum())
    }
}

/// What the log's periodic stats lines add up to over the window.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LogStats {
    pub lines: usize,
    pub covered_s: f64,
    /// Σ generation throughput · dt.
    pub generated_tokens: f64,
    /// Σ running requests · dt.
    pub running_request_s: f64,
}

impl LogStats {
    /// Tokens a second for one running request.
    pub fn user_throughput_tps(&self) -> Option<f64> {
        (self.running_request_s > 0.0).then(|| self.generated_tokens / self.running_request_s)
    }
}

/// What a scrape of the metrics endpoint does to the gaps between tokens that it falls into.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Probe {
    /// How much longer they are than the same requests' a few gaps earlier, s; n is scrapes.
    pub effect: Estimate,
    /// Gaps compared.
    pub gaps: usize,
    /// How long a scrape takes, and the median gap, s.
    pub scrape_s: f64,
    pub median_gap_s: f64,
}

/// Gaps between tokens that are longer than twice the median.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Stalls {
    pub gaps: usize,
    pub median_s: f64,
    pub longest_s: f64,
    pub stalls: usize,
    /// What they have beyond the median, all together, s.
    pub beyond_s: f64,
    /// Engine steps with prefill that the log tells of, and the resolution of their stamps, s.
    pub steps_with_prefill: usize,
    pub resolution_s: Option<f64>,
    /// Stalls that such steps fill at least half of, and their time beyond the median; `None` where the
    /// log does not tell of steps, or not finely enough.
    pub by_prefill: Option<usize>,
    pub by_prefill_s: Option<f64>,
}
