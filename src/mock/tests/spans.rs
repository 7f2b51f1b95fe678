//! Spans as an OTLP/HTTP receiver gets them, against the truth of the requests they belong to.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::client::{Client, post_bytes};
use super::harness::{Mock, chat_body, engine_series, fast, metric, with_faults};
use crate::config::Embedded;
use crate::mock::ServeOptions;
use crate::mock::truth::Outcome;

/// Takes every POST; the first `failures` get a 503. Returns where it listens, and the bodies.
pub async fn receiver(failures: u32) -> (String, UnboundedReceiver<ExportTraceServiceRequest>) {
    let (open, gate) = tokio::sync::oneshot::channel();
    open.send(()).unwrap();
    receiver_behind(gate, failures).await
}

/// As `receiver`, answering nobody before the gate is open.
async fn receiver_behind(
    gate: tokio::sync::oneshot::Receiver<()>,
    mut failures: u32,
) -> (String, UnboundedReceiver<ExportTraceServiceRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, bodies) = unbounded_channel();
    tokio::spawn(async move {
        let _ = gate.await;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = Vec::new();
            let body = loop {
                let text = String::from_utf8_lossy(&buffer).into_owned();
                if let Some(end) = text.find("\r\n\r\n") {
                    assert!(text.starts_with("POST /v1/traces HTTP/1.1"), "{text}");
                    assert!(text.to_lowercase().contains("content-type: application/x-protobuf"));
                    let end = buffer.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(end) + 4;
                    let length = text.to_lowercase();
                    let length = length.split("content-length: ").nth(1).unwrap();
                    let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
                    if buffer.len() >= end + length {
                        break buffer[end..end + length].to_vec();
                    }
                }
                if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                    break Vec::new();
                }
            };
            let status = if failures > 0 { "503 Service Unavailable" } else { "200 OK" };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            if failures > 0 {
                failures -= 1;
            } else {
                sender.send(ExportTraceServiceRequest::decode(body.as_slice()).unwrap()).unwrap();
            }
        }
    });
    (endpoint, bodies)
}

pub async fn traced(endpoint: &str, embedded: Embedded) -> Mock {
    let otlp_delay = std::time::Duration::from_millis(20);
    let options = ServeOptions {
        embedded,
        otlp_endpoint: Some(endpoint.to_owned()),
        otlp_delay,
        ..ServeOptions::default()
    };
    Mock::with_options(options).await
}

/// Every span that has come by now.
pub fn spans(bodies: &mut UnboundedReceiver<ExportTraceServiceRequest>) -> Vec<Span> {
    let mut spans = Vec::new();
    while let Ok(body) = bodies.try_recv() {
        for resource in body.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            assert!(attributes.iter().any(|a| a.key == "service.name"));
            for scope in resource.scope_spans {
                assert_eq!(scope.scope.unwrap().name, "vllm.tracing.otel");
                spans.extend(scope.spans);
            }
        }
    }
    spans
}

/// Which request a span is of.
pub fn id(span: &Span) -> String {
    match attribute(span, "gen_ai.request.id") {
        Some(Value::StringValue(id)) => id.clone(),
        other => panic!("{other:?}"),
    }
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|a| a.key == key)?.value.as_ref()?.value.as_ref()
}

