//! A planted API key and a planted header's value are in no file of a run and in no word that the
//! program says, although the server repeats them wherever a server can.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tare::clock::UnixNs;

use crate::program::{Place, Said, files};
use crate::support::{Served, free_port, serve};

const KEY: &str = "sk-planted-4f9c2e7ab1d05836";
const VALUE: &str = "team-planted-77e1c0d9";
/// Half of a secret is too much.
const PIECES: [&str; 4] = [KEY, VALUE, "planted-4f9c", "planted-77e1"];

/// What the server repeats secrets into, beside its answers.
struct Gossip {
    asked: AtomicUsize,
    log: PathBuf,
    otlp: String,
}

/// One way of telling for each request, in turn.
async fn gossip(State(gossip): State<Arc<Gossip>>, headers: HeaderMap) -> Response {
    let text =
        |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let heard = format!("{} of {}", text("authorization"), text("x-team"));
    let mut log = std::fs::File::options().append(true).open(&gossip.log).unwrap();
    writeln!(log, "(APIServer pid=7) INFO 11-24 18:00:00 [launcher.py:37] heard {heard}").unwrap();
    writeln!(log, "nobody's format, and {heard}\n{}{heard}", "x".repeat(1_980)).unwrap();
    export(&gossip.otlp, &text("traceparent"), &heard).await;

    let events = |body: String| ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response();
    let json =
        |status, body: String| (status, [(header::CONTENT_TYPE, "application/json")], body).into_response();
    let whole = |id: &str| {
        format!(
            "data: {{\"id\":\"{id}\",\"choices\":[{{\"delta\":{{\"content\":\"a\"}}}}]}}\n\ndata: [DONE]\n\n"
        )
    };
    match gossip.asked.fetch_add(1, Ordering::SeqCst) % 10 {
        0 => json(
            StatusCode::UNAUTHORIZED,
            format!("{{\"error\":{{\"message\":\"{heard} may not\",\"code\":\"{heard}\"}}}}"),
        ),
        1 => (StatusCode::INTERNAL_SERVER_ERROR, format!("<html>{heard}</html>")).into_response(),
        2 => events(format!("data: {{\"error\":{{\"message\":\"{heard}\"}}}}\n\ndata: [DONE]\n\n")),
        3 => events(whole(&format!("chatcmpl-{heard}"))),
        4 => events(format!("data: {{\"choices\": {heard}\n\n")),
        // Where a message is cut, a secret may be cut with it.
        5 => (StatusCode::BAD_GATEWAY, format!("{}{heard}", "y".repeat(274))).into_response(),
        6 => (StatusCode::BAD_GATEWAY, format!("{}{}", "y".repeat(285), text("x-team"))).into_response(),
        7 => events(format!("data: {}{heard}\n\n", "z".repeat(100))),
        8 => json(
            StatusCode::BAD_REQUEST,
            format!("{{\"detail\":[{{\"input\":\"{heard}\",\"\\u0073\":\"\\u0073{}\"}}]}}", &KEY[1..]),
        ),
        _ => events(whole("chatcmpl-plain")),
    }
}

/// A span whose attributes are the request's headers, as some instrumentations record them.
async fn export(otlp: &str, traceparent: &str, heard: &str) {
    let bytes = |hex: &str| {
        (0..hex.len() / 2).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()).collect()
    };
    let parts: Vec<&str> = traceparent.split('-').collect();
    let text = AnyValue { value: Some(Value::StringValue(heard.to_owned())) };
    let attribute = KeyValue {
        key: "http.request.header.authorization".into(),
        value: Some(text),
        ..KeyValue::default()
    };
    let now = UnixNs::now().0 as u64;
    let span = Span {
        trace_id: bytes(parts[1]),
        span_id: vec![3; 8],
        parent_span_id: bytes(parts[2]),
        name: format!("llm_request of {heard}"),
        start_time_unix_nano: now,
        end_time_unix_nano: now,
        attributes: vec![attribute],
        ..Span::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client
        .post(otlp)
        .header(header::CONTENT_TYPE.as_str(), "application/x-protobuf")
        .body(body)
        .send()
        .await;
    assert!(answer.unwrap().status().is_success());
}

