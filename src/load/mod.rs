//! When and how requests are sent: arrivals × prompts × client → finished requests. Reaches the
//! other stages only through `record`; must not know files, servers' metrics or reports.

mod arrival;
mod client;
mod http1;
mod live;
pub mod openai;
mod pace;
mod pause;
mod prepare;
mod recording;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::live::Live;
pub use self::prepare::Requests;

use self::arrival::{Offsets, user_start_s};
use self::client::{Client, Prepared};
use self::pause::Pause;
use crate::clock::UnixNs;
use crate::config::{Arrival, Load};
use crate::net::StampedStream;
use crate::record::{Finished, RequestRow, Status};

/// Everything a load needs.
#[derive(Clone)]
pub struct Plan {
    pub address: SocketAddr,
    pub requests: Arc<Requests>,
    pub load: Load,
    pub seed: u64,
}

/// What a load did, apart from its records.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// When the schedule began.
    pub begun_unix_ns: UnixNs,
    /// When the last request had ended.
    pub ended_unix_ns: UnixNs,
    pub sent: u64,
    /// Scheduled, but still held back by the limit of concurrency when sending ended.
    pub unsent: u64,
    /// Requests first refused for `continuous_usage_stats`, then sent again without it.
    pub refused_usage: u64,
    /// Stopped before its time.
    pub interrupted: bool,
}

/// What the tasks of a run share.
struct Shared {
    client: Client,
    requests: Arc<Requests>,
    sink: Sender<Finished>,
    live: Arc<Live>,
    /// Cancelled: send nothing more.
    closing: CancellationToken,
    /// Cancelled: what is in flight ends now.
    stop: CancellationToken,
    next_index: AtomicU64,
    limit: u64,
    /// Requests that the server refused for asking usage on every chunk, and that were sent again.
    refused_usage: AtomicU64,
    /// Requests whose turn had not come when sending ended.
    unsent: AtomicU64,
}

/// Runs the load to its end, on a runtime of its own; finished requests go to `sink` as they end.
/// Cancelling `interrupt` ends it at once, with what is in flight recorded as such.
pub fn run(
    plan: &Plan,
    sink: Sender<Finished>,
    live: Arc<Live>,
    interrupt: &CancellationToken,
) -> anyhow::Result<Outcome> {
    run_watched(plan, sink, live, interrupt, |_| ())
}

/// As [`run`]; `watch` is called with the runtime before anything is sent, and what it returns is
/// dropped when everything has ended and the runtime still lives.
pub fn run_watched<W>(
    plan: &Plan,
    sink: Sender<Finished>,
    live: Arc<Live>,
    interrupt: &CancellationToken,
    watch: impl FnOnce(&tokio::runtime::Handle) -> W,
) -> anyhow::Result<Outcome> {
    let runtime = runtime()?;
    let shared = Arc::new(Shared {
        client: client(plan),
        requests: Arc::clone(&plan.requests),
        sink,
        live,
        closing: interrupt.child_token(),
        stop: interrupt.child_token(),
        next_index: AtomicU64::new(0),
        limit: plan.load.requests.unwrap_or(u64::MAX),
        refused_usage: AtomicU64::new(0),
        unsent: AtomicU64::new(0),
    });
    let _armed = crate::net::arm_kernel_stamps();
    let watching = watch(runtime.handle());
    let begun = UnixNs::now();
    let grace = Duration::from_secs_f64(plan.load.grace_period_s);
    runtime.block_on(async {
        let mut tasks = match Offsets::new(plan.load.arrival, plan.seed) {
            None => start_users(plan, begun, &shared),
            Some(offsets) => send_on_schedule(plan, offsets, begun, &shared)?,
        };
        // The end of sending: by time, by count (the tasks end by themselves), or by the user.
        let time_left = plan.load.duration_s.map(|d| begun.plus_seconds(d).remaining());
        tokio::select! {
            () = join_all(&mut tasks) => return Ok(()),
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
        anyhow::Ok(())
    })?;
    let ended = UnixNs::now();
    drop(watching);
    let sent = shared.live.sent.load(Ordering::Relaxed);
    Ok(Outcome {
        begun_unix_ns: begun,
        ended_unix_ns: ended,
        sent,
        unsent: shared.unsent.load(Ordering::Relaxed),
        refused_usage: shared.refused_usage.load(Ordering::Relaxed),
        interrupted: interrupt.is_cancelled(),
    })
}

/// Sends `plan.load.warmups` requests, one after another, and returns their rows: they are part of
/// no result, but tell whether requests succeed at all.
pub fn warm_up(plan: &Plan, interrupt: &CancellationToken) -> anyhow::Result<Vec<RequestRow>> {
    let client = client(plan);
    runtime()?.block_on(async {
        let mut rows = Vec::new();
        let mut kept = None;
        for n in 0..u64::from(plan.load.warmups) {
            if interrupt.is_cancelled() {
                break;
            }
            let request = plan.requests.prepare_warmup(n)?;
            let now = UnixNs::now();
            let (finished, again, _) =
                understood(&client, &plan.requests, kept, &request, now, interrupt).await;
            kept = again;
            rows.push(finished.row);
        }
        Ok(rows)
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_name("tare-load")
        .enable_all()
        .build()
        .context("could not start the load's runtime")
}

fn client(plan: &Plan) -> Client {
    Client {
        address: plan.address,
        endpoint: plan.requests.options.endpoint,
        streamed: plan.requests.options.stream,
        connect_timeout: Duration::from_secs_f64(plan.load.connect_timeout_s),
        timeout: Duration::from_secs_f64(plan.load.timeout_s),
    }
}

/// A closed loop: each user sends its next request when its last one has ended.
fn start_users(plan: &Plan, begun: UnixNs, shared: &Arc<Shared>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let Arrival::Closed { users, ramp_s } = plan.load.arrival else { return tasks };
    for user in 0..users {
        let (shared, start) = (Arc::clone(shared), begun.plus_seconds(user_start_s(user, users, ramp_s)));
        tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(start.remaining()) => {}
                () = shared.closing.cancelled() => return,
            }
            shared.live.users.fetch_add(1, Ordering::Relaxed);
            let mut connection = None;
            let mut free = UnixNs::now().min(start);
            let mut pause = Pause::default();
            while !shared.closing.is_cancelled() {
                let Some(request) = shared.next(Some(user)) else { break };
                let status;
                (connection, status) = shared.send(connection, &request, free).await;
                if let Some(pause) = pause.after(status) {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = shared.closing.cancelled() => break,
                    }
                }
                free = UnixNs::now();
            }
            shared.live.users.fetch_sub(1, Ordering::Relaxed);
        });
    }
    tasks
}

