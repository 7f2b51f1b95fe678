//! A run over time: what the client did in each stretch of it, what the server's gauges said, and when
//! each request began and ended, all on the client's clock from the first start on. This file must not
//! know how any of it is counted or drawn.

use serde::Serialize;

use super::Status;
use super::correlated::Evidence;
use crate::clock::UnixNs;

/// A run over time.
#[derive(Clone, Debug, Serialize)]
pub struct Timeline {
    /// The first start: where seconds count from.
    pub begin_unix_ns: UnixNs,
    /// Until the last request was done, s.
    pub length_s: f64,
    /// How long a stretch is, s; the last one may be shorter.
    pub bin_s: f64,
    pub bins: Vec<Bin>,
    /// First tokens, by longer stretches: as many requests in each as a band needs.
    pub firsts: Vec<Firsts>,
    /// In the order of time; may begin before the first start and end after the last end.
    pub server: Vec<AtServer>,
    /// Where the server's gauges come from: the metrics endpoints, else the log's stats lines.
    pub server_source: Option<Evidence>,
    /// Every request, by its start.
    pub requests: Vec<AtClient>,
}

/// A stretch of the run, as the client saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Bin {
    pub begin_s: f64,
    pub end_s: f64,
    /// Requests under way, averaged over the stretch.
    pub in_flight: f64,
    /// Requests that started, were done, and of these failed, in it.
    pub started: u32,
    pub ended: u32,
    pub failed: u32,
    /// Median of the requests that started in it and had a first token: at the client, and of those whose
    /// server tells it at the server.
    pub ttft_p50_s: Option<f64>,
    pub server_ttft_p50_s: Option<f64>,
    /// Output tokens that came in, per second; `None` where events do not say how many they hold.
    pub output_tps: Option<f64>,
}

/// The times to first token of the requests that started in a stretch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Firsts {
    pub begin_s: f64,
    pub end_s: f64,
    /// Requests that have one.
    pub n: usize,
    pub p50_s: f64,
    /// p10 and p90; `None` where there are too few for them.
    pub band_s: Option<(f64, f64)>,
    /// Of those whose server tells it.
    pub server_p50_s: Option<f64>,
}

/// What the server said at one moment, all endpoints together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct AtServer {
    pub at_s: f64,
    pub running: Option<f64>,
    pub waiting: Option<f64>,
    /// Share of the KV cache in use, 0 to 1: the mean over endpoints.
    pub kv_cache_usage: Option<f64>,
    /// Output tokens per second since the moment before (a log's line: over the interval it states).
    pub output_tps: Option<f64>,
}

/// When a request began and ended, and how long it waited for its first token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AtClient {
    pub request_id: String,
    pub index: u64,
    pub start_s: f64,
    pub done_s: f64,
    pub status: Status,
    pub ttft_s: Option<f64>,
    pub server_ttft_s: Option<f64>,
    pub itl_mean_s: Option<f64>,
    pub e2e_s: Option<f64>,
    pub output_tokens: Option<u32>,
}
