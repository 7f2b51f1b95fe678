//! Which part of a load is this process's, where several send one load together: arrivals, users and
//! numbers by their remainder. Pure arithmetic, the same on every host, so that the parts of all ranks are
//! exactly the whole. This file must not know how ranks find each other.

use serde::{Deserialize, Serialize};

/// Rank `rank` of `world`.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Share {
    pub rank: u32,
    pub world: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self::WHOLE
    }
}

impl Share {
    /// All of it.
    pub const WHOLE: Share = Share { rank: 0, world: 1 };

    pub fn is_whole(self) -> bool {
        self.world <= 1
    }

    /// Whether number `n` of anything that is counted from 0 is this rank's.
    pub fn has(self, n: u64) -> bool {
        n % u64::from(self.world.max(1)) == u64::from(self.rank)
    }

    /// How many of the numbers below `n` are this rank's.
    pub fn of(self, n: u64) -> u64 {
        n.saturating_sub(self.rank.into()).div_ceil(self.world.max(1).into())
    }

    /// Users of a closed loop of so many.
    pub fn users(self, users: u32) -> u32 {
        self.of(users.into()) as u32
    }

    /// The numbers of what this rank sends. `users`: of a closed loop, all users of all ranks.
    pub fn numbers(self, users: Option<u32>) -> Numbers {
        Numbers { share: self, users: users.map(u64::from) }
    }
}

/// The numbers of one rank's requests (or conversations) among all ranks', ascending.
///
/// In an open loop number i is rank i mod N's, as the i-th arrival is. In a closed loop of U users the
/// numbers i with i mod U = u are those of user u's rank: a rank with more users has more of them, and all
/// ranks run out of them at about the same time.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    share: Share,
    users: Option<u64>,
}

impl Numbers {
    /// The `k`-th, from 0; `None` of a rank without users.
    pub fn nth(self, k: u64) -> Option<u64> {
        let (rank, world) = (u64::from(self.share.rank), u64::from(self.share.world.max(1)));
        let Some(users) = self.users else {
            return Some(k.saturating_mul(world).saturating_add(rank));
        };
        let own = self.share.of(users);
        let round = k.checked_div(own)?;
        Some(round.saturating_mul(users).saturating_add(rank + (k % own) * world))
    }

    /// How many there are below `limit`.
    pub fn below(self, limit: u64) -> u64 {
        match self.users {
            None => self.share.of(limit),
            Some(users) => {
                let rounds = limit.checked_div(users).unwrap_or(0);
                let rest = limit.checked_rem(users).unwrap_or(0);
                rounds.saturating_mul(self.share.of(users)) + self.share.of(rest)
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn five_users_on_two_ranks_share_numbers_by_users() {
        let numbers = |rank| Share { rank, world: 2 }.numbers(Some(5));
        let first = |rank| (0..7).map(|k| numbers(rank).nth(k).unwrap()).collect::<Vec<_>>();
        assert_eq!((first(0), first(1)), (vec![0, 2, 4, 5, 7, 9, 10], vec![1, 3, 6, 8, 11, 13, 16]));
        assert_eq!((numbers(0).below(10), numbers(1).below(10)), (6, 4));
        assert_eq!(Share { rank: 5, world: 8 }.numbers(Some(5)).nth(0), None, "no users, no numbers");
    }

    proptest! {
        /// Every number is one rank's, in ascending order, and as many as are said.
        #[test]
        fn the_parts_are_the_whole(world in 1_u32..9, users in prop::option::of(1_u32..20), limit in 0_u64..200) {
            let mut all = Vec::new();
            for rank in 0..world {
                let numbers = Share { rank, world }.numbers(users);
                let own: Vec<u64> = (0..).map_while(|k| numbers.nth(k)).take_while(|n| *n < limit).collect();
                prop_assert_eq!(own.len() as u64, numbers.below(limit));
                prop_assert!(own.is_sorted());
                all.extend(own);
            }
            all.sort_unstable();
            prop_assert_eq!(all, (0..limit).collect::<Vec<_>>());
        }

        #[test]
        fn numbers_of_users_go_where_their_users_are(world in 1_u32..9, users in 1_u32..20, k in 0_u64..100) {
            for rank in 0..world {
                let share = Share { rank, world };
                if let Some(n) = share.numbers(Some(users)).nth(k) {
                    prop_assert!(share.has(n % u64::from(users)));
                }
            }
        }
    }
}
