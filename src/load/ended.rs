//! Exchanges that have ended, made into rows on a thread of their own: reading what the answers said
//! can wait, the next requests of a burst cannot. This file must not know sockets or schedules.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

use anyhow::Context;
use tare_parsers::hop_headers;

use super::answer_times;
use super::client::{Prepared, Sending};
use super::connections::Counters;
use super::live::Live;
use super::recording::{End, Recording};
use super::timing;
use crate::clock::UnixNs;
use crate::record::{Connection, Endpoint, Finished, Place, RequestRow, Sink, StampSource, Status};

/// More known headers than this no gateway sends.
const MAX_ANSWER_HEADERS: usize = 32;
/// A row may be made so much later.
const LOOK_EVERY: RangeInclusive<Duration> = Duration::from_millis(2)..=Duration::from_millis(100);
/// It is looked so often that about so many have come: many at once would take the load a CPU for milliseconds.
const AT_ONCE: u32 = 8;
/// Where one comes so soon after another, it is looked now and then.
const DENSE: Duration = Duration::from_millis(200);

/// One exchange, ended, its last chunks not yet read.
pub(super) struct Ended {
    pub(super) request: Box<Prepared>,
    pub(super) endpoint: Endpoint,
    pub(super) streamed: bool,
    /// Whether what it says goes into the row.
    pub(super) with_text: bool,
    pub(super) scheduled: UnixNs,
    pub(super) started: UnixNs,
    pub(super) done: UnixNs,
    pub(super) sending: Sending,
    pub(super) recording: Box<Recording>,
    pub(super) end: End,
}

impl Ended {
    /// Whether all signs are that the answer came whole. What its chunks say may still make it a
    /// failure.
    pub(super) fn looks_whole(&self) -> bool {
        matches!(self.end, End::Complete) && self.recording.looks_whole()
    }

    /// Reads what is still unread, and makes the row.
    pub(super) fn finish(self) -> Finished {
        let Self {
            request,
            endpoint,
            streamed,
            with_text,
            scheduled,
            started,
            done,
            sending,
            mut recording,
            end,
        } = self;
        let (status, error) = match sending.connect_error {
            Some(error) => (Status::ConnectError, Some(error)),
            None => recording.conclude(&end),
        };
        if status == Status::Ok
            && let Some(waiting) = request.in_session.as_ref().and_then(|s| s.waiting.as_ref())
        {
            // Gone, if the run is over.
            let _ = waiting.send(recording.text());
        }
        let leg = request.leg;
        let in_band_s = |ms: Option<f64>| ms.map(|ms| ms / 1e3);
        let head = recording.response.head();
        let by_headers = head.map(|head| answer_times::of(&head.headers)).unwrap_or_default();
        let answer_headers = head.map(|head| answer_headers(&head.headers)).unwrap_or_default();
        // One of its packets may have been held up in the kernel, and have no stamp that can be used: the first
        // and the last together tell who dates this request.
        let reads = [recording.head, recording.last_read];
        let kernel = reads.iter().flatten().any(|read| read.kernel.is_some());
        let mut row = RequestRow {
            request_id: request.request_id,
            trace_id: request.trace_id,
            response_id: recording.response_id.take(),
            index: request.index,
            prompt_index: request.prompt_index,
            user: request.user,
            session: request.in_session.as_ref().map(|s| s.session),
            turn: request.in_session.as_ref().map(|s| s.turn),
            arm: leg.map(|leg| leg.arm),
            cell: leg.map(|leg| leg.cell),
            round: leg.map(|leg| leg.round),
            pair: leg.map(|leg| leg.pair(request.index)),
            endpoint,
            streamed,
            scheduled_unix_ns: scheduled,
            started_unix_ns: started,
            connect_begin_unix_ns: sending.connect_begin,
            connect_end_unix_ns: sending.connect_end,
            tls_end_unix_ns: sending.tls_end,
            send_begin_unix_ns: sending.send_begin,
            sent_unix_ns: sending.sent,
            head_unix_ns: recording.head.map(|s| s.best()),
            done_unix_ns: done,
            stamps: if kernel { StampSource::Kernel } else { StampSource::User },
            status,
            http_status: recording.response.head().map(|h| h.status),
            error,
            finish_reason: recording.finish_reason.take(),
            connection: sending.connection.unwrap_or(Connection::New),
            local_port: sending.local.map(|a| a.port()),
            input_tokens: recording.usage.prompt_tokens,
            output_tokens: recording.output_tokens(),
            asked_input_tokens: request.exact_tokens,
            cached_input_tokens: recording.cached_tokens,
            max_tokens: request.max_tokens,
            prompt_chars: request.prompt_chars,
            in_band_prefill_s: in_band_s(recording.in_band.time_to_first_token_ms),
            in_band_queue_s: in_band_s(recording.in_band.queue_time_ms).or(by_headers.queue_s),
            in_band_decode_s: in_band_s(recording.in_band.generation_time_ms),
            in_band_inference_s: by_headers.inference_s,
            in_band_e2e_s: by_headers.e2e_s,
            answer_headers,
            generated_text: with_text.then(|| recording.text()),
            ..RequestRow::default()
        };
        timing::date(&mut row, &recording.events, recording.first_content, recording.unstreamed_end());
        let Recording { events, offsets, first_content, .. } = *recording;
        let place = sending.local.map(|client| Place { client, offsets, first_content });
        Finished { row, events, place }
    }
}

