//! The prefix cache: which blocks of prompts have been computed before. It holds hashes only, the
//! least recently used go first. This file must not know requests or costs.

use std::collections::{HashMap, VecDeque};

/// Hashes of cached blocks, at most `capacity`.
pub struct PrefixCache {
    capacity: usize,
    /// Block → when it was last used.
    used: HashMap<u64, u64>,
    /// Uses in order; an entry is stale when the block has been used again since.
    order: VecDeque<(u64, u64)>,
    clock: u64,
}

impl PrefixCache {
    pub fn new(capacity: usize) -> Self {
        Self { capacity, used: HashMap::new(), order: VecDeque::new(), clock: 0 }
    }

    /// How many leading blocks are cached; they count as used now.
    pub fn leading_hits(&mut self, blocks: &[u64]) -> usize {
        let hits = blocks.iter().take_while(|block| self.used.contains_key(block)).count();
        for block in blocks.iter().take(hits) {
            self.touch(*block);
        }
        hits
    }

    /// Adds computed blocks.
    pub fn insert(&mut self, blocks: &[u64]) {
        for block in blocks {
            self.touch(*block);
        }
        while self.used.len() > self.capacity {
            let Some((block, at)) = self.order.pop_front() else {
                return;
            };
            if self.used.get(&block) == Some(&at) {
                self.used.remove(&block);
            }
        }
    }

    fn touch(&mut self, block: u64) {
        self.clock += 1;
        self.used.insert(block, self.clock);
        self.order.push_back((block, self.clock));
        // Stale entries are dropped in bulk, so that the queue stays within a constant of the cache.
        if self.order.len() > 2 * self.used.len() + 1024 {
            let used = &self.used;
            self.order.retain(|(block, at)| used.get(block) == Some(at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_leading_run_of_known_blocks_counts() {
        let mut cache = PrefixCache::new(10);
        cache.insert(&[1, 2, 4]);
        assert_eq!(cache.leading_hits(&[1, 2, 3, 4]), 2);
        assert_eq!(cache.leading_hits(&[3, 1]), 0);
        assert_eq!(cache.leading_hits(&[]), 0);
    }

    #[test]
    fn the_least_recently_used_blocks_go_first() {
        let mut cache = PrefixCache::new(3);
        cache.insert(&[1, 2, 3]);
        assert_eq!(cache.leading_hits(&[1]), 1);
        cache.insert(&[4]);
        assert_eq!(cache.leading_hits(&[2]), 0, "2 was the oldest");
        assert_eq!(cache.leading_hits(&[1]), 1);
        assert_eq!(cache.leading_hits(&[3]), 1);
    }

    #[test]
    fn much_use_does_not_grow_it() {
        let mut cache = PrefixCache::new(4);
        for round in 0..10_000_u64 {
            cache.insert(&[round % 6]);
            cache.leading_hits(&[round % 6]);
        }
        assert!(cache.used.len() <= 4);
        assert!(cache.order.len() <= 2 * 4 + 1024 + 1);
    }
}
