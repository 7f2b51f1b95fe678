//! Spans as OTLP writes them in JSON, as the OpenTelemetry collector's file exporter does: ids in hex, 64-bit numbers as
//! text, what is empty left out (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>). Pure; this file
//! must not know what an attribute means.

use std::fmt::Write as _;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use serde_json::{Map, Value, json};

/// One export: what a line of the file holds.
pub(super) fn export(spans: &ResourceSpans) -> Value {
    let resource = spans.resource.as_ref().map(|resource| object([attributes(&resource.attributes)]));
    let scopes: Vec<Value> = spans.scope_spans.iter().map(scope).collect();
    json!({ "resourceSpans": [{ "resource": resource, "scopeSpans": scopes }] })
}

fn scope(of_scope: &ScopeSpans) -> Value {
    let spans: Vec<Value> = of_scope.spans.iter().map(span).collect();
    let scope = of_scope.scope.as_ref();
    let named = scope.map(|scope| object([text("name", &scope.name), text("version", &scope.version)]));
    json!({ "scope": named, "spans": spans })
}

fn span(span: &Span) -> Value {
    let events: Vec<Value> = span.events.iter().map(event).collect();
    object([
        text("traceId", &hex(&span.trace_id)),
        text("spanId", &hex(&span.span_id)),
        text("parentSpanId", &hex(&span.parent_span_id)),
        number("flags", span.flags.into()),
        text("name", &span.name),
        number("kind", span.kind.into()),
        text("startTimeUnixNano", &span.start_time_unix_nano.to_string()),
        text("endTimeUnixNano", &span.end_time_unix_nano.to_string()),
        attributes(&span.attributes),
        (!events.is_empty()).then(|| ("events", Value::Array(events))),
        Some(("status", span.status.as_ref().map_or_else(|| json!({}), status))),
    ])
}

fn event(event: &Event) -> Value {
    object([
        text("timeUnixNano", &event.time_unix_nano.to_string()),
        text("name", &event.name),
        attributes(&event.attributes),
    ])
}

fn status(status: &Status) -> Value {
    object([text("message", &status.message), number("code", status.code.into())])
}

type Field = Option<(&'static str, Value)>;

fn object<const N: usize>(fields: [Field; N]) -> Value {
    let fields: Map<String, Value> =
        fields.into_iter().flatten().map(|(key, value)| (key.to_owned(), value)).collect();
    Value::Object(fields)
}

fn text(key: &'static str, text: &str) -> Field {
    (!text.is_empty()).then(|| (key, Value::from(text)))
}

fn number(key: &'static str, number: i64) -> Field {
    (number != 0).then(|| (key, Value::from(number)))
}

fn attributes(pairs: &[KeyValue]) -> Field {
    let list: Vec<Value> =
        pairs.iter().map(|pair| json!({ "key": pair.key, "value": any(pair.value.as_ref()) })).collect();
    (!list.is_empty()).then(|| ("attributes", Value::Array(list)))
}

fn any(value: Option<&AnyValue>) -> Value {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => json!({ "stringValue": text }),
        Some(Any::BoolValue(yes)) => json!({ "boolValue": yes }),
        Some(Any::IntValue(number)) => json!({ "intValue": number.to_string() }),
        Some(Any::DoubleValue(number)) => json!({ "doubleValue": number }),
        Some(Any::ArrayValue(list)) => {
            let values: Vec<Value> = list.values.iter().map(|value| any(Some(value))).collect();
            json!({ "arrayValue": { "values": values } })
        }
        // Of the other kinds there are none in what is exported.
        Some(_) | None => json!({}),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}
