//! The breakdown's shapes, its sums and its groups.

use proptest::prelude::*;

use super::Run;
use super::aggregate::around;
use crate::record::correlated::{BreakdownColumn, Correlated, Evidence, PartRow};
use crate::record::fixture::{request, span};
use crate::record::{Connection, RequestRow};

fn with_spans(n: u64) -> Run {
    let requests: Vec<RequestRow> = (0..n).map(request).collect();
    let spans = requests.iter().map(span).collect();
    Run { requests, spans, ..Run::default() }
}

fn rows(column: &BreakdownColumn) -> Vec<(&'static str, f64)> {
    column.parts.iter().map(|p| (p.row.name(), (p.mean_s * 1e6).round() / 1e6)).collect()
}

/// In every column the parts inside TTFT sum to it.
fn assert_sums(out: &Correlated) {
    for column in &out.breakdown.columns {
        let sum: f64 = column.parts.iter().filter(|p| p.row.inside()).map(|p| p.mean_s).sum();
        assert!((sum - column.total_s).abs() < 1e-9, "{}: {sum} is not {}", column.at, column.total_s);
    }
}

#[test]
fn with_spans_and_one_clock_every_row_is_there() {
    let out = with_spans(10).correlate();
    assert_eq!((out.breakdown.source, out.breakdown.n), (Evidence::Span, 10));
    let mean = &out.breakdown.columns[0];
    let expected = [
        ("schedule", 0.001),
        ("connect", 0.001),
        ("send", 0.001),
        ("path out", 0.003),
        ("front end", 0.010),
        ("queue", 0.020),
        ("prefill", 0.060),
        ("path back", 0.005),
        ("unexplained", 0.0),
        ("client lag", 0.0001),
    ];
    assert_eq!(rows(mean), expected);
    let by_subtraction: Vec<_> = mean.parts.iter().filter(|p| !p.measured).map(|p| p.row).collect();
    assert_eq!(by_subtraction, [PartRow::FrontEnd, PartRow::Unexplained]);
    assert_eq!(
        out.breakdown.columns.iter().map(|c| c.at.as_str()).collect::<Vec<_>>(),
        ["mean", "p50", "p90", "p99"]
    );
    assert_sums(&out);
}

#[test]
fn what_no_row_covers_is_unexplained() {
    let mut run = with_spans(10);
    for r in &mut run.requests {
        // Ready 4 ms late: neither connecting nor sending.
        r.send_begin_unix_ns = r.send_begin_unix_ns.map(|t| t.plus_seconds(0.0005));
        r.connection = Connection::Reused;
        (r.connect_begin_unix_ns, r.connect_end_unix_ns) = (None, None);
    }
    let out = run.correlate();
    let mean = rows(&out.breakdown.columns[0]);
    assert!(mean.contains(&("connect", 0.0)) && mean.contains(&("unexplained", 0.0015)), "{mean:?}");
    assert_sums(&out);
}

#[test]
fn negatives_are_kept_and_counted() {
    let mut run = with_spans(10);
    for i in [1, 2, 3] {
        // The stamp after the write came 27 ms late, as it can.
        run.requests[i].sent_unix_ns = Some(run.requests[i].started_unix_ns.plus_seconds(0.032));
    }
    let out = run.correlate();
    let path_out = out.breakdown.columns[0].parts.iter().find(|p| p.row == PartRow::PathOut).unwrap();
    assert_eq!(path_out.n_negative, 3);
    assert!((path_out.mean_s - (7.0 * 0.003 - 3.0 * 0.027) / 10.0).abs() < 1e-9);
    assert_sums(&out);
}

#[test]
fn with_two_clocks_the_path_is_one_row() {
    let mut run = with_spans(10);
    run.two_hosts = true;
    for s in &mut run.spans {
        s.start_unix_ns = s.start_unix_ns.plus_seconds(99.0);
    }
    let out = run.correlate();
    assert_eq!(out.breakdown.source, Evidence::Span);
    let mean = rows(&out.breakdown.columns[0]);
    let expected = [
        ("schedule", 0.001),
        ("connect", 0.001),
        ("send", 0.001),
        ("front end", 0.010),
        ("queue", 0.020),
        ("prefill", 0.060),
        ("path", 0.008),
        ("client lag", 0.0001),
    ];
    assert_eq!(mean, expected);
    assert_sums(&out);
}

#[test]
fn in_band_metrics_leave_path_and_front_end_together() {
    let mut run = with_spans(10);
    run.spans.clear();
    for r in &mut run.requests {
        (r.in_band_queue_s, r.in_band_prefill_s) = (Some(0.020), Some(0.060));
    }
    let out = run.correlate();
    assert_eq!(out.breakdown.source, Evidence::InBand);
    assert!(rows(&out.breakdown.columns[0]).contains(&("path + front end", 0.018)));
    assert_sums(&out);
}

