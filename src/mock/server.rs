//! Puts the look-alike together: what all connections share, the accept loop, the periodic stats
//! line, and an orderly end in which nothing recorded is lost. This file must not know what requests
//! look like.

use std::io::Write;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::clock::UnixNs;
use crate::config::{Embedded, Pose};

use super::ServeOptions;
use super::connection;
use super::front::{Front, Told};
use super::ids::Ids;
use super::log::Log;
use super::script::Script;
use super::server_clock::ServerClock;
use super::spans::{Pace, Spans};
use super::stat_log::StatLog;
use super::timer::Timer;
use super::truth::Truth;
use super::{chunks, engine, spans, startup, trace};

/// How long requests in flight may take to notice the end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long the last spans may take.
const LAST_SPANS: Duration = Duration::from_secs(3);

/// What all connections share.
pub struct Shared {
    pub embedded: Embedded,
    pub script: Script,
    /// What everything that is said is on.
    pub clock: ServerClock,
    pub front: Arc<Front>,
    /// As each API server writes it.
    pub logs: Vec<Log>,
    pub timer: Timer,
    pub truth: Option<Truth>,
    pub traced: bool,
    pub fingerprint: String,
    /// Response headers echo `X-Request-Id`.
    pub request_id_headers: bool,
    pub keep_alive: Duration,
    /// Turns true when the server stops.
    pub stopping: watch::Sender<bool>,
    ids: Mutex<Ids>,
    requests: AtomicU64,
    tracing_warned: std::sync::Once,
}

