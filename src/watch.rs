//! This program, observed while it sends a load: was it late, what did it use, what did it wait for?
//! A thread of its own, `tare-watch`, beats ten times a second. It notes how late it woke itself (then the
//! process or the machine did not run), and at every beat sends a pulse to a task of the load's runtime, which
//! notes how late it had it (then the worker threads were busy, or had no CPU). A task cannot be kept
//! on one worker, so this is what any task may meet with, whichever worker takes it up. Once a second
//! the thread reads how long each of the load's threads was on a CPU and how long it waited for one, every fifth
//! second of all threads.
//!
//! Nothing here is shared with the measured path: the pulse task's notes are its own until the end.
//! This module must not know requests, nor what is concluded from what it sees.

mod gaps;
mod machine;
mod network;
mod proc;
mod threads;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::runtime::{Handle, RuntimeFlavor, RuntimeMetrics};

use self::gaps::{Evidence, Gaps};
use self::network::NetworkWatch;
use self::threads::{OwnWait, Used};
use crate::clock::{self, StepWatch, UnixNs};
use crate::net::{PulseReceiver, PulseSender, pulse};
use crate::record::own::{LoadThreads, OwnLag, Stalled};

/// From one beat to the next, each with a pulse, in the mean. On an idle machine the two threads that it wakes use
/// 100 µs of CPU.
const BEAT: Duration = Duration::from_millis(100);
/// Each is drawn from so much to what makes that the mean: what stops a process periodically (a quota of CPU time, every 100 ms) ends with
/// a beat, and beats that kept its time would never meet it again.
const LEAST_BEAT: Duration = Duration::from_millis(60);
/// From one reading of the threads' times to the next.
const READING_S: f64 = 1.0;
/// One in so many is whole: of all threads, which there are, and their ticks. What one that lives for less uses is not
/// told. The others are of the load's threads, which are there from the begin on.
const WHOLE_EVERY: u32 = 5;
/// What the load's threads are called.
const LOAD_THREADS: &str = "tare-load";

/// A watch that goes on; when it is dropped, what was seen is handed over.
pub struct Watching {
    end: Arc<AtomicBool>,
    thread: Option<JoinHandle<OwnLag>>,
    seen: Sender<OwnLag>,
}

/// Begins to watch a load that is about to begin on `runtime` and goes to `server`, from the thread that will wait
/// for it.
/// Drop what is returned before the runtime: then `seen` gets what was seen. Where no thread can be
/// started, nothing is seen.
pub fn begin(
    runtime: &Handle,
    server: impl Fn() -> SocketAddr + Send + 'static,
    seen: Sender<OwnLag>,
) -> Watching {
    let end = Arc::new(AtomicBool::new(false));
    let (pulse, heart) = listen(runtime).unzip();
    // A runtime without threads of its own runs on the thread that waits for it.
    let alone = runtime.runtime_flavor() == RuntimeFlavor::CurrentThread;
    let watch = Watch {
        begun: UnixNs::now(),
        machine: machine::Reading::now(),
        load_thread: if alone { threads::current() } else { None },
        workers: runtime.metrics(),
        pulse,
        heart: heart.unwrap_or_default(),
        server: Box::new(server),
    };
    let stop = Arc::clone(&end);
    let thread = std::thread::Builder::new().name("tare-watch".to_owned()).spawn(move || watch.run(&stop));
    Watching { end, thread: thread.ok(), seen }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        if let Some(Ok(own)) = self.thread.take().map(JoinHandle::join) {
            let _ = self.seen.send(own);
        }
    }
}

type Heart = Arc<Mutex<Gaps>>;

/// Puts the pulse task on the runtime.
fn listen(runtime: &Handle) -> Option<(PulseSender, Heart)> {
    let _inside = runtime.enter();
    let (sender, receiver) = pulse().ok()?;
    let heart = Heart::default();
    runtime.spawn(hear(receiver, Arc::clone(&heart)));
    Some((sender, heart))
}

async fn hear(receiver: PulseReceiver, heart: Heart) {
    let mut note = |sent: UnixNs| {
        let now = UnixNs::now();
        // Nobody else holds the lock before the end.
        if let Ok(mut gaps) = heart.lock() {
            gaps.note(sent, now, Evidence::default());
        }
    };
    while receiver.next(&mut note).await {}
}

/// What the watching thread knows.
struct Watch {
    begun: UnixNs,
    machine: machine::Reading,
    load_thread: Option<u32>,
    workers: RuntimeMetrics,
    pulse: Option<PulseSender>,
    heart: Heart,
    /// Where the load's connections go by now.
    server: Box<dyn Fn() -> SocketAddr + Send>,
}

/// The load's threads at one moment: on a CPU, and waiting for one, since the begin.
#[derive(Clone, Copy)]
struct Sample {
    at: UnixNs,
    on_cpu_ns: u64,
    waited_ns: u64,
}