#[test]
fn spans_without_a_ttft_are_named_as_spans() {
    let mut run = with_spans(10);
    for s in &mut run.spans {
        s.ttft_s = None;
    }
    let out = run.correlate();
    assert_eq!(out.breakdown.source, Evidence::Span);
    let mean = rows(&out.breakdown.columns[0]);
    assert!(
        mean.contains(&("path out", 0.003)) && mean.contains(&("front end + path back", 0.015)),
        "{mean:?}"
    );
    assert_sums(&out);
}

#[test]
fn the_metrics_endpoint_splits_the_mean_alone() {
    let mut run = with_spans(10);
    run.spans.clear();
    run.scrapes = around("0");
    let out = run.correlate();
    assert_eq!(out.breakdown.source, Evidence::Metrics);
    assert_eq!(out.breakdown.columns.len(), 1);
    let mean = rows(&out.breakdown.columns[0]);
    for row in [("front end", 0.010), ("queue", 0.020), ("prefill", 0.060), ("path", 0.008)] {
        assert!(mean.contains(&row), "{mean:?}");
    }
    assert_sums(&out);
}

#[test]
fn with_nothing_all_of_it_is_one_row() {
    let mut run = with_spans(10);
    run.spans.clear();
    let out = run.correlate();
    assert_eq!(out.breakdown.source, Evidence::None);
    assert!(rows(&out.breakdown.columns[3]).contains(&("path + server", 0.098)));
    assert_sums(&out);
}

#[test]
fn evidence_of_a_few_does_not_speak_for_all() {
    let mut run = with_spans(10);
    run.spans.truncate(4);
    for r in &mut run.requests {
        (r.in_band_queue_s, r.in_band_prefill_s) = (Some(0.020), Some(0.060));
    }
    let breakdown = run.correlate().breakdown;
    assert_eq!((breakdown.source, breakdown.n, breakdown.n_total), (Evidence::InBand, 6, 10));
}

#[test]
fn groups_hold_the_requests_around_the_percentile() {
    let mut run = with_spans(2000);
    for (i, r) in run.requests.iter_mut().enumerate() {
        let later = i as f64 * 1e-5;
        r.ttft_s = Some(0.100 + later);
        r.first_token_unix_ns = Some(r.started_unix_ns.plus_seconds(0.100 + later));
    }
    let out = run.correlate();
    let columns = &out.breakdown.columns;
    assert_eq!(columns.iter().map(|c| c.n).collect::<Vec<_>>(), [2000, 40, 40, 40]);
    assert!((columns[1].total_s - 0.109_995).abs() < 1e-9, "{}", columns[1].total_s);
    assert!((columns[2].total_s - 0.117_99).abs() < 1e-5, "{}", columns[2].total_s);
    assert_sums(&out);
    run.requests.truncate(50);
    assert_eq!(run.correlate().breakdown.columns.iter().map(|c| c.n).collect::<Vec<_>>(), [50, 30, 30, 30]);
    run.requests.truncate(7);
    assert_eq!(run.correlate().breakdown.columns.iter().map(|c| c.n).collect::<Vec<_>>(), [7, 7, 7, 7]);
}

#[test]
fn no_request_with_a_ttft_makes_no_column() {
    let mut run = with_spans(3);
    for r in &mut run.requests {
        r.ttft_s = None;
    }
    let breakdown = run.correlate().breakdown;
    assert_eq!((breakdown.n, breakdown.columns.len()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn parts_sum_to_ttft_whatever_the_stamps(
        stamps in prop::collection::vec((0_i64..400, -300_i64..400, 0_i64..300, any::<bool>(), any::<bool>()), 1..60),
        two_hosts in any::<bool>(),
    ) {
        let mut run = with_spans(stamps.len() as u64);
        run.two_hosts = two_hosts;
        for (((first, arrival, queue, has_span, has_in_band), r), s) in
            stamps.into_iter().zip(&mut run.requests).zip(&mut run.spans)
        {
            let first = first as f64 / 1e3;
            r.ttft_s = Some(first);
            r.first_token_unix_ns = Some(r.started_unix_ns.plus_seconds(first));
            s.start_unix_ns = r.started_unix_ns.plus_seconds(arrival as f64 / 1e3);
            s.queue_s = Some(queue as f64 / 1e3);
            if !has_span {
                s.trace_id = format!("{:x>32}", r.index);
                s.request_id = None;
            }
            if has_in_band {
                (r.in_band_queue_s, r.in_band_prefill_s) = (Some(0.001), Some(0.002));
            }
        }
        assert_sums(&run.correlate());
    }
}
