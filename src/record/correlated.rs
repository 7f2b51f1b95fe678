//! What correlation hands to the report and the plots: both sides of a run as one plain structure.
//! Every figure names its source and its n. This file must not know how anything in it is computed
//! or drawn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::JoinedRow;
use super::clocks::Clocks;
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
    /// What scrapes do to the gaps between tokens, and which of these are stalls.
    pub probe: Option<Probe>,
    pub stalls: Option<Stalls>,
    /// What the metrics endpoints' histograms say beside the client's figures.
    pub over_window: Vec<WindowRow>,
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

/// An instant that is known to lie within bounds, on the client's clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Within {
    pub lo_unix_ns: UnixNs,
    pub hi_unix_ns: UnixNs,
}

impl Within {
    pub fn at(instant: UnixNs) -> Self {
        Self { lo_unix_ns: instant, hi_unix_ns: instant }
    }

    /// What of it lies between two instants.
    #[must_use]
    pub fn cut_to(self, from: UnixNs, to: UnixNs) -> Self {
        Self { lo_unix_ns: self.lo_unix_ns.max(from), hi_unix_ns: self.hi_unix_ns.min(to) }
    }

    /// Within one or the other.
    #[must_use]
    pub fn over(self, other: Self) -> Self {
        Self {
            lo_unix_ns: self.lo_unix_ns.min(other.lo_unix_ns),
            hi_unix_ns: self.hi_unix_ns.max(other.hi_unix_ns),
        }
    }

    /// The instant itself, where it is known to the nanosecond.
    pub fn exact(self) -> Option<UnixNs> {
        (self.lo_unix_ns == self.hi_unix_ns).then_some(self.lo_unix_ns)
    }
}

/// A duration that is known to lie within bounds, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    pub lo_s: f64,
    pub hi_s: f64,
}

impl Bounds {
    pub fn width_s(self) -> f64 {
        self.hi_s - self.lo_s
    }
}

/// Where one request's time to first token went, seconds; `None` where it was not measured.
/// Nothing is clamped: a negative part is a finding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Parts {
    /// Started − scheduled: outside TTFT.
    pub schedule_s: Option<f64>,
    pub connect_s: Option<f64>,
    pub send_s: Option<f64>,
    /// Sent → server's arrival stamp: with the server's HTTP read and JSON parse.
    pub path_out_s: Option<f64>,
    /// Server TTFT − queue − prefill: template, tokenizer, IPC, event loop.
    pub front_end_s: Option<f64>,
    pub queue_s: Option<f64>,
    pub prefill_s: Option<f64>,
    /// First token at the server's front end → its stamp here.
    pub path_back_s: Option<f64>,
    /// What cannot be told apart, as one part; `PartRow::Path…` says what is in it.
    pub path_s: Option<f64>,
    /// What remains when every other part is measured.
    pub unexplained_s: Option<f64>,
    /// User stamp − kernel stamp of the first token: beside TTFT, not inside it.
    pub client_lag_s: Option<f64>,
    /// The path's two directions where only their sum is known.
    pub path_out_bounds: Option<Bounds>,
    pub path_back_bounds: Option<Bounds>,
    /// Sent → the log's `Received`: path out, and what the server did before that line.
    pub received_bounds: Option<Bounds>,
    /// The same for E2E: the server's E2E − queue − prefill − decode, its way back for the last token,
    /// and what cannot be told apart or remains.
    pub decode_s: Option<f64>,
    pub e2e_front_end_s: Option<f64>,
    pub e2e_path_back_s: Option<f64>,
    pub e2e_path_s: Option<f64>,
    pub e2e_unexplained_s: Option<f64>,
}

/// A row of the breakdown.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PartRow {
    Schedule,
    Connect,
    Send,
    PathOut,
    FrontEnd,
    Queue,
    Prefill,
    /// E2E only: first until last token in the engine.
    Decode,
    PathBack,
    /// Out and back together.
    Path,
    /// The way out and what the server did before it wrote `Received` into its log.
    PathOutAndReceipt,
    /// Everything after that line.
    ServerAndPathBack,
    /// The front end's work and the way back, where the server tells no TTFT.
    FrontEndAndPathBack,
    /// Out, back and the server's front end together.
    PathAndFrontEnd,
    /// Everything between the last write and the first token.
    PathAndServer,
    Unexplained,
    ClientLag,
}

impl PartRow {
    /// In the order of printing.
    pub const ALL: [PartRow; 17] = [
        PartRow::Schedule,
        PartRow::Connect,
        PartRow::Send,
        PartRow::PathOut,
        PartRow::FrontEnd,
        PartRow::Queue,
        PartRow::PathOutAndReceipt,
        PartRow::Prefill,
        PartRow::Decode,
        PartRow::PathBack,
        PartRow::FrontEndAndPathBack,
        PartRow::ServerAndPathBack,
        PartRow::Path,
        PartRow::PathAndFrontEnd,
        PartRow::PathAndServer,
        PartRow::Unexplained,
        PartRow::ClientLag,
    ];

