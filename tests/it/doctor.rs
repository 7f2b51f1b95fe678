//! `tare doctor` as its users meet it: against the look-alike with more or less of its evidence on, and
//! against servers that behave as gateways do.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use insta::{Settings, assert_snapshot};
use serde_json::Value;

use crate::program::{LookAlike, Place, filters};
use crate::support::{closed_port, free_port, serve};

/// Steps long enough that a busy machine does not make their tokens come together.
const STEADY: [&str; 2] = ["--decode-base-ms", "20"];

/// Numbers that the machine's speed decides.
#[must_use]
fn doctor_filters() -> impl Sized {
    let outer = filters();
    let mut settings = Settings::clone_current();
    settings.add_filter(r"\b\d+ events came at \d+ moments", "N events came at N moments");
    settings.add_filter(r"`vllm-0\.32\.0-[0-9a-f]{8}`", "`FINGERPRINT`");
    (settings.bind_to_scope(), outer)
}

#[test]
fn a_server_with_its_usual_evidence() {
    let _names = doctor_filters();
    let server = LookAlike::start(&STEADY);
    assert_snapshot!(Place::new().tare(&format!("doctor {}", server.url)).shown(), @r"
    exit code: 0
    ----- stdout
    http://127.0.0.1:PORT: vllm 0.32.0 (recognised by `owned_by: vllm` in /v1/models), model `tare-mock`, fingerprint `FINGERPRINT`
    5 of 5 streamed requests answered, one not streamed answered

    Evidence, the best first
      unknown  OTLP spans         not listened for
                                  adds: arrival, TTFT, queue, prefill, decode and E2E of each request, with instants: the whole breakdown, and a bound of the clocks
                                  unlock: start the server with `--otlp-traces-endpoint http://127.0.0.1:PORT`
                                  note: gRPC; with OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf it is port 4318 and path /v1/traces. OTEL_BSP_SCHEDULE_DELAY=500 sends every half second, not every five; OTEL_BSP_MAX_QUEUE_SIZE (2048) must hold the requests of that time, or spans are lost
                                  look: tare doctor … --otlp
      unknown  stat log           not given
                                  adds: arrival, queue, prefill, decode, E2E, cached tokens and preemptions of each request; no TTFT
                                  unlock: install the plugin assets/vllm_tare_logger beside vLLM and start it with TARE_STAT_LOG=FILE in its environment (0.20 or newer)
                                  look: tare doctor … --stat-log FILE
      on       in-band metrics    in 5 of 5 streamed answers, and in the one that was not streamed
      unknown  request log lines  no log was given
                                  adds: when each request was received and added: an instant as fine as the log's stamps; refusals and aborts
                                  unlock: start the server with `--enable-log-requests`
                                  note: `--enable-log-outputs` adds when each answer's first output and end came; VLLM_LOGGING_CONFIG_PATH=configs/vllm-logging-us.json gives stamps of a microsecond, not of a second
                                  look: tare doctor … --server-log FILE
      on       metrics endpoint   histograms of TTFT, ITL, TPOT, E2E, queue, prefill, decode; the first bucket of queue, prefill, decode ends at TIME: below it only means are known
      on       usage              tokens counted in 5 of 5 streamed answers, and with each event of 5
      on       X-Request-Id       the id sent is in the id of 5 of 5 answers

    Between client and server
      no sign of a gateway
      - no gateway names itself in the headers (`server: uvicorn`)
      - X-Request-Id came through (5 of 5)
      - connections are kept (4 of 4)
      - the head came TIME after sending, TIME before the first token (medians)
      - events came one by one (N events came at N moments)

    Clocks
      one clock, by its address: this host. No stamp of the server was there to check it

    next: OTLP spans: start the server with `--otlp-traces-endpoint http://127.0.0.1:PORT`; then `tare doctor http://127.0.0.1:PORT --otlp`
    ----- stderr
    ");
}

#[test]
fn a_server_that_tells_nothing() {
    let _names = doctor_filters();
    let quiet = ["--no-enable-per-request-metrics", "--no-enable-log-requests", "--fault", "metrics_404"];
    let server = LookAlike::start(&[STEADY.as_slice(), &quiet].concat());
    let said = Place::new()
        .tare(&format!("doctor {} --otlp --otlp-grpc-port 0 --otlp-http-port 0 --span-wait 0.2", server.url));
    let evidence = said.out.split("\nBetween client").next().unwrap();
    let names: Vec<String> = evidence
        .lines()
        .filter(|l| l.starts_with("  o") || l.starts_with("  unknown"))
        .map(|l| l.chars().take(29).collect::<String>().trim().to_owned())
        .collect();
    assert_eq!(
        names,
        [
            "off      OTLP spans",
            "unknown  stat log",
            "off      in-band metrics",
            "unknown  request log lines",
            "off      metrics endpoint",
            "on       usage",
            "on       X-Request-Id",
        ],
        "{}",
        said.out
    );
    assert!(said.out.contains("no span came within"), "{}", said.out);
    assert!(said.out.contains("status 404"), "{}", said.out);
    assert!(said.out.contains(
        "\nnext: OTLP spans: start the server with `--otlp-traces-endpoint http://127.0.0.1:4317`"
    ));
    assert_eq!(said.code, Some(0));
}

#[test]
fn spans_that_come_leave_nothing_to_do() {
    let place = Place::new();
    let port = free_port().port();
    let endpoint = format!("http://127.0.0.1:{port}");
    let server = LookAlike::start(&[STEADY.as_slice(), &["--otlp-endpoint", &endpoint]].concat());
    let args = format!(
        "doctor {} --otlp --otlp-grpc-port 0 --otlp-http-port {port} --span-wait 60 --json",
        server.url
    );
    let said = place.tare(&args);
    let found: Value =
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}{}", said.out, said.err));
    assert_eq!(
        (&found["levels"][0]["name"], &found["levels"][0]["state"]),
        (&"OTLP spans".into(), &"on".into())
    );
    assert_eq!(found["next"], Value::Null);
    // Five requests: five pairs out, a first and a last token each back.
    assert_eq!((&found["clocks"]["pairs_out"], &found["clocks"]["pairs_back"]), (&5.into(), &10.into()));
    assert_eq!(found["clocks"]["relation"], "one_clock");
    assert_eq!((&found["streamed_ok"], &found["unstreamed_error"]), (&5.into(), &Value::Null));
    assert_eq!(found["between"]["gateway"], Value::Null, "{}", found["between"]);
}

