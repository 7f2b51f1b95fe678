//! Several engines, and several API servers, as their metrics pages and logs show them: against pages
//! of a real vLLM 0.32, without help texts and buckets, and against the truth.

use std::collections::BTreeSet;

use super::harness::{Mock, chat_body, fast, metric};
use crate::config::Embedded;
use crate::mock::truth::TruthRow;

/// Types and series in their order, without values.
fn series(page: &str) -> Vec<String> {
    let left_out = |line: &str| {
        line.starts_with("# HELP") || line.contains("_bucket{") || line.starts_with("vllm:cache_config_info{")
    };
    let lines = page.lines().filter(|line| !left_out(line));
    lines
        .map(|line| {
            if line.starts_with('#') { line.to_owned() } else { line.rsplit_once(' ').unwrap().0.to_owned() }
        })
        .collect()
}

/// What the captured servers had been asked.
async fn ask(mock: &Mock) {
    mock.post("/v1/completions", &[], r#"{"prompt":"x","max_tokens":3}"#).await;
    mock.chat("a", "x", 3).await;
    mock.post("/v1/chat/completions", &[], r#"{"model":"nope","messages":[]}"#).await;
}

async fn looks_like(embedded: Embedded, captured: &str) {
    let mock = Mock::start(embedded).await;
    ask(&mock).await;
    let (ours, theirs) = (series(&mock.get("/metrics").await.text()), series(captured));
    for (line, expected) in ours.iter().zip(&theirs) {
        assert_eq!(line, expected);
    }
    assert_eq!(ours.len(), theirs.len());
    mock.stop().await;
}

#[tokio::test]
async fn two_engines_have_two_of_each_series() {
    let captured = include_str!("samples/metrics-two-engines.prom");
    looks_like(Embedded { data_parallel_size: 2, ..fast() }, captured).await;
}

#[tokio::test]
async fn several_servers_have_a_merged_page() {
    let captured = include_str!("samples/metrics-two-servers.prom");
    looks_like(Embedded { api_server_count: 2, ..fast() }, captured).await;
    let mock = Mock::start(Embedded { api_server_count: 2, ..fast() }).await;
    ask(&mock).await;
    let page = mock.get("/metrics").await.text();
    assert!(!page.contains("_created") && !page.contains("process_"), "{page}");
    mock.stop().await;
}

async fn several(mock: &Mock, requests: u32) {
    let mut tasks = Vec::new();
    for i in 0..requests {
        let address = mock.address;
        tasks.push(tokio::spawn(async move {
            let mut client = super::client::Client::connect(address).await;
            let id = format!("several-{i}");
            let headers = [("x-request-id", id.as_str())];
            client.post("/v1/chat/completions", &headers, &chat_body("some words", 4 + i)).await
        }));
    }
    for task in tasks {
        assert!(task.await.unwrap().is_done());
    }
}

#[tokio::test]
async fn each_engine_counts_what_it_did() {
    let three = Embedded { data_parallel_size: 3, log_stats_interval_s: 0.1, ..fast() };
    let mock = Mock::start(three).await;
    several(&mock, 12).await;
    let page = mock.get("/metrics").await.text();
    let log = mock.log.clone();
    while !(0..3).all(|engine| log.text().contains(&format!("Engine 00{engine}: Avg prompt throughput: "))) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let rows = mock.stop().await;
    for engine in 0..3_u16 {
        let of: Vec<&TruthRow> = rows.iter().filter(|row| row.engine == engine).collect();
        let value =
            |name: &str| metric(&page, &format!("vllm:{name}{{engine=\"{engine}\",model_name=\"tiny\"}}"));
        assert!(!of.is_empty(), "requests go to whom has the fewest, in turn");
        let tokens: u32 = of.iter().map(|row| row.output_tokens).sum();
        assert!((value("generation_tokens_total") - f64::from(tokens)).abs() < 1e-9);
        assert!((value("e2e_request_latency_seconds_count") - of.len() as f64).abs() < 1e-9);
        let sum: f64 = of.iter().filter_map(|row| row.e2e_s).sum();
        assert!((value("e2e_request_latency_seconds_sum") - sum).abs() < 1e-12);
        assert!(log.text().contains(&format!("(EngineCore_DP{engine} pid=")));
    }
    assert!(log.text().contains("(VLLM_DP_Coordinator pid="));
}

#[tokio::test]
async fn all_lines_of_a_request_are_of_one_server() {
    let two = Embedded { api_server_count: 2, log_stats_interval_s: 0.1, ..fast() };
    let mock = Mock::start(Embedded { enable_logging_iteration_details: true, ..two }).await;
    several(&mock, 6).await;
    // Long enough for lines of statistics, if there were any.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let log = mock.log.clone();
    mock.stop().await;
    let text = log.text();
    let process = |line: &str| line.split_once(" pid=").unwrap().0.trim_start_matches('(').to_owned();
    let mut all = BTreeSet::new();
    for i in 0..6 {
        let id = format!("chatcmpl-several-{i}");
        let of: BTreeSet<String> = text.lines().filter(|line| line.contains(&id)).map(process).collect();
        assert_eq!(of.len(), 1, "{id}: {of:?}");
        all.extend(of);
    }
    assert_eq!(all.into_iter().collect::<Vec<_>>(), ["ApiServer_0", "ApiServer_1"]);
    let warning = "AsyncLLM created with api_server_count more than 1; disabling stats logging to avoid incomplete stats.";
    assert_eq!(text.matches(warning).count(), 2);
    assert!(text.contains("(MainProcess pid=") && text.contains("] Started 2 API server processes\n"));
    assert!(!text.contains("Engine 000: "), "neither statistics nor steps: {text}");
}