    /// The words used in reports.
    pub fn name(self) -> &'static str {
        match self {
            PartRow::Schedule => "schedule",
            PartRow::Connect => "connect",
            PartRow::Send => "send",
            PartRow::PathOut => "path out",
            PartRow::FrontEnd => "front end",
            PartRow::Queue => "queue",
            PartRow::Prefill => "prefill",
            PartRow::Decode => "decode",
            PartRow::PathBack => "path back",
            PartRow::PathOutAndReceipt => "path out + receipt",
            PartRow::ServerAndPathBack => "server + path back",
            PartRow::FrontEndAndPathBack => "front end + path back",
            PartRow::Path => "path",
            PartRow::PathAndFrontEnd => "path + front end",
            PartRow::PathAndServer => "path + server",
            PartRow::Unexplained => "unexplained",
            PartRow::ClientLag => "client lag",
        }
    }

    /// What it covers, in one phrase.
    pub fn definition(self) -> &'static str {
        match self {
            PartRow::Schedule => "started - scheduled; outside TTFT",
            PartRow::Connect => "TCP (and TLS) set-up of this request",
            PartRow::Send => "before the request's last write until after it",
            PartRow::PathOut => {
                "sent until the server's arrival stamp, with the server's HTTP read and JSON parse"
            }
            PartRow::FrontEnd => {
                "server TTFT (of E2E: server E2E) - queue - prefill (- decode): template, tokenizer, IPC, event loop"
            }
            PartRow::Queue => "server: queued until scheduled",
            PartRow::Prefill => "server: scheduled until the first token in the engine",
            PartRow::Decode => "server: first until last token in the engine",
            PartRow::PathBack => {
                "first (of E2E: last) token at the server's front end until its stamp at the client"
            }
            PartRow::PathOutAndReceipt => {
                "sent until the log's `Received`: path out, HTTP read, JSON parse, template and tokenizer"
            }
            PartRow::ServerAndPathBack => "the log's `Received` until the first token here",
            PartRow::FrontEndAndPathBack => {
                "template, tokenizer, IPC, event loop and path back: the total minus the rows measured"
            }
            PartRow::Path => "path out and path back together: the total minus the rows measured",
            PartRow::PathAndFrontEnd => {
                "path out, front end and path back together: the total minus the rows measured"
            }
            PartRow::PathAndServer => {
                "everything from the last write to the first token: the total minus the rows measured"
            }
            PartRow::Unexplained => "what remains of the total when every other row is measured",
            PartRow::ClientLag => "user stamp - kernel stamp of the first token; beside TTFT, not inside it",
        }
    }

    /// Whether it is part of the sum that makes TTFT (or E2E).
    pub fn inside(self) -> bool {
        !matches!(self, PartRow::Schedule | PartRow::ClientLag)
    }
}

/// The breakdown of TTFT or of E2E: one shape for all its columns.
#[derive(Clone, Debug, Serialize)]
pub struct Breakdown {
    /// What is broken down: TTFT or E2E.
    pub of: Metric,
    pub source: Evidence,
    /// Requests that have it, and how many of them the breakdown is made of.
    pub n_total: usize,
    pub n: usize,
    /// At the mean and at three percentiles.
    pub columns: Vec<BreakdownColumn>,
    /// How groups were chosen.
    pub rule: String,
    /// The same by prompt length, by concurrency and by the time of the run, where there are requests
    /// enough.
    pub by: Vec<BrokenDownBy>,
    /// What the evidence cannot tell, and what would.
    pub lacking: Option<String>,
}

/// Columns of requests that are alike in one thing.
#[derive(Clone, Debug, Serialize)]
pub struct BrokenDownBy {
    /// `prompt tokens`, `concurrency` or `time of the run`.
    pub what: &'static str,
    pub columns: Vec<BreakdownColumn>,
}

/// The parts at one place of the distribution.
#[derive(Clone, Debug, Serialize)]
pub struct BreakdownColumn {
    /// `mean`, `p50`, `p90`, `p99`, or what the requests have in common.
    pub at: String,
    /// Requests in the group.
    pub n: usize,
    /// The group's mean of what is broken down: what the parts sum to.
    pub total_s: f64,
    /// Mean width of the stamp that ends it (0: every stamp exact): the bound on the path rows.
    pub stamp_width_s: f64,
    pub parts: Vec<Part>,
}

/// One part of a group: its mean.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    pub row: PartRow,
    pub mean_s: f64,
    /// The 95 % interval of the mean, over requests; `None` where it was not made (a metrics
    /// endpoint's mean is exact).
    pub interval: Option<Bounds>,
    /// Where the mean lies by the evidence, whatever the requests: set where both clocks or a coarse
    /// stamp leave it open; `mean_s` is then the middle.
    pub bounds: Option<Bounds>,
    /// Both ends stamped; else by subtraction.
    pub measured: bool,
    /// Requests of the group whose part is negative.
    pub n_negative: usize,
}

/// Where the server's side of a figure comes from, best first.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Per request, from OTLP spans.
    Span,
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

impl Evidence {
    /// The words used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Evidence::Span => "OTLP spans",
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
