//! Spans over both protocols, whole and broken.

use std::collections::HashSet;
use std::io::Write;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tare::config::{Observe, Otlp};
use tare::ingest::otlp::OtlpAddresses;
use tare::ingest::{Collector, IngestReport, Ingested};
use tare::record::SpanRow;
use tonic::codec::CompressionEncoding;

use crate::ingest_collector::{collect, observe};
use crate::support::{SOON, block_on};

fn receive() -> (Collector, Receiver<Ingested>, OtlpAddresses) {
    let otlp = Otlp { host: "127.0.0.1".to_owned(), grpc_port: 0, http_port: 0 };
    let (collector, rows) = collect(Observe { no_metrics: true, otlp: Some(otlp), ..observe() }, None);
    let addresses = collector.otlp_addresses().unwrap();
    (collector, rows, addresses)
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn span(name: &str, trace: u8) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![7; 8],
        parent_span_id: vec![9; 8],
        name: name.to_owned(),
        start_time_unix_nano: 1_000,
        end_time_unix_nano: 2_000,
        attributes: vec![
            attribute("gen_ai.request.id", Value::StringValue(format!("chatcmpl-{trace}"))),
            attribute("gen_ai.latency.e2e", Value::DoubleValue(0.25)),
        ],
        ..Span::default()
    }
}

fn export(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let of_scope = ScopeSpans { spans, ..ScopeSpans::default() };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { scope_spans: vec![of_scope], ..ResourceSpans::default() }],
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Posts a body and returns status and answer.
fn post(addresses: OtlpAddresses, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, Vec<u8>) {
    block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = client.post(format!("http://{}/v1/traces", addresses.http)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.bytes().await.unwrap().to_vec())
    })
}