impl Watch {
    fn run(self, end: &AtomicBool) -> OwnLag {
        // The kernel may wake sleepers 50 µs late to wake several at once: not this one.
        #[cfg(target_os = "linux")]
        let _ = nix::sys::prctl::set_timerslack(1);
        let wait = OwnWait::of_this_thread();
        let mut used = Used::since(threads::read());
        let mut samples: Vec<Sample> = self.sample(&used).into_iter().collect();
        let mut process = Gaps::default();
        let mut n_readings = 0;
        let mut next_reading = self.begun.plus_seconds(READING_S);
        let (mut before, mut waited_before) = (Moment::now(), wait.waited_ns());
        let (mut wall_clock, mut steps) = (StepWatch::default(), Vec::new());
        let mut network = NetworkWatch::default();
        let mut rng = ChaCha8Rng::seed_from_u64(self.begun.0.unsigned_abs());
        while !end.load(Ordering::Relaxed) {
            let spread_s = 2.0 * (BEAT.as_secs_f64() - LEAST_BEAT.as_secs_f64());
            let drawn_s = spread_s * f64::from(rng.next_u32()) / f64::from(u32::MAX);
            let beat = LEAST_BEAT + Duration::from_secs_f64(drawn_s);
            std::thread::sleep(beat);
            let woke = Moment::now();
            steps.extend(wall_clock.look(clock::Moment::now()));
            let due = before.at.plus_seconds(beat.as_secs_f64());
            let waited = wait.waited_ns();
            process.note(due, woke.at, before.until(&woke, waited.zip(waited_before)));
            waited_before = waited.or(waited_before);
            if let Some(pulse) = &self.pulse {
                pulse.send(UnixNs::now());
            }
            if woke.at >= next_reading {
                n_readings += 1;
                if n_readings % WHOLE_EVERY == 1 {
                    used.note(threads::read());
                } else {
                    used.note_times(&self.is_load());
                }
                samples.extend(self.sample(&used));
                next_reading = woke.at.plus_seconds(READING_S);
            }
            network.look_if_due(&self.server);
            before = Moment { at: UnixNs::now(), ..woke };
        }
        used.note(threads::read());
        samples.extend(self.sample(&used));
        network.look_if_due(&self.server);
        OwnLag { clock_steps: steps, network: network.conclude(), ..self.conclude(&process, &used, &samples) }
    }

    fn conclude(&self, process: &Gaps, used: &Used, samples: &[Sample]) -> OwnLag {
        let runtime = self.heart.lock().map(|gaps| gaps.clone()).unwrap_or_default();
        let (mut stalls, process_left_out) = process.stalls(Stalled::Process, |_, _| None);
        let (of_runtime, runtime_left_out) =
            runtime.stalls(Stalled::Runtime, |begin, end| around(samples, begin, end));
        stalls.extend(of_runtime);
        stalls.sort_by_key(|stall| stall.begin_unix_ns);
        let mut own = OwnLag {
            begun_unix_ns: self.begun,
            ended_unix_ns: UnixNs::now(),
            beat_s: BEAT.as_secs_f64(),
            pulse_s: BEAT.as_secs_f64(),
            process_delay: process.delay(),
            runtime_delay: runtime.delay(),
            stalls,
            stalls_left_out: process_left_out + runtime_left_out,
            threads: used.by_name(),
            load: self.load(used, samples),
            ..OwnLag::default()
        };
        self.machine.until(&machine::Reading::now(), &mut own);
        own
    }

    fn load(&self, used: &Used, samples: &[Sample]) -> LoadThreads {
        let is_load = self.is_load();
        let sched = used.sched_ns(&is_load);
        let worst = worst_second(samples);
        let busy: Duration =
            (0..self.workers.num_workers()).map(|n| self.workers.worker_total_busy_duration(n)).sum();
        LoadThreads {
            threads: used.count(&is_load),
            busy_s: Some(busy.as_secs_f64()),
            on_cpu_s: sched.map(|(on_cpu, _)| on_cpu as f64 / 1e9),
            waited_s: sched.map(|(_, waited)| waited as f64 / 1e9),
            worst_second_waited_s: worst.map(|(waited_s, _)| waited_s),
            worst_second_unix_ns: worst.map(|(_, at)| at),
        }
    }

    fn sample(&self, used: &Used) -> Option<Sample> {
        let (on_cpu_ns, waited_ns) = used.sched_ns(&self.is_load())?;
        Some(Sample { at: UnixNs::now(), on_cpu_ns, waited_ns })
    }

    fn is_load(&self) -> impl Fn(u32, &str) -> bool {
        let alone = self.load_thread;
        move |id, name| alone == Some(id) || name.starts_with(LOAD_THREADS)
    }
}

/// What the watching thread compares from beat to beat.
#[derive(Clone, Copy)]
struct Moment {
    at: UnixNs,
    process_cpu_ns: Option<i64>,
}

