//! Where the time went: one request's parts, and the breakdown that is made of many. What is only known
//! to lie within bounds has types of its own. This file must not know how a part is found or drawn.

use serde::{Deserialize, Serialize};

use super::correlated::Evidence;
use crate::clock::UnixNs;
use crate::metric::Metric;

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
    /// Where prefill and decode are known only together.
    pub inference_s: Option<f64>,
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
    /// E2E only: prefill and decode, where the server does not tell them apart.
    Inference,
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
    /// The same with the queue, where the server does not tell it.
    PathAndQueue,
    /// Everything between the last write and the first token.
    PathAndServer,
    Unexplained,
    ClientLag,
}

impl PartRow {
    /// In the order of printing.
    pub const ALL: [PartRow; 19] = [
        PartRow::Schedule,
        PartRow::Connect,
        PartRow::Send,
        PartRow::PathOut,
        PartRow::FrontEnd,
        PartRow::Queue,
        PartRow::PathOutAndReceipt,
        PartRow::Prefill,
        PartRow::Decode,
        PartRow::Inference,
        PartRow::PathBack,
        PartRow::FrontEndAndPathBack,
        PartRow::ServerAndPathBack,
        PartRow::Path,
        PartRow::PathAndFrontEnd,
        PartRow::PathAndQueue,
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
            PartRow::Inference => "prefill + decode",
            PartRow::PathBack => "path back",
            PartRow::PathOutAndReceipt => "path out + receipt",
            PartRow::ServerAndPathBack => "server + path back",
            PartRow::FrontEndAndPathBack => "front end + path back",
            PartRow::Path => "path",
            PartRow::PathAndFrontEnd => "path + front end",
            PartRow::PathAndQueue => "path + front end + queue",
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
            PartRow::Inference => "server: scheduled until the last token in the engine",
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
            PartRow::PathAndQueue => {
                "path out, front end, queue and path back together: the total minus the rows measured"
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
