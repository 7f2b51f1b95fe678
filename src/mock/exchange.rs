//! One chat or text completion or response, from its body to the last event: front-end time, engine, events as
//! they become due, and every fault that the script has for it. Keeps the request's record of truth
//! on the way. This file must not know how tokens come about.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::clock::UnixNs;
use crate::config::Pose;

use super::answer::Answer;
use super::body::{self, Api, Body, Job};
use super::chunks::Label;
use super::connection::{Client, Ended};
use super::engine::spread;
use super::front::{Delta, Submission};
use super::head::Head;
use super::ids::RequestIds;
use super::parts::Parts;
use super::pose;
use super::reject::Reject;
use super::schedule::Request;
use super::script::Faults;
use super::server::Shared;
use super::tokens::{block_hashes, fingerprint};
use super::trace::{SpanPlan, TraceContext};
use super::truth::{Outcome, TruthRow};
use super::wire::{Incoming, Wire};

/// A request being answered.
pub struct Exchange<'a> {
    pub(super) shared: &'a Shared,
    pub(super) wire: &'a mut Wire,
    pub(super) client: &'a Client,
    pub(super) head: &'a Head,
    pub(super) faults: Faults,
    pub(super) api: Api,
    pub(super) row: TruthRow,
    /// The event about to be written.
    pub(super) out: Vec<u8>,
    pub(super) token_events: u32,
    pub(super) response_bytes: u64,
    /// End of the step with the first token, monotonic.
    pub(super) first_step_ns: i64,
    /// Lines of the log about this request, lost ones included.
    lines: u64,
    /// The connection's writes that had blocked before this request.
    blocked_before: u32,
}

/// Why an answer was not finished.
#[derive(Debug)]
pub enum Unfinished {
    ClientLeft,
    Cut { reusable: bool },
    Stopped,
}

impl From<std::io::Error> for Unfinished {
    fn from(_: std::io::Error) -> Self {
        Unfinished::ClientLeft
    }
}

/// Spends the front end's time for a prompt of so many tokens; `n` seeds the jitter.
pub async fn front_end(shared: &Shared, tokens: usize, n: u64) {
    let embedded = &shared.embedded;
    let mut rng = ChaCha8Rng::seed_from_u64(embedded.seed ^ n.rotate_left(32));
    let mean_ms = embedded.frontend_ms + embedded.frontend_us_per_token * tokens as f64 / 1e3;
    let ms = mean_ms * spread(embedded.jitter, &mut rng);
    if ms > 0.0 {
        shared.timer.sleep(Duration::from_secs_f64(ms / 1e3)).await;
    }
}

/// Refuses a model that is not served; none at all means the one that is.
pub fn check_model(shared: &Shared, model: Option<&str>) -> Result<(), Reject> {
    let served = shared.embedded.model.as_str();
    match model {
        // The others serve what they have, whatever it is called.
        _ if shared.embedded.pose != Pose::Vllm => Ok(()),
        Some(asked) if asked != served => Err(Reject::unknown_model(asked, served)),
        _ => Ok(()),
    }
}

impl<'a> Exchange<'a> {
    pub fn new(
        shared: &'a Shared,
        wire: &'a mut Wire,
        client: &'a Client,
        incoming: &'a Incoming,
        connection_request: u32,
    ) -> Self {
        let n = shared.next_request_number();
        let head = &incoming.head;
        let row = TruthRow {
            n,
            x_request_id: head.x_request_id.clone(),
            traceparent: head.traceparent.clone(),
            path: head.path().to_owned(),
            client_port: client.port,
            connection_request,
            accepted_unix_ns: client.accepted,
            first_byte_unix_ns: incoming.first_byte,
            read_unix_ns: incoming.read,
            ..TruthRow::default()
        };
        Self {
            shared,
            client,
            head,
            faults: shared.script.faults(n),
            api: Api::Chat,
            row,
            out: Vec::with_capacity(1024),
            token_events: 0,
            response_bytes: 0,
            first_step_ns: 0,
            lines: 0,
            blocked_before: wire.blocked_writes,
            wire,
        }
    }

