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

use super::case::Case;
use crate::record::verdicts::VerdictRow;

/// One rule.
pub struct Rule {
    pub name: &'static str,
    /// What it looks for.
    pub about: &'static str,
    pub(super) judge: fn(&Case<'_>) -> Option<VerdictRow>,
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