impl Shared {
    /// The number of the request that was just read, from 1.
    pub fn next_request_number(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn with_ids<T>(&self, use_ids: impl FnOnce(&mut Ids) -> T) -> T {
        use_ids(&mut self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// vLLM says this once when a client sends trace context that nobody wants.
    pub fn warn_tracing_is_off(&self, log: &Log) {
        self.tracing_warned.call_once(|| {
            log.warning("utils.py:70", "Received a request with trace context but tracing is disabled");
        });
    }
}

/// Threads and tasks that are waited for at the end.
struct Background {
    spans: Option<tokio::task::JoinHandle<()>>,
    /// What writes files.
    files: Vec<JoinHandle<Result<()>>>,
    log: JoinHandle<()>,
    front: tokio::task::JoinHandle<()>,
    stats: tokio::task::JoinHandle<()>,
}

/// Serves until `shutdown` is ready.
pub async fn serve(
    options: ServeOptions,
    listener: TcpListener,
    log_writer: Box<dyn Write + Send>,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let address = listener.local_addr().context("the listening socket has no address")?;
    let (shared, log, background) = start(&options, log_writer)?;
    startup::begin(&log, &shared.logs, &options, address);
    // Connections go round the API servers.
    let mut servers = shared.logs.clone().into_iter().cycle();
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let stamp = UnixNs::now();
                    // Without it the last bytes of an event wait for the client's acknowledgement.
                    let _ = stream.set_nodelay(true);
                    let log = servers.next().unwrap_or_else(|| log.clone());
                    connections.spawn(connection::run(shared.clone(), log, stream, peer, stamp));
                }
                Err(error) => too_many_files(&log, &error).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
    drop(listener);
    startup::end(&log, &shared.logs);
    shared.stopping.send_replace(true);
    shared.front.stop();
    let last_words = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(LAST_WORDS, last_words).await.is_err() {
        // Somebody neither reads nor leaves.
        connections.shutdown().await;
    }
    drop((shared, servers));
    background.finish(log).await
}

async fn too_many_files(log: &Log, error: &std::io::Error) {
    log.error("launcher.py:1", &format!("cannot accept a connection: {error}"));
    // As a rule there are no descriptors left; trying again at once would only spin.
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// Everything but the connections; with the log as the main process writes it.
fn start(
    options: &ServeOptions,
    log_writer: Box<dyn Write + Send>,
) -> Result<(Arc<Shared>, Log, Background)> {
    let embedded = options.embedded.clone();
    let script = Script::parse(&embedded.faults)?.seeded(embedded.seed);
    let clock = ServerClock::start(&embedded);
    let truth = options.truth.as_deref().map(|path| Truth::create(path, clock)).transpose()?;
    let (truth, truth_thread) = truth.unzip();
    let (stat_log, stat_thread) = options.stat_log.as_deref().map(StatLog::open).transpose()?.unzip();
    let (log, log_thread) =
        Log::start(log_writer, embedded.log_format, clock).context("cannot start the log's thread")?;
    let (log, logs) = startup::processes(&log.posing(embedded.pose), embedded.api_server_count);
    let (timer, _) = Timer::start().context("cannot start the timer's thread")?;
    let mut ids = Ids::new();
    // Only vLLM's spans are known here.
    let traced = embedded.spans && embedded.pose == Pose::Vllm;
    let endpoint = options.otlp_endpoint.as_deref().filter(|_| traced);
    let pace = Pace {
        delay: script.span_delay.unwrap_or(options.otlp_delay),
        queue: script.span_queue.unwrap_or(spans::QUEUE),
    };
    let spans =
        endpoint.map(|url| Spans::start(url, pace, trace::resource(&mut ids), log.clone())).transpose()?;
    let (spans, span_task) = spans.unzip();
    let traced = spans.is_some();
    let (steps, step_receiver) = unbounded_channel();
    let engines = (0..usize::from(embedded.data_parallel_size.max(1)))
        .map(|engine| engine::start(engine, &embedded, steps.clone()).map(|(commands, _)| commands))
        .collect::<std::io::Result<Vec<_>>>()
        .context("cannot start the engine's thread")?;
    // With several API servers nobody has the whole picture that these lines are made of.
    let alone = embedded.api_server_count == 1;
    let iterations = (alone && embedded.enable_logging_iteration_details).then(|| log.clone());
    let pose = embedded.pose;
    let finished = embedded.enable_log_requests.then(|| log.clone());
    let told = Told { spans, stat_log, iterations, finished, pose };
    let front = Arc::new(Front::new(engines, told, embedded.max_model_len, clock));
    let interval_s = if alone { embedded.log_stats_interval_s } else { 0.0 };
    let background = Background {
        spans: span_task,
        files: [truth_thread, stat_thread].into_iter().flatten().collect(),
        log: log_thread,
        front: tokio::spawn(front.clone().run(step_receiver)),
        stats: tokio::spawn(log_stats(front.clone(), log.clone(), interval_s)),
    };
    let shared = Shared {
        fingerprint: chunks::fingerprint(&embedded.model, embedded.max_model_len),
        embedded,
        script,
        clock,
        front,
        logs,
        timer,
        truth,
        traced,
        request_id_headers: options.request_id_headers,
        keep_alive: options.keep_alive,
        stopping: watch::Sender::new(false),
        ids: Mutex::new(ids),
        requests: AtomicU64::new(0),
        tracing_warned: std::sync::Once::new(),
    };
    Ok((Arc::new(shared), log, background))
}

async fn log_stats(front: Arc<Front>, log: Log, interval_s: f64) {
    if interval_s.is_nan() || interval_s <= 0.0 {
        return;
    }
    let interval = Duration::from_secs_f64(interval_s.clamp(0.01, 1e6));
    loop {
        tokio::time::sleep(interval).await;
        for line in front.stats_lines() {
            log.info("loggers.py:335", &line);
        }
    }
}

impl Background {
    /// With the last connection gone, ends everything else: first what makes records, then what
    /// writes them.
    async fn finish(self, log: Log) -> Result<()> {
        for task in [self.front, self.stats] {
            task.abort();
            // It was cancelled, which is what was wanted.
            let _ = task.await;
        }
        if let Some(mut task) = self.spans
            && tokio::time::timeout(LAST_SPANS, &mut task).await.is_err()
        {
            task.abort();
            let _ = task.await;
        }
        let mut written = Ok(());
        for thread in self.files {
            written = written.and(join(thread).await.unwrap_or(Ok(())));
        }
        startup::ended(&log);
        drop(log);
        // A reader that holds the log's pipe open without reading must not keep the process.
        let _ = tokio::time::timeout(LAST_WORDS, join(self.log)).await;
        written
    }
}

/// Waits for a thread without holding up the runtime; `None` if it panicked.
async fn join<T: Send + 'static>(thread: JoinHandle<T>) -> Option<T> {
    tokio::task::spawn_blocking(move || thread.join().ok()).await.ok().flatten()
}

/// The client's address as uvicorn prints it.
pub fn client(peer: SocketAddr) -> String {
    format!("{}:{}", peer.ip(), peer.port())
}
