//! Client spans: sent while a run goes on and afterwards, they stand above the server's in one tree. What arrives is read
//! by `protobuf`, not by the library that encodes it.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::program::{LookAlike, Place, files, filters};
use crate::protobuf::Message;
use crate::support::{Served, closed_port, serve, wait_until};

const KEY: &str = "planted-4f9c2e7ab1d05836";

/// What a collector got, and how it answers.
#[derive(Default)]
struct Inbox {
    bodies: Mutex<Vec<(HeaderMap, Vec<u8>)>>,
    /// The next answers, in this order; then all is taken.
    answers: Mutex<Vec<(StatusCode, Vec<u8>)>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Span {
    service: String,
    trace: String,
    id: String,
    parent: String,
    name: String,
    kind: u64,
    start: u64,
    end: u64,
    error: Option<String>,
    attributes: BTreeMap<String, String>,
    events: Vec<(String, u64)>,
}

async fn take(State(inbox): State<Arc<Inbox>>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let mut answers = inbox.answers.lock().unwrap();
    let answer = if answers.is_empty() { (StatusCode::OK, Vec::new()) } else { answers.remove(0) };
    inbox.bodies.lock().unwrap().push((headers, body.to_vec()));
    answer
}

impl Inbox {
    fn serve(answers: Vec<(StatusCode, Vec<u8>)>) -> (Arc<Self>, Served) {
        let inbox = Arc::new(Self { answers: Mutex::new(answers), ..Self::default() });
        let served = serve(Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&inbox)));
        (inbox, served)
    }

    fn spans(&self) -> Vec<Span> {
        let bodies = self.bodies.lock().unwrap();
        bodies.iter().flat_map(|(headers, body)| spans(headers, body)).collect()
    }

    /// Client spans of requests, and all spans of other senders.
    fn both(&self) -> (Vec<Span>, Vec<Span>) {
        let (ours, theirs): (Vec<Span>, Vec<Span>) =
            self.spans().into_iter().partition(|span| span.service == "tare");
        (ours.into_iter().filter(|span| span.kind == 3).collect(), theirs)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Any value as text.
fn value(value: &Message<'_>) -> String {
    if value.all(1).next().is_some() {
        return value.text(1);
    }
    if value.all(4).next().is_some() {
        return f64::from_bits(value.number(4)).to_string();
    }
    match value.messages(5).pop() {
        Some(list) => list.messages(1).iter().map(|one| one.text(1)).collect::<Vec<_>>().join(","),
        None => (value.number(2) | value.number(3)).to_string(),
    }
}

fn attributes(of: &Message<'_>, number: u64) -> BTreeMap<String, String> {
    of.messages(number).iter().map(|pair| (pair.text(1), value(&pair.messages(2)[0]))).collect()
}

/// Field numbers of `opentelemetry/proto/trace/v1/trace.proto`.
fn spans(headers: &HeaderMap, body: &[u8]) -> Vec<Span> {
    let mut unpacked = Vec::new();
    let body = match headers.get("content-encoding") {
        Some(_) => {
            GzDecoder::new(body).read_to_end(&mut unpacked).unwrap();
            &unpacked[..]
        }
        None => body,
    };
    let mut all = Vec::new();
    for of_resource in Message::read(body).messages(1) {
        let resource = attributes(&of_resource.messages(1)[0], 1);
        for span in of_resource.messages(2).iter().flat_map(|scope| scope.messages(2)) {
            let status = span.messages(15).pop();
            all.push(Span {
                service: resource.get("service.name").cloned().unwrap_or_default(),
                trace: hex(span.bytes(1)),
                id: hex(span.bytes(2)),
                parent: hex(span.bytes(4)),
                name: span.text(5),
                kind: span.number(6),
                start: span.number(7),
                end: span.number(8),
                error: status.filter(|status| status.number(3) == 2).map(|status| status.text(2)),
                attributes: attributes(&span, 9),
                events: span.messages(11).iter().map(|event| (event.text(2), event.number(1))).collect(),
            });
        }
    }
    all
}

fn summary(place: &Place) -> Value {
    serde_json::from_slice(&std::fs::read(place.path("run/summary.json")).unwrap()).unwrap()
}

fn rows(place: &Place) -> Vec<Value> {
    let text = std::fs::read_to_string(place.path("run/results.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn client_and_server_spans_are_one_tree() {
    let (inbox, collector) = Inbox::serve(Vec::new());
    let server = LookAlike::start(&["--otlp-traces-endpoint", &collector.url("")]);
    let place = Place::new();
    let said = place.tare(&format!(
        "run --base-url {} --output run --users 4 --num-prompts 60 --random-input-len 12 --random-output-len 8 \
         --ignore-eos --num-warmups 0 --export-spans {}",
        server.url,
        collector.url(""),
    ));
    assert_eq!(said.code, Some(0), "{}", said.shown());
    wait_until("the server has sent its spans", || {
        inbox.both().1.iter().filter(|span| span.name == "llm_request").count() >= 60
    });
    let (ours, theirs) = inbox.both();
    let theirs: Vec<Span> = theirs.into_iter().filter(|span| span.name == "llm_request").collect();
    assert_eq!((ours.len(), theirs.len()), (60, 60));

    // The server's float holds its arrival to 256 ns.
    let grain = 512;
    let by_id: BTreeMap<&str, &Span> = ours.iter().map(|span| (span.id.as_str(), span)).collect();
    assert_eq!(by_id.len(), 60, "ids are distinct");
    for inner in &theirs {
        let outer = by_id.get(inner.parent.as_str()).unwrap_or_else(|| panic!("no parent: {inner:?}"));
        assert_eq!(inner.trace, outer.trace);
        assert!(outer.start <= inner.start + grain && inner.end <= outer.end + grain, "{outer:?}\n{inner:?}");
        // Both sides' own words for the request.
        assert_eq!(inner.attributes["gen_ai.request.id"], outer.attributes["gen_ai.response.id"]);
    }

    // What is told is what is in the folder.
    let by_request: BTreeMap<&str, &Span> =
        ours.iter().map(|span| (span.attributes["tare.request_id"].as_str(), span)).collect();
    for row in rows(&place) {
        let span = by_request[row["request_id"].as_str().unwrap()];
        assert_eq!(span.trace, row["trace_id"]);
        assert_eq!(
            (span.start, span.end),
            (row["started_unix_ns"].as_u64().unwrap(), row["done_unix_ns"].as_u64().unwrap())
        );
        assert_eq!(
            span.attributes["tare.ttft_s"].parse::<f64>().unwrap().to_bits(),
            row["ttft_s"].as_f64().unwrap().to_bits()
        );
        let first = span.events.iter().find(|(name, _)| name == "first token").unwrap().1;
        assert_eq!(first, row["first_token_unix_ns"].as_u64().unwrap());
        assert_eq!(span.attributes["gen_ai.usage.output_tokens"], "8");
        assert_eq!((span.name.as_str(), span.error.as_deref()), ("chat tare-mock", None));
    }
    let notes = summary(&place)["notes"].to_string();
    assert!(notes.contains("client spans went to"), "{notes}");
}

#[test]
fn what_is_sent_afterwards_is_what_was_sent_meanwhile() {
    let (meanwhile, first) = Inbox::serve(Vec::new());
    let (afterwards, second) = Inbox::serve(Vec::new());
    let server = LookAlike::start(&[]);
    let place = Place::new();
    let run = format!(
        "run --base-url {} --output run --users 4 --num-prompts 150 --random-input-len 12 --random-output-len 4 --ignore-eos",
        server.url
    );
    assert_eq!(place.tare(&format!("{run} --export-spans {}", first.url(""))).code, Some(0));
    let before: Vec<_> = files(&place.path("run"));
    let said = place.tare(&format!("report run --export-spans {}", second.url("")));
    let _bound = filters();
    insta::assert_snapshot!(said.shown(), @r"
    exit code: 0
    ----- stdout
    client spans went to http://127.0.0.1:PORT/v1/traces: 150 requests, 600 spans
    ----- stderr
    ");
    assert_eq!(files(&place.path("run")), before, "a folder that is exported is only looked at");
    let sorted = |inbox: &Inbox| {
        let mut spans = inbox.spans();
        spans.sort_by(|a, b| (&a.trace, &a.id).cmp(&(&b.trace, &b.id)));
        spans
    };
    assert_eq!(sorted(&meanwhile), sorted(&afterwards));

    let said = place.tare("report run --export-spans spans.jsonl --window steady");
    assert_eq!(said.code, Some(2), "{}", said.shown());

    // And in a file, read by the reader of the collector's files.
    assert_eq!(place.tare("report run --export-spans spans.jsonl").code, Some(0));
    let text = std::fs::read_to_string(place.path("spans.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 2, "a line for each batch of 128 requests");
    let mut of_file = 0;
    for line in text.lines() {
        let export: Value = serde_json::from_str(line).unwrap();
        for span in export["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap() {
            let same = sorted(&afterwards)
                .into_iter()
                .find(|other| other.id == span["spanId"].as_str().unwrap())
                .unwrap();
            assert_eq!(same.name, span["name"].as_str().unwrap());
            assert_eq!(same.trace, span["traceId"].as_str().unwrap());
            assert_eq!(same.start.to_string(), span["startTimeUnixNano"].as_str().unwrap());
            of_file += 1;
        }
    }
    assert_eq!(of_file, sorted(&afterwards).len());
}

#[test]
fn a_collector_that_is_not_there_takes_nothing_from_a_run() {
    let server = LookAlike::start(&[]);
    // So many milliseconds are waited for it, each time.
    let place = Place::new().env("OTEL_EXPORTER_OTLP_TIMEOUT", "300");
    let said = place.tare(&format!(
        "run --base-url {} --output run --users 2 --num-prompts 10 --random-input-len 12 --random-output-len 4 --export-spans http://{}",
        server.url,
        closed_port()
    ));
    assert_eq!(said.code, Some(0), "{}", said.shown());
    assert_eq!(summary(&place)["completed"], 10);
    let warnings = summary(&place)["warnings"].to_string();
    assert!(warnings.contains("those of 10 requests could not be sent"), "{warnings}");
    assert!(said.err.contains("does not take spans yet"), "{}", said.err);
    let said = place.tare(&format!("report run --export-spans http://{}", closed_port()));
    assert_eq!(said.code, Some(3), "{}", said.shown());
}

#[test]
fn a_busy_collector_is_asked_again_and_one_that_refuses_is_not() {
    let server = LookAlike::start(&[]);
    let place = Place::new();
    assert_eq!(
        place.tare(&format!("run --base-url {} --output run --users 2 --num-prompts 10 --random-input-len 12 --random-output-len 4", server.url)).code,
        Some(0)
    );
    let busy = (StatusCode::SERVICE_UNAVAILABLE, Vec::new());
    let (inbox, collector) = Inbox::serve(vec![busy.clone(), busy]);
    assert_eq!(place.tare(&format!("report run --export-spans {}", collector.url(""))).code, Some(0));
    let bodies: Vec<Vec<u8>> = inbox.bodies.lock().unwrap().iter().map(|(_, body)| body.clone()).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| *body == bodies[0]), "the same batch three times");

    let _bound = filters();
    let (inbox, collector) = Inbox::serve(vec![(StatusCode::UNAUTHORIZED, Vec::new())]);
    insta::assert_snapshot!(place.tare(&format!("report run --export-spans {}", collector.url(""))).shown(), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: client spans are lacking at http://127.0.0.1:PORT/v1/traces: those of 10 requests could not be sent (it answers 401: it wants other headers (--export-spans-header, OTEL_EXPORTER_OTLP_HEADERS))
    ");
    assert_eq!(inbox.bodies.lock().unwrap().len(), 1);
    // ExportTraceServiceResponse { partial_success: { rejected_spans: 3, error_message: "too old" } }
    let partial = [&[0x0a, 0x0b, 0x08, 0x03, 0x12, 0x07][..], b"too old"].concat();
    let (_inbox, collector) = Inbox::serve(vec![(StatusCode::OK, partial)]);
    insta::assert_snapshot!(place.tare(&format!("report run --export-spans {}", collector.url(""))).shown(), @r"
    exit code: 3
    ----- stdout
    client spans went to http://127.0.0.1:PORT/v1/traces: 10 requests, 37 spans
    ----- stderr
    error: client spans are lacking at http://127.0.0.1:PORT/v1/traces: 3 spans were refused (too old)
    ");
}

#[test]
fn headers_reach_the_collector_and_nothing_else() {
    let (inbox, collector) = Inbox::serve(Vec::new());
    let server = LookAlike::start(&[]);
    let place = Place::new()
        .env("OTEL_EXPORTER_OTLP_HEADERS", &format!("api-key={KEY}"))
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url(""));
    let said = place.tare(&format!(
        "run --base-url {} --output run --users 2 --num-prompts 10 --random-input-len 12 --random-output-len 4 \
         --export-spans env --export-spans-header x-team=team-{KEY}",
        server.url
    ));
    assert_eq!(said.code, Some(0), "{}", said.shown());
    let bodies = inbox.bodies.lock().unwrap();
    assert!(!bodies.is_empty());
    for (headers, body) in bodies.iter() {
        assert_eq!(headers["api-key"], KEY);
        assert_eq!(headers["x-team"], format!("team-{KEY}"));
        assert_eq!(headers["content-encoding"], "gzip");
        assert!(!spans(headers, body).iter().any(|span| format!("{span:?}").contains(KEY)));
    }
    for path in files(&place.path("run")) {
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(KEY.len()).any(|piece| piece == KEY.as_bytes()), "{}", path.display());
    }
    assert!(!said.shown().contains(KEY));
    drop(bodies);

    // Without being asked for, nothing is sent, whatever the environment says.
    let before = inbox.bodies.lock().unwrap().len();
    let said = place.tare(&format!("run --base-url {} --output other --users 1 --num-prompts 2 --random-input-len 12 --random-output-len 4", server.url));
    assert_eq!(said.code, Some(0), "{}", said.shown());
    assert_eq!(inbox.bodies.lock().unwrap().len(), before);
}

/// The server can only send its spans to one place: where that is tare, they go on from there.
#[test]
fn spans_that_come_here_are_passed_on_and_warm_ups_have_theirs() {
    let (inbox, collector) = Inbox::serve(Vec::new());
    let place = Place::new();
    let said = place.tare(&format!(
        "run --output run --users 4 --num-prompts 30 --random-input-len 12 --random-output-len 4 --num-warmups 3 --export-spans {}",
        collector.url("")
    ));
    assert_eq!(said.code, Some(0), "{}", said.shown());
    let (ours, theirs) = inbox.both();
    let by_id: BTreeMap<&str, &Span> = ours.iter().map(|span| (span.id.as_str(), span)).collect();
    let requests: Vec<&Span> = theirs.iter().filter(|span| span.name == "llm_request").collect();
    assert_eq!((ours.len(), requests.len()), (33, 33));
    let warmups = ours.iter().filter(|span| span.attributes.contains_key("tare.warmup"));
    assert_eq!(warmups.count(), 3);
    for inner in &requests {
        assert_eq!(by_id[inner.parent.as_str()].trace, inner.trace);
    }
    // They are of use here, too.
    let of_folder = std::fs::read_to_string(place.path("run/spans.jsonl")).unwrap();
    assert_eq!(of_folder.lines().filter(|line| line.contains("llm_request")).count(), 33);
    let notes = summary(&place)["notes"].to_string();
    assert!(notes.contains("30 requests and 3 warm-ups"), "{notes}");
    assert!(notes.contains("that came here from others were passed on"), "{notes}");
}
