//! Spans as OTLP writes them in JSON, as the OpenTelemetry collector's file exporter does: ids in hex, 64-bit numbers as
//! text, what is empty left out (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>). Pure; this file
//! must not know what an attribute means.

use std::fmt::Write as _;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
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
    let links: Vec<Value> = span.links.iter().map(link).collect();
    object([
        text("traceState", &span.trace_state),
        text("traceId", &hex(&span.trace_id)),
        text("spanId", &hex(&span.span_id)),
        text("parentSpanId", &hex(&span.parent_span_id)),
        number("flags", span.flags.into()),
        text("name", &span.name),
        number("kind", span.kind.into()),
        text("startTimeUnixNano", &span.start_time_unix_nano.to_string()),
        text("endTimeUnixNano", &span.end_time_unix_nano.to_string()),
        attributes(&span.attributes),
        listed("events", events),
        listed("links", links),
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

fn link(link: &Link) -> Value {
    object([
        text("traceId", &hex(&link.trace_id)),
        text("spanId", &hex(&link.span_id)),
        text("traceState", &link.trace_state),
        number("flags", link.flags.into()),
        attributes(&link.attributes),
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

fn listed(key: &'static str, list: Vec<Value>) -> Field {
    if list.is_empty() { None } else { Some((key, Value::Array(list))) }
}

fn attributes(pairs: &[KeyValue]) -> Field {
    listed("attributes", pairs.iter().map(pair).collect())
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
        Some(Any::KvlistValue(map)) => {
            let values: Vec<Value> = map.values.iter().map(pair).collect();
            json!({ "kvlistValue": { "values": values } })
        }
        Some(Any::BytesValue(bytes)) => json!({ "bytesValue": base64(bytes) }),
        // What is left is an index into a dictionary that spans do not carry.
        Some(_) | None => json!({}),
    }
}

fn pair(pair: &KeyValue) -> Value {
    json!({ "key": pair.key, "value": any(pair.value.as_ref()) })
}

/// As RFC 4648 has it, padded.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = (0..3).fold(0, |word, n| word << 8 | u32::from(three.get(n).copied().unwrap_or(0)));
        for n in 0..4 {
            let letter = LETTERS.get((word >> (18 - 6 * n) & 63) as usize).copied().unwrap_or(b'=');
            out.push(if n > three.len() { '=' } else { char::from(letter) });
        }
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::KeyValueList;

    use super::*;

    /// The values of RFC 4648, section 10.
    #[test]
    fn bytes_are_base64() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn spans_of_others_keep_every_kind_of_value() {
        let value = |value| AnyValue { value: Some(value) };
        let inner = KeyValue {
            key: "b".to_owned(),
            value: Some(value(Any::BytesValue(vec![1]))),
            ..KeyValue::default()
        };
        let map = value(Any::KvlistValue(KeyValueList { values: vec![inner] }));
        let shown = any(Some(&map)).to_string();
        assert_eq!(shown, r#"{"kvlistValue":{"values":[{"key":"b","value":{"bytesValue":"AQ=="}}]}}"#);
        assert_eq!(any(None).to_string(), "{}");
    }
}
