//! An open loop: a pacing thread starts each request at its time, whatever became of the others. This
//! file must not know sockets or what an answer says.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;

use super::arrival::Offsets;
use super::client::Prepared;
use super::connections::{Connected, spare};
use super::pool::Pool;
use super::{Plan, Shared, join_all, pace};
use crate::clock::UnixNs;

/// Starts the schedule, with the connections that are `ready`.
pub(super) fn start(
    plan: &Plan,
    offsets: Offsets,
    begun: UnixNs,
    ready: Vec<Connected>,
    shared: &Arc<Shared>,
) -> anyhow::Result<JoinSet<()>> {
    let end = plan.load.duration_s.unwrap_or(f64::INFINITY);
    let offsets = offsets.take_while(move |&offset| offset < end);
    let paced = pace::start(offsets, begun, plan.load.affinity.clone(), shared.closing.clone(), {
        let shared = Arc::clone(shared);
        move || shared.next(None)
    })?;
    let dispatcher = Dispatcher {
        pool: Arc::new(Pool::new(spare(&plan.load), ready)),
        places: plan.load.max_concurrency.map(|n| Arc::new(Semaphore::new(n as usize))),
        shared: Arc::clone(shared),
    };
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let keeper = Arc::clone(&dispatcher.pool).keep(Arc::clone(&dispatcher.shared));
        tokio::select! {
            () = dispatcher.dispatch(paced) => {}
            () = keeper => {}
        }
    });
    Ok(tasks)
}

/// What requests of an open loop share.
#[derive(Clone)]
struct Dispatcher {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    /// So many at once, if that is limited.
    places: Option<Arc<Semaphore>>,
}

impl Dispatcher {
    /// A task for each request as its time comes; returns when all have ended.
    async fn dispatch(&self, mut paced: UnboundedReceiver<(Prepared, UnixNs)>) {
        let mut tasks = JoinSet::new();
        while let Some((request, scheduled)) = paced.recv().await {
            while tasks.try_join_next().is_some() {}
            tasks.spawn(self.clone().send(request, scheduled));
        }
        join_all(&mut tasks).await;
    }

    /// Sends a request, and where it begins a conversation, its further turns.
    async fn send(self, mut request: Prepared, mut scheduled: UnixNs) {
        loop {
            let next_turn = request.next_turn();
            let Some(done) = self.one(request, scheduled).await else { return };
            let Some(next_turn) = next_turn else { return };
            let Some(next) = next_turn.begin(&self.shared, done).await else { return };
            (request, scheduled) = next;
        }
    }

    /// When its answer had ended; `None` if it was not sent.
    async fn one(&self, request: Prepared, scheduled: UnixNs) -> Option<UnixNs> {
        let shared = &self.shared;
        let _place = match self.places.clone() {
            Some(places) => tokio::select! {
                place = places.acquire_owned() => place.ok(),
                () = shared.closing.cancelled() => None,
            },
            None => None,
        };
        // Its turn came too late, or never: it is not sent, and counted as that.
        if shared.closing.is_cancelled() {
            shared.not_sent(&request);
            return None;
        }
        let kept = self.pool.take();
        self.pool.refill(shared);
        let (again, _, done) = shared.send(kept, request, scheduled).await;
        if let Some(again) = again {
            self.pool.put(again);
        }
        Some(done)
    }
}
