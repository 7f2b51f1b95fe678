//! The headline's figures by each evidence.

use super::Run;
use super::aggregate::around;
use crate::record::correlated::{Evidence, HeadlineRow};
use crate::record::fixture::{log, request, span};
use crate::record::{LogEvent, RequestRow, Status};

fn with_spans(n: u64) -> Run {
    let requests: Vec<RequestRow> = (0..n).map(request).collect();
    let spans = requests.iter().map(span).collect();
    Run { requests, spans, ..Run::default() }
}

fn assert_figures(row: &HeadlineRow, source: Evidence, title: &str, tool: f64, server: f64) {
    assert_eq!((row.source, row.title.as_str()), (source, title));
    let figures = [row.tool.unwrap().value, row.server.unwrap().value, row.tare.unwrap().value];
    for (found, expected) in figures.into_iter().zip([tool, server, tool - server]) {
        assert!((found - expected).abs() < 1e-9 * expected.abs().max(1.0), "{title}: {figures:?}");
    }
}

#[test]
fn spans_give_paired_differences() {
    let out = with_spans(10).correlate();
    let [ttft, throughput, itl, duration] = out.headline.as_slice() else { panic!() };
    assert_figures(ttft, Evidence::Span, "TTFT", 0.100, 0.090);
    assert_figures(throughput, Evidence::Span, "Token Throughput", 11.0 / 0.200, 11.0 / 0.190);
    assert_figures(itl, Evidence::Span, "Inter-Token Latency", 0.010, 0.010);
    assert_figures(duration, Evidence::Span, "Request Duration", 0.200, 0.190);
    assert_eq!(ttft.tare.unwrap().n, 10);
    assert_eq!(ttft.note, None);
}

#[test]
fn ratios_of_sums_are_compared_with_ratios_of_sums() {
    let mut run = with_spans(10);
    // One long answer: a mean of ratios would weigh it as one of ten.
    run.requests[0].output_tokens = Some(1001);
    run.requests[0].last_token_unix_ns = Some(run.requests[0].started_unix_ns.plus_seconds(5.1));
    run.requests[0].done_unix_ns = run.requests[0].started_unix_ns.plus_seconds(5.2);
    run.requests[0].e2e_s = Some(5.1);
    run.spans[0].output_tokens = Some(1001);
    run.spans[0].e2e_s = Some(5.0);
    run.spans[0].decode_s = Some(4.9);
    let out = run.correlate();
    let tokens = 1001.0 + 9.0 * 11.0;
    let sums = (tokens / (5.1 + 9.0 * 0.2), tokens / (5.0 + 9.0 * 0.19));
    assert_figures(&out.headline[1], Evidence::Span, "Token Throughput", sums.0, sums.1);
    let gaps = 1000.0 + 9.0 * 10.0;
    let itl = ((5.0 + 9.0 * 0.1) / gaps, (4.9 + 9.0 * 0.1) / gaps);
    assert_figures(&out.headline[2], Evidence::Span, "Inter-Token Latency", itl.0, itl.1);
}

#[test]
fn requests_without_a_server_side_are_left_out_of_both() {
    let mut run = with_spans(10);
    run.spans.truncate(9);
    for r in &mut run.requests[9..] {
        r.ttft_s = Some(50.0);
    }
    let ttft = &run.correlate().headline[0];
    assert_figures(ttft, Evidence::Span, "TTFT", 0.100, 0.090);
    assert_eq!(
        ttft.note.as_deref(),
        Some("1 of 10 requests lack the server's figure and are left out of both")
    );
}

#[test]
fn a_join_that_covers_too_few_speaks_for_none() {
    let mut run = with_spans(10);
    run.spans.truncate(8);
    let refused = "OTLP spans tell of 8 of 10 requests, less than 90 %: not used here, for what is lacking may not be like the rest";
    let ttft = run.correlate().headline[0].clone();
    assert_eq!((ttft.source, ttft.server, ttft.tare), (Evidence::None, None, None));
    assert_eq!(ttft.note.as_deref(), Some(refused));
    // The endpoint counts all of them.
    run.scrapes = around("0");
    let ttft = run.correlate().headline[0].clone();
    assert_figures(&ttft, Evidence::Metrics, "TTFT", 0.100, 0.090);
    assert!(ttft.note.unwrap().starts_with(refused));
}

