//! The program against a server that means no good: every request that met it is a counted failure whose
//! error says what was wrong, the good ones beside it stay good, memory stays bounded, and the run ends.

use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::malice::{Act, CHUNKED, END, Place as At, STREAM, TOKEN, answer, json, page, serve};
use crate::program::{Place, files};

/// No run of a few requests takes more, whatever it is sent. With a server that behaves, the same run takes about
/// 110 MiB, most of it while the report is made.
const MAX_RSS_KIB: u64 = 256 * 1024;
const COMPLETIONS: At = At { path: "/v1/chat/completions", every: 2 };
const RUN: &str = "--model tiny --users 2 --num-prompts 6 --random-input-len 5 --timeout 60 --output run";

/// What a run came to.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
    peak_kib: u64,
    rows: Vec<Value>,
}

impl Ran {
    fn of(&self, status: &str) -> Vec<&str> {
        let rows = self.rows.iter().filter(|row| row["status"] == status);
        rows.map(|row| row["error"].as_str().unwrap_or_default()).collect()
    }
}

/// Runs it, and watches its memory.
fn run(place: &Place, args: &str) -> Ran {
    let read = |name: &str| std::fs::read_to_string(place.path(name)).unwrap_or_default();
    let file = |name: &str| Stdio::from(std::fs::File::create(place.path(name)).unwrap());
    let mut child = place.command(args).stdout(file("out")).stderr(file("err")).spawn().unwrap();
    let mut peak_kib = 0;
    let status = loop {
        peak_kib = peak_kib.max(high_water_kib(&child));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let rows = read("run/results.jsonl").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Ran { code: status.code(), out: read("out"), err: read("err"), peak_kib, rows }
}

/// The kernel's own record of the most that was resident; 0 once the program is gone.
fn high_water_kib(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Half of six requests meet `act`: they end with `status` and an error that holds `says`.
fn half_of_the_requests(name: &str, act: Act, status: &str, says: &str) {
    let address = serve(COMPLETIONS, act);
    let place = Place::new();
    // Only what is to end by it may meet the time limit, on a slow machine too.
    let args =
        RUN.replace("--timeout 60", if status == "timeout" { "--timeout 1.5" } else { "--timeout 60" });
    let ran = run(&place, &format!("run --base-url http://{address} {args}"));
    let shown = format!("{name}: {}{}", ran.out, ran.err);
    assert_eq!(ran.code, Some(0), "{shown}");
    assert_eq!((ran.rows.len(), ran.of("ok").len()), (6, 3), "{shown}");
    let errors = ran.of(status);
    assert_eq!(errors.len(), 3, "{name}: {:?}", ran.rows.iter().map(|r| &r["error"]).collect::<Vec<_>>());
    assert!(errors.iter().all(|error| error.contains(says)), "{name}: {errors:?}");
    assert!(ran.out.contains("Failed Requests: 3"), "{shown}");
    assert!(ran.peak_kib < MAX_RSS_KIB, "{name}: {} KiB", ran.peak_kib);
    assert!(ran.peak_kib > 10_000, "{name}: memory was not seen: {} KiB", ran.peak_kib);
}

fn send(text: impl AsRef<[u8]>) -> Act {
    Act::Send(text.as_ref().to_vec())
}

fn flood(head: impl AsRef<[u8]>, unit: &str) -> Act {
    Act::Flood(head.as_ref().to_vec(), unit.as_bytes().to_vec())
}

fn drip(head: &str, unit: &str) -> Act {
    Act::Drip(head.as_bytes().to_vec(), unit.as_bytes().to_vec())
}

#[cfg_attr(not(target_os = "linux"), ignore = "how much memory a run took is read from /proc")]
#[test]
fn what_never_ends_is_given_up() {
    let head = "HTTP/1.1 200 OK\r\n";
    for (name, act, status, says) in [
        ("a header", flood(format!("{head}x: "), "a"), "decode_error", "larger than 65536 bytes"),
        ("headers", flood(head, "x: y\r\n"), "decode_error", "too many headers"),
        (
            "interim responses",
            flood("", "HTTP/1.1 100 Continue\r\n\r\n"),
            "decode_error",
            "more than 16 interim",
        ),
        ("a line", flood(STREAM, "a"), "decode_error", "none ends within 16 MiB"),
        ("a line of data", flood(format!("{STREAM}data: "), "a"), "decode_error", "none ends within 16 MiB"),
        ("comments", flood(STREAM, ": ping\n\n"), "decode_error", "none ends within 16 MiB"),
        ("events that say nothing", flood(STREAM, "data:\n\n"), "decode_error", "more than 1048576 events"),
        ("tokens", flood(STREAM, TOKEN), "decode_error", "more than 1048576 events"),
        ("garbage", flood(STREAM, "data: {]\n\n"), "decode_error", "expected a JSON chunk"),
        ("ends", flood(STREAM, "data: [DONE]\n\n"), "decode_error", "more than 1048576 events"),
        ("a refusal", flood("HTTP/1.1 500 No\r\n\r\n", "e"), "http_error", "HTTP 500: eeee"),
        (
            "a whole answer",
            flood("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n", "["),
            "decode_error",
            "longer than 32 MiB",
        ),
        ("a chunk's extension", flood(format!("{CHUNKED}5;"), "a"), "decode_error", "longer than 8192 bytes"),
        (
            "trailers",
            flood(format!("{CHUNKED}1\r\n:\r\n0\r\n"), "x: y\r\n"),
            "decode_error",
            "longer than 65536",
        ),
        ("a head, slowly", drip(head, "x"), "timeout", "no response head"),
        ("a body, slowly", drip(STREAM, ":"), "timeout", "did not end"),
        ("silence", drip("", ""), "timeout", "no response head"),
    ] {
        half_of_the_requests(name, act, status, says);
    }
}

#[cfg_attr(not(target_os = "linux"), ignore = "how much memory a run took is read from /proc")]
#[test]
fn what_is_no_answer_is_a_failure_and_says_why() {
    let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let long = "x".repeat(100 << 20);
    let id = "i".repeat(8 << 20);
    let encoded = STREAM.replace("\r\n\r\n", "\r\ncontent-encoding: gzip\r\n\r\n");
    for (name, act, status, says) in [
        (
            "a chunk of 2^64 - 1",
            send(format!("{CHUNKED}ffffffffffffffff\r\n:")),
            "decode_error",
            "`ffffffffffffffff`",
        ),
        ("a chunk of 2^60 - 1", send(format!("{CHUNKED}fffffffffffffff\r\n{TOKEN}")), "cut", "in the middle"),
        ("a negative chunk", send(format!("{CHUNKED}-1\r\n{TOKEN}")), "decode_error", "found `-1`"),
        (
            "a length that is no number",
            send(STREAM.replace("\r\n\r\n", "\r\ncontent-length: 99999999999999999999\r\n\r\n")),
            "decode_error",
            "99999999999999999999",
        ),
        (
            "a length of 2^64 - 1",
            send(STREAM.replace("\r\n\r\n", "\r\ncontent-length: 18446744073709551615\r\n\r\n") + TOKEN),
            "cut",
            "in the middle",
        ),
        (
            "a length that is too short",
            send(STREAM.replace("\r\n\r\n", "\r\ncontent-length: 20\r\n\r\n") + TOKEN + END),
            "cut",
            "ended without",
        ),
        (
            "another protocol",
            send("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n"),
            "decode_error",
            "101",
        ),
        ("HTTP/2", send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "decode_error", "response head"),
        ("zeros", send([0; 1000]), "decode_error", "response head"),
        ("status 000", send("HTTP/1.1 000 X\r\n\r\n"), "decode_error", "the status 000"),
        ("status 999", send("HTTP/1.1 999 X\r\n\r\n"), "http_error", "HTTP 999"),
        (
            "a redirect",
            send(json("307 Moved", "location: http://127.0.0.1:1/x\r\n", "{}")),
            "http_error",
            "HTTP 307",
        ),
        (
            "no UTF-8",
            send([STREAM.as_bytes(), b"data: {\"id\":\"\xff\xfe\"}\n\n"].concat()),
            "decode_error",
            "invalid",
        ),
        ("an answer that is packed", send(encoded), "decode_error", "compressed"),
        (
            "an id of 1 MB in a header",
            send(STREAM.replace("\r\n\r\n", &format!("\r\nx-request-id: {}\r\n\r\n", &long[..1 << 20]))),
            "decode_error",
            "larger than 65536 bytes",
        ),
        (
            "an id of 8 MiB",
            send(format!("{STREAM}data: {{\"id\":\"{id}\"}}\n\n{END}")),
            "decode_error",
            "an id of at most 1024",
        ),
        ("a line of 100 MiB", send(format!("{STREAM}data: {long}\n\n{END}")), "decode_error", "too long"),
        (
            "an error of 100,000 levels",
            send(format!("{STREAM}data: {{\"error\":{}}}\n\n", deep(100_000))),
            "decode_error",
            "recursion limit",
        ),
        ("a refusal of 100,000 levels", send(json("500 No", "", &deep(100_000))), "http_error", "HTTP 500"),
        (
            "-5 tokens",
            send(answer("{\"completion_tokens\":-5}")),
            "decode_error",
            "expected a count of tokens",
        ),
        (
            "2^63 tokens",
            send(answer("{\"prompt_tokens\":9223372036854775808}")),
            "decode_error",
            "expected a count of tokens",
        ),
        (
            "4 thousand million tokens",
            send(answer("{\"prompt_tokens\":4294967295}")),
            "decode_error",
            "expected a count of tokens",
        ),
        ("1e400 tokens", send(answer("{\"prompt_tokens\":1e400}")), "decode_error", "out of range"),
        (
            "a queue of 1e308 ms",
            send(answer("{\"completion_tokens\":2},\"metrics\":{\"queue_time_ms\":1e308}")),
            "decode_error",
            "at most 30 days",
        ),
    ] {
        half_of_the_requests(name, act, status, says);
    }
}

/// Where control calls are answered so, the run goes on without, or says at once that there is no server.
#[test]
fn control_calls_have_bounds() {
    let all = |path| At { path, every: 1 };
    let (version, models, metrics) = (all("/version"), all("/v1/models"), all("/metrics"));
    let long = format!("{{\"version\":\"{}\"}}", "9".repeat(3 << 20));
    let escape = "{\"error\":\"\u{1b}[2J\u{202e}\"}";
    let many = "a 1\n".repeat(4 << 20);
    for (name, at, act, code, says) in [
        ("version: a header", version, flood("HTTP/1.1 200 OK\r\nx: ", "a"), 0, "Successful Requests: 6"),
        ("version: 3 MiB", version, send(json("200 OK", "", &long)), 0, "Successful Requests: 6"),
        (
            "version: a redirect",
            version,
            send(json("302 X", "location: http://127.0.0.1:1/\r\n", "")),
            0,
            "Successful Requests: 6",
        ),
        ("models: headers", models, flood("HTTP/1.1 200 OK\r\n", "x: y\r\n"), 3, "message head is too large"),
        (
            "models: a body",
            models,
            flood("HTTP/1.1 200 OK\r\n\r\n", "["),
            3,
            "something else than a list of models: [[[",
        ),
        (
            "models: a redirect",
            models,
            send(json("302 X", "location: http://127.0.0.1:1/\r\n", "")),
            3,
            "HTTP 302",
        ),
        (
            "models: escapes",
            models,
            send(json("500 X", "", escape)),
            3,
            "HTTP 500: {\"error\":\"\u{fffd}[2J\u{fffd}\"}",
        ),
        (
            "metrics: a page",
            metrics,
            flood("HTTP/1.1 200 OK\r\n\r\n", "a 1\n"),
            0,
            "the page is longer than 16 MiB",
        ),
        (
            "metrics: a line",
            metrics,
            flood("HTTP/1.1 200 OK\r\n\r\n", "a"),
            0,
            "the page is longer than 16 MiB",
        ),
        ("metrics: a header", metrics, flood("HTTP/1.1 200 OK\r\nx: ", "a"), 0, "message head is too large"),
        (
            "metrics: lines",
            metrics,
            send(page("", many.as_bytes())),
            0,
            "the page has more than 200000 lines",
        ),
        (
            "metrics: no lines of samples",
            metrics,
            send(page("", "{\n".repeat(4 << 20).as_bytes())),
            0,
            "more than 200000 lines",
        ),
        (
            "metrics: a bomb",
            metrics,
            send(page("content-encoding: gzip\r\n", &bomb())),
            0,
            "expected a page in Prometheus text format",
        ),
        (
            "metrics: huge",
            metrics,
            send(page("", b"vllm:num_requests_running 1e308\nvllm:num_requests_waiting -1e308\n")),
            0,
            "Successful Requests: 6",
        ),
        (
            "metrics: a redirect",
            metrics,
            send(json("302 X", "location: http://127.0.0.1:1/\r\n", "")),
            0,
            "is not followed",
        ),
    ] {
        let address = serve(at, act);
        let place = Place::new();
        let ran = run(&place, &format!("run --base-url http://{address} {RUN}"));
        let said = format!("{}{}", ran.out, ran.err);
        assert_eq!(ran.code, Some(code), "{name}: {said}");
        assert!(said.contains(says), "{name}: {said}");
        assert!(!said.contains(['\u{1b}', '\u{202e}']), "{name}: {said:?}");
        assert!(ran.peak_kib < MAX_RSS_KIB, "{name}: {} KiB", ran.peak_kib);
        let folder = place.path("run");
        let kept = if folder.exists() { files(&folder) } else { Vec::new() };
        let kept: u64 = kept.iter().map(|file| file.metadata().unwrap().len()).sum();
        assert!(kept < 4 << 20, "{name}: {kept} bytes are kept");
    }
}

/// 1 GiB of metrics, packed into 1 MiB.
fn bomb() -> Vec<u8> {
    use std::io::Write;
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let piece = "vllm:num_requests_running 0\n".repeat(1 << 15);
    for _ in 0..1 << 10 {
        out.write_all(piece.as_bytes()).unwrap();
    }
    out.finish().unwrap()
}

/// Where a redirect leads, nothing is ever sent, least of all the key.
#[test]
fn redirects_are_not_followed_anywhere() {
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let to = format!("location: http://{}/x\r\n", elsewhere.local_addr().unwrap());
    for path in ["/v1/chat/completions", "/v1/models", "/version", "/metrics", "/tokenize"] {
        for status in ["301 X", "302 X", "303 X", "307 X", "308 X"] {
            let address = serve(At { path, every: 1 }, send(json(status, &to, "{}")));
            let place = Place::new().env("OPENAI_API_KEY", "sk-planted-4f9c2e7ab1d05836");
            let ran = run(&place, &format!("run --base-url http://{address} {RUN}"));
            assert!([Some(0), Some(3)].contains(&ran.code), "{path} {status}: {}{}", ran.out, ran.err);
        }
    }
    let came = elsewhere.accept().map(|_| ()).map_err(|error| error.kind());
    assert_eq!(came, Err(std::io::ErrorKind::WouldBlock));
}

/// Markup, formulas and escapes in everything that a server can put into an answer: text everywhere.
#[test]
fn what_a_server_says_is_text_in_every_file() {
    let script = "<script>alert(1)</script>";
    let steer = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}1m\u{202e}";
    let error = json("500 No", "", &format!("{{\"error\":{{\"message\":\"{steer}{script}|`x`\\n# H\"}}}}"));
    let headers = format!("server: {script}\r\nvia: 1.1 \"<b>{script}\"\r\nx-request-id: =1+1{script}\r\n");
    let id = format!("{steer}{script}").replace('\u{1b}', "\\u001b").replace('\u{7}', "\\u0007");
    let body = format!(
        "data: {{\"id\":\"{id}\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{id}\"}},\"finish_reason\":\"{id}\"}}]}}\n\n\
         data: [DONE]\n\n"
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    for (name, at, act) in [
        ("an error", COMPLETIONS, send(error)),
        ("an answer", COMPLETIONS, send(answer)),
        (
            "a version",
            At { path: "/version", every: 1 },
            send(json("200 OK", "", &format!("{{\"version\":\"{id}\"}}"))),
        ),
        (
            "a model",
            At { path: "/v1/models", every: 1 },
            send(json("200 OK", "", &format!("{{\"data\":[{{\"id\":\"{id}\"}},{{\"id\":\"{script}\"}}]}}"))),
        ),
        (
            "a metric",
            At { path: "/metrics", every: 1 },
            send(page(
                "",
                format!("vllm:num_requests_running{{x=\"{steer}{script}\"}} 0\n{steer}{script}\n").as_bytes(),
            )),
        ),
    ] {
        let address = serve(at, act);
        let place = Place::new();
        let args = RUN.replace("--model tiny ", if name == "a model" { "" } else { "--model tiny " });
        let ran = run(&place, &format!("run --base-url http://{address} {args}"));
        assert_eq!(ran.code, Some(0), "{name}: {}{}", ran.out, ran.err);
        let mut seen = 0;
        for (what, text) in shown_to_people(&place, &ran) {
            seen += 1;
            assert!(!text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}']), "{name}, {what}: {text:?}");
            let ends = |ending: &str| what.ends_with(ending);
            if ends(".html") || ends(".svg") {
                assert!(!text.contains("<script>alert") && !text.contains("<b>&lt;script"), "{name}, {what}");
            } else if ends(".md") {
                assert!(!text.replace("\\<", "").contains("<script"), "{name}, {what}: {text}");
            } else if ends(".csv") {
                assert!(
                    !text.lines().any(|line| line.split(',').any(|cell| cell.starts_with('='))),
                    "{name}, {what}"
                );
            }
        }
        assert!(seen > 8, "{name}: {seen} files");
    }
}

/// What people look at: the terminal, and every file that is text and no record.
fn shown_to_people(place: &Place, ran: &Ran) -> Vec<(String, String)> {
    let mut all = vec![("stdout".to_owned(), ran.out.clone()), ("stderr".to_owned(), ran.err.clone())];
    for path in files(&place.path("run")) {
        let is_shown =
            ["html", "md", "svg", "csv"].iter().any(|ending| path.extension().is_some_and(|e| e == *ending));
        if is_shown {
            all.push((path.display().to_string(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    all
}
