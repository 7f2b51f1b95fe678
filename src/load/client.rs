//! One request over one connection: connect, send, read, stamp. The task that reads the socket also
//! takes the answer apart, so that stamp and bytes travel together. This file must not know
//! schedules, files or statistics.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connections::Connected;
use super::recording::{End, Recording};
use crate::clock::UnixNs;
use crate::net::{Sources, StampedStream};
use crate::record::{Connection, Endpoint, EventRow, Finished, RequestRow, Status};

/// A request made ready before its time comes: nothing of this is done on the clock.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) request_id: String,
    pub(super) trace_id: String,
    pub(super) index: u64,
    pub(super) prompt_index: u32,
    pub(super) user: Option<u32>,
    pub(super) max_tokens: Option<u32>,
    pub(super) prompt_chars: u32,
    /// Whether the body asks for usage on every chunk.
    pub(super) continuous_usage: bool,
    /// Whether the server is asked to close the connection after its answer.
    pub(super) close: bool,
    /// Head and body as they go over the wire.
    pub(super) bytes: Vec<u8>,
}

/// How requests are sent; shared by all of a run.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    /// Where connections come from.
    pub(super) sources: Sources,
    pub(super) endpoint: Endpoint,
    pub(super) streamed: bool,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
}

/// The stamps of sending, set as they come.
#[derive(Default)]
struct Sending {
    connect_begin: Option<UnixNs>,
    connect_end: Option<UnixNs>,
    send_begin: Option<UnixNs>,
    sent: Option<UnixNs>,
    connection: Option<Connection>,
    local_port: Option<u16>,
    connect_error: Option<String>,
}

impl Client {
    /// Opens a connection: the one place where that is done, on the clock or off it.
    pub(super) async fn connect(&self) -> io::Result<Connected> {
        let begin = UnixNs::now();
        let stream = StampedStream::connect(self.address, self.sources.next(), self.connect_timeout).await?;
        Ok(Connected::new(stream, begin, UnixNs::now()))
    }

    /// Sends `request`, over `kept` if that is given (the caller has seen it open), and reads the whole
    /// answer. Returns the connection again when it can carry another request.
    pub(super) async fn exchange(
        &self,
        mut kept: Option<Connected>,
        request: &Prepared,
        scheduled: UnixNs,
        stop: &CancellationToken,
    ) -> (Finished, Option<Connected>) {
        let started = UnixNs::now();
        let deadline = Instant::now() + self.timeout;
        let (mut sending, mut recording) = (Sending::default(), Recording::default());
        let end = tokio::select! {
            biased;
            end = self.drive(&mut kept, request, &mut sending, &mut recording) => end,
            () = tokio::time::sleep_until(deadline) => End::Timeout,
            () = stop.cancelled() => End::Stopped,
        };
        let done = UnixNs::now();
        let (status, error) = match sending.connect_error.take() {
            Some(error) => (Status::ConnectError, Some(error)),
            None => recording.conclude(&end),
        };
        let reusable = matches!(end, End::Complete)
            && !request.close
            && recording.response.head().is_some_and(|h| h.keep_alive);
        let row = self.row(request, scheduled, started, done, &sending, &recording, (status, error));
        let again = kept.filter(|_| reusable).map(Connected::carried_one);
        (Finished { row, events: recording.events }, again)
    }

    async fn drive(
        &self,
        open: &mut Option<Connected>,
        request: &Prepared,
        sending: &mut Sending,
        recording: &mut Recording,
    ) -> End {
        loop {
            if open.is_none() {
                sending.connect_begin = Some(UnixNs::now());
                match self.connect().await {
                    Ok(connected) => {
                        sending.connect_begin = Some(connected.connect_begin);
                        sending.connect_end = Some(connected.connect_end);
                        sending.connection.get_or_insert(Connection::New);
                        *open = Some(connected);
                    }
                    Err(error) => {
                        sending.connect_error = Some(self.no_connection(&error));
                        return End::Closed(None);
                    }
                }
            }
            let Some(connected) = open.as_mut() else { return End::Closed(None) };
            let reused = connected.carried > 0;
            sending.connection.get_or_insert(if reused { Connection::Reused } else { Connection::Warm });
            sending.local_port = connected.stream.local_port();
            let end = send_and_read(&mut connected.stream, &request.bytes, sending, recording).await;
            // A kept connection that the server had closed meanwhile is no fault of this request:
            // it is sent again, once, and marked, for the server may have run both.
            if reused && matches!(end, End::Closed(_)) && !recording.response.received_any() {
                *open = None;
                sending.connection = Some(Connection::Retried);
                continue;
            }
            return end;
        }
    }

    fn no_connection(&self, error: &io::Error) -> String {
        let said = format!("could not connect to {}: {error}", self.address);
        match error.kind() {
            io::ErrorKind::AddrNotAvailable => format!("{said} (no source port is free: --source-address)"),
            _ => said,
        }
    }

