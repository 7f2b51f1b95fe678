//! Client spans for people's traces: one for each request, with the ids that were sent, so that the server's span hangs
//! below it. While a run goes on, [`Exporter`] takes requests that have ended and sends them on a thread of its own;
//! afterwards [`export`] sends those of a run folder. This module must not know how anything was measured, and nothing of
//! it may wait on the measured path or on the writer's.
//!
//! - [`span`]: one request as spans; [`json`]: spans as text; [`sink`]: to a collector or a file

mod json;
mod sink;
mod span;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;

use self::sink::Sink;
pub use self::span::Facts;
use crate::config::SpanExport;
use crate::record::RequestRow;
use crate::secrets::Secrets;

/// Requests that may wait for the exporting thread: about 10 MB. What comes when all places are taken is counted and
/// left out.
const QUEUE: usize = 8192;
/// Requests that are sent together: with their parts about 600 spans, as SDKs send 512, and far below the 4 MiB that
/// collectors take.
const BATCH: usize = 128;
/// How long a request waits for others to be sent with.
const LINGER: Duration = Duration::from_secs(1);
/// How soon it is noticed that a batch has waited long enough.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long one batch is tried again while the run goes on.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same for a collector that took nothing while the run went on, once that has ended.
const LAST_CHANCE: Duration = Duration::from_secs(2);

/// What became of the requests of an export.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exported {
    /// Where to, as people are told.
    pub to: String,
    /// Requests whose spans were taken, and how many spans that were.
    pub requests: u64,
    pub spans: u64,
    /// Warm-ups, which are no requests of the run: there so that what the server makes of them has a parent.
    pub warmups: u64,
    /// Spans that others sent here and that went to the same place, and those that could not.
    pub passed_on: u64,
    pub unpassed: u64,
    /// The collector took the batch and refused these spans of it.
    pub rejected_spans: u64,
    /// Requests that found no room in the queue.
    pub overflowed: u64,
    /// Requests whose batch could not be sent, or was refused.
    pub unsent: u64,
    /// Requests that tare did not send itself: which span the server's hangs below is not known.
    pub foreign: u64,
    /// Why, of the first batch that failed or was refused in part.
    pub reason: Option<String>,
}

impl Exported {
    /// What is lacking, in one sentence; `None` if nothing is.
    pub fn lacking(&self) -> Option<String> {
        let reason = self.reason.as_deref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let mut said = Vec::new();
        if self.unsent > 0 {
            said.push(format!("those of {} requests could not be sent{reason}", self.unsent));
        }
        if self.overflowed > 0 {
            said.push(format!(
                "those of {} requests found no room: requests ended faster than their spans could be sent",
                self.overflowed
            ));
        }
        if self.unpassed > 0 {
            let reason = if self.unsent > 0 { "" } else { &reason };
            said.push(format!(
                "{} spans that came from others could not be passed on{reason}",
                self.unpassed
            ));
        }
        if self.rejected_spans > 0 {
            let reason = if self.unsent + self.unpassed > 0 { "" } else { &reason };
            said.push(format!("{} spans were refused{reason}", self.rejected_spans));
        }
        if self.foreign > 0 {
            said.push(format!("{} requests were sent by another tool, with ids of its own", self.foreign));
        }
        (!said.is_empty()).then(|| format!("client spans are lacking at {}: {}", self.to, said.join("; ")))
    }

    /// What arrived, in one sentence.
    pub fn arrived(&self) -> String {
        let if_any =
            |n: u64, words: &str| if n > 0 { words.replace('#', &n.to_string()) } else { String::new() };
        format!(
            "client spans went to {}: {} requests{}, {} spans{}",
            self.to,
            self.requests,
            if_any(self.warmups, " and # warm-ups"),
            self.spans,
            if_any(self.passed_on, "; # spans that came here from others were passed on")
        )
    }
}

/// Sends spans while a run goes on.
pub struct Exporter {
    feed: Feed,
    thread: JoinHandle<Exported>,
    /// Set when the run has ended: until when is tried to send what is left.
    end: Arc<OnceLock<Instant>>,
    last_tries: Duration,
}

