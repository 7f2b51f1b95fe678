//! The log in each of its formats, line by line against lines that a real vLLM 0.32 wrote when it was
//! asked the same; and lines that are lost.

use super::client::{Client, post_bytes};
use super::harness::{Mock, chat_body, engine_series, fast, with_faults};
use crate::config::{Embedded, LogFormat};

/// Digits masked, and what differs between two servers.
fn masked(line: &str) -> String {
    let mut out = String::new();
    for word in line.split(' ') {
        if !out.is_empty() {
            out.push(' ');
        }
        // The random end of an internal id.
        let body = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        match body.rsplit_once('-') {
            Some((id, end)) if end.len() == 8 && end.bytes().all(|b| b.is_ascii_hexdigit()) => {
                out.extend([id, "-HEX", &word[body.len()..]]);
            }
            _ => out.push_str(word),
        }
    }
    let mut digits = false;
    let mut short = String::new();
    for c in out.chars() {
        if !(digits && c.is_ascii_digit()) {
            short.push(if c.is_ascii_digit() { '9' } else { c });
        }
        digits = c.is_ascii_digit();
    }
    // What was sampled, and with what, is another test's business.
    let (head, tail) = short.split_once("SamplingParams(").map_or((short.as_str(), ""), |parts| {
        (parts.0, parts.1.rsplit_once("), lora").map_or("", |tail| tail.1))
    });
    let said = head.split_once("output: ").map_or(head.to_owned(), |(before, after)| {
        format!("{before}output: …{}", after.rsplit_once(", finish_reason").map_or("", |end| end.1))
    });
    said + tail
}

/// A stream, a whole answer, a text, a client that leaves and an unknown model; the log of it.
async fn asked(embedded: Embedded) -> String {
    let mock = Mock::start(embedded).await;
    mock.chat("few-001", "hello", 10).await;
    let whole = chat_body("hello", 4).replace("\"stream\":true", "\"stream\":false");
    let whole = whole.replace(",\"stream_options\":{\"include_usage\":true}", "");
    let answer = mock.post("/v1/chat/completions", &[("x-request-id", "bench-nonstream-1")], &whole).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let body = r#"{"prompt":"x","max_tokens":3,"stream":true}"#;
    mock.post("/v1/completions", &[("x-request-id", "few-002")], body).await;
    let mut leaver = Client::connect(mock.address).await;
    leaver
        .send(&post_bytes(
            "/v1/chat/completions",
            &[("x-request-id", "few-aborted")],
            &chat_body("bye", 1500),
        ))
        .await;
    leaver.until_event("\"content\":").await;
    drop(leaver);
    mock.until_metric(&engine_series("num_requests_running"), 0.0).await;
    mock.post("/v1/chat/completions", &[], r#"{"model":"nope","messages":[]}"#).await;
    let log = mock.log.clone();
    mock.stop().await;
    log.text()
}

/// Every captured line is there once masked.
#[track_caller]
fn holds(log: &str, captured: &str) {
    let ours: Vec<String> = log.lines().map(masked).collect();
    for line in captured.lines() {
        assert!(ours.contains(&masked(line)), "nothing like {line}\nmasked {}\nin\n{log}", masked(line));
    }
}

#[tokio::test]
async fn microseconds_are_as_captured() {
    let log = asked(Embedded { log_format: LogFormat::Us, enable_log_outputs: true, ..fast() }).await;
    holds(&log, include_str!("samples/log-us.txt"));
    assert!(
        log.lines().all(|line| line.split_once(' ').unwrap().0.len() == "1795533161.861968".len()),
        "{log}"
    );
}

#[tokio::test]
async fn json_is_as_captured() {
    let log = asked(Embedded { log_format: LogFormat::Json, ..fast() }).await;
    holds(&log, include_str!("samples/log-json.txt"));
    for line in log.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert!(record["message"].is_string() && record["asctime"].as_str().unwrap().len() == 23, "{line}");
    }
}

#[tokio::test]
async fn plain_lines_are_as_captured_with_their_older_heads_too() {
    let log = asked(fast()).await;
    holds(&log, include_str!("samples/log-default.txt"));
    let log = asked(Embedded { log_format: LogFormat::V0_10, ..fast() }).await;
    for line in log.lines() {
        assert!(
            line.starts_with("\x1b[1;36m(APIServer pid=") || line.starts_with("\x1b[1;36m(EngineCore pid="),
            "{line}"
        );
    }
    assert!(log.contains("\x1b[0;0m INFO:     127.0.0.1:"));
    assert!(log.contains("\x1b[0;0m INFO "));
}

