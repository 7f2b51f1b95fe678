//! Numbers: what metrics, answers and spans say must be what the truth file says, request by request
//! and in sum; and the engine's order must show in the stamps.

use super::client::{Client, post_bytes};
use super::harness::{Mock, chat_body, engine_series, fast, metric};
use crate::config::Embedded;
use crate::mock::ServeOptions;
use crate::mock::truth::{Outcome, TruthRow};

/// Equal up to the rounding of sums.
#[track_caller]
fn same(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-12 * a.abs().max(b.abs()).max(1e-3), "{a} {b}");
}

fn total(rows: &[&TruthRow], value: impl Fn(&TruthRow) -> Option<f64>) -> f64 {
    rows.iter().filter_map(|r| value(r)).sum()
}

/// Many requests of all kinds at once, one of which is aborted after its third event.
async fn mixed_load(mock: &Mock) {
    let mut tasks = Vec::new();
    for i in 0..24_u32 {
        let address = mock.address;
        tasks.push(tokio::spawn(async move {
            let mut client = Client::connect(address).await;
            let id = format!("mixed-{i}");
            let headers = [("x-request-id", id.as_str())];
            let words = "some words to compute ".repeat(1 + i as usize % 7);
            let response = if i % 3 == 0 {
                let body = format!(r#"{{"prompt":"{words}","max_tokens":{}}}"#, 3 + i);
                client.post("/v1/completions", &headers, &body).await
            } else {
                client.post("/v1/chat/completions", &headers, &chat_body(&words, 5 + i)).await
            };
            assert_eq!(response.status, 200);
            assert!(response.complete);
        }));
    }
    let mut leaver = Client::connect(mock.address).await;
    leaver
        .send(&post_bytes("/v1/chat/completions", &[("x-request-id", "leaver")], &chat_body("bye", 1500)))
        .await;
    leaver.until_event("\"content\":").await;
    drop(leaver);
    for task in tasks {
        task.await.unwrap();
    }
    mock.until_metric(&engine_series("num_requests_running"), 0.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_are_the_sums_of_the_truth() {
    let mock = Mock::start(Embedded { max_num_seqs: 5, max_num_batched_tokens: 64, ..fast() }).await;
    mixed_load(&mock).await;
    let page = mock.get("/metrics").await.text();
    let log = mock.log.clone();
    let rows = mock.stop().await;
    let all: Vec<&TruthRow> = rows.iter().filter(|r| r.ttft_s.is_some()).collect();
    let finished: Vec<&TruthRow> = rows.iter().filter(|r| r.finish_reason.is_some()).collect();
    assert_eq!((all.len(), finished.len()), (25, 24), "the aborted one got a token and did not finish");
    let value = |name: &str| metric(&page, &engine_series(name));
    for (name, of, rows) in [
        ("time_to_first_token_seconds", (|r| r.ttft_s) as fn(&TruthRow) -> Option<f64>, &all),
        ("e2e_request_latency_seconds", |r| r.e2e_s, &finished),
        ("request_queue_time_seconds", |r| r.queue_s, &finished),
        ("request_prefill_time_seconds", |r| r.prefill_s, &finished),
        ("request_decode_time_seconds", |r| r.decode_s, &finished),
        ("request_inference_time_seconds", |r| Some(r.prefill_s? + r.decode_s?), &finished),
        ("request_prompt_tokens", |r| Some(f64::from(r.prompt_tokens)), &finished),
        ("request_generation_tokens", |r| Some(f64::from(r.output_tokens)), &finished),
    ] {
        same(value(&format!("{name}_sum")), total(rows, of));
        same(value(&format!("{name}_count")), rows.len() as f64);
    }
    same(value("inter_token_latency_seconds_sum"), total(&all, |r| r.decode_s));
    same(value("inter_token_latency_seconds_count"), total(&all, |r| Some(f64::from(r.output_tokens - 1))));
    same(value("generation_tokens_total"), total(&all, |r| Some(f64::from(r.output_tokens))));
    same(value("prompt_tokens_total"), total(&all, |r| Some(f64::from(r.prompt_tokens))));
    same(value("prompt_tokens_cached_total"), total(&all, |r| Some(f64::from(r.cached_tokens))));
    same(value("prefix_cache_queries_total"), value("prompt_tokens_total"));
    same(value("prefix_cache_hits_total"), value("prompt_tokens_cached_total"));
    assert!(value("prefix_cache_hits_total") > 0.0, "equal prompts share blocks");
    same(value("iteration_tokens_total_sum"), {
        value("generation_tokens_total") + value("prompt_tokens_total") - value("prompt_tokens_cached_total")
    });
    let success = |reason| {
        metric(
            &page,
            &format!(
                "vllm:request_success_total{{engine=\"0\",finished_reason=\"{reason}\",model_name=\"tiny\"}}"
            ),
        )
    };
    same(success("stop") + success("length"), 24.0);
    same(success("abort"), 0.0);
    let leaver = rows.iter().find(|r| r.x_request_id.as_deref() == Some("leaver")).unwrap();
    assert_eq!(leaver.outcome, Outcome::Aborted);
    assert!(leaver.e2e_s.is_none() && leaver.output_tokens < 1500);
    assert!(log.text().contains(&format!("[async_llm.py:922] Aborted request(s) {}.\n", leaver.engine_id)));
    assert!(log.text().contains("[async_llm.py:783] Request chatcmpl-leaver aborted.\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_stamps_of_a_request_are_in_their_order_and_agree_with_its_times() {
    let mock = Mock::start(Embedded { max_num_seqs: 3, ..fast() }).await;
    mixed_load(&mock).await;
    let rows = mock.stop().await;
    for row in &rows {
        let events: Vec<_> = row.events.iter().map(|(at, _, _)| *at).collect();
        let stamps = [
            Some(row.accepted_unix_ns),
            Some(row.first_byte_unix_ns),
            Some(row.read_unix_ns),
            row.arrival_unix_ns,
            row.queued_unix_ns,
            row.scheduled_unix_ns,
            row.first_token_unix_ns,
            row.first_output_unix_ns,
            events.first().copied(),
            events.last().copied(),
            Some(row.end_unix_ns),
        ];
        assert!(stamps.iter().flatten().is_sorted(), "{row:#?}");
        assert!(events.is_sorted());
        if row.outcome == Outcome::Complete {
            assert!(stamps.iter().all(Option::is_some), "{row:#?}");
            let told: u32 = row.events.iter().map(|(_, tokens, _)| tokens).sum();
            assert_eq!(told, row.output_tokens);
            let (arrival, output) = (row.arrival_unix_ns.unwrap(), row.first_output_unix_ns.unwrap());
            same(row.ttft_s.unwrap(), output.seconds_since(arrival));
            assert!(row.ttft_s.unwrap() > row.queue_s.unwrap() + row.prefill_s.unwrap());
            let head = row.head_unix_ns.unwrap();
            assert!(head > row.arrival_unix_ns.unwrap());
            assert_eq!(
                head < row.queued_unix_ns.unwrap(),
                row.stream,
                "a stream's head goes out before its prefill"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_seat_serves_one_after_the_other() {
    let mock = Mock::start(Embedded { max_num_seqs: 1, decode_base_ms: 4.0, ..fast() }).await;
    let mut long = Client::connect(mock.address).await;
    long.send(&post_bytes("/v1/chat/completions", &[], &chat_body("long", 1900))).await;
    long.until_event("\"content\":").await;
    let mut tasks = Vec::new();
    for i in 0..5 {
        let address = mock.address;
        tasks.push(tokio::spawn(async move {
            let body = chat_body(&format!("request number {i}"), 3);
            Client::connect(address).await.post("/v1/chat/completions", &[], &body).await
        }));
    }
    mock.until_metric(&engine_series("num_requests_waiting"), 5.0).await;
    drop(long);
    for task in tasks {
        assert!(task.await.unwrap().is_done());
    }
    let mut rows = mock.stop().await;
    rows.sort_by_key(|r| r.queued_unix_ns);
    for pair in rows.windows(2) {
        assert!(pair[1].scheduled_unix_ns >= pair[0].last_token_unix_ns, "first come, first served");
    }
    let queues: Vec<f64> = rows.iter().map(|r| r.queue_s.unwrap()).collect();
    assert!(queues[5] > rows[1].prefill_s.unwrap() + rows[1].decode_s.unwrap(), "{queues:?}");
}

#[tokio::test]
async fn in_band_metrics_are_the_engines_own() {
    let mock = Mock::start(fast()).await;
    let events = mock.chat("in-band", "hello", 7).await.events();
    let whole = mock.post("/v1/completions", &[], r#"{"prompt":"x","max_tokens":1}"#).await.json();
    let rows = mock.stop().await;
    let metrics = &events.last().unwrap()["metrics"];
    let value = |name: &str| metrics[name].as_f64().unwrap();
    same(value("queue_time_ms"), rows[0].queue_s.unwrap() * 1e3);
    same(value("time_to_first_token_ms"), rows[0].prefill_s.unwrap() * 1e3);
    same(value("generation_time_ms"), rows[0].decode_s.unwrap() * 1e3);
    same(value("mean_itl_ms"), rows[0].decode_s.unwrap() * 1e3 / 6.0);
    same(value("tokens_per_second"), 7.0 / (rows[0].prefill_s.unwrap() + rows[0].decode_s.unwrap()));
    assert!(whole["metrics"]["mean_itl_ms"].is_null(), "one token has no time between tokens");
    let plain = Mock::start(Embedded { enable_per_request_metrics: false, ..fast() }).await;
    assert!(plain.chat("x", "hello", 2).await.events().last().unwrap().get("metrics").is_none());
    plain.stop().await;
}

#[tokio::test]
async fn the_stats_line_counts_what_the_metrics_count() {
    let mock = Mock::start(Embedded { log_stats_interval_s: 0.05, ..fast() }).await;
    mock.chat("a", "some words", 40).await;
    let log = mock.log.clone();
    let idle = "Avg prompt throughput: 0.0 tokens/s, Avg generation throughput: 0.0 tokens/s, Running: 0 reqs, Waiting: 0";
    while !log.text().contains(idle) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    mock.stop().await;
    let text = log.text();
    let lines: Vec<&str> = text.lines().filter(|l| l.contains("Engine 000: ")).collect();
    assert!(lines[0].contains("[loggers.py:335] Engine 000: Avg prompt throughput: "), "{}", lines[0]);
    assert!(lines.last().unwrap().contains("Running: 0 reqs, Waiting: 0 reqs, GPU KV cache usage: 0.0%"));
}

#[tokio::test]
async fn a_stopping_server_lets_nobody_hang() {
    let mock = Mock::start(fast()).await;
    let mut client = Client::connect(mock.address).await;
    client.send(&post_bytes("/v1/chat/completions", &[], &chat_body("long", 1900))).await;
    client.until_event("\"content\":").await;
    let _idle = Client::connect(mock.address).await;
    let rows = mock.stop().await;
    assert_eq!(rows[0].outcome, Outcome::Stopped);
    assert!(!client.response().await.complete);
}

#[tokio::test]
async fn a_truth_file_that_cannot_be_made_is_an_error() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options =
        ServeOptions { truth: Some("/nonexistent-folder/t.jsonl".into()), ..ServeOptions::default() };
    let served = crate::mock::serve_with_log(options, listener, Box::new(std::io::sink()), async {}).await;
    assert!(format!("{:#}", served.unwrap_err()).contains("/nonexistent-folder/t.jsonl"));
}
