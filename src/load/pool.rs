//! The idle connections of an open loop: taken by requests at their times, put back after them, and
//! kept to a number of spare ones that are opened beside, off the clock. This file must not know
//! HTTP or schedules.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Shared;
use super::connections::Connected;
use super::pause::Pause;
use crate::record::Status;

/// How often idle connections are looked through for old ones.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The connections that no request is using.
pub(super) struct Pool {
    /// So many are kept ready; with none, a request that finds no idle one opens its own.
    spare: usize,
    state: Mutex<State>,
}

struct State {
    /// Longest idle in front.
    idle: VecDeque<Connected>,
    /// Being opened.
    opening: usize,
    /// After a failure nothing is opened ahead for a while.
    pause: Pause,
    not_before: Option<Instant>,
}

impl Pool {
    pub(super) fn new(spare: usize, ready: Vec<Connected>) -> Self {
        let idle = ready.into();
        let state = State { idle, opening: 0, pause: Pause::default(), not_before: None };
        Self { spare, state: Mutex::new(state) }
    }

    /// An idle connection that can carry a request. Where spare ones are kept, the longest idle: each
    /// has its turn before it is too old. Else the last used.
    pub(super) fn take(&self) -> Option<Connected> {
        loop {
            let mut state = self.lock();
            let next = if self.spare > 0 { state.idle.pop_front() } else { state.idle.pop_back() };
            // Asking the socket is a system call, and not the others' business.
            drop(state);
            if let Some(usable) = next?.if_usable() {
                return Some(usable);
            }
        }
    }

    pub(super) fn put(&self, connected: Connected) {
        self.lock().idle.push_back(connected);
    }

    /// Opens beside what is lacking of the spare connections, and does not wait for it.
    pub(super) fn refill(self: &Arc<Self>, shared: &Arc<Shared>) {
        while !shared.closing.is_cancelled() && self.claims_one() {
            let (pool, shared) = (Arc::clone(self), Arc::clone(shared));
            tokio::spawn(async move { pool.opened(shared.open().await.ok()) });
        }
    }

    /// For ever: closes connections that grow old, and opens others in their place.
    pub(super) async fn keep(self: Arc<Self>, shared: Arc<Shared>) {
        loop {
            self.refill(&shared);
            tokio::time::sleep(LOOK_EVERY).await;
            drop(self.take_old());
        }
    }

    /// Whether one more is to be opened; it is then counted as being opened.
    fn claims_one(&self) -> bool {
        let mut state = self.lock();
        let lacking = state.idle.len() + state.opening < self.spare;
        let claims = lacking && state.not_before.is_none_or(|time| time <= Instant::now());
        state.opening += usize::from(claims);
        claims
    }

    fn opened(&self, connected: Option<Connected>) {
        let mut state = self.lock();
        state.opening = state.opening.saturating_sub(1);
        let status = if connected.is_some() { Status::Ok } else { Status::ConnectError };
        state.not_before = state.pause.after(status).map(|pause| Instant::now() + pause);
        state.idle.extend(connected);
    }

    fn take_old(&self) -> Vec<Connected> {
        let mut state = self.lock();
        let old = state.idle.iter().take_while(|connected| connected.is_old()).count();
        state.idle.drain(..old).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::load::connections::MAX_IDLE;
    use crate::load::connections::tests::{connected, on_a_runtime};

    #[test]
    fn spare_connections_take_turns_and_others_are_used_while_warm() {
        on_a_runtime(async {
            let (first, _a) = connected().await;
            let (second, _b) = connected().await;
            let (ports, both) =
                ((first.stream.local_port(), second.stream.local_port()), vec![first, second]);
            let pool = Pool::new(2, both);
            let taken = (pool.take().unwrap(), pool.take().unwrap());
            assert_eq!((taken.0.stream.local_port(), taken.1.stream.local_port()), ports);
            assert!(pool.take().is_none());
            let pool = Pool::new(0, vec![taken.0, taken.1]);
            assert_eq!(pool.take().unwrap().stream.local_port(), ports.1);
        });
    }

    #[test]
    fn what_is_old_or_closed_is_passed_over() {
        on_a_runtime(async {
            let (old, _a) = connected().await;
            let (closed, b) = connected().await;
            let (good, _c) = connected().await;
            let port = good.stream.local_port();
            drop(b);
            let pool = Pool::new(3, vec![old.aged(MAX_IDLE * 2).unwrap(), closed, good]);
            assert_eq!(pool.take().unwrap().stream.local_port(), port);
            assert!(pool.take().is_none());

            let (old, _a) = connected().await;
            let (good, _c) = connected().await;
            let pool = Pool::new(2, vec![old.aged(MAX_IDLE * 2).unwrap(), good]);
            assert_eq!(pool.take_old().len(), 1);
            assert!(pool.claims_one() && !pool.claims_one(), "one is lacking");
        });
    }

    #[test]
    fn no_more_are_opened_than_are_lacking_and_none_for_a_while_after_a_failure() {
        on_a_runtime(async {
            let pool = Pool::new(3, Vec::new());
            assert!((0..3).all(|_| pool.claims_one()) && !pool.claims_one());
            let (one, _a) = connected().await;
            pool.opened(Some(one));
            assert!(!pool.claims_one(), "one is idle and two are being opened");
            pool.opened(None);
            assert!(pool.lock().not_before.is_some());
            // Put off, so that no machine is too slow to see it.
            pool.lock().not_before = Some(Instant::now() + Duration::from_hours(1));
            assert!(!pool.claims_one());
            pool.lock().not_before = None;
            assert!(pool.claims_one());
        });
    }
}
