//! OTLP spans: absolute arrival, TTFT, queue, prefill, decode and E2E of each request.

use crate::doctor::seen::{Seen, median};
use crate::record::diagnosis::{Level, State};
use crate::units;

pub const NAME: &str = "OTLP spans";

const ADVICE: &str = "gRPC; with OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf it is port 4318 and path /v1/traces. \
     OTEL_BSP_SCHEDULE_DELAY=500 sends every half second, not every five; OTEL_BSP_MAX_QUEUE_SIZE (2048) \
     must hold the requests of that time, or spans are lost";

pub fn level(seen: &Seen<'_>) -> Level {
    let listened = seen.config.observe.otlp.as_ref();
    let (joined, of) = seen.share(|row| row.span_fits_client.is_some());
    let all = seen.read.spans.len();
    let (state, said) = match listened {
        None if seen.kind.spans_flag.is_none() => (State::Off, "this server sends none".to_owned()),
        None => (State::Unknown, "not listened for".to_owned()),
        Some(_) if joined > 0 => (State::On, format!("came for {of} requests{}", delay(seen))),
        Some(_) => {
            let waited = units::seconds(seen.config.observe.span_wait_s);
            let others = match all {
                0 => "no span came".to_owned(),
                n => format!("{n} spans came and none is of these requests"),
            };
            (State::Off, format!("{others} within {waited} of the last answer, at {}", listener(seen)))
        }
    };
    let host = seen.this_host();
    let unlock = seen
        .kind
        .spans_flag
        .filter(|_| state != State::On)
        .map(|flag| format!("start the server with `{flag} http://{host}:4317`"));
    Level {
        name: NAME,
        state,
        seen: said,
        adds: "arrival, TTFT, queue, prefill, decode and E2E of each request, with instants: the whole breakdown, and a bound of the clocks",
        advice: unlock.as_ref().map(|_| ADVICE),
        unlock,
        give: (seen.kind.spans_flag.is_some() || state == State::On)
            .then_some(if host == "127.0.0.1" { "--otlp" } else { "--otlp=0.0.0.0" })
            .map(str::to_owned),
    }
}

/// Where spans were waited for.
fn listener<'a>(seen: &'a Seen<'_>) -> &'a str {
    let source = seen.read.manifest.sources.iter().find(|source| source.kind == "otlp");
    source.map_or("this host", |source| &source.location)
}

/// How long after their answers the spans came: this host's clock on both ends.
fn delay(seen: &Seen<'_>) -> String {
    let delays = seen.read.spans.iter().filter_map(|span| {
        let of = |s: &&super::super::seen::Streamed<'_>| s.row.client.trace_id == span.trace_id;
        let done = seen.ok.iter().find(of)?.row.client.done_unix_ns;
        Some(span.recv_unix_ns.seconds_since(done))
    });
    median(delays).map_or_else(String::new, |s| format!(", {} after the answer (median)", units::seconds(s)))
}
