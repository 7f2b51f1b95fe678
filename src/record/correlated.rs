//! What correlation hands to the report and the plots: both sides of a run as one plain structure.
//! Every figure names its source and its n. This file must not know how anything in it is computed
//! or drawn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::JoinedRow;
use crate::clock::UnixNs;
use crate::metric::Metric;
use crate::stats::Estimate;
use crate::stats::rounds::Rounds;

/// Both sides of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Correlated {
    /// One per request, in the order of scheduling.
    pub rows: Vec<JoinedRow>,
    pub headline: Vec<HeadlineRow>,
    pub breakdown: Breakdown,
    /// The reconciliation: printed before anything is believed.
    pub checks: Vec<Check>,
    pub coverage: Coverage,
    /// What the metrics endpoints say about the window, exactly.
    pub aggregate: Aggregate,
    /// `None`: there was nothing, neither a request nor a snapshot.
    pub window: Option<Window>,
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
    PathBack,
    /// Out and back together.
    Path,
    /// Out, back and the server's front end together.
    PathAndFrontEnd,
    /// Everything between the last write and the first token.
    PathAndServer,
    Unexplained,
    ClientLag,
}

impl PartRow {
    /// In the order of printing.
    pub const ALL: [PartRow; 13] = [
        PartRow::Schedule,
        PartRow::Connect,
        PartRow::Send,
        PartRow::PathOut,
        PartRow::FrontEnd,
        PartRow::Queue,
        PartRow::Prefill,
        PartRow::PathBack,
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
            PartRow::PathBack => "path back",
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
            PartRow::FrontEnd => "server TTFT - queue - prefill: template, tokenizer, IPC, event loop",
            PartRow::Queue => "server: queued until scheduled",
            PartRow::Prefill => "server: scheduled until the first token in the engine",
            PartRow::PathBack => "first token at the server's front end until its stamp at the client",
            PartRow::Path => "path out and path back together: TTFT minus the rows measured",
            PartRow::PathAndFrontEnd => {
                "path out, front end and path back together: TTFT minus the rows measured"
            }
            PartRow::PathAndServer => {
                "everything from the last write to the first token: TTFT minus the rows measured"
            }
            PartRow::Unexplained => "what remains of TTFT when every other row is measured",
            PartRow::ClientLag => "user stamp - kernel stamp of the first token; beside TTFT, not inside it",
        }
    }

    /// Whether it is part of the sum that makes TTFT.
    pub fn inside_ttft(self) -> bool {
        !matches!(self, PartRow::Schedule | PartRow::ClientLag)
    }
}

/// The breakdown of TTFT: one shape for all its columns.
#[derive(Clone, Debug, Serialize)]
pub struct Breakdown {
    pub source: Evidence,
    /// Client and server read one clock, so that the path's two directions can be told apart.
    pub same_host: bool,
    /// Requests with a TTFT, and how many of them the breakdown is made of.
    pub n_total: usize,
    pub n: usize,
    pub columns: Vec<BreakdownColumn>,
    /// How groups were chosen.
    pub rule: String,
}

/// The parts at one place of the distribution.
#[derive(Clone, Debug, Serialize)]
pub struct BreakdownColumn {
    /// `mean`, `p50`, `p90` or `p99`.
    pub at: String,
    /// Requests in the group.
    pub n: usize,
    /// The group's mean TTFT: what the parts sum to.
    pub ttft_s: f64,
    /// Mean width of the first token's stamp (0: every stamp exact): the bound on the path rows.
    pub stamp_width_s: f64,
    pub parts: Vec<Part>,
}

/// One part of a group: its mean.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    pub row: PartRow,
    pub mean_s: f64,
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
    /// Per request, from the metrics in the answer.
    InBand,
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
    /// Of the joined: spans that do not lie inside the client's stamps.
    pub disagree_in_time: usize,
    /// Ids that fit more than one request, or more than one span: counted, not joined.
    pub ambiguous: usize,
    pub spans: usize,
    /// Spans that belong to no request, reason → spans.
    pub span_leftovers: BTreeMap<String, usize>,
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
