//! Waiting for what comes after the load: spans, and lines of hops' logs. This file must not know what they say.

use std::time::Duration;

use crate::config::Config;
use crate::ingest::Collector;
use crate::load::{self, Requests};

/// Until the spans of as many requests have come as ended well, warm-ups among them.
pub(super) fn spans(config: &Config, plan: &load::Plan, expected: u64, collector: &Collector) {
    let ours = format!("{:016x}", plan.requests.nonce);
    let patience = Duration::from_secs_f64(config.observe.span_wait_s);
    collector.wait_spans(patience, |seen| {
        seen.n_request_spans >= expected
            && seen.trace_ids.iter().filter(|id| id.starts_with(&ours)).count() as u64 >= expected
    });
}

/// Until every hop's log has told of the requests that ended well, and a little longer for the others: those that
/// never reached a hop are in no log. Lines come late where a gateway writes them in one go.
pub(super) fn hops(config: &Config, plan: &load::Plan, [ok, sent]: [u64; 2], collector: &Collector) {
    let Requests { id_prefix, nonce, .. } = &*plan.requests;
    let (request_ids, trace_ids) = (format!("{id_prefix}{:08x}-", *nonce as u32), format!("{nonce:016x}"));
    let patience = Duration::from_secs_f64(config.observe.span_wait_s);
    if collector.wait_hops(patience, ok, &request_ids, &trace_ids) {
        collector.wait_hops(patience.min(Duration::from_secs(1)), sent, &request_ids, &trace_ids);
    }
}
