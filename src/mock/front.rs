//! The front end's side of the engine, vLLM's output handler: it hands requests over, takes every
//! step's outputs, stamps them, feeds metrics, spans and the stats line, and passes the tokens on to
//! whoever writes them. All numbers of one request are computed here, once. This file must not know
//! HTTP or text.

use std::collections::HashMap;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::clock::{Anchor, UnixNs, monotonic_ns};

use super::engine::Command;
use super::http_metrics::HttpExchange;
use super::registry::{Finished, Registry};
use super::schedule::{Admission, FinishReason, Output, Request, StepOutput};
use super::server_clock::ServerClock;
use super::spans::Spans;
use super::stats_line::StatsLine;
use super::trace::{SpanPlan, request_span};

/// Shared by all connections.
pub struct Front {
    state: Mutex<State>,
    engine: Sender<Command>,
    spans: Option<Spans>,
    max_model_len: u32,
    clock: ServerClock,
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
    registry: Registry,
    stats_line: StatsLine,
    live: HashMap<u64, Live>,
    stopped: bool,
}

/// A request in the engine.
struct Live {
    submission: Submission,
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
    pub fn new(
        engine: Sender<Command>,
        spans: Option<Spans>,
        max_model_len: u32,
        clock: ServerClock,
    ) -> Self {
        let state = State {
            registry: Registry::new(max_model_len, clock.now()),
            stats_line: StatsLine::new(monotonic_ns()),
            live: HashMap::new(),
            stopped: false,
        };
        Self { state: Mutex::new(state), engine, spans, max_model_len, clock }
    }

    /// Hands a request to the engine; its tokens arrive at the receiver.
    pub fn submit(&self, submission: Submission) -> UnboundedReceiver<Delta> {
        let (writer, deltas) = unbounded_channel();
        let request = submission.request.clone();
        let mut state = self.lock();
        if state.stopped {
            let _ = writer.send(Delta::Stopped);
            return deltas;
        }
        let live = Live { submission, writer, tokens: 0, progress: None };
        state.live.insert(request.id, live);
        drop(state);
        // The engine only ends with the server.
        let _ = self.engine.send(Command::Add(request));
        deltas
    }

    /// Drops a request; `true` if it was still in the engine. Nothing of it is counted any more.
    pub fn abort(&self, id: u64) -> bool {
        let was_live = self.lock().live.remove(&id).is_some();
        if was_live {
            let _ = self.engine.send(Command::Abort(id));
        }
        was_live
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
    pub async fn run(self: Arc<Self>, mut steps: UnboundedReceiver<StepOutput>) {
        while let Some(step) = steps.recv().await {
            self.take_step(&step, UnixNs::now());
        }
    }

    /// All metrics start again, as after a restart.
    pub fn reset_metrics(&self) {
        let mut state = self.lock();
        let scheduler = state.registry.scheduler;
        state.registry = Registry::new(self.max_model_len, self.clock.now());
        state.registry.scheduler = scheduler;
    }

    pub fn observe_http(&self, exchange: &HttpExchange) {
        self.lock().registry.http.observe(exchange, self.clock.now());
    }

    /// Reads the metrics.
    pub fn with_registry<T>(&self, read: impl FnOnce(&Registry) -> T) -> T {
        read(&self.lock().registry)
    }

    /// The stats line that is due now, if any.
    pub fn stats_line(&self) -> Option<String> {
        self.lock().stats_line.line(monotonic_ns())
    }

    fn take_step(&self, step: &StepOutput, now: UnixNs) {
        let said = self.clock.says(now);
        let mut guard = self.lock();
        let State { registry, stats_line, live, .. } = &mut *guard;
        registry.scheduler_step(&step.stats);
        stats_line.scheduler_step(&step.stats);
        let (mut computed, mut generated) = (0, 0);
        for output in &step.outputs {
            // Aborted meanwhile: what comes late is not counted.
            let Some(request) = live.get_mut(&output.id) else {
                continue;
            };
            generated += 1;
            if let Some(admission) = output.first {
                computed += u64::from(request.submission.request.prompt_tokens - admission.cached_tokens);
            }
            let token = request.take(output, step.at, (now, said), registry);
            let done = token.done;
            // A writer that has gone will say so by itself.
            let _ = request.writer.send(Delta::Token(token));
            if let (Some(done), Some(request)) = (done, done.and_then(|_| live.remove(&output.id))) {
                self.export_span(&request, &done);
            }
        }
        if !step.outputs.is_empty() {
            registry.iteration(computed, generated);
            stats_line.iteration(computed, generated);
        }
    }

    fn export_span(&self, request: &Live, done: &Finished) {
        let (Some(spans), Some(plan), Some(progress)) =
            (&self.spans, &request.submission.span, request.progress)
        else {
            return;
        };
        let Submission { external_id, arrival, .. } = &request.submission;
        let end = self.clock.now();
        spans.export(request_span(plan, external_id, *arrival, end, progress.first.ttft_s, done));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        let done = output.finish.zip(self.progress).map(|(reason, p)| self.finished(reason, &p, said));
        if let Some(done) = &done {
            registry.finished(done);
        }
        Token { output: now, step, first: new, done }
    }

    fn finished(&self, reason: FinishReason, progress: &Progress, said: UnixNs) -> Finished {
        let Admission { queued, scheduled, cached_tokens } = progress.first.admission;
        let request = &self.submission.request;
        Finished {
            reason,
            prompt_tokens: request.prompt_tokens,
            cached_tokens,
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
