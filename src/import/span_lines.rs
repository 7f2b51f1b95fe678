//! Spans, one flat JSON object a line: `recv_ns`, `via`, `resource`, `name`, `trace_id`, `span_id`,
//! `parent_span_id`, `start_ns`, `end_ns`, `attrs` (plain JSON values). It must not know what an
//! attribute means.

use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Map, Value};

use super::input::{Reading, has_keys, json};
use super::json_span::{FILE, hex, nanoseconds, plain, row};
use super::{Format, Of, Reads};
use crate::clock::UnixNs;

pub(super) const FORMAT: Format = Format {
    name: "span_lines",
    of: Of::Spans,
    description: "one flat JSON object a span: trace_id, span_id, start_ns, end_ns, attrs",
    reads: Reads::Text {
        recognises: |text| has_keys(text, &["trace_id", "span_id", "start_ns", "attrs"]),
        read,
    },
};

fn read(text: &str, reading: &mut Reading<'_>) {
    let server = reading.server;
    reading.each_line(text, |_, line, rows| {
        let given: Map<String, Value> = json(line)?;
        let attributes = |key: &str| given.get(key).and_then(Value::as_object).map(plain).unwrap_or_default();
        let span = Span {
            trace_id: hex(given.get("trace_id")),
            span_id: hex(given.get("span_id")),
            parent_span_id: hex(given.get("parent_span_id")),
            name: given.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            start_time_unix_nano: nanoseconds(given.get("start_ns")),
            end_time_unix_nano: nanoseconds(given.get("end_ns")),
            attributes: attributes("attrs"),
            ..Span::default()
        };
        let received = given.get("recv_ns").and_then(Value::as_i64).map(UnixNs);
        let via = given.get("via").and_then(Value::as_str).unwrap_or(FILE);
        rows.spans.push(row(span, attributes("resource"), server, received, via)?);
        Ok(())
    });
}
