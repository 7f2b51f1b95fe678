//! What several rules ask of a route, worked out once: its streams' bursts, the server's step, what was
//! added, who names itself. This file must not know what any rule concludes.

use super::added::{self, Added, Against};
use super::products::{self, Named};
use super::remedies::{self, Ailment};
use super::signature::{self, Stream};
use super::{LEAST_REQUESTS, Route};
use crate::metric::Metric;
use crate::record::verdicts::{Kind, Stake, Sure, VerdictRow};
use crate::record::{JoinedRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::bootstrap;
use crate::stats::quantile::{quantile, sorted};

/// Of a server that is faster it cannot be told whether its tokens came together.
const LEAST_STEP_S: f64 = 0.001;

/// A route, looked at.
pub struct Case<'a> {
    pub route: &'a Route<'a>,
    /// The server's time from token to token, s.
    pub step_s: Option<f64>,
    /// Streams that ended well and are long enough.
    pub streams: Vec<Stream>,
    pub direct_streams: Vec<Stream>,
    pub against: Against,
    pub added: Vec<Added>,
    /// What the way straight to the server adds, by the server's times.
    pub added_direct: Vec<Added>,
    /// What the way to the server adds without the gateway, by the same account: medians, s.
    pub without: Option<(f64, f64)>,
    pub named: Vec<Named>,
}

impl<'a> Case<'a> {
    pub fn new(route: &'a Route<'a>) -> Self {
        let by_server =
            median(route.passages.iter().chain(&route.direct).filter_map(|p| added::step_s(p.row)));
        let events = |p: &&super::Passage<'_>| {
            p.row.client.status == Status::Ok && p.events.len() >= signature::LEAST_EVENTS
        };
        // Of an audit without the server's word: as the tokens came straight from it.
        let by_direct = || {
            let gaps = route.direct.iter().filter(events).filter_map(|p| {
                let (first, last) = (p.events.first()?, p.events.last()?);
                let span = last.stamp_hi_unix_ns.seconds_since(first.stamp_hi_unix_ns);
                Some(span / (p.events.len() - 1) as f64)
            });
            median(gaps)
        };
        let step_s = by_server.or(route.server_itl_s).or_else(by_direct);
        let streams = |of: &'a [super::Passage<'a>]| -> Vec<Stream> {
            of.iter().filter(events).map(|p| signature::stream(&p.events, step_s, route.own)).collect()
        };
        let (against, added) = added::of(&route.passages, route.own);
        let (against_direct, added_direct) = added::of(&route.direct, route.own);
        let added_direct = if against_direct == Against::Server { added_direct } else { Vec::new() };
        let enough = against == Against::Server && added_direct.len() >= LEAST_REQUESTS;
        let without = median(added_direct.iter().map(|a| a.first_s))
            .zip(median(added_direct.iter().map(|a| a.last_s)))
            .filter(|_| enough);
        Self {
            step_s,
            streams: streams(&route.passages),
            direct_streams: streams(&route.direct),
            against,
            added,
            added_direct,
            without,
            named: products::named(route),
            route,
        }
    }

    /// The server's step, if it is long enough for its tokens to be told apart.
    pub fn clear_step_s(&self) -> Option<f64> {
        self.step_s.filter(|step| *step >= LEAST_STEP_S)
    }

    /// Whether anything shows that there is a gateway at all.
    pub fn has_gateway(&self) -> bool {
        !self.named.is_empty()
            || !self.route.direct.is_empty()
            || self.route.passages.iter().any(|p| !p.hops.is_empty())
    }

    /// In words: against what something was added.
    pub fn against_words(&self) -> &'static str {
        match self.against {
            Against::Server => "client − server",
            Against::Twin => "through − direct, the same prompt",
        }
    }

    /// A verdict without a stake, its remedies those of the products that name themselves.
    pub fn verdict(&self, rule: &'static str, kind: Kind, ailment: Option<Ailment>) -> VerdictRow {
        let mut products: Vec<String> = Vec::new();
        for named in &self.named {
            if !products.contains(&named.product.to_owned()) {
                products.push(named.product.to_owned());
            }
        }
        VerdictRow {
            rule,
            kind,
            what: String::new(),
            route: self.route.name.clone(),
            n: 0,
            of: 0,
            evidence: Vec::new(),
            at_stake: None,
            certainty: Sure::Likely,
            remedies: ailment.map(|a| remedies::of(a, &products)).unwrap_or_default(),
            products,
        }
    }

    /// The mean of what it costs each request, if enough are known.
    pub fn stake(&self, metric: Metric, seconds: &[f64]) -> Option<Stake> {
        if seconds.len() < LEAST_REQUESTS {
            return None;
        }
        let seconds = bootstrap::mean(seconds, Blocks::Rows, self.route.seed)?;
        Some(Stake { metric, seconds })
    }

    /// Requests that ended well and were streamed.
    pub fn whole(&self) -> impl Iterator<Item = &JoinedRow> {
        let rows = self.route.passages.iter().map(|p| p.row);
        rows.filter(|row| row.client.streamed && row.client.status == Status::Ok)
    }
}

/// The middle one of some values.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    at(values, 0.5)
}

/// A quantile of some values.
pub fn at(values: impl IntoIterator<Item = f64>, q: f64) -> Option<f64> {
    let values: Vec<f64> = values.into_iter().collect();
    quantile(&sorted(&values), q)
}

/// `k of n`, as a share.
pub fn share(k: usize, n: usize) -> f64 {
    if n == 0 { 0.0 } else { k as f64 / n as f64 }
}
