//! Spans as OTLP writes them in JSON: `{"resourceSpans": […]}`, one export a line, as the OpenTelemetry
//! collector's file exporter does, or one document. It must not know what an attribute means.

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;

use super::input::{Reading, first_lines, json};
use super::json_span::{FILE, hex, nanoseconds, row, tagged};
use super::{Format, Of, Reads, Rows};
use crate::server::Server;

pub(super) const FORMAT: Format = Format {
    name: "otlp_json",
    of: Of::Spans,
    description: "OTLP in JSON, as the OpenTelemetry collector's file exporter writes it",
    reads: Reads::Text {
        recognises: |text| first_lines(text).any(|line| line.contains("\"resourceSpans\"")),
        read,
    },
};

fn read(text: &str, reading: &mut Reading<'_>) {
    // A document laid out over many lines is one export.
    if let Ok(export) = serde_json::from_str::<Value>(text) {
        return take(&export, "the document", reading);
    }
    for (line_no, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let place = format!("line {line_no}");
        match json::<Value>(line) {
            Ok(export) => take(&export, &place, reading),
            Err(why) => reading.count(&place, Err(why)),
        }
    }
}

fn take(export: &Value, place: &str, reading: &mut Reading<'_>) {
    let server = reading.server;
    let Some(of_resources) = export.get("resourceSpans").and_then(Value::as_array) else {
        return reading.count(place, Err("expected `resourceSpans`"));
    };
    for of_resource in of_resources {
        let resource = of_resource.get("resource").and_then(|resource| resource.get("attributes"));
        let scopes = list(of_resource, "scopeSpans").chain(list(of_resource, "instrumentationLibrarySpans"));
        for span in scopes.flat_map(|scope| list(scope, "spans")) {
            let taken = one(span, resource, server, &mut reading.rows);
            reading.count(place, taken);
        }
    }
}

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

fn one(span: &Value, resource: Option<&Value>, server: &Server, rows: &mut Rows) -> Result<(), String> {
    let parts = Span {
        trace_id: hex(span.get("traceId")),
        span_id: hex(span.get("spanId")),
        parent_span_id: hex(span.get("parentSpanId")),
        name: span.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
        start_time_unix_nano: nanoseconds(span.get("startTimeUnixNano")),
        end_time_unix_nano: nanoseconds(span.get("endTimeUnixNano")),
        attributes: tagged(span.get("attributes")),
        ..Span::default()
    };
    rows.spans.push(row(parts, tagged(resource), server, None, FILE)?);
    Ok(())
}
