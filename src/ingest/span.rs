//! OTLP spans → rows: what the table in `server` knows goes into typed fields, everything else is
//! kept as text. Pure; this file must not know how spans arrive.

use std::collections::BTreeMap;
use std::fmt::Write;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};

use crate::clock::UnixNs;
use crate::record::SpanRow;
use crate::server::{Server, SpanField};

const SERVICE_NAME: &str = "service.name";
/// Attributes of the sender are kept under this prefix; those that only name its library are not.
const RESOURCE_PREFIX: &str = "resource.";
const LIBRARY_PREFIX: &str = "telemetry.sdk.";

/// Every span of an export as a row, and how many were no valid spans.
pub fn rows(export: Vec<ResourceSpans>, server: &Server, received: UnixNs, via: &str) -> (Vec<SpanRow>, u64) {
    let mut out = Vec::new();
    let mut n_rejected = 0;
    for of_resource in export {
        let sender = of_resource.resource.map(|resource| resource.attributes).unwrap_or_default();
        let service = sender
            .iter()
            .find(|pair| pair.key == SERVICE_NAME)
            .and_then(|pair| pair.value.as_ref())
            .map(text);
        let sender: Vec<(String, String)> = sender
            .iter()
            .filter(|pair| pair.key != SERVICE_NAME && !pair.key.starts_with(LIBRARY_PREFIX))
            .filter_map(|pair| Some((format!("{RESOURCE_PREFIX}{}", pair.key), text(pair.value.as_ref()?))))
            .collect();
        for span in of_resource.scope_spans.into_iter().flat_map(|of_scope| of_scope.spans) {
            match row(span, server, received, via, service.as_deref(), &sender) {
                Some(row) => out.push(row),
                None => n_rejected += 1,
            }
        }
    }
    (out, n_rejected)
}

/// `None` if its ids are not what OTLP promises: it could be joined with nothing.
fn row(
    span: Span,
    server: &Server,
    received: UnixNs,
    via: &str,
    service: Option<&str>,
    sender: &[(String, String)],
) -> Option<SpanRow> {
    let valid = |id: &[u8], bytes: usize| id.len() == bytes && id.iter().any(|byte| *byte != 0);
    if !valid(&span.trace_id, 16) || !valid(&span.span_id, 8) {
        return None;
    }
    let instant = |ns: u64| i64::try_from(ns).ok().map(UnixNs);
    let mut row = SpanRow {
        recv_unix_ns: received,
        via: via.to_owned(),
        service: service.map(str::to_owned),
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_span_id: (!span.parent_span_id.is_empty()).then(|| hex(&span.parent_span_id)),
        start_unix_ns: instant(span.start_time_unix_nano)?,
        end_unix_ns: instant(span.end_time_unix_nano)?,
        name: span.name,
        request_id: None,
        ttft_s: None,
        e2e_s: None,
        queue_s: None,
        prefill_s: None,
        decode_s: None,
        inference_s: None,
        input_tokens: None,
        output_tokens: None,
        attributes: sender.iter().cloned().collect(),
    };
    // In the table's order, so that of two spellings of one thing the first listed wins.
    let mut attributes: Vec<KeyValue> = span.attributes;
    let rank =
        |key: &str| server.span_attributes.iter().position(|(name, _)| *name == key).unwrap_or(usize::MAX);
    attributes.sort_by_key(|pair| rank(&pair.key));
    for KeyValue { key, value, .. } in attributes {
        let Some(value) = value else { continue };
        let taken = server.span_field(&key).is_some_and(|field| set(&mut row, field, &value));
        if !taken {
            row.attributes.insert(key, text(&value));
        }
    }
    Some(row)
}

/// Puts a value into its field; `false` if it is of another kind, or the field is taken.
fn set(row: &mut SpanRow, field: SpanField, value: &AnyValue) -> bool {
    let tokens = || {
        number(value)
            .filter(|n| n.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(n))
            .map(|n| n as u32)
    };
    match field {
        SpanField::RequestId => fill(&mut row.request_id, Some(text(value))),
        SpanField::Ttft => fill(&mut row.ttft_s, number(value)),
        SpanField::E2e => fill(&mut row.e2e_s, number(value)),
        SpanField::Queue => fill(&mut row.queue_s, number(value)),
        SpanField::Prefill => fill(&mut row.prefill_s, number(value)),
        SpanField::Decode => fill(&mut row.decode_s, number(value)),
        SpanField::InputTokens => fill(&mut row.input_tokens, tokens()),
        SpanField::OutputTokens => fill(&mut row.output_tokens, tokens()),
    }
}

fn fill<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let free = slot.is_none() && value.is_some();
    if free {
        *slot = value;
    }
    free
}