fn spans(rows: &Receiver<Ingested>) -> Vec<SpanRow> {
    rows.try_iter()
        .map(|row| match row {
            Ingested::Span(row) => row,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn details(report: &IngestReport, key: &str) -> u64 {
    report.sources[0].details[key]
}

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");

#[test]
fn spans_come_over_grpc_plain_and_packed() {
    let (collector, rows, addresses) = receive();
    block_on(async {
        let mut client = TraceServiceClient::connect(format!("http://{}", addresses.grpc)).await.unwrap();
        let reply = client.export(export(vec![span("llm_request", 1), span("Load model", 2)])).await.unwrap();
        assert_eq!(reply.into_inner().partial_success, None);
        let mut packed = client.send_compressed(CompressionEncoding::Gzip);
        packed.export(export(vec![span("llm_request", 3)])).await.unwrap();
    });
    let report = collector.stop();
    let rows = spans(&rows);
    assert_eq!(
        rows.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(),
        ["llm_request", "Load model", "llm_request"]
    );
    let row = &rows[0];
    assert_eq!(
        (row.via.as_str(), row.request_id.as_deref(), row.e2e_s),
        ("grpc", Some("chatcmpl-1"), Some(0.25))
    );
    assert_eq!(
        (row.trace_id.as_str(), row.parent_span_id.as_deref()),
        ("01010101010101010101010101010101", Some("0909090909090909"))
    );
    assert_eq!((report.sources[0].seen, report.sources[0].rejected), (3, 0));
    assert_eq!(
        (details(&report, "exports"), details(&report, "request_spans"), details(&report, "bad_exports")),
        (2, 2, 0)
    );
}

#[test]
fn spans_come_over_http_plain_and_packed() {
    let (collector, rows, addresses) = receive();
    let body = export(vec![span("llm_request", 1)]).encode_to_vec();
    let (status, reply) = post(addresses, &[PROTOBUF], body.clone());
    assert_eq!(status, 200);
    assert_eq!(ExportTraceServiceResponse::decode(&reply[..]).unwrap().partial_success, None);
    assert_eq!(post(addresses, &[PROTOBUF, ("content-encoding", "gzip")], gzip(&body)).0, 200);
    let report = collector.stop();
    assert!(spans(&rows).iter().all(|row| row.via == "http" && row.name == "llm_request"));
    assert_eq!((report.sources[0].seen, details(&report, "exports")), (2, 2));
}

#[test]
fn what_is_no_export_is_refused_counted_and_ends_nothing() {
    let (collector, rows, addresses) = receive();
    let good = export(vec![span("llm_request", 1)]).encode_to_vec();
    let refused = |headers: &[(&str, &str)], body: &[u8]| {
        let (status, text) = post(addresses, headers, body.to_vec());
        format!("{status} {}", String::from_utf8(text).unwrap().trim_end())
    };
    insta::assert_snapshot!(refused(&[PROTOBUF], b"\xff\xff\xff"), @"400 expected an ExportTraceServiceRequest, found 3 bytes that are none: failed to decode Protobuf message: invalid varint");
    insta::assert_snapshot!(refused(&[("content-type", "application/json")], b"{}"), @"415 expected content type application/x-protobuf, found `application/json`; hint: send protobuf: set OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf (or grpc, on the other port)");
    insta::assert_snapshot!(refused(&[PROTOBUF, ("content-encoding", "gzip")], &good), @"400 expected a gzip body, found one that cannot be unpacked: invalid gzip header");
    insta::assert_snapshot!(refused(&[PROTOBUF, ("content-encoding", "br")], &good), @"415 expected content encoding gzip or none, found `br`");
    insta::assert_snapshot!(refused(&[PROTOBUF, ("content-encoding", "gzip")], &gzip(&vec![0; (4 << 20) + 1])), @"413 the body unpacks to more than 4 MiB");
    assert_eq!(post(addresses, &[PROTOBUF], good).0, 200);
    let report = collector.stop();
    assert_eq!(spans(&rows).len(), 1);
    assert_eq!(details(&report, "bad_exports"), 5);
    assert_eq!(report.notes, ["5 payloads sent to the receiver of spans could not be read"]);
}

#[test]
fn a_broken_grpc_payload_is_counted() {
    let (collector, rows, addresses) = receive();
    block_on(async {
        // Another service's message where spans are expected: its fields are of other types.
        let mut client = TraceServiceClient::connect(format!("http://{}", addresses.grpc)).await.unwrap();
        let mut raw = tonic::client::Grpc::new(
            tonic::transport::Endpoint::from_shared(format!("http://{}", addresses.grpc))
                .unwrap()
                .connect()
                .await
                .unwrap(),
        );
        raw.ready().await.unwrap();
        let path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export".parse().unwrap();
        let wrong = Span { trace_id: vec![0xff; 3], ..Span::default() };
        let codec = tonic_prost::ProstCodec::<Span, ExportTraceServiceResponse>::default();
        raw.unary(tonic::Request::new(wrong), path, codec).await.unwrap_err();
        client.export(export(vec![span("llm_request", 1)])).await.unwrap();
    });
    let report = collector.stop();
    assert_eq!((spans(&rows).len(), details(&report, "bad_exports"), details(&report, "exports")), (1, 1, 1));
}

#[test]
fn invalid_spans_are_rejected_one_by_one() {
    let (collector, rows, addresses) = receive();
    let broken = Span { trace_id: vec![1; 3], ..span("llm_request", 1) };
    let (status, reply) =
        post(addresses, &[PROTOBUF], export(vec![broken, span("llm_request", 2)]).encode_to_vec());
    assert_eq!(
        (
            status,
            ExportTraceServiceResponse::decode(&reply[..]).unwrap().partial_success.unwrap().rejected_spans
        ),
        (200, 1)
    );
    let report = collector.stop();
    assert_eq!((spans(&rows).len(), report.sources[0].seen, report.sources[0].rejected), (1, 2, 1));
}

#[test]
fn late_spans_are_waited_for() {
    let (collector, _rows, addresses) = receive();
    let wanted: HashSet<String> = [1_u8, 2].iter().map(|trace| format!("{trace:02x}").repeat(16)).collect();
    post(addresses, &[PROTOBUF], export(vec![span("llm_request", 1), span("Load model", 2)]).encode_to_vec());
    assert!(
        !collector.wait_spans(Duration::ZERO, |seen| wanted.is_subset(&seen.trace_ids)),
        "a start-up span is no request's"
    );
    let sender = std::thread::spawn(move || {
        post(addresses, &[PROTOBUF], export(vec![span("llm_request", 2)]).encode_to_vec())
    });
    assert!(collector.wait_spans(SOON, |seen| wanted.is_subset(&seen.trace_ids)
        && seen.request_ids.contains("chatcmpl-2")));
    sender.join().unwrap();
}

#[test]
fn other_paths_and_methods_are_told_where_spans_go() {
    let (_collector, _rows, addresses) = receive();
    block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.post(format!("http://{}/v1/metrics", addresses.http)).send().await.unwrap();
        assert_eq!(response.status(), 404);
        assert!(response.text().await.unwrap().contains("/v1/traces"));
        assert_eq!(
            client.get(format!("http://{}/v1/traces", addresses.http)).send().await.unwrap().status(),
            405
        );
    });
}