#[test]
fn a_stat_log_tells_of_these_requests() {
    let place = Place::new();
    let stat_log = place.path("stat.jsonl").display().to_string();
    let server = LookAlike::start(&[STEADY.as_slice(), &["--stat-log", &stat_log]].concat());
    let said = place.tare(&format!("doctor {} --stat-log {stat_log} --json", server.url));
    let found: Value =
        serde_json::from_str(&said.out).unwrap_or_else(|e| panic!("{e}: {}{}", said.out, said.err));
    let level = &found["levels"][1];
    assert_eq!((&level["name"], &level["state"]), (&"stat log".into(), &"on".into()), "{level}");
    assert!(level["seen"].as_str().unwrap().starts_with("5 lines are of these requests"), "{level}");
    // An arrival and an end of each, and no first token.
    assert_eq!((&found["clocks"]["pairs_out"], &found["clocks"]["pairs_back"]), (&5.into(), &5.into()));
    assert!(found["next"].as_str().unwrap().starts_with("OTLP spans: "), "{}", found["next"]);
}

/// Twenty events, each with a token, told as the server would at one every 20 ms.
fn whole_answer() -> String {
    use std::fmt::Write as _;
    let mut body = String::new();
    for n in 1..=20 {
        let reason = if n == 20 { "\"stop\"" } else { "null" };
        let _ = write!(
            body,
            "data: {{\"id\":\"chatcmpl-other\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"w\"}},\"finish_reason\":{reason}}}],\"usage\":{{\"prompt_tokens\":9,\"completion_tokens\":{n}}}}}\n\n"
        );
    }
    let metrics =
        "\"metrics\":{\"time_to_first_token_ms\":10.0,\"generation_time_ms\":380.0,\"queue_time_ms\":0.1}";
    let _ = write!(body, "data: {{\"id\":\"chatcmpl-other\",\"choices\":[],{metrics}}}\n\ndata: [DONE]\n\n");
    body
}

/// Answers a stream in one piece, when all of it is there.
async fn buffer(headers: HeaderMap) -> impl IntoResponse {
    tokio::time::sleep(Duration::from_millis(60)).await;
    let streamed = headers.get("accept").is_some_and(|accept| accept == "text/event-stream");
    let named = [("via", "1.1 edge"), ("connection", "close"), ("x-request-id", "made-here")];
    if streamed {
        (StatusCode::OK, named, [("content-type", "text/event-stream")], whole_answer())
    } else {
        let body = r#"{"id":"chatcmpl-other","choices":[{"index":0,"message":{"content":"yes"},"finish_reason":"stop"}]}"#;
        (StatusCode::OK, named, [("content-type", "application/json")], body.to_owned())
    }
}

