//! What gateways say themselves of one request: for how long they had it before they asked the server, and when they
//! had the head of its answer; by the timers of their logs, and by headers of their answers. This file must not know
//! what is concluded.

use tare_parsers::hop_headers::{self, Told};

use super::Passage;
use crate::record::{HopRow, RequestRow};

/// Durations in headers that are over before the server was asked, or nearly, by product and name.
const OWN: [(&str, &str); 1] = [("litellm", "overhead")];
/// In these is more: Kong counts from the first byte of the request, so that a client that sends it slowly, and tries
/// that failed, are in what it says.
const WITH_MORE: [(&str, &str); 1] = [("kong", "proxy_latency")];
/// Durations in headers that end with the head of the upstream's answer, by product; together they begin with the
/// request, or when it had gone on.
const HEADS: [(&str, &[&str]); 2] =
    [("kong", &["proxy_latency", "upstream_latency"]), ("envoy", &["upstream_service_time"])];

/// How long gateways had a request before they asked the server, s; `None`: none says so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Had {
    /// The longest time that was a gateway's own.
    pub own_s: Option<f64>,
    /// The longest in which the client's sending and tries that failed are, too.
    pub with_more_s: Option<f64>,
}

pub fn before_upstream(passage: &Passage<'_>) -> Had {
    let told = told(&passage.row.client);
    let by_headers =
        |names: &[(&str, &str)]| longest(names.iter().filter_map(|(by, name)| stated(&told, by, name)));
    let by_logs = longest(passage.hops.iter().filter_map(|hop| by_timers(hop)));
    Had { own_s: longest(by_logs.into_iter().chain(by_headers(&OWN))), with_more_s: by_headers(&WITH_MORE) }
}

/// From when all of the request was there: a client that sends it slowly is no wait.
fn by_timers(hop: &HopRow) -> Option<f64> {
    let known = [hop.queue_s, hop.connected_s].into_iter().flatten().reduce(f64::max);
    let had = hop.request_received_s.or(hop.request_head_s).unwrap_or(0.0);
    Some(known.or(hop.upstream_sent_s)? - had)
}

/// When a gateway had the head of the answer, from when it had the request or had sent it on, s, by headers of that
/// answer; of several the first that had it.
pub fn head_s(client: &RequestRow) -> Option<f64> {
    let told = told(client);
    let of =
        |(by, names): &(&str, &[&str])| names.iter().map(|name| stated(&told, by, name)).sum::<Option<f64>>();
    HEADS.iter().filter_map(of).reduce(f64::min)
}

fn told(client: &RequestRow) -> Vec<Told<'_>> {
    hop_headers::read(client.headers()).0
}

fn stated(told: &[Told<'_>], by: &str, name: &str) -> Option<f64> {
    let of_product = told.iter().find(|told| told.product == by)?;
    of_product.stated.iter().find(|(stated, _)| stated == name).map(|(_, s)| *s)
}

fn longest(all: impl Iterator<Item = f64>) -> Option<f64> {
    all.reduce(f64::max)
}
