//! Where batches of spans go: a collector, over OTLP/HTTP in protobuf, or a file, a line of OTLP JSON for each batch. A
//! batch that a collector could not take just now is sent again, as the specification has it
//! (<https://opentelemetry.io/docs/specs/otlp/>). This file must not know what a span says.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use tokio::runtime::Runtime;

use super::json;
use crate::config::{SpanExport, SpanTarget};
use crate::error::{Explain, usage};
use crate::server::trust::Trust;

/// Waited before a second try; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How soon a pause ends when the run does.
const SLICE: Duration = Duration::from_millis(50);
/// How long it is asked before the load whether anybody is there.
const PROBE: Duration = Duration::from_secs(3);
/// An answer is a few bytes; of a longer one, nothing is read.
const MAX_ANSWER_BYTES: u64 = 64 << 10;
/// Of what a collector says.
const MAX_WHY_CHARS: usize = 200;

/// A collector or a file.
pub(super) enum Sink {
    Collector(Box<Collector>),
    File { file: File, path: PathBuf },
}

/// What became of a batch that arrived.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Taken {
    /// Spans of it that were refused, and why.
    pub(super) rejected: u64,
    pub(super) why: Option<String>,
}

pub(super) struct Collector {
    client: Client,
    runtime: Runtime,
    url: String,
    gzip: bool,
}

impl Sink {
    pub(super) fn open(asked: &SpanExport) -> anyhow::Result<Self> {
        match &asked.to {
            SpanTarget::Url(url) => Ok(Self::Collector(Box::new(Collector::new(url, asked)?))),
            SpanTarget::File(path) => {
                let file = File::options().create(true).append(true).open(path);
                let file = file.or_usage(format!("cannot write client spans to {}", path.display()));
                Ok(Self::File {
                    file: file
                        .hint("--export-spans takes a URL, such as http://127.0.0.1:4318, or a file")?,
                    path: path.clone(),
                })
            }
        }
    }

    /// As people are told; a collector's headers are not in it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Collector(collector) => collector.url.clone(),
            Self::File { path, .. } => path.display().to_string(),
        }
    }

    /// Whether anybody is there that takes spans: an export without any is one.
    pub(super) fn probe(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Collector(collector) => {
                let empty = ExportTraceServiceRequest { resource_spans: Vec::new() };
                let body = collector.packed(empty.encode_to_vec());
                collector.post(body, Instant::now() + PROBE).map(|_| ()).map_err(|refusal| refusal.why)
            }
            Self::File { .. } => Ok(()),
        }
    }

    /// Sends one batch, again while that may help and `until` is not over.
    pub(super) fn send(
        &mut self,
        spans: ResourceSpans,
        until: &dyn Fn() -> Instant,
    ) -> anyhow::Result<Taken> {
        match self {
            Self::Collector(collector) => collector.send(spans, until),
            Self::File { file, .. } => {
                let mut line = serde_json::to_vec(&json::export(&spans))?;
                line.push(b'\n');
                // One write, so that no reader meets half of it.
                file.write_all(&line)?;
                Ok(Taken::default())
            }
        }
    }
}

/// A batch that was not taken.
struct Refusal {
    why: anyhow::Error,
    again: Again,
}

/// Whether a batch that was not taken may be taken later.
enum Again {
    Never,
    Later,
    /// As the collector says.
    After(Duration),
}

impl Collector {
    fn new(url: &str, asked: &SpanExport) -> anyhow::Result<Self> {
        let mut headers = HeaderMap::new();
        for (name, value) in &asked.headers {
            let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
                return Err(usage(format!("`{}` is no header that can be sent", name.escape_debug())).into());
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        let builder = Client::builder()
            .no_proxy()
            // Headers are for the collector that was named, and for no other.
            .redirect(Policy::none())
            .timeout(Duration::from_secs_f64(asked.timeout_s))
            .user_agent(concat!("tare/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers);
        let trust = Trust { ca_cert: asked.ca_cert.clone(), insecure: false };
        let client = trust.applied(url, builder)?.build().or_usage("client spans cannot be exported")?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { client, runtime, url: url.to_owned(), gzip: asked.gzip })
    }

    fn send(&self, spans: ResourceSpans, until: &dyn Fn() -> Instant) -> anyhow::Result<Taken> {
        let body = self.packed(ExportTraceServiceRequest { resource_spans: vec![spans] }.encode_to_vec());
        let mut pause = FIRST_PAUSE;
        loop {
            let refusal = match self.post(body.clone(), until()) {
                Ok(taken) => return Ok(taken),
                Err(refusal) => refusal,
            };
            let wait = match refusal.again {
                Again::Never => return Err(refusal.why),
                Again::Later => pause,
                Again::After(asked_for) => asked_for.min(LONGEST_PAUSE),
            };
            let resume = Instant::now() + wait;
            while Instant::now() < resume {
                if resume > until() {
                    return Err(refusal.why);
                }
                std::thread::sleep(SLICE.min(resume.saturating_duration_since(Instant::now())));
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn packed(&self, body: Vec<u8>) -> Vec<u8> {
        if !self.gzip {
            return body;
        }
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory does not fail.
        let _ = encoder.write_all(&body);
        encoder.finish().unwrap_or_default()
    }

    fn post(&self, body: Vec<u8>, until: Instant) -> Result<Taken, Refusal> {
        let mut request =
            self.client.post(&self.url).header(CONTENT_TYPE, "application/x-protobuf").body(body);
        if self.gzip {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let answered = async {
            let response = request.send().await?;
            let (status, headers) = (response.status(), response.headers().clone());
            let short = response.content_length().is_none_or(|length| length <= MAX_ANSWER_BYTES);
            let body =
                if status.is_success() && short { response.bytes().await? } else { bytes::Bytes::new() };
            Ok::<_, reqwest::Error>((status, headers, body))
        };
        let answered = self.runtime.block_on(async { tokio::time::timeout_at(until.into(), answered).await });
        let (status, headers, body) = match answered {
            Ok(Ok(answered)) => answered,
            Ok(Err(error)) => {
                // Its own words repeat the URL; what lies beneath says what happened.
                let why = anyhow::Error::new(error.without_url());
                return Err(Refusal { why, again: Again::Later });
            }
            Err(_) => return Err(Refusal { why: anyhow::anyhow!("no answer in time"), again: Again::Later }),
        };
        if status.is_success() {
            // An answer that is none is no reason to send spans twice.
            let partial = ExportTraceServiceResponse::decode(body).unwrap_or_default().partial_success;
            return Ok(partial.map_or_else(Taken::default, |partial| Taken {
                rejected: u64::try_from(partial.rejected_spans).unwrap_or(0),
                why: (!partial.error_message.is_empty())
                    .then(|| partial.error_message.chars().take(MAX_WHY_CHARS).collect()),
            }));
        }
        let after: Option<u64> = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        let again = match status.as_u16() {
            429 | 502 | 503 | 504 => after.map_or(Again::Later, |s| Again::After(Duration::from_secs(s))),
            _ => Again::Never,
        };
        let why = anyhow::anyhow!("it answers {}{}", status.as_u16(), in_words(status));
        Err(Refusal { why, again })
    }
}

/// What a status usually means here.
fn in_words(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 | 415 => ": it does not read OTLP in protobuf",
        401 | 403 => ": it wants other headers (--export-spans-header, OTEL_EXPORTER_OTLP_HEADERS)",
        404 | 405 => {
            ": nothing takes OTLP traces at this path; is this the collector's HTTP port, usually 4318?"
        }
        413 => ": the batch is too large for it",
        300..=399 => ": redirects are not followed; name the place itself",
        _ => "",
    }
}
