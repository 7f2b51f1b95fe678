//! A closed loop: each user sends its next request when its last one has ended. This file must not
//! know sockets or what an answer says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::arrival::{Shift, shifts, user_start_s};
use super::connections::{AHEAD_S, Connected};
use super::pause::Pause;
use super::{Plan, Shared, pace};
use crate::clock::UnixNs;
use crate::config::{Arrival, Connections};

/// A stay of a user: when it begins, who says so, and when it is over.
struct Stay {
    start: UnixNs,
    started: oneshot::Receiver<()>,
    until: Option<UnixNs>,
}

/// Starts every user; the first of them use the connections that are `ready`.
pub(super) fn start(
    plan: &Plan,
    begun: UnixNs,
    ready: Vec<Connected>,
    shared: &Arc<Shared>,
) -> anyhow::Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    let mut ready = ready.into_iter();
    let mut starts = Vec::new();
    let users = plan.load.arrival.users().unwrap_or(0);
    for user in (0..users).filter(|user| plan.share.has(u64::from(*user))) {
        let mut stays = Vec::new();
        for Shift { from_s, until_s } in stays_of(plan, user) {
            let (go, started) = oneshot::channel();
            let start = begun.plus_seconds(from_s);
            starts.push((start, go));
            let until = until_s.is_finite().then(|| begun.plus_seconds(until_s));
            stays.push(Stay { start, started, until });
        }
        tasks.spawn(one_user(Arc::clone(shared), user, stays, ready.next()));
    }
    // Those of one user are in order, but other users' lie between them.
    starts.sort_by_key(|(start, _)| *start);
    pace::at_their_times(starts, plan.load.affinity.clone(), shared.closing.clone())?;
    Ok(tasks)
}

/// When a user is there, in seconds from the begin.
pub(super) fn stays_of(plan: &Plan, user: u32) -> Vec<Shift> {
    let for_good = |from_s| vec![Shift { from_s, until_s: f64::INFINITY }];
    if let Some(own) = plan.leg.as_ref().and_then(|leg| leg.starts_s.get(user as usize)) {
        return for_good(*own);
    }
    match &plan.load.arrival {
        Arrival::Closed { users, ramp_s } => for_good(user_start_s(user, *users, *ramp_s)),
        Arrival::UserStages { stages } => shifts(stages, user),
        _ => Vec::new(),
    }
}

async fn one_user(shared: Arc<Shared>, user: u32, stays: Vec<Stay>, mut kept: Option<Connected>) {
    let mut pause = Pause::default();
    let mut sent = 0;
    // When its last request was done: it may still have been at it when its next stay began.
    let mut done_last: Option<UnixNs> = None;
    for Stay { start, started, until } in stays {
        let begun = async {
            // Opened ahead of the start; what is lacking then is waited for below, off the clock all the same.
            kept = kept.take().and_then(Connected::if_usable);
            if kept.is_none() && shared.connections == Connections::Warm && shared.has_more(sent) {
                tokio::time::sleep(start.plus_seconds(-AHEAD_S).remaining()).await;
                shared.ready(&mut kept, &mut pause).await;
            }
            // Closed without a word, it is over, which is looked at below.
            let _ = started.await;
        };
        if unless(&shared, begun).await.is_none() {
            return;
        }
        shared.tellings.live.users.fetch_add(1, Ordering::Relaxed);
        let mut free = UnixNs::now().min(start).max(done_last.unwrap_or(start));
        let is_there = || until.is_none_or(|until| UnixNs::now() < until);
        // The next turn of the user's conversation, where there is one.
        let mut following = None;
        while !shared.closing.is_cancelled() && (following.is_some() || shared.has_more(sent)) && is_there() {
            // Before the request is counted: one that is given up while it waits was never there.
            if unless(&shared, shared.ready(&mut kept, &mut pause)).await.is_none() {
                break;
            }
            let request = match following.take() {
                None => shared.next(Some((user, sent))),
                Some(following) => Some(following),
            };
            let Some(mut request) = request.map(Box::new) else { break };
            sent += 1;
            let next_turn = request.next_turn();
            let (status, done) = shared.send(&mut kept, request, free).await;
            (free, done_last) = (done, Some(done));
            if let Some(next_turn) = next_turn
                && let Some((request, due)) = next_turn.begin(&shared, status, done).await
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
}

/// `None` when sending ended first.
async fn unless<T>(shared: &Shared, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = shared.closing.cancelled() => None,
        done = work => Some(done),
    }
}