/// The server, where its log goes, and the ports that it sends spans to.
fn gossiping(place: &Place) -> (Served, String) {
    let (grpc, http) = (free_port(), free_port());
    let log = place.path("server.log");
    std::fs::write(&log, "").unwrap();
    let told = Gossip { asked: AtomicUsize::new(0), log, otlp: format!("http://{http}/v1/traces") };
    let models = |headers: HeaderMap| async move {
        let team = headers.get("x-team").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        (
            [(header::CONTENT_TYPE, "application/json")],
            format!("{{\"data\":[{{\"id\":\"tiny\"}},{{\"id\":\"{team}\"}}]}}"),
        )
    };
    let version = |headers: HeaderMap| async move {
        let heard =
            headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        ([(header::CONTENT_TYPE, "application/json")], format!("{{\"version\":\"{heard}\"}}"))
    };
    let router = Router::new()
        .route("/v1/models", get(models))
        .route("/version", get(version))
        .route("/metrics", get(|| async { (StatusCode::FORBIDDEN, format!("not with {KEY}")) }))
        .route("/v1/chat/completions", post(gossip))
        .with_state(Arc::new(told));
    let ports =
        format!("--otlp --otlp-grpc-port {} --otlp-http-port {} --span-wait 0", grpc.port(), http.port());
    (serve(router), ports)
}

fn no_secrets(what: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for piece in PIECES {
        if let Some(at) = text.find(piece) {
            let from = text.floor_char_boundary(at.saturating_sub(120));
            panic!("{what} tells `{piece}`: …{}", &text[from..text.floor_char_boundary(at + 120)]);
        }
    }
}

fn silent(said: &Said) {
    no_secrets("stdout", said.out.as_bytes());
    no_secrets("stderr", said.err.as_bytes());
}

/// Runs, and looks everywhere.
fn nothing_is_told(place: &Place, secrets: &str) {
    let (server, ports) = gossiping(place);
    let args = format!(
        "-vv run --base-url {} --model tiny --users 2 --num-prompts 30 --num-warmups 11 --random-input-len 5 \
         --output run --server-log server.log {ports} {secrets}",
        server.url("")
    );
    let planned = place.tare(&format!("{args} --dry-run"));
    assert_eq!(planned.code, Some(0), "{}", planned.err);
    silent(&planned);

    let said = place.tare(&args);
    assert_eq!(said.code, Some(0), "{}\n{}", said.out, said.err);
    silent(&said);
    silent(&place.tare("report run"));
    let files = files(&place.path("run"));
    assert!(files.len() > 15, "{files:?}");
    for path in files {
        no_secrets(&path.display().to_string(), &std::fs::read(&path).unwrap());
    }
    // They came all the way, and were taken out where they would have been written.
    let read = |name: &str| std::fs::read_to_string(place.path(name)).unwrap();
    for name in
        ["run/results.jsonl", "run/server_log.jsonl", "run/spans.jsonl", "run/report.md", "run/manifest.json"]
    {
        assert!(read(name).contains("[redacted]"), "{name}");
    }
    let kinds = read("run/report.md");
    for kind in ["http_error", "stream_error", "decode_error"] {
        assert!(kinds.contains(kind), "no {kind}: {kinds}");
    }
}

#[test]
fn the_key_of_the_environment_is_told_nowhere() {
    let place = Place::new().env("PLANTED", KEY);
    nothing_is_told(&place, &format!("--api-key-env PLANTED --header X-Team={VALUE}"));
}

#[test]
fn an_authorization_header_is_told_nowhere() {
    // The space keeps the key a word of its own within the value.
    let place = Place::new();
    place.file(
        "config.yaml",
        format!("target:\n  headers:\n    Authorization: Bearer {KEY}\n    X-Team: {VALUE}\n"),
    );
    nothing_is_told(&place, "config.yaml");
}

