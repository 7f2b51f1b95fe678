//! An audit's own words: the same requests sent straight to a server and through what stands before it,
//! in pairs; where each request belongs, and what was found. This file must not know how requests are
//! sent, how a figure is computed, or how it is shown.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::correlated::{Breakdown, HeadlineRow};
use super::hops::Hops;
use crate::clock::UnixNs;
use crate::metric::Metric;
use crate::stats::Estimate;

/// The manifest's key.
pub const KEY: &str = "audit";

/// Which way a request went.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// Straight to the server.
    Direct,
    /// Through what is audited.
    Through,
}

impl Arm {
    pub const BOTH: [Arm; 2] = [Arm::Direct, Arm::Through];

    /// The word used in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Arm::Direct => "direct",
            Arm::Through => "through",
        }
    }

    /// Its place in a pair of values.
    pub fn number(self) -> usize {
        usize::from(self == Arm::Through)
    }
}

/// How the users of a cell come by their connections.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Warmth {
    /// Opened ahead of their requests, off the clock, and kept within a leg.
    #[default]
    Warm,
    /// A new one for each request, on the clock.
    Cold,
}

impl Warmth {
    /// The word used in files and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Warmth::Warm => "warm",
            Warmth::Cold => "cold",
        }
    }
}

/// A leg: the requests that one arm sends in one round of one cell.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Leg {
    pub arm: Arm,
    /// Number of the cell in the plan.
    pub cell: u32,
    /// Number of the cell's round, from 0.
    pub round: u32,
    /// Of its first request, in the order of the run.
    pub first_index: u64,
    /// Of its first pair; both legs of a round have the same.
    pub first_pair: u64,
    pub requests: u64,
    /// Prompts that a dataset has, where they come from one: pairs beyond them send them again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<u64>,
}

impl Leg {
    /// The pair that request `index` of the run belongs to.
    pub fn pair(&self, index: u64) -> u64 {
        self.first_pair + index.saturating_sub(self.first_index)
    }
}

/// A leg that was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LegTold {
    #[serde(flatten)]
    pub leg: Leg,
    pub begun_unix_ns: UnixNs,
    pub ended_unix_ns: UnixNs,
}

/// What is held fixed while the two arms are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// Users at once.
    pub concurrency: u32,
    /// Tokens of a prompt, about; `None`: as the dataset has them.
    pub prompt_tokens: Option<u32>,
    pub connections: Warmth,
}

/// What an audit was to do, and did: kept in the manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub direct: String,
    pub through: String,
    pub cells: Vec<Cell>,
    pub requests_per_user: u32,
    /// The users of a leg start at random moments of this time, the same in both arms.
    pub spread_s: f64,
    /// Each prompt of each leg begins with words of its own.
    pub salted: bool,
    /// Every round has prompts that no other has.
    pub own_prompts: bool,
    pub legs: Vec<LegTold>,
}

/// Everything an audit found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    pub direct: String,
    pub through: String,
    pub salted: bool,
    pub own_prompts: bool,
    pub requests_per_user: u32,
    pub spread_s: f64,
    pub cells: Vec<CellFound>,
    pub growth: Vec<Growth>,
    /// Cold against warm connections, where a cell has both.
    pub cold: Vec<ColdAgainstWarm>,
    pub order: Vec<OrderEffect>,
    /// Each arm's own comparison of client and server.
    pub arms: Vec<ArmFound>,
}

/// One cell's figures.
#[derive(Clone, Debug, Serialize)]
pub struct CellFound {
    pub number: u32,
    #[serde(flatten)]
    pub cell: Cell,
    /// With at least one pair.
    pub rounds: usize,
    pub pairs: usize,
    /// Pairs that were begun on either side: those with both answers, and the lost ones.
    pub begun: usize,
    /// Why the others are none, reason → pairs.
    pub lost: BTreeMap<String, usize>,
    /// Requests that failed, by arm.
    pub failed: [usize; 2],
    /// Pairs whose two answers have not the same number of tokens.
    pub uneven: usize,
    /// Why no conclusion is drawn.
    pub too_few: Option<String>,
    /// TTFT, ITL, E2E of the pairs.
    pub figures: Vec<Figure>,
    /// TTFT without the server's, or the engine's, own part, of pairs whose both requests have that: its
    /// scatter is not in it.
    pub outside: Option<(Outside, Figure)>,
    /// Output tokens a second of a whole leg; n is rounds.
    pub throughput: Option<Figure>,
}

/// What was taken off a TTFT.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outside {
    /// The server's own TTFT.
    Server,
    /// The engine's queue and prefill; the server's front end is still in it.
    Engine,
}

/// One metric of a cell, by both ways.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub metric: Metric,
    pub direct: Distribution,
    pub through: Distribution,
    /// Through − direct, pair by pair, without the effect of order; intervals over rounds.
    pub added_mean: Estimate,
    pub added_median: Estimate,
}

/// A metric's mean and percentiles.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Distribution {
    pub mean: Estimate,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
}

/// What differs from cell to cell.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    Concurrency,
    PromptTokens,
}

/// How the added TTFT depends on one factor, all else alike.
#[derive(Clone, Debug, Serialize)]
pub struct Growth {
    pub factor: Factor,
    pub metric: Metric,
    /// Of a TTFT: what was taken off, if anything was.
    pub outside: Option<Outside>,
    /// Level → the mean over the cells of this level.
    pub levels: Vec<(u32, Estimate)>,
    /// The highest level − the lowest.
    pub last_less_first: Estimate,
    /// Least squares through the levels, per user more or per prompt token more; from three levels on.
    pub slope: Option<Estimate>,
}

/// What a new connection for each request adds to what is added.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ColdAgainstWarm {
    pub concurrency: u32,
    pub prompt_tokens: Option<u32>,
    pub metric: Metric,
    pub outside: Option<Outside>,
    pub warm: Estimate,
    pub cold: Estimate,
    pub cold_less_warm: Estimate,
}

/// What it does to an arm to come second in its round.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OrderEffect {
    pub arm: Arm,
    /// A longer prompt has more to be known by a cache.
    pub prompt_tokens: Option<u32>,
    pub metric: Metric,
    /// Mean when second − mean when first, over couples of a cell's rounds with either order, and over the
    /// cells of this prompt size; n is couples.
    pub second_less_first: Estimate,
}

/// One arm as a load of its own.
#[derive(Clone, Debug, Serialize)]
pub struct ArmFound {
    pub arm: Arm,
    pub headline: Vec<HeadlineRow>,
    pub breakdown: Breakdown,
    pub breakdown_e2e: Breakdown,
    /// What lies between client and server on this way; nothing on the direct one.
    pub hops: Hops,
}
