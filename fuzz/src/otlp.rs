//! OTLP exports as they come over gRPC and HTTP.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tare::clock::UnixNs;
use tare::ingest::span;
use tare::server::SERVERS;

use super::survives;

/// Any bytes as an export: every span is a row or was rejected, by every server's table.
pub fn otlp(data: &[u8]) {
    let Ok(export) = ExportTraceServiceRequest::decode(data) else { return };
    let spans: usize =
        export.resource_spans.iter().flat_map(|of| &of.scope_spans).map(|scope| scope.spans.len()).sum();
    for server in SERVERS {
        let (rows, rejected) = span::rows(export.resource_spans.clone(), server, UnixNs(7), "http");
        assert_eq!(rows.len() as u64 + rejected, spans as u64);
        for row in &rows {
            assert!(row.trace_id.len() == 32 && row.span_id.len() == 16);
            survives(row);
        }
    }
}
