//! Receives spans over OTLP: gRPC and HTTP with protobuf bodies, both with gzip. `span` makes rows
//! of them. This file must not know what a span means; a payload that is none is refused, counted
//! and never ends the receiver.

use std::collections::HashSet;
use std::io::Read;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Router, serve};
use flate2::read::MultiGzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server as GrpcServer;
use tonic::transport::server::TcpIncoming;

use super::problem::{Notes, Problem};
use super::span::rows;
use super::{Ingested, SourceReport};
use crate::clock::UnixNs;
use crate::config::Otlp;
use crate::record::Sink;
use crate::server::Server;

/// An export may be so large, packed and unpacked: what a collector takes over gRPC by default. SDKs send
/// batches of 512 spans, about 1 MiB; and an empty span of two bytes takes a hundred times that in memory.
const MAX_EXPORT_BYTES: usize = 4 << 20;
/// Exporters keep their connections; closing does not wait longer for them.
const CLOSE: Duration = Duration::from_secs(1);
const PROTOBUF: &str = "application/x-protobuf";
const JSON_HINT: &str =
    "send protobuf: set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf (or grpc, on the other port)";

/// Where the receiver listens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OtlpAddresses {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

/// Request spans received so far, by what they can be joined with.
#[derive(Clone, Debug, Default)]
pub struct SpansSeen {
    pub n_request_spans: u64,
    pub trace_ids: HashSet<String>,
    pub request_ids: HashSet<String>,
}

/// Who gets spans as they came; called where they are received, so it must not wait.
pub type PassOn = Box<dyn Fn(ResourceSpans) + Send + Sync>;

/// The receiver's ports, taken but not yet served.
pub struct Bound {
    grpc: StdListener,
    http: StdListener,
    addresses: OtlpAddresses,
}

/// What the receiver has taken in; shared by both protocols.
pub struct Inbox {
    server: &'static Server,
    sink: Sink<Ingested>,
    notes: Notes,
    seen: Mutex<SpansSeen>,
    changed: Condvar,
    /// Who gets the spans as well, as they came.
    pass_on: OnceLock<PassOn>,
    n_spans: AtomicU64,
    n_rejected_spans: AtomicU64,
    n_exports: AtomicU64,
    /// Calls that began, and those of them that could be decoded.
    n_grpc_calls: AtomicU64,
    n_grpc_decoded: AtomicU64,
    n_bad_http: AtomicU64,
}

/// Takes both ports. Done before anything else starts, so that a port in use is told at once and
/// the ports are known to whoever must be told them.
pub fn bind(otlp: &Otlp) -> Result<Bound, Problem> {
    let grpc = listen(&otlp.host, otlp.grpc_port, "OTLP over gRPC", "--otlp-grpc-port")?;
    let http = listen(&otlp.host, otlp.http_port, "OTLP over HTTP", "--otlp-http-port")?;
    let address = |listener: &StdListener| {
        listener
            .local_addr()
            .map_err(|error| Problem::new(format!("cannot tell the address spans are received at: {error}")))
    };
    let addresses = OtlpAddresses { grpc: address(&grpc)?, http: address(&http)? };
    Ok(Bound { grpc, http, addresses })
}

