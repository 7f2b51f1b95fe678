//! What a level costs this process: processor time of the load's threads and of everything, and the
//! most memory resident. Read from the kernel's own counts; where there are none, nothing is said.
//! This file must not know what the process does.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::record::calibration::Cost;

/// Threads end with the load, and what they used with them: they are looked at again and again.
const LOOK: Duration = Duration::from_millis(20);
/// How the load's threads are called: they send and read, keep the schedule, take answers apart, and
/// read captured packets.
const LOAD_THREADS: [&str; 5] = ["tare-load", "tare-pace", "tare-alarm", "tare-rows", "tare-packets"];

/// Watches from its start to its end.
pub(super) struct Watch {
    end: Arc<AtomicBool>,
    /// Nanoseconds on a processor, by thread.
    load: JoinHandle<HashMap<u32, u64>>,
    before_s: Option<f64>,
}

impl Watch {
    /// Begins; the kernel's mark of the most memory is put back to what is resident now.
    pub(super) fn start() -> anyhow::Result<Self> {
        // Where that is not allowed, the mark is that of the levels before, too.
        let _ = fs::write("/proc/self/clear_refs", "5");
        let end = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&end);
        let load = std::thread::Builder::new().name("tare-cost".to_owned()).spawn(move || {
            let mut threads = HashMap::new();
            while !ended.load(Ordering::Relaxed) {
                look(&mut threads);
                std::thread::sleep(LOOK);
            }
            threads
        })?;
        Ok(Self { end, load, before_s: process_cpu_s() })
    }

    /// Ends, and says what was used for `events` token events.
    pub(super) fn end(self, events: u64) -> Cost {
        self.end.store(true, Ordering::Relaxed);
        let client_cpu_s = self.before_s.zip(process_cpu_s()).map(|(before, now)| now - before);
        let threads = self.load.join().unwrap_or_default();
        let load_cpu_s =
            (!threads.is_empty()).then(|| threads.values().map(|ns| *ns as f64 / 1e9).sum::<f64>());
        let per_million = |cpu_s: Option<f64>| cpu_s.filter(|_| events > 0).map(|s| s * 1e6 / events as f64);
        Cost {
            load_cpu_s,
            client_cpu_s,
            load_cpu_s_per_million_events: per_million(load_cpu_s),
            client_cpu_s_per_million_events: per_million(client_cpu_s),
            peak_rss_bytes: peak_rss_bytes(),
        }
    }
}

fn look(threads: &mut HashMap<u32, u64>) {
    for entry in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let is_load =
            fs::read_to_string(entry.path().join("comm")).is_ok_and(|c| LOAD_THREADS.contains(&c.trim()));
        if let Some(ns) = is_load.then(|| on_cpu_ns(&entry.path())).flatten() {
            threads.insert(id, ns);
        }
    }
}

/// Exactly where the kernel keeps account of it, else in hundredths of a second.
fn on_cpu_ns(task: &Path) -> Option<u64> {
    if let Ok(text) = fs::read_to_string(task.join("schedstat")) {
        return text.split_whitespace().next()?.parse().ok();
    }
    let text = fs::read_to_string(task.join("stat")).ok()?;
    // In user and in system mode, counted from the end of the name's bracket.
    let mut fields = text.rsplit_once(") ")?.1.split(' ').skip(11);
    let ticks = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(ticks * 10_000_000)
}

/// User and system time of this process so far.
fn process_cpu_s() -> Option<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let seconds = |t: TimeVal| t.num_microseconds() as f64 / 1e6;
    Some(seconds(usage.user_time()) + seconds(usage.system_time()))
}

fn peak_rss_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// A thread that has used a twentieth of a second, and lives until it is let go.
    fn worker(name: &str) -> (u32, Sender<()>) {
        let ((ready, id), (go, wait)) = (channel(), channel());
        let work = move || {
            let mut x = 1_u64;
            while on_cpu_ns(Path::new("/proc/thread-self")).unwrap() < 50_000_000 {
                x = (0..10_000).fold(x, |x, i| x.wrapping_mul(31).wrapping_add(i));
            }
            std::hint::black_box(x);
            ready.send(nix::unistd::gettid().as_raw() as u32).unwrap();
            let _ = wait.recv();
        };
        std::thread::Builder::new().name(name.to_owned()).spawn(work).unwrap();
        (id.recv().unwrap(), go)
    }

    #[test]
    fn only_the_threads_of_the_load_are_counted() {
        let loads = LOAD_THREADS.map(worker);
        let (other, _other) = worker("another");
        let mut threads = HashMap::new();
        look(&mut threads);
        assert!(loads.iter().all(|(load, _)| threads[load] >= 50_000_000), "{threads:?}");
        assert!(!threads.contains_key(&other), "{threads:?}");
    }

    #[test]
    fn without_events_there_is_no_cost_of_one() {
        let cost = Watch::start().unwrap().end(0);
        assert_eq!(cost.client_cpu_s_per_million_events, None);
        assert!(cost.client_cpu_s.is_some());
    }
}