    /// Answers, and files the record of it.
    pub async fn run(mut self, bytes: &[u8], api: Api) -> Ended {
        self.api = api;
        self.sudden_faults();
        let result = match self.prepare(bytes, api) {
            Ok((job, given_id)) => {
                front_end(self.shared, job.prompt.len(), self.row.n).await;
                self.answer(&job, given_id.as_deref()).await
            }
            Err(reject) => self.reject(&reject).await,
        };
        let (outcome, reusable) = match result {
            Ok(()) if self.row.status >= 400 => (Outcome::Rejected, true),
            // llama.cpp closes the connection after a streamed answer.
            Ok(()) => (Outcome::Complete, !(self.row.stream && self.shared.embedded.pose == Pose::LlamaCpp)),
            Err(Unfinished::ClientLeft) => (Outcome::Aborted, false),
            Err(Unfinished::Cut { reusable }) => (Outcome::Cut, reusable),
            Err(Unfinished::Stopped) => (Outcome::Stopped, false),
        };
        // A client that left before the head counts as answered, as with the real server.
        let status = if self.row.status == 0 { 200 } else { self.row.status };
        self.row.outcome = outcome;
        self.row.blocked_writes = self.wire.blocked_writes - self.blocked_before;
        self.row.end_unix_ns = UnixNs::now();
        if let Some(truth) = &self.shared.truth {
            truth.record(self.row);
        }
        Ended { status, response_bytes: self.response_bytes, reusable }
    }

    /// What strikes the whole server when it has read this request.
    fn sudden_faults(&mut self) {
        if self.faults.die {
            // Nothing is flushed or closed by intent; there is no answer to a failure here.
            let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
        }
        if self.faults.reset {
            self.applied("reset");
            self.shared.front.reset_metrics();
        }
        if self.faults.garbage_log {
            self.applied("garbage_log");
            let mut garbage = b"\x00\xff\xfe\x80\x1b[31mgarbage\n(APIServer pid=12) INFO 11-2\n".to_vec();
            garbage.extend(std::iter::repeat_n(b'x', 100_000));
            garbage.push(b'\n');
            self.client.log.raw(garbage);
        }
    }

    /// From bytes to a job; the arrival is when the body has been understood and the model is known.
    fn prepare(&mut self, bytes: &[u8], api: Api) -> Result<(Job, Option<String>), Reject> {
        let body = body::parse(bytes, api)?;
        self.row.stream = body.stream.unwrap_or(false);
        if api == Api::Completions {
            self.faults.parts = Parts::default();
        }
        check_model(self.shared, body.model.as_deref())?;
        self.row.arrival_unix_ns = Some(UnixNs::now());
        if let Some(status) = self.faults.http_status {
            self.row.faults.push(format!("http_{status}"));
            return Err(Reject::fault(status));
        }
        self.refuse_options(&body)?;
        // The responses API does not look at the header.
        let in_head = self.head.x_request_id.clone().filter(|_| api != Api::Responses);
        let given_id = match self.shared.embedded.pose {
            Pose::Vllm => in_head.or_else(|| body.request_id.clone()),
            _ => body.rid.clone(),
        };
        let mut job = body.job(api, self.shared.embedded.max_model_len)?;
        if self.faults.no_usage && job.include_usage {
            self.applied("no_usage");
            job.include_usage = false;
            job.continuous_usage = false;
        }
        self.row.prompt_tokens = job.prompt.len() as u32;
        Ok((job, given_id))
    }

    fn refuse_options(&mut self, body: &Body) -> Result<(), Reject> {
        if !(self.faults.refuse_continuous_usage && body.wants_continuous_usage()) {
            return Ok(());
        }
        self.applied("refuse_continuous_usage");
        let location = "body.stream_options.continuous_usage_stats";
        Err(Reject::validation("extra_forbidden", location, "Extra inputs are not permitted", "True", None))
    }

    async fn reject(&mut self, reject: &Reject) -> Result<(), Unfinished> {
        // A prompt is only known to be too long when it has been tokenised.
        let tokenised = reject.param.as_deref() == Some("input_tokens");
        let tokens = if tokenised { self.shared.embedded.max_model_len as usize } else { 0 };
        front_end(self.shared, tokens, self.row.n).await;
        if let Some(line) = reject.log_line() {
            self.client.log.error("serving.py:274", &line);
        }
        let body = reject.body();
        self.send_head(reject.status, "application/json", Some(body.len())).await?;
        self.wire.write(&body).await?;
        Ok(())
    }