/// Some exporters write numbers as text.
fn number(value: &AnyValue) -> Option<f64> {
    let number = match value.value.as_ref()? {
        Value::DoubleValue(number) => *number,
        Value::IntValue(number) => *number as f64,
        Value::StringValue(text) => text.parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// Any value as text; lists and maps in brackets.
fn text(value: &AnyValue) -> String {
    match &value.value {
        None => String::new(),
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BytesValue(bytes)) => hex(bytes),
        Some(Value::ArrayValue(list)) => {
            format!("[{}]", list.values.iter().map(text).collect::<Vec<_>>().join(", "))
        }
        Some(Value::KvlistValue(map)) => {
            let pairs: BTreeMap<&str, String> = map
                .values
                .iter()
                .map(|pair| (pair.key.as_str(), pair.value.as_ref().map(text).unwrap_or_default()))
                .collect();
            format!(
                "{{{}}}",
                pairs.iter().map(|(key, value)| format!("{key}: {value}")).collect::<Vec<_>>().join(", ")
            )
        }
        // An index into a dictionary that spans do not carry.
        Some(other) => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::server::vllm::VLLM;
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::ScopeSpans;

    fn pair(key: &str, value: Value) -> KeyValue {
        KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    }

    fn export(attributes: Vec<KeyValue>, trace_id: Vec<u8>) -> Vec<ResourceSpans> {
        let span = Span {
            trace_id,
            span_id: vec![2; 8],
            name: "llm_request".to_owned(),
            start_time_unix_nano: 1_795_533_161_860_419_328,
            end_time_unix_nano: 1_795_533_161_951_281_134,
            attributes,
            ..Span::default()
        };
        let resource = Resource {
            attributes: vec![
                pair("service.name", Value::StringValue("unknown_service:python".to_owned())),
                pair("telemetry.sdk.language", Value::StringValue("python".to_owned())),
                pair("vllm.process_id", Value::StringValue("26151".to_owned())),
            ],
            ..Resource::default()
        };
        vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }]
    }

    fn one(attributes: Vec<KeyValue>) -> SpanRow {
        let (mut rows, n_rejected) = rows(export(attributes, vec![1; 16]), &VLLM, UnixNs(7), "grpc");
        assert_eq!((rows.len(), n_rejected), (1, 0));
        rows.remove(0)
    }

    #[test]
    fn a_request_span_as_vllm_sends_it() {
        let row = one(vec![
            pair("gen_ai.latency.time_to_first_token", Value::DoubleValue(0.032_270_669_937_133_79)),
            pair("gen_ai.latency.e2e", Value::DoubleValue(0.090_278_148_651_123_05)),
            pair("gen_ai.latency.time_in_queue", Value::DoubleValue(3.826_100_009_973_743e-5)),
            pair("gen_ai.usage.prompt_tokens", Value::IntValue(33)),
            pair("gen_ai.usage.completion_tokens", Value::IntValue(12)),
            pair("gen_ai.latency.time_in_model_inference", Value::DoubleValue(0.076_936_242_000_101_63)),
            pair("gen_ai.request.id", Value::StringValue("cmpl-few-000-0".to_owned())),
        ]);
        assert_eq!(row.ttft_s.map(f64::to_bits), Some(0.032_270_669_937_133_79_f64.to_bits()));
        assert_eq!((row.input_tokens, row.output_tokens), (Some(33), Some(12)));
        assert_eq!((row.request_id.as_deref(), row.prefill_s), (Some("cmpl-few-000-0"), None));
        assert_eq!(
            (row.service.as_deref(), row.parent_span_id.as_deref()),
            (Some("unknown_service:python"), None)
        );
        assert_eq!(row.trace_id, "01".repeat(16));
        let kept: Vec<(&str, &str)> = row.attributes.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(
            kept,
            [
                ("gen_ai.latency.time_in_model_inference", "0.07693624200010163"),
                ("resource.vllm.process_id", "26151")
            ]
        );
    }

    #[test]
    fn of_two_spellings_the_first_listed_wins_and_the_other_is_kept() {
        let row = one(vec![
            pair("gen_ai.usage.input_tokens", Value::IntValue(1)),
            pair("gen_ai.usage.prompt_tokens", Value::IntValue(2)),
        ]);
        assert_eq!(row.input_tokens, Some(2));
        assert_eq!(row.attributes.get("gen_ai.usage.input_tokens").map(String::as_str), Some("1"));
    }

    #[test]
    fn values_of_the_wrong_kind_are_kept_as_text() {
        let row = one(vec![
            pair("gen_ai.latency.e2e", Value::DoubleValue(f64::NAN)),
            pair("gen_ai.usage.prompt_tokens", Value::IntValue(-1)),
            pair("gen_ai.usage.completion_tokens", Value::StringValue("12".to_owned())),
            pair("flag", Value::BoolValue(true)),
        ]);
        assert_eq!((row.e2e_s, row.input_tokens, row.output_tokens), (None, None, Some(12)));
        assert_eq!(row.attributes.get("gen_ai.latency.e2e").map(String::as_str), Some("NaN"));
        assert_eq!(row.attributes.get("flag").map(String::as_str), Some("true"));
    }

    #[test]
    fn a_span_without_a_valid_trace_id_is_rejected() {
        for trace_id in [vec![], vec![1; 8], vec![0; 16]] {
            let (rows, n_rejected) = rows(export(Vec::new(), trace_id), &VLLM, UnixNs(7), "http");
            assert_eq!((rows.len(), n_rejected), (0, 1));
        }
    }
}
