//! Exports spans in batches over OTLP/HTTP (protobuf), as the OpenTelemetry SDK's batch processor does:
//! every so often, or when a batch is full. Where more wait than the queue has room for, the oldest
//! are dropped. Whatever is left is sent at the end. This file must not know what a span says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::log::Log;
use super::trace;

/// Spans that may wait, unless told otherwise.
pub const QUEUE: usize = 2048;
const BATCH: usize = 512;
const ATTEMPTS: u32 = 3;

/// How often is exported, and how much may wait for it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    pub delay: Duration,
    /// Spans.
    pub queue: usize,
}

/// Where finished spans go; when it is dropped, the exporting task sends what is left and ends.
pub struct Spans {
    queue: Arc<Queue>,
    log: Log,
}

impl Spans {
    /// Starts exporting to `endpoint` (`http://host:port`, or the whole URL of the traces path).
    pub fn start(endpoint: &str, pace: Pace, resource: Resource, log: Log) -> Result<(Self, JoinHandle<()>)> {
        let queue = Arc::new(Queue {
            most: pace.queue,
            batch: BATCH.min(pace.queue),
            waiting: Mutex::default(),
            wake: Notify::new(),
        });
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
        // A delay of nothing would keep a processor busy with waiting.
        let delay = pace.delay.max(Duration::from_millis(1));
        let task = tokio::spawn(exporter.run(Arc::clone(&queue), delay));
        Ok((Self { queue, log }, task))
    }

    pub fn export(&self, span: Span) {
        if !self.queue.push(span) {
            self.log.warning("__init__.py:203", "Queue full, dropping Span.");
        }
    }
}

impl Drop for Spans {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.wake.notify_one();
    }
}

/// Spans between the request and the exporting task.
struct Queue {
    most: usize,
    batch: usize,
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    spans: VecDeque<Span>,
    closed: bool,
}

impl Queue {
    /// `false` if the oldest had to make room.
    fn push(&self, span: Span) -> bool {
        let mut waiting = self.lock();
        let room = waiting.spans.len() < self.most;
        if !room {
            waiting.spans.pop_front();
        }
        waiting.spans.push_back(span);
        if waiting.spans.len() >= self.batch {
            self.wake.notify_one();
        }
        room
    }

    /// The next batch, if a full one is there; less than that when asked for.
    fn take(&self, also_less: bool) -> Option<Vec<Span>> {
        let mut waiting = self.lock();
        let count = waiting.spans.len().min(self.batch);
        let due = count == self.batch || (also_less && count > 0);
        due.then(|| waiting.spans.drain(..count).collect())
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Exporter {
    url: String,
    client: reqwest::Client,
    resource: Resource,
    log: Log,
}

impl Exporter {
    async fn run(self, queue: Arc<Queue>, delay: Duration) {
        while !queue.is_closed() {
            let mut delay_is_over = timeout(delay, queue.wake.notified()).await.is_err();
            while let Some(batch) = queue.take(delay_is_over) {
                delay_is_over = false;
                self.send(batch).await;
            }
        }
        while let Some(batch) = queue.take(true) {
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
