//! An open loop: a pacing thread starts each request at its time, whatever became of the others. This
//! file must not know sockets or what an answer says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use super::arrival::Offsets;
use super::client::Prepared;
use super::connections::{Connected, spare};
use super::pace::{Due, Paced};
use super::pool::Pool;
use super::{Plan, Shared};
use crate::clock::UnixNs;
use crate::config::Load;
use crate::record::Status;

/// The first of a schedule, made ready before it begins: a burst's requests are then only sent.
pub(super) fn ahead(plan: &Plan, offsets: Offsets, shared: &Arc<Shared>) -> Paced<impl Due + use<>> {
    Paced::new(source(plan, offsets, shared))
}

/// Every N-th of all arrivals, from the rank's on, with the requests of the same numbers.
pub(super) fn source(
    plan: &Plan,
    offsets: Offsets,
    shared: &Arc<Shared>,
) -> Source<impl Iterator<Item = f64> + Send + use<>> {
    let end = plan.load.duration_s.unwrap_or(f64::INFINITY);
    let (rank, world) = (plan.share.rank as usize, plan.share.world.max(1) as usize);
    let offsets = offsets.take_while(move |&offset| offset < end).skip(rank).step_by(world);
    Source { offsets, shared: Arc::clone(shared) }
}

/// Starts the schedule, with the connections that are `ready`. `own`: what of the load falls to this process.
pub(super) fn start(
    own: &Load,
    paced: Paced<impl Due>,
    begun: UnixNs,
    ready: Vec<Connected>,
    shared: &Arc<Shared>,
) -> anyhow::Result<JoinSet<()>> {
    // Held by every request; when none is left, the load has ended.
    let (held, all_ended) = channel(1);
    let pool = Arc::new(Pool::new(spare(own), ready));
    let dispatcher = Dispatcher {
        pool: Arc::clone(&pool),
        places: own.max_concurrency.map(|n| Arc::new(Semaphore::new(n as usize))),
        shared: Arc::clone(shared),
        _held: held,
    };
    let runtime = Handle::current();
    // Straight to the runtime's workers: each hand that a request goes through makes it later.
    let go = move |request, scheduled| {
        drop(runtime.spawn(dispatcher.clone().send(Box::new(request), scheduled)));
    };
    paced.start(begun, own.affinity.clone(), shared.closing.clone(), go)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(until_all_ended(pool.keep(Arc::clone(shared)), all_ended));
    Ok(tasks)
}

async fn until_all_ended(keeper: impl Future<Output = ()>, mut all_ended: Receiver<()>) {
    tokio::select! {
        _ = all_ended.recv() => {}
        () = keeper => {}
    }
}

/// The schedule and its requests.
pub(super) struct Source<I> {
    offsets: I,
    shared: Arc<Shared>,
}

impl<I: Iterator<Item = f64> + Send + 'static> Due for Source<I> {
    fn next_s(&mut self) -> Option<f64> {
        self.offsets.next()
    }

    fn request(&mut self) -> Option<Prepared> {
        self.shared.next(None)
    }

    fn left(&self) -> u64 {
        self.shared.left()
    }

    fn over(self, last_due: Option<UnixNs>, never_sent: u64) {
        self.shared.unsent.fetch_add(never_sent, Ordering::Relaxed);
        self.shared.last_due_unix_ns.store(last_due.map_or(0, |t| t.0), Ordering::Relaxed);
    }
}

/// What requests of an open loop share.
#[derive(Clone)]
struct Dispatcher {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    /// So many at once, if that is limited.
    places: Option<Arc<Semaphore>>,
    _held: Sender<()>,
}

impl Dispatcher {
    /// Sends a request, and where it begins a conversation, its further turns.
    async fn send(self, mut request: Box<Prepared>, mut scheduled: UnixNs) {
        loop {
            let next_turn = request.next_turn();
            let Some((status, done)) = self.one(request, scheduled).await else { return };
            let Some(next_turn) = next_turn else { return };
            let Some(next) = next_turn.begin(&self.shared, status, done).await else { return };
            (request, scheduled) = (Box::new(next.0), next.1);
        }
    }

    /// How it ended, and when; `None` if it was not sent.
    async fn one(&self, request: Box<Prepared>, scheduled: UnixNs) -> Option<(Status, UnixNs)> {
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
        let mut kept = self.pool.take();
        self.pool.refill(shared);
        let ended = shared.send(&mut kept, request, scheduled).await;
        if let Some(kept) = kept {
            self.pool.put(kept);
        }
        Some(ended)
    }
}
