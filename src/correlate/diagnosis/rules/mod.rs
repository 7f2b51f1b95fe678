//! The rules, one file each: a pure function of a route's evidence that gives a verdict or none. This
//! module must not know how the evidence was recorded.

mod coalescing;
mod compression;
mod connection_churn;
mod cut_logged_whole;
mod falling_behind;
mod head_held;
mod id_lost;
mod lost_answers;
mod queueing;
mod retries;
mod stragglers;
mod whole_answer;

pub use self::coalescing::held as held_together;

use super::case::{Case, Part};
use crate::record::verdicts::VerdictRow;

/// Requests of which so many must show what delays tokens: twins scatter, but as often to the other side.
const MOST: f64 = 0.75;
/// Of what a server does or keeps for each request, so many.
const NEARLY_ALL: f64 = 0.9;
/// The last token is late by so much of what the first is, where a request waited and nothing was held.
const ALIKE: f64 = 0.3;

/// One rule.
pub struct Rule {
    pub name: &'static str,
    /// What it looks for.
    pub about: &'static str,
    pub(super) ground: Ground,
    pub(super) judge: fn(&Case<'_>) -> Option<VerdictRow>,
    /// What its verdict explains of the time added to each request of [`Case::added`], in their order.
    pub(super) explains: Option<fn(&Case<'_>) -> Vec<Part>>,
}

/// What a rule's verdict stands on, the strongest first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ground {
    /// Somebody on the way, or a header, says so.
    Records,
    /// How tokens came: bursts, holds, a pace.
    Streams,
    /// What few requests lost that most did not.
    Few,
    /// That requests are late at all.
    Lateness,
}

impl Ground {
    pub(super) const ALL: [Ground; 4] = [Ground::Records, Ground::Streams, Ground::Few, Ground::Lateness];
}

/// Every rule, in the order of printing: what costs most comes first.
pub const RULES: &[Rule] = &[
    compression::RULE,
    whole_answer::RULE,
    coalescing::RULE,
    falling_behind::RULE,
    queueing::RULE,
    stragglers::RULE,
    head_held::RULE,
    lost_answers::RULE,
    cut_logged_whole::RULE,
    retries::RULE,
    connection_churn::RULE,
    id_lost::RULE,
];
