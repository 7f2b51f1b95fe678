//! What gateways say themselves of the time for which they had a request before they asked the server: by the timers
//! of their logs, and by headers of their answers. This file must not know what is concluded.

use tare_parsers::hop_headers;

use super::Passage;
use crate::record::HopRow;

/// Durations in headers that are the gateway's own, and over before the server was asked, or nearly: by product and name.
const OWN: [(&str, &str); 2] = [("litellm", "overhead"), ("kong", "proxy_latency")];

/// The longest that one of them says, s; `None`: none says anything.
pub fn before_upstream_s(passage: &Passage<'_>) -> Option<f64> {
    let headers = passage.row.client.answer_headers.iter();
    let (told, _) = hop_headers::read(headers.map(|(name, value)| (name.as_str(), value.as_str())));
    let by_headers = told.iter().flat_map(|told| {
        let own = |name: &str| OWN.contains(&(told.product, name));
        told.stated.iter().filter(move |(name, _)| own(name)).map(|(_, s)| *s)
    });
    passage.hops.iter().filter_map(|hop| by_timers(hop)).chain(by_headers).reduce(f64::max)
}

/// From when all of the request was there: a client that sends it slowly is no wait.
fn by_timers(hop: &HopRow) -> Option<f64> {
    let known = [hop.queue_s, hop.connected_s].into_iter().flatten().reduce(f64::max);
    let had = hop.request_received_s.or(hop.request_head_s).unwrap_or(0.0);
    Some(known.or(hop.upstream_sent_s)? - had)
}
