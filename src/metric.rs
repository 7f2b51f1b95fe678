//! The dictionary: every metric's name, unit and definition, said once. Code, columns, YAML, text
//! and plots take their words from here. This file must not know how a metric is computed or drawn.

use serde::{Deserialize, Serialize};

/// What is measured. Columns end in the unit; definitions are printed with the report.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    Ttft,
    TtftUser,
    TtftScheduled,
    TtftContent,
    Throughput,
    ItlMean,
    Itl,
    Tpot,
    E2e,
    Queue,
    Prefill,
    Decode,
    QueuePrefill,
}

/// The unit of a metric's values in files.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    Seconds,
    TokensPerSecond,
}

impl Metric {
    /// Every metric, in the order of the dictionary.
    pub const ALL: [Metric; 13] = [
        Metric::Ttft,
        Metric::TtftUser,
        Metric::TtftScheduled,
        Metric::TtftContent,
        Metric::Throughput,
        Metric::ItlMean,
        Metric::Itl,
        Metric::Tpot,
        Metric::E2e,
        Metric::Queue,
        Metric::Prefill,
        Metric::Decode,
        Metric::QueuePrefill,
    ];

    /// The short name people know.
    pub fn name(self) -> &'static str {
        match self {
            Metric::Ttft => "TTFT",
            Metric::TtftUser => "TTFT (user stamp)",
            Metric::TtftScheduled => "TTFT from schedule",
            Metric::TtftContent => "TTFT, first visible text",
            Metric::Throughput => "Token Throughput",
            Metric::ItlMean => "Inter-Token Latency",
            Metric::Itl => "ITL, pooled gaps",
            Metric::Tpot => "TPOT",
            Metric::E2e => "Request Duration",
            Metric::Queue => "Queue",
            Metric::Prefill => "Prefill",
            Metric::Decode => "Decode",
            Metric::QueuePrefill => "Queue + prefill",
        }
    }

    /// The column that holds it.
    pub fn column(self) -> &'static str {
        match self {
            Metric::Ttft => "ttft_s",
            Metric::TtftUser => "ttft_user_s",
            Metric::TtftScheduled => "ttft_scheduled_s",
            Metric::TtftContent => "ttft_content_s",
            Metric::Throughput => "user_throughput_tps",
            Metric::ItlMean => "itl_mean_s",
            Metric::Itl => "itl_s",
            Metric::Tpot => "tpot_s",
            Metric::E2e => "e2e_s",
            Metric::Queue => "queue_s",
            Metric::Prefill => "prefill_s",
            Metric::Decode => "decode_s",
            Metric::QueuePrefill => "queue_prefill_s",
        }
    }

    /// The unit of its values in files.
    pub fn unit(self) -> Unit {
        match self {
            Metric::Throughput => Unit::TokensPerSecond,
            _ => Unit::Seconds,
        }
    }

    /// What it means, in one sentence.
    pub fn definition(self) -> &'static str {
        match self {
            Metric::Ttft => {
                "first event that bears an output token (reasoning or content; a role-only chunk is no token), at its kernel stamp, minus the request's start"
            }
            Metric::TtftUser => "as TTFT, at the moment the program had the bytes in hand",
            Metric::TtftScheduled => "as TTFT, from the moment the schedule wanted the request sent",
            Metric::TtftContent => "first event with visible text (not reasoning), minus the request's start",
            Metric::Throughput => "output tokens / request duration, per request",
            Metric::ItlMean => "per request: (last token - first token) / (output tokens - 1)",
            Metric::Itl => "gaps between token-bearing events, all requests pooled",
            Metric::Tpot => {
                "per request: (request duration - TTFT) / (output tokens - 1); requests with one token excluded"
            }
            Metric::E2e => "last token minus the request's start",
            Metric::Queue => "server: waiting for the scheduler (queued to scheduled)",
            Metric::Prefill => "server: scheduled to first token in the engine; no queue, no front end",
            Metric::Decode => "server: first to last token in the engine",
            Metric::QueuePrefill => {
                "server: queue + prefill, without the front end (template, tokenizer, IPC); not a TTFT"
            }
        }
    }
}
