//! Starts, stops and asks the sources of the server's side. All of them run on one thread that is
//! theirs alone, so that they never delay a measured read. This file must not know what any source
//! says.

use std::future::Future;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::follower::{Follower, Signs};
use super::hop::HopReader;
use super::hops_seen::HopsSeen;
use super::live::Live;
use super::log::{LogCounts, LogReader};
use super::metrics::Endpoints;
use super::otlp::{self, Inbox, OtlpAddresses, PassOn, SpansSeen};
use super::problem::{Notes, Problem};
use super::reader::{HOP_LOG, Kind, SERVER_LOG, STAT_LOG};
use super::snapshot::{AfterOutcome, BeforeOutcome};
use super::stat_log::StatReader;
use super::stream::{self, Origin};
use super::tail::{self, Begin};
use super::{IngestReport, Ingested, Plan, log_report};
use crate::config::Hop;
use crate::record::Sink;

/// Everything still open at the end is given up after this.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Collects from every source until stopped. Its methods block, and may be called from any thread.
pub struct Collector {
    plan: Plan,
    sink: Sink<Ingested>,
    notes: Notes,
    live: Live,
    hops_seen: HopsSeen,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    /// Ends the runtime, after everything else has ended.
    quit: CancellationToken,
    stop: CancellationToken,
    endpoints: Endpoints,
    grid: Option<(CancellationToken, tokio::task::JoinHandle<()>)>,
    logs: Vec<Followed>,
    otlp: Option<(Arc<Inbox>, OtlpAddresses, tokio::task::JoinHandle<()>)>,
}

/// A file or stream that is being read.
struct Followed {
    kind: &'static Kind,
    source: String,
    task: tokio::task::JoinHandle<LogCounts>,
}

/// What an attached server says about itself.
pub struct LogWatch {
    signs: watch::Receiver<Signs>,
    handle: Handle,
}

impl Collector {
    /// Takes the ports for spans and begins to read the log; rows go to `sink`. Fails only if a
    /// port is taken or no thread can be had: a source that is not there is a note.
    pub fn start(plan: Plan, sink: impl Into<Sink<Ingested>>) -> Result<Self, Problem> {
        let sink = sink.into();
        let bound = plan.observe.otlp.as_ref().map(otlp::bind).transpose()?;
        let (notes, live) = (Notes::default(), Live::default());
        let (quit, stop) = (CancellationToken::new(), CancellationToken::new());
        let (handle, thread) = start_runtime(quit.clone())?;
        let endpoints = Endpoints::new(plan.server, &metrics_urls(&plan), &plan.trust, &sink, &notes, &live);
        let otlp = bound.map(|bound| {
            let inbox = Arc::new(Inbox::new(plan.server, sink.clone(), notes.clone()));
            let addresses = bound.addresses();
            if !addresses.http.ip().is_loopback() {
                notes.add(format!(
                    "spans are taken at {} and {} from whoever reaches them, without a key: on a network that others share, let a firewall say who does",
                    addresses.grpc, addresses.http
                ));
            }
            (inbox.clone(), addresses, handle.spawn(bound.serve(inbox, stop.clone())))
        });
        let mut collector = Self {
            plan,
            sink,
            notes,
            live,
            hops_seen: HopsSeen::default(),
            handle,
            thread: Some(thread),
            quit,
            stop,
            endpoints,
            grid: None,
            logs: Vec::new(),
            otlp,
        };
        collector.open_log();
        if let Some(stat_log) = collector.plan.observe.stat_log.clone() {
            let begin = collector.plan.log_begin;
            collector.follow_stat_log(&stat_log, begin);
        }
        for hop in collector.plan.hops.clone() {
            collector.follow_hop(&hop, collector.plan.log_begin);
        }
        Ok(collector)
    }

    /// Where spans are received.
    pub fn otlp_addresses(&self) -> Option<OtlpAddresses> {
        self.otlp.as_ref().map(|(_, addresses, _)| *addresses)
    }

    /// Hands the spans that come from now on to `to`, too, as they came.
    pub fn pass_spans_on(&self, to: PassOn) {
        if let Some((inbox, ..)) = &self.otlp {
            inbox.pass_on(to);
        }
    }

    /// Tells the base URL once the server is up; the metrics endpoints follow from it.
    pub fn set_base_url(&mut self, base_url: &str) {
        self.plan.base_url = Some(base_url.to_owned());
        self.endpoints = Endpoints::new(
            self.plan.server,
            &metrics_urls(&self.plan),
            &self.plan.trust,
            &self.sink,
            &self.notes,
            &self.live,
        );
    }

    /// Reads the log of a server that was started by this program, `source` being its name in rows.
    pub fn attach_log(&mut self, source: &str, reader: impl AsyncRead + Unpin + Send + 'static) -> LogWatch {
        let chunks = {
            let _inside = self.handle.enter();
            stream::pump(reader)
        };
        self.follow_chunks(source, chunks, Origin::Child)
    }