    async fn answer(&mut self, job: &Job, given_id: Option<&str>) -> Result<(), Unfinished> {
        let pose = self.shared.embedded.pose;
        let ids = self
            .shared
            .with_ids(|ids| pose::ids(pose, ids, given_id).unwrap_or_else(|| ids.request(job.api, given_id)));
        self.row.request_id.clone_from(&ids.response);
        self.row.engine_id.clone_from(&ids.internal);
        if self.shared.embedded.enable_log_requests {
            let line = format!(
                "Received request {}: params: {}, lora_request: None.",
                ids.external,
                job.params.repr()
            );
            self.log_line("Received", "request_logger.py:65", &line);
            if pose == Pose::Sglang && !self.row.lost_lines.iter().any(|line| line == "Received") {
                self.client.log.request_received(&ids.external);
            }
        }
        if job.stream {
            self.send_head(200, "text/event-stream; charset=utf-8", None).await?;
        }
        let shared = self.shared;
        let label = Label {
            response_id: &ids.response,
            created_s: shared.clock.now().0 / 1_000_000_000,
            model: &shared.embedded.model,
            fingerprint: &shared.fingerprint,
            pose: shared.embedded.pose,
            details: shared.embedded.enable_prompt_tokens_details,
        };
        let (answer, mut deltas) = self.submit(job, &ids);
        let result = if job.stream {
            self.stream(job, &label, answer, &mut deltas).await
        } else {
            self.whole(job, &label, answer, &mut deltas).await
        };
        if result.is_err() {
            self.give_up(&ids, &mut deltas);
        }
        result
    }

    fn submit(&mut self, job: &Job, ids: &RequestIds) -> (Answer, UnboundedReceiver<Delta>) {
        let embedded = &self.shared.embedded;
        let request_seed = job.params.seed.map_or(0, i64::cast_unsigned);
        let mut answer =
            Answer::new(embedded.seed, fingerprint(&job.prompt), request_seed, self.faults.empty_first);
        let natural = answer.natural_length(embedded.mean_output_tokens);
        if self.faults.empty_first {
            self.applied("empty_first");
        }
        if self.faults.parts.reasoning > 0 {
            self.applied("reasoning");
        }
        if self.faults.parts.tool_after.is_some() {
            self.applied("tool_call");
        }
        let request = Request {
            id: self.row.n,
            prompt_tokens: job.prompt.len() as u32,
            blocks: block_hashes(&job.prompt),
            max_tokens: job.params.max_tokens as u32,
            stop_at: (!job.params.ignore_eos).then(|| natural.max(job.params.min_tokens as u32 + 1)),
        };
        let submission = Submission {
            request,
            external_id: ids.external.clone(),
            arrival: self.shared.clock.says(self.row.arrival_unix_ns.unwrap_or_default()),
            span: self.span_plan(job),
        };
        let (engine, deltas) = self.shared.front.submit(submission);
        self.row.engine = engine as u16;
        if embedded.enable_log_requests {
            self.log_line("Added", "async_llm.py:578", &format!("Added request {}.", ids.internal));
        }
        (answer, deltas)
    }

    fn span_plan(&mut self, job: &Job) -> Option<SpanPlan> {
        let traceparent = self.head.traceparent.as_deref();
        if !self.shared.traced {
            if traceparent.is_some() {
                self.shared.warn_tracing_is_off(&self.client.log);
            }
            return None;
        }
        if self.faults.span_loss {
            self.applied("span_loss");
            return None;
        }
        self.shared.with_ids(|ids| {
            let context = TraceContext::from_header(traceparent, ids)?;
            let (temperature, top_p) = (job.params.temperature, job.params.top_p);
            Some(SpanPlan { context, span_id: ids.bytes(), temperature, top_p })
        })
    }

    /// Writes a line of vLLM's about this request, unless it is to be lost; `kind` names it in the truth.
    pub(super) fn log_line(&mut self, kind: &str, place: &str, message: &str) {
        if !self.loses_line(kind) {
            self.client.log.info(place, message);
        }
    }

    /// Whether the next line about this request is lost.
    pub(super) fn loses_line(&mut self, kind: &str) -> bool {
        let line = self.lines;
        self.lines += 1;
        let lost = self.faults.log_loss.is_some_and(|loss| loss.hits(line));
        if lost {
            if self.row.lost_lines.is_empty() {
                self.applied("log_loss");
            }
            self.row.lost_lines.push(kind.to_owned());
        }
        lost
    }

    pub(super) fn applied(&mut self, fault: &str) {
        self.row.faults.push(fault.to_owned());
    }
}
