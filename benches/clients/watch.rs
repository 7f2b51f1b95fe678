//! A client's process from outside: its processor time and its memory again and again while it runs,
//! so that what it does after the last request (tare makes a report) can be told apart. Linux.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use tare::clock::UnixNs;

const LOOK: Duration = Duration::from_millis(20);
/// The kernel counts a process's time in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process had used by some time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    pub cpu_s: f64,
    /// Of the threads of some names.
    pub threads_cpu_s: f64,
    pub peak_rss_bytes: u64,
}

/// One look at a process.
struct Look {
    at: UnixNs,
    cpu_s: f64,
    peak_rss_bytes: u64,
    /// Thread → name and seconds on a processor; threads that have ended are not among them.
    threads: HashMap<u32, (String, f64)>,
}

/// A process that has ended.
pub struct Watched {
    looks: Vec<Look>,
    /// Over its whole life.
    pub whole: Used,
}

impl Watched {
    /// Runs the program to its end.
    pub fn run(command: &mut Command) -> anyhow::Result<Self> {
        // No other child ends meanwhile: what is added is this one's.
        let before = children_cpu_s()?;
        let mut child = command.spawn()?;
        let mut looks = Vec::new();
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            looks.extend(look(child.id()));
            std::thread::sleep(LOOK);
        };
        ensure!(status.success(), "ended with {status}");
        let peak_rss_bytes = looks.iter().map(|look| look.peak_rss_bytes).max().unwrap_or_default();
        let cpu_s = children_cpu_s()? - before;
        Ok(Self { looks, whole: Used { cpu_s, threads_cpu_s: cpu_s, peak_rss_bytes } })
    }

    /// What had been used when `end` had just passed; of threads of these names, or without any, of all.
    pub fn until(&self, end: UnixNs, names: &[&str]) -> Used {
        let after = self.looks.iter().position(|look| look.at >= end);
        let until = self.looks.get(..after.map_or(self.looks.len(), |at| at + 1)).unwrap_or_default();
        let Some(last) = until.last() else { return self.whole };
        // A thread that has ended is known from the last look at it.
        let threads: HashMap<u32, &(String, f64)> =
            until.iter().flat_map(|look| look.threads.iter().map(|(id, thread)| (*id, thread))).collect();
        let of_name = threads.values().filter(|(called, _)| names.contains(&called.as_str()));
        let threads_cpu_s = of_name.map(|(_, seconds)| seconds).sum();
        Used {
            cpu_s: last.cpu_s,
            threads_cpu_s: if names.is_empty() { last.cpu_s } else { threads_cpu_s },
            peak_rss_bytes: last.peak_rss_bytes,
        }
    }
}

/// `None` when the process has just ended.
fn look(pid: u32) -> Option<Look> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    let peak = read("status")?
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<u64>().ok())?;
    let mut threads = HashMap::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let id = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let file = |name: &str| std::fs::read_to_string(entry.path().join(name)).ok();
        let ns = file("schedstat").and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        if let (Some(id), Some(name), Some(ns)) = (id, file("comm"), ns) {
            threads.insert(id, (name.trim().to_owned(), ns / 1e9));
        }
    }
    Some(Look { at: UnixNs::now(), cpu_s: cpu_s(&read("stat")?)?, peak_rss_bytes: peak * 1024, threads })
}

/// In user and in system mode, of threads that have ended, too.
fn cpu_s(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS_PER_SECOND)
}

fn children_cpu_s() -> anyhow::Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |t: TimeVal| t.num_microseconds() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}
