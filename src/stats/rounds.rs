//! Rounds of a closed loop whose users move in lockstep: all start together, wait for each other in
//! one batch, and start together again. Then the requests of a round share everything, and the round
//! is what can be repeated. This file must not know what a request is beyond its user and its start.

use std::collections::BTreeMap;

/// Of the time from one round's first start to the next round's, at most this share lies between the
/// first and the last start of a round (its median over the rounds).
const TOGETHER: f64 = 0.25;

/// One request: which number it has, which user sent it, when it started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    pub index: u64,
    pub user: Option<u32>,
    pub start_s: f64,
}

/// The round of every request, where there are rounds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rounds {
    /// By the request's number.
    of: BTreeMap<u64, u32>,
}

impl Rounds {
    /// Rounds that are known: each request's number, and the label of its round.
    pub fn known(labels: impl Iterator<Item = (u64, u32)>) -> Self {
        Self { of: labels.collect() }
    }

    /// Finds the rounds: each user's k-th request is in round k, every user but those of the last
    /// round has one in each, no round begins before all of the last one have started, and a round's
    /// starts lie close together. Anything else is no lockstep, and there are no rounds.
    pub fn find(starts: impl Iterator<Item = Start>) -> Self {
        let mut starts: Vec<Start> = starts.collect();
        starts.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
        let mut sent: BTreeMap<u32, u32> = BTreeMap::new();
        let mut of = BTreeMap::new();
        let mut rounds: Vec<Round> = Vec::new();
        for start in &starts {
            let Some(user) = start.user else { return Self::default() };
            let round = sent.entry(user).or_default();
            of.insert(start.index, *round);
            match rounds.len().checked_sub(*round as usize) {
                Some(0) => rounds.push(Round { begin_s: start.start_s, end_s: start.start_s, requests: 1 }),
                Some(1) => {
                    if let Some(now) = rounds.last_mut() {
                        now.end_s = start.start_s;
                        now.requests += 1;
                    }
                }
                // A user is a round behind.
                _ => return Self::default(),
            }
            *round += 1;
        }
        let users = sent.len();
        let whole = rounds.iter().rev().skip(1).all(|round| round.requests == users);
        let mut shares: Vec<f64> = rounds.windows(2).filter_map(share).collect();
        shares.sort_unstable_by(f64::total_cmp);
        let together = shares.get(shares.len() / 2).is_some_and(|share| *share <= TOGETHER);
        if users > 1 && whole && together { Self { of } } else { Self::default() }
    }

    /// How many there are; `None` where users do not move in lockstep.
    pub fn count(&self) -> Option<usize> {
        self.of.values().max().map(|last| *last as usize + 1)
    }

    /// A label for each of these requests, to be used as known blocks; `None` without rounds.
    pub fn labels(&self, indices: impl Iterator<Item = u64>) -> Option<Vec<u32>> {
        let labels = indices.map(|index| self.of.get(&index).copied());
        if self.of.is_empty() { None } else { labels.collect() }
    }
}

struct Round {
    begin_s: f64,
    end_s: f64,
    requests: usize,
}

/// How much of the way to the next round a round's starts are spread over.
fn share(neighbours: &[Round]) -> Option<f64> {
    let [this, next] = neighbours else { return None };
    Some((this.end_s - this.begin_s) / (next.begin_s - this.begin_s))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Round r of `users` begins at r seconds; user u starts `apart_s` · u later.
    fn lockstep(users: u32, rounds: u32, apart_s: f64) -> Vec<Start> {
        (0..rounds)
            .flat_map(|r| (0..users).map(move |u| (r, u)))
            .map(|(r, u)| Start {
                index: u64::from(r * users + u),
                user: Some(u),
                start_s: f64::from(r) + apart_s * f64::from(u),
            })
            .collect()
    }

    fn labels(starts: &[Start]) -> Option<Vec<u32>> {
        Rounds::find(starts.iter().copied()).labels(starts.iter().map(|s| s.index))
    }

    #[test]
    fn users_that_start_together_make_rounds() {
        assert_eq!(labels(&lockstep(3, 3, 0.001)).unwrap(), [0, 0, 0, 1, 1, 1, 2, 2, 2]);
        // The last round may be cut.
        assert_eq!(labels(&lockstep(3, 3, 0.001)[..8]).unwrap(), [0, 0, 0, 1, 1, 1, 2, 2]);
    }

    #[test]
    fn anything_else_is_no_lockstep() {
        assert_eq!(labels(&[]), None);
        assert_eq!(labels(&lockstep(1, 9, 0.0)), None, "one user has nobody to move with");
        assert_eq!(labels(&lockstep(4, 9, 0.2)), None, "users that take turns do not move together");
        let open: Vec<Start> = lockstep(4, 9, 0.001).into_iter().map(|s| Start { user: None, ..s }).collect();
        assert_eq!(labels(&open), None);
        let mut drifting = lockstep(4, 9, 0.001);
        for start in drifting.iter_mut().filter(|s| s.user == Some(3)) {
            start.start_s *= 1.3;
        }
        assert_eq!(labels(&drifting), None);
        let mut missing = lockstep(4, 9, 0.001);
        missing.remove(14);
        assert_eq!(labels(&missing), None);
    }

    proptest! {
        #[test]
        fn odd_input_never_breaks_it(starts in prop::collection::vec(
            (0..9_u64, prop::option::of(0..3_u32), any::<f64>()), 0..20,
        )) {
            let starts: Vec<Start> =
                starts.into_iter().map(|(index, user, start_s)| Start { index, user, start_s }).collect();
            let _ = labels(&starts);
        }
    }
}
