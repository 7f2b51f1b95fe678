//! Exports spans in batches over OTLP/HTTP (protobuf), like the OpenTelemetry SDK's batch processor:
//! every so often, or when a batch is full; what does not fit into the queue is dropped. Whatever is
//! left is sent at the end. This file must not know what a span says.

use std::time::Duration;

use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::log::Log;
use super::trace;

const QUEUE: usize = 2048;
const BATCH: usize = 512;
const ATTEMPTS: u32 = 3;

/// Where finished spans go; the exporting task ends when the last handle is gone.
#[derive(Clone)]
pub struct Spans {
    queue: Sender<Span>,
    log: Log,
}

impl Spans {
    /// Starts exporting to `endpoint` (`http://host:port`, or the whole URL of the traces path).
    pub fn start(
        endpoint: &str,
        delay: Duration,
        resource: Resource,
        log: Log,
    ) -> Result<(Self, JoinHandle<()>)> {
        let exporter = Exporter {
            url: url(endpoint),
            // Only ever a receiver the user named; never a proxy from the environment.
            client: reqwest::Client::builder()
                .no_proxy()
                .tls_built_in_root_certs(false)
                .timeout(Duration::from_secs(10))
                .build()
                .context("cannot set up the span exporter")?,
            resource,
            log: log.clone(),
        };
        let (queue, spans) = channel(QUEUE);
        let task = tokio::spawn(exporter.run(spans, delay));
        Ok((Self { queue, log }, task))
    }

    pub fn export(&self, span: Span) {
        if let Err(TrySendError::Full(_)) = self.queue.try_send(span) {
            self.log.warning("__init__.py:203", "Queue full, dropping span.");
        }
    }
}

struct Exporter {
    url: String,
    client: reqwest::Client,
    resource: Resource,
    log: Log,
}

impl Exporter {
    async fn run(self, mut spans: Receiver<Span>, delay: Duration) {
        while let Some(first) = spans.recv().await {
            let due = Instant::now() + delay;
            let mut batch = vec![first];
            while batch.len() < BATCH {
                match timeout_at(due, spans.recv()).await {
                    Ok(Some(span)) => batch.push(span),
                    Ok(None) | Err(_) => break,
                }
            }
            self.send(batch).await;
        }
    }

    async fn send(&self, spans: Vec<Span>) {
        let count = spans.len();
        let resource_spans = vec![trace::resource_spans(self.resource.clone(), spans)];
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let mut pause = Duration::from_millis(100);
        for attempt in 1..=ATTEMPTS {
            let Err(reason) = self.post(body.clone()).await else {
                return;
            };
            if attempt < ATTEMPTS {
                tokio::time::sleep(pause).await;
                pause *= 4;
            } else {
                let message = format!("Failed to export span batch: {reason:#}; {count} spans dropped");
                self.log.error("__init__.py:229", &message);
            }
        }
    }

    async fn post(&self, body: Vec<u8>) -> Result<()> {
        let request = self.client.post(&self.url).header("content-type", "application/x-protobuf").body(body);
        request.send().await?.error_for_status()?;
        Ok(())
    }
}

fn url(endpoint: &str) -> String {
    let endpoint = endpoint.trim_end_matches('/');
    if endpoint.ends_with("/v1/traces") { endpoint.to_owned() } else { format!("{endpoint}/v1/traces") }
}

#[cfg(test)]
mod tests {
    use super::url;

    #[test]
    fn the_traces_path_is_added_once() {
        for endpoint in ["http://127.0.0.1:4318", "http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"]
        {
            assert_eq!(url(endpoint), "http://127.0.0.1:4318/v1/traces");
        }
    }
}