/// Where requests that have ended are handed in.
#[derive(Clone)]
pub struct Feed {
    items: SyncSender<Item>,
    overflowed: Arc<AtomicU64>,
    unpassed: Arc<AtomicU64>,
}

enum Item {
    Request(Box<RequestRow>),
    /// Spans of others, and how many.
    Others(Box<ResourceSpans>, u64),
}

impl Feed {
    /// Hands one in, or counts it: this never waits.
    pub fn offer(&self, row: &RequestRow) {
        self.put(Item::Request(Box::new(row.clone())));
    }

    /// The same for spans that others sent here, to go to the same place as they are.
    pub fn pass_on(&self, spans: ResourceSpans) {
        let count = spans.scope_spans.iter().map(|of_scope| of_scope.spans.len() as u64).sum();
        self.put(Item::Others(Box::new(spans), count));
    }

    fn put(&self, item: Item) {
        let (lost, was_full) = match self.items.try_send(item) {
            Ok(()) => return,
            Err(TrySendError::Full(item)) => (item, true),
            Err(TrySendError::Disconnected(item)) => (item, false),
        };
        match lost {
            Item::Others(_, count) => {
                self.unpassed.fetch_add(count, Ordering::Relaxed);
            }
            Item::Request(_) if was_full => {
                self.overflowed.fetch_add(1, Ordering::Relaxed);
            }
            // Nobody is there any more: the run is over, and it has told what became of its requests.
            Item::Request(_) => {}
        }
    }
}

impl Exporter {
    /// Opens the file, or makes ready for the collector; what `secrets` holds reaches neither. A collector that takes
    /// nothing yet is told to `warn`, and tried again.
    pub fn start(
        asked: &SpanExport,
        facts: Facts,
        secrets: &Secrets,
        warn: impl FnOnce(&str) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let mut sink = Sink::open(asked)?;
        let secrets = with_headers(secrets, asked);
        let (items, received) = sync_channel(QUEUE);
        let feed = Feed { items, overflowed: Arc::default(), unpassed: Arc::default() };
        let end = Arc::new(OnceLock::new());
        let of_the_run = Arc::clone(&end);
        let thread = std::thread::Builder::new()
            .name("tare-export".to_owned())
            .spawn(move || {
                let there = sink.probe();
                if let Err(error) = &there {
                    let why = format!("{error:#}");
                    warn(&secrets.clean(&format!("{} does not take spans yet: {why}", sink.name())));
                }
                let mut work = Work::new(&mut sink, &facts, &secrets, &of_the_run);
                work.failing = there.is_err();
                work.follow(&received);
                work.done
            })
            .context("could not start the export of client spans")?;
        Ok(Self { feed, thread, end, last_tries: Duration::from_secs_f64(asked.timeout_s) })
    }

    /// Where requests are handed in.
    pub fn feed(&self) -> Feed {
        self.feed.clone()
    }

    /// Sends what was handed in until now, for about as long as one batch may take, and tells what became of all.
    pub fn end(self) -> anyhow::Result<Exported> {
        let Self { feed, thread, end, last_tries } = self;
        let _ = end.set(Instant::now() + last_tries);
        let done = thread.join().map_err(|_| anyhow::anyhow!("the export of client spans panicked"))?;
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Ok(Exported {
            overflowed: get(&feed.overflowed),
            unpassed: done.unpassed + get(&feed.unpassed),
            ..done
        })
    }
}

/// Sends the spans of requests that have all ended. The first batch that cannot be sent ends it.
pub fn export(asked: &SpanExport, facts: &Facts, rows: &[RequestRow]) -> anyhow::Result<Exported> {
    let mut sink = Sink::open(asked)?;
    let secrets = with_headers(&Secrets::default(), asked);
    let end = OnceLock::new();
    let mut work = Work::new(&mut sink, facts, &secrets, &end);
    work.patience = Duration::from_secs_f64(asked.timeout_s);
    for (n, batch) in rows.chunks(BATCH).enumerate() {
        work.send(batch.iter());
        if work.done.unsent > 0 {
            let later = rows.len().saturating_sub((n + 1) * BATCH);
            work.done.unsent += later as u64;
            break;
        }
    }
    Ok(work.done)
}

