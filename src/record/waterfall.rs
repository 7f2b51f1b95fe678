//! One request as a waterfall: every stamp of both sides on one axis, the parts of its time as bars,
//! the gaps between its tokens, and what is not known. Seconds count from the request's start, on the
//! client's clock. This file must not know how any of it is found or drawn.

use serde::Serialize;

use super::JoinedRow;
use super::correlated::{Bounds, PartRow};

/// One request, explained.
#[derive(Clone, Debug, Serialize)]
pub struct Waterfall {
    /// Both sides as they were joined.
    pub row: JoinedRow,
    /// In the order of their lower bounds.
    pub stamps: Vec<Stamp>,
    /// In the order of the breakdown.
    pub parts: Vec<DrawnPart>,
    /// `None` without two events.
    pub decode: Option<Decode>,
    /// What gateways state of it in the head of its answer.
    pub in_head: Vec<InHead>,
    /// What is not known, each with its reason.
    pub unknown: Vec<String>,
}

/// A duration that a gateway states, by the gateway's own name for it. The head is sent before the first token of a
/// stream: it holds nothing of what happens to tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InHead {
    /// The product; `server_timing` is whoever sends that header.
    pub by: String,
    pub what: String,
    pub seconds: f64,
    /// The product states whole milliseconds: it is good to one, either way.
    pub whole_ms: bool,
}

/// A request as far as its row tells, without the gaps between its tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct Outline {
    /// Those of the client first, each side's in the order in which they ought to come.
    pub stamps: Vec<Stamp>,
    pub parts: Vec<DrawnPart>,
}

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stamp {
    pub what: String,
    /// Who dated it.
    pub by: By,
    /// It lies within; equal where it is a point.
    pub lo_s: f64,
    pub hi_s: f64,
    /// What the bound is made of, or what contradicts it; nothing for a plain point.
    pub note: Option<String>,
}

/// Who dated a stamp.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The arrival process.
    Schedule,
    /// The program, when it had done or seen it.
    User,
    /// The client's kernel, once per read.
    Kernel,
    /// The client's kernel, once per segment.
    Packet,
    Span,
    StatLog,
    LogLine,
    AccessLine,
    /// A hop between the two sides, by its log, a tap or packets.
    Hop,
}

impl By {
    /// The words used in reports.
    pub fn name(self) -> &'static str {
        match self {
            By::Schedule => "schedule",
            By::User => "client, user",
            By::Kernel => "client, kernel",
            By::Packet => "client, packet",
            By::Span => "server, span",
            By::StatLog => "server, stat log",
            By::LogLine => "server, log line",
            By::AccessLine => "server, access line",
            By::Hop => "hop",
        }
    }
}

/// A part of the request's time: its number in TTFT and in E2E, and where it lies up to the first token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DrawnPart {
    pub part: PartRow,
    pub ttft_s: Option<f64>,
    pub e2e_s: Option<f64>,
    /// Set where the evidence leaves it open; the number is then the middle.
    pub bounds: Option<Bounds>,
    /// Both ends stamped; else by subtraction.
    pub measured: bool,
    /// Empty for what lies beside the time to first token, and where that is not known.
    pub extents: Vec<Extent>,
}

/// Where a part lies: it begins within two instants, and ends within two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Extent {
    pub begin_lo_s: f64,
    pub begin_hi_s: f64,
    pub end_lo_s: f64,
    pub end_hi_s: f64,
}

impl Extent {
    /// From the first to the last instant at which the part perhaps is, where that is more than where it certainly
    /// is; `None` where its bounds contradict.
    pub fn perhaps(&self) -> Option<(f64, f64)> {
        let is_open = self.begin_lo_s < self.begin_hi_s || self.end_lo_s < self.end_hi_s;
        (is_open && self.end_hi_s >= self.begin_lo_s).then_some((self.begin_lo_s, self.end_hi_s))
    }

    /// Where it certainly is.
    pub fn certain(&self) -> Option<(f64, f64)> {
        let (from, to) = (self.begin_hi_s, self.end_lo_s);
        (to >= from && self.end_hi_s >= self.begin_lo_s).then_some((from, to))
    }
}

impl DrawnPart {
    /// How its number was found, in the words of reports.
    pub fn how(&self) -> &'static str {
        match (self.bounds.is_some(), self.measured, self.part.inside()) {
            (true, ..) => "within bounds",
            (false, true, true) => "measured",
            (false, false, true) => "by subtraction",
            (false, _, false) => "beside TTFT",
        }
    }
}

/// The gaps between the token-bearing events of an answer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decode {
    pub events: usize,
    /// Gaps between two points; any other has bounds.
    pub exact_gaps: usize,
    pub gaps: Vec<Gap>,
    pub median_s: f64,
    /// A longer gap is a stall: over twice the median gap of the run, as in the report.
    pub stall_over_s: f64,
    pub stalls: Vec<Stall>,
}

/// From one event to the next, by the upper bounds of their stamps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Gap {
    /// Number of the event that ends it, from 2.
    pub event: usize,
    /// When that event came.
    pub at_s: f64,
    pub gap_s: f64,
    pub bounds: Bounds,
}

/// A gap far longer than the others.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stall {
    pub gap: Gap,
    /// Events that came in the same read as the one that ends it, itself among them.
    pub events_in_read: u32,
    /// How long of it this program did not run, as far as it watched itself.
    pub client_stood_still_s: Option<f64>,
}

/// A request that a report draws, and what it was chosen for.
#[derive(Clone, Debug, Serialize)]
pub struct Chosen {
    /// One or more: `slowest TTFT`, `about the median TTFT`, `failed: http_error` …
    pub why: Vec<String>,
    pub waterfall: Waterfall,
}
