//! The one thread that writes the run folder's streams while the load runs: everything that happens
//! arrives on one channel, in order. While the folder cannot be written, it holds what comes in memory, up to
//! a bound, and tries again; nothing that was measured is thrown away before the very end. This file must not
//! know what the rows mean.

mod backlog;
mod queue;
mod sync;

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use self::backlog::Backlog;
pub(super) use self::queue::Left;
use self::queue::Queue;
use self::sync::Syncing;
use super::progress::eprintln_line;
use crate::export::Feed;
use crate::expose::Counter;
use crate::ingest::Ingested;
use crate::load::Live;
use crate::record::{Finished, Sink};
use crate::store::RunWriter;
use crate::store::append::Written;

/// Rows taken from the channel before they are written together.
const BATCH: usize = 256;
/// How old a row may be when it is written, about: what ended, or began, later than that before a kill is not known. Nobody
/// wakes this thread: to be woken for each row cost as much as to write it, and rows that are written together cost less.
/// Only where much waits it is woken.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How much is held in memory while the folder cannot be written; when it is full, the load is ended.
const HOLD_BYTES: usize = 64 << 20;

/// So many times as much may wait for a folder that takes its time: thousands of long answers that end together are
/// no trouble.
const BACKLOG_TIMES: usize = 16;
/// What is said of a folder that took too long, without an error.
const SLOW: &str = "it takes records more slowly than they come";

/// How it is gone about a folder that cannot be written.
#[derive(Clone, Copy, Debug)]
struct Patience {
    look_every: Duration,
    hold_bytes: usize,
    try_every: Duration,
    /// How long it is tried once the run has ended.
    at_the_end: Duration,
}

const PATIENCE: Patience = Patience {
    look_every: LOOK_EVERY,
    hold_bytes: HOLD_BYTES,
    try_every: Duration::from_millis(500),
    at_the_end: Duration::from_secs(10),
};

pub(super) enum Item {
    Finished(Box<Finished>),
    Ingested(Box<Ingested>),
}

/// The writing thread and the way to it.
pub(super) struct Writer {
    thread: JoinHandle<Ended>,
    requests: Sink<Finished>,
    ingested: Sink<Ingested>,
    counter: Arc<OnceLock<Counter>>,
    spans: Arc<OnceLock<Feed>>,
}

/// What became of everything that was sent.
#[derive(Debug, Default)]
pub(super) struct Ended {
    pub(super) written: Written,
    /// The folder could not be written for a while, or to the end.
    pub(super) trouble: Option<Trouble>,
}

impl Ended {
    /// Whether the load was ended because what it measured could not be kept.
    pub(super) fn ended_load(&self) -> bool {
        self.trouble.as_ref().is_some_and(|trouble| trouble.ended_load)
    }
}

/// A folder that could not be written.
#[derive(Debug)]
pub(super) struct Trouble {
    /// The first error.
    pub(super) error: String,
    /// From the first error until the folder could be written again, or the end.
    pub(super) lasted_s: f64,
    /// The load was ended for it.
    pub(super) ended_load: bool,
    /// What was never written.
    pub(super) lost: Option<Left>,
}

impl Writer {
    /// Starts the thread, which cancels `broken` when it can hold no more. What `live` tells of begun
    /// requests is written, too.
    pub(super) fn start(
        writer: RunWriter,
        live: Arc<Live>,
        broken: CancellationToken,
    ) -> anyhow::Result<Self> {
        Self::with_patience(writer, live, broken, PATIENCE)
    }

    fn with_patience(
        writer: RunWriter,
        live: Arc<Live>,
        broken: CancellationToken,
        patience: Patience,
    ) -> anyhow::Result<Self> {
        let (items, received) = channel();
        let backlog = Arc::new(Backlog::new(patience.hold_bytes.saturating_mul(BACKLOG_TIMES)));
        let way = Way { items, backlog: Arc::clone(&backlog), broken: broken.clone() };
        let requests = way.clone().sink(|f| Item::Finished(Box::new(f)));
        let ingested = way.sink(|i| Item::Ingested(Box::new(i)));
        let (counter, spans) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        let keeper = Keeper {
            queue: Queue::new(writer),
            backlog,
            counter: Arc::clone(&counter),
            spans: Arc::clone(&spans),
            live,
            broken,
            patience,
            held: None,
            past: None,
            ended_load: false,
        };
        let thread = std::thread::Builder::new()
            .name("tare-writer".to_owned())
            .spawn(move || keeper.write_all(&received))
            .context("could not start the writer")?;
        Ok(Self { thread, requests, ingested, counter, spans })
    }

    /// Counts every request from now on with this, too.
    pub(super) fn count_with(&self, counter: Counter) {
        let _ = self.counter.set(counter);
    }

    /// Hands every request from now on to this, too.
    pub(super) fn export_with(&self, feed: Feed) {
        let _ = self.spans.set(feed);
    }

    /// Where finished requests go.
    pub(super) fn requests(&self) -> Sink<Finished> {
        self.requests.clone()
    }

    /// Where the server's side goes.
    pub(super) fn ingested(&self) -> Sink<Ingested> {
        self.ingested.clone()
    }

    /// Waits until everything that was sent is written, or cannot be; every other sender must be gone by
    /// now.
    pub(super) fn end(self) -> anyhow::Result<Ended> {
        let Self { thread, requests, ingested, .. } = self;
        drop((requests, ingested));
        thread.thread().unpark();
        thread.join().map_err(|_| anyhow::anyhow!("the writer panicked"))
    }
}