#[test]
fn a_refusal_before_the_run_does_not_repeat_the_key() {
    let place = Place::new().env("OPENAI_API_KEY", KEY);
    let refuse = |headers: HeaderMap| async move {
        (
            StatusCode::UNAUTHORIZED,
            format!("{{\"error\":\"{:?} is unknown here\"}}", headers.get("authorization")),
        )
    };
    let server = serve(Router::new().route("/v1/models", get(refuse)));
    let said = place.tare(&format!("run --base-url {} --num-prompts 1 --output run", server.url("")));
    assert_eq!(said.code, Some(3));
    assert!(said.err.contains("answered HTTP 401") && said.err.contains("[redacted]"), "{}", said.err);
    silent(&said);
    assert!(!place.path("run").exists(), "nothing was sent, nothing is kept");
}

/// What is quoted of a configuration or an address may hold a key where none belongs.
#[test]
fn a_mistake_beside_a_key_does_not_show_it() {
    let place = Place::new();
    for yaml in [
        format!("target:\n  headers: Bearer {KEY}\n"),
        format!("target:\n  headers: {VALUE}\n"),
        format!("target:\n  headers:\n    - X-Team: {VALUE}\n"),
        format!("target:\n  headers:\n    X-Team: {VALUE}\n   X-Other: [\n"),
        format!("target:\n  headers:\n    X-Team: [{VALUE}\n"),
        format!("target: {{headers: {{X-Team: \"{VALUE}}}}}\n"),
        format!("target: {{headers: {{X-Team: [{VALUE}]}}}}\n"),
        format!("target:\n  api_key: {KEY}\n"),
        format!("target:\n  api_key_env: {KEY}\n"),
        format!("target: {KEY}\n"),
    ] {
        place.file("config.yaml", &yaml);
        let said = place.tare("run config.yaml --num-prompts 1 --output run");
        assert_eq!(said.code, Some(2), "{yaml}{}", said.err);
        assert!(said.err.contains("config.yaml"), "{}", said.err);
        silent(&said);
    }
    for url in [
        format!("http://user:{KEY}@127.0.0.1:9"),
        format!("user:{KEY}@127.0.0.1:9"),
        format!("http://user:pl/{KEY}@127.0.0.1:9"),
        format!("http://127.0.0.1:9/v1?token={VALUE}"),
        format!("127.0.0.1:9?token={VALUE}"),
        format!("ftp://127.0.0.1:9?token={VALUE}"),
    ] {
        for args in [
            format!("run --base-url {url}"),
            format!("run --base-url http://127.0.0.1:9 --server-metrics {url}"),
            format!("doctor {url}"),
            format!("audit --direct {url} --through {url}"),
            format!("tap --listen 0 --upstream {url}"),
        ] {
            let said = place.tare(&args);
            assert_eq!(said.code, Some(2), "{args}: {}", said.err);
            silent(&said);
        }
    }
}

/// No proxy is asked, whatever the environment says, so that nobody hears of its credentials or of the key.
#[test]
fn proxies_of_the_environment_are_not_used() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let url = format!("http://user:{VALUE}@{}", proxy.local_addr().unwrap());
    let mut place = Place::new().env("OPENAI_API_KEY", KEY);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"] {
        place = place.env(name, &url);
    }
    let (server, ports) = gossiping(&place);
    let said = place.tare(&format!(
        "run --base-url {} --model tiny --num-prompts 12 --random-input-len 5 --output run {ports}",
        server.url("")
    ));
    assert_eq!(said.code, Some(0), "{}", said.err);
    silent(&said);
    for path in files(&place.path("run")) {
        no_secrets(&path.display().to_string(), &std::fs::read(&path).unwrap());
    }
    assert_eq!(proxy.accept().map(|_| ()).map_err(|e| e.kind()), Err(std::io::ErrorKind::WouldBlock));
}

#[test]
fn a_mistake_with_the_key_does_not_show_it() {
    let place = Place::new().env("PLANTED", &format!("{KEY} {VALUE}"));
    for args in [
        format!("--api-key-env {KEY}"),
        "--api-key-env PLANTED".to_owned(),
        format!("--header {VALUE}"),
        format!("--header X-Team={VALUE}é"),
    ] {
        let said =
            place.tare(&format!("run --base-url http://127.0.0.1:9 --num-prompts 1 --output run {args}"));
        assert_eq!(said.code, Some(2), "{}", said.err);
        silent(&said);
        assert!(!place.path("run").exists());
    }
}
