//! Several processes that send one load: who they are, how they meet in a folder that all of them see, when
//! they start, and what each of them is told apart by afterwards. This module must not know what is sent or
//! measured.
//!
//! - [`environment`]: which rank this is; `refused`: what cannot be shared; `same`: what must be the same
//! - `words`, `board`: what is said, and the files it is said in; `signs`: who is taken for dead; `first`, `other`:
//!   who says what when
//! - [`merge`]: their run folders as one; `align`: where their clocks lie; `sums`: what they sent together

mod align;
mod board;
pub mod environment;
mod first;
pub mod merge;
mod other;
mod refused;
mod same;
mod signs;
mod sums;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use self::first::First;
use self::other::Other;
use self::words::Answer;
pub(super) use self::words::Counts;
use super::{facts, target};
use crate::clock::{self, UnixNs};
use crate::config::{Config, Observe};
use crate::error::{self, Explain as _, Failure, usage};
use crate::record::shard::{Ahead, Shard};
use crate::record::share::Share;
use crate::workload::Workload;

/// In the folder of all shards: where ranks meet.
const MEETING: &str = "ranks";
const CALL: &str = "rank-0000.json";
/// How often a rank looks at what others say. It is what their clocks are known by until the server's
/// records are there.
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// This process among others.
#[derive(Clone, Debug)]
pub struct Ranks {
    pub share: Share,
    /// By what that is known.
    pub from: String,
    /// The folder of all shards; each has one in it.
    pub folder: PathBuf,
    /// A start that all were told beforehand; then nobody meets.
    pub start_at: Option<UnixNs>,
    pub timeout: Duration,
}

impl Ranks {
    /// This process among others, if it is one of several: the configuration then has its shard as output.
    pub fn of(
        config: &mut Config,
        share: Share,
        from: String,
        start_at: Option<UnixNs>,
        timeout_s: f64,
    ) -> Result<Self, Failure> {
        if let Some(refused) = refused::refused(config, share) {
            return Err(refused);
        }
        let Some(folder) = config.output.clone() else {
            return Err(usage(format!("{} ranks need one folder for their shards", share.world))
                .hint("name one that all of them see, with --output DIR"));
        };
        if let Some(start) = start_at.filter(|start| *start <= UnixNs::now()) {
            let ago = UnixNs::now().seconds_since(start);
            return Err(
                usage(format!("--start-at was {ago:.1} s ago")).hint("name a time that is still to come")
            );
        }
        config.output = Some(shard_folder(&folder, share.rank));
        let timeout = Duration::try_from_secs_f64(timeout_s)
            .map_err(|_| usage(format!("expected seconds for --start-timeout, found {timeout_s}")))?;
        Ok(Self { share, from, folder, start_at, timeout })
    }

    /// Only one records the server's side, for all.
    pub fn observes(&self) -> bool {
        self.share.rank == 0
    }
}

/// What is recorded of the server's side by a rank that does so, or that leaves it to another.
pub(super) fn observed_by(config: &Config, observes: bool) -> Observe {
    let asked = config.observe.clone();
    if observes {
        return asked;
    }
    Observe {
        metrics_urls: Vec::new(),
        no_metrics: true,
        server_log: None,
        stat_log: None,
        otlp: None,
        ..asked
    }
}

pub(super) fn who_observes(observes: bool) -> &'static str {
    if observes {
        "this rank recorded the server's side, for all ranks: what the server counts is of all of them"
    } else {
        "the server's side was recorded by rank 0, for all ranks"
    }
}

/// The run folder of a rank.
fn shard_folder(folder: &Path, rank: u32) -> PathBuf {
    folder.join(format!("shard-{rank:04}"))
}

fn answer_of(rank: u32) -> String {
    format!("rank-{rank:04}.json")
}

fn stopped() -> anyhow::Error {
    error::interrupted("stopped while waiting for the other ranks").into()
}

/// A run of several ranks, from this one's side.
pub(super) struct Session {
    side: Side,
    nonce: u64,
    shard: Shard,
}

enum Side {
    First(Box<First>),
    Other(Box<Other>),
    /// All were told the start beforehand.
    Apart(UnixNs),
}

