//! HTTP itself: connections, methods, paths, bodies in chunks, and the endpoints that need no engine.

use super::client::{Client, post_bytes};
use super::harness::{Mock, chat_body, fast};
use crate::mock::ServeOptions;

#[tokio::test]
async fn a_connection_serves_request_after_request() {
    let mock = Mock::start(fast()).await;
    let mut client = Client::connect(mock.address).await;
    let port = client.port();
    for i in 0..3 {
        let id = format!("keep-{i}");
        let body = chat_body("hello there", 4);
        let response = client.post("/v1/chat/completions", &[("X-Request-Id", &id)], &body).await;
        assert_eq!(response.status, 200);
        assert!(response.complete && response.is_done());
        assert_eq!(response.events()[0]["id"], format!("chatcmpl-{id}"));
        assert_eq!(response.header("x-request-id"), None, "off unless asked for");
    }
    let rows = mock.stop().await;
    assert_eq!(rows.iter().map(|r| r.connection_request).collect::<Vec<_>>(), [1, 2, 3]);
    assert!(
        rows.windows(2).all(|w| w[1].first_byte_unix_ns > w[0].end_unix_ns),
        "not stamped before it came"
    );
    assert!(rows.iter().all(|r| r.client_port == port && r.accepted_unix_ns == rows[0].accepted_unix_ns));
    assert_eq!(rows[2].request_id, "chatcmpl-keep-2");
    assert!(rows[2].engine_id.starts_with("chatcmpl-keep-2-"));
    assert_eq!(rows[2].x_request_id.as_deref(), Some("keep-2"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let mock = Mock::start(fast()).await;
    let mut client = Client::connect(mock.address).await;
    let mut bytes = post_bytes("/v1/chat/completions", &[("x-request-id", "first")], &chat_body("a", 30));
    bytes.extend(post_bytes("/v1/chat/completions", &[("x-request-id", "second")], &chat_body("a", 2)));
    client.send(&bytes).await;
    assert_eq!(client.response().await.events()[0]["id"], "chatcmpl-first");
    assert_eq!(client.response().await.events()[0]["id"], "chatcmpl-second");
    mock.stop().await;
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte_or_in_chunks() {
    let mock = Mock::start(fast()).await;
    let body = r#"{"prompt":"x","max_tokens":2}"#;
    let mut client = Client::connect(mock.address).await;
    for byte in post_bytes("/v1/completions", &[], body) {
        client.send(&[byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(client.response().await.status, 200);
    let (a, b) = body.split_at(9);
    let chunked = format!(
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
         9;ext=1\r\n{a}\r\n{:X}\r\n{b}\r\n0\r\nTrailer: x\r\n\r\n",
        b.len()
    );
    client.send(chunked.as_bytes()).await;
    assert_eq!(client.response().await.status, 100);
    let response = client.response().await;
    assert_eq!(response.status, 200);
    assert_eq!(response.json()["usage"]["completion_tokens"], 2);
    mock.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_in_openai_bodies() {
    let mock = Mock::start(fast()).await;
    let missing = mock.get("/v1/nothing").await;
    assert_eq!(missing.status, 404);
    assert_eq!(
        missing.text(),
        r#"{"error":{"message":"Not Found","type":"Not Found","param":null,"code":404}}"#
    );
    let wrong = mock.get("/v1/completions").await;
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("POST")));
    let n = r#"{"prompt":"x","n":2}"#;
    let several = mock.post("/v1/completions", &[], n).await;
    assert_eq!(several.status, 400);
    assert_eq!(several.json()["error"]["param"], "n");
    let fields = mock.post("/v1/chat/completions", &[], "{}").await;
    assert_eq!((fields.status, fields.json()["error"]["param"].as_str()), (400, Some("body.messages")));
    let page = mock.get("/metrics").await.text();
    assert!(page.contains("http_requests_total{handler=\"none\",method=\"GET\",status=\"4xx\"} 1.0"));
    mock.stop().await;
}

#[tokio::test]
async fn what_is_not_http_is_refused_and_the_connection_closed() {
    let mock = Mock::start(fast()).await;
    let mut client = Client::connect(mock.address).await;
    client.send(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1").await;
    let rest = client.rest().await;
    let text = String::from_utf8_lossy(&rest);
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nInvalid HTTP request received."), "{text}");
    let log = mock.log.clone();
    mock.stop().await;
    assert!(log.text().contains("WARNING:  Invalid HTTP request received.\n"));
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_a_while_but_not_a_new_one() {
    let keep_alive = std::time::Duration::from_millis(30);
    let options = ServeOptions { embedded: fast(), keep_alive, ..ServeOptions::default() };
    let mock = Mock::with_options(options).await;
    let mut fresh = Client::connect(mock.address).await;
    let mut used = Client::connect(mock.address).await;
    assert_eq!(used.get("/health").await.status, 200);
    assert!(used.rest().await.is_empty(), "closed by the server");
    assert_eq!(fresh.get("/health").await.status, 200);
    mock.stop().await;
}

#[tokio::test]
async fn small_endpoints_answer_as_the_real_ones() {
    let mock = Mock::start(fast()).await;
    assert_eq!(mock.get("/version").await.text(), r#"{"version":"0.32.0"}"#);
    assert_eq!(mock.get("/health?x=1").await.body.len(), 0);
    let models = mock.get("/v1/models").await.json();
    assert_eq!(models["object"], "list");
    assert_eq!(models["data"][0]["id"], "tiny");
    let text = mock.get("/v1/models").await.text();
    assert!(
        text.starts_with("{\"object\":\"list\",\"data\":[{\"id\":\"tiny\",\"object\":\"model\",\"created\":"),
        "{text}"
    );
    assert_eq!(models["data"][0]["max_model_len"], 2048);
    let chat = r#"{"messages":[{"role":"user","content":"hello"}]}"#;
    let open = mock.post("/tokenize", &[], chat).await.json()["count"].as_u64().unwrap();
    let closed = chat.replace("]}", "],\"add_generation_prompt\":false}");
    let closed = mock.post("/tokenize", &[], &closed).await.json()["count"].as_u64().unwrap();
    assert_eq!(open, closed + 4);
    assert_eq!(mock.post("/tokenize", &[], r#"{"model":"nope","prompt":"x"}"#).await.status, 404);
    assert_eq!(mock.post("/tokenize", &[], "{}").await.status, 400);
    mock.stop().await;
}

#[tokio::test]
async fn ids_follow_the_header_then_the_body_then_chance() {
    let mock = Mock::start(fast()).await;
    let body = r#"{"prompt":"x","max_tokens":1,"request_id":"from-body"}"#;
    let both = mock.post("/v1/completions", &[("x-request-id", "from-header")], body).await;
    assert_eq!(both.json()["id"], "cmpl-from-header");
    assert_eq!(mock.post("/v1/completions", &[], body).await.json()["id"], "cmpl-from-body");
    let none = mock.post("/v1/completions", &[], r#"{"prompt":"x","max_tokens":1}"#).await.json();
    assert_eq!(none["id"].as_str().unwrap().len(), "cmpl-".len() + 16);
    let log = mock.log.clone();
    let rows = mock.stop().await;
    let text = log.text();
    assert!(text.contains("Received request cmpl-from-header-0: params: SamplingParams(n=1, "), "{text}");
    assert!(text.contains(&format!("Added request {}.", rows[0].engine_id)));
    assert!(rows[0].engine_id.starts_with("cmpl-from-header-0-"));
}

#[tokio::test]
async fn the_log_has_the_lines_that_tools_look_for() {
    let mock = Mock::start(fast()).await;
    let mut client = Client::connect(mock.address).await;
    client.post("/v1/chat/completions", &[("traceparent", "00-1-2-01")], &chat_body("hi", 2)).await;
    let (port, address, log) = (client.port(), mock.address, mock.log.clone());
    drop(client);
    mock.stop().await;
    let text = log.text();
    let pid = std::process::id();
    for line in [
        "version 0.32.0\n".to_owned(),
        format!("[entry.py:140] Starting vLLM server on http://{address}\n"),
        "[launcher.py:195] Route: /v1/chat/completions, Methods: POST\n".to_owned(),
        format!("\nINFO:     Started server process [{pid}]\n"),
        "\nINFO:     Application startup complete.\n".to_owned(),
        format!("\nINFO:     127.0.0.1:{port} - \"POST /v1/chat/completions HTTP/1.1\" 200 OK\n"),
        "[utils.py:70] Received a request with trace context but tracing is disabled\n".to_owned(),
        "\nINFO:     Application shutdown complete.\n".to_owned(),
    ] {
        assert!(text.contains(&line), "no {line:?} in\n{text}");
    }
    let order: Vec<usize> =
        ["Received request", "\"POST /v1/chat", "Added request"].map(|l| text.find(l).unwrap()).to_vec();
    assert!(order.is_sorted(), "as in the real log of a stream: {order:?}");
}
