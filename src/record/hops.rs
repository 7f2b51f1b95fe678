//! What correlation says of the hops between client and server: each request's passage placed on the
//! client's clock, how a hop's rows were joined, and where the time went on the way. This file must not
//! know how any of it is found or shown.

use std::collections::BTreeMap;

use serde::Serialize;

use super::HopRow;
use super::breakdown::{Bounds, Within};
use super::clocks::Clocks;
use crate::metric::Metric;
use crate::stats::Estimate;

/// One request's passage through one hop.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Passage {
    /// Of several rows (a hop that tried again) the one whose answer the client got.
    pub row: HopRow,
    /// Rows of this hop that are the request's.
    pub rows: usize,
    /// Of several rows, those that failed before the one whose answer the client got began: tries of
    /// whoever stands before this hop, and how long it was from the first of them to that one.
    pub tries_before: Option<(usize, f64)>,
    pub found_by: FoundBy,
    /// On the client's clock, somewhere within: the request came, all of it was sent on; the first and the
    /// last token came and went on.
    pub start: Option<Within>,
    pub sent_on: Option<Within>,
    pub first_in: Option<Within>,
    pub first_out: Option<Within>,
    pub last_in: Option<Within>,
    pub last_out: Option<Within>,
    /// `first_in` is the first byte of the answer's body, which may be no token yet.
    pub first_is_body: bool,
    /// The hop's clock may have been stepped while the request was under way.
    pub stepped: bool,
}

/// By what a hop's row was found to be a request's.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// The `X-Request-Id` that was sent.
    RequestId,
    /// The hop's own id, which its answer told.
    AnswerId,
    /// The id in the answer's body.
    ResponseId,
    TraceId,
    /// The client's port, at a time that fits.
    Address,
}

impl FoundBy {
    /// The words used in reports.
    pub fn name(self) -> &'static str {
        match self {
            FoundBy::RequestId => "X-Request-Id",
            FoundBy::AnswerId => "the id that the answer's head tells",
            FoundBy::ResponseId => "the id in the answer's body",
            FoundBy::TraceId => "trace id",
            FoundBy::Address => "port and time",
        }
    }
}

/// All hops of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Hops {
    /// In the order a request passes them.
    pub list: Vec<HopSummary>,
    /// Where the time to the first, and to the last token went on the way.
    pub ttft: Option<HopPath>,
    pub e2e: Option<HopPath>,
    /// What gateways state in the heads of answers, whether they are in the list or not.
    pub stated: Vec<Stated>,
    /// What they state that could not be read.
    pub unread: Vec<Unread>,
}

/// Values of one header that could not be read, alike.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unread {
    pub header: String,
    pub expected: &'static str,
    /// The first that was found.
    pub found: String,
    /// Answers with such a value.
    pub n: usize,
}

/// A duration that a gateway states in its answers' heads, over the requests that it is stated of. It was
/// sent before the first token, so it holds nothing of what happens to tokens.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stated {
    pub product: String,
    /// As the gateway calls it.
    pub what: String,
    /// The mean, s.
    pub mean: Estimate,
    pub p50_s: f64,
    pub p99_s: f64,
    /// Answers whose head's wait the client knows, from sending to the head.
    pub compared: usize,
    /// Those of them in which the duration is longer than that wait, which it cannot be.
    pub longer: usize,
    /// The unit in which it would agree with the client's waits, where in the one it should have it does not.
    pub rather: Option<&'static str>,
    /// The product states whole milliseconds: each is good to one, either way.
    pub whole_ms: bool,
}

