//! The front end's side of the engines, vLLM's output handler: it hands each request to one of them,
//! takes every step's outputs, stamps them, feeds metrics, spans, the stats line and the stat log, and
//! passes the tokens on to whoever writes them. All numbers of one request are computed here, once. This file must not know
//! HTTP or text.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::clock::{Anchor, UnixNs, monotonic_ns};
use crate::config::Pose;

use super::engine::{Command, Step};
use super::http_metrics::{Http, HttpExchange};
use super::log::Log;
use super::pose::sglang::{self, Moments};
use super::registry::{Finished, Registry};
use super::schedule::{Admission, FinishReason, Output, Request};
use super::server_clock::ServerClock;
use super::spans::Spans;
use super::stat_log::StatLog;
use super::stats_line::StatsLine;
use super::trace::{SpanPlan, request_span};

/// Shared by all connections.
pub struct Front {
    state: Mutex<State>,
    engines: Vec<Sender<Command>>,
    told: Told,
    max_model_len: u32,
    clock: ServerClock,
}

/// Who is told of what the engines do, beside the metrics and whoever waits for a request.
#[derive(Default)]
pub struct Told {
    pub spans: Option<Spans>,
    pub stat_log: Option<StatLog>,
    /// Where every step is logged.
    pub iterations: Option<Log>,
    /// Where other servers than vLLM log finished requests, and which one it is.
    pub finished: Option<Log>,
    pub pose: Pose,
}

/// A request on its way to the engine.
pub struct Submission {
    pub request: Request,
    /// The engine-side id, for spans.
    pub external_id: String,
    /// By the server's own clock.
    pub arrival: UnixNs,
    pub span: Option<SpanPlan>,
}

/// What a request's writer is told.
#[derive(Debug)]
pub enum Delta {
    Token(Token),
    /// The server stops: nothing more will come.
    Stopped,
}

/// One token.
#[derive(Debug)]
pub struct Token {
    /// When the front end had it.
    pub output: UnixNs,
    /// The end of the engine step that made it.
    pub step: Anchor,
    pub first: Option<First>,
    pub done: Option<Finished>,
}

/// What is known with the first token.
#[derive(Clone, Copy, Debug)]
pub struct First {
    pub admission: Admission,
    pub ttft_s: f64,
}

struct State {
    engines: Vec<Engine>,
    /// Where the search for an engine begins.
    next: usize,
    http: Http,
    live: HashMap<u64, Live>,
    stopped: bool,
}

/// What is known here of an engine.
struct Engine {
    registry: Registry,
    stats_line: StatsLine,
    /// Requests in it.
    requests: usize,
}

/// A request in the engine.
struct Live {
    submission: Submission,
    engine: usize,
    writer: UnboundedSender<Delta>,
    tokens: u32,
    progress: Option<Progress>,
}

/// From the first token on.
#[derive(Clone, Copy)]
struct Progress {
    first: First,
    first_step: Anchor,
    last_step: Anchor,
}

impl Front {
    pub fn new(engines: Vec<Sender<Command>>, told: Told, max_model_len: u32, clock: ServerClock) -> Self {
        let created = clock.now();
        let engine = |number| Engine {
            registry: Registry::new(max_model_len, created),
            stats_line: StatsLine::new(number, monotonic_ns()),
            requests: 0,
        };
        let state = State {
            engines: (0..engines.len()).map(engine).collect(),
            next: 0,
            http: Http::new(),
            live: HashMap::new(),
            stopped: false,
        };
        Self { state: Mutex::new(state), engines, told, max_model_len, clock }
    }

    /// Hands a request to the least busy engine; returns which, and where its tokens arrive.
    pub fn submit(&self, submission: Submission) -> (usize, UnboundedReceiver<Delta>) {
        let (writer, deltas) = unbounded_channel();
        let request = submission.request.clone();
        let mut state = self.lock();
        if state.stopped {
            let _ = writer.send(Delta::Stopped);
            return (0, deltas);
        }
        let engine = state.choose_engine();
        let live = Live { submission, engine, writer, tokens: 0, progress: None };
        state.live.insert(request.id, live);
        drop(state);
        self.tell(engine, Command::Add(request));
        (engine, deltas)
    }