    #[allow(clippy::too_many_arguments)] // The pieces of one row, gathered in one place.
    fn row(
        &self,
        request: &Prepared,
        scheduled: UnixNs,
        started: UnixNs,
        done: UnixNs,
        sending: &Sending,
        recording: &Recording,
        (status, error): (Status, Option<String>),
    ) -> RequestRow {
        let (first, last) = (recording.events.first(), recording.events.last());
        // The end of an error message is no token.
        let whole = || recording.unstreamed_end().filter(|_| status == Status::Ok);
        let last_token = last.map(|e| e.stamp_hi_unix_ns).or_else(whole);
        let output_tokens = recording.output_tokens();
        let since_start = |stamp: UnixNs| stamp.seconds_since(started);
        let ttft_s = first.map(|e| since_start(e.stamp_hi_unix_ns));
        let e2e_s = last_token.filter(|_| status == Status::Ok).map(since_start);
        let gaps = output_tokens.filter(|&n| n > 1).map(|n| f64::from(n - 1));
        let in_band_s = |ms: Option<f64>| ms.map(|ms| ms / 1e3);
        RequestRow {
            request_id: request.request_id.clone(),
            trace_id: request.trace_id.clone(),
            response_id: recording.response_id.clone(),
            index: request.index,
            prompt_index: request.prompt_index,
            user: request.user,
            endpoint: self.endpoint,
            streamed: self.streamed,
            scheduled_unix_ns: scheduled,
            started_unix_ns: started,
            connect_begin_unix_ns: sending.connect_begin,
            connect_end_unix_ns: sending.connect_end,
            send_begin_unix_ns: sending.send_begin,
            sent_unix_ns: sending.sent,
            head_unix_ns: recording.head.map(|s| s.best()),
            first_token_unix_ns: first.map(|e| e.stamp_hi_unix_ns),
            first_token_lo_unix_ns: first.map(|e| e.stamp_lo_unix_ns),
            first_token_user_unix_ns: recording.first_token_user,
            first_content_unix_ns: recording.first_content,
            last_token_unix_ns: last_token,
            last_token_lo_unix_ns: last.map(|e| e.stamp_lo_unix_ns),
            done_unix_ns: done,
            kernel_stamps: recording.head.is_some_and(|s| s.kernel.is_some()),
            status,
            http_status: recording.response.head().map(|h| h.status),
            error,
            finish_reason: recording.finish_reason.clone(),
            connection: sending.connection.unwrap_or(Connection::New),
            local_port: sending.local_port,
            input_tokens: recording.usage.prompt_tokens,
            output_tokens,
            max_tokens: request.max_tokens,
            prompt_chars: request.prompt_chars,
            n_events: recording.events.len() as u32,
            n_exact_events: recording.events.iter().filter(|e| is_exact(e)).count() as u32,
            ttft_s,
            ttft_user_s: recording.first_token_user.map(since_start),
            ttft_scheduled_s: first.map(|e| e.stamp_hi_unix_ns.seconds_since(scheduled)),
            ttft_content_s: recording.first_content.map(since_start),
            // One event may hold several tokens; a mean gap needs two moments.
            itl_mean_s: match (first, last, gaps) {
                (Some(a), Some(b), Some(n)) if recording.events.len() > 1 => {
                    Some(b.stamp_hi_unix_ns.seconds_since(a.stamp_hi_unix_ns) / n)
                }
                _ => None,
            },
            tpot_s: match (ttft_s, e2e_s, gaps) {
                (Some(ttft), Some(e2e), Some(n)) => Some((e2e - ttft) / n),
                _ => None,
            },
            e2e_s,
            user_throughput_tps: match (output_tokens, e2e_s) {
                (Some(n), Some(e2e)) if e2e > 0.0 => Some(f64::from(n) / e2e),
                _ => None,
            },
            in_band_prefill_s: in_band_s(recording.in_band.time_to_first_token_ms),
            in_band_queue_s: in_band_s(recording.in_band.queue_time_ms),
            in_band_decode_s: in_band_s(recording.in_band.generation_time_ms),
        }
    }
}

/// Whether an event's stamp is a point, not an interval.
fn is_exact(event: &EventRow) -> bool {
    event.stamp_lo_unix_ns == event.stamp_hi_unix_ns
}

async fn send_and_read(
    stream: &mut StampedStream,
    bytes: &[u8],
    sending: &mut Sending,
    recording: &mut Recording,
) -> End {
    sending.send_begin = Some(UnixNs::now());
    if let Err(error) = stream.write_all(bytes).await {
        // A server may answer and close before it has read everything (413, 429): read on.
        if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
            return End::Closed(Some(error));
        }
    }
    sending.sent = Some(UnixNs::now());
    loop {
        let step = stream
            .read(|bytes, stamp| if bytes.is_empty() { None } else { Some(recording.take(bytes, stamp)) });
        match step.await {
            Ok(Some(Ok(true))) => return End::Complete,
            Ok(Some(Ok(false))) => {}
            Ok(Some(Err(error))) => return End::Http(error),
            Ok(None) => return if recording.response.close() { End::Complete } else { End::Closed(None) },
            Err(error) => return End::Closed(Some(error)),
        }
    }
}
