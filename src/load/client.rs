//! One request over one connection: connect, send, read, stamp. The task that reads the socket also
//! takes the answer apart, so that stamp and bytes travel together. This file must not know
//! schedules, files or statistics.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connections::Connected;
use super::ended::Ended;
use super::recording::{End, Recording};
use super::sessions::InSession;
use crate::clock::UnixNs;
use crate::net::{Sources, StampedStream, Whereabouts, tls};
use crate::record::audit::Leg;
use crate::record::begun::Begun;
use crate::record::{Connection, Endpoint};

/// A request made ready before its time comes: nothing of this is done on the clock.
#[derive(Clone, Debug, Default)]
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
    /// The part of an audit that it belongs to.
    pub(super) leg: Option<Leg>,
    /// The conversation that it belongs to.
    pub(super) in_session: Option<InSession>,
    /// What the prompt was counted to have.
    pub(super) exact_tokens: Option<u32>,
    /// What is noted of it when it begins, up to the moment; taken then.
    pub(super) note: Option<Begun>,
    /// Head and body as they go over the wire.
    pub(super) bytes: Vec<u8>,
}

/// How requests are sent; shared by all of a run.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) address: SocketAddr,
    /// Where its name leads by now.
    pub(super) moves: Option<Arc<Whereabouts>>,
    /// Where connections come from.
    pub(super) sources: Sources,
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
    /// Keep what each answer says with its row.
    pub(super) keeps_texts: bool,
}

/// How an error ends that tells of too few source ports.
pub(super) const NO_PORT: &str = " (no source port is free: --source-address)";

/// The stamps of sending, set as they come.
#[derive(Default)]
pub(super) struct Sending {
    pub(super) connect_begin: Option<UnixNs>,
    pub(super) connect_end: Option<UnixNs>,
    pub(super) tls_end: Option<UnixNs>,
    pub(super) send_begin: Option<UnixNs>,
    pub(super) sent: Option<UnixNs>,
    pub(super) connection: Option<Connection>,
    pub(super) local: Option<SocketAddr>,
    pub(super) connect_error: Option<String>,
}

impl Client {
    fn address(&self) -> SocketAddr {
        self.moves.as_ref().map_or(self.address, |moves| moves.current())
    }

    /// Opens a connection: the one place where that is done, on the clock or off it.
    pub(super) async fn connect(&self) -> io::Result<Connected> {
        let begin = UnixNs::now();
        let source = self.sources.next();
        let mut stream =
            StampedStream::connect(self.address(), source, self.kernel_stamps, self.connect_timeout).await?;
        let connect_end = UnixNs::now();
        let mut tls_end = None;
        if let Some(tls) = &self.tls {
            // Apart on the heap: a session is large, and most connections have none.
            Box::pin(stream.secure(tls, self.connect_timeout)).await?;
            tls_end = Some(UnixNs::now());
        }
        Ok(Connected::new(stream, begin, connect_end, tls_end))
    }

    /// Sends `request`, over `kept` if there is one, and reads the whole answer. A connection is left there
    /// when it can carry another request. Neither is moved into the future, of which there are thousands.
    pub(super) async fn exchange(
        &self,
        kept: &mut Option<Connected>,
        request: Box<Prepared>,
        scheduled: UnixNs,
        stop: &CancellationToken,
    ) -> Box<Ended> {
        let started = UnixNs::now();
        let deadline = Instant::now() + self.timeout;
        let mut sending = Sending::default();
        // On the heap: what is kept of an answer should not be moved with every future it is in.
        let mut recording =
            Box::new(Recording::new(self.endpoint, request.index, request.max_tokens, self.keeps_offsets));
        recording.keeps_text =
            self.keeps_texts || request.in_session.as_ref().is_some_and(InSession::is_waited_for);
        let end = tokio::select! {
            biased;
            end = self.drive(kept, &request, &mut sending, &mut recording) => end,
            () = tokio::time::sleep_until(deadline) => End::Timeout,
            () = stop.cancelled() => End::Stopped,
        };
        let done = UnixNs::now();
        let reusable = matches!(end, End::Complete)
            && !request.close
            && recording.response.head().is_some_and(|h| h.keep_alive);
        *kept = kept.take().filter(|_| reusable).map(Connected::carried_one);
        Box::new(Ended {
            request,
            endpoint: self.endpoint,
            streamed: self.streamed,
            with_text: self.keeps_texts,
            scheduled,
            started,
            done,
            sending,
            recording,
            end,
        })
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
                match Box::pin(self.connect()).await {
                    Ok(connected) => {
                        sending.connect_begin = Some(connected.connect_begin);
                        sending.connect_end = Some(connected.connect_end);
                        sending.tls_end = connected.tls_end;
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
            let is_older = sending.connect_end.is_none();
            let carried = connected.carried > 0;
            sending.connection.get_or_insert(if carried { Connection::Reused } else { Connection::Warm });
            sending.local = connected.stream.local();
            let end = send_and_read(&mut connected.stream, &request.bytes, sending, recording).await;
            // An older connection that the server had closed meanwhile is no fault of this request: it
            // is sent again, once, and marked, for the server may have run both.
            if is_older && matches!(end, End::Closed(_)) && !recording.response.received_any() {
                *open = None;
                sending.connection = Some(Connection::Retried);
                continue;
            }
            return end;
        }
    }

    fn no_connection(&self, error: &io::Error) -> String {
        let said = format!("could not connect to {}: {error}", self.address());
        match error.kind() {
            io::ErrorKind::AddrNotAvailable => said + NO_PORT,
            _ => said,
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
        if !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
            return End::Closed(Some(error));
        }
    }
    sending.sent = Some(UnixNs::now());
    loop {
        let step = stream.read(|received| (!received.bytes.is_empty()).then(|| recording.take(received)));
        match step.await {
            Ok(Some(Ok(true))) => return End::Complete,
            Ok(Some(Ok(false))) => {}
            Ok(Some(Err(error))) => return End::Bad(error),
            Ok(None) => return if recording.response.close() { End::Complete } else { End::Closed(None) },
            Err(error) => return End::Closed(Some(error)),
        }
    }
}
