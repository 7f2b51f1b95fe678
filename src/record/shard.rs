//! What a run folder says of itself that is one part of a load sent by several processes, and what a merged
//! one says of the parts it is made of. Kept in the manifest under [`SHARD`] and [`MERGED`]. This file must
//! not know how ranks meet, or how clocks are aligned.

use serde::{Deserialize, Serialize};

use super::own::OwnLag;
use super::share::Share;
use crate::clock::UnixNs;

/// Its place in the manifest of a shard.
pub const SHARD: &str = "shard";
/// Its place in the manifest of a merged run.
pub const MERGED: &str = "merged";

/// One rank's part of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Shard {
    #[serde(flatten)]
    pub share: Share,
    /// The same on all ranks of one run, and on no other's.
    pub run_id: String,
    /// By what rank and size are known.
    pub from: String,
    /// Of everything that must be the same on all ranks.
    pub digest: String,
    /// Whether this rank records the server's side; one does, for all.
    pub observes: bool,
    /// The start as it was named, on the first rank's clock, and as this rank took it, on its own.
    pub named_start_unix_ns: Option<UnixNs>,
    pub own_start_unix_ns: Option<UnixNs>,
    /// How long after its start this rank was ready to send.
    pub ready_late_s: Option<f64>,
    pub pid: u32,
    /// One value for all processes that read one monotonic clock; `None` where the system does not tell.
    pub boot: Option<String>,
    /// Wall minus monotonic clock, on which all stamps of this process lie.
    pub axis_ns: i64,
    /// This rank's clock minus the first rank's, as what was read in the shared folder bounds it.
    pub ahead: Option<Ahead>,
}

/// A clock is ahead of another by no less and no more.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Ahead {
    pub at_least_ns: i64,
    pub at_most_ns: i64,
}

impl Ahead {
    pub fn exactly(ns: i64) -> Self {
        Self { at_least_ns: ns, at_most_ns: ns }
    }

    pub fn middle_ns(self) -> i64 {
        self.at_least_ns.midpoint(self.at_most_ns)
    }

    /// Half the width, s.
    pub fn reach_s(self) -> f64 {
        self.at_most_ns.saturating_sub(self.at_least_ns) as f64 / 2e9
    }

    /// What both say; `None` where they contradict each other.
    pub fn and(self, other: Self) -> Option<Self> {
        let both = Self {
            at_least_ns: self.at_least_ns.max(other.at_least_ns),
            at_most_ns: self.at_most_ns.min(other.at_most_ns),
        };
        (both.at_least_ns <= both.at_most_ns).then_some(both)
    }

    /// What holds if either does.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            at_least_ns: self.at_least_ns.min(other.at_least_ns),
            at_most_ns: self.at_most_ns.max(other.at_most_ns),
        }
    }
}

/// By what a host's clock was set beside the first's.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlignedBy {
    /// It is the clock that the others are set beside.
    #[default]
    Reference,
    /// Both read one monotonic clock.
    OneHost,
    /// Both hosts' requests bound it, through the records of one server.
    Server,
    /// What each read of the other in the shared folder bounds it.
    Folder,
    /// Nothing: both wall clocks are taken as they are.
    Nothing,
}

impl AlignedBy {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Reference => "reference",
            Self::OneHost => "one host, one clock",
            Self::Server => "the server's records",
            Self::Folder => "files read in the shared folder",
            Self::Nothing => "NOTHING: wall clocks as they are",
        }
    }
}

/// A merged run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Merged {
    pub run_id: String,
    pub world: u32,
    /// Ranks whose shards are not among them.
    pub missing: Vec<u32>,
    /// By rank.
    pub hosts: Vec<MergedHost>,
}

/// A rank of a merged run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MergedHost {
    pub rank: u32,
    pub hostname: Option<String>,
    pub pid: u32,
    /// Where its shard lay.
    pub folder: String,
    /// How the shard's run ended, as its manifest says.
    pub state: String,
    /// Its clock minus the reference's; every instant of its rows was set back by the middle.
    pub ahead: Option<Ahead>,
    pub shifted_by_ns: i64,
    pub aligned_by: AlignedBy,
    /// Its clock and the server's are the reference's.
    pub same_host: bool,
    pub ready_late_s: Option<f64>,
    /// Its start − the start that was named, both on the reference's clock, readiness included.
    pub start_skew_s: Option<f64>,
    /// What it saw of itself.
    pub own: Option<OwnLag>,
}

/// One host's row of the report.
#[derive(Clone, Debug, Serialize)]
pub struct HostRow {
    pub rank: u32,
    pub hostname: Option<String>,
    pub requests: usize,
    pub ok: usize,
    pub failed: usize,
    /// Its clock minus the reference's before it was aligned: the middle, and half the width; no width is
    /// known where nothing bounds it.
    pub offset_s: f64,
    pub offset_bound_s: Option<f64>,
    pub aligned_by: AlignedBy,
    pub start_skew_s: Option<f64>,
    /// Started − scheduled, and user stamp − kernel stamp per event.
    pub lateness_p99_s: Option<f64>,
    pub client_lag_p99_s: Option<f64>,
    /// CPU time of the process / duration of its load.
    pub cpus_used: Option<f64>,
}
