//! What ranks say to each other, as it stands in their files. This file must not know who reads it.
//!
//! Nothing of an earlier run in the same folder can be taken for this one's: rank 0 takes only answers that
//! repeat the id that it has just drawn, and another rank believes rank 0 only when that repeats the number
//! that it has just drawn itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::board::Said;
use crate::clock::UnixNs;

/// What rank 0 says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Call {
    /// Drawn anew for each run.
    pub(super) run_id: String,
    /// How often it has been said, and when the last time, on rank 0's clock.
    pub(super) said: u64,
    pub(super) said_unix_ns: UnixNs,
    /// Whose answers were read.
    pub(super) heard: BTreeMap<u32, Heard>,
    /// Asks for a sign of having read this: how long the way through the folder takes.
    pub(super) sign: u32,
    pub(super) start_unix_ns: Option<UnixNs>,
    /// There will be no run, and why.
    pub(super) refused: Option<String>,
}

/// An answer that was read.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Heard {
    /// As the answer has it.
    pub(super) number: u64,
    /// The answering rank's clock is ahead of rank 0's by no less.
    pub(super) ahead_at_least_ns: i64,
}

/// How far a rank has come.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    #[default]
    Here,
    /// All is ready to send.
    Ready,
    /// All that it sent has ended.
    Ended,
}

/// What another rank answers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    /// The call's.
    pub(super) run_id: String,
    /// Drawn anew by each process.
    pub(super) number: u64,
    pub(super) said: u64,
    pub(super) said_unix_ns: UnixNs,
    pub(super) rank: u32,
    pub(super) world: u32,
    pub(super) hostname: Option<String>,
    pub(super) pid: u32,
    /// What must be the same on all ranks.
    pub(super) config: Value,
    pub(super) stage: Stage,
    pub(super) sign: u32,
    pub(super) counts: Counts,
    /// It cannot go on, and why.
    pub(super) failed: Option<String>,
}

/// What a rank sent, for what is waited for on the server's side.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    pub sent: u64,
    pub ok: u64,
    /// Warm-ups that ended well.
    pub warmed: u64,
    /// Of those that went past the hops: ended, and ended well.
    pub ended_by_hops: u64,
    pub ok_by_hops: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.ok += other.ok;
        self.warmed += other.warmed;
        self.ended_by_hops += other.ended_by_hops;
        self.ok_by_hops += other.ok_by_hops;
    }
}

impl Said for Call {
    fn again(&mut self, now: UnixNs) {
        self.said += 1;
        self.said_unix_ns = now;
    }
}

impl Said for Answer {
    fn again(&mut self, now: UnixNs) {
        self.said += 1;
        self.said_unix_ns = now;
    }
}

impl Answer {
    /// Rank and host, for people.
    pub(super) fn who(&self) -> String {
        match &self.hostname {
            Some(host) => format!("rank {} ({host}, process {})", self.rank, self.pid),
            None => format!("rank {} (process {})", self.rank, self.pid),
        }
    }
}
