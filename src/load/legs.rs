//! A load sent in parts, one after another, on one runtime: an audit's legs; a usual run is a single one.
//! This file must not know what a part is for.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::arrival::Offsets;
use super::connections::Counters;
use super::ended::{Finisher, Tellings};
use super::live::Live;
use super::sessions::{Sessions, TurnsUnsent};
use super::{
    Outcome, Plan, Shared, client, closed_loop, connections, join_all, open_loop, runtime, sleep_or_for_ever,
};
use crate::clock::UnixNs;
use crate::config::Load;
use crate::record::{Finished, Sink};

/// A request of an open loop that is due before the end of sending may be sent so long after it: a few
/// that were late by a moment would otherwise be missing.
const OVERTIME_S: f64 = 0.1;
/// Connections are opened so long before a start that was named.
const OPENED_AHEAD_S: f64 = 1.0;

/// One part of a load, sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    pub begun_unix_ns: UnixNs,
    pub ended_unix_ns: UnixNs,
    /// How long after the start that was asked for it could begin.
    pub ready_late_s: Option<f64>,
}

/// Sends part after part until `next`, which is told of the last one, gives no more, or until
/// `interrupt`. The runtime is made as `load` says, and is that of all parts. `watch` is called before
/// anything is sent, as in [`super::run_watched`].
pub fn run_legs<W: Send>(
    load: &Load,
    next: &mut (dyn FnMut(Option<Sent>) -> Option<Plan> + Send),
    sink: Sink<Finished>,
    live: Arc<Live>,
    interrupt: &CancellationToken,
    watch: impl FnOnce(&tokio::runtime::Handle) -> W + Send,
) -> anyhow::Result<Outcome> {
    let tellings = Tellings { live, counters: Arc::new(Counters::default()), sink };
    let finisher = Finisher::start(tellings.clone())?;
    let (mut unsent, mut refused_usage, mut last_due_unix_ns, mut ready_late_s) = (0, 0, None, None);
    let mut turns_unsent = TurnsUnsent::default();
    let mut span: Option<Sent> = None;
    let sent_all = runtime::run(load, async {
        let (mut watch, mut _watching) = (Some(watch), None);
        let mut last = None;
        while let Some(plan) = if interrupt.is_cancelled() && last.is_some() { None } else { next(last) } {
            let shared = Arc::new(shared(&plan, &finisher, &tellings, interrupt)?);
            let sent = one(&plan, &shared, interrupt, || {
                if let Some(watch) = watch.take() {
                    // Until everything has ended, while the runtime still lives.
                    _watching = Some(watch(&tokio::runtime::Handle::current()));
                }
            })
            .await?;
            unsent += shared.unsent.load(Ordering::Relaxed);
            last_due_unix_ns =
                Some(UnixNs(shared.last_due_unix_ns.load(Ordering::Relaxed))).filter(|t| t.0 > 0);
            turns_unsent = turns_unsent.and(shared.sessions.turns_unsent());
            refused_usage += shared.refused_usage.load(Ordering::Relaxed);
            ready_late_s = sent.ready_late_s.or(ready_late_s);
            span = Some(Sent { begun_unix_ns: span.map_or(sent.begun_unix_ns, |s| s.begun_unix_ns), ..sent });
            last = Some(sent);
        }
        Ok(())
    });
    finisher.end()?;
    sent_all?;
    let now = UnixNs::now();
    let span = span.unwrap_or(Sent { begun_unix_ns: now, ended_unix_ns: now, ready_late_s: None });
    Ok(Outcome {
        begun_unix_ns: span.begun_unix_ns,
        ready_late_s,
        ended_unix_ns: span.ended_unix_ns,
        sent: tellings.live.sent.load(Ordering::Relaxed),
        unsent,
        last_due_unix_ns,
        refused_usage,
        turns_unsent,
        connections: tellings.counters.read(),
        threads: runtime::threads(load),
        interrupted: interrupt.is_cancelled(),
    })
}

pub(super) fn shared(
    plan: &Plan,
    finisher: &Finisher,
    tellings: &Tellings,
    interrupt: &CancellationToken,
) -> anyhow::Result<Shared> {
    Ok(Shared {
        client: client(plan),
        requests: Arc::clone(&plan.requests),
        connections: plan.load.connections,
        ended: finisher.way(),
        tellings: tellings.clone(),
        closing: interrupt.child_token(),
        stop: interrupt.child_token(),
        next_index: AtomicU64::new(0),
        numbers: plan.share.numbers(plan.load.arrival.users()),
        sessions: Sessions::of(plan)?,
        limit: plan.load.requests.unwrap_or(u64::MAX),
        requests_each: plan.leg.as_ref().map(|leg| leg.requests_each),
        users: plan.load.arrival.users().unwrap_or(0),
        refused_usage: AtomicU64::new(0),
        unsent: AtomicU64::new(0),
        last_due_unix_ns: AtomicI64::new(0),
    })
}

/// One part, to its end; `ready` is called when its connections are open and nothing was sent.
async fn one(
    plan: &Plan,
    shared: &Arc<Shared>,
    interrupt: &CancellationToken,
    ready: impl FnOnce(),
) -> anyhow::Result<Sent> {
    let grace = Duration::from_secs_f64(plan.load.grace_period_s);
    let paced =
        Offsets::new(&plan.load.arrival, plan.seed).map(|offsets| open_loop::ahead(plan, offsets, shared));
    let own = plan.own_load();
    if let Some(start) = plan.start {
        // Connections that are opened too early are old before they are used.
        tokio::select! {
            () = tokio::time::sleep(start.plus_seconds(-OPENED_AHEAD_S).remaining()) => {}
            () = interrupt.cancelled() => {}
        }
    }
    let ahead = connections::before_the_start(&own);
    let opened = tokio::select! {
        opened = connections::open_several(shared, ahead) => opened,
        () = interrupt.cancelled() => Vec::new(),
    };
    ready();
    let now = UnixNs::now();
    // A start that was named stays where it is, however late this is: the lateness is the requests'.
    let begun = plan.start.unwrap_or(now);
    let ready_late_s = plan.start.map(|start| now.seconds_since(start).max(0.0));
    let overtime_s = if paced.is_some() { OVERTIME_S } else { 0.0 };
    let mut tasks = match paced {
        None => closed_loop::start(plan, begun, opened, shared)?,
        Some(paced) => open_loop::start(&own, paced, begun, opened, shared)?,
    };
    let sent = || Sent { begun_unix_ns: begun, ended_unix_ns: UnixNs::now(), ready_late_s };
    // The end of sending: by time, by count (the tasks end by themselves), or by the user.
    let time_left = plan.load.duration_s.map(|d| begun.plus_seconds(d + overtime_s).remaining());
    tokio::select! {
        () = join_all(&mut tasks) => return Ok(sent()),
        () = sleep_or_for_ever(time_left) => {}
        () = interrupt.cancelled() => {}
    }
    shared.closing.cancel();
    tokio::select! {
        () = join_all(&mut tasks) => {}
        () = async {
            tokio::select! {
                () = tokio::time::sleep(grace) => {}
                () = interrupt.cancelled() => {}
            }
            shared.stop.cancel();
            std::future::pending::<()>().await;
        } => {}
    }
    Ok(sent())
}