    /// As [`attach_log`](Self::attach_log), for a pipe of the standard library.
    pub fn attach_blocking_log(&mut self, source: &str, reader: impl Read + Send + 'static) -> LogWatch {
        let chunks = stream::pump_blocking(&SERVER_LOG, source, || Ok(Box::new(reader)), self.notes.clone());
        self.follow_chunks(source, chunks, Origin::Child)
    }

    /// Follows what the server's stat logger writes to `path`, from its end or from its start. A file
    /// that is not there yet is waited for.
    pub fn follow_stat_log(&mut self, path: &str, begin: Begin) {
        let follower = Follower::new(StatReader::new(path), self.sink.clone(), self.notes.clone());
        self.follow_path(&STAT_LOG, path, begin, follower);
    }

    /// Follows the log of a hop, likewise.
    fn follow_hop(&mut self, hop: &Hop, begin: Begin) {
        let path = hop.log.to_string_lossy();
        let reader = HopReader::new(&hop.name, hop.kind.as_deref(), path.as_ref(), self.notes.clone());
        self.hops_seen.expect(&hop.name);
        let reader = reader.telling(self.hops_seen.clone());
        let follower = Follower::new(reader, self.sink.clone(), self.notes.clone());
        self.follow_path(&HOP_LOG, &path, begin, follower);
    }

    fn follow_path(&mut self, kind: &'static Kind, path: &str, begin: Begin, follower: Follower) {
        if stream::is_stream(Path::new(path)) {
            let chunks = self.open_stream(kind, path);
            let work = stream::follow_stream(follower, chunks, Origin::Pipe, self.stop.clone());
            self.follow(kind, path, work);
        } else {
            self.follow_file(kind, path, begin, follower);
        }
    }

    /// The exact snapshot before the first measured request.
    pub fn snapshot_before(&self) -> Option<BeforeOutcome> {
        let endpoints = self.endpoints.clone();
        self.run(async move { endpoints.before().await })
    }

    /// Begins to scrape on the grid.
    pub fn start_grid(&mut self) {
        if self.grid.is_some() {
            return;
        }
        let stop = self.stop.child_token();
        let (endpoints, token) = (self.endpoints.clone(), stop.clone());
        let interval = Duration::try_from_secs_f64(self.plan.observe.scrape_interval_s)
            .unwrap_or(Duration::from_secs(1));
        self.grid = Some((stop, self.handle.spawn(async move { endpoints.grid(interval, &token).await })));
    }

    /// Ends the grid and takes the exact snapshot after the last measured request: repeated until
    /// the server has finished as many requests as the client saw end well.
    pub fn snapshot_after(&mut self, expected_finished: Option<f64>) -> Option<AfterOutcome> {
        let grid = self.grid.take();
        let endpoints = self.endpoints.clone();
        self.run(async move {
            let stopped = tokio::time::Instant::now();
            if let Some((stop, task)) = grid {
                stop.cancel();
                let _ = task.await;
            }
            endpoints.after(expected_finished, stopped).await
        })
    }

    /// Waits for late spans until `enough` says so, or `max_wait` is over; at once where none are
    /// received. `true` if there were enough.
    pub fn wait_spans(&self, max_wait: Duration, enough: impl FnMut(&SpansSeen) -> bool) -> bool {
        self.otlp.as_ref().is_some_and(|(inbox, ..)| inbox.wait(max_wait, enough))
    }

    /// Waits until the log of every hop has told of `expected` requests whose ids begin as given, or `max_wait` is
    /// over. `true` if they have.
    pub fn wait_hops(&self, max_wait: Duration, expected: u64, request_ids: &str, trace_ids: &str) -> bool {
        self.hops_seen.wait(max_wait, expected, request_ids, trace_ids)
    }

    /// What the server says right now, for the progress line; cheap to clone and to ask.
    pub fn live(&self) -> Live {
        self.live.clone()
    }

    /// What was noted so far.
    pub fn notes(&self) -> Vec<String> {
        self.notes.all()
    }

    /// Reads what is still there to read, ends every source, and says what they gave.
    pub fn stop(mut self) -> IngestReport {
        self.stop.cancel();
        let (grid, logs, otlp) = (self.grid.take(), std::mem::take(&mut self.logs), self.otlp.take());
        let notes = self.notes.clone();
        let ended = self.run(async move {
            if let Some((_, task)) = grid {
                let _ = tokio::time::timeout(STOP_PATIENCE, task).await;
            }
            let mut sources = Vec::new();
            for Followed { kind, source, task } in logs {
                match tokio::time::timeout(STOP_PATIENCE, task).await {
                    Ok(Ok(counts)) => sources.push(log_report(kind, source, counts)),
                    _ => notes.add(format!(
                        "the end of the {} {source} was not read: it could not be read in time",
                        kind.short
                    )),
                }
            }
            if let Some((inbox, addresses, task)) = otlp {
                let _ = tokio::time::timeout(STOP_PATIENCE, task).await;
                sources.push(inbox.report(addresses));
            }
            sources
        });
        let mut sources = self.endpoints.reports();
        sources.extend(ended.unwrap_or_default());
        IngestReport { sources, resets: self.endpoints.resets(), notes: self.notes.all() }
    }

