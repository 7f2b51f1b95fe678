//! When and how requests are sent: arrivals × prompts × client → finished requests. Reaches the
//! other stages only through `record`; must not know files, servers' metrics or reports.

mod affinity;
mod alarm;
mod answer_times;
mod arrival;
mod bodies;
mod client;
mod closed_loop;
mod connections;
mod ended;
pub mod http1;
mod legs;
mod live;
pub mod needs;
mod open_loop;
pub mod openai;
mod pace;
mod pause;
mod pool;
mod prepare;
mod recording;
pub mod resolve;
mod runtime;
mod sessions;
pub mod share;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
pub mod timing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use self::bodies::Bodies;
pub use self::connections::ConnectionCounts;
pub use self::legs::{Sent, run_legs};
pub use self::live::Live;
pub use self::prepare::Requests;
#[doc(hidden)]
pub use self::recording::played;
pub use self::sessions::TurnsUnsent;

use self::client::{Client, Prepared};
use self::connections::Connected;
use self::ended::{Ended, Tellings, ToRows};
use self::sessions::Sessions;
use crate::clock::UnixNs;
use crate::config::{Connections, Load};
use crate::net::{Sources, Whereabouts, tls};
use crate::record::share::{Numbers, Share};
use crate::record::{Finished, RequestRow, Sink, StampSource, Status};

/// Everything a load needs.
#[derive(Clone)]
pub struct Plan {
    pub address: SocketAddr,
    /// Where the server's name leads while the load runs; new connections go there.
    pub moves: Option<Arc<Whereabouts>>,
    pub requests: Arc<Requests>,
    pub load: Load,
    pub seed: u64,
    /// Put over each connection.
    pub tls: Option<tls::Client>,
    /// The best stamps that are to be had.
    pub stamps: StampSource,
    /// A closed loop whose requests are all known beforehand.
    pub leg: Option<LegUsers>,
    /// Which part of the load is sent here; `load`, `seed` and `requests` are those of the whole.
    pub share: Share,
    /// When the schedule begins; `None`: as soon as all is ready.
    pub start: Option<UnixNs>,
}

impl Plan {
    /// What falls to this process, in numbers.
    fn own_load(&self) -> Load {
        share::own(&self.load, self.share)
    }
}

/// Users who send so many requests each, from moments of their own on: request i of user u is number
/// i · users + u of the leg, however the users get on.
#[derive(Clone, Debug)]
pub struct LegUsers {
    pub requests_each: u32,
    /// Seconds after the begin, ascending.
    pub starts_s: Vec<f64>,
}

/// What a load did, apart from its records.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// When the schedule began.
    pub begun_unix_ns: UnixNs,
    /// How long after the start that was asked for it could begin.
    pub ready_late_s: Option<f64>,
    /// When the last request had ended.
    pub ended_unix_ns: UnixNs,
    pub sent: u64,
    /// Due, but not sent when sending ended: held back by the limit of concurrency, or the client was late.
    pub unsent: u64,
    /// When the last request of an open loop was due, sent or not.
    pub last_due_unix_ns: Option<UnixNs>,
    /// Requests first refused for `continuous_usage_stats`, then sent again without it.
    pub refused_usage: u64,
    /// Of conversations: later turns that were not sent.
    pub turns_unsent: TurnsUnsent,
    /// What the requests travelled on.
    pub connections: ConnectionCounts,
    /// Threads that sent and read.
    pub threads: usize,
    /// Stopped before its time.
    pub interrupted: bool,
}

/// What the tasks of a run share.
struct Shared {
    client: Client,
    requests: Arc<Requests>,
    /// How requests come by their connections.
    connections: Connections,
    /// Where exchanges go that ended well, to be read and recorded elsewhere.
    ended: ToRows,
    /// Who hears of every request; what must be known at once is told here.
    tellings: Tellings,
    /// Cancelled: send nothing more.
    closing: CancellationToken,
    /// Cancelled: what is in flight ends now.
    stop: CancellationToken,
    /// Requests begun; of conversations, conversations.
    next_index: AtomicU64,
    /// The numbers of what is sent here, among all that are sent.
    numbers: Numbers,
    /// Of all that are sent.
    limit: u64,
    /// What conversations share.
    sessions: Sessions,
    /// Requests of each user, where that is known beforehand.
    requests_each: Option<u32>,
    users: u32,
    /// Requests that the server refused for asking usage on every chunk, and that were sent again.
    refused_usage: AtomicU64,
    /// Requests whose turn had not come when sending ended.
    unsent: AtomicU64,
    /// When the last request of an open loop was due, sent or not; 0 for none.
    last_due_unix_ns: AtomicI64,
}

/// Runs the load to its end, on a runtime of its own; finished requests go to `sink` as they end.
/// Cancelling `interrupt` ends it at once, with what is in flight recorded as such.
pub fn run(
    plan: &Plan,
    sink: impl Into<Sink<Finished>>,
    live: Arc<Live>,
    interrupt: &CancellationToken,
) -> anyhow::Result<Outcome> {
    run_watched(plan, sink, live, interrupt, |_| ())
}