/// An open loop: a pacing thread starts each request at its time, whatever became of the others.
fn send_on_schedule(
    plan: &Plan,
    offsets: Offsets,
    begun: UnixNs,
    shared: &Arc<Shared>,
) -> anyhow::Result<JoinSet<()>> {
    let idle: Arc<Mutex<Vec<StampedStream>>> = Arc::default();
    let places = plan.load.max_concurrency.map(|n| Arc::new(Semaphore::new(n as usize)));
    let end = plan.load.duration_s.unwrap_or(f64::INFINITY);
    let mut paced = pace::start(offsets.take_while(move |&o| o < end), begun, shared.closing.clone(), {
        let shared = Arc::clone(shared);
        move || shared.next(None)
    })?;
    let mut dispatcher = JoinSet::new();
    let shared = Arc::clone(shared);
    dispatcher.spawn(async move {
        let mut tasks = JoinSet::new();
        while let Some((request, scheduled)) = paced.recv().await {
            while tasks.try_join_next().is_some() {}
            let (shared, idle, places) = (Arc::clone(&shared), Arc::clone(&idle), places.clone());
            tasks.spawn(async move {
                let _place = match places {
                    Some(places) => tokio::select! {
                        place = places.acquire_owned() => place.ok(),
                        () = shared.closing.cancelled() => None,
                    },
                    None => None,
                };
                // Its turn came too late, or never: it is not sent, and counted as that.
                if shared.closing.is_cancelled() {
                    shared.unsent.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                let kept = idle.lock().ok().and_then(|mut idle| idle.pop());
                let (again, _) = shared.send(kept, &request, scheduled).await;
                if let (Some(again), Ok(mut idle)) = (again, idle.lock()) {
                    idle.push(again);
                }
            });
        }
        join_all(&mut tasks).await;
    });
    Ok(dispatcher)
}

impl Shared {
    /// The next request to send, ready; `None` when there are no more.
    fn next(&self, user: Option<u32>) -> Option<Prepared> {
        let index = self.next_index.fetch_add(1, Ordering::Relaxed);
        if index >= self.limit {
            return None;
        }
        self.requests.prepare(index, user).ok()
    }

    /// Sends one request and records it; the connection comes back if it can be used again, and
    /// whether there was one at all.
    async fn send(
        &self,
        kept: Option<StampedStream>,
        request: &Prepared,
        scheduled: UnixNs,
    ) -> (Option<StampedStream>, Status) {
        self.live.begin();
        let (finished, again, refused) =
            understood(&self.client, &self.requests, kept, request, scheduled, &self.stop).await;
        self.refused_usage.fetch_add(u64::from(refused), Ordering::Relaxed);
        let status = finished.row.status;
        self.live.end(&finished.row);
        // The writer outlives the load; if it broke, the run ends with its error, not with ours.
        let _ = self.sink.send(finished);
        (again, status)
    }
}

/// One exchange; where the server is older than the question for usage on every chunk, it is asked no
/// more and the request is sent again, which the last value tells.
async fn understood(
    client: &Client,
    requests: &Requests,
    kept: Option<StampedStream>,
    request: &Prepared,
    scheduled: UnixNs,
    stop: &CancellationToken,
) -> (Finished, Option<StampedStream>, bool) {
    let (finished, again) = client.exchange(kept, request, scheduled, stop).await;
    if !(request.continuous_usage && refuses_continuous_usage(&finished.row)) {
        return (finished, again, false);
    }
    requests.ask_no_continuous_usage();
    let Ok(request) = requests.again(request) else { return (finished, again, false) };
    let (finished, again) = client.exchange(again, &request, scheduled, stop).await;
    (finished, again, true)
}

/// Whether the answer is a refusal of `stream_options.continuous_usage_stats`.
fn refuses_continuous_usage(row: &RequestRow) -> bool {
    matches!(row.http_status, Some(400 | 422))
        && row
            .error
            .as_deref()
            .is_some_and(|e| e.contains("continuous_usage") || e.contains("stream_options"))
}

async fn join_all(tasks: &mut JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

async fn sleep_or_for_ever(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
