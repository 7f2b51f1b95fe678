//! The `llm_request` span of one finished request: whose trace it belongs to, and its attributes as
//! vLLM names them. This file must not know how spans travel.

use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, span::SpanKind};

use crate::clock::UnixNs;

use super::ids::Ids;
use super::registry::Finished;

/// Says that the bit below is meaningful; and that the parent is in another process.
const FLAG_REMOTE_KNOWN: u32 = 0x100;
const FLAG_REMOTE: u32 = 0x200;

/// Which trace a request's span will belong to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TraceContext {
    pub trace_id: [u8; 16],
    pub parent: Option<[u8; 8]>,
}

impl TraceContext {
    /// From the client's `traceparent`, or a new trace without a parent. `None` when the client asks
    /// for no span (its sampled flag is off).
    pub fn from_header(traceparent: Option<&str>, ids: &mut Ids) -> Option<Self> {
        match traceparent.and_then(parse) {
            Some((context, true)) => Some(context),
            Some((_, false)) => None,
            None => Some(Self { trace_id: ids.bytes(), parent: None }),
        }
    }
}

/// What else a span says of its request.
#[derive(Clone, Debug)]
pub struct SpanPlan {
    pub context: TraceContext,
    pub span_id: [u8; 8],
    pub temperature: f64,
    pub top_p: f64,
}

/// The span of a finished request; `external_id` is the engine-side id, `end` when the span is made.
pub fn request_span(
    plan: &SpanPlan,
    external_id: &str,
    arrival: UnixNs,
    end: UnixNs,
    ttft_s: f64,
    done: &Finished,
) -> Span {
    let mut attributes = vec![
        float("gen_ai.latency.time_to_first_token", ttft_s),
        float("gen_ai.latency.e2e", done.e2e_s),
        float("gen_ai.latency.time_in_queue", done.queue_s),
        integer("gen_ai.usage.prompt_tokens", done.prompt_tokens),
        integer("gen_ai.usage.completion_tokens", done.output_tokens),
        float("gen_ai.latency.time_in_model_prefill", done.prefill_s),
        float("gen_ai.latency.time_in_model_decode", done.decode_s),
        float("gen_ai.latency.time_in_model_inference", done.inference_s),
        text("gen_ai.request.id", external_id),
    ];
    // A zero is as good as nothing to the code that writes these.
    if plan.top_p != 0.0 {
        attributes.push(float("gen_ai.request.top_p", plan.top_p));
    }
    attributes.push(integer("gen_ai.request.max_tokens", done.max_tokens));
    if plan.temperature != 0.0 {
        attributes.push(float("gen_ai.request.temperature", plan.temperature));
    }
    attributes.push(integer("gen_ai.request.n", 1));
    let TraceContext { trace_id, parent } = plan.context;
    Span {
        trace_id: trace_id.to_vec(),
        span_id: plan.span_id.to_vec(),
        parent_span_id: parent.map(|p| p.to_vec()).unwrap_or_default(),
        flags: FLAG_REMOTE_KNOWN | if parent.is_some() { FLAG_REMOTE } else { 0 },
        name: "llm_request".to_owned(),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: arrival.0.max(0) as u64,
        end_time_unix_nano: end.0.max(0) as u64,
        attributes,
        ..Span::default()
    }
}

/// Spans with the process they come from.
pub fn resource_spans(resource: Resource, spans: Vec<Span>) -> ResourceSpans {
    let scope =
        InstrumentationScope { name: "vllm.tracing.otel".to_owned(), ..InstrumentationScope::default() };
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    ResourceSpans { resource: Some(resource), scope_spans, ..ResourceSpans::default() }
}

/// The process that makes the spans.
pub fn resource(ids: &mut Ids) -> Resource {
    let service = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    let instance = ids.hex(32);
    let attributes = vec![
        text("telemetry.sdk.language", "python"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "1.45.2"),
        text("service.instance.id", &instance),
        text("vllm.instrumenting_module_name", "vllm.llm_engine"),
        text("vllm.process_id", &std::process::id().to_string()),
        text("service.name", service.as_deref().unwrap_or("unknown_service:python")),
    ];
    Resource { attributes, ..Resource::default() }
}

/// Trace and parent of a W3C `traceparent`, and whether it is sampled. A malformed one is none.
fn parse(traceparent: &str) -> Option<(TraceContext, bool)> {
    let mut fields = traceparent.trim().split('-');
    let (version, trace_id, parent, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let [version] = bytes::<1>(version)?;
    if version == 0xff || (version == 0 && fields.next().is_some()) {
        return None;
    }
    let (trace_id, parent, [flags]) = (bytes::<16>(trace_id)?, bytes::<8>(parent)?, bytes::<1>(flags)?);
    if trace_id == [0; 16] || parent == [0; 8] {
        return None;
    }
    Some((TraceContext { trace_id, parent: Some(parent) }, flags & 1 == 1))
}

fn bytes<const N: usize>(hex: &str) -> Option<[u8; N]> {
    if hex.len() != 2 * N || !hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
        return None;
    }
    let mut out = [0; N];
    for (slot, at) in out.iter_mut().zip((0..).step_by(2)) {
        *slot = u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()?;
    }
    Some(out)
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

fn float(key: &str, value: f64) -> KeyValue {
    attribute(key, Value::DoubleValue(value))
}

fn integer(key: &str, value: u32) -> KeyValue {
    attribute(key, Value::IntValue(i64::from(value)))
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use super::*;

    const PARENT: &str = "00-6513270e269e0d37f2a74de452e6b438-0c5c7fd0a6a3a450-01";

    fn context(header: Option<&str>) -> Option<TraceContext> {
        TraceContext::from_header(header, &mut Ids::new())
    }

    #[test]
    fn a_parent_is_kept() {
        let context = context(Some(PARENT)).expect("sampled");
        assert_eq!(context.trace_id[..2], [0x65, 0x13]);
        assert_eq!(context.parent.map(|p| p[7]), Some(0x50));
    }

    #[test]
    fn an_unsampled_parent_means_no_span() {
        assert_eq!(context(Some(&PARENT.replace("-01", "-00"))), None);
    }

    #[test]
    fn without_or_with_a_malformed_parent_a_trace_begins() {
        let zero = PARENT.replace("6513270e269e0d37f2a74de452e6b438", "00000000000000000000000000000000");
        let upper = PARENT.to_uppercase();
        let long = format!("{PARENT}-more");
        for header in [None, Some(""), Some("00-abc-def-01"), Some(&*zero), Some(&*upper), Some(&*long)] {
            assert_eq!(context(header).map(|c| c.parent), Some(None), "{header:?}");
        }
    }
}
