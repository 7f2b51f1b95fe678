//! What the machine gave and took, read at both ends of a load: CPU time of the process, its control
//! group's limit, stolen time, the kernel's TCP counters. What a system does not tell is `None`.
//! This file must not know threads, nor what is concluded.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::proc;
use super::threads::ticks_per_second;
use crate::record::own::{Machine, OwnLag};

/// Where the unified hierarchy is mounted, alone or beside the old one.
const CGROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];

/// One reading of all of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    user_s: Option<f64>,
    system_s: Option<f64>,
    steal_ticks: Option<u64>,
    cpu_quota: Option<f64>,
    throttled_us: Option<u64>,
    kernel: Option<BTreeMap<String, u64>>,
}

impl Reading {
    pub(super) fn now() -> Self {
        let usage = getrusage(UsageWho::RUSAGE_SELF).ok();
        let seconds = |t: nix::sys::time::TimeVal| t.num_microseconds() as f64 / 1e6;
        let (cpu_quota, throttled_us) = limits();
        Self {
            user_s: usage.map(|u| seconds(u.user_time())),
            system_s: usage.map(|u| seconds(u.system_time())),
            steal_ticks: fs::read_to_string("/proc/stat").ok().and_then(|t| proc::steal_ticks(&t)),
            cpu_quota,
            throttled_us,
            kernel: kernel(),
        }
    }

    /// Puts down what happened from `self` to `end`.
    pub(super) fn until(&self, end: &Self, own: &mut OwnLag) {
        let since = |end: Option<f64>, begin: Option<f64>| Some(end? - begin?);
        own.user_s = since(end.user_s, self.user_s);
        own.system_s = since(end.system_s, self.system_s);
        own.machine = Machine {
            cpus: std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok()),
            cpu_quota: end.cpu_quota,
            throttled_s: grown(end.throttled_us, self.throttled_us).map(|us| us as f64 / 1e6),
            steal_s: grown(end.steal_ticks, self.steal_ticks).map(|ticks| ticks as f64 / ticks_per_second()),
        };
        own.kernel = end.kernel.as_ref().zip(self.kernel.as_ref()).map(|(end, begin)| {
            let grown =
                |name: &String, now: &u64| now.saturating_sub(begin.get(name).copied().unwrap_or(*now));
            end.iter().map(|(name, now)| (name.clone(), grown(name, now))).collect()
        });
    }
}

fn grown(end: Option<u64>, begin: Option<u64>) -> Option<u64> {
    Some(end?.saturating_sub(begin?))
}

fn kernel() -> Option<BTreeMap<String, u64>> {
    let mut all = BTreeMap::new();
    for file in ["/proc/net/snmp", "/proc/net/netstat"] {
        proc::counters(&fs::read_to_string(file).ok()?, &mut all);
    }
    Some(all)
}

/// The tightest limit from this process's group up to the root, and for how long each held threads
/// back, together.
fn limits() -> (Option<f64>, Option<u64>) {
    let Some(groups) = fs::read_to_string("/proc/self/cgroup").ok() else { return (None, None) };
    let Some(group) = proc::cgroup(&groups) else { return (None, None) };
    let (mut quota, mut throttled): (Option<f64>, Option<u64>) = (None, None);
    for root in CGROUPS.map(PathBuf::from) {
        let own = root.join(group.trim_start_matches('/'));
        for folder in own.ancestors().take_while(|folder| folder.starts_with(&root)) {
            let Some(limit) = text(folder, "cpu.max").and_then(|t| proc::cpu_max(&t)) else { continue };
            quota = Some(quota.map_or(limit, |q| q.min(limit)));
            if let Some(us) = text(folder, "cpu.stat").and_then(|t| proc::throttled_us(&t)) {
                throttled = Some(throttled.unwrap_or(0) + us);
            }
        }
    }
    (quota, throttled)
}

fn text(folder: &Path, file: &str) -> Option<String> {
    fs::read_to_string(folder.join(file)).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_grew_is_the_difference_and_what_is_unknown_stays_so() {
        let kernel = |retransmitted| BTreeMap::from([("RetransSegs".to_owned(), retransmitted)]);
        let begin = Reading {
            user_s: Some(1.0),
            steal_ticks: Some(100),
            kernel: Some(kernel(7)),
            ..Reading::default()
        };
        let mut end = Reading {
            user_s: Some(1.5),
            steal_ticks: Some(100),
            kernel: Some(kernel(9)),
            ..Reading::default()
        };
        end.kernel.as_mut().unwrap().insert("New".to_owned(), 5);
        let mut own = OwnLag::default();
        begin.until(&end, &mut own);
        assert_eq!((own.user_s, own.system_s), (Some(0.5), None));
        assert_eq!((own.machine.steal_s, own.machine.throttled_s), (Some(0.0), None));
        // A counter that was not there before says nothing of what it grew by.
        assert_eq!(
            (own.counted("RetransSegs"), own.counted("New"), own.counted("None")),
            (Some(2), Some(0), None)
        );
    }

    #[test]
    fn without_proc_there_is_nothing_and_no_error() {
        let mut own = OwnLag::default();
        Reading::default().until(&Reading::default(), &mut own);
        assert_eq!((own.kernel, own.user_s, own.machine.steal_s), (None, None, None));
    }
}