    /// Drops a request; `true` if it was still in the engine. Nothing of it is counted any more.
    pub fn abort(&self, id: u64) -> bool {
        let mut state = self.lock();
        let Some(live) = state.live.remove(&id) else {
            return false;
        };
        state.left(live.engine);
        drop(state);
        self.tell(live.engine, Command::Abort(id));
        true
    }

    /// Tells every writer that the server stops.
    pub fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        for (_, live) in state.live.drain() {
            // A writer that has gone needs no telling.
            let _ = live.writer.send(Delta::Stopped);
        }
    }

    /// Passes on the engine's outputs for as long as it lives.
    pub async fn run(self: Arc<Self>, mut steps: UnboundedReceiver<Step>) {
        while let Some(step) = steps.recv().await {
            self.take_step(&step, UnixNs::now());
        }
    }

    /// All metrics start again, as after a restart.
    pub fn reset_metrics(&self) {
        let mut state = self.lock();
        let created = self.clock.now();
        for engine in &mut state.engines {
            let scheduler = engine.registry.scheduler;
            engine.registry = Registry::new(self.max_model_len, created);
            engine.registry.scheduler = scheduler;
        }
        state.http = Http::new();
    }

    pub fn observe_http(&self, exchange: &HttpExchange) {
        self.lock().http.observe(exchange, self.clock.now());
    }

    /// Reads the metrics, engine by engine, and those of the HTTP layer.
    pub fn with_metrics<T>(&self, read: impl FnOnce(Vec<&Registry>, &Http) -> T) -> T {
        let state = self.lock();
        read(state.engines.iter().map(|engine| &engine.registry).collect(), &state.http)
    }

    /// The stats lines that are due now, at most one of each engine.
    pub fn stats_lines(&self) -> Vec<String> {
        let now_ns = monotonic_ns();
        self.lock().engines.iter_mut().filter_map(|engine| engine.stats_line.line(now_ns)).collect()
    }

    fn tell(&self, engine: usize, command: Command) {
        if let Some(engine) = self.engines.get(engine) {
            // An engine only ends with the server.
            let _ = engine.send(command);
        }
    }

    fn take_step(&self, step: &Step, now: UnixNs) {
        if let Some(log) = self.told.iterations.as_ref().filter(|_| !step.plan.is_empty()) {
            log.info("loggers.py:401", &iteration_line(step));
        }
        let said = self.clock.says(now);
        let mut guard = self.lock();
        let State { engines, live, .. } = &mut *guard;
        let Some(Engine { registry, stats_line, requests }) = engines.get_mut(step.engine) else {
            return;
        };
        let output = &step.output;
        registry.scheduler_step(&output.stats);
        stats_line.scheduler_step(&output.stats);
        let (mut computed, mut generated) = (0, 0);
        for token in &output.outputs {
            // Aborted meanwhile: what comes late is not counted.
            let Some(request) = live.get_mut(&token.id) else {
                continue;
            };
            generated += 1;
            if let Some(admission) = token.first {
                computed += u64::from(request.submission.request.prompt_tokens - admission.cached_tokens);
            }
            let counted = request.take(token, output.at, (now, said), registry);
            let done = counted.done;
            // A writer that has gone will say so by itself.
            let _ = request.writer.send(Delta::Token(counted));
            if let (Some(done), Some(request)) = (done, done.and_then(|_| live.remove(&token.id))) {
                *requests = requests.saturating_sub(1);
                self.tell_finished(&request, said, &done);
            }
        }
        if !output.outputs.is_empty() {
            registry.iteration(computed, generated);
            stats_line.iteration(computed, generated);
        }
    }

    fn tell_finished(&self, request: &Live, said: UnixNs, done: &Finished) {
        let Submission { external_id, arrival, .. } = &request.submission;
        if self.told.pose != Pose::Vllm {
            self.tell_as_posed(request, external_id, *arrival, done);
        } else if let Some(stat_log) = &self.told.stat_log {
            stat_log.record(request.engine, external_id, said, done);
        }
        let (Some(spans), Some(plan), Some(progress)) =
            (&self.told.spans, &request.submission.span, request.progress)
        else {
            return;
        };
        let end = self.clock.now();
        spans.export(request_span(plan, external_id, *arrival, end, progress.first.ttft_s, done));
    }

    /// What another server writes down of a finished request.
    fn tell_as_posed(&self, request: &Live, id: &str, arrival: UnixNs, done: &Finished) {
        let Some(progress) = request.progress else { return };
        let says = |at: Anchor| self.clock.says(at.wall_unix_ns);
        let at = Moments {
            received: arrival,
            scheduled: says(progress.first.admission.scheduled),
            prefilled: says(progress.first_step),
            ttft_s: progress.first.ttft_s,
        };
        if let Some(log) = &self.told.finished {
            log.request_finished(request.submission.request.id, id, &at, done);
        }
        if let Some(stat_log) = self.told.stat_log.as_ref().filter(|_| self.told.pose == Pose::Sglang) {
            stat_log.raw(sglang::record(id, &at, done).into_bytes());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The engine with the fewest requests; of several, the next in turn.
    fn choose_engine(&mut self) -> usize {
        let count = self.engines.len();
        let in_turn = (0..count).map(|i| (self.next + i) % count.max(1));
        let least = in_turn.min_by_key(|i| self.engines.get(*i).map(|engine| engine.requests));
        let chosen = least.unwrap_or_default();
        self.next = chosen + 1;
        if let Some(engine) = self.engines.get_mut(chosen) {
            engine.requests += 1;
        }
        chosen
    }

    fn left(&mut self, engine: usize) {
        if let Some(engine) = self.engines.get_mut(engine) {
            engine.requests = engine.requests.saturating_sub(1);
        }
    }
}

/// As vLLM 0.28 and later write it.
fn iteration_line(step: &Step) -> String {
    let Step { engine, number, plan, context_requests, elapsed_s, output } = step;
    format!(
        "Engine {engine:03}: Iteration({number}): {context_requests} context requests, {} context tokens, \
         {decoding} generation requests, {decoding} generation tokens, iteration elapsed time: {:.2} ms, \
         GPU KV cache usage: {:.1}%",
        plan.prefill_tokens,
        elapsed_s * 1e3,
        output.stats.kv_usage * 1e2,
        decoding = plan.decoding
    )
}

impl Live {
    /// Counts one token, had `now`; the server's own clock says it is `said`.
    fn take(
        &mut self,
        output: &Output,
        step: Anchor,
        (now, said): (UnixNs, UnixNs),
        registry: &mut Registry,
    ) -> Token {
        self.tokens += 1;
        let arrival = self.submission.arrival;
        let prompt_tokens = self.submission.request.prompt_tokens;
        let mut new = None;
        match (&mut self.progress, output.first) {
            (Some(progress), _) => {
                registry.inter_token_latency.observe(between(progress.last_step, step));
                progress.last_step = step;
            }
            (None, Some(admission)) => {
                let first = First { admission, ttft_s: said.seconds_since(arrival) };
                registry.first_token(first.ttft_s, prompt_tokens, admission.cached_tokens);
                self.progress = Some(Progress { first, first_step: step, last_step: step });
                new = Some(first);
            }
            // The scheduler gives the admission with the first token, always.
            (None, None) => {}
        }
        let done = output
            .finish
            .zip(self.progress)
            .map(|(reason, p)| self.finished(reason, output.preemptions, &p, said));
        if let Some(done) = &done {
            registry.finished(done);
        }
        Token { output: now, step, first: new, done }
    }

    fn finished(
        &self,
        reason: FinishReason,
        preemptions: u32,
        progress: &Progress,
        said: UnixNs,
    ) -> Finished {
        let Admission { queued, scheduled, cached_tokens } = progress.first.admission;
        let request = &self.submission.request;
        Finished {
            reason,
            prompt_tokens: request.prompt_tokens,
            cached_tokens,
            preemptions,
            output_tokens: self.tokens,
            max_tokens: request.max_tokens,
            e2e_s: said.seconds_since(self.submission.arrival),
            queue_s: between(queued, scheduled),
            prefill_s: between(scheduled, progress.first_step),
            decode_s: between(progress.first_step, progress.last_step),
            inference_s: between(scheduled, progress.last_step),
        }
    }
}

/// Seconds on the monotonic clock.
pub fn between(from: Anchor, to: Anchor) -> f64 {
    (to.monotonic_ns - from.monotonic_ns) as f64 / 1e9
}
