//! Answers against those of a real vLLM 0.32 to the very same request bytes: heads, framing, keys and
//! their order are to be equal; ids, texts, times and numbers are masked.

use super::client::{Client, Response};
use super::harness::{Mock, fast};
use crate::config::Embedded;
use crate::mock::ServeOptions;

macro_rules! samples {
    ($($name:literal),* $(,)?) => {
        [$((
            $name,
            include_bytes!(concat!("samples/", $name, ".request.txt")).as_slice(),
            include_bytes!(concat!("samples/", $name, ".response.raw")).as_slice(),
        )),*]
    };
}

/// The same of the samples that other tests read, too.
macro_rules! shared_samples {
    ($($name:literal),* $(,)?) => {
        [$((
            $name,
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/openai/", $name, ".request.txt")).as_slice(),
            include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/openai/", $name, ".response.raw")).as_slice(),
        )),*]
    };
}

/// JSON text with the values that differ between two servers replaced; the order of keys is kept.
fn mask(json: &str) -> String {
    let mut out = String::new();
    let mut chars = json.chars().peekable();
    let mut key = String::new();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                let mut text = String::new();
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => text.extend(['\\', chars.next().unwrap()]),
                        '"' => break,
                        c => text.push(c),
                    }
                }
                if chars.peek() == Some(&':') {
                    out.extend(["\"", &text, "\""]);
                    key = text;
                } else if MASKED.contains(&key.as_str()) && !text.is_empty() {
                    out.push_str("\"…\"");
                } else {
                    out.extend(["\"", &text, "\""]);
                }
            }
            c if c.is_ascii_digit() || c == '-' => {
                while chars.peek().is_some_and(|c| c.is_ascii_digit() || ['.', 'e', '-', '+'].contains(c)) {
                    chars.next();
                }
                out.push('9');
            }
            c => out.push(c),
        }
    }
    out
}

/// Keys whose texts differ between two servers.
const MASKED: [&str; 9] =
    ["content", "text", "system_fingerprint", "reasoning", "delta", "arguments", "id", "item_id", "call_id"];

/// Heads as written, dates and lengths masked.
fn head(response: &Response) -> Vec<String> {
    let mut lines = vec![response.status_line.clone()];
    for (name, value) in &response.headers {
        let masked = ["date", "content-length"].contains(&name.as_str());
        lines.push(format!("{name}: {}", if masked { "…" } else { value }));
    }
    lines
}

/// Events with their masks; neighbours that look the same count once, since how many tokens travel
/// together is a matter of timing.
fn body(response: &Response) -> Vec<String> {
    let mut parts: Vec<String> = if response.chunks.is_empty() {
        vec![mask(&response.text())]
    } else {
        response.chunks.iter().map(|c| mask(c)).collect()
    };
    parts.dedup();
    parts
}

async fn captured_server() -> Mock {
    let options = ServeOptions { embedded: fast(), request_id_headers: true, ..ServeOptions::default() };
    Mock::with_options(options).await
}

#[tokio::test]
async fn answers_look_like_the_captured_ones() {
    let samples = samples![
        "chat-plain",
        "chat-usage",
        "chat-contusage",
        "chat-interval4",
        "chat-nonstream",
        "comp-plain",
        "comp-usage",
        "comp-contusage",
        "comp-interval4",
        "comp-nonstream",
    ];
    let mock = captured_server().await;
    for (name, request, captured) in samples {
        let expected = Response::parse(captured);
        let mut client = Client::connect(mock.address).await;
        client.send(request).await;
        let response = client.response().await;
        assert_eq!(head(&response), head(&expected), "{name}");
        assert_eq!(body(&response), body(&expected), "{name}");
        assert!(response.complete, "{name}");
        assert!(client.rest().await.is_empty(), "{name}: the connection was to be closed");
    }
    let rows = mock.stop().await;
    assert_eq!(rows.len(), 10);
}

/// What it says of the tools that it was offered is left out: the look-alike does not say it again.
fn without_tools(part: String) -> String {
    let Some((before, rest)) = part.split_once("\"tool_choice\":") else { return part };
    let Some((_, after)) = rest.split_once(",\"top_p\"") else { return part };
    format!("{before},\"top_p\"{after}")
}

/// A script in the place of a model that thinks and calls; it was a random one that was forced to.
#[tokio::test]
async fn reasoning_and_calls_look_like_the_captured_ones() {
    let samples = shared_samples![
        "chat-think",
        "resp-think",
        "chat-tool",
        "resp-tool",
        "resp-reasoning",
        "resp-nonstream",
    ];
    let faults = ["reasoning tokens=2", "tool_call after=2", "reasoning tokens=6"];
    for (name, request, captured) in samples {
        let script = match name {
            "chat-think" | "resp-think" => &faults[..1],
            "chat-tool" | "resp-tool" => &faults[..2],
            _ => &faults[2..],
        };
        let faults = script.iter().map(|&fault| fault.to_owned()).collect();
        // Nothing but the length limit ends these answers.
        let mock = Mock::start(Embedded { faults, mean_output_tokens: 1e6, ..fast() }).await;
        let expected = Response::parse(captured);
        let mut client = Client::connect(mock.address).await;
        client.send(request).await;
        let response = client.response().await;
        let told = |response: &Response| body(response).into_iter().map(without_tools).collect::<Vec<_>>();
        assert_eq!(head(&response), head(&expected), "{name}");
        assert_eq!(told(&response), told(&expected), "{name}");
        mock.stop().await;
    }
}

