//! Every fault of the script, as a client sees it and as the truth tells it.

use super::client::{Client, post_bytes};
use super::harness::{Mock, chat_body, engine_series, with_faults};
use crate::mock::truth::Outcome;

#[tokio::test]
async fn errors_come_when_their_turn_is() {
    let mock = Mock::start(with_faults(&["http_503 every=2"])).await;
    let mut statuses = Vec::new();
    for i in 0..4 {
        statuses.push(mock.chat(&format!("e{i}"), "hi", 2).await.status);
    }
    assert_eq!(statuses, [200, 503, 200, 503]);
    let body = mock.post("/v1/completions", &[], r#"{"prompt":"x"}"#).await;
    assert_eq!(body.status, 200, "the fifth");
    let rows = mock.stop().await;
    assert_eq!(rows[1].outcome, Outcome::Rejected);
    assert_eq!((rows[1].status, rows[1].faults.clone()), (503, vec!["http_503".to_owned()]));
    assert!(rows[0].faults.is_empty());
}

#[tokio::test]
async fn a_cut_stream_ends_in_the_middle_of_an_event() {
    let mock = Mock::start(with_faults(&["cut after=2 at_request=1"])).await;
    let cut = mock.chat("cut", "hi", 30).await;
    assert!(!cut.complete && !cut.is_done());
    assert_eq!(cut.events().len(), 3, "the role and two tokens or more in two events");
    mock.until_metric(&engine_series("num_requests_running"), 0.0).await;
    assert!(mock.chat("whole", "hi", 30).await.is_done());
    let rows = mock.stop().await;
    assert_eq!((rows[0].outcome, rows[0].faults.clone()), (Outcome::Cut, vec!["cut".to_owned()]));
    assert_eq!(rows[0].events.len(), 3);
    assert_eq!(rows[1].outcome, Outcome::Complete);
}

#[tokio::test]
async fn a_clean_cut_looks_complete_to_http_alone() {
    let mock = Mock::start(with_faults(&["cut_clean after=3"])).await;
    let mut client = Client::connect(mock.address).await;
    for _ in 0..2 {
        let response = client.post("/v1/chat/completions", &[], &chat_body("hi", 30)).await;
        assert!(response.complete && !response.is_done());
        let last = response.events().pop().unwrap();
        assert!(last["choices"][0]["finish_reason"].is_null());
        assert_eq!(response.events().len(), 4);
    }
    let rows = mock.stop().await;
    assert!(rows.iter().all(|r| r.outcome == Outcome::Cut));
}

#[tokio::test]
async fn a_stall_delays_one_event() {
    let mock = Mock::start(with_faults(&["stall at=3 for_ms=300 at_request=2"])).await;
    mock.chat("a", "hi", 6).await;
    assert!(mock.chat("b", "hi", 30).await.is_done());
    let rows = mock.stop().await;
    assert_eq!(rows[1].faults, ["stall"]);
    let tokens: Vec<_> = rows[1].events.iter().filter(|(_, tokens, _)| *tokens > 0).collect();
    let gap = tokens[2].0.seconds_since(tokens[1].0);
    assert!(gap >= 0.3, "{gap}");
    assert_eq!(tokens.iter().map(|(_, n, _)| n).sum::<u32>(), 30, "what piled up came together");
    assert!(rows[1].last_token_unix_ns < Some(tokens[2].0), "the engine had gone on meanwhile");
}

#[tokio::test]
async fn an_error_may_come_within_a_stream() {
    let mock = Mock::start(with_faults(&["stream_error after=1"])).await;
    let response = mock.chat("a", "hi", 20).await;
    assert_eq!(response.status, 200);
    assert!(response.complete && response.is_done());
    let error = &response.events().pop().unwrap()["error"];
    assert_eq!((error["type"].as_str(), error["code"].as_u64()), (Some("InternalServerError"), Some(500)));
    let whole = mock.post("/v1/completions", &[], r#"{"prompt":"x","max_tokens":2}"#).await;
    assert_eq!(whole.json()["usage"]["completion_tokens"], 2, "only streams have a middle");
    let rows = mock.stop().await;
    assert_eq!((rows[0].outcome, rows[1].outcome), (Outcome::Cut, Outcome::Complete));
}

#[tokio::test]
async fn first_tokens_may_be_silent_and_comments_go_between() {
    let mock = Mock::start(with_faults(&["empty_first", "keep_alive_comments"])).await;
    let response = mock.chat("a", "hi", 5).await;
    assert!(response.chunks[0] == ": keep-alive\n\n" && response.chunks[2] == ": keep-alive\n\n");
    let events = response.events();
    let usage = &events.last().unwrap()["usage"];
    assert_eq!(usage["completion_tokens"], 5);
    assert!(response.is_done());
    mock.stop().await;
    let mock = Mock::start(with_faults(&["empty_first every=2"])).await;
    let first_text =
        |r: &super::client::Response| r.events()[1]["choices"][0]["delta"]["content"].as_str().unwrap().len();
    assert!(first_text(&mock.chat("a", "hi", 1).await) > 0);
    assert_eq!(first_text(&mock.chat("b", "hi", 1).await), 0);
    mock.stop().await;
}

#[tokio::test]
async fn usage_may_be_missing_or_refused() {
    let mock = Mock::start(with_faults(&["no_usage every=2", "refuse_continuous_usage"])).await;
    assert!(mock.chat("a", "hi", 2).await.events().iter().any(|e| e.get("usage").is_some()));
    assert!(mock.chat("b", "hi", 2).await.events().iter().all(|e| e.get("usage").is_none()));
    let body = chat_body("hi", 2)
        .replace("\"include_usage\":true", "\"include_usage\":true,\"continuous_usage_stats\":true");
    let refused = mock.post("/v1/chat/completions", &[], &body).await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["error"]["param"], "body.stream_options.continuous_usage_stats");
    mock.stop().await;
}

#[tokio::test]
async fn a_reset_starts_the_metrics_again() {
    let mock = Mock::start(with_faults(&["reset at_request=3"])).await;
    let started = mock.metric("process_start_time_seconds").await;
    for i in 0..2 {
        mock.chat(&format!("r{i}"), "hi", 4).await;
    }
    let generated = engine_series("generation_tokens_total");
    assert!((mock.metric(&generated).await - 8.0).abs() < 1e-9);
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    mock.chat("r2", "hi", 4).await;
    assert!((mock.metric(&generated).await - 4.0).abs() < 1e-9);
    assert!(mock.metric("process_start_time_seconds").await > started);
    let rows = mock.stop().await;
    assert_eq!(rows[2].faults, ["reset"]);
}

#[tokio::test]
async fn the_log_may_hold_garbage_between_good_lines() {
    let mock = Mock::start(with_faults(&["garbage_log at_request=1"])).await;
    mock.chat("g", "hi", 2).await;
    let log = mock.log.clone();
    mock.stop().await;
    let bytes = log.bytes();
    assert!(std::str::from_utf8(&bytes).is_err());
    let text = log.text();
    assert!(text.lines().any(|l| l.len() > 90_000));
    assert!(text.contains("Received request chatcmpl-g: "));
}

#[tokio::test]
async fn the_metrics_page_may_be_missing_or_something_else() {
    let mock = Mock::start(with_faults(&["metrics_404"])).await;
    assert_eq!(mock.get("/metrics").await.status, 404);
    mock.stop().await;
    let mock = Mock::start(with_faults(&["metrics_html"])).await;
    let page = mock.get("/metrics").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.text().starts_with("<!DOCTYPE html>"));
    mock.stop().await;
}

#[tokio::test]
async fn a_wrong_script_is_refused_before_anything_is_served() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = crate::mock::ServeOptions { embedded: with_faults(&["explode"]), ..Default::default() };
    let error = crate::mock::serve_with_log(options, listener, Box::new(std::io::sink()), async {})
        .await
        .unwrap_err();
    assert!(format!("{error:#}").starts_with("fault `explode`: unknown fault `explode`; known are: "));
}

#[tokio::test]
async fn a_client_that_leaves_during_a_stall_is_noticed() {
    let mock = Mock::start(with_faults(&["stall at=2 for_ms=600000"])).await;
    let mut client = Client::connect(mock.address).await;
    client.send(&post_bytes("/v1/chat/completions", &[], &chat_body("hi", 1000))).await;
    client.until_event("\"token_ids\":null}]").await;
    drop(client);
    mock.until_metric(&engine_series("num_requests_running"), 0.0).await;
    let rows = mock.stop().await;
    assert_eq!(rows[0].outcome, Outcome::Aborted);
}