impl Session {
    /// Meets the others: from here on all have one run's id.
    pub(super) fn meet(
        ranks: &Ranks,
        config: &Config,
        workload: &Workload,
        interrupt: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let all_share = same::all_share(config, workload)?;
        let digest = same::digest(&all_share);
        let folder = ranks.folder.join(MEETING);
        let share = ranks.share;
        let (side, nonce) = if let Some(start) = ranks.start_at {
            // Without a word to each other they agree on what they all were told.
            let told = format!("{digest} {} {}", start.0, share.world);
            (Side::Apart(start), same::fold(digest, told.as_bytes()) | 1)
        } else {
            std::fs::create_dir_all(&folder)
                .or_broken(format!("cannot create {}, where ranks meet", folder.display()))?;
            if share.rank == 0 {
                let nonce = target::nonce();
                let first = First::call(folder, run_id(nonce), share.world, all_share, ranks.timeout)?;
                (Side::First(Box::new(first)), nonce)
            } else {
                let answer = Answer {
                    number: target::nonce(),
                    rank: share.rank,
                    world: share.world,
                    hostname: facts::host().hostname,
                    pid: std::process::id(),
                    config: all_share,
                    ..Answer::default()
                };
                let other = Other::answer(folder, answer, ranks.timeout, interrupt)?;
                let nonce = u64::from_str_radix(other.run_id(), 16)
                    .or_broken(format!("`{}` is no id of a run", other.run_id()))?;
                (Side::Other(Box::new(other)), nonce)
            }
        };
        let described = Shard {
            share,
            run_id: run_id(nonce),
            from: ranks.from.clone(),
            digest: format!("{digest:016x}"),
            observes: ranks.observes(),
            pid: std::process::id(),
            boot: boot(),
            axis_ns: clock::axis_offset_ns(),
            ..Shard::default()
        };
        Ok(Self { side, nonce, shard: described })
    }

    /// What all ranks' ids are made of.
    pub(super) fn nonce(&self) -> u64 {
        self.nonce
    }

    /// All is ready here; rank 0 waits until it is so everywhere.
    pub(super) fn ready(&mut self, interrupt: &CancellationToken) -> anyhow::Result<()> {
        match &mut self.side {
            Side::First(first) => first.all_ready(interrupt),
            Side::Other(other) => other.ready(),
            Side::Apart(_) => Ok(()),
        }
    }

    /// The start, on this rank's clock. Where what was read in the folder shows that this clock cannot be
    /// rank 0's, it is set right by as little as that demands; else both are taken to be right.
    pub(super) fn start(&mut self, interrupt: &CancellationToken) -> anyhow::Result<UnixNs> {
        let (named, own) = match &mut self.side {
            Side::First(first) => {
                let start = first.name_start(interrupt)?;
                (start, start)
            }
            Side::Apart(start) => (*start, *start),
            Side::Other(other) => {
                let named = other.await_start(interrupt)?;
                self.shard.ahead = other.ahead();
                (named, UnixNs(named.0.saturating_add(surely_ahead_ns(self.shard.ahead))))
            }
        };
        (self.shard.named_start_unix_ns, self.shard.own_start_unix_ns) = (Some(named), Some(own));
        Ok(own)
    }

    /// All that was sent here has ended. On rank 0, once it is so everywhere: what all sent together, and who
    /// never said so.
    pub(super) fn ended(&mut self, own: Counts, interrupt: &CancellationToken) -> (Counts, Vec<String>) {
        match &mut self.side {
            Side::First(first) => first.all_ended(own, interrupt),
            Side::Other(other) => {
                let said = other.ended(own).err();
                (
                    own,
                    said.map(|error| format!("the others could not be told of the end: {error:#}"))
                        .into_iter()
                        .collect(),
                )
            }
            Side::Apart(_) => (own, Vec::new()),
        }
    }

    /// Nothing comes of it; the others need not wait.
    pub(super) fn fail(&self, why: &str) {
        match &self.side {
            Side::First(first) => first.fail(&format!("rank 0 cannot go on: {why}")),
            Side::Other(other) => other.fail(why),
            Side::Apart(_) => {}
        }
    }

    /// Whether others' counts are known here.
    pub(super) fn counts_all(&self) -> bool {
        matches!(self.side, Side::First(_))
    }

    pub(super) fn shard(&self) -> &Shard {
        &self.shard
    }

    pub(super) fn was_ready(&mut self, late_s: Option<f64>) {
        self.shard.ready_late_s = late_s;
    }
}

/// The bound that is nearest to equal clocks.
fn surely_ahead_ns(ahead: Option<Ahead>) -> i64 {
    ahead.map_or(0, |ahead| 0.clamp(ahead.at_least_ns, ahead.at_most_ns))
}

fn run_id(nonce: u64) -> String {
    format!("{nonce:016x}")
}

/// What all processes have in common that read one monotonic clock: the kernel's start, and the namespace
/// that may move its clocks.
fn boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/time").ok();
    let namespace = namespace.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
    Some(format!("{} {namespace}", id.trim()))
}