/// As [`run`]; `watch` is called with the runtime before anything is sent, and what it returns is
/// dropped when everything has ended and the runtime still lives.
pub fn run_watched<W: Send>(
    plan: &Plan,
    sink: impl Into<Sink<Finished>>,
    live: Arc<Live>,
    interrupt: &CancellationToken,
    watch: impl FnOnce(&tokio::runtime::Handle) -> W + Send,
) -> anyhow::Result<Outcome> {
    let mut only = Some(plan.clone());
    run_legs(&plan.load, &mut |_| only.take(), sink.into(), live, interrupt, watch)
}

/// Sends `plan.load.warmups` requests, one after another, numbered from `first` on, and returns their
/// rows: they are part of no result, but tell whether requests succeed at all.
pub fn warm_up(plan: &Plan, first: u64, interrupt: &CancellationToken) -> anyhow::Result<Vec<RequestRow>> {
    let client = client(plan);
    runtime::run(&plan.load, async {
        let mut rows = Vec::new();
        let mut kept: Option<Connected> = None;
        for n in (first..first + u64::from(plan.load.warmups)).filter(|n| plan.share.has(*n)) {
            if interrupt.is_cancelled() {
                break;
            }
            let request = Box::new(plan.requests.prepare_warmup(n)?);
            kept = kept.and_then(Connected::if_usable);
            let now = UnixNs::now();
            let (outcome, _) = understood(&client, &plan.requests, &mut kept, request, now, interrupt).await;
            rows.push(outcome.map_or_else(|finished| *finished, |ended| ended.finish()).row);
        }
        Ok(rows)
    })
}

fn client(plan: &Plan) -> Client {
    Client {
        address: plan.address,
        moves: plan.moves.clone(),
        sources: Sources::new(plan.load.source_addresses.clone()),
        endpoint: plan.requests.options.endpoint,
        streamed: plan.requests.options.stream,
        connect_timeout: Duration::from_secs_f64(plan.load.connect_timeout_s),
        timeout: Duration::from_secs_f64(plan.load.timeout_s),
        tls: plan.tls.clone(),
        kernel_stamps: plan.stamps > StampSource::User,
        keeps_offsets: plan.stamps == StampSource::Packet,
        keeps_texts: plan.load.keep_texts,
    }
}

impl Shared {
    /// Whether there are requests for a user who has sent so many.
    fn has_more(&self, sent: u32) -> bool {
        match self.requests_each {
            Some(each) => sent < each,
            None => self.left() > 0,
        }
    }

    /// Requests, or conversations, that are still to be sent here.
    fn left(&self) -> u64 {
        self.numbers.below(self.limit).saturating_sub(self.next_index.load(Ordering::Relaxed))
    }

    /// The next request to send, ready; `None` when there are no more. `user`: who sends it, and how many
    /// that one has sent.
    fn next(&self, user: Option<(u32, u32)>) -> Option<Prepared> {
        let n = match (self.requests_each, user) {
            (Some(_), Some((user, sent))) => u64::from(sent) * u64::from(self.users) + u64::from(user),
            _ => self.numbers.nth(self.next_index.fetch_add(1, Ordering::Relaxed))?,
        };
        if n >= self.limit {
            return None;
        }
        let close = self.connections == Connections::PerRequest;
        if self.requests.history.is_some() {
            return self.begin_session(n, user.map(|(user, _)| user), close);
        }
        let index = self.requests.leg.map_or(0, |leg| leg.first_index) + n;
        self.requests.prepare(index, user.map(|(user, _)| user), close).ok()
    }

    /// Sends one request and has it recorded; the connection is left in `kept` if it can be used again. Returns how the
    /// request ended as far as that is known already (an answer that looks whole is `ok`), and when.
    async fn send(
        &self,
        kept: &mut Option<Connected>,
        mut request: Box<Prepared>,
        scheduled: UnixNs,
    ) -> (Status, UnixNs) {
        self.tellings.live.begin(&mut request);
        let (outcome, refused) =
            understood(&self.client, &self.requests, kept, request, scheduled, &self.stop).await;
        self.tellings.live.end();
        self.refused_usage.fetch_add(u64::from(refused), Ordering::Relaxed);
        match outcome {
            Ok(ended) => {
                let done = ended.done;
                self.ended.send(ended);
                (Status::Ok, done)
            }
            Err(finished) => {
                let (status, done) = (finished.row.status, finished.row.done_unix_ns);
                self.tellings.tell(*finished);
                (status, done)
            }
        }
    }
}

/// An exchange that looks whole, to be read later; else what became of it.
type Fate = Result<Box<Ended>, Box<Finished>>;

/// One exchange; where the server is older than the question for usage on every chunk, it is asked no
/// more and the request is sent again, which the last value tells.
async fn understood(
    client: &Client,
    requests: &Requests,
    kept: &mut Option<Connected>,
    request: Box<Prepared>,
    scheduled: UnixNs,
    stop: &CancellationToken,
) -> (Fate, bool) {
    let ended = client.exchange(kept, request, scheduled, stop).await;
    if ended.looks_whole() {
        return (Ok(ended), false);
    }
    let asked = ended.request.clone();
    let finished = Box::new(ended.finish());
    if !(asked.continuous_usage && refuses_continuous_usage(&finished.row)) {
        return (Err(finished), false);
    }
    requests.ask_no_continuous_usage();
    let Ok(request) = requests.again(&asked) else { return (Err(finished), false) };
    let ended = client.exchange(kept, Box::new(request), scheduled, stop).await;
    let outcome = if ended.looks_whole() { Ok(ended) } else { Err(Box::new(ended.finish())) };
    (outcome, true)
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
