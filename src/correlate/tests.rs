//! Correlation on frames made by hand, one rule a test, and on a real run.

mod aggregate;
mod breakdown;
mod capture;
mod headline;
mod joins;
mod sources;
mod strays;
mod truth;
mod within;

use super::{Inputs, correlate};
use crate::record::correlated::{Check, Correlated};
use crate::record::{HopRow, LogRow, RequestRow, ScrapeRow, SpanRow, StatRow};
use crate::server::vllm::VLLM;
use crate::store::Events;

/// Everything that one test gives to correlation.
#[derive(Default)]
pub(super) struct Run {
    pub(super) requests: Vec<RequestRow>,
    pub(super) scrapes: Vec<ScrapeRow>,
    pub(super) log: Vec<LogRow>,
    pub(super) spans: Vec<SpanRow>,
    pub(super) stat_log: Vec<StatRow>,
    pub(super) hops: Vec<HopRow>,
    pub(super) two_hosts: bool,
}

impl Run {
    pub(super) fn correlate(&self) -> Correlated {
        let inputs = Inputs {
            scrapes: &self.scrapes,
            log: &self.log,
            spans: &self.spans,
            stat_log: &self.stat_log,
            hops: &self.hops,
            hop_names: &[],
            events: &Events::default().into(),
            own: None,
            server: &VLLM,
            same_host: !self.two_hosts,
            ranks_beside_server: &[],
            clock_bound_s: None,
            seed: 1,
        };
        let out = correlate(self.requests.clone(), &inputs).unwrap();
        // Holds whatever the input.
        let unjoined: usize = out.coverage.unjoined.values().sum();
        assert_eq!(out.coverage.requests, self.requests.len());
        assert_eq!(out.coverage.requests, out.coverage.joined + unjoined);
        assert_eq!(out.rows.len(), self.requests.len());
        out
    }
}

/// The check called `name`.
fn check<'a>(out: &'a Correlated, name: &str) -> &'a Check {
    out.checks.iter().find(|c| c.name == name).unwrap_or_else(|| panic!("no check {name}"))
}

/// A map of reasons as pairs, for comparison.
fn reasons(map: &std::collections::BTreeMap<String, usize>) -> Vec<(&str, usize)> {
    map.iter().map(|(reason, n)| (reason.as_str(), *n)).collect()
}
