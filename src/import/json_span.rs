//! JSON → the parts of an OTLP span, so that a span from a file becomes a row by the same rules as
//! one that was received. It must not know any file's layout.

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use serde_json::{Map, Value};

use super::instants;
use crate::clock::UnixNs;
use crate::ingest::span;
use crate::record::SpanRow;
use crate::server::Server;

/// What `via` says of a span that came out of a file which does not tell how it had been received.
pub(super) const FILE: &str = "file";

/// One span's row. Where the file does not tell when it was received, its end is taken.
pub(super) fn row(
    span: Span,
    resource: Vec<KeyValue>,
    server: &Server,
    received: Option<UnixNs>,
    via: &str,
) -> Result<SpanRow, String> {
    let end = i64::try_from(span.end_time_unix_nano).map(UnixNs).unwrap_or_default();
    if let Ok(start) = i64::try_from(span.start_time_unix_nano)
        && start > 0
    {
        instants::unix_ns(start).map_err(|error| format!("its start: {error}"))?;
    }
    let export = ResourceSpans {
        resource: Some(Resource { attributes: resource, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    };
    let (mut rows, _) = span::rows(vec![export], server, received.unwrap_or(end), via);
    rows.pop().ok_or_else(|| "expected a trace id of 32 and a span id of 16 hex digits, and times".to_owned())
}

/// Attributes as plain JSON: `{"key": value}`.
pub(super) fn plain(object: &Map<String, Value>) -> Vec<KeyValue> {
    object.iter().map(|(key, value)| pair(key, plain_value(value))).collect()
}

/// Attributes as OTLP writes them in JSON: `[{"key": …, "value": {"stringValue": …}}]`.
pub(super) fn tagged(list: Option<&Value>) -> Vec<KeyValue> {
    let pairs = list.and_then(Value::as_array).into_iter().flatten();
    pairs
        .filter_map(|entry| Some(pair(entry.get("key")?.as_str()?, tagged_value(entry.get("value")?))))
        .collect()
}

/// Bytes from pairs of hex digits; of anything else, none.
pub(super) fn hex(value: Option<&Value>) -> Vec<u8> {
    let text = value.and_then(Value::as_str).filter(|text| text.len().is_multiple_of(2)).unwrap_or_default();
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect();
    let bytes = |digits: Vec<u8>| {
        digits
            .chunks(2)
            .filter_map(|pair| match pair {
                [high, low] => Some(high << 4 | low),
                _ => None,
            })
            .collect()
    };
    digits.map(bytes).unwrap_or_default()
}

/// Nanoseconds, as a number or (so that no reader rounds it) as text.
pub(super) fn nanoseconds(value: Option<&Value>) -> u64 {
    match value {
        Some(Value::String(text)) => text.parse().unwrap_or(0),
        Some(value) => value.as_u64().unwrap_or(0),
        None => 0,
    }
}

fn pair(key: &str, value: Option<Any>) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value }), ..KeyValue::default() }
}

fn any(value: Option<Any>) -> AnyValue {
    AnyValue { value }
}

fn plain_value(value: &Value) -> Option<Any> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(yes) => Any::BoolValue(*yes),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Any::IntValue(whole),
            None => Any::DoubleValue(number.as_f64()?),
        },
        Value::String(text) => Any::StringValue(text.clone()),
        Value::Array(items) => {
            Any::ArrayValue(ArrayValue { values: items.iter().map(|item| any(plain_value(item))).collect() })
        }
        Value::Object(object) => Any::KvlistValue(KeyValueList { values: plain(object) }),
    })
}

fn tagged_value(value: &Value) -> Option<Any> {
    let (kind, value) = value.as_object()?.iter().next()?;
    let number = || value.as_f64().or_else(|| value.as_str()?.parse().ok());
    Some(match kind.as_str() {
        "boolValue" => Any::BoolValue(value.as_bool()?),
        "intValue" => Any::IntValue(value.as_i64().or_else(|| value.as_str()?.parse().ok())?),
        "doubleValue" => Any::DoubleValue(number()?),
        "arrayValue" => {
            let items = value.get("values").and_then(Value::as_array).into_iter().flatten();
            Any::ArrayValue(ArrayValue { values: items.map(|item| any(tagged_value(item))).collect() })
        }
        "kvlistValue" => Any::KvlistValue(KeyValueList { values: tagged(value.get("values")) }),
        // Text; bytes stay in the base64 that they are written in.
        _ => Any::StringValue(value.as_str()?.to_owned()),
    })
}