/// One hop: how its rows were joined, its clock, and its own view.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HopSummary {
    pub name: String,
    /// As its rows name it.
    pub product: String,
    pub rows: usize,
    /// Requests that should have passed it = joined + unjoined.
    pub requests: usize,
    pub joined: usize,
    /// By [`FoundBy::name`].
    pub by: BTreeMap<&'static str, usize>,
    /// Reason → requests.
    pub unjoined: BTreeMap<String, usize>,
    /// Reason → rows that are no request's.
    pub leftovers: BTreeMap<String, usize>,
    /// Requests with more than one row, or more than one try in it.
    pub tried_again: usize,
    /// How the client's answer ended and what the hop says of it, where these differ → requests.
    pub ends: BTreeMap<String, usize>,
    /// Its rows were shifted by so many minutes: they are of another time zone.
    pub zone_minutes: Option<i64>,
    /// Hops before it in this list, as far as requests contradict how the two were listed.
    pub out_of_place: Vec<OutOfPlace>,
    pub clocks: Clocks,
    /// What it saw itself, by its own timers: TTFT and E2E, as far as it tells them.
    pub stations: Vec<Station>,
}

impl HopSummary {
    /// Whether it is another hop of the list once more, and no place of its own on the way.
    pub fn is_listed_twice(&self) -> bool {
        self.out_of_place.iter().any(|one| one.listed == Listed::Twice)
    }
}

/// Two hops that were not listed as requests pass them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutOfPlace {
    /// The hop before it.
    pub other: String,
    pub listed: Listed,
    /// Requests that say so, of those that tell.
    pub requests: usize,
    pub of: usize,
}

/// What is the matter with the place of a hop behind another.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Listed {
    /// It was listed before the other, and requests passed the other first: they are taken in that order.
    Reversed,
    /// Some requests passed the other first and some this one.
    Unclear,
    /// Both tell the same: one log under two names. It parts nothing on the way.
    Twice,
}

/// A metric as a hop saw it, over the requests that ended well and passed it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Station {
    pub metric: Metric,
    /// The mean.
    pub seen: Estimate,
    /// Client − hop, paired: what lies between the two, both ways.
    pub outside: Estimate,
}

/// Where the time went on the way, in the order of the way: parts between the cuts that the evidence
/// gives. In every column they sum to its total.
#[derive(Clone, Debug, Serialize)]
pub struct HopPath {
    pub of: Metric,
    /// Requests that have the metric and passed the hops, and those of them that it is made of.
    pub n_total: usize,
    pub n: usize,
    pub rule: String,
    pub columns: Vec<HopColumn>,
    /// Cuts that were left out because they are not known well enough, and other doubts.
    pub lacking: Vec<String>,
}

/// At the mean, or around a percentile.
#[derive(Clone, Debug, Serialize)]
pub struct HopColumn {
    pub at: String,
    pub n: usize,
    pub total_s: f64,
    pub parts: Vec<HopPart>,
    /// The parts of each side of the server together, in the order of the way.
    pub sides: Vec<HopSideSum>,
}

/// The parts of one side together.
#[derive(Clone, Debug, Serialize)]
pub struct HopSideSum {
    pub side: HopSide,
    pub mean_s: f64,
    /// The evidence leaves the mean open by so much to either side, whatever the requests.
    pub doubt_s: f64,
}

/// What lies between two cuts.
#[derive(Clone, Debug, Serialize)]
pub struct HopPart {
    pub name: String,
    /// Which side of the server it is on.
    pub side: HopSide,
    /// Where in it a hop of the list lies: between its in and out, or before and after it as well.
    pub hops: Vec<usize>,
    pub mean_s: f64,
    /// 95 % interval of the mean, over requests.
    pub interval: Option<Bounds>,
    /// Where the mean lies by the evidence, whatever the requests; `None`: both cuts are stamped exactly.
    pub bounds: Option<Bounds>,
    pub n_negative: usize,
}

/// On which side of the server a part lies.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HopSide {
    /// The client's own: connecting and sending.
    Client,
    Request,
    /// The server, or a part that holds it.
    Server,
    Response,
}

impl HopSide {
    /// The word used in reports.
    pub fn name(self) -> &'static str {
        match self {
            HopSide::Client => "client",
            HopSide::Request => "request",
            HopSide::Server => "server",
            HopSide::Response => "response",
        }
    }
}
