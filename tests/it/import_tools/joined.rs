//! What has ids is joined with the server's side request by request; a summary as a whole.

use tare::import::{Of, read};
use tare::record::{RequestRow, ScrapePhase, Status};
use tare::run::recompute;
use tare::server::vllm::VLLM;
use tare::store::{RunData, RunFolder};

use super::{copied, correlate, joined, joined_by_id, json, sample, shown};
use crate::program::Place;
use crate::source::root;

#[test]
fn aiperf_is_joined_request_by_request() {
    let place = copied(&["aiperf-0.13.jsonl.gz", "aiperf-stat.jsonl.gz"]);
    std::fs::create_dir(place.path("scrapes")).unwrap();
    for entry in std::fs::read_dir(sample("scrapes")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), place.path("scrapes").join(entry.file_name())).unwrap();
    }
    let args = "--client aiperf-0.13.jsonl.gz --stat-log aiperf-stat.jsonl.gz --metrics scrapes --same-host";
    let said = correlate(&place, args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let rows = joined_by_id(&place, 21);
    // One host, one clock: the server's arrival lies between sending and the first token.
    let well = rows.iter().filter(|row| row.client.status == Status::Ok);
    assert!(well.clone().all(|row| row.parts.path_out_s.is_some_and(|s| s > -0.001)));
    let data = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
    assert_eq!(data.complaints(), [""; 0]);
    let phases: Vec<ScrapePhase> = data.scrapes.rows.iter().map(|row| row.phase).collect();
    assert_eq!(phases, [ScrapePhase::Before, ScrapePhase::During, ScrapePhase::After]);
    assert!(said.out.contains("scrapes: 3 files: one page, its time by the file's name"), "{}", said.out);
    let aggregate = recompute(&place.path("run")).unwrap().correlated.aggregate;
    // Of the answer that was cut the server had made six tokens.
    assert_eq!((aggregate.unusable, aggregate.generation_tokens), (None, Some(21.0 * 24.0 + 6.0)));
}

