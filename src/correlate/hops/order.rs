//! In which order requests pass the hops, by the requests themselves: a list that is the other way round, a log
//! that is in it under two names. What the requests contradict is put right where they agree, and said. This file
//! must not know how a row was joined.
//!
//! Of two hops the one nearer to the client has a request first: by a port from which it went on and by which it came
//! to the other, else by stamps that do not overlap. Stamps that do tell nothing.

use super::HopJoin;
use crate::record::hops::{Listed, OutOfPlace, Passage};
use crate::record::{HopRow, ToldBy};

/// Of the requests that tell, so many make an order; of those of two hops, so many make them one.
const NEARLY_ALL: f64 = 0.9;
/// Where fewer requests tell, or fewer of those of both, they may be those of which a log was late.
const LEAST: usize = 3;
const LEAST_SHARE: f64 = 0.1;
/// A log's start is mostly reckoned back from when its line was written: it may be late by so much.
const LOG_LATE_S: f64 = 0.001;
/// Two processes' readings of one clock.
const READING_S: f64 = 0.000_05;

/// Of two hops: the requests in which either surely had it first, and those that both tell the same of.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    this_first: usize,
    other_first: usize,
    same: usize,
    both: usize,
}

impl Pair {
    fn tell(self) -> usize {
        self.this_first + self.other_first
    }

    /// Whether enough of them tell.
    fn is_told(self) -> bool {
        self.tell() >= LEAST && self.tell() as f64 >= LEAST_SHARE * self.both as f64
    }

    /// Whether the requests agree that this one comes first.
    fn is_first(self) -> bool {
        self.is_told() && self.this_first as f64 >= NEARLY_ALL * self.tell() as f64
    }

    /// Whether they disagree.
    fn is_mixed(self) -> bool {
        let least = self.this_first.min(self.other_first);
        self.is_told() && least as f64 > (1.0 - NEARLY_ALL) * self.tell() as f64
    }

    fn is_same(self) -> bool {
        self.same > 0 && self.same as f64 >= NEARLY_ALL * self.both as f64
    }
}

/// Puts the hops into the order in which requests pass them, and notes what was, or is, out of place.
pub fn arrange(joined: &mut HopJoin) {
    let pair = |a: usize, b: usize| pair(&joined.passages, a, b);
    let n = joined.list.len();
    let pairs: Vec<Vec<Pair>> = (0..n).map(|a| (0..n).map(|b| pair(a, b)).collect()).collect();
    let of = |a: usize, b: usize| pairs.get(a).and_then(|row| row.get(b)).copied().unwrap_or_default();

    // The first that none of those left must precede; where each has one that must, they go round in a circle.
    let mut left: Vec<usize> = (0..n).collect();
    let mut order: Vec<usize> = Vec::with_capacity(n);
    while !left.is_empty() {
        let may_be_next = |hop: &&usize| left.iter().all(|other| !of(*other, **hop).is_first());
        let next = left.iter().find(may_be_next).or(left.first()).copied().unwrap_or_default();
        left.retain(|hop| *hop != next);
        order.push(next);
    }
    for (place, second) in order.iter().enumerate() {
        for first in order.iter().take(place) {
            let pair = of(*first, *second);
            let (listed, n, tell) = match () {
                () if pair.is_same() => (Listed::Twice, pair.same, pair.both),
                () if of(*second, *first).is_first() || pair.is_mixed() => {
                    (Listed::Unclear, pair.this_first, pair.tell())
                }
                () if pair.is_first() && second < first => (Listed::Reversed, pair.this_first, pair.tell()),
                () => continue,
            };
            let other = joined.list.get(*first).map(|hop| hop.name.clone()).unwrap_or_default();
            if let Some(hop) = joined.list.get_mut(*second) {
                hop.out_of_place.push(OutOfPlace { other, listed, requests: n, of: tell });
            }
        }
    }
    joined.list = order.iter().filter_map(|hop| joined.list.get(*hop).cloned()).collect();
    for passages in &mut joined.passages {
        let mut taken = std::mem::take(passages);
        *passages = order.iter().map(|hop| taken.get_mut(*hop).and_then(Option::take)).collect();
    }
}

fn pair(passages: &[Vec<Option<Box<Passage>>>], this: usize, other: usize) -> Pair {
    let mut pair = Pair::default();
    if this == other {
        return pair;
    }
    let of_both = |of_one: &'_ Vec<Option<Box<Passage>>>| -> Option<()> {
        let (this, other) = (of_one.get(this)?.as_deref()?, of_one.get(other)?.as_deref()?);
        pair.both += 1;
        if tell_the_same(&this.row, &other.row) {
            pair.same += 1;
        } else if is_before(this, other) {
            pair.this_first += 1;
        } else if is_before(other, this) {
            pair.other_first += 1;
        }
        Some(())
    };
    let _ = passages.iter().filter_map(of_both).count();
    pair
}

/// Whether a request surely came by `first` to `second`.
fn is_before(first: &Passage, second: &Passage) -> bool {
    let went_on = |from: &Passage, to: &Passage| {
        from.row
            .outgoing
            .as_ref()
            .is_some_and(|port| port.contains(':') && to.row.client.as_ref() == Some(port))
    };
    if went_on(first, second) || went_on(second, first) {
        return went_on(first, second) && !went_on(second, first);
    }
    let late_s = |row: &HopRow| match row.told_by {
        ToldBy::Tap | ToldBy::Packets => READING_S,
        ToldBy::Log | ToldBy::Headers => LOG_LATE_S,
    };
    let apart_s = late_s(&first.row).max(late_s(&second.row));
    let steady = !first.stepped && !second.stepped;
    first
        .start
        .zip(second.start)
        .is_some_and(|(first, second)| steady && second.lo_unix_ns.seconds_since(first.hi_unix_ns) > apart_s)
}

/// Whether two rows are one: alike in all but where they stood.
fn tell_the_same(a: &HopRow, b: &HopRow) -> bool {
    let bare = |row: &HopRow| HopRow {
        hop: String::new(),
        product: String::new(),
        source: String::new(),
        line_no: 0,
        read_unix_ns: None,
        ..row.clone()
    };
    a.start_unix_ns.is_some() && a.start_unix_ns == b.start_unix_ns && bare(a) == bare(b)
}
