//! From tokens to events: how an answer is told while the engine makes it, in events of a stream or in
//! one body, and how its tokens get onto the request's record. This file must not know faults.

use tokio::sync::mpsc::UnboundedReceiver;

use super::answer::Answer;
use super::body::{Api, Job};
use super::chunks::{self, Label};
use super::exchange::{Exchange, Unfinished};
use super::front::{Delta, First, Token, between};
use super::ids::RequestIds;
use super::parts::{Said, Told};
use super::pose;
use super::python;
use super::registry::Finished;
use super::responses;
use super::teller::{Piece, Teller};

impl Exchange<'_> {
    /// Tells the answer event by event.
    pub(super) async fn stream(
        &mut self,
        job: &Job,
        label: &Label<'_>,
        mut answer: Answer,
        deltas: &mut UnboundedReceiver<Delta>,
    ) -> Result<(), Unfinished> {
        let logged = job.api == Api::Chat && self.shared.embedded.enable_log_outputs;
        let parts = self.faults.parts;
        let mut teller = Teller::new(job, label, parts);
        let (mut told, mut text, mut whole) = (Told::default(), String::new(), String::new());
        let (mut before, mut pending) = (0, 0);
        teller.begin(&mut told);
        self.tell(&mut told).await?;
        loop {
            let part = parts.at(before);
            let mut token = self.next_token(deltas).await?;
            let done = loop {
                let end_of_text = token.done.is_some_and(|d| d.reason.is_stop());
                answer.push_token(end_of_text, &mut text);
                pending += 1;
                if token.done.is_some() || parts.at(before + pending) != part {
                    break token.done;
                }
                // A writer that is late tells several tokens at once.
                match self.token_at_hand(deltas)? {
                    Some(next) => token = next,
                    None => break None,
                }
            };
            let more_of_it = parts.at(before + pending) == part;
            if done.is_none() && before > 0 && pending < job.stream_interval && more_of_it {
                continue;
            }
            if logged {
                self.log_delta(label, &text, done.as_ref());
                whole.push_str(&text);
            }
            before += pending;
            let piece = Piece { part, text: &text, tokens: pending, so_far: before, done: done.as_ref() };
            teller.piece(&piece, &mut told);
            self.tell(&mut told).await?;
            text.clear();
            pending = 0;
            if let Some(done) = done {
                if logged {
                    let what = "streaming_complete";
                    self.log_output("Generated", label, " (streaming complete)", &whole, what);
                }
                teller.end(&done, self.shared.embedded.enable_per_request_metrics, &mut told);
                self.tell(&mut told).await?;
                self.wire.write(chunks::LAST_CHUNK).await?;
                return Ok(());
            }
        }
    }

    /// Tells the answer in one body.
    pub(super) async fn whole(
        &mut self,
        job: &Job,
        label: &Label<'_>,
        mut answer: Answer,
        deltas: &mut UnboundedReceiver<Delta>,
    ) -> Result<(), Unfinished> {
        let (parts, mut said, mut before) = (self.faults.parts, Said::default(), 0);
        let done = loop {
            let token = self.next_token(deltas).await?;
            let text = said.part(parts.at(before));
            answer.push_token(token.done.is_some_and(|d| d.reason.is_stop()), text);
            before += 1;
            if let Some(done) = token.done {
                break done;
            }
        };
        if job.api == Api::Chat && self.shared.embedded.enable_log_outputs {
            self.log_output("Generated", label, "", &said.text, done.reason.as_str());
        }
        let in_band = self.shared.embedded.enable_per_request_metrics;
        let body = match job.api {
            Api::Responses => responses::whole(job, label, &said, &done, in_band),
            Api::Chat | Api::Completions => pose::whole(job, label, &said.text, &done)
                .unwrap_or_else(|| chunks::whole(job, label, &said, &done, in_band)),
        };
        self.send_head(200, "application/json", Some(body.len())).await?;
        self.out = body;
        self.emit(done.output_tokens).await
    }

    /// What is about to be told of a stream; nothing is not worth a line.
    fn log_delta(&mut self, label: &Label<'_>, text: &str, done: Option<&Finished>) {
        if self.shared.embedded.enable_log_deltas && !text.is_empty() {
            let reason = python::optional(done.map(|done| done.reason.as_str()));
            self.log_output("delta", label, " (streaming delta)", text, &reason);
        }
    }

    fn log_output(&mut self, kind: &str, label: &Label<'_>, what: &str, text: &str, reason: &str) {
        let (id, output) = (label.response_id, python::quoted(text));
        let line = format!("Generated response {id}{what}: output: {output}, finish_reason: {reason}");
        self.log_line(kind, "request_logger.py:108", &line);
    }

    /// Waits for a token, or for the client to leave.
    async fn next_token(&mut self, deltas: &mut UnboundedReceiver<Delta>) -> Result<Token, Unfinished> {
        let delta = tokio::select! {
            biased;
            delta = deltas.recv() => delta,
            () = self.wire.hung_up() => return Err(Unfinished::ClientLeft),
        };
        self.noted(delta)
    }

    fn token_at_hand(&mut self, deltas: &mut UnboundedReceiver<Delta>) -> Result<Option<Token>, Unfinished> {
        match deltas.try_recv() {
            Ok(delta) => self.noted(Some(delta)).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn noted(&mut self, delta: Option<Delta>) -> Result<Token, Unfinished> {
        match delta {
            Some(Delta::Token(token)) => {
                self.note(&token);
                Ok(token)
            }
            Some(Delta::Stopped) | None => Err(Unfinished::Stopped),
        }
    }

    /// Puts a token on the record.
    fn note(&mut self, token: &Token) {
        let row = &mut self.row;
        row.output_tokens += 1;
        if let Some(First { admission, ttft_s }) = token.first {
            row.queued_unix_ns = Some(admission.queued.wall_unix_ns);
            row.scheduled_unix_ns = Some(admission.scheduled.wall_unix_ns);
            row.first_token_unix_ns = Some(token.step.wall_unix_ns);
            row.first_output_unix_ns = Some(token.output);
            row.ttft_s = Some(ttft_s);
            row.queue_s = Some(between(admission.queued, admission.scheduled));
            row.prefill_s = Some(between(admission.scheduled, token.step));
            row.cached_tokens = admission.cached_tokens;
            self.first_step_ns = token.step.monotonic_ns;
        }
        row.last_token_unix_ns = Some(token.step.wall_unix_ns);
        row.last_output_unix_ns = Some(token.output);
        row.decode_s = Some((token.step.monotonic_ns - self.first_step_ns) as f64 / 1e9);
        if let Some(done) = &token.done {
            row.e2e_s = Some(done.e2e_s);
            row.preemptions = done.preemptions;
            row.finish_reason = Some(done.reason.as_str().to_owned());
        }
    }

    /// Takes the request back from the engine; what it had made until then stays counted.
    pub(super) fn give_up(&mut self, ids: &RequestIds, deltas: &mut UnboundedReceiver<Delta>) {
        let was_live = self.shared.front.abort(self.row.n);
        while let Ok(Delta::Token(token)) = deltas.try_recv() {
            self.note(&token);
        }
        if was_live && self.shared.embedded.enable_log_requests {
            let line = format!("Aborted request(s) {}.", ids.internal);
            self.log_line("Aborted", "async_llm.py:922", &line);
            let line = format!("Request {} aborted.", ids.external);
            self.log_line("aborted", "async_llm.py:783", &line);
        }
    }
}