#[tokio::test]
async fn outputs_are_logged_piece_by_piece_and_whole_for_chats_alone() {
    let mock = Mock::start(Embedded { enable_log_outputs: true, ..fast() }).await;
    let answer = mock.chat("told", "hello outputs", 12).await.answer();
    mock.post("/v1/completions", &[("x-request-id", "text")], r#"{"prompt":"x","max_tokens":3}"#).await;
    let log = mock.log.clone();
    let rows = mock.stop().await;
    let text = log.text();
    let deltas: Vec<&str> =
        text.lines().filter(|l| l.contains("chatcmpl-told (streaming delta): output: ")).collect();
    let written = rows[0].events.iter().filter(|(_, tokens, _)| *tokens > 0).count();
    // A token without text makes an event and no line.
    assert!(!deltas.is_empty() && deltas.len() <= written, "{} of {written}", deltas.len());
    assert!(deltas[..deltas.len() - 1].iter().all(|line| line.ends_with(", finish_reason: None")));
    let complete = text.lines().find(|l| l.contains("chatcmpl-told (streaming complete): output: ")).unwrap();
    assert!(complete.ends_with(", finish_reason: streaming_complete"), "{complete}");
    assert!(complete.contains(&crate::mock::python::quoted(&answer)), "{complete}\n{answer}");
    assert!(!text.contains("Generated response cmpl-"));
    let quiet = Embedded { enable_log_outputs: true, enable_log_deltas: false, ..fast() };
    let mock = Mock::start(quiet).await;
    mock.chat("told", "hello outputs", 12).await;
    let log = mock.log.clone();
    mock.stop().await;
    assert_eq!(log.text().matches("Generated response ").count(), 1);
}

#[tokio::test]
async fn without_request_lines_an_abort_is_silent_too() {
    let log = asked(Embedded { enable_log_requests: false, ..fast() }).await;
    for said in ["Received request", "Added request", "Aborted request", " aborted."] {
        assert!(!log.contains(said), "{said}: {log}");
    }
    assert!(log.contains("\"POST /v1/completions HTTP/1.1\" 200 OK"));
}

#[tokio::test]
async fn steps_are_logged_by_the_front_end() {
    let mock = Mock::start(Embedded { enable_logging_iteration_details: true, jitter: 0.0, ..fast() }).await;
    mock.chat("steps", "hello steps", 5).await;
    let log = mock.log.clone();
    let rows = mock.stop().await;
    let text = log.text();
    let steps: Vec<&str> =
        text.lines().filter_map(|l| l.split_once("] Engine 000: Iteration(").map(|p| p.1)).collect();
    assert_eq!(steps.len(), 5, "{text}");
    let prompt = rows[0].prompt_tokens;
    let first = format!(
        "0): 1 context requests, {prompt} context tokens, 0 generation requests, 0 generation tokens, iteration \
         elapsed time: "
    );
    assert!(steps[0].starts_with(&first), "{}", steps[0]);
    assert!(steps[4].starts_with(
        "4): 0 context requests, 0 context tokens, 1 generation requests, 1 generation tokens, "
    ));
    let elapsed = |step: &str| -> f64 {
        let rest = step.split_once("elapsed time: ").unwrap().1;
        rest.split_once(" ms, GPU KV cache usage: ").unwrap().0.parse().unwrap()
    };
    assert!(steps.iter().all(|step| elapsed(step) >= 1.0), "a step of a millisecond: {steps:?}");
}

#[tokio::test]
async fn a_share_of_the_request_lines_is_lost_and_the_truth_says_which() {
    let mock = Mock::start(with_faults(&["log_loss share=0.4"])).await;
    for i in 0..30 {
        mock.chat(&format!("lossy-{i}."), "a", 1).await;
    }
    let log = mock.log.clone();
    let rows = mock.stop().await;
    let text = log.text();
    let mut lost = 0;
    for row in &rows {
        let there = [
            ("Received", text.contains(&format!("Received request {}: ", row.request_id))),
            ("access", text.contains(&format!("127.0.0.1:{} - ", row.client_port))),
            ("Added", text.contains(&format!("Added request {}.\n", row.engine_id))),
        ];
        let missing: Vec<&str> = there.iter().filter(|(_, there)| !there).map(|(kind, _)| *kind).collect();
        assert_eq!(row.lost_lines, missing, "{row:?}");
        assert_eq!(row.faults.contains(&"log_loss".to_owned()), !missing.is_empty());
        lost += missing.len();
    }
    // The draws are the same in every run: of 90, 36 are expected, with a standard deviation of 4.6.
    assert!((18..54).contains(&lost), "{lost}");
}
