//! A server, or a stand-in for one, that wrote down when it had each request and when it wrote: one JSON
//! object a request, its own wall clock. What a bench of proxies takes as the truth. It must not know
//! what is done with the rows.
//!
//! | in the file | here |
//! |---|---|
//! | `arrival_unix_ns` | start of the span: the request was read |
//! | `ttft_ns` | arrival → first write of a token; not taken of an answer that was not streamed |
//! | `last_ns` | arrival → last write of a token: `e2e`; `end_ns`: arrival → end of the answer |
//! | `id`, `x_request_id` | `request_id`: the answer's `id`, else the header as it came |
//! | `headers` `{name: value}` | trace id of `traceparent`; of the others those that tell of the way here are kept as attributes |
//! | `prompt_tokens`, `tokens` | tokens; of an answer that is not `complete` the number is its plan, and not taken |
//! | `status` | of an answer that was refused |
//!
//! Queue, prefill and decode of an engine it does not tell.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::input::{Reading, has_keys, json};
use super::{Format, Of, Reads, instants};
use crate::clock::UnixNs;
use crate::record::{OWN_STAMPS, SpanRow};

pub(super) const FORMAT: Format = Format {
    name: "server_stamps",
    of: Of::Spans,
    description: "one JSON object a request: arrival_unix_ns, ttft_ns, last_ns, as the server stamped them",
    reads: Reads::Text { recognises: |text| has_keys(text, &["arrival_unix_ns", "headers"]), read },
};

/// Headers of the request that are kept: they tell what stood between. No other may reach a file.
const KEPT: [&str; 7] =
    ["x-request-id", "traceparent", "via", "user-agent", "accept-encoding", "connection", "x-unique-id"];
/// Under these names, as OpenTelemetry calls them.
pub const HEADER_PREFIX: &str = "http.request.header.";

#[derive(Deserialize)]
struct Given {
    arrival_unix_ns: i64,
    ttft_ns: Option<i64>,
    last_ns: Option<i64>,
    end_ns: Option<i64>,
    id: Option<String>,
    x_request_id: Option<String>,
    headers: BTreeMap<String, String>,
    prompt_tokens: Option<u32>,
    tokens: Option<u32>,
    stream: Option<bool>,
    #[serde(default)]
    complete: bool,
    status: Option<u16>,
}

fn read(text: &str, reading: &mut Reading<'_>) {
    let server = reading.server;
    reading.each_line(text, |line_no, line, rows| {
        let given: Given = json(line)?;
        instants::unix_ns(given.arrival_unix_ns).map_err(|error| format!("`arrival_unix_ns`: {error}"))?;
        let seconds = |ns: Option<i64>| ns.map(|ns| ns as f64 / 1e9);
        instants::in_order(seconds(given.ttft_ns), seconds(given.last_ns))?;
        rows.spans.push(given.span(line_no, server.request_span.unwrap_or("request")));
        Ok(())
    });
}

impl Given {
    fn span(self, line_no: u64, name: &str) -> SpanRow {
        let seconds = |ns: Option<i64>| ns.map(|ns| ns as f64 / 1e9);
        let ended = self.end_ns.or(self.last_ns).or(self.ttft_ns).unwrap_or(0);
        let end = UnixNs(self.arrival_unix_ns.saturating_add(ended));
        let id = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
        let header = |name: &str| {
            let mut headers = self.headers.iter();
            headers.find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
        };
        let trace = header("traceparent").and_then(|text| text.split('-').nth(1));
        let trace = trace.filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        let mut attributes: BTreeMap<String, String> = KEPT
            .iter()
            .filter_map(|name| Some((format!("{HEADER_PREFIX}{name}"), header(name)?.to_owned())))
            .collect();
        attributes.extend(self.status.map(|s| ("http.response.status_code".to_owned(), s.to_string())));
        SpanRow {
            recv_unix_ns: end,
            via: OWN_STAMPS.to_owned(),
            service: None,
            name: name.to_owned(),
            trace_id: trace.map(str::to_ascii_lowercase).unwrap_or_default(),
            // The same record of two files is one, two records of two files are not.
            span_id: format!("{:016x}", self.arrival_unix_ns.cast_unsigned().wrapping_add(line_no)),
            parent_span_id: None,
            start_unix_ns: UnixNs(self.arrival_unix_ns),
            end_unix_ns: end,
            request_id: id(&self.id).or(id(&self.x_request_id)),
            ttft_s: seconds(self.ttft_ns.filter(|_| self.stream != Some(false))),
            e2e_s: seconds(self.last_ns),
            queue_s: None,
            prefill_s: None,
            decode_s: None,
            inference_s: None,
            input_tokens: self.prompt_tokens,
            output_tokens: self.tokens.filter(|_| self.complete),
            attributes,
        }
    }
}