/// Those that tell of what lay between, and of them no more than is known to be harmless.
fn answer_headers(all: &[(String, String)]) -> Vec<(String, String)> {
    let kept = all.iter().filter_map(|(name, value)| Some((name.clone(), hop_headers::kept(name, value)?)));
    kept.take(MAX_ANSWER_HEADERS).collect()
}

/// The thread, and the way to it.
pub(super) struct Finisher {
    thread: JoinHandle<()>,
    ended: Sender<Option<Box<Ended>>>,
}

/// The way to the thread.
pub(super) struct ToRows {
    ended: Sender<Option<Box<Ended>>>,
    thread: Thread,
}

impl ToRows {
    /// Hands over an exchange, to be read now and then, or at once where a conversation waits for its answer.
    pub(super) fn send(&self, ended: Box<Ended>) {
        let is_waited_for = ended.request.in_session.as_ref().is_some_and(|s| s.waiting.is_some());
        // The thread lives until the load has ended.
        let _ = self.ended.send(Some(ended));
        if is_waited_for {
            self.thread.unpark();
        }
    }
}

/// What is told about every request that has ended.
#[derive(Clone)]
pub(super) struct Tellings {
    pub(super) live: Arc<Live>,
    pub(super) counters: Arc<Counters>,
    pub(super) sink: Sink<Finished>,
}

impl Tellings {
    pub(super) fn tell(&self, finished: Finished) {
        self.counters.note(&finished.row);
        self.live.count(&finished.row);
        // The writer outlives the load; if it broke, the run ends with its error, not with ours.
        self.sink.send(finished);
    }
}

impl Finisher {
    pub(super) fn start(tellings: Tellings) -> anyhow::Result<Self> {
        let (ended, received) = channel::<Option<Box<Ended>>>();
        let thread = std::thread::Builder::new()
            .name("tare-rows".to_owned())
            .spawn(move || make_rows(&received, &tellings))
            .context("could not start the thread that makes rows")?;
        Ok(Self { thread, ended })
    }

    /// The way for exchanges that have ended.
    pub(super) fn way(&self) -> ToRows {
        ToRows { ended: self.ended.clone(), thread: self.thread.thread().clone() }
    }

    /// Waits until all that was sent has become rows.
    pub(super) fn end(self) -> anyhow::Result<()> {
        let _ = self.ended.send(None);
        self.thread.thread().unpark();
        self.thread.join().map_err(|_| anyhow::anyhow!("the thread that makes rows panicked"))
    }
}

/// Until `None`, the end. A thread that waits for the next exchange would have to be woken for each: a system
/// call of the load's threads, and in a dense load a large part of what a request costs them. So it looks now
/// and then.
fn make_rows(received: &Receiver<Option<Box<Ended>>>, tellings: &Tellings) {
    let mut last: Option<Instant> = None;
    let mut look_every = *LOOK_EVERY.start();
    while let Ok(Some(first)) = received.recv() {
        let came = Instant::now();
        tellings.tell(first.finish());
        let mut n: u32 = 1;
        for next in received.try_iter() {
            let Some(next) = next else { return };
            tellings.tell(next.finish());
            n = n.saturating_add(1);
        }
        // Little by little: thousands may end together, and be held until they are looked at.
        let wanted = (look_every * AT_ONCE / n).min(look_every * 2);
        look_every = wanted.clamp(*LOOK_EVERY.start(), *LOOK_EVERY.end());
        // In a sparse load each is a wake-up of its own all the same.
        if last.replace(came).is_some_and(|last| came - last < DENSE) {
            std::thread::park_timeout(look_every);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_answers_headers_only_the_harmless_and_useful_are_kept() {
        let all = [
            ("date", "Tue, 24 Nov 2026 14:55:26 GMT"),
            ("set-cookie", "session=secret"),
            ("authorization", "Bearer secret"),
            ("x-request-id", "r-1"),
            ("x-litellm-key-spend", "0.0"),
            ("x-litellm-model-api-base", "http://user:secret@127.0.0.1:21000/v1?key=secret"),
            ("server", "uvicorn"),
            ("server", "envoy"),
        ];
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let kept = answer_headers(&all.iter().map(owned).collect::<Vec<_>>());
        let expected = [
            ("x-request-id", "r-1"),
            ("x-litellm-model-api-base", "127.0.0.1:21000"),
            ("server", "uvicorn"),
            ("server", "envoy"),
        ];
        assert_eq!(kept, expected.iter().map(owned).collect::<Vec<_>>());
    }
}
