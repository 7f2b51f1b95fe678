//! The lines of a server's stat logger as spans: they tell the same times, vLLM's without TTFT, and have an id
//! and mostly no trace. What joins spans joins them. This file must not know how a line was written.

use std::collections::BTreeMap;

use crate::record::{SpanRow, StatRow};
use crate::server::Server;

/// One span for each line that says when its request ended.
pub fn as_spans(rows: &[StatRow], server: &Server) -> Vec<SpanRow> {
    rows.iter().filter_map(|row| as_span(row, server)).collect()
}

fn as_span(row: &StatRow, server: &Server) -> Option<SpanRow> {
    let end_unix_ns = row.iteration_unix_ns?;
    Some(SpanRow {
        recv_unix_ns: row.read_unix_ns,
        via: "stat log".to_owned(),
        service: None,
        name: server.request_span.unwrap_or("request").to_owned(),
        trace_id: row.trace_id.clone().unwrap_or_default(),
        span_id: format!("{}:{}", row.source, row.line_no),
        parent_span_id: None,
        // E2E is the last output's instant - the arrival: `v1/metrics/stats.py` in vLLM.
        start_unix_ns: end_unix_ns.plus_seconds(-row.e2e_s?),
        end_unix_ns,
        request_id: Some(row.request_id.clone()).filter(|id| !id.is_empty()),
        ttft_s: row.ttft_s,
        e2e_s: row.e2e_s,
        queue_s: row.queue_s,
        prefill_s: row.prefill_s,
        decode_s: row.decode_s,
        inference_s: row.inference_s.filter(|_| row.prefill_s.is_none()),
        input_tokens: row.input_tokens,
        output_tokens: row.output_tokens,
        attributes: BTreeMap::new(),
    })
}
