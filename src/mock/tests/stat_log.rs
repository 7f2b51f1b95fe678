//! What the stat-logger plugin would have written, against the truth.

use super::client::{Client, post_bytes};
use super::harness::{Mock, chat_body, engine_series, fast};
use crate::config::Embedded;
use crate::mock::ServeOptions;

#[tokio::test]
async fn the_stat_log_says_to_the_bit_what_the_metrics_observed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stat.jsonl");
    let wrong = Embedded { clock_offset_ms: 60_000.0, clock_drift_ppm: 1e4, data_parallel_size: 2, ..fast() };
    let options = ServeOptions { embedded: wrong, stat_log: Some(path.clone()), ..ServeOptions::default() };
    let mock = Mock::with_options(options).await;
    for i in 0..4 {
        mock.chat(&format!("stat-{i}"), "hello stat", 3 + i).await;
    }
    mock.post("/v1/completions", &[("x-request-id", "text")], r#"{"prompt":"x","max_tokens":2}"#).await;
    mock.post("/v1/chat/completions", &[], r#"{"model":"nope","messages":[]}"#).await;
    let mut leaver = Client::connect(mock.address).await;
    leaver.send(&post_bytes("/v1/chat/completions", &[], &chat_body("bye", 1500))).await;
    leaver.until_event("\"content\":").await;
    drop(leaver);
    for engine in 0..2 {
        let running =
            engine_series("num_requests_running").replace("engine=\"0\"", &format!("engine=\"{engine}\""));
        mock.until_metric(&running, 0.0).await;
    }
    let rows = mock.stop().await;
    let clock = rows.iter().find_map(|row| row.clock).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 5, "none of who was refused or left");
    for (line, row) in lines.iter().zip(&rows) {
        let external =
            if row.path.contains("chat") { row.request_id.clone() } else { "cmpl-text-0".to_owned() };
        assert_eq!(line["request_id"], external);
        assert_eq!(
            (line["v"].as_u64(), line["pid"].as_u64()),
            (Some(1), Some(u64::from(std::process::id())))
        );
        assert_eq!(line["engine"], row.engine);
        assert_eq!(line["finish_reason"].as_str(), row.finish_reason.as_deref());
        for (key, value) in [
            ("e2e_s", row.e2e_s),
            ("queue_s", row.queue_s),
            ("prefill_s", row.prefill_s),
            ("decode_s", row.decode_s),
        ] {
            assert_eq!(line[key].as_f64().map(f64::to_bits), value.map(f64::to_bits), "{key}");
        }
        let inference = row.prefill_s.unwrap() + row.decode_s.unwrap();
        assert!((line["inference_s"].as_f64().unwrap() - inference).abs() < 1e-9);
        let tokens = ["input_tokens", "output_tokens", "cached_tokens", "preemptions"];
        let said: Vec<u64> = tokens.iter().map(|key| line[key].as_u64().unwrap()).collect();
        assert_eq!(said, [row.prompt_tokens, row.output_tokens, row.cached_tokens, 0].map(u64::from));
        // The arrival can be had from it, on the server's own clock.
        let iteration = line["iteration_unix_ns"].as_i64().unwrap();
        assert_eq!(iteration, clock.says(row.last_output_unix_ns.unwrap()).0);
        let arrival = iteration - (line["e2e_s"].as_f64().unwrap() * 1e9).round() as i64;
        assert_eq!(arrival, clock.says(row.arrival_unix_ns.unwrap()).0);
    }
    assert_eq!(lines[0]["max_tokens"], 3);
    let engines: Vec<u64> = lines.iter().map(|line| line["engine"].as_u64().unwrap()).collect();
    assert_eq!(engines, [0, 1, 0, 1, 0], "one after the other, in turn");
}
