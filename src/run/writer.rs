//! The one thread that writes the run folder's streams while the load runs: everything that happens
//! arrives on one channel, in order. This file must not know what the rows mean.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::expose::Counter;
use crate::ingest::Ingested;
use crate::record::Finished;
use crate::store::RunWriter;
use crate::store::append::Written;

/// Rows taken from the channel before they are written together.
const BATCH: usize = 256;

enum Item {
    Finished(Box<Finished>),
    Ingested(Box<Ingested>),
}

/// The writing thread and the way to it.
pub(super) struct Writer {
    thread: JoinHandle<anyhow::Result<Written>>,
    requests: Sender<Finished>,
    ingested: Sender<Ingested>,
    counter: Arc<OnceLock<Counter>>,
}

impl Writer {
    /// Starts the thread, which cancels `broken` as soon as something cannot be written.
    pub(super) fn start(writer: RunWriter, broken: CancellationToken) -> anyhow::Result<Self> {
        let (items, received) = channel();
        let requests = forward(items.clone(), |f| Item::Finished(Box::new(f)))?;
        let ingested = forward(items, |i| Item::Ingested(Box::new(i)))?;
        let counter = Arc::new(OnceLock::new());
        let shared = Arc::clone(&counter);
        let thread = std::thread::Builder::new()
            .name("tare-writer".to_owned())
            .spawn(move || write_all(writer, &received, &broken, &shared))
            .context("could not start the writer")?;
        Ok(Self { thread, requests, ingested, counter })
    }

    /// Counts every request from now on with this, too.
    pub(super) fn count_with(&self, counter: Counter) {
        let _ = self.counter.set(counter);
    }

    /// Where finished requests go.
    pub(super) fn requests(&self) -> Sender<Finished> {
        self.requests.clone()
    }

    /// Where the server's side goes.
    pub(super) fn ingested(&self) -> Sender<Ingested> {
        self.ingested.clone()
    }

    /// Waits until everything that was sent is written; every other sender must be gone by now.
    pub(super) fn end(self) -> anyhow::Result<Written> {
        let Self { thread, requests, ingested, .. } = self;
        drop((requests, ingested));
        thread.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?
    }
}

/// A channel whose items end up in `items`.
fn forward<T: Send + 'static>(items: Sender<Item>, wrap: fn(T) -> Item) -> anyhow::Result<Sender<T>> {
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("tare-forward".to_owned())
        .spawn(move || receiver.into_iter().try_for_each(|item| items.send(wrap(item))))
        .context("could not start the writer")?;
    Ok(sender)
}

/// After an error of the disk the channel is still emptied, so that it does not fill the memory, but
/// the load is ended: what it measures from there on would be lost.
fn write_all(
    mut writer: RunWriter,
    items: &Receiver<Item>,
    broken: &CancellationToken,
    counter: &OnceLock<Counter>,
) -> anyhow::Result<Written> {
    let mut failed = None;
    while let Ok(first) = items.recv() {
        let batch: Vec<Item> = std::iter::once(first).chain(items.try_iter().take(BATCH)).collect();
        if failed.is_none() {
            failed = write_batch(&mut writer, batch, counter.get()).err();
            if failed.is_some() {
                broken.cancel();
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None => writer.end(),
    }
}

fn write_batch(writer: &mut RunWriter, batch: Vec<Item>, counter: Option<&Counter>) -> anyhow::Result<()> {
    let mut finished = Vec::new();
    for item in batch {
        match item {
            Item::Finished(f) => finished.push(*f),
            Item::Ingested(ingested) => match *ingested {
                Ingested::Scrape(row) => writer.scrape(&row)?,
                Ingested::Log(row) => writer.log(&row)?,
                Ingested::Span(row) => writer.span(&row)?,
                Ingested::Stat(row) => writer.stat(&row)?,
                Ingested::Hop(row) => writer.hop(&row)?,
            },
        }
    }
    if let Some(counter) = counter {
        counter.count(&finished);
    }
    if finished.is_empty() { Ok(()) } else { writer.finished(&finished) }
}
