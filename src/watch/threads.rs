//! This process's threads: what each has used of the CPUs, and how long it waited for one, read from
//! `/proc/self/task`. Where there is none, there are no threads. This file must not know which of
//! them matter.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::unistd::{SysconfVar, sysconf};

use super::proc::{self, ThreadStat};
use crate::record::own::ThreadTime;

const TASKS: &str = "/proc/self/task";
/// No line that is read here is longer.
const LINE_BYTES: usize = 1024;
/// Rows kept: those that used the most.
const GROUPS: usize = 32;

/// One thread at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Thread {
    stat: ThreadStat,
    sched_ns: Option<(u64, u64)>,
}

/// Every thread at one moment, by its id.
pub(super) type Reading = BTreeMap<u32, Thread>;

/// Reads every thread that lives now.
pub(super) fn read() -> Reading {
    let tasks = fs::read_dir(TASKS).into_iter().flatten().flatten();
    let read = |path: &Path| {
        let stat = in_one(&path.join("stat"), proc::thread_stat)?;
        Some(Thread { stat, sched_ns: in_one(&path.join("schedstat"), proc::schedstat) })
    };
    tasks.filter_map(|task| Some((task.file_name().to_str()?.parse().ok()?, read(&task.path())?))).collect()
}

/// What is in a line of the kernel's, read at once: to ask for its length first, and for its end, costs as much again.
fn in_one<T>(path: &Path, parse: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    let mut buffer = [0; LINE_BYTES];
    let length = File::open(path).ok()?.read(&mut buffer).ok()?;
    parse(std::str::from_utf8(buffer.get(..length)?).ok()?)
}

/// The calling thread's id.
pub(super) fn current() -> Option<u32> {
    fs::read_link("/proc/thread-self").ok()?.file_name()?.to_str()?.parse().ok()
}

/// What the kernel's account of one thread says, held open: cheap to read again and again.
struct Account(File);

impl Account {
    fn open(path: &Path) -> Option<Self> {
        File::open(path).ok().map(Self)
    }

    /// As [`proc::schedstat`]; `None` once the thread has ended.
    fn sched_ns(&self) -> Option<(u64, u64)> {
        let mut buffer = [0; 96];
        let length = self.0.read_at(&mut buffer, 0).ok()?;
        proc::schedstat(std::str::from_utf8(buffer.get(..length)?).ok()?)
    }
}

/// The calling thread's own waiting.
pub(super) struct OwnWait(Option<Account>);

impl OwnWait {
    pub(super) fn of_this_thread() -> Self {
        Self(Account::open(Path::new("/proc/thread-self/schedstat")))
    }

    /// Nanoseconds that it was runnable without a CPU, since it began.
    pub(super) fn waited_ns(&self) -> Option<u64> {
        self.0.as_ref()?.sched_ns().map(|(_, waited)| waited)
    }
}

/// What threads used from a first reading on. Those that have ended are remembered as last seen.
pub(super) struct Used {
    first: Reading,
    last: Reading,
    /// `None`: the thread has ended.
    accounts: BTreeMap<u32, Option<Account>>,
}

impl Used {
    pub(super) fn since(first: Reading) -> Self {
        Self { last: first.clone(), first, accounts: BTreeMap::new() }
    }

    /// Takes a later reading.
    pub(super) fn note(&mut self, now: Reading) {
        self.last.extend(now);
    }

    /// Reads the times of the threads that `is_one` names and were there at the last reading, through files that stay
    /// open: all else, and of all threads, costs ten times as much.
    pub(super) fn note_times(&mut self, is_one: &impl Fn(u32, &str) -> bool) {
        for (id, thread) in self.last.iter_mut().filter(|(id, thread)| is_one(**id, &thread.stat.name)) {
            let path = || Path::new(TASKS).join(id.to_string()).join("schedstat");
            let account = self.accounts.entry(*id).or_insert_with(|| Account::open(&path()));
            match account.as_ref().and_then(Account::sched_ns) {
                Some(times) => thread.sched_ns = Some(times),
                // It has ended; its number may be another's by now, which the next whole reading shows.
                None => *account = None,
            }
        }
    }

    /// On a CPU, and waiting for one, of the threads that `is_one` names, in nanoseconds.
    pub(super) fn sched_ns(&self, is_one: &impl Fn(u32, &str) -> bool) -> Option<(u64, u64)> {
        let mut sum = None;
        for (id, thread) in self.last.iter().filter(|(id, thread)| is_one(**id, &thread.stat.name)) {
            let Some((on_cpu, waited)) = self.sched_of(*id, thread) else { continue };
            let (before, waited_before) = sum.unwrap_or((0, 0));
            sum = Some((before + on_cpu, waited_before + waited));
        }
        sum
    }

    /// How many threads `is_one` names; `None` where no thread was ever told of.
    pub(super) fn count(&self, is_one: &impl Fn(u32, &str) -> bool) -> Option<u32> {
        let named = self.last.iter().filter(|(id, thread)| is_one(**id, &thread.stat.name)).count();
        (!self.last.is_empty()).then_some(named as u32)
    }

