//! The one thing to change at the server so that the next run can say more, with what it would add. This
//! file must not know how any evidence was joined.

use super::Report;
use crate::record::correlated::Evidence;
use crate::server::{self, Server};

/// One sentence; `None` where nothing more can be had, or where the server's kind offers nothing.
pub fn sentence(report: &Report<'_>) -> Option<String> {
    let target = &report.manifest.target;
    let kind = server::find(&target.server)?;
    // The embedded server is told by the configuration, not by flags.
    if target.embedded {
        return None;
    }
    let source = report.correlated.breakdown.source;
    let has = match source {
        Evidence::Span | Evidence::ServerStamps => return None,
        Evidence::StatLog => {
            "a stat log gives each request's arrival, queue, prefill, decode and E2E, and no TTFT"
        }
        Evidence::InBand if kind.in_band.flag().is_none() => {
            "what the answers tell has neither instants nor TTFT"
        }
        Evidence::InBand => "in-band metrics give queue and prefill, and neither instants nor TTFT",
        Evidence::Log => "log lines say when a request arrived, and nothing of what followed",
        Evidence::Metrics => {
            "the metrics endpoint gives exact means over all requests, and nothing about any one"
        }
        Evidence::LogStats | Evidence::None => "nothing is known of the engine's part of a request",
    };
    Some(format!("Here {has}. {}", unlock(kind, source)?))
}

fn unlock(kind: &Server, source: Evidence) -> Option<String> {
    let spans = kind.spans_flag.map(|flag| {
        format!(
            "`{flag} http://THIS_HOST:4317` at the server and `--otlp` here would add each request's arrival, TTFT, queue, prefill and decode"
        )
    });
    let in_band = kind
        .in_band
        .flag()
        .filter(|_| matches!(source, Evidence::Log | Evidence::Metrics | Evidence::LogStats | Evidence::None))
        .map(|flag| format!("`{flag}` alone would add queue, prefill and decode of each"));
    match (spans, in_band) {
        (Some(spans), Some(in_band)) => Some(format!("{spans}; {in_band}.")),
        (Some(one), None) | (None, Some(one)) => Some(format!("{one}.")),
        (None, None) => None,
    }
}
