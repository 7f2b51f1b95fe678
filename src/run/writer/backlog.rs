//! What waits for the writing thread when that is held up: by a disc that takes its time, not one that refuses.
//! It is counted where it goes in and where it comes out; past a bound the load is ended, and past a second one
//! what comes is given up and counted. This file must not know what the rows mean.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::Thread;

use tokio_util::sync::CancellationToken;

use super::Item;
use super::queue::{Left, bytes_of_item};
use crate::run::progress::eprintln_line;

/// What is given up lies so many times over the bound at which the load is ended: requests under way still end.
const GIVEN_UP_AT: usize = 2;
/// With more than this the thread does not wait for its next look: thousands of requests that end together are written
/// as they come, not held.
const MUCH_BYTES: usize = 1 << 20;

/// Shared by those who send and the thread that writes.
#[derive(Debug)]
pub(super) struct Backlog {
    waiting_bytes: AtomicUsize,
    hold_bytes: usize,
    ended_load: AtomicBool,
    given_up: Mutex<Left>,
    writer: OnceLock<Thread>,
    /// It has been woken, and has not yet taken what waits.
    woken: AtomicBool,
}

impl Backlog {
    pub(super) fn new(hold_bytes: usize) -> Self {
        Self {
            waiting_bytes: AtomicUsize::new(0),
            hold_bytes,
            ended_load: AtomicBool::new(false),
            given_up: Mutex::default(),
            writer: OnceLock::new(),
            woken: AtomicBool::new(false),
        }
    }

    /// The calling thread is the one to be woken where much waits.
    pub(super) fn is_taken_here(&self) {
        let _ = self.writer.set(std::thread::current());
    }

    /// Whether `item` may wait. What is of the server's side alone may not once the bound is met: a flood of
    /// lines ends no load.
    pub(super) fn admits(&self, item: &Item, broken: &CancellationToken) -> bool {
        let bytes = bytes_of_item(item);
        let waiting = self.waiting_bytes.load(Ordering::Relaxed).saturating_add(bytes);
        let is_measured = matches!(item, Item::Finished(_));
        if waiting > self.hold_bytes && is_measured && !self.ended_load.swap(true, Ordering::Relaxed) {
            eprintln_line(&format!(
                "warning: the run folder takes records more slowly than they come, and {} MiB wait in memory: the load ends here",
                self.hold_bytes >> 20
            ));
            broken.cancel();
        }
        let most = if is_measured { self.hold_bytes.saturating_mul(GIVEN_UP_AT) } else { self.hold_bytes };
        if waiting > most {
            let mut given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
            given_up.add(item);
            return false;
        }
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        true
    }

    /// One more is on the channel: where much waits there, the thread is woken, once.
    pub(super) fn sent(&self) {
        if self.waiting_bytes.load(Ordering::Relaxed) >= MUCH_BYTES
            && !self.woken.swap(true, Ordering::Relaxed)
            && let Some(writer) = self.writer.get()
        {
            writer.unpark();
        }
    }

    /// The writing thread looks at the channel.
    pub(super) fn looked_at(&self) {
        self.woken.store(false, Ordering::Relaxed);
    }

    /// The writing thread has taken it.
    pub(super) fn taken(&self, item: &Item) {
        self.waiting_bytes.fetch_sub(bytes_of_item(item), Ordering::Relaxed);
    }

    /// Whether the load was ended for it.
    pub(super) fn ended_load(&self) -> bool {
        self.ended_load.load(Ordering::Relaxed)
    }

    /// What was given up, if anything.
    pub(super) fn given_up(&self) -> Left {
        *self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::Ingested;
    use crate::record::fixture::{finished, span};

    #[test]
    fn past_its_bound_the_load_ends_and_past_another_rows_are_counted_and_given_up() {
        let item = |i| Item::Finished(Box::new(finished(i)));
        let one = bytes_of_item(&item(0));
        let backlog = Backlog::new(10 * one + 1);
        let broken = CancellationToken::new();
        assert!((0..10).all(|i| backlog.admits(&item(i), &broken)) && !broken.is_cancelled());
        assert!(backlog.admits(&item(10), &broken), "what ends now is still kept");
        assert!(broken.is_cancelled() && backlog.ended_load());
        let of_server = Item::Ingested(Box::new(Ingested::Span(span(&finished(1).row))));
        assert!(!backlog.admits(&of_server, &broken));
        let kept = (11..60).filter(|i| backlog.admits(&item(*i), &broken)).count();
        assert_eq!(kept + 11, 20);
        assert_eq!(backlog.given_up(), Left { requests: 40, events: 40 * 11, others: 1 });
        // The thread goes on: there is room again.
        (0..20).for_each(|i| backlog.taken(&item(i)));
        assert!(backlog.admits(&of_server, &broken));
    }
}