fn with_headers(secrets: &Secrets, asked: &SpanExport) -> Secrets {
    secrets.and(&Secrets::new(None, asked.headers.iter().map(|(_, value)| value.clone())))
}

/// Batches on their way.
struct Work<'a> {
    sink: &'a mut Sink,
    facts: &'a Facts,
    secrets: &'a Secrets,
    /// When all tries end; not known while the run goes on.
    end: &'a OnceLock<Instant>,
    /// How long one batch is tried again.
    patience: Duration,
    /// The last batch could not be sent; and it was the last chance.
    failing: bool,
    given_up: bool,
    done: Exported,
}

impl<'a> Work<'a> {
    fn new(sink: &'a mut Sink, facts: &'a Facts, secrets: &'a Secrets, end: &'a OnceLock<Instant>) -> Self {
        let done = Exported { to: sink.name(), ..Exported::default() };
        Self { sink, facts, secrets, end, patience: PATIENCE, failing: false, given_up: false, done }
    }

    /// Sends what comes until the run has ended and nothing is left.
    fn follow(&mut self, items: &Receiver<Item>) {
        let mut batch: Vec<Box<RequestRow>> = Vec::with_capacity(BATCH);
        let mut begun = Instant::now();
        loop {
            match items.recv_timeout(LOOK_EVERY) {
                Ok(Item::Request(row)) => {
                    if batch.is_empty() {
                        begun = Instant::now();
                    }
                    batch.push(row);
                }
                Ok(Item::Others(spans, count)) => self.pass_on(*spans, count),
                Err(RecvTimeoutError::Timeout) if self.end.get().is_none() => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
            if batch.len() >= BATCH || (!batch.is_empty() && begun.elapsed() >= LINGER) {
                self.send(batch.iter().map(AsRef::as_ref));
                batch.clear();
            }
        }
        self.send(batch.iter().map(AsRef::as_ref));
    }

    /// One batch.
    fn send<'r>(&mut self, rows: impl Iterator<Item = &'r RequestRow>) {
        let (mut spans, mut requests, mut warmups) = (Vec::new(), 0, 0);
        for row in rows {
            match span::spans(row, self.facts, self.secrets) {
                Some(of_one) => {
                    spans.extend(of_one);
                    *(if span::is_warmup(row) { &mut warmups } else { &mut requests }) += 1;
                }
                None => self.done.foreign += 1,
            }
        }
        if spans.is_empty() {
            return;
        }
        let count = spans.len() as u64;
        match self.try_to_send(span::resource_spans(self.facts, spans)) {
            Some(rejected) => {
                self.done.requests += requests;
                self.done.warmups += warmups;
                self.done.spans += count.saturating_sub(rejected);
            }
            None => self.done.unsent += requests,
        }
    }

    /// Spans of others.
    fn pass_on(&mut self, spans: ResourceSpans, count: u64) {
        match self.try_to_send(spans) {
            Some(rejected) => self.done.passed_on += count.saturating_sub(rejected),
            None => self.done.unpassed += count,
        }
    }

    /// How many were refused of those that were taken; `None`: none was.
    fn try_to_send(&mut self, spans: ResourceSpans) -> Option<u64> {
        if self.given_up {
            return None;
        }
        let ended = self.end.get().is_some();
        // A collector that had failed when the run ended is not waited for: it gets one more chance.
        let patience = if self.failing && ended { self.patience.min(LAST_CHANCE) } else { self.patience };
        let (begun, end) = (Instant::now(), self.end);
        let until = || end.get().map_or(begun + patience, |&end| end.min(begun + patience));
        let sent = self.sink.send(spans, &until);
        self.failing = sent.is_err();
        self.given_up = self.failing && ended;
        match sent {
            Ok(taken) => {
                self.done.rejected_spans += taken.rejected;
                if let Some(why) = taken.why {
                    self.because(&why);
                }
                Some(taken.rejected)
            }
            Err(error) => {
                self.because(&format!("{error:#}"));
                None
            }
        }
    }

    /// What a collector says may repeat what it was sent.
    fn because(&mut self, why: &str) {
        let reason = &mut self.done.reason;
        reason.get_or_insert_with(|| self.secrets.clean(why).into_owned());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
