//! KV memory in blocks: who holds each, and the part of a prompt that it has. A block that nobody holds any
//! more keeps its part until it is needed for another, the one that was let go longest ago first: that is
//! the prefix cache. This file must not know requests or costs.

use std::collections::{HashMap, VecDeque};

/// All blocks. They are made as they are first needed.
pub struct Blocks {
    capacity: u64,
    blocks: Vec<Block>,
    /// Hash of a part → the block that has it.
    by_hash: HashMap<u64, usize>,
    /// Blocks that nobody holds, in the order in which they were let go; an entry is stale when the block
    /// has been held again since.
    free: VecDeque<(usize, u64)>,
    held: u64,
    clock: u64,
}

#[derive(Default)]
struct Block {
    holders: u32,
    hash: Option<u64>,
    /// When it was last let go.
    let_go: u64,
}

/// The blocks of one sequence, in the order of its tokens.
#[derive(Debug, Default)]
pub struct Held(Vec<usize>);

impl Held {
    pub fn len(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Blocks {
    pub fn new(capacity: u64) -> Self {
        Self {
            capacity,
            blocks: Vec::new(),
            by_hash: HashMap::new(),
            free: VecDeque::new(),
            held: 0,
            clock: 0,
        }
    }

    /// Blocks that nobody holds.
    pub fn free(&self) -> u64 {
        self.capacity - self.held
    }

    /// The share of blocks that somebody holds.
    pub fn usage(&self) -> f64 {
        self.held as f64 / self.capacity.max(1) as f64
    }

    /// How many of these parts, from the first on, are there; and how many of their blocks nobody holds.
    pub fn cached(&self, parts: &[u64]) -> (usize, u64) {
        let found = parts.iter().map_while(|hash| self.by_hash.get(hash)).map(|at| self.blocks.get(*at));
        let mut unheld = 0;
        let count = found.inspect(|block| unheld += u64::from(block.is_some_and(|b| b.holders == 0))).count();
        (count, unheld)
    }

    /// Holds the blocks that have these parts, which must be there.
    pub fn share(&mut self, parts: &[u64], into: &mut Held) {
        for at in parts.iter().filter_map(|hash| self.by_hash.get(hash)) {
            if let Some(block) = self.blocks.get_mut(*at) {
                self.held += u64::from(block.holders == 0);
                block.holders += 1;
                into.0.push(*at);
            }
        }
    }

    /// Holds so many blocks more, if there are as many; whether there were.
    pub fn take(&mut self, count: u64, into: &mut Held) -> bool {
        if count > self.free() {
            return false;
        }
        for _ in 0..count {
            let at = self.next();
            if let Some(block) = self.blocks.get_mut(at) {
                block.holders = 1;
                self.held += 1;
            }
            into.0.push(at);
        }
        true
    }

    /// Says which parts the blocks from number `from` on have, now that they are computed.
    pub fn name(&mut self, held: &Held, from: usize, parts: &[u64]) {
        for (at, hash) in held.0.iter().skip(from).zip(parts) {
            // Of two blocks with one part the first is the one that is found.
            if let Some(block) = self.blocks.get_mut(*at)
                && !self.by_hash.contains_key(hash)
            {
                block.hash = Some(*hash);
                self.by_hash.insert(*hash, *at);
            }
        }
    }

    /// Lets all of them go, the last first: the beginning of a prompt is worth most.
    pub fn release(&mut self, held: &mut Held) {
        for at in held.0.drain(..).rev() {
            let Some(block) = self.blocks.get_mut(at) else { continue };
            block.holders -= 1;
            if block.holders == 0 {
                self.clock += 1;
                block.let_go = self.clock;
                self.free.push_back((at, self.clock));
                self.held -= 1;
            }
        }
        // Stale entries are dropped in bulk, so that the queue stays within a constant of the memory.
        if self.free.len() > 2 * self.blocks.len() + 1024 {
            let blocks = &self.blocks;
            self.free.retain(|entry| is_free(blocks, *entry));
        }
    }

    /// A block that nobody holds: one never used, else the one that was let go longest ago.
    fn next(&mut self) -> usize {
        if (self.blocks.len() as u64) < self.capacity {
            self.blocks.push(Block::default());
            return self.blocks.len() - 1;
        }
        while let Some(entry) = self.free.pop_front() {
            if !is_free(&self.blocks, entry) {
                continue;
            }
            let (at, _) = entry;
            if let Some(hash) = self.blocks.get_mut(at).and_then(|block| block.hash.take()) {
                self.by_hash.remove(&hash);
            }
            return at;
        }
        // `take` has seen that there is one.
        0
    }
}

fn is_free(blocks: &[Block], (at, let_go): (usize, u64)) -> bool {
    blocks.get(at).is_some_and(|block| block.holders == 0 && block.let_go == let_go)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Holds new blocks for these parts and lets them go again.
    fn leave(blocks: &mut Blocks, parts: &[u64]) {
        let mut held = Held::default();
        assert!(blocks.take(parts.len() as u64, &mut held));
        blocks.name(&held, 0, parts);
        blocks.release(&mut held);
    }

    #[test]
    fn only_the_leading_run_of_known_parts_counts() {
        let mut blocks = Blocks::new(10);
        leave(&mut blocks, &[1, 2, 4]);
        assert_eq!(blocks.cached(&[1, 2, 3, 4]), (2, 2));
        assert_eq!(blocks.cached(&[3, 1]), (0, 0));
        assert_eq!(blocks.cached(&[]), (0, 0));
        let mut held = Held::default();
        blocks.share(&[1], &mut held);
        assert_eq!(blocks.cached(&[1, 2]), (2, 1), "one of them is held");
    }

    #[test]
    fn what_was_let_go_longest_ago_goes_first_and_what_is_held_never() {
        let mut blocks = Blocks::new(3);
        leave(&mut blocks, &[1]);
        leave(&mut blocks, &[2]);
        leave(&mut blocks, &[3]);
        let mut held = Held::default();
        blocks.share(&[1], &mut held);
        leave(&mut blocks, &[4]);
        assert_eq!(blocks.cached(&[2]).0, 0, "2 was the oldest that nobody held");
        assert_eq!((blocks.cached(&[1]).0, blocks.cached(&[3]).0), (1, 1));
        let mut rest = Held::default();
        assert!(!blocks.take(3, &mut rest), "one of three is held");
        assert!(blocks.take(2, &mut rest) && blocks.free() == 0);
        assert!((blocks.usage() - 1.0).abs() < f64::EPSILON);
        assert_eq!(blocks.cached(&[1]).0, 1);
    }

    #[test]
    fn the_end_of_a_prompt_is_given_up_before_its_beginning() {
        let mut blocks = Blocks::new(3);
        leave(&mut blocks, &[1, 2, 3]);
        leave(&mut blocks, &[4]);
        assert_eq!(blocks.cached(&[1, 2, 3]).0, 2);
    }

    #[test]
    fn much_use_does_not_grow_it() {
        let mut blocks = Blocks::new(4);
        for round in 0..10_000_u64 {
            leave(&mut blocks, &[round % 6]);
            let mut held = Held::default();
            blocks.share(&[round % 6], &mut held);
            blocks.release(&mut held);
        }
        assert!(blocks.blocks.len() <= 4 && blocks.by_hash.len() <= 4);
        assert!(blocks.free.len() <= 2 * 4 + 1024 + 1);
    }
}
