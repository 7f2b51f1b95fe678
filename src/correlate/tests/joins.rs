//! The rules by which spans, in-band metrics and log lines find their request.

use super::{Run, check, reasons};
use crate::clock::UnixNs;
use crate::record::correlated::Verdict;
use crate::record::fixture::{BEGIN, log, request, span};
use crate::record::{Endpoint, JoinedRow, LogEvent, RequestRow, Source, SpanRow, Status};

/// Ten requests with their spans.
pub(super) fn ten() -> Run {
    let requests: Vec<RequestRow> = (0..10).map(request).collect();
    let spans = requests.iter().map(span).collect();
    Run { requests, spans, ..Run::default() }
}

fn sources(rows: &[JoinedRow]) -> Vec<Source> {
    rows.iter().map(|r| r.source).collect()
}

#[test]
fn spans_join_by_trace_id() {
    let mut run = ten();
    run.spans.reverse();
    for span in &mut run.spans {
        span.request_id = None;
    }
    let out = run.correlate();
    assert_eq!(sources(&out.rows), [Source::Span; 10]);
    for (row, i) in out.rows.iter().zip(0..) {
        assert_eq!(row.server_arrival_unix_ns, Some(BEGIN.plus_seconds(f64::from(i) + 0.005)));
        assert_eq!((row.server_ttft_s, row.server_queue_s), (Some(0.090), Some(0.020)));
        assert_eq!(row.span_fits_client, Some(true));
    }
    assert!(out.coverage.span_leftovers.is_empty());
}

#[test]
fn spans_without_our_trace_join_by_request_id_as_vllm_builds_it() {
    let mut run = ten();
    for (i, span) in run.spans.iter_mut().enumerate() {
        span.trace_id = format!("{i:032x}");
        span.parent_span_id = None;
    }
    for i in 5..10 {
        run.requests[i].endpoint = Endpoint::Completions;
        run.spans[i].request_id = Some(format!("cmpl-r-{i:04}-0"));
    }
    assert_eq!(sources(&run.correlate().rows), [Source::Span; 10]);
}

#[test]
fn a_server_that_ignores_the_id_is_joined_by_the_answers_own() {
    let mut run = ten();
    run.requests[3].response_id = Some("chatcmpl-b070cd147aeaf405".to_owned());
    run.spans[3].trace_id = "f".repeat(32);
    run.spans[3].request_id = Some("chatcmpl-b070cd147aeaf405".to_owned());
    assert_eq!(run.correlate().rows[3].source, Source::Span);
}