#[tokio::test]
async fn errors_are_the_captured_ones_to_the_byte() {
    let mock = captured_server().await;
    for (name, request, captured) in samples!["badjson", "badmodel", "toolong"] {
        let expected = Response::parse(captured);
        let mut client = Client::connect(mock.address).await;
        client.send(request).await;
        let response = client.response().await;
        assert_eq!(head(&response), head(&expected), "{name}");
        assert_eq!(response.header("content-length"), expected.header("content-length"), "{name}");
        assert_eq!(response.text(), expected.text(), "{name}");
    }
    let log = mock.log.clone();
    let rows = mock.stop().await;
    assert!(log.text().contains(
        "[serving.py:274] Error with model error=ErrorInfo(message='The model `nope` does not exist. Valid aliases: \
         tiny.', type='NotFoundError', param='model', code=404)"
    ));
    assert_eq!(rows.iter().map(|r| r.status).collect::<Vec<_>>(), [400, 404, 400]);
}

#[tokio::test]
async fn errors_of_responses_are_the_captured_ones_to_the_byte() {
    let mock = Mock::start(fast()).await;
    for (name, request, captured) in shared_samples!["resp-missing", "resp-badmodel"] {
        let expected = Response::parse(captured);
        let mut client = Client::connect(mock.address).await;
        client.send(request).await;
        let response = client.response().await;
        assert_eq!(head(&response), head(&expected), "{name}");
        assert_eq!(response.text(), expected.text(), "{name}");
    }
    mock.stop().await;
}

#[tokio::test]
async fn usage_adds_up() {
    let mock = captured_server().await;
    let body = |stream: bool| {
        format!(
            r#"{{"model":"tiny","prompt":"one two three","max_tokens":9,"ignore_eos":true,"stream":{stream}{}}}"#,
            if stream {
                r#","stream_options":{"include_usage":true,"continuous_usage_stats":true}"#
            } else {
                ""
            }
        )
    };
    let whole = mock.post("/v1/completions", &[], &body(false)).await.json();
    assert_eq!(whole["usage"]["completion_tokens"], 9);
    let streamed = mock.post("/v1/completions", &[], &body(true)).await;
    let events = streamed.events();
    let mut last = 0;
    for event in &events {
        let tokens = event["usage"]["completion_tokens"].as_u64().unwrap();
        assert!(tokens >= last);
        last = tokens;
    }
    let usage = &events.last().unwrap()["usage"];
    assert_eq!(last, 9);
    assert_eq!(usage["prompt_tokens"], whole["usage"]["prompt_tokens"]);
    assert_eq!(usage["total_tokens"].as_u64().unwrap(), usage["prompt_tokens"].as_u64().unwrap() + 9);
    assert_eq!(streamed.answer(), whole["choices"][0]["text"], "the same prompt gives the same answer");
    let tokenized = mock.post("/tokenize", &[], r#"{"model":"tiny","prompt":"one two three"}"#).await.json();
    assert_eq!(tokenized["count"], usage["prompt_tokens"]);
    assert_eq!(tokenized["tokens"].as_array().unwrap().len(), 4);
    assert_eq!(tokenized["max_model_len"], 2048);
    mock.stop().await;
}

#[tokio::test]
async fn an_answer_may_end_by_itself() {
    let mock = captured_server().await;
    let mut reasons = Vec::new();
    for i in 0..12 {
        let body = format!(r#"{{"prompt":"question {i}","max_tokens":12,"stream":true}}"#);
        let response = mock.post("/v1/completions", &[], &body).await;
        assert!(response.is_done() && response.complete);
        let last = response.events().pop().unwrap();
        reasons.push(last["choices"][0]["finish_reason"].as_str().unwrap().to_owned());
    }
    let rows = mock.stop().await;
    assert!(reasons.contains(&"stop".to_owned()) && reasons.contains(&"length".to_owned()), "{reasons:?}");
    for (row, reason) in rows.iter().zip(&reasons) {
        assert_eq!(row.finish_reason.as_ref(), Some(reason));
        assert!(row.output_tokens <= 12 && (reason == "stop" || row.output_tokens == 12));
    }
}

/// Comment and sample lines without their values, as far as both pages can have them.
fn series(page: &str) -> Vec<String> {
    let lines = page.lines().filter(|l| !l.contains("python_") && !l.starts_with("vllm:cache_config_info{"));
    lines
        .map(|l| if l.starts_with('#') { l.to_owned() } else { l.rsplit_once(' ').unwrap().0.to_owned() })
        .collect()
}

#[tokio::test]
async fn the_metrics_page_has_the_captured_families_labels_and_buckets() {
    let mock = captured_server().await;
    mock.post("/v1/completions", &[], r#"{"prompt":"x","max_tokens":3}"#).await;
    mock.chat("a", "x", 3).await;
    mock.post("/v1/chat/completions", &[], r#"{"model":"nope","messages":[]}"#).await;
    mock.get("/health").await;
    let response = mock.get("/metrics").await;
    assert_eq!(response.header("content-type"), Some("text/plain; version=1.0.0; charset=utf-8"));
    let captured = include_str!("samples/metrics.prom");
    let (ours, theirs) = (series(&response.text()), series(captured));
    for (line, expected) in ours.iter().zip(&theirs) {
        assert_eq!(line, expected);
    }
    assert_eq!(ours.len(), theirs.len());
    mock.stop().await;
}
