//! The typed events that log lines become, the same for every log format. It must not know how any
//! format spells them, nor what a reader makes of them.

use crate::error::ParseError;
use crate::hop::Hop;
use crate::tare_stat_log::RequestStats;
use crate::time::LogTime;

/// What one line turned out to be. Nothing here ends a run: an unread line is counted and kept.
#[derive(Clone, Debug, PartialEq)]
// One at a time and never kept: a box would cost an allocation for each line.
#[allow(clippy::large_enum_variant)]
pub enum Parsed<'a> {
    Line(LogLine<'a>),
    Blank,
    /// Not a line of this format, or one that was cut short or malformed.
    Unknown(ParseError),
}

/// A line whose head was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct LogLine<'a> {
    /// `APIServer`, `EngineCore_DP1`, `Worker_TP0`, …; absent where the format does not say.
    pub process: Option<&'a str>,
    pub pid: Option<u32>,
    pub level: Option<&'a str>,
    pub time: Option<LogTime>,
    pub event: Event<'a>,
}

/// The parts of a task that are timed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TimingOf {
    /// Until the first token.
    Prefill,
    /// From the first token to the last.
    Decode,
    /// Both.
    Total,
}

impl TimingOf {
    pub fn as_str(self) -> &'static str {
        match self {
            TimingOf::Prefill => "prefill",
            TimingOf::Decode => "decode",
            TimingOf::Total => "total",
        }
    }
}

/// What the line says happened. Request ids are as written: with whatever prefix or suffix the
/// server added.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// The front end got the request.
    Received {
        request_id: &'a str,
    },
    /// The request was handed to the engine.
    Added {
        request_id: &'a str,
    },
    /// Output was logged.
    Generated {
        request_id: &'a str,
        phase: GeneratedPhase,
        /// Absent when the line gives none, or gives a placeholder instead of a reason.
        finish_reason: Option<&'a str>,
    },
    Finished {
        request_id: &'a str,
        input_tokens: Option<u32>,
        output_tokens: Option<u32>,
        finish_reason: Option<&'a str>,
    },
    /// A finished request with everything that the engine counted of it.
    RequestStats(RequestStats<'a>),
    /// How long a part of a finished task took, told by the task's number instead of a request's id.
    Timing {
        task: Option<u64>,
        of: TimingOf,
        elapsed_s: f64,
        tokens: u32,
    },
    /// One or more ids, joined by commas; see [`split_ids`].
    Aborted {
        request_ids: &'a str,
    },
    Failed {
        request_id: Option<&'a str>,
        reason: &'a str,
    },
    /// An HTTP access line. `client` is empty where the server does not log it.
    Access {
        client: &'a str,
        port: Option<u16>,
        method: &'a str,
        path: &'a str,
        status: u16,
    },
    /// The engine's periodic line. Usage and hit rate are 0..1.
    Stats {
        /// `000` of `Engine 000: …`, or the whole head where several engines are summed, such as
        /// `2 Engines Aggregated`; absent where the line names none.
        engine: Option<&'a str>,
        prompt_throughput_tps: f64,
        generation_throughput_tps: f64,
        running: u32,
        waiting: u32,
        kv_cache_usage: Option<f64>,
        prefix_cache_hit_rate: Option<f64>,
    },
    /// One engine step.
    Iteration {
        engine: Option<&'a str>,
        number: u64,
        context_requests: u32,
        context_tokens: u32,
        generation_requests: u32,
        generation_tokens: u32,
        elapsed_s: f64,
    },
    Version {
        version: &'a str,
    },
    /// The server says where it listens.
    Serving {
        url: &'a str,
    },
    /// A request that a gateway has finished with. Its ids are in it, not in [`Event::ids`].
    Hop(Box<Hop<'a>>),
    /// A line of this format that says nothing a report uses.
    Other,
}

/// Which part of a response a `Generated` line shows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum GeneratedPhase {
    /// One piece of a stream.
    Delta,
    /// The end of a stream.
    Complete,
    /// A response that was not streamed.
    Whole,
}

impl<'a> Event<'a> {
    /// Every request id the event names; none for events that name none.
    pub fn ids(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let ids = match *self {
            Event::Received { request_id }
            | Event::Added { request_id }
            | Event::Generated { request_id, .. }
            | Event::Finished { request_id, .. } => request_id,
            Event::Aborted { request_ids } => request_ids,
            Event::Failed { request_id, .. } | Event::RequestStats(RequestStats { request_id, .. }) => {
                request_id.unwrap_or_default()
            }
            _ => "",
        };
        split_ids(ids)
    }
}

/// The single ids of a comma-joined list.
pub fn split_ids(request_ids: &str) -> impl Iterator<Item = &str> {
    request_ids.split(',').map(str::trim).filter(|id| !id.is_empty())
}