    /// Runs `work` on the collector's thread and waits for it. `None` if that thread is gone.
    fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let (sender, receiver) = mpsc::channel();
        self.handle.spawn(async move {
            let _ = sender.send(work.await);
        });
        receiver.recv().ok()
    }

    fn open_log(&mut self) {
        let Some(log) = self.plan.observe.server_log.clone() else {
            return;
        };
        if log == "-" {
            let stdin = || Ok(Box::new(std::io::stdin()) as Box<dyn Read + Send>);
            let chunks = stream::pump_blocking(&SERVER_LOG, "stdin", stdin, self.notes.clone());
            self.follow_chunks("stdin", chunks, Origin::Pipe);
        } else if stream::is_stream(Path::new(&log)) {
            let chunks = self.open_stream(&SERVER_LOG, &log);
            self.follow_chunks(&log, chunks, Origin::Pipe);
        } else if let Some(follower) = self.follower(&log) {
            self.follow_file(&SERVER_LOG, &log, self.plan.log_begin, follower);
        }
    }

    /// A named pipe, a terminal.
    fn open_stream(&self, kind: &'static Kind, path: &str) -> tokio::sync::mpsc::Receiver<stream::Chunk> {
        let file = PathBuf::from(path);
        let open = move || Ok(Box::new(std::fs::File::open(file)?) as Box<dyn Read + Send>);
        stream::pump_blocking(kind, path, open, self.notes.clone())
    }

    fn follow_file(&mut self, kind: &'static Kind, path: &str, begin: Begin, follower: Follower) {
        let (ready, follows) = oneshot::channel();
        let work = tail::follow_file(follower, PathBuf::from(path), begin, ready, self.stop.clone());
        self.follow(kind, path, work);
        // What is written from here on belongs to the run.
        self.run(async move { follows.await.is_ok() });
    }

    fn follow(
        &mut self,
        kind: &'static Kind,
        source: &str,
        work: impl Future<Output = LogCounts> + Send + 'static,
    ) {
        self.logs.push(Followed { kind, source: source.to_owned(), task: self.handle.spawn(work) });
    }

    fn follow_chunks(
        &mut self,
        source: &str,
        chunks: tokio::sync::mpsc::Receiver<stream::Chunk>,
        origin: Origin,
    ) -> LogWatch {
        let (sender, signs) = watch::channel(Signs::default());
        if let Some(follower) = self.follower(source) {
            let work = stream::follow_stream(follower.with_signs(sender), chunks, origin, self.stop.clone());
            self.follow(&SERVER_LOG, source, work);
        }
        LogWatch { signs, handle: self.handle.clone() }
    }

    fn follower(&self, source: &str) -> Option<Follower> {
        let reader = LogReader::new(source, self.plan.server.log_format, self.notes.clone())?;
        Some(Follower::new(reader, self.sink.clone(), self.notes.clone()))
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.stop.cancel();
        self.quit.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl LogWatch {
    /// Waits until the server's log says that it takes requests, ends, or `max_wait` is over; what
    /// it had said by then. A URL that names every address is given as one of this host's.
    pub fn wait_started(&self, max_wait: Duration) -> Signs {
        let mut signs = self.signs.clone();
        let (sender, receiver) = mpsc::channel();
        self.handle.spawn(async move {
            let said = signs.wait_for(|signs| signs.started || signs.ended.is_some());
            let _ = tokio::time::timeout(max_wait, said).await;
            let _ = sender.send(());
        });
        let _ = receiver.recv();
        let mut signs = self.signs.borrow().clone();
        signs.url =
            signs.url.map(|url| url.replace("://0.0.0.0", "://127.0.0.1").replace("://[::]", "://[::1]"));
        signs
    }
}

fn metrics_urls(plan: &Plan) -> Vec<String> {
    if plan.observe.no_metrics {
        Vec::new()
    } else if plan.observe.metrics_urls.is_empty() {
        plan.base_url.iter().filter_map(|url| plan.server.metrics_url(url)).collect()
    } else {
        plan.observe.metrics_urls.clone()
    }
}

/// A runtime on a thread of its own, until `quit`.
fn start_runtime(quit: CancellationToken) -> Result<(Handle, JoinHandle<()>), Problem> {
    let failed = |error: std::io::Error| {
        Problem::new(format!("cannot start the thread that records the server's side: {error}"))
    };
    let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let handle = runtime.handle().clone();
    let thread = std::thread::Builder::new().name("tare-ingest".to_owned()).spawn(move || {
        runtime.block_on(quit.cancelled());
        // A read of standard input cannot be ended; the program's end will.
        runtime.shutdown_background();
    });
    Ok((handle, thread.map_err(failed)?))
}
