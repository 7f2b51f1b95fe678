//! What was seen of this program itself while the load ran: how late it was, what it used, what it
//! waited for, what the kernel counted. Kept in the manifest under [`KEY`]. This file must not know
//! how any of it is read, nor what is concluded from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::clock::{Step, UnixNs};

/// Its place in the manifest.
pub const KEY: &str = "own";

/// The tool's own part of a run. `None` is what this system does not tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OwnLag {
    pub begun_unix_ns: UnixNs,
    pub ended_unix_ns: UnixNs,
    /// From one beat to the next.
    pub beat_s: f64,
    /// From one pulse sent to the runtime to the next.
    pub pulse_s: f64,
    /// How late a thread woke that does nothing but sleep from beat to beat: late means that the
    /// process, or the whole machine, did not run.
    pub process_delay: Option<Delay>,
    /// From a byte's being sent to a task of the load until a worker thread had read it, as it reads
    /// a token: the delay of the runtime, whichever worker it was.
    pub runtime_delay: Option<Delay>,
    /// Delays of over 10 ms, by their begin; the longest, if there were too many.
    pub stalls: Vec<Stall>,
    /// Stalls that are not in the list.
    pub stalls_left_out: u64,
    /// Jumps of the wall clock; in the manifest they stand with its clocks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clock_steps: Vec<Step>,
    /// Of the whole process, during the load.
    pub user_s: Option<f64>,
    pub system_s: Option<f64>,
    /// Threads of one name are one row.
    pub threads: Vec<ThreadTime>,
    /// Of the load's threads.
    pub load: LoadThreads,
    pub machine: Machine,
    /// TCP counters of this network namespace: what they grew by, whoever's the connections were.
    pub kernel: Option<BTreeMap<String, u64>>,
    /// The connections to the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
}

/// What the kernel knew of the connections to the server, at looks about a second apart; of all programs in this
/// network namespace. What a connection counted between the last look and its end is not among it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    pub looks: u64,
    /// The most that one look found.
    pub most_connections: u64,
    pub round_trip: RoundTrip,
    /// Segments sent again from here.
    pub sent_again: u64,
    /// Segments that came here after later ones; `None` where the kernel is too old to tell.
    pub out_of_order: Option<u64>,
}

/// The kernel's smoothed round trip times, one for each connection at each look; the shortest is of single segments.
/// Quantiles are those of buckets that grow by 5 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoundTrip {
    pub n: u64,
    pub min_s: f64,
    pub mean_s: f64,
    pub p50_s: f64,
    pub p90_s: f64,
    pub p99_s: f64,
    pub max_s: f64,
}

/// A distribution of delays. Quantiles are those of buckets that grow by 5 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Delay {
    pub n: u64,
    pub mean_s: f64,
    pub p50_s: f64,
    pub p90_s: f64,
    pub p99_s: f64,
    pub max_s: f64,
    /// Stalls: those of over 10 ms, and their sum; overlapping ones count once.
    pub stalls: u64,
    pub stalled_s: f64,
}

/// One delay of over 10 ms, with what else was seen while it lasted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stall {
    pub what: Stalled,
    pub begin_unix_ns: UnixNs,
    pub length_s: f64,
    /// CPU time used meanwhile: of the process by a stall of it, of the load's threads by one of the
    /// runtime (there over the readings around it, `window_s` apart).
    pub cpu_s: Option<f64>,
    /// Runnable without a CPU meanwhile: the sleeping thread (40 ms before included), or the load's
    /// threads together.
    pub waited_s: Option<f64>,
    pub window_s: f64,
}

/// What did not go on.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stalled {
    Process,
    Runtime,
}

/// What threads of one name used during the load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ThreadTime {
    pub name: String,
    pub threads: u32,
    /// By the kernel's ticks, 10 ms each.
    pub user_s: f64,
    pub system_s: f64,
    /// Exact, where the kernel keeps it: on a CPU, and runnable without one.
    pub on_cpu_s: Option<f64>,
    pub waited_s: Option<f64>,
}

/// The threads that carry requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LoadThreads {
    pub threads: Option<u32>,
    /// Time that the runtime's workers were not idle, all together.
    pub busy_s: Option<f64>,
    pub on_cpu_s: Option<f64>,
    pub waited_s: Option<f64>,
    /// The most that they waited within one second, all together, and when it began.
    pub worst_second_waited_s: Option<f64>,
    pub worst_second_unix_ns: Option<UnixNs>,
}

/// What the machine had to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Machine {
    /// CPUs that this process may use, by affinity and control group.
    pub cpus: Option<u32>,
    /// The control group's limit, in CPUs, and for how long it held threads back.
    pub cpu_quota: Option<f64>,
    pub throttled_s: Option<f64>,
    /// CPU time that the hypervisor gave to others, of all the machine's CPUs.
    pub steal_s: Option<f64>,
}

impl OwnLag {
    /// How long was watched.
    pub fn duration_s(&self) -> f64 {
        self.ended_unix_ns.seconds_since(self.begun_unix_ns)
    }

    /// TCP segments that were sent again because they were lost: after a timeout, after later ones had
    /// arrived, or with a probe that proved the loss. Other probes of a connection's tail are none:
    /// they only came before an acknowledgement that a stopped or busy reader had delayed.
    pub fn lost_segments(&self) -> Option<u64> {
        let kernel = self.kernel.as_ref()?;
        let kinds = ["TCPTimeouts", "TCPFastRetrans", "TCPSlowStartRetrans", "TCPLossProbeRecovery"];
        Some(kinds.iter().filter_map(|name| kernel.get(*name)).sum())
    }

    /// Segments that came here and had to wait for an earlier one that was lost or overtaken: what was read only
    /// then is late by the network's doing, not by its sender's or its reader's.
    pub fn waited_segments(&self) -> u64 {
        self.counted("TCPOFOQueue").unwrap_or(0)
    }

    /// What a counter of the kernel grew by.
    pub fn counted(&self, name: &str) -> Option<u64> {
        self.kernel.as_ref().and_then(|kernel| kernel.get(name)).copied()
    }
}

impl Stall {
    /// When it was over.
    pub fn end_unix_ns(&self) -> UnixNs {
        self.begin_unix_ns.plus_seconds(self.length_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_no_losses() {
        let counts = [
            ("RetransSegs", 321),
            ("TCPLossProbes", 310),
            ("TCPTimeouts", 2),
            ("TCPFastRetrans", 7),
            ("TCPLossProbeRecovery", 1),
        ];
        let kernel = counts.into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
        let own = OwnLag { kernel: Some(kernel), ..OwnLag::default() };
        assert_eq!(own.lost_segments(), Some(10));
        assert_eq!(OwnLag::default().lost_segments(), None);
    }
}
