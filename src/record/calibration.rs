//! What a calibration found: how far the client's figures were from what the embedded server knows to
//! have happened, one level of load after the other. Plain data for the manifest, the report and
//! programs. This file must not know how a level is run or how a table is drawn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A lower bound of a stamp may lie so long after the server's stamp of the write: the server takes
/// its stamp before it calls the kernel, and may be interrupted in between.
pub const TOLERANCE_S: f64 = 50e-6;

/// One calibration: every level that was run, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// How long each level sent.
    pub level_duration_s: f64,
    /// The embedded server's TTFT was spread by so much to either side, relative; 0: not at all.
    pub ttft_spread: f64,
    pub levels: Vec<Level>,
}

/// One load and what was found at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// `as configured`, or the number of streams in words.
    pub name: String,
    /// The load in words.
    pub load: String,
    /// Users of a closed loop; null for arrivals at a rate.
    pub streams: Option<u32>,
    /// The engine's fixed rate, tokens per second of each stream; null where the configuration's own
    /// engine emitted.
    pub tokens_per_second: Option<f64>,
    pub requests: RequestCounts,
    pub events: EventCounts,
    /// Streams × the fixed rate, tokens/s; null where one of them is not known beforehand.
    pub offered_tps: Option<f64>,
    /// Tokens that reached the client, per second, between the ramp's end and the last request sent.
    pub attained_tps: Option<f64>,
    pub cost: Cost,
    pub errors: Vec<ErrorRow>,
    /// What the run of this level warned of.
    pub warnings: Vec<String>,
}

/// Requests: all = compared + not compared, each with its reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestCounts {
    pub all: usize,
    /// Its events stand one by one beside the server's.
    pub compared: usize,
    pub not_compared: BTreeMap<String, usize>,
    /// Of those compared: not ended when the level was. Its events so far count, its duration does not.
    pub in_flight: usize,
}

/// Token events: client = compared + not compared; server = compared + not received + not compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EventCounts {
    pub client: usize,
    /// Written by the server, to requests of this level.
    pub server: usize,
    pub compared: usize,
    /// Of those compared: stamped exactly.
    pub exact: usize,
    /// At the client and at the server, of requests that are not compared.
    pub client_not_compared: usize,
    pub server_not_compared: usize,
    /// Written to requests that were given up before they came.
    pub not_received: usize,
    /// Compared, and the stamp lies before the write: impossible for a stamp that is right.
    pub stamp_before_write: usize,
    /// Compared, not exact, and the lower bound lies after the write by more than [`TOLERANCE_S`].
    pub bound_after_write: usize,
}

/// What the level cost the client; null where the system does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Processor time of the load's threads, user and system.
    pub load_cpu_s: Option<f64>,
    /// The same, of the whole client: with the writer, scrapes, the server's log and spans.
    pub client_cpu_s: Option<f64>,
    pub load_cpu_s_per_million_events: Option<f64>,
    pub client_cpu_s_per_million_events: Option<f64>,
    /// The most memory resident at any time of the level, by the kernel's own mark.
    pub peak_rss_bytes: Option<u64>,
}

/// The errors of one quantity by one kind of stamp, seconds, with their sign: client − server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorRow {
    pub quantity: Quantity,
    pub stamp: Stamp,
    pub n: usize,
    pub mean_s: f64,
    pub p50_s: f64,
    pub p99_s: f64,
    pub min_s: f64,
    pub max_s: f64,
    /// Of the mean: client's mean / server's mean − 1. Only for what has a length itself.
    pub relative_mean: Option<f64>,
}

/// What is compared with the truth.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    Event,
    TtftStarted,
    TtftScheduled,
    Itl,
    E2e,
    /// No error: what lies between the client and the server's record, inside TTFT's and E2E's.
    WayOut,
}

impl Quantity {
    /// In the order of printing.
    pub const ALL: [Quantity; 6] = [
        Quantity::Event,
        Quantity::TtftStarted,
        Quantity::TtftScheduled,
        Quantity::Itl,
        Quantity::E2e,
        Quantity::WayOut,
    ];

    /// The words used in tables.
    pub fn name(self) -> &'static str {
        match self {
            Quantity::Event => "event stamp",
            Quantity::TtftStarted => "TTFT from started",
            Quantity::TtftScheduled => "TTFT from scheduled",
            Quantity::Itl => "ITL",
            Quantity::E2e => "E2E",
            Quantity::WayOut => "way to the server",
        }
    }

    /// The formula, in one sentence.
    pub fn definition(self) -> &'static str {
        match self {
            Quantity::Event => {
                "client's stamp of a token event − the server's stamp of its write, taken just before the kernel is given the event's first byte"
            }
            Quantity::TtftStarted => {
                "client TTFT, from the request's start, − (write of the first token event − request fully read by the server); sending is inside, and connecting where it is on the clock"
            }
            Quantity::TtftScheduled => "the same, with the client's TTFT from when the request was scheduled",
            Quantity::Itl => {
                "gap between two token events that follow each other at the client − the same gap between their writes, pooled"
            }
            Quantity::E2e => {
                "client's request duration, from the request's start, − (write of the last token event − request fully read by the server); requests that ended well"
            }
            Quantity::WayOut => {
                "first write of the request at the client → request fully read by the server: no error of a stamp, but inside those of TTFT and E2E; a busy server reads late"
            }
        }
    }
}

/// Which of the client's stamps.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stamp {
    /// The kernel's, where it is the event's own.
    Exact,
    /// The stamp that every figure uses: the kernel's, exact or the upper end of an interval; the
    /// program's where the kernel gave none.
    Kernel,
    /// When the program had the bytes: what a tool without kernel stamps would say.
    User,
}

impl Stamp {
    /// The words used in tables.
    pub fn name(self) -> &'static str {
        match self {
            Stamp::Exact => "kernel, exact",
            Stamp::Kernel => "kernel",
            Stamp::User => "user",
        }
    }
}

impl Level {
    /// The errors of a quantity, by each kind of stamp.
    pub fn of(&self, quantity: Quantity) -> impl Iterator<Item = &ErrorRow> {
        self.errors.iter().filter(move |row| row.quantity == quantity)
    }

    /// The errors of a quantity by one kind of stamp.
    pub fn row(&self, quantity: Quantity, stamp: Stamp) -> Option<&ErrorRow> {
        self.of(quantity).find(|row| row.stamp == stamp)
    }
}

impl EventCounts {
    /// Exact of those compared, 0 to 1; null without any.
    pub fn exact_share(&self) -> Option<f64> {
        (self.compared > 0).then(|| self.exact as f64 / self.compared as f64)
    }
}
