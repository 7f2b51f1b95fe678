//! A closed loop: each user sends its next request when its last one has ended. This file must not
//! know sockets or what an answer says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::arrival::user_start_s;
use super::connections::{AHEAD_S, Connected};
use super::pause::Pause;
use super::{Plan, Shared, pace};
use crate::clock::UnixNs;
use crate::config::{Arrival, Connections};

/// Starts every user; the first of them use the connections that are `ready`.
pub(super) fn start(
    plan: &Plan,
    begun: UnixNs,
    ready: Vec<Connected>,
    shared: &Arc<Shared>,
) -> anyhow::Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    let Arrival::Closed { users, ramp_s } = plan.load.arrival else { return Ok(tasks) };
    let mut ready = ready.into_iter();
    let mut starts = Vec::new();
    for user in 0..users {
        let own = plan.leg.as_ref().and_then(|leg| leg.starts_s.get(user as usize).copied());
        let start = begun.plus_seconds(own.unwrap_or_else(|| user_start_s(user, users, ramp_s)));
        let (go, started) = oneshot::channel();
        starts.push((start, go));
        tasks.spawn(one_user(Arc::clone(shared), user, (start, started), ready.next()));
    }
    pace::at_their_times(starts, plan.load.affinity.clone(), shared.closing.clone())?;
    Ok(tasks)
}

async fn one_user(
    shared: Arc<Shared>,
    user: u32,
    (start, started): (UnixNs, oneshot::Receiver<()>),
    mut kept: Option<Connected>,
) {
    let mut pause = Pause::default();
    let begun = async {
        // Opened ahead of the start; what is lacking then is waited for below, off the clock all the same.
        if kept.is_none() && shared.connections == Connections::Warm && shared.has_more(0) {
            tokio::time::sleep(start.plus_seconds(-AHEAD_S).remaining()).await;
            kept = shared.ready(None, &mut pause).await;
        }
        // Closed without a word, it is over, which is looked at below.
        let _ = started.await;
    };
    if unless(&shared, begun).await.is_none() {
        return;
    }
    shared.tellings.live.users.fetch_add(1, Ordering::Relaxed);
    let mut free = UnixNs::now().min(start);
    let mut sent = 0;
    // The next turn of the user's conversation, where there is one.
    let mut following = None;
    while !shared.closing.is_cancelled() && (following.is_some() || shared.has_more(sent)) {
        // Before the request is counted: one that is given up while it waits was never there.
        let Some(connected) = unless(&shared, shared.ready(kept.take(), &mut pause)).await else { break };
        let request = match following.take() {
            None => shared.next(Some((user, sent))),
            Some(following) => Some(following),
        };
        let Some(mut request) = request else { break };
        sent += 1;
        let next_turn = request.next_turn();
        let (again, status, done) = shared.send(connected, request, free).await;
        (kept, free) = (again, done);
        if let Some(next_turn) = next_turn
            && let Some((request, due)) = next_turn.begin(&shared, done).await
        {
            (following, free) = (Some(request), due);
            continue;
        }
        if let Some(pause) = pause.after(status) {
            if unless(&shared, tokio::time::sleep(pause)).await.is_none() {
                break;
            }
            free = UnixNs::now();
        }
    }
    if let Some(never) = following {
        shared.not_sent(&never);
    }
    shared.tellings.live.users.fetch_sub(1, Ordering::Relaxed);
}

/// `None` when sending ended first.
async fn unless<T>(shared: &Shared, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = shared.closing.cancelled() => None,
        done = work => Some(done),
    }
}
