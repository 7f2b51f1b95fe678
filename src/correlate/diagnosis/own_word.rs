//! What gateways say themselves of one request: for how long they had it before they asked the server, and when they
//! had the head of its answer; by the timers of their logs, and by headers of their answers. This file must not know
//! what is concluded.

use tare_parsers::hop_headers::{self, Told};

use super::Passage;
use crate::record::HopRow;

/// Durations in headers that are over before the server was asked, or nearly: by product and name, and whether the
/// gateway's own time alone is in them. Kong counts from the first byte of the request, so a client that sends it
/// slowly, and tries that failed, are in what it says.
const BEFORE: [(&str, &str, bool); 2] = [("litellm", "overhead", true), ("kong", "proxy_latency", false)];

/// Durations in headers that end with the head of the upstream's answer, by product; together they begin with the
/// request.
const HEADS: [(&str, &[&str]); 2] =
    [("kong", &["proxy_latency", "upstream_latency"]), ("envoy", &["upstream_service_time"])];

/// How long a gateway had a request before it asked the server.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Had {
    pub s: f64,
    /// Neither the client's sending nor tries that failed are in it.
    pub is_own: bool,
}

/// The longest that one of them says; `None`: none says anything.
pub fn before_upstream(passage: &Passage<'_>) -> Option<Had> {
    let by_headers = told(passage).into_iter().flat_map(|told| {
        BEFORE.iter().filter(move |(product, ..)| *product == told.product).filter_map(
            move |(_, name, is_own)| {
                let (_, s) = told.stated.iter().find(|(stated, _)| stated == name)?;
                Some(Had { s: *s, is_own: *is_own })
            },
        )
    });
    let by_logs = passage.hops.iter().filter_map(|hop| by_timers(hop)).map(|s| Had { s, is_own: true });
    by_logs.chain(by_headers).reduce(|a, b| if b.s > a.s { b } else { a })
}

/// From when all of the request was there: a client that sends it slowly is no wait.
fn by_timers(hop: &HopRow) -> Option<f64> {
    let known = [hop.queue_s, hop.connected_s].into_iter().flatten().reduce(f64::max);
    let had = hop.request_received_s.or(hop.request_head_s).unwrap_or(0.0);
    Some(known.or(hop.upstream_sent_s)? - had)
}

/// When a gateway had the head of the answer, from the request on, s, by headers of that answer.
pub fn head_s(passage: &Passage<'_>) -> Option<f64> {
    told(passage).iter().find_map(|told| {
        let (_, names) = HEADS.iter().find(|(product, _)| *product == told.product)?;
        let of = |name: &&str| told.stated.iter().find(|(stated, _)| stated == name).map(|(_, s)| *s);
        names.iter().map(of).sum()
    })
}

fn told<'a>(passage: &Passage<'a>) -> Vec<Told<'a>> {
    let headers = passage.row.client.answer_headers.iter();
    hop_headers::read(headers.map(|(name, value)| (name.as_str(), value.as_str()))).0
}
