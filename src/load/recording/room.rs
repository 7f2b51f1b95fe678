//! What all open answers together may take in memory: each takes its share as it grows, and gives it back when it
//! is gone. A bound for each answer alone is none for thousands of them. This file must not know what is kept.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Of all open answers together: 2,000 streams of 8,000 events take two thirds of it.
pub(super) const MAX_TOGETHER_BYTES: usize = 1 << 30;
/// Shares grow by so much at a time, so that the count that all threads share is touched once in a thousand events.
/// An answer's first such step is free.
const STEP_BYTES: usize = 64 << 10;

/// The room that answers share.
#[derive(Debug)]
pub(super) struct Room {
    taken: AtomicUsize,
    most: usize,
}

/// This program's.
static ROOM: Room = Room::of(MAX_TOGETHER_BYTES);

impl Room {
    pub(super) const fn of(most: usize) -> Self {
        Self { taken: AtomicUsize::new(0), most }
    }
}

/// One answer's share.
#[derive(Debug)]
pub(super) struct Share {
    room: &'static Room,
    bytes: usize,
}

impl Default for Share {
    fn default() -> Self {
        Self::of(&ROOM)
    }
}

impl Share {
    pub(super) const fn of(room: &'static Room) -> Self {
        Self { room, bytes: 0 }
    }

    /// Notes that the answer now takes `bytes`; false where there is no room for it.
    pub(super) fn holds(&mut self, bytes: usize) -> bool {
        if bytes <= self.bytes + STEP_BYTES {
            return true;
        }
        let more = bytes - self.bytes;
        let before = self.room.taken.fetch_add(more, Ordering::Relaxed);
        self.bytes = bytes;
        before + more <= self.room.most
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_share_one_room_and_give_it_back() {
        static ROOM: Room = Room::of(10 * STEP_BYTES + 1);
        let mut shares: Vec<Share> = (0..4).map(|_| Share::of(&ROOM)).collect();
        assert!(shares.iter_mut().all(|share| share.holds(STEP_BYTES)), "small answers take none");
        assert_eq!(ROOM.taken.load(Ordering::Relaxed), 0);
        assert!(shares.iter_mut().take(3).all(|share| share.holds(3 * STEP_BYTES)));
        let last = shares.pop();
        let mut last = last.unwrap_or_default();
        assert!(!last.holds(3 * STEP_BYTES), "twelve steps of ten");
        // The one that was refused is given up, and another may grow.
        drop(last);
        assert!(shares.iter_mut().take(1).all(|share| share.holds(4 * STEP_BYTES + 1)));
        drop(shares);
        assert_eq!(ROOM.taken.load(Ordering::Relaxed), 0);
    }
}