/// The way to the writing thread.
#[derive(Clone)]
struct Way {
    items: Sender<Item>,
    backlog: Arc<Backlog>,
    broken: CancellationToken,
}

impl Way {
    /// What is sent there goes this way, as far as there is room.
    fn sink<T: 'static>(self, wrap: fn(T) -> Item) -> Sink<T> {
        Sink::new(move |row| {
            let item = wrap(row);
            // The thread outlives all who send: if it panicked, the run ends with that.
            if !self.backlog.admits(&item, &self.broken) {
                return;
            }
            match self.items.send(item) {
                Ok(()) => self.backlog.sent(),
                Err(unsent) => {
                    self.backlog.taken(&unsent.0);
                    self.broken.cancel();
                }
            }
        })
    }
}

/// Since when the folder cannot be written.
struct Held {
    since: Instant,
    tried: Instant,
    error: String,
}

/// What is on the channel.
#[derive(Clone, Copy, Eq, PartialEq)]
enum There {
    More,
    /// For now.
    Nothing,
    /// And nobody is left who could send.
    End,
}

struct Keeper {
    queue: Queue,
    backlog: Arc<Backlog>,
    counter: Arc<OnceLock<Counter>>,
    spans: Arc<OnceLock<Feed>>,
    live: Arc<Live>,
    broken: CancellationToken,
    patience: Patience,
    held: Option<Held>,
    /// Troubles that are over: the first error, and how long they lasted in all.
    past: Option<(String, Duration)>,
    /// The load was ended, since no more can be held.
    ended_load: bool,
}

impl Keeper {
    fn write_all(mut self, items: &Receiver<Item>) -> Ended {
        self.backlog.is_taken_here();
        let syncing = Syncing::start(self.queue.files());
        self.queue.begun(self.live.begun());
        let mut there = There::More;
        while there != There::End {
            if there == There::Nothing {
                std::thread::park_timeout(self.patience.look_every);
            }
            there = self.take(items);
            self.queue.begun(self.live.begun());
            if self.held.as_ref().is_none_or(|held| held.tried.elapsed() >= self.patience.try_every) {
                self.write();
            }
            if self.queue.bytes() > self.patience.hold_bytes && self.held.is_some() {
                self.end_load();
            }
        }
        self.queue.begun(self.live.begun());
        let ended = self.end();
        if let Some(syncing) = syncing {
            syncing.end();
        }
        ended
    }

    /// Takes what has come, a batch at most.
    fn take(&mut self, items: &Receiver<Item>) -> There {
        self.backlog.looked_at();
        for _ in 0..BATCH {
            let item = match items.try_recv() {
                Ok(item) => item,
                Err(TryRecvError::Empty) => return There::Nothing,
                Err(TryRecvError::Disconnected) => return There::End,
            };
            if let Item::Finished(one) = &item {
                self.counter.get().inspect(|counter| counter.count(one));
                self.spans.get().inspect(|feed| feed.offer(&one.row));
            }
            self.backlog.taken(&item);
            self.queue.put(item);
        }
        There::More
    }

    /// Writes what is there; says so when that begins to fail, and when it works again.
    fn write(&mut self) {
        let now = Instant::now();
        match (self.queue.write(), self.held.take()) {
            (Ok(()), None) => {}
            (Ok(()), Some(held)) => {
                let (_, lasted) = self.past.get_or_insert((held.error, Duration::ZERO));
                *lasted += held.since.elapsed();
                eprintln_line("note: the run folder can be written again; nothing is lost");
            }
            (Err(error), None) => {
                let error = format!("{error:#}");
                eprintln_line(&format!(
                    "warning: the run folder cannot be written ({error}): the run goes on in memory until {} MiB are held; make room, and nothing is lost",
                    self.patience.hold_bytes >> 20
                ));
                self.held = Some(Held { since: now, tried: now, error });
            }
            (Err(_), Some(held)) => self.held = Some(Held { tried: now, ..held }),
        }
    }

    fn end_load(&mut self) {
        if !self.broken.is_cancelled() {
            eprintln_line(&format!(
                "warning: {} MiB are held in memory and the run folder still cannot be written: the load ends here",
                self.patience.hold_bytes >> 20
            ));
            self.broken.cancel();
            self.ended_load = true;
        }
    }

    /// The last tries.
    fn end(mut self) -> Ended {
        self.write();
        if self.held.is_some() {
            let patience = self.patience.at_the_end;
            eprintln_line(&format!(
                "warning: the run has ended, and the run folder still cannot be written: tried for {} s more",
                patience.as_secs()
            ));
            let begun = Instant::now();
            while self.held.is_some() && begun.elapsed() < patience {
                std::thread::sleep(self.patience.try_every);
                self.write();
            }
        }
        let (written, left) = self.queue.end();
        let ended_load = self.ended_load || self.backlog.ended_load();
        let given_up = self.backlog.given_up();
        let lost = Some(left.plus(given_up)).filter(Left::is_any);
        let trouble = match (self.held, self.past) {
            (None, None) => None,
            (Some(held), past) => {
                let lasted = held.since.elapsed() + past.as_ref().map_or(Duration::ZERO, |p| p.1);
                Some((past.map_or(held.error, |p| p.0), lasted))
            }
            (None, past) => past,
        };
        let slow = || (SLOW.to_owned(), Duration::ZERO);
        let trouble = trouble.or_else(|| (ended_load || given_up.is_any()).then(slow));
        let trouble = trouble.map(|(error, lasted)| Trouble {
            error,
            lasted_s: lasted.as_secs_f64(),
            ended_load,
            lost,
        });
        Ended { written, trouble }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
