//! One request as spans: the request itself, kind CLIENT, with the ids that were sent, and below it the parts of its time.
//! Names are those of the OpenTelemetry conventions for generative AI where they have one
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>), else `tare.*`, with the unit at the end. What was
//! asked and answered is never in them. Pure; this file must not know where spans go.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status as SpanStatus};

use crate::clock::UnixNs;
use crate::record::{Arm, Endpoint, RequestRow, Status, TraceIds};
use crate::secrets::Secrets;

/// Sampled, as the `traceparent` said; and it is known that the parent is of this process.
const FLAGS: u32 = 0x101;

/// What all requests of a run have in common.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The run folder's name.
    pub run_id: String,
    /// The run's name, and its label.
    pub name: String,
    pub label: Option<String>,
    pub model: Option<String>,
    /// The server's name in the table of servers.
    pub server: String,
    /// Host and port that requests go to; of an audit, the direct arm's and the other's.
    pub addresses: [Option<(String, u16)>; 2],
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
}

/// Spans with what says whose they are.
pub(super) fn resource_spans(facts: &Facts, spans: Vec<Span>) -> ResourceSpans {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let mut of = Attributes::default();
    of.text("service.name", "tare");
    of.text("service.version", &version);
    of.text("tare.run.id", &facts.run_id);
    of.text("tare.run.name", &facts.name);
    of.some("tare.run.label", facts.label.as_deref());
    let scope = InstrumentationScope { name: "tare".to_owned(), version, ..InstrumentationScope::default() };
    ResourceSpans {
        resource: Some(Resource { attributes: of.0, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}

/// A request's span, first, and those of its parts. `None` of a request that tare did not send.
pub(super) fn spans(row: &RequestRow, facts: &Facts, secrets: &Secrets) -> Option<Vec<Span>> {
    let ids = TraceIds::sent(&row.trace_id, &row.request_id)?;
    let trace_id = u128::from_str_radix(&ids.trace_id, 16).ok()?.to_be_bytes().to_vec();
    let (start, end) = (nanoseconds(row.started_unix_ns)?, nanoseconds(row.done_unix_ns)?);
    let request = Span {
        trace_id: trace_id.clone(),
        span_id: ids.span_id.to_be_bytes().to_vec(),
        flags: FLAGS,
        name: name(row, facts),
        kind: SpanKind::Client.into(),
        start_time_unix_nano: start,
        end_time_unix_nano: end,
        attributes: attributes(row, facts),
        events: events(row),
        status: status(row, secrets),
        ..Span::default()
    };
    let parent = request.span_id.clone();
    let parts = (1..).zip(parts(row)).filter_map(|(n, (name, from, to))| {
        let (from, to) = (nanoseconds(from?)?, nanoseconds(to?)?);
        // A stamp after a write can be later than what the write caused: then there is no such stretch of time.
        (from <= to).then(|| Span {
            trace_id: trace_id.clone(),
            span_id: ids.part(n).to_be_bytes().to_vec(),
            parent_span_id: parent.clone(),
            flags: FLAGS,
            name: name.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: from,
            end_time_unix_nano: to,
            ..Span::default()
        })
    });
    let parts: Vec<Span> = parts.collect();
    Some(std::iter::once(request).chain(parts).collect())
}

fn operation(endpoint: Endpoint) -> &'static str {
    match endpoint {
        Endpoint::Chat | Endpoint::Responses => "chat",
        Endpoint::Completions => "text_completion",
    }
}

fn name(row: &RequestRow, facts: &Facts) -> String {
    let operation = operation(row.endpoint);
    facts.model.as_ref().map_or_else(|| operation.to_owned(), |model| format!("{operation} {model}"))
}

/// Name, begin and end of each part, in the order of time; one whose ends were not both stamped has no span.
fn parts(row: &RequestRow) -> [(&'static str, Option<UnixNs>, Option<UnixNs>); 5] {
    // What never came to its end went on until the request's.
    let done = Some(row.done_unix_ns);
    let (wait, came) = if row.status == Status::HttpError {
        ("wait for the answer", row.head_unix_ns)
    } else if row.streamed {
        ("wait for first token", row.first_token_unix_ns)
    } else {
        ("wait for the answer", row.last_token_unix_ns)
    };
    [
        ("connect", row.connect_begin_unix_ns, row.connect_end_unix_ns.or(done)),
        ("TLS handshake", row.connect_end_unix_ns, row.tls_end_unix_ns),
        ("send", row.send_begin_unix_ns, row.sent_unix_ns.or(done)),
        (wait, row.sent_unix_ns, came.or(done)),
        ("stream", row.first_token_unix_ns.filter(|_| row.streamed), row.last_token_unix_ns),
    ]
}

fn attributes(row: &RequestRow, facts: &Facts) -> Vec<KeyValue> {
    let mut of = Attributes::default();
    of.text("gen_ai.operation.name", operation(row.endpoint));
    of.text("gen_ai.provider.name", &facts.server);
    of.some("gen_ai.request.model", facts.model.as_deref());
    of.bool("gen_ai.request.stream", row.streamed);
    of.int("gen_ai.request.max_tokens", row.max_tokens);
    of.real("gen_ai.request.temperature", facts.temperature);
    of.real("gen_ai.request.top_p", facts.top_p);
    of.some("gen_ai.response.id", row.response_id.as_deref());
    of.list("gen_ai.response.finish_reasons", row.finish_reason.as_deref());
    of.int("gen_ai.usage.input_tokens", row.input_tokens);
    of.int("gen_ai.usage.output_tokens", row.output_tokens);
    of.int("gen_ai.usage.cache_read.input_tokens", row.cached_input_tokens);
    of.some("gen_ai.conversation.id", conversation(row).as_deref());
    if let Some(Some((host, port))) = facts.addresses.get(row.arm.map_or(0, Arm::number)) {
        of.text("server.address", host);
        of.int("server.port", Some(*port));
    }
    of.int("network.local.port", row.local_port);
    of.int("http.response.status_code", row.http_status);
    if row.status.is_failure() {
        let code = row.http_status.filter(|_| row.status == Status::HttpError);
        of.text("error.type", &code.map_or_else(|| row.status.as_str().to_owned(), |code| code.to_string()));
    }

    of.text("tare.request_id", &row.request_id);
    of.text("tare.status", row.status.as_str());
    if is_warmup(row) {
        of.bool("tare.warmup", true);
    }
    of.int("tare.request.index", i64::try_from(row.index).ok());
    of.int("tare.prompt.index", Some(row.prompt_index));
    of.int("tare.user", row.user);
    of.int("tare.session", row.session.and_then(|session| i64::try_from(session).ok()));
    of.int("tare.turn", row.turn);
    of.some("tare.arm", row.arm.map(Arm::as_str));
    of.int("tare.cell", row.cell);
    of.int("tare.round", row.round);
    of.int("tare.pair", row.pair.and_then(|pair| i64::try_from(pair).ok()));
    of.text("tare.connection", row.connection.as_str());
    of.real("tare.schedule_s", Some(row.started_unix_ns.seconds_since(row.scheduled_unix_ns)));
    of.real("tare.ttft_s", row.ttft_s);
    of.real("tare.ttft_user_s", row.ttft_user_s);
    of.real("tare.ttft_scheduled_s", row.ttft_scheduled_s);
    of.real("tare.ttft_content_s", row.ttft_content_s);
    of.real("tare.itl_mean_s", row.itl_mean_s);
    of.real("tare.tpot_s", row.tpot_s);
    of.real("tare.e2e_s", row.e2e_s);
    of.real("tare.user_throughput_tps", row.user_throughput_tps);
    of.text("tare.stamps", row.stamps.as_str());
    of.int("tare.events", Some(row.n_events));
    of.int("tare.exact_events", Some(row.n_exact_events));
    of.0
}

/// Whether it was sent before the run, by its id: `PREFIX-warmup-N`.
pub(super) fn is_warmup(row: &RequestRow) -> bool {
    row.request_id.rsplit_once('-').is_some_and(|(run, _)| run.ends_with("-warmup"))
}

/// As the request's `X-Session-ID` had it: the ids of a run begin alike.
fn conversation(row: &RequestRow) -> Option<String> {
    let (run, _) = row.request_id.rsplit_once('-')?;
    Some(format!("{run}-s{}", row.session?))
}

/// Moments of the answer. A token's stamp is the later end of the interval in which it came.
fn events(row: &RequestRow) -> Vec<Event> {
    let mut events = Vec::new();
    let mut add = |name: &str, at: Option<UnixNs>, lo: Option<UnixNs>| {
        let Some((at, time_unix_nano)) = at.and_then(|at| Some((at, nanoseconds(at)?))) else { return };
        let mut of = Attributes::default();
        of.real("tare.not_before_s", lo.filter(|lo| *lo != at).map(|lo| lo.seconds_since(at)));
        events.push(Event { time_unix_nano, name: name.to_owned(), attributes: of.0, ..Event::default() });
    };
    add("response head", row.head_unix_ns, None);
    add("first token", row.first_token_unix_ns, row.first_token_lo_unix_ns);
    add(
        "first visible token",
        row.first_content_unix_ns.filter(|at| Some(*at) != row.first_token_unix_ns),
        None,
    );
    let name = if row.streamed { "last token" } else { "answer" };
    add(
        name,
        row.last_token_unix_ns.filter(|at| Some(*at) != row.first_token_unix_ns),
        row.last_token_lo_unix_ns,
    );
    events
}

/// Errors have a reason; what went well, or had not ended with the run, is left unset, as conventions have it.
fn status(row: &RequestRow, secrets: &Secrets) -> Option<SpanStatus> {
    let said = row.error.as_deref().unwrap_or_else(|| row.status.as_str());
    row.status
        .is_failure()
        .then(|| SpanStatus { message: secrets.clean(said).into_owned(), code: StatusCode::Error.into() })
}

fn nanoseconds(at: UnixNs) -> Option<u64> {
    u64::try_from(at.0).ok()
}

/// What is known, in order.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn put(&mut self, key: &str, value: Value) {
        let value = Some(AnyValue { value: Some(value) });
        self.0.push(KeyValue { key: key.to_owned(), value, ..KeyValue::default() });
    }

    fn text(&mut self, key: &str, text: &str) {
        self.put(key, Value::StringValue(text.to_owned()));
    }

    fn some(&mut self, key: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(key, text);
        }
    }

    fn list(&mut self, key: &str, only: Option<&str>) {
        if let Some(only) = only {
            let values = vec![AnyValue { value: Some(Value::StringValue(only.to_owned())) }];
            self.put(key, Value::ArrayValue(ArrayValue { values }));
        }
    }

    fn bool(&mut self, key: &str, yes: bool) {
        self.put(key, Value::BoolValue(yes));
    }

    fn int(&mut self, key: &str, number: Option<impl Into<i64>>) {
        if let Some(number) = number {
            self.put(key, Value::IntValue(number.into()));
        }
    }

    fn real(&mut self, key: &str, number: Option<f64>) {
        if let Some(number) = number.filter(|number| number.is_finite()) {
            self.put(key, Value::DoubleValue(number));
        }
    }
}