#[test]
fn vllm_bench_is_joined_by_the_prefix_of_its_ids_and_as_a_whole_without() {
    let place = copied(&["vllm-bench-0.32.json.gz", "vllm-bench-stat.jsonl.gz"]);
    let args = "--client vllm-bench-0.32.json.gz --stat-log vllm-bench-stat.jsonl.gz";
    let said = correlate(&place, &format!("{args} --client-id-prefix bench- --same-host"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    joined_by_id(&place, 21);
    assert!(said.out.contains("are not of the wall clock: it is set aside"), "{}", said.out);

    let said = correlate(&place, &format!("{args} --overwrite"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(joined(&place).iter().all(|row| row.e2e_source.is_none()));
    assert!(said.out.contains("`vllm bench serve --request-id-prefix PREFIX`"), "{}", said.out);

    let said = correlate(&place, &format!("{args} --client-id-prefix other- --overwrite"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(joined(&place).iter().all(|row| row.e2e_source.is_none()), "ids that nobody sent join nothing");
}

#[test]
fn guidellm_and_inference_perf_are_joined_by_the_ids_of_their_answers() {
    let place = copied(&["guidellm-0.8.json.gz", "guidellm-stat.jsonl.gz"]);
    let args = "--client guidellm-0.8.json.gz --client-part 2 --stat-log guidellm-stat.jsonl.gz --same-host";
    let said = correlate(&place, args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    joined_by_id(&place, 16);

    let place = copied(&["inference-perf-0.7.json.gz", "inference-perf-stat.jsonl.gz"]);
    let args = "--client inference-perf-0.7.json.gz --stat-log inference-perf-stat.jsonl.gz";
    let said = correlate(&place, args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    joined_by_id(&place, 17);
}

#[test]
fn a_summary_is_compared_as_a_whole() {
    let place = copied(&["aiperf-0.13-summary.json.gz", "inference-perf-0.7-summary.json.gz"]);
    std::fs::create_dir(place.path("scrapes")).unwrap();
    for entry in std::fs::read_dir(sample("scrapes")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), place.path("scrapes").join(entry.file_name())).unwrap();
    }
    let said = correlate(&place, "--client aiperf-0.13-summary.json.gz --metrics scrapes");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let report = std::fs::read_to_string(place.path("run/report.md")).unwrap();
    let (_, table) =
        report.split_once("## The tool's own summary beside the server over the window").unwrap();
    let rows: Vec<&str> = table
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    |  | the tool's name | n | mean | p50 | p99 | server: n | mean | p50 | p99 | tool − server: mean |
    |---|---|---|---|---|---|---|---|---|---|---|
    | TTFT | time_to_first_token | 21 | 30.39 ms | 22.60 ms | 74.12 ms | 22 | 26.99 ms | 20.00 ms–40.00 ms | 60.00 ms–80.00 ms | 3.40 ms [-5.26 ms, 12.05 ms] |
    | TPOT | inter_token_latency | 21 | 9.17 ms | 9.06 ms | 10.03 ms | 21 | 9.21 ms | ≤ 10.00 ms | ≤ 25.00 ms | -39.05 µs [-214.7 µs, 136.6 µs] |
    | Request Duration | request_latency | 21 | 241.2 ms | 229.1 ms | 285.9 ms | 21 | 237.6 ms | ≤ 300.0 ms | ≤ 300.0 ms | 3.65 ms [-6.19 ms, 13.50 ms] |
    ");
    assert!(report.contains("504 by the tool, 510 by the server"), "{report}");
    assert!(said.out.contains("`aiperf profile --export-level records`"), "{}", said.out);
    assert_eq!(place.tare("report run").code, Some(0));

    let said = correlate(&place, "--client inference-perf-0.7-summary.json.gz --overwrite");
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("The server's side: no metrics endpoint was scraped."), "{}", said.out);
    assert!(said.out.contains("per_request: true"), "{}", said.out);

    let mut result = json("vllm-bench-0.32.json.gz");
    for detail in ["ttfts", "itls", "start_times", "latencies", "input_lens", "output_lens", "queue_times"] {
        result.as_object_mut().unwrap().remove(detail);
    }
    place.file("result.json", result.to_string());
    let got = read(&place.path("result.json"), Of::Client, None, &VLLM).unwrap();
    let totals = got.rows.totals.unwrap();
    assert_eq!(
        (got.format.name, got.taken, totals.completed, totals.failed),
        ("vllm_bench_summary", 4, Some(21), Some(3))
    );
    assert!((totals.figures[0].mean_s - result["mean_ttft_ms"].as_f64().unwrap() / 1e3).abs() < 1e-12);
}

#[test]
fn a_log_as_text_has_a_block_or_lines() {
    let place = Place::new();
    let block = "Total Requests: 24\nSuccessful Requests: 21\nFailed Requests: 3\nTest Duration: 1.45 seconds\nRequests/sec: 14.44\n\nTime to First Token (TTFT):\n  Average: 0.0304 seconds\n  95th Percentile: 0.0701 seconds\n  99th Percentile: 0.0741 seconds\n\nToken Throughput:\n  Average: 100.3527 tokens/second\n  99th Percentile: 114.8504 tokens/second\n\nInter-Token Latency:\n  Average: 0.0092 seconds\n\nRequest Duration:\n  Average: 0.2412 seconds\n  99th Percentile: 0.2859 seconds\n";
    place.file("block.log", block);
    let got = read(&place.path("block.log"), Of::Client, None, &VLLM).unwrap();
    let totals = got.rows.totals.unwrap();
    let figures: Vec<(String, f64, Option<f64>)> =
        totals.figures.iter().map(|f| (f.called.clone(), f.mean_s, f.p99_s)).collect();
    assert_eq!(
        figures,
        [
            ("Time to First Token (TTFT)".to_owned(), 0.0304, Some(0.0741)),
            ("Inter-Token Latency".to_owned(), 0.0092, None),
            ("Request Duration".to_owned(), 0.2412, Some(0.2859)),
        ]
    );
    assert_eq!((totals.completed, totals.failed, totals.duration_s), (Some(21), Some(3), Some(1.45)));

    let lines = format!(
        "starting\n2026-11-26T20:15:43.500Z - INFO - request 12: TTFT: 0.0217 seconds, Inter-Token Latency: 0.0091 seconds, Request Duration: 0.2304 seconds, Output Tokens: 24\nrequest_id=a-7 ttft=21.7 ms latency=230.4 ms tokens=24\nrequest_id=a-8, ttft=21.7 parsec, latency=230.4 ms\nrequest 14: TTFT: 0.3, Request Duration: 1 s\n{block}"
    );
    place
        .file("lines.log", lines.replace("ttft=21.7 ms latency=230.4 ms", "ttft=21.7 ms, latency=230.4 ms,"));
    let got = read(&place.path("lines.log"), Of::Client, None, &VLLM).unwrap();
    assert_eq!((got.format.name, got.seen, got.taken, got.rows.totals.is_none()), ("text_log", 4, 2, true));
    let rows: Vec<&RequestRow> = got.rows.requests.iter().map(|f| &f.row).collect();
    assert_eq!(
        (rows[0].ttft_s, rows[0].e2e_s, rows[0].output_tokens),
        (Some(0.0217), Some(0.2304), Some(24))
    );
    assert_eq!(rows[0].done_unix_ns.0, 1_795_724_143_500_000_000);
    assert_eq!((rows[1].request_id.as_str(), rows[1].e2e_s), ("a-7", Some(0.2304)));
    let bad = got.notes.iter().find(|note| note.contains("could not be read")).unwrap();
    assert!(bad.contains("found `parsec`") && bad.contains("`0.3` has no unit"), "{bad}");
}

#[test]
fn what_servers_write_of_finished_requests_is_a_stat_log() {
    let of = |name: &str| {
        let got = read(&root().join("parsers/tests/samples").join(name), Of::StatLog, None, &VLLM).unwrap();
        let first = &got.rows.stats[0];
        (got.format.name, got.rows.stats.len(), first.ttft_s.is_some(), first.e2e_s.is_some(), got.bad)
    };
    assert_eq!(of("sglang/export-0.5.23-by-sources.log"), ("tare_stat_log", 2, true, true, 2));
    assert_eq!(of("tgi/by-sources-3.log"), ("tare_stat_log", 4, false, true, 3));
}

/// A longer name is another thing, and an id of ten digits is no time.
#[test]
fn a_line_of_a_log_means_what_its_names_say() {
    let place = Place::new();
    let told = |text: &str| {
        place.file("l.log", text);
        let got = read(&place.path("l.log"), Of::Client, None, &VLLM);
        got.map_err(|failure| shown(failure).replace(&place.path("").display().to_string(), ""))
    };
    let rows = |text: &str| {
        let got = told(text).unwrap();
        let told = |row: &RequestRow| (row.ttft_s, row.e2e_s, row.output_tokens, row.started_unix_ns.0);
        got.rows.requests.iter().map(|f| told(&f.row)).collect::<Vec<_>>()
    };
    let line = "request_id=1795724143, queue latency=5 ms, TTFT: 21.7 ms, Latency: 230.4 ms, Input Tokens: 100, Output Tokens: 24, Total Tokens: 124";
    assert_eq!(rows(line), [(Some(0.0217), Some(0.2304), Some(24), 0)]);
    let blanks = "request_id=a-7 ttft=21.7 ms latency=230.4 ms input_tokens=100 tokens=24";
    assert_eq!(rows(blanks), [(Some(0.0217), Some(0.2304), Some(24), 0)]);
    assert_eq!(rows("request 3: TTFT: 20 ms, Connect Duration: 1 ms"), [(Some(0.02), None, None, 0)]);
    insta::assert_snapshot!(told("request 3: TTFT: 0.5 s, Latency: 0.2 s").unwrap_err(), @r#"
    error: none of the 1 records of l.log could be read as `text_log`: line 1: its last token comes 0.300000 s before its first
    hint: known formats: tare, client_stamps, token_times, vllm_bench, aiperf, guidellm, inference_perf, client_csv, client_parquet, text_log, vllm_bench_summary, aiperf_summary, inference_perf_summary; --client-format names one
    "#);
}