    /// By name, those that used the most first.
    pub(super) fn by_name(&self) -> Vec<ThreadTime> {
        let tick_s = ticks_per_second().recip();
        let mut groups: BTreeMap<&str, ThreadTime> = BTreeMap::new();
        for (id, thread) in &self.last {
            let name = pool(&thread.stat.name);
            let group = groups.entry(name).or_default();
            let first = self.first.get(id).map(|t| &t.stat).cloned().unwrap_or_default();
            name.clone_into(&mut group.name);
            group.threads += 1;
            group.user_s += thread.stat.user_ticks.saturating_sub(first.user_ticks) as f64 * tick_s;
            group.system_s += thread.stat.system_ticks.saturating_sub(first.system_ticks) as f64 * tick_s;
            if let Some((on_cpu, waited)) = self.sched_of(*id, thread) {
                *group.on_cpu_s.get_or_insert(0.0) += on_cpu as f64 / 1e9;
                *group.waited_s.get_or_insert(0.0) += waited as f64 / 1e9;
            }
        }
        let mut groups: Vec<ThreadTime> = groups.into_values().collect();
        let used = |group: &ThreadTime| group.on_cpu_s.unwrap_or(group.user_s + group.system_s);
        groups.sort_by(|a, b| used(b).total_cmp(&used(a)));
        groups.truncate(GROUPS);
        groups
    }

    /// A thread that was not there at first began at nothing.
    fn sched_of(&self, id: u32, thread: &Thread) -> Option<(u64, u64)> {
        let (on_cpu, waited) = thread.sched_ns?;
        let (before, waited_before) = self.first.get(&id).and_then(|t| t.sched_ns).unwrap_or((0, 0));
        Some((on_cpu.saturating_sub(before), waited.saturating_sub(waited_before)))
    }
}

/// The name without the number by which a pool tells its threads apart.
fn pool(name: &str) -> &str {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    if stem.len() < name.len() { stem.trim_end_matches('-') } else { name }
}

/// Ticks of the kernel's coarse account of a thread's time.
pub(super) fn ticks_per_second() -> f64 {
    sysconf(SysconfVar::CLK_TCK).ok().flatten().map_or(100.0, |ticks| ticks.max(1) as f64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn thread(name: &str, ticks: u64, sched_ns: (u64, u64)) -> Thread {
        let stat = ThreadStat { name: name.to_owned(), user_ticks: ticks, system_ticks: ticks / 10 };
        Thread { stat, sched_ns: Some(sched_ns) }
    }

    fn used() -> Used {
        let mut used = Used::since(Reading::from([
            (1, thread("tare", 50, (500_000_000, 5))),
            (2, thread("tare-load", 100, (1_000_000_000, 10_000_000))),
        ]));
        // One that is gone again before the end, and one that lives.
        used.note(Reading::from([(7, thread("pool-1", 0, (30_000_000, 0)))]));
        used.note(Reading::from([
            (1, thread("tare", 50, (500_000_000, 5))),
            (2, thread("tare-load", 400, (4_000_000_000, 260_000_000))),
            (3, thread("tare-load", 200, (2_000_000_000, 40_000_000))),
            (8, thread("pool-2", 0, (20_000_000, 0))),
        ]));
        used
    }

    #[test]
    fn threads_of_one_name_are_one_row() {
        let rows = used().by_name();
        let names: Vec<(&str, u32)> = rows.iter().map(|row| (row.name.as_str(), row.threads)).collect();
        assert_eq!(names, [("tare-load", 2), ("pool", 2), ("tare", 1)]);
        let load = rows.first().unwrap();
        assert!((load.on_cpu_s.unwrap() - 5.0).abs() < 1e-9 && (load.waited_s.unwrap() - 0.29).abs() < 1e-9);
        assert!((load.user_s - 500.0 / ticks_per_second()).abs() < 1e-9, "{load:?}");
    }

    #[test]
    fn the_sum_of_some_threads() {
        let used = used();
        let load = |_: u32, name: &str| name == "tare-load";
        assert_eq!(used.sched_ns(&load), Some((5_000_000_000, 290_000_000)));
        assert_eq!((used.count(&load), used.sched_ns(&|_, _| false)), (Some(2), None));
        assert_eq!(Used::since(Reading::new()).count(&load), None, "nothing is told");
    }

    #[test]
    fn the_number_of_a_pool_is_no_name() {
        let names = ["tare-load", "tokio-rt-worker", "pool-12", "worker3", "42"].map(pool);
        assert_eq!(names, ["tare-load", "tokio-rt-worker", "pool", "worker", ""]);
    }

    /// What the kernel of this machine says, if it says anything: by a whole reading, and by one of the times alone.
    #[test]
    fn a_busy_thread_is_seen_to_be_busy() {
        let Some(id) = current() else { return };
        let mut used = Used::since(read());
        let begun = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
        let cpu_ns = || {
            let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
            (now.tv_sec() - begun.tv_sec()) * 1_000_000_000 + now.tv_nsec() - begun.tv_nsec()
        };
        while cpu_ns() < 50_000_000 {
            std::hint::black_box(cpu_ns());
        }
        let is_this = |thread: u32, _: &str| thread == id;
        used.note_times(&is_this);
        let Some((by_times, _)) = used.sched_ns(&is_this) else { return };
        used.note(read());
        let (on_cpu, _) = used.sched_ns(&is_this).unwrap();
        assert!(by_times >= 49_000_000 && on_cpu >= by_times, "{by_times} {on_cpu}");
    }
}