#[test]
fn a_gateway_that_buffers_replaces_ids_and_closes() {
    let _names = doctor_filters();
    let models = r#"{"object":"list","data":[{"id":"m"}]}"#;
    let gateway = serve(
        Router::new()
            .route("/v1/models", get(move || async move { models }))
            .route("/v1/chat/completions", post(buffer)),
    );
    let said = Place::new().tare(&format!("doctor {} --no-server-metrics", gateway.url("")));
    let between =
        said.out.split("\nBetween client and server\n").nth(1).unwrap_or_else(|| panic!("{}", said.shown()));
    assert_snapshot!(between.split("\nnext:").next().unwrap(), @r"
      a gateway, by what was seen: certain
      ! a proxy names itself: `via: 1.1 edge` (certain)
      ! X-Request-Id came through in 0 of 5 requests, and vLLM always makes its id of it: it was dropped or replaced on the way (likely)
      ! the header `x-request-id` of the answer is another than was sent: a gateway made its own (likely)
      ! the connection was closed after an answer (4 of 4): a client that keeps none pays for a new one in each TTFT (certain)
      ! the head came with the first token, TIME after sending: held back until then, so that time to the head is TTFT (likely)
      ! the whole body was held back and came at once: N events came at N moments; the server's step takes TIME (likely)

    Clocks
      one clock, by its address: this host. No stamp of the server was there to check it
      the address is the gateway's: the server behind it may be on another host
    ");
}

#[test]
fn a_log_tells_whether_this_client_is_the_servers_own() {
    let place = Place::new();
    place.file("server.log", "");
    let server = LookAlike::start(&STEADY);
    // Lines of somebody else's connections.
    let log = place.path("server.log");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (path, until) = (log.clone(), stop.clone());
    let writer = std::thread::spawn(move || {
        use std::io::Write;
        while !until.load(std::sync::atomic::Ordering::Relaxed) {
            let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
            writeln!(file, "INFO:     10.0.0.1:9 - \"POST /v1/chat/completions HTTP/1.1\" 200 OK").unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let said = place.tare(&format!("doctor {} --server-log server.log", server.url));
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    assert!(
        said.out.contains("access lines came meanwhile and none names a port of this client"),
        "{}",
        said.out
    );
    assert!(said.out.contains("a gateway, by what was seen: likely"), "{}", said.out);
    assert!(said.out.contains("off      request log lines"), "{}", said.out);
}

#[test]
fn without_an_answer_it_is_an_error() {
    let _names = doctor_filters();
    assert_snapshot!(Place::new().tare(&format!("doctor http://{}", closed_port())).shown(), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: no server answers at http://127.0.0.1:PORT: Connection refused (os error N)
    hint: start the server first, or say where it is (--base-url, or --host and --port); --ready-check-timeout-sec waits for it, and `tare run` without a URL starts an embedded one
    ");
    let server = LookAlike::start(&["--fault", "http_500"]);
    assert_snapshot!(Place::new().tare(&format!("doctor {}", server.url)).shown(), @r"
    exit code: 3
    ----- stdout
    ----- stderr
    error: expected answers from http://127.0.0.1:PORT, found none to 5 requests: HTTP 500: Internal Server Error
    hint: `tare run` with the same flags keeps every record; --model, --endpoint and --backend say what is asked for
    ");
    assert_snapshot!(Place::new().tare("doctor").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: the following required arguments were not provided:
      <URL>

    Usage: tare doctor <URL>

    For more information, try '--help'.
    ");
}

#[test]
fn a_key_is_not_repeated() {
    let server = LookAlike::start(&STEADY);
    let place = Place::new().env("OPENAI_API_KEY", "sk-very-secret");
    for args in ["", "--json"] {
        let said = place.tare(&format!("doctor {} --header X-Other=other-secret {args}", server.url));
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(!said.shown().contains("very-secret") && !said.shown().contains("other-secret"));
    }
}

/// The page of metrics may be another host's than the endpoint that the key is for.
#[test]
fn a_key_is_not_sent_to_the_metrics_endpoint() {
    use std::io::{Read, Write};
    let server = LookAlike::start(&STEADY);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let metrics = format!("http://{}/metrics", listener.local_addr().unwrap());
    let (said, answers) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let n = stream.read(&mut head).unwrap();
            let _ = said.send(String::from_utf8_lossy(&head[..n]).to_ascii_lowercase());
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    let place = Place::new().env("OPENAI_API_KEY", "sk-very-secret");
    let said = place.tare(&format!("doctor {} --server-metrics {metrics}", server.url));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let heads: Vec<String> = answers.try_iter().collect();
    assert!(heads.len() > 1, "the page was asked for: to know the server, and in the run");
    assert!(heads.iter().all(|head| !head.contains("very-secret")), "{heads:?}");
}