#[test]
fn rows_come_back_in_the_order_of_scheduling_with_equal_stamps_too() {
    let mut run = ten();
    let (first, span0) = (run.requests[0].clone(), run.spans[0].clone());
    for i in 0..10 {
        let (row, span) = (&mut run.requests[i], &mut run.spans[i]);
        let (index, request_id, trace_id) = (row.index, row.request_id.clone(), row.trace_id.clone());
        *row = RequestRow { request_id, trace_id, index, ..first.clone() };
        span.start_unix_ns = span0.start_unix_ns;
    }
    run.requests.reverse();
    let out = run.correlate();
    assert_eq!(out.rows.iter().map(|r| r.client.index).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    assert_eq!(sources(&out.rows), [Source::Span; 10]);
}

#[test]
fn empty_sides_are_no_error() {
    let nothing = Run::default().correlate();
    assert_eq!((nothing.rows.len(), nothing.window), (0, None));
    let only_spans = Run { requests: Vec::new(), ..ten() }.correlate();
    let foreign = "foreign: no request of this run has its ids";
    assert_eq!(reasons(&only_spans.coverage.span_leftovers), [(foreign, 10)]);
    let only_requests = Run { spans: Vec::new(), ..ten() }.correlate();
    let silent =
        "the server tells nothing about single requests (no spans, no in-band metrics, no request lines)";
    assert_eq!(reasons(&only_requests.coverage.unjoined), [(silent, 10)]);
    assert_eq!(only_requests.coverage.joined, 0);
}

#[test]
fn a_span_exported_twice_counts_once() {
    let mut run = ten();
    run.spans.extend(run.spans.clone());
    let out = run.correlate();
    assert_eq!(out.coverage.joined, 10);
    assert_eq!(reasons(&out.coverage.span_leftovers), [("exported twice", 10)]);
}

#[test]
fn missing_spans_fall_back_to_what_else_is_there_and_are_told() {
    let mut run = ten();
    run.spans.truncate(4);
    for i in 4..7 {
        run.requests[i].in_band_queue_s = Some(0.02);
        run.requests[i].in_band_prefill_s = Some(0.06);
    }
    let received = |i: usize| LogEvent::Received { request_id: format!("chatcmpl-r-{i:04}") };
    run.log = vec![log(&run.requests[7], 0.008, received(7)), log(&run.requests[2], 0.008, received(2))];
    let out = run.correlate();
    let expected: Vec<(&str, usize)> = vec![("in_band", 3), ("log", 1), ("span", 4)];
    assert_eq!(reasons(&out.coverage.by_source), expected);
    assert_eq!(reasons(&out.coverage.unjoined), [("its span was lost, not exported or not sampled", 2)]);
    let in_band = &out.rows[5];
    assert_eq!((in_band.server_queue_s, in_band.server_prefill_s), (Some(0.02), Some(0.06)));
    assert_eq!((in_band.server_ttft_s, in_band.server_e2e_s), (None, None), "prefill is never a TTFT");
    assert_eq!(out.rows[2].log_received_unix_ns, Some(BEGIN.plus_seconds(2.008)));
    assert_eq!(out.rows[2].source, Source::Span, "the best evidence names the row");
}

#[test]
fn a_request_that_did_not_end_well_says_why_it_has_no_server_side() {
    let mut run = ten();
    run.spans.truncate(3);
    let status = [
        Status::ConnectError,
        Status::HttpError,
        Status::HttpError,
        Status::Cut,
        Status::Timeout,
        Status::InFlight,
    ];
    for (i, status) in status.into_iter().enumerate() {
        run.requests[3 + i].status = status;
        run.requests[3 + i].http_status = Some(if i == 2 { 503 } else { 404 });
    }
    let out = run.correlate();
    let expected = [
        ("it never reached the server: no connection", 1),
        ("it was aborted, cut or unfinished: the server keeps no record of these", 3),
        ("its span was lost, not exported or not sampled", 1),
        ("the server failed it (HTTP 5xx): no record is made of these", 1),
        ("the server refused it (HTTP 4xx): no record is made of these", 1),
    ];
    assert_eq!(reasons(&out.coverage.unjoined), expected);
}

#[test]
fn requests_with_one_id_are_told_apart_by_trace_and_otherwise_not_at_all() {
    let mut run = ten();
    for i in [2, 3] {
        run.requests[i].request_id = "dup".to_owned();
        run.requests[i].response_id = Some("chatcmpl-dup".to_owned());
        run.spans[i].request_id = Some("chatcmpl-dup".to_owned());
    }
    assert_eq!(run.correlate().coverage.joined, 10, "each has its trace id");

    for i in [2, 3] {
        run.spans[i].trace_id = format!("{:032x}", 0xf0 + i);
    }
    let out = run.correlate();
    assert_eq!(reasons(&out.coverage.unjoined), [("ambiguous: another request has the same id", 2)]);
    assert_eq!(reasons(&out.coverage.span_leftovers), [("ambiguous: several requests share its id", 2)]);
    assert_eq!(out.coverage.ambiguous, 2);
    assert_eq!(check(&out, "ids are unique").verdict, Verdict::Differ);
}

#[test]
fn the_choices_of_one_request_are_one_side() {
    let mut run = ten();
    let mut child = run.spans[1].clone();
    child.span_id = "c".repeat(16);
    child.ttft_s = Some(0.095);
    child.e2e_s = Some(0.194);
    child.queue_s = Some(0.025);
    run.spans.push(child);
    let row = &run.correlate().rows[1];
    assert_eq!((row.server_ttft_s, row.server_queue_s), (Some(0.090), Some(0.020)), "of the first token");
    assert_eq!((row.server_e2e_s, row.server_output_tokens), (Some(0.194), Some(22)));
    assert_eq!(row.server_decode_s, None, "no decode time is common to both");
}

#[test]
fn of_several_attempts_the_one_in_the_clients_time_is_taken() {
    let mut run = ten();
    let mut earlier = run.spans[1].clone();
    earlier.span_id = "e".repeat(16);
    earlier.start_unix_ns = earlier.start_unix_ns.plus_seconds(-0.5);
    run.spans.push(earlier.clone());
    let out = run.correlate();
    assert_eq!(out.rows[1].server_arrival_unix_ns, Some(BEGIN.plus_seconds(1.005)));
    assert_eq!(reasons(&out.coverage.span_leftovers), [("another attempt at a request", 1)]);

    run.spans.last_mut().unwrap().start_unix_ns = BEGIN.plus_seconds(1.006);
    let out = run.correlate();
    assert_eq!(reasons(&out.coverage.unjoined), [("ambiguous: several spans fit it", 1)]);
    assert_eq!(reasons(&out.coverage.span_leftovers), [("ambiguous: several spans fit one request", 2)]);
}

#[test]
fn a_clock_that_disagrees_flags_a_trace_and_refuses_an_id() {
    let mut run = ten();
    for i in [1, 2] {
        run.spans[i].start_unix_ns = run.spans[i].start_unix_ns.plus_seconds(-0.1);
    }
    run.spans[2].trace_id = "f".repeat(32);
    let out = run.correlate();
    assert_eq!((out.rows[1].source, out.rows[1].span_fits_client), (Source::Span, Some(false)));
    assert_eq!(out.coverage.disagree_in_time, 1);
    assert_eq!(check(&out, "spans lie inside the client's stamps").verdict, Verdict::Differ);
    let refused = "a span has its id, but lies outside the request's time";
    assert_eq!(reasons(&out.coverage.unjoined), [(refused, 1)]);
    assert_eq!(reasons(&out.coverage.span_leftovers), [("the id of a request, at another time", 1)]);
}

#[test]
fn a_disagreement_within_the_grain_of_the_stamps_is_none() {
    let mut run = ten();
    run.spans[1].start_unix_ns = UnixNs(run.requests[1].send_begin_unix_ns.unwrap().0 - 900_000);
    assert_eq!(run.correlate().coverage.disagree_in_time, 0);
}

#[test]
fn on_two_hosts_only_durations_are_compared() {
    let mut run = ten();
    run.two_hosts = true;
    let shift = |s: &mut SpanRow| s.start_unix_ns = s.start_unix_ns.plus_seconds(3600.0);
    run.spans.iter_mut().for_each(shift);
    run.spans[4].e2e_s = Some(0.5);
    let out = run.correlate();
    assert_eq!((out.coverage.joined, out.coverage.disagree_in_time), (10, 1));
    assert_eq!(out.rows[4].span_fits_client, Some(false), "longer at the server than at the client");
}
