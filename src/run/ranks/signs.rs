//! When another process was last heard of, and whether it has been silent for so long that it is taken for dead. Each
//! writes a sign every second; a slow folder brings them late, or several at once, and how slow it is shows in the
//! signs that were seen. This file must not know where they are written.

use std::time::{Duration, Instant};

/// So long without a new sign, and a process is taken for dead …
const SILENT: Duration = Duration::from_secs(15);
/// … but so many times the longest time between two that were seen, where that is longer.
const GAPS: u32 = 4;

/// The signs of one process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    /// How often it had said what it says.
    said: u64,
    /// When that was seen first; before any, when it was first looked for.
    since: Instant,
    /// The longest time between two.
    longest_gap: Duration,
}

impl Signs {
    /// None was seen; it is looked for from `now` on.
    pub(super) fn new(now: Instant) -> Self {
        Self { said: 0, since: now, longest_gap: Duration::ZERO }
    }

    /// What it says had been said so often, as was read `now`.
    pub(super) fn seen(&mut self, said: u64, now: Instant) {
        if said == self.said {
            return;
        }
        if self.said > 0 {
            self.longest_gap = self.longest_gap.max(now.saturating_duration_since(self.since));
        }
        (self.said, self.since) = (said, now);
    }

    /// It was not looked for until `now`: what was missed is no silence.
    pub(super) fn look_again(&mut self, now: Instant) {
        self.since = now;
    }

    /// For how long nothing new came, if that is too long; no longer than `patience` is waited in any case.
    pub(super) fn silent(&self, patience: Duration, now: Instant) -> Option<Duration> {
        let silence = now.saturating_duration_since(self.since);
        (silence > SILENT.max(self.longest_gap * GAPS).min(patience)).then_some(silence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_mins(5);

    /// Signs seen at these seconds, each new; whether it is taken for dead at `at`.
    fn is_dead(seen: &[u64], at: u64) -> bool {
        let begin = Instant::now();
        let second = |s: u64| begin + Duration::from_secs(s);
        let mut signs = Signs::new(begin);
        for (n, s) in (1..).zip(seen) {
            signs.seen(n, second(*s));
            signs.seen(n, second(*s) + Duration::from_millis(25));
        }
        signs.silent(PATIENCE, second(at)).is_some()
    }

    #[test]
    fn a_process_that_gave_a_sign_every_second_is_dead_after_fifteen() {
        assert!(!is_dead(&[1, 2, 3, 4], 19));
        assert!(is_dead(&[1, 2, 3, 4], 20));
        assert!(!is_dead(&[], 15), "it may not have begun");
        assert!(is_dead(&[], 16));
    }

    /// Five seconds late, or five at once: as if by a network file system that looks anew that often.
    #[test]
    fn a_slow_folder_is_not_a_dead_process() {
        assert!(!is_dead(&[6, 7, 8, 9], 14));
        assert!(!is_dead(&[5, 10, 15, 20], 40));
        assert!(is_dead(&[5, 10, 15, 20], 41));
        assert!(!is_dead(&[0, 60, 120], 359), "however slow, no longer than the patience");
        assert!(is_dead(&[0, 60, 120, 240], 541));
    }

    #[test]
    fn what_was_not_looked_for_is_not_silence() {
        let begin = Instant::now();
        let mut signs = Signs::new(begin);
        signs.seen(3, begin);
        let later = begin + Duration::from_hours(1);
        signs.look_again(later);
        assert_eq!(signs.silent(PATIENCE, later), None);
        signs.seen(3700, later + Duration::from_secs(5));
        assert_eq!(signs.silent(PATIENCE, later + Duration::from_secs(19)), None);
        let dead = signs.silent(PATIENCE, later + Duration::from_secs(26));
        assert_eq!(dead, Some(Duration::from_secs(21)));
        let soon = signs.silent(Duration::from_secs(2), later + Duration::from_secs(8));
        assert_eq!(soon, Some(Duration::from_secs(3)), "who has less patience waits less");
    }
}
