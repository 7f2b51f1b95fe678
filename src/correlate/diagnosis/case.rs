//! What several rules ask of a route, worked out once: its streams' bursts, the server's step, what was
//! added and what of it is still unexplained, who names itself. This file must not know what any rule
//! concludes.

use super::added::{self, Added, Against};
use super::products::{self, Named};
use super::remedies::{self, Ailment};
use super::signature::{self, Stream};
use super::tries::{self, Tries};
use super::{LEAST_REQUESTS, Passage, Route};
use crate::metric::Metric;
use crate::record::verdicts::{Kind, Stake, Sure, VerdictRow};
use crate::record::{HopRow, JoinedRow, Status};
use crate::stats::blocks::Blocks;
use crate::stats::bootstrap;
use crate::stats::quantile::{quantile, sorted};
use crate::units;

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
    /// Without what verdicts have explained so far.
    pub added: Vec<Added>,
    /// Which rules have explained some of it, and the median of that over so many requests, s.
    explained: Vec<(&'static str, f64, usize)>,
    /// Of each passage that was sent to the server again.
    pub tries: Vec<Option<Tries>>,
    /// What the way straight to the server adds, by the server's times.
    pub added_direct: Vec<Added>,
    /// What the way to the server adds without the gateway, by the same account: medians, s.
    pub without: Option<(f64, f64)>,
    pub named: Vec<Named>,
}

/// A hop's name, and its rows with what they are of.
type OfHop<'a> = (&'a str, Vec<(&'a Passage<'a>, &'a HopRow)>);

/// What a verdict explains of the time added to one request, s.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    pub first_s: f64,
    pub last_s: f64,
}

impl Part {
    /// The same of the first and of the last token.
    pub fn alike(s: f64) -> Self {
        Self { first_s: s, last_s: s }
    }
}

impl<'a> Case<'a> {
    pub fn new(route: &'a Route<'a>) -> Self {
        let by_server =
            median(route.passages.iter().chain(&route.direct).filter_map(|p| added::step_s(p.row)));
        let events =
            |p: &&Passage<'_>| p.row.client.status == Status::Ok && p.events.len() >= signature::LEAST_EVENTS;
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
        let streams = |of: &'a [Passage<'a>]| -> Vec<Stream> {
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
            explained: Vec::new(),
            tries: route.passages.iter().map(tries::of).collect(),
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

    /// What the way to the server adds without the gateway to the first and to the last token, if that is known; else
    /// it counts for nothing.
    pub fn without_s(&self) -> (f64, f64) {
        self.without.unwrap_or((0.0, 0.0))
    }

    /// Whether what was added is known beside what the way straight to the server adds.
    pub fn is_beside_direct(&self) -> bool {
        self.without.is_some() || self.against == Against::Twin
    }

    /// From now on what was added is without these parts, one for each request of [`Self::added`].
    pub fn explained_by(&mut self, rule: &'static str, parts: &[Part]) {
        for (added, part) in self.added.iter_mut().zip(parts) {
            added.first_s -= part.first_s;
            added.last_s -= part.last_s;
        }
        let some: Vec<f64> =
            parts.iter().map(|part| part.first_s.max(part.last_s)).filter(|s| *s > 0.0).collect();
        let n = some.len();
        self.explained.extend(median(some).map(|median_s| (rule, median_s, n)));
    }

    /// What was added to the first and the last token, in words: medians of what is still unexplained, without what
    /// the direct way adds.
    pub fn added_words(&self) -> Option<String> {
        let (without_first, without_last) = self.without_s();
        let mut said = format!(
            "added to the first token {}, to the last {} (medians of {}, {} requests)",
            units::seconds(median(self.added.iter().map(|a| a.first_s - without_first))?),
            units::seconds(median(self.added.iter().map(|a| a.last_s - without_last))?),
            self.against_words(),
            self.added.len()
        );
        if self.without.is_some() {
            said += ", without what the direct way adds";
        }
        Some(said + &self.explained_words())
    }

    /// What is left out because another verdict explains it.
    pub fn explained_words(&self) -> String {
        let one = |(rule, median_s, n): &(&str, f64, usize)| {
            format!(", without what `{rule}` explains ({}, median of {n})", units::seconds(*median_s))
        };
        self.explained.iter().map(one).collect()
    }

    /// What each hop tells, in the order of the way.
    pub fn by_hop(&self) -> Vec<OfHop<'a>> {
        let mut hops: Vec<OfHop<'a>> = Vec::new();
        for passage in &self.route.passages {
            for row in passage.hops.iter().copied() {
                match hops.iter_mut().find(|(name, _)| *name == row.hop) {
                    Some((_, rows)) => rows.push((passage, row)),
                    None => hops.push((&row.hop, vec![(passage, row)])),
                }
            }
        }
        hops
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