impl Moment {
    fn now() -> Self {
        let at = UnixNs::now();
        let cpu = clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).ok();
        Self { at, process_cpu_ns: cpu.map(|t| t.tv_sec() * 1_000_000_000 + t.tv_nsec()) }
    }

    /// What was seen from `self` to `later`; `waited` is the thread's own waiting, now and before.
    fn until(&self, later: &Self, waited: Option<(u64, u64)>) -> Evidence {
        let cpu_ns = later.process_cpu_ns.zip(self.process_cpu_ns).map(|(b, a)| b - a);
        Evidence {
            cpu_s: cpu_ns.map(|ns| ns as f64 / 1e9),
            waited_s: waited.map(|(now, before)| now.saturating_sub(before) as f64 / 1e9),
            window_s: later.at.seconds_since(self.at),
        }
    }
}

/// What the load's threads used and waited between the readings around a stall.
fn around(samples: &[Sample], begin: UnixNs, end: UnixNs) -> Option<Evidence> {
    let first = samples.iter().rev().find(|s| s.at <= begin).or(samples.first())?;
    let last = samples.iter().find(|s| s.at >= end).or(samples.last())?;
    Some(Evidence {
        cpu_s: Some((last.on_cpu_ns.saturating_sub(first.on_cpu_ns)) as f64 / 1e9),
        waited_s: Some((last.waited_ns.saturating_sub(first.waited_ns)) as f64 / 1e9),
        window_s: last.at.seconds_since(first.at),
    })
}

/// The most that was waited between two readings, a second apart, and when that began.
fn worst_second(samples: &[Sample]) -> Option<(f64, UnixNs)> {
    let waits = samples.windows(2).filter_map(|pair| match pair {
        [a, b] => Some((b.waited_ns.saturating_sub(a.waited_ns) as f64 / 1e9, a.at)),
        _ => None,
    });
    waits.max_by(|a, b| a.0.total_cmp(&b.0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const S: i64 = 1_000_000_000;
    /// A server without connections.
    const NOBODY: SocketAddr = SocketAddr::V4(std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 9));

    fn samples() -> Vec<Sample> {
        let waited = [0, 1, 41, 43, 50];
        (0..)
            .zip(waited)
            .map(|(n, ms)| Sample {
                at: UnixNs(n * S),
                on_cpu_ns: n as u64 * 100_000_000,
                waited_ns: ms * 1_000_000,
            })
            .collect()
    }

    #[test]
    fn a_stall_is_explained_by_the_readings_around_it() {
        let seen = around(&samples(), UnixNs(S + S / 2), UnixNs(S + S / 2 + 30_000_000)).unwrap();
        assert_eq!((seen.cpu_s, seen.waited_s, seen.window_s), (Some(0.1), Some(0.04), 1.0));
        let long = around(&samples(), UnixNs(S / 2), UnixNs(3 * S)).unwrap();
        assert_eq!((long.waited_s, long.window_s), (Some(0.043), 3.0));
        let beyond = around(&samples(), UnixNs(-5), UnixNs(90 * S)).unwrap();
        assert_eq!((beyond.waited_s, beyond.window_s), (Some(0.05), 4.0));
        assert!(around(&[], UnixNs(0), UnixNs(1)).is_none());
    }

    #[test]
    fn the_worst_second_is_the_one_in_which_most_was_waited() {
        assert_eq!(worst_second(&samples()), Some((0.04, UnixNs(S))));
        assert_eq!(worst_second(&samples()[..1]), None);
    }

    /// A worker thread that is kept busy is late for its pulses, and the process is not.
    #[test]
    fn a_busy_runtime_is_seen_in_its_pulses() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name(LOAD_THREADS)
            .enable_all()
            .build()
            .unwrap();
        let (sender, seen) = channel();
        let watching = begin(runtime.handle(), || NOBODY, sender);
        let held_s = runtime.block_on(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            runtime
                .spawn(async {
                    let begun = UnixNs::now();
                    std::thread::sleep(Duration::from_secs(1));
                    UnixNs::now().seconds_since(begun)
                })
                .await
                .unwrap()
        });
        // The pulses that have waited are heard before the watch is over.
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
        drop(watching);
        let own = seen.recv().unwrap();
        let delay = own.runtime_delay.unwrap();
        assert!(delay.n > 0 && delay.max_s > held_s / 2.0, "{own:?}");
        assert!(
            own.stalls.iter().any(|s| s.what == Stalled::Runtime && s.length_s > held_s / 2.0),
            "{own:?}"
        );
        let process = own.process_delay.unwrap();
        assert!(process.n > 0 && own.duration_s() > held_s);
        if threads::current().is_some() {
            assert!(
                own.load.threads >= Some(1) && own.threads.iter().any(|t| t.name == "tare-watch"),
                "{own:?}"
            );
            assert!(own.kernel.is_some_and(|kernel| kernel.contains_key("RetransSegs")));
        }
    }

    #[test]
    fn a_runtime_on_the_waiting_thread_is_watched_as_well() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (sender, seen) = channel();
        let watching = begin(runtime.handle(), || NOBODY, sender);
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(300)).await });
        drop(watching);
        let own = seen.recv().unwrap();
        assert!(own.runtime_delay.is_some_and(|delay| delay.n > 0), "{own:?}");
    }
}