#[test]
fn failed_requests_are_in_no_figure() {
    let mut run = with_spans(10);
    run.requests[9].status = Status::Cut;
    run.requests[9].ttft_s = Some(50.0);
    assert_eq!(run.correlate().headline[0].tool.unwrap().n, 9);
}

#[test]
fn in_band_metrics_are_titled_as_what_they_are() {
    let mut run = with_spans(10);
    run.spans.clear();
    for r in &mut run.requests {
        (r.in_band_queue_s, r.in_band_prefill_s, r.in_band_decode_s) =
            (Some(0.020), Some(0.060), Some(0.100));
    }
    let out = run.correlate();
    let [ttft, throughput, itl, duration] = out.headline.as_slice() else { panic!() };
    assert_figures(ttft, Evidence::InBand, "TTFT | queue + prefill", 0.100, 0.080);
    let title = "Token Throughput | tokens / (queue + prefill + decode)";
    assert_figures(throughput, Evidence::InBand, title, 55.0, 11.0 / 0.180);
    assert_figures(itl, Evidence::InBand, "Inter-Token Latency", 0.010, 0.010);
    assert_figures(duration, Evidence::InBand, "Request Duration | queue + prefill + decode", 0.200, 0.180);

    run.scrapes = around("0");
    let out = run.correlate();
    assert_figures(&out.headline[0], Evidence::Metrics, "TTFT", 0.100, 0.090);
    assert_eq!(out.headline[2].source, Evidence::InBand, "decode is decode, and paired");
}

#[test]
fn the_metrics_endpoint_gives_exact_means() {
    let mut run = with_spans(10);
    run.spans.clear();
    run.scrapes = around("0");
    let out = run.correlate();
    let [ttft, throughput, itl, duration] = out.headline.as_slice() else { panic!() };
    assert_figures(ttft, Evidence::Metrics, "TTFT", 0.100, 0.090);
    assert_figures(throughput, Evidence::Metrics, "Token Throughput", 55.0, 110.0 / 1.9);
    assert_figures(itl, Evidence::Metrics, "Inter-Token Latency", 0.010, 0.010);
    assert_figures(duration, Evidence::Metrics, "Request Duration", 0.200, 0.190);
    assert!(!ttft.server.unwrap().is_bounded(), "an exact mean has no interval");
    assert!(ttft.note.as_deref().unwrap().contains("exact for the window"));

    run.requests.truncate(8);
    let note = run.correlate().headline[0].note.clone().unwrap();
    assert!(note.contains("it is of 10 requests (10 finished well), the tool's of 8"), "{note}");
}

#[test]
fn the_logs_stats_lines_are_the_last_resort() {
    let mut run = with_spans(10);
    run.spans.clear();
    let stats = |at: f64, generation: f64, running: u32| {
        let event = LogEvent::Stats {
            engine: None,
            prompt_throughput_tps: 0.0,
            generation_throughput_tps: generation,
            running,
            waiting: 0,
            kv_cache_usage: None,
            prefix_cache_hit_rate: None,
        };
        log(&request(0), at, event)
    };
    run.log = vec![stats(0.0, 0.0, 0), stats(4.0, 60.0, 1), stats(8.0, 60.0, 1)];
    let out = run.correlate();
    let [ttft, throughput, itl, duration] = out.headline.as_slice() else { panic!() };
    assert_figures(throughput, Evidence::LogStats, "Token Throughput", 55.0, 60.0);
    assert_figures(itl, Evidence::LogStats, "Inter-Token Latency", 0.010, 1.0 / 60.0);
    assert!(throughput.note.as_deref().unwrap().starts_with("estimated from the log's stats lines (2)"));
    for row in [ttft, duration] {
        assert_eq!((row.source, row.server, row.tare), (Evidence::None, None, None));
        assert!(row.tool.is_some());
    }
}

#[test]
fn the_same_records_give_the_same_figures() {
    let mut run = with_spans(40);
    for (i, r) in run.requests.iter_mut().enumerate() {
        r.ttft_s = Some(0.1 + (i * 37 % 11) as f64 * 1e-3);
    }
    let as_text = |run: &Run| serde_json::to_string(&run.correlate()).unwrap();
    assert_eq!(as_text(&run), as_text(&run));
    let tare = run.correlate().headline[0].tare.unwrap();
    assert!(tare.is_bounded() && tare.lo < tare.value && tare.value < tare.hi, "{tare:?}");
}
