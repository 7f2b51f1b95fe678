//! Sleeps that are exact to a fraction of a millisecond. The runtime's own timer rounds up to whole
//! milliseconds, which would put steps into every front-end time. One thread sleeps for all; this
//! file must not know what anybody waits for.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// A handle to the sleeping thread, which ends when the last handle is gone.
#[derive(Clone)]
pub struct Timer {
    requests: Sender<Wake>,
}

struct Wake {
    at: Instant,
    sleeper: oneshot::Sender<()>,
}

impl Timer {
    /// Starts the thread.
    pub fn start() -> std::io::Result<(Self, JoinHandle<()>)> {
        let (requests, receiver) = channel();
        let thread = std::thread::Builder::new().name("mock-timer".to_owned()).spawn(move || {
            exact_sleeps();
            Sleepers::default().run(&receiver);
        })?;
        Ok((Self { requests }, thread))
    }

    /// Returns after `length`, or at once when the thread is gone (which only happens at the end).
    pub async fn sleep(&self, length: Duration) {
        let (sleeper, woken) = oneshot::channel();
        let at = Instant::now() + length;
        if self.requests.send(Wake { at, sleeper }).is_ok() {
            // A closed channel means that the thread is gone.
            let _ = woken.await;
        }
    }
}

/// Asks the kernel not to round this thread's sleeps (its default grain is 50 µs).
pub fn exact_sleeps() {
    #[cfg(target_os = "linux")]
    {
        // Without it sleeps are only less exact.
        let _ = nix::sys::prctl::set_timerslack(1_000);
    }
}

/// Who sleeps until when.
#[derive(Default)]
struct Sleepers {
    order: BinaryHeap<Reverse<(Instant, u64)>>,
    waiting: std::collections::HashMap<u64, oneshot::Sender<()>>,
    count: u64,
}

impl Sleepers {
    fn run(mut self, requests: &Receiver<Wake>) {
        loop {
            let received = match self.order.peek() {
                None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(Reverse((at, _))) => requests.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match received {
                Ok(wake) => self.add(wake),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.wake_due(Instant::now());
        }
    }

    fn add(&mut self, wake: Wake) {
        self.count += 1;
        self.order.push(Reverse((wake.at, self.count)));
        self.waiting.insert(self.count, wake.sleeper);
    }

    fn wake_due(&mut self, now: Instant) {
        while let Some(Reverse((at, key))) = self.order.peek().copied() {
            if at > now {
                return;
            }
            self.order.pop();
            if let Some(sleeper) = self.waiting.remove(&key) {
                // The sleeper may have lost interest.
                let _ = sleeper.send(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn nobody_wakes_early_and_the_order_is_that_of_the_deadlines() {
        let (timer, thread) = Timer::start().unwrap();
        let began = Instant::now();
        let nap = |ms: u64| {
            let timer = timer.clone();
            async move {
                timer.sleep(Duration::from_millis(ms)).await;
                (ms, began.elapsed())
            }
        };
        let (a, b, c) = tokio::join!(nap(30), nap(10), nap(20));
        for (asked, took) in [a, b, c] {
            assert!(took >= Duration::from_millis(asked), "{asked} ms took {took:?}");
        }
        assert!(b.1 <= c.1 && c.1 <= a.1);
        drop(timer);
        thread.join().unwrap();
    }
}
