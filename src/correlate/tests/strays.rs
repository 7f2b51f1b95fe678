//! What belongs to no request, and what the log alone can say.

use super::joins::ten;
use super::{check, reasons};
use crate::record::correlated::Verdict;
use crate::record::fixture::{BEGIN, log, request, sample, scrape, span};
use crate::record::{LogEvent, ScrapePhase, SpanRow};

#[test]
fn spans_of_nobody_are_counted_by_reason() {
    let mut run = ten();
    run.scrapes = vec![
        scrape(ScrapePhase::Before, -0.5, vec![sample("vllm:num_requests_running", "0", &[], 0.0)]),
        scrape(ScrapePhase::After, 20.0, vec![sample("vllm:num_requests_running", "0", &[], 0.0)]),
    ];
    let stray = |at: f64, id: &str| {
        let mut row = request(0);
        row.started_unix_ns = BEGIN.plus_seconds(at);
        row.request_id = id.to_owned();
        SpanRow {
            trace_id: format!("{id:f>32}"),
            span_id: format!("{id:e>16}"),
            end_unix_ns: BEGIN.plus_seconds(at + 0.2),
            ..span(&row)
        }
    };
    let start_up = SpanRow {
        name: "Load model".to_owned(),
        ttft_s: None,
        e2e_s: None,
        queue_s: None,
        prefill_s: None,
        ..stray(-9.0, "boot")
    };
    run.spans.extend([stray(-3.0, "warm"), stray(4.0, "other"), stray(25.0, "late"), start_up]);
    let out = run.correlate();
    let expected = [
        ("after the window", 1),
        ("before the window (warm-up)", 1),
        ("foreign: no request of this run has its ids", 1),
        ("not a request's span (start-up, middleware)", 1),
    ];
    assert_eq!(reasons(&out.coverage.span_leftovers), expected);
    assert_eq!(check(&out, "no foreign traffic").verdict, Verdict::Differ);
}

#[test]
fn log_lines_join_by_any_form_of_the_id() {
    let mut run = ten();
    run.spans.clear();
    let at = |i: usize, at: f64, event| log(&request(i as u64), at, event);
    run.log = vec![
        at(0, 0.008, LogEvent::Received { request_id: "chatcmpl-r-0000".to_owned() }),
        at(0, 0.009, LogEvent::Added { request_id: "chatcmpl-r-0000-bff93208".to_owned() }),
        at(1, 0.008, LogEvent::Received { request_id: "cmpl-r-0001-0".to_owned() }),
        at(1, 0.010, LogEvent::Added { request_id: "1_cmpl-r-0001-0-8c41e5aa".to_owned() }),
        at(1, 0.009, LogEvent::Added { request_id: "0_cmpl-r-0001-0-8c41e5aa".to_owned() }),
        at(2, 0.150, LogEvent::Aborted { request_ids: vec!["chatcmpl-r-0002-aaaaaaaa".to_owned()] }),
        at(
            3,
            0.200,
            LogEvent::Finished {
                request_id: "chatcmpl-r-0003".to_owned(),
                input_tokens: Some(20),
                output_tokens: Some(12),
                finish_reason: None,
            },
        ),
        at(4, 0.008, LogEvent::Received { request_id: "chatcmpl-other".to_owned() }),
        at(4, 0.009, LogEvent::Added { request_id: "chatcmpl-other-0badf00d".to_owned() }),
        at(5, -9.0, LogEvent::Received { request_id: "chatcmpl-r-0005".to_owned() }),
    ];
    let out = run.correlate();
    assert_eq!(reasons(&out.coverage.by_source), [("log", 4)]);
    let (zero, one) = (&out.rows[0], &out.rows[1]);
    assert_eq!(zero.log_added_unix_ns, Some(BEGIN.plus_seconds(0.009)));
    assert_eq!(zero.log_resolution_ns, Some(1_000));
    assert_eq!(one.log_added_unix_ns, Some(BEGIN.plus_seconds(1.009)), "the first of the choices");
    assert_eq!(out.rows[3].server_output_tokens, Some(12));
    let left =
        [("foreign: no request of this run has this id", 1), ("the id of a request, at another time", 1)];
    assert_eq!(reasons(&out.coverage.log_leftovers), left);
    assert_eq!(reasons(&out.coverage.unjoined), [("no line of the log names it", 6)]);
    let tokens = check(&out, "output tokens, request by request");
    assert_eq!((tokens.verdict, tokens.detail.as_str()), (Verdict::Differ, "1 of 1 requests differ"));
}

#[test]
fn log_stamps_of_whole_seconds_are_no_reason_to_refuse() {
    let mut run = ten();
    run.spans.clear();
    let mut line = log(&request(3), 0.0, LogEvent::Received { request_id: "chatcmpl-r-0003".to_owned() });
    line.time_unix_ns = Some(BEGIN.plus_seconds(2.1));
    line.time_resolution_ns = Some(1_000_000_000);
    run.log = vec![line];
    assert_eq!(run.correlate().coverage.joined, 1);
}
