//! The pacing thread: wakes at each scheduled time with the precision of the kernel's timer, not of a
//! runtime's wheel, and starts the request of an open loop, or the user of a closed one. This file must
//! not know what a request does.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::affinity;
use super::client::Prepared;
use crate::clock::UnixNs;
use crate::config::CpuList;

const NAME: &str = "tare-pace";
/// The longest sleep between two looks at `closing`.
const LONGEST_SLEEP_NS: i64 = 100_000_000;
/// Requests are made ready so long before their times, while there is nothing else to do …
const AHEAD_S: f64 = 0.25;
/// … and so many of them.
const MOST_AHEAD: usize = 4096;

/// A schedule and what it sends.
pub(super) trait Due: Send + 'static {
    /// When the next one is due, in seconds from the begin; they never fall.
    fn next_s(&mut self) -> Option<f64>;
    /// The next request; `None` when there are no more.
    fn request(&mut self) -> Option<Prepared>;
    /// Requests that were not given out.
    fn left(&self) -> u64;
    /// Nothing more will be sent. `last_due`: when the last one was due that was sent or should have been;
    /// `never_sent`: those that should have been.
    fn over(self, last_due: Option<UnixNs>, never_sent: u64);
}

/// A schedule with its next requests, ready.
pub(super) struct Paced<D> {
    due: D,
    ready: VecDeque<(Prepared, f64)>,
    /// When the first is due that is not ready.
    next_s: Option<f64>,
    /// How long it took to make the last one ready.
    took: Duration,
}

impl<D: Due> Paced<D> {
    pub(super) fn new(mut due: D) -> Self {
        let next_s = due.next_s();
        let mut paced = Self { due, ready: VecDeque::new(), next_s, took: Duration::ZERO };
        while paced.readies_one(AHEAD_S) {}
        paced
    }

    /// Starts the thread, on the load's CPUs. `go` is called with each request at (never before) its time;
    /// late ones are not dropped and not moved: their lateness shows as `started − scheduled`. What is due
    /// when `closing` comes and was not given to `go` is counted.
    pub(super) fn start(
        mut self,
        begun: UnixNs,
        cpus: Option<CpuList>,
        closing: CancellationToken,
        mut go: impl FnMut(Prepared, UnixNs) + Send + 'static,
    ) -> anyhow::Result<()> {
        on_its_thread(NAME, cpus, move || {
            let mut last_due = None;
            loop {
                self.readies(begun);
                let Some((request, offset_s)) = self.ready.pop_front() else { break };
                let scheduled = begun.plus_seconds(offset_s);
                if !sleep_until(scheduled, &closing) {
                    self.ready.push_front((request, offset_s));
                    break;
                }
                last_due = Some(scheduled);
                go(request, scheduled);
            }
            self.end(begun, last_due);
        })
    }

    /// Makes one request ready at least, and others as far as there is time before the first is due.
    fn readies(&mut self, begun: UnixNs) {
        let Some(first_s) = self.ready.front().map(|(_, offset_s)| *offset_s).or(self.next_s) else { return };
        let until_s = UnixNs::now().seconds_since(begun).max(first_s) + AHEAD_S;
        let first = begun.plus_seconds(first_s);
        while self.ready.is_empty() || first.remaining() > 2 * self.took {
            if !self.readies_one(until_s) {
                return;
            }
        }
    }

    /// Makes the next request ready, if it is due by `until_s`, or if none is ready at all.
    fn readies_one(&mut self, until_s: f64) -> bool {
        let Some(next_s) = self.next_s else { return false };
        if !self.ready.is_empty() && (next_s > until_s || self.ready.len() >= MOST_AHEAD) {
            return false;
        }
        let begin = Instant::now();
        let Some(request) = self.due.request() else {
            self.next_s = None;
            return false;
        };
        self.ready.push_back((request, next_s));
        self.next_s = self.due.next_s();
        self.took = begin.elapsed();
        true
    }

