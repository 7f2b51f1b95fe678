//! Moments at which this program is known to have learnt at once of what came: a read, or a pulse, that it had
//! within a millisecond; and, where one thread does it all, the time that it slept in its poller, which wakes it for
//! whatever can be read. Of bytes whose stamp lies before such a moment, and which were read clearly after it,
//! it may be that they could not be read yet: that they waited in the kernel behind a segment that was lost or
//! overtaken. Only may: a read has the stamp of its last segment, so that one which was woken long ago and got
//! another segment just then looks prompt as well, while others that were woken with it still wait for their
//! thread. So this is where to ask the kernel (`reordering`), and not yet an answer. This file must not know sockets.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::clock::UnixNs;

/// What is had so soon after it came looks as if the program was not late.
const PROMPT_NS: i64 = 1_000_000;
/// Tasks that are woken together are run one after another, in some order: what is read so long after a prompt
/// moment was not woken with it.
const APART_NS: i64 = 3_000_000;

/// The two latest such moments, at least [`APART_NS`] apart: the later may be too young to tell.
#[derive(Debug)]
pub(super) struct Prompt {
    latest: AtomicI64,
    before: AtomicI64,
    /// The last sleep of the only thread that reads.
    asleep: AtomicI64,
    awake: AtomicI64,
}

/// Of this program: one load at a time, whose runtime has one poller.
pub(super) static PROMPT: Prompt = Prompt::new();

/// To be called by the runtime of one thread before it asks its poller, while nothing is left to do.
pub fn falls_asleep() {
    PROMPT.falls_asleep(UnixNs::now());
}

/// And when it has been told of something.
pub fn wakes() {
    PROMPT.wakes(UnixNs::now());
}

impl Prompt {
    const fn new() -> Self {
        let [latest, before, asleep, awake] = [const { AtomicI64::new(0) }; 4];
        Self { latest, before, asleep, awake }
    }

    fn falls_asleep(&self, at: UnixNs) {
        self.asleep.store(at.0, Ordering::Relaxed);
    }

    fn wakes(&self, at: UnixNs) {
        self.awake.store(at.0, Ordering::Relaxed);
    }

    /// Notes that what came at `came` was had at `had`. Written a few hundred times a second at most, so that
    /// threads do not take the line from each other's caches at every read.
    pub(super) fn note(&self, came: UnixNs, had: UnixNs) {
        let latest = self.latest.load(Ordering::Relaxed);
        if had.0 - came.0 < PROMPT_NS && came.0 - latest >= APART_NS {
            // Torn by another thread, both are still moments of this kind.
            self.before.store(latest, Ordering::Relaxed);
            self.latest.store(came.0, Ordering::Relaxed);
        }
    }

    /// Whether bytes stamped `stamped` and read at `read` may not have been there to be read in between.
    pub(super) fn hints_at_waiting(&self, stamped: UnixNs, read: UnixNs) -> bool {
        if read.0 - stamped.0 < APART_NS {
            return false;
        }
        let (asleep, awake) = (self.asleep.load(Ordering::Relaxed), self.awake.load(Ordering::Relaxed));
        if asleep <= stamped.0 && stamped.0 + APART_NS <= awake {
            return true;
        }
        [&self.latest, &self.before].into_iter().any(|moment| {
            let moment = moment.load(Ordering::Relaxed);
            stamped.0 < moment && moment + APART_NS <= read.0
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn at(ms: i64) -> UnixNs {
        UnixNs(ms * MS)
    }

    #[test]
    fn bytes_read_well_after_a_prompt_moment_had_waited_elsewhere() {
        let prompt = Prompt::new();
        assert!(!prompt.hints_at_waiting(at(100), at(300)), "nothing is known yet");
        prompt.note(at(200), UnixNs(200 * MS + 50_000));
        assert!(prompt.hints_at_waiting(at(100), at(300)));
        // Stamped after it; read with it.
        assert!(!prompt.hints_at_waiting(at(201), at(300)));
        assert!(!prompt.hints_at_waiting(at(199), at(202)));
        assert!(!prompt.hints_at_waiting(at(198), UnixNs(200 * MS + 100_000)));
    }

    /// A single stream: nothing else was read meanwhile.
    #[test]
    fn bytes_that_did_not_wake_a_sleeping_thread_had_waited_elsewhere() {
        let prompt = Prompt::new();
        prompt.falls_asleep(at(100));
        prompt.wakes(at(140));
        assert!(prompt.hints_at_waiting(at(110), at(140)));
        assert!(!prompt.hints_at_waiting(at(99), at(140)), "they were there before");
        assert!(!prompt.hints_at_waiting(at(139), at(145)), "they woke it");
    }

    /// A client that is late for everything has no such moment: its lag stays its own.
    #[test]
    fn a_late_client_hints_at_nothing() {
        let prompt = Prompt::new();
        for n in 0..1000 {
            prompt.note(at(n), at(n + 5));
        }
        assert!(!prompt.hints_at_waiting(at(10), at(900)));
    }

    /// In a dense load the latest moment is always too young; the one before it tells.
    #[test]
    fn of_two_moments_one_is_old_enough() {
        let prompt = Prompt::new();
        for n in 0..1000 {
            prompt.note(UnixNs(n * MS / 2), UnixNs(n * MS / 2 + 10_000));
        }
        assert!(prompt.hints_at_waiting(at(480), at(500)));
        assert!(!prompt.hints_at_waiting(at(498), at(500)), "too short to tell");
    }
}