fn listen(host: &str, port: u16, what: &str, flag: &str) -> Result<StdListener, Problem> {
    let listener = StdListener::bind((host, port))
        .and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
    listener.map_err(|error| {
        let problem = Problem::new(format!("cannot receive spans ({what}) at {host}:{port}: {error}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => problem.hint(format!("something else listens there, another collector or another run; `{flag}` takes another port, 0 any free one")),
            _ => problem.hint(format!("`--otlp HOST` and `{flag}` say where to listen")),
        }
    })
}

impl Bound {
    pub fn addresses(&self) -> OtlpAddresses {
        self.addresses
    }

    /// Serves both ports until `stop`.
    pub async fn serve(self, inbox: Arc<Inbox>, stop: CancellationToken) {
        let (notes, addresses) = (inbox.notes.clone(), self.addresses);
        let listeners =
            TcpListener::from_std(self.grpc).and_then(|grpc| Ok((grpc, TcpListener::from_std(self.http)?)));
        let (grpc, http) = match listeners {
            Ok(listeners) => listeners,
            Err(error) => return notes.add(format!("spans are not received: {error}")),
        };
        let counting = {
            let inbox = inbox.clone();
            move |request: tonic::Request<()>| {
                inbox.n_grpc_calls.fetch_add(1, Ordering::Relaxed);
                Ok(request)
            }
        };
        let service = TraceServiceServer::from_arc(inbox.clone())
            .accept_compressed(CompressionEncoding::Gzip)
            .max_decoding_message_size(MAX_EXPORT_BYTES);
        let grpc = GrpcServer::builder()
            .add_service(InterceptedService::new(service, counting))
            .serve_with_incoming_shutdown(TcpIncoming::from(grpc), stop.clone().cancelled_owned());
        let router = Router::new()
            .route("/v1/traces", post(http_export))
            .fallback(no_such_path)
            .layer(DefaultBodyLimit::max(MAX_EXPORT_BYTES))
            .with_state(inbox);
        let http = serve(http, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let both = async {
            let (grpc, http) = tokio::join!(grpc, http);
            if let Err(error) = grpc {
                notes.add(format!("the receiver of spans at {} stopped: {error}", addresses.grpc));
            }
            if let Err(error) = http {
                notes.add(format!("the receiver of spans at {} stopped: {error}", addresses.http));
            }
        };
        tokio::select! {
            () = both => {}
            () = async { stop.cancelled().await; tokio::time::sleep(CLOSE).await } => {}
        }
    }
}

impl Inbox {
    pub fn new(server: &'static Server, sink: impl Into<Sink<Ingested>>, notes: Notes) -> Self {
        Self {
            server,
            sink: sink.into(),
            notes,
            seen: Mutex::default(),
            changed: Condvar::new(),
            pass_on: OnceLock::new(),
            n_spans: AtomicU64::new(0),
            n_rejected_spans: AtomicU64::new(0),
            n_exports: AtomicU64::new(0),
            n_grpc_calls: AtomicU64::new(0),
            n_grpc_decoded: AtomicU64::new(0),
            n_bad_http: AtomicU64::new(0),
        }
    }

    /// Waits until `enough` says so of the request spans received, or `max_wait` is over. `true` if
    /// there were enough.
    pub fn wait(&self, max_wait: Duration, mut enough: impl FnMut(&SpansSeen) -> bool) -> bool {
        let deadline = Instant::now() + max_wait;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if enough(&seen) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            seen = self.changed.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// What was received and refused.
    pub fn report(&self, addresses: OtlpAddresses) -> SourceReport {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let bad_exports = get(&self.n_grpc_calls) - get(&self.n_grpc_decoded) + get(&self.n_bad_http);
        let (spans, rejected) = (get(&self.n_spans), get(&self.n_rejected_spans));
        let n_request_spans = self.seen.lock().unwrap_or_else(PoisonError::into_inner).n_request_spans;
        if bad_exports > 0 {
            self.notes.add(format!("{bad_exports} payloads sent to the receiver of spans could not be read"));
        }
        SourceReport {
            kind: "otlp".to_owned(),
            source: format!("{} (gRPC), {} (HTTP)", addresses.grpc, addresses.http),
            seen: spans + rejected,
            parsed: spans,
            rejected,
            details: [
                ("exports", get(&self.n_exports)),
                ("bad_exports", bad_exports),
                ("request_spans", n_request_spans),
            ]
            .map(|(key, n)| (key.to_owned(), n))
            .into(),
        }
    }

    /// Hands on what comes from now on, whatever spans they are. Only the first one asked for gets them.
    pub fn pass_on(&self, to: PassOn) {
        let _ = self.pass_on.set(to);
    }

    fn take(&self, export: ExportTraceServiceRequest, via: &str) -> ExportTraceServiceResponse {
        if let Some(pass_on) = self.pass_on.get() {
            export.resource_spans.iter().cloned().for_each(pass_on);
        }
        let (rows, n_rejected) = rows(export.resource_spans, self.server, UnixNs::now(), via);
        self.n_exports.fetch_add(1, Ordering::Relaxed);
        self.n_spans.fetch_add(rows.len() as u64, Ordering::Relaxed);
        self.n_rejected_spans.fetch_add(n_rejected, Ordering::Relaxed);
        {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            for row in rows.iter().filter(|row| self.server.request_span.is_none_or(|name| name == row.name))
            {
                seen.n_request_spans += 1;
                seen.trace_ids.insert(row.trace_id.clone());
                seen.request_ids.extend(row.request_id.clone());
            }
        }
        for row in rows {
            // The writer is gone only when the program ends; there is nobody left to tell.
            self.sink.send(Ingested::Span(row));
        }
        self.changed.notify_all();
        let partial = (n_rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: i64::try_from(n_rejected).unwrap_or(i64::MAX),
            error_message: "spans need a trace id of 16 and a span id of 8 bytes".to_owned(),
        });
        ExportTraceServiceResponse { partial_success: partial }
    }
}

#[tonic::async_trait]
impl TraceService for Inbox {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.n_grpc_decoded.fetch_add(1, Ordering::Relaxed);
        Ok(tonic::Response::new(self.take(request.into_inner(), "grpc")))
    }
}

async fn http_export(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> Response {
    match decode(&headers, &body) {
        Ok(export) => {
            let reply = inbox.take(export, "http");
            ([(header::CONTENT_TYPE, PROTOBUF)], reply.encode_to_vec()).into_response()
        }
        Err((status, why)) => {
            inbox.n_bad_http.fetch_add(1, Ordering::Relaxed);
            (status, why).into_response()
        }
    }
}

async fn no_such_path(uri: axum::http::Uri) -> Response {
    (StatusCode::NOT_FOUND, format!("nothing is received at {}: spans go to /v1/traces\n", uri.path()))
        .into_response()
}

type Refusal = (StatusCode, String);

fn decode(headers: &HeaderMap, body: &[u8]) -> Result<ExportTraceServiceRequest, Refusal> {
    let value = |name| {
        headers
            .get(name)
            .and_then(|value: &header::HeaderValue| value.to_str().ok())
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase()
    };
    let content_type = value(header::CONTENT_TYPE);
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    if content_type != PROTOBUF && content_type != "application/protobuf" {
        return Err((
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("expected content type {PROTOBUF}, found `{content_type}`; hint: {JSON_HINT}\n"),
        ));
    }
    let unpacked;
    let message = match value(header::CONTENT_ENCODING).as_str() {
        "" | "identity" => body,
        "gzip" => {
            unpacked = gunzip(body)?;
            &unpacked
        }
        other => {
            return Err((
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("expected content encoding gzip or none, found `{other}`\n"),
            ));
        }
    };
    ExportTraceServiceRequest::decode(message).map_err(|error| {
        (
            StatusCode::BAD_REQUEST,
            format!(
                "expected an ExportTraceServiceRequest, found {} bytes that are none: {error}\n",
                message.len()
            ),
        )
    })
}

/// Unpacks at most [`MAX_EXPORT_BYTES`]: a small body must not become a large one.
fn gunzip(body: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut out = Vec::new();
    let read = MultiGzDecoder::new(body).take(MAX_EXPORT_BYTES as u64 + 1).read_to_end(&mut out);
    read.map_err(|error| {
        (
            StatusCode::BAD_REQUEST,
            format!("expected a gzip body, found one that cannot be unpacked: {error}\n"),
        )
    })?;
    if out.len() > MAX_EXPORT_BYTES {
        return Err((
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body unpacks to more than {} MiB\n", MAX_EXPORT_BYTES >> 20),
        ));
    }
    Ok(out)
}