    fn end(mut self, begun: UnixNs, mut last_due: Option<UnixNs>) {
        let now = UnixNs::now();
        let if_due = |offset_s: f64| Some(begun.plus_seconds(offset_s)).filter(|time| *time <= now);
        let mut never_sent = 0;
        for due in self.ready.iter().map_while(|(_, offset_s)| if_due(*offset_s)) {
            (last_due, never_sent) = (Some(due), never_sent + 1);
        }
        let made = never_sent;
        while never_sent - made < self.due.left()
            && let Some(due) = self.next_s.and_then(if_due)
        {
            (last_due, never_sent) = (Some(due), never_sent + 1);
            self.next_s = self.due.next_s();
        }
        self.due.over(last_due, never_sent);
    }
}

/// Tells each of `starts`, which are in order, at its time; those that `closing` comes before are
/// told nothing.
pub(super) fn at_their_times(
    starts: Vec<(UnixNs, oneshot::Sender<()>)>,
    cpus: Option<CpuList>,
    closing: CancellationToken,
) -> anyhow::Result<()> {
    on_its_thread(NAME, cpus, move || {
        for (time, start) in starts {
            if !sleep_until(time, &closing) {
                return;
            }
            // Who has no use for it any more is gone.
            let _ = start.send(());
        }
    })
}

/// A thread of this name that wakes on time, on the load's CPUs.
pub(super) fn on_its_thread(
    name: &str,
    cpus: Option<CpuList>,
    work: impl FnOnce() + Send + 'static,
) -> anyhow::Result<()> {
    let pinned = move || {
        affinity::pin(cpus.as_ref());
        wake_on_time();
        work();
    };
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(pinned);
    thread.map(drop).with_context(|| format!("could not start the thread {name}"))
}

/// Linux lets a sleeping thread wake 50 µs late, to wake others with it; not this one.
fn wake_on_time() {
    #[cfg(target_os = "linux")]
    let _ = nix::sys::prctl::set_timerslack(1);
}

/// False when `closing` was cancelled before the time came.
fn sleep_until(time: UnixNs, closing: &CancellationToken) -> bool {
    loop {
        // First, or a schedule that has fallen behind would never hear that it is over.
        if closing.is_cancelled() {
            return false;
        }
        let left = time.0 - UnixNs::now().0;
        if left <= 0 {
            return true;
        }
        // `clock_nanosleep` on Linux: the kernel's timer.
        std::thread::sleep(Duration::from_nanos(left.min(LONGEST_SLEEP_NS) as u64));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What a schedule was told at its end.
    type Told = Arc<Mutex<Option<(Option<UnixNs>, u64)>>>;

    /// A request every second, so many in all.
    struct Seconds {
        next: u32,
        given: u64,
        limit: u64,
        told: Told,
    }

    impl Due for Seconds {
        fn next_s(&mut self) -> Option<f64> {
            self.next += 1;
            Some(f64::from(self.next - 1))
        }

        fn request(&mut self) -> Option<Prepared> {
            let gives = self.left() > 0;
            self.given += u64::from(gives);
            gives.then(Prepared::default)
        }

        fn left(&self) -> u64 {
            self.limit - self.given
        }

        fn over(self, last_due: Option<UnixNs>, never_sent: u64) {
            *self.told.lock().unwrap() = Some((last_due, never_sent));
        }
    }

    /// Begun so long ago and closed at once: seconds from the begin to the last one due, and those never sent.
    fn closed_at(passed_s: f64, limit: u64) -> (Option<f64>, u64) {
        let told = Told::default();
        let paced = Paced::new(Seconds { next: 0, given: 0, limit, told: Arc::clone(&told) });
        let closing = CancellationToken::new();
        closing.cancel();
        let begun = UnixNs::now().plus_seconds(-passed_s);
        paced.start(begun, None, closing, |_, _| panic!("sent after the end")).unwrap();
        loop {
            if let Some((last, never_sent)) = told.lock().unwrap().take() {
                return (last.map(|t| t.seconds_since(begun).round()), never_sent);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn what_was_due_and_not_sent_is_counted_and_nothing_else() {
        // Due at 0, 1, …, 10 s; half a second is left for a slow machine.
        assert_eq!(closed_at(10.5, 100), (Some(10.0), 11));
        assert_eq!(closed_at(-5.0, 100), (None, 0));
        // No more than there are.
        assert_eq!(closed_at(10.5, 5), (Some(4.0), 5));
    }
}
