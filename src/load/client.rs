//! One request over one connection: connect, send, read, stamp. The task that reads the socket also
//! takes the answer apart, so that stamp and bytes travel together. This file must not know
//! schedules, files or statistics.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::recording::{End, Recording};
use super::timing;
use crate::clock::UnixNs;
use crate::net::{StampedStream, tls};
use crate::record::{Connection, Endpoint, Finished, Place, RequestRow, StampSource, Status};

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
    /// Head and body as they go over the wire.
    pub(super) bytes: Vec<u8>,
}

/// How requests are sent; shared by all of a run.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    pub(super) endpoint: Endpoint,
    pub(super) streamed: bool,
    pub(super) connect_timeout: Duration,
    pub(super) timeout: Duration,
    /// Put over each connection.
    pub(super) tls: Option<tls::Client>,
    /// Ask the kernel for stamps.
    pub(super) kernel_stamps: bool,
    /// Note where each event lay in its connection's stream, to be found in a capture.
    pub(super) keeps_offsets: bool,
}

/// The stamps of sending, set as they come.
#[derive(Default)]
struct Sending {
    connect_begin: Option<UnixNs>,
    connect_end: Option<UnixNs>,
    tls_end: Option<UnixNs>,
    send_begin: Option<UnixNs>,
    sent: Option<UnixNs>,
    connection: Option<Connection>,
    local: Option<SocketAddr>,
    connect_error: Option<String>,
}

impl Client {
    /// Sends `request`, over `kept` if that is given and still open, and reads the whole answer.
    /// Returns the connection again when it can carry another request.
    pub(super) async fn exchange(
        &self,
        kept: Option<StampedStream>,
        request: &Prepared,
        scheduled: UnixNs,
        stop: &CancellationToken,
    ) -> (Finished, Option<StampedStream>) {
        let started = UnixNs::now();
        let deadline = Instant::now() + self.timeout;
        let mut sending = Sending::default();
        let mut recording = Recording::new(self.keeps_offsets);
        let mut stream = kept.and_then(|mut kept| (!kept.is_stale()).then_some(kept));
        let end = tokio::select! {
            biased;
            end = self.drive(&mut stream, request, &mut sending, &mut recording) => end,
            () = tokio::time::sleep_until(deadline) => End::Timeout,
            () = stop.cancelled() => End::Stopped,
        };
        let done = UnixNs::now();
        let (status, error) = match sending.connect_error.take() {
            Some(error) => (Status::ConnectError, Some(error)),
            None => recording.conclude(&end),
        };
        let reusable =
            matches!(end, End::Complete) && recording.response.head().is_some_and(|h| h.keep_alive);
        let mut row = self.row(request, scheduled, started, &sending, &recording);
        (row.done_unix_ns, row.status, row.error) = (done, status, error);
        timing::date(&mut row, &recording.events, recording.first_content, recording.unstreamed_end());
        let Recording { events, offsets, first_content, .. } = recording;
        let place = sending.local.map(|client| Place { client, offsets, first_content });
        (Finished { row, events, place }, stream.filter(|_| reusable))
    }

    async fn drive(
        &self,
        stream: &mut Option<StampedStream>,
        request: &Prepared,
        sending: &mut Sending,
        recording: &mut Recording,
    ) -> End {
        let mut reused = stream.is_some();
        loop {
            if stream.is_none() {
                match self.connect(sending).await {
                    Ok(connected) => *stream = Some(connected),
                    Err(error) => {
                        sending.connect_error =
                            Some(format!("could not connect to {}: {error}", self.address));
                        return End::Closed(None);
                    }
                }
            }
            let Some(connected) = stream.as_mut() else { return End::Closed(None) };
            sending.connection.get_or_insert(if reused { Connection::Reused } else { Connection::New });
            sending.local = connected.local();
            let end = send_and_read(connected, &request.bytes, sending, recording).await;
            // A kept connection that the server had closed meanwhile is no fault of this request:
            // it is sent again, once, and marked, for the server may have run both.
            if reused && matches!(end, End::Closed(_)) && !recording.response.received_any() {
                (reused, *stream) = (false, None);
                sending.connection = Some(Connection::Retried);
                continue;
            }
            return end;
        }
    }

    async fn connect(&self, sending: &mut Sending) -> std::io::Result<StampedStream> {
        sending.connect_begin = Some(UnixNs::now());
        let mut stream =
            StampedStream::connect(self.address, self.kernel_stamps, self.connect_timeout).await?;
        sending.connect_end = Some(UnixNs::now());
        if let Some(tls) = &self.tls {
            stream.secure(tls, self.connect_timeout).await?;
            sending.tls_end = Some(UnixNs::now());
        }
        Ok(stream)
    }

    /// The row of a request that has ended, but for what `timing` makes of its events.
    fn row(
        &self,
        request: &Prepared,
        scheduled: UnixNs,
        started: UnixNs,
        sending: &Sending,
        recording: &Recording,
    ) -> RequestRow {
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
            tls_end_unix_ns: sending.tls_end,
            send_begin_unix_ns: sending.send_begin,
            sent_unix_ns: sending.sent,
            head_unix_ns: recording.head.map(|s| s.best()),
            stamps: if recording.head.is_some_and(|s| s.kernel.is_some()) {
                StampSource::Kernel
            } else {
                StampSource::User
            },
            http_status: recording.response.head().map(|h| h.status),
            finish_reason: recording.finish_reason.clone(),
            connection: sending.connection.unwrap_or(Connection::New),
            local_port: sending.local.map(|a| a.port()),
            input_tokens: recording.usage.prompt_tokens,
            output_tokens: recording.output_tokens(),
            max_tokens: request.max_tokens,
            prompt_chars: request.prompt_chars,
            in_band_prefill_s: in_band_s(recording.in_band.time_to_first_token_ms),
            in_band_queue_s: in_band_s(recording.in_band.queue_time_ms),
            in_band_decode_s: in_band_s(recording.in_band.generation_time_ms),
            ..RequestRow::default()
        }
    }
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
        if !matches!(error.kind(), std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset) {
            return End::Closed(Some(error));
        }
    }
    sending.sent = Some(UnixNs::now());
    loop {
        let step = stream.read(|received| (!received.bytes.is_empty()).then(|| recording.take(received)));
        match step.await {
            Ok(Some(Ok(true))) => return End::Complete,
            Ok(Some(Ok(false))) => {}
            Ok(Some(Err(error))) => return End::Http(error),
            Ok(None) => return if recording.response.close() { End::Complete } else { End::Closed(None) },
            Err(error) => return End::Closed(Some(error)),
        }
    }
}