pub fn float(span: &Span, key: &str) -> f64 {
    match attribute(span, key) {
        Some(Value::DoubleValue(value)) => *value,
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test]
async fn spans_say_to_the_bit_what_the_metrics_observed() {
    let (endpoint, mut bodies) = receiver(0).await;
    let mock = traced(&endpoint, fast()).await;
    for i in 0..6 {
        let traceparent = format!("00-{i:032x}-{:016x}-01", i + 1);
        let headers = [("x-request-id", format!("s{i}")), ("traceparent", traceparent)];
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
        mock.post("/v1/chat/completions", &headers, &chat_body("hello span", 3 + i)).await;
    }
    let page = mock.get("/metrics").await.text();
    let rows = mock.stop().await;
    let spans = spans(&mut bodies);
    assert_eq!(spans.len(), 6);
    for (row, span) in rows.iter().zip(&spans) {
        assert_eq!(attribute(span, "gen_ai.request.id"), Some(&Value::StringValue(row.request_id.clone())));
        assert_eq!(span.start_time_unix_nano, row.arrival_unix_ns.unwrap().0 as u64);
        assert_eq!((span.name.as_str(), span.kind), ("llm_request", 2));
        for (key, value) in [
            ("gen_ai.latency.time_to_first_token", row.ttft_s),
            ("gen_ai.latency.e2e", row.e2e_s),
            ("gen_ai.latency.time_in_queue", row.queue_s),
            ("gen_ai.latency.time_in_model_prefill", row.prefill_s),
            ("gen_ai.latency.time_in_model_decode", row.decode_s),
        ] {
            assert_eq!(Some(float(span, key).to_bits()), value.map(f64::to_bits), "{key}");
        }
        let tokens = Value::IntValue(i64::from(row.output_tokens));
        assert_eq!(attribute(span, "gen_ai.usage.completion_tokens"), Some(&tokens));
    }
    // The all-zero trace id of the first one is invalid, so it began a trace of its own.
    assert!(spans[0].parent_span_id.is_empty() && spans[0].flags == 0x100);
    assert_eq!(spans[3].trace_id[15], 3);
    assert_eq!((spans[3].parent_span_id[7], spans[3].flags), (4, 0x300));
    let sum: f64 = spans.iter().map(|s| float(s, "gen_ai.latency.e2e")).sum();
    let seen = metric(&page, &engine_series("e2e_request_latency_seconds_sum"));
    assert!((sum - seen).abs() <= 1e-12 * seen);
}

#[tokio::test]
async fn unsampled_lost_and_aborted_requests_have_no_span() {
    let (endpoint, mut bodies) = receiver(0).await;
    let mock = traced(&endpoint, with_faults(&["span_loss at_request=2"])).await;
    let unsampled = [("traceparent", "00-6513270e269e0d37f2a74de452e6b438-0c5c7fd0a6a3a450-00")];
    mock.post("/v1/chat/completions", &unsampled, &chat_body("a", 2)).await;
    mock.chat("lost", "b", 2).await;
    mock.chat("kept", "c", 2).await;
    let rows = mock.stop().await;
    assert_eq!(rows[1].faults, ["span_loss"]);
    let spans = spans(&mut bodies);
    assert_eq!(spans.len(), 1);
    assert_eq!(id(&spans[0]), "chatcmpl-kept");
}

#[tokio::test]
async fn refused_and_aborted_requests_have_no_span() {
    let (endpoint, mut bodies) = receiver(0).await;
    let mock = traced(&endpoint, fast()).await;
    let unknown = mock.post("/v1/chat/completions", &[], r#"{"model":"nope","messages":[]}"#).await;
    let broken = mock.post("/v1/chat/completions", &[], "{").await;
    assert_eq!((unknown.status, broken.status), (404, 400));
    let mut leaver = Client::connect(mock.address).await;
    leaver.send(&post_bytes("/v1/chat/completions", &[], &chat_body("bye", 1500))).await;
    leaver.until_event("\"content\":").await;
    drop(leaver);
    mock.until_metric(&engine_series("num_requests_running"), 0.0).await;
    mock.chat("whole", "a", 2).await;
    let rows = mock.stop().await;
    assert_eq!(rows[2].outcome, Outcome::Aborted);
    let spans = spans(&mut bodies);
    assert_eq!(spans.iter().map(id).collect::<Vec<_>>(), ["chatcmpl-whole"]);
}

#[tokio::test]
async fn a_share_of_the_spans_is_lost_and_the_truth_says_which() {
    let (endpoint, mut bodies) = receiver(0).await;
    let mock = traced(&endpoint, with_faults(&["span_loss share=0.3"])).await;
    for i in 0..40 {
        mock.chat(&format!("share-{i}"), "a", 1).await;
    }
    let rows = mock.stop().await;
    let mut found: Vec<String> = spans(&mut bodies).iter().map(id).collect();
    let mut kept: Vec<String> =
        rows.iter().filter(|row| row.faults.is_empty()).map(|row| row.request_id.clone()).collect();
    found.sort();
    kept.sort();
    assert_eq!(found, kept);
    // The draws are the same in every run: 12 are expected, with a standard deviation of 2.9.
    assert!((3..22).contains(&(40 - kept.len())), "{} lost", 40 - kept.len());
}

#[tokio::test]
async fn a_full_queue_drops_the_oldest() {
    let (release, gate) = tokio::sync::oneshot::channel();
    let (endpoint, mut bodies) = receiver_behind(gate, 0).await;
    let mock = traced(&endpoint, with_faults(&["span_queue=3", "span_delay_ms=600000"])).await;
    // The first batch is on its way, and held up there; after it the queue is empty.
    for i in 0..3 {
        mock.chat(&format!("held-{i}"), "a", 1).await;
    }
    let log = mock.log.clone();
    // A span that finds the batch not yet taken would push one of them out.
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    for i in 0..8 {
        mock.chat(&format!("more-{i}"), "a", 1).await;
    }
    release.send(()).unwrap();
    mock.stop().await;
    let found: Vec<String> = spans(&mut bodies).iter().map(id).collect();
    let dropped = log.text().matches("Queue full, dropping Span.").count();
    assert_eq!((dropped, found.len()), (5, 6), "{found:?}");
    assert_eq!(found[3..], ["chatcmpl-more-5", "chatcmpl-more-6", "chatcmpl-more-7"]);
}

#[tokio::test]
async fn a_receiver_that_fails_once_gets_the_batch_again() {
    let (endpoint, mut bodies) = receiver(1).await;
    let mock = traced(&endpoint, fast()).await;
    mock.chat("again", "a", 2).await;
    mock.stop().await;
    assert_eq!(spans(&mut bodies).len(), 1);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_said_in_the_log() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let mock = traced(&endpoint, fast()).await;
    mock.chat("a", "a", 2).await;
    let log = mock.log.clone();
    mock.stop().await;
    assert!(log.text().contains("Failed to export span batch: "), "{}", log.text());
    assert!(log.text().contains("; 1 spans dropped"));
}

#[tokio::test]
async fn without_spans_nothing_is_exported() {
    let (endpoint, mut bodies) = receiver(0).await;
    let mock = traced(&endpoint, Embedded { spans: false, ..fast() }).await;
    mock.chat("a", "a", 2).await;
    mock.stop().await;
    assert!(spans(&mut bodies).is_empty());
}
