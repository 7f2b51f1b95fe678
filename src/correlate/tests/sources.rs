//! What each source of the server's side allows to be said: two bounded clocks, a stat log, the log's
//! lines to the microsecond and to the second, an endpoint with others' requests in it; and whether
//! several sources agree.

use super::aggregate::around;
use super::{Run, check, reasons};
use crate::metric::Metric;
use crate::record::clocks::ClockRelation;
use crate::record::correlated::{Correlated, Evidence, PartRow, Verdict};
use crate::record::fixture::{BEGIN, log, request, span, stat};
use crate::record::{LogEvent, RequestRow, Source, SpanRow};

/// Requests whose spans come by a clock that is an hour ahead. Every fourth is quick: 0.2 ms out and
/// 0.3 ms back instead of 4 and 5.
fn on_two_clocks(n: u64) -> Run {
    let requests: Vec<RequestRow> = (0..n).map(request).collect();
    let spans = requests
        .iter()
        .map(|r| {
            let mut s = span(r);
            let quick = r.index % 4 == 0;
            let begin = r.send_begin_unix_ns.unwrap();
            let out = if quick { 0.000_2 } else { 0.004 };
            let back = if quick { 0.000_3 } else { 0.005 };
            let ttft = r.first_token_unix_ns.unwrap().seconds_since(begin) - out - back;
            s.start_unix_ns = begin.plus_seconds(out + 3600.0);
            s.ttft_s = Some(ttft);
            s.e2e_s = Some(ttft + 0.100);
            s
        })
        .collect();
    Run { requests, spans, two_hosts: true, ..Run::default() }
}

fn part(out: &Correlated, row: PartRow) -> Option<crate::record::correlated::Part> {
    out.breakdown.columns[0].parts.iter().find(|p| p.row == row).cloned()
}

#[test]
fn two_clocks_that_are_bounded_split_the_path_within_bounds() {
    let out = on_two_clocks(40).correlate();
    assert_eq!(out.clocks.relation, ClockRelation::Bounded);
    // Known to the quickest way out and back: half of 0.5 ms, and the slack of a microsecond.
    let s = out.clocks.stretches[0];
    assert!((s.reach_s() - 0.000_251).abs() < 1e-6, "{s:?}");
    assert!(s.offset_lo_s < 3600.0 && 3600.0 < s.offset_hi_s);
    let path_out = part(&out, PartRow::PathOut).unwrap();
    // After the write: a millisecond later than its begin.
    let truth = (0.25 * 0.000_2 + 0.75 * 0.004) - 0.001;
    let bounds = path_out.bounds.unwrap();
    assert!(bounds.lo_s < truth && truth < bounds.hi_s && bounds.width_s() < 0.000_6, "{bounds:?}");
    let sum: f64 = out.breakdown.columns[0].parts.iter().filter(|p| p.row.inside()).map(|p| p.mean_s).sum();
    assert!((sum - 0.100).abs() < 1e-9, "{sum}");
    assert_eq!(check(&out, "clocks are consistent").verdict, Verdict::Agree);
}

#[test]
fn bounds_wider_than_what_they_bound_leave_one_path() {
    let mut run = on_two_clocks(40);
    // Without the quick ones nothing is known better than to 9 ms.
    run.requests.retain(|r| r.index % 4 != 0);
    let out = run.correlate();
    assert_eq!(out.clocks.relation, ClockRelation::Bounded);
    assert!(part(&out, PartRow::PathOut).is_none());
    let path = part(&out, PartRow::Path).unwrap();
    assert!((path.mean_s - 0.008).abs() < 1e-9, "{path:?}");
    let why = out.breakdown.lacking.unwrap();
    assert!(why.starts_with("path out cannot be told apart from the rest"), "{why}");
}

#[test]
fn a_clock_that_was_stepped_is_said() {
    let mut run = on_two_clocks(60);
    for s in run.spans.iter_mut().skip(30) {
        s.start_unix_ns = s.start_unix_ns.plus_seconds(-0.7);
    }
    let out = run.correlate();
    assert_eq!(out.clocks.stretches.len(), 2);
    let clock = check(&out, "clocks are consistent");
    assert_eq!(clock.verdict, Verdict::Differ);
    assert!(clock.detail.starts_with("1 step(s) of a clock in 180 pairs"), "{}", clock.detail);
}

/// TTFT and E2E are differences of the server's wall clock: of a request under way at the step they
/// are no durations, and a tare of -700 ms is no finding.
#[test]
fn a_duration_across_a_step_is_not_used() {
    let mut run = on_two_clocks(60);
    for s in run.spans.iter_mut().skip(31) {
        s.start_unix_ns = s.start_unix_ns.plus_seconds(0.7);
    }
    let across = &mut run.spans[30];
    across.ttft_s = across.ttft_s.map(|ttft| ttft + 0.7);
    across.e2e_s = across.e2e_s.map(|e2e| e2e + 0.7);
    let out = run.correlate();
    let told: Vec<u64> = out
        .rows
        .iter()
        .filter(|r| r.server_ttft_s.is_none() || r.server_e2e_s.is_none())
        .map(|r| r.client.index)
        .collect();
    // Neither neighbour shows on which side of the step all of it was.
    assert_eq!(told, [29, 30, 31]);
    assert!(out.rows[30].server_queue_s.is_some(), "these are of the monotonic clock");
    let ttft = &out.headline[0];
    assert!((0.0..0.01).contains(&ttft.tare.unwrap().value), "{ttft:?}");
    let note = ttft.note.as_deref().unwrap();
    assert_eq!(note, "3 of 60 requests lack the server's figure and are left out of both");
}

/// Two choices share their arrival; the first token here is that of the quicker, whichever span came first.
#[test]
fn choices_that_came_later_do_not_contradict_one_clock() {
    let requests: Vec<RequestRow> = (0..10).map(request).collect();
    let both = requests.iter().flat_map(|r| {
        let (mut late, quick) = (span(r), span(r));
        late.span_id = format!("{:016x}", 0xf00 + r.index);
        late.ttft_s = Some(0.150);
        [late, quick]
    });
    let run = Run { spans: both.collect(), requests, ..Run::default() };
    let out = run.correlate();
    assert_eq!((out.clocks.relation, out.clocks.against_one_clock), (ClockRelation::OneClock, 0));
}

/// The end-of-text token of an answer has no text, so no event where the stream counts no tokens: the
/// last event came before the server's last token, and the clocks are one all the same.
#[test]
fn a_last_token_without_an_event_does_not_contradict_one_clock() {
    let mut requests: Vec<RequestRow> = (0..10).map(request).collect();
    let mut spans: Vec<SpanRow> = requests.iter().map(span).collect();
    for (r, s) in requests.iter_mut().zip(&mut spans) {
        (r.finish_reason, r.output_tokens) = (Some("stop".to_owned()), Some(12));
        s.e2e_s = Some(0.1955);
    }
    let out = Run { requests, spans, ..Run::default() }.correlate();
    assert_eq!((out.clocks.relation, out.clocks.against_one_clock), (ClockRelation::OneClock, 0));
}

/// The window is on the client's clock; lines of a server an hour ahead lie in it all the same.
#[test]
fn stats_lines_of_a_clock_that_is_ahead_are_of_the_window() {
    let mut run = on_two_clocks(40);
    let line = || LogEvent::Stats {
        engine: Some("000".to_owned()),
        prompt_throughput_tps: 0.0,
        generation_throughput_tps: 100.0,
        running: 4,
        waiting: 0,
        kv_cache_usage: None,
        prefix_cache_hit_rate: None,
    };
    run.log = (0..5).map(|i| log(&run.requests[0], 3600.0 + 10.0 * f64::from(i), line())).collect();
    let found = run.correlate().aggregate.log_stats.unwrap();
    assert_eq!((found.lines, found.generated_tokens.round()), (4, 4000.0));
}

/// A log that holds an earlier run with the same ids: which line is whose, ids do not tell.
#[test]
fn ids_that_a_log_names_twice_bound_no_clock() {
    let requests: Vec<RequestRow> = (0..10).map(request).collect();
    let received = |r: &RequestRow, at_s: f64| {
        log(r, at_s, LogEvent::Received { request_id: format!("chatcmpl-{}", r.request_id) })
    };
    let yesterday = requests.iter().map(|r| received(r, 0.004 - 86_400.0));
    let today = requests.iter().map(|r| received(r, 0.004));
    let run = Run { log: yesterday.chain(today).collect(), requests: requests.clone(), ..Run::default() };
    let out = run.correlate();
    assert_eq!((out.clocks.relation, out.clocks.pairs_out), (ClockRelation::OneClock, 0));
    assert_eq!(out.rows[3].log_received_unix_ns, Some(BEGIN.plus_seconds(3.004)));
    assert_eq!(reasons(&out.coverage.log_leftovers), [("the id of a request, at another time", 10)]);
}

#[test]
fn a_host_whose_server_reads_another_clock_is_recognised() {
    let mut run = on_two_clocks(40);
    run.two_hosts = false;
    let out = run.correlate();
    assert_eq!(out.clocks.relation, ClockRelation::Bounded);
    let clock = check(&out, "clocks are consistent");
    assert!(clock.detail.starts_with("one host by its address, two clocks by"), "{}", clock.detail);
    assert_eq!(out.coverage.disagree_in_time, 0, "on the client's axis they fit");
}

/// Ten requests and what the stat logger wrote of them.
fn with_stat_log() -> Run {
    let requests: Vec<RequestRow> = (0..10).map(request).collect();
    let stat_log = requests.iter().map(stat).collect();
    Run { requests, stat_log, ..Run::default() }
}

#[test]
fn a_stat_log_gives_arrival_and_duration_but_no_ttft() {
    let out = with_stat_log().correlate();
    let row = &out.rows[3];
    assert_eq!((row.source, row.arrival_source), (Source::StatLog, Some(Source::StatLog)));
    assert_eq!(row.server_arrival_unix_ns, Some(BEGIN.plus_seconds(3.005)));
    assert_eq!((row.server_ttft_s, row.server_e2e_s), (None, Some(0.190)));
    assert_eq!(out.breakdown.source, Evidence::StatLog);
    let of = |row| (part(&out, row).unwrap().mean_s * 1e6).round() / 1e6;
    assert_eq!((of(PartRow::PathOut), of(PartRow::Queue), of(PartRow::Prefill)), (0.003, 0.020, 0.060));
    assert_eq!(of(PartRow::FrontEndAndPathBack), 0.015);
    let [ttft, _, itl, duration] = out.headline.as_slice() else { panic!() };
    assert_eq!((ttft.title.as_str(), ttft.source), ("TTFT | queue + prefill", Evidence::StatLog));
    assert_eq!((itl.source, duration.source), (Evidence::StatLog, Evidence::StatLog));
    assert_eq!(duration.title, "Request Duration", "its E2E is the server's E2E");
}

#[test]
fn sources_that_agree_are_said_to_and_one_that_does_not_is_named() {
    let mut run = with_stat_log();
    run.spans = run.requests.iter().map(span).collect();
    let verdict = |run: &Run, name: &str| check(&run.correlate(), name).verdict;
    assert_eq!(verdict(&run, "spans and stat log agree"), Verdict::Agree);
    assert_eq!(verdict(&run, "arrival: span and stat log agree"), Verdict::Agree);
    run.stat_log[2].prefill_s = Some(0.061);
    let out = run.correlate();
    let differs = check(&out, "spans and stat log agree");
    assert_eq!((differs.verdict, differs.detail.as_str()), (Verdict::Differ, "1 of 50 times differ"));
    assert_eq!(out.rows[2].server_prefill_s, Some(0.060), "the span is the better source");
    run.stat_log[4].iteration_unix_ns = run.stat_log[4].iteration_unix_ns.map(|t| t.plus_seconds(0.003));
    assert_eq!(verdict(&run, "arrival: span and stat log agree"), Verdict::Differ);
}

#[test]
fn a_lost_span_is_filled_in_from_the_stat_log() {
    let mut run = with_stat_log();
    run.spans = run.requests.iter().skip(1).map(span).collect();
    let out = run.correlate();
    assert_eq!(reasons(&out.coverage.by_source), [("span", 9), ("stat_log", 1)]);
    let duration = &out.headline[3];
    assert_eq!((duration.tare.unwrap().n, duration.source), (10, Evidence::Span));
}

/// Ten requests whose `Received` lines came 9 ms after the start, to the microsecond.
fn with_log() -> Run {
    let requests: Vec<RequestRow> = (0..10).map(request).collect();
    let received = |r: &RequestRow| LogEvent::Received { request_id: format!("chatcmpl-{}", r.request_id) };
    let log = requests.iter().map(|r| log(r, 0.009, received(r))).collect();
    Run { requests, log, ..Run::default() }
}

#[test]
fn fine_stamps_of_the_log_part_ttft_in_two() {
    let out = with_log().correlate();
    assert_eq!(out.breakdown.source, Evidence::Log);
    let out_and_receipt = part(&out, PartRow::PathOutAndReceipt).unwrap();
    assert!((out_and_receipt.mean_s - 0.007_000_5).abs() < 1e-9, "{out_and_receipt:?}");
    assert!((out_and_receipt.bounds.unwrap().width_s() - 0.000_001).abs() < 1e-9);
    assert!((part(&out, PartRow::ServerAndPathBack).unwrap().mean_s - 0.091).abs() < 1e-5);
}

#[test]
fn whole_seconds_of_the_log_part_nothing_and_say_so() {
    let mut run = with_log();
    for line in &mut run.log {
        let second = line.time_unix_ns.unwrap().0.div_euclid(1_000_000_000) * 1_000_000_000;
        line.time_unix_ns = Some(crate::clock::UnixNs(second));
        line.time_resolution_ns = Some(1_000_000_000);
    }
    let out = run.correlate();
    assert_eq!(out.coverage.joined, 10, "it still says that they arrived");
    assert_eq!(out.breakdown.source, Evidence::None);
    assert!(part(&out, PartRow::PathAndServer).is_some());
    assert!(out.breakdown.lacking.unwrap().starts_with("path out + receipt cannot be told apart"));
}

#[test]
fn lines_out_of_order_are_counted() {
    let mut run = with_log();
    let added =
        |r: &RequestRow| LogEvent::Added { request_id: format!("chatcmpl-{}-0123abcd", r.request_id) };
    let lines: Vec<_> = run.requests.iter().map(|r| log(r, 0.010, added(r))).collect();
    run.log.extend(lines);
    assert_eq!(check(&run.correlate(), "the log's lines come in order").verdict, Verdict::Agree);
    run.log[15].time_unix_ns = run.log[15].time_unix_ns.map(|t| t.plus_seconds(-0.005));
    let out = run.correlate();
    let order = check(&out, "the log's lines come in order");
    assert_eq!(order.verdict, Verdict::Differ);
    assert!(order.detail.starts_with("1 of 10 steps go back"), "{}", order.detail);
}

#[test]
fn e2e_is_parted_as_ttft_is() {
    let requests: Vec<RequestRow> = (0..10).map(request).collect();
    let spans: Vec<SpanRow> = requests.iter().map(span).collect();
    let out = Run { requests, spans, ..Run::default() }.correlate();
    let parts: Vec<(&str, f64)> = out.breakdown_e2e.columns[0]
        .parts
        .iter()
        .map(|p| (p.row.name(), (p.mean_s * 1e6).round() / 1e6))
        .collect();
    let expected = [
        ("schedule", 0.001),
        ("connect", 0.001),
        ("send", 0.001),
        ("path out", 0.003),
        ("front end", 0.010),
        ("queue", 0.020),
        ("prefill", 0.060),
        ("decode", 0.100),
        ("path back", 0.005),
        ("unexplained", 0.0),
        ("client lag", 0.0001),
    ];
    assert_eq!(parts, expected);
}

#[test]
fn others_requests_in_the_endpoint_widen_what_it_says() {
    // Ten at the server, eight of them ours.
    let run = Run { requests: (0..8).map(request).collect(), scrapes: around("0"), ..Run::default() };
    let out = run.correlate();
    let ttft = out.over_window.iter().find(|r| r.metric == Metric::Ttft).unwrap();
    assert_eq!((ttft.server_n, ttft.ours_n), (10.0, 8));
    // Two of the ten took 50 to 250 ms each; and none longer than it took here.
    let own = ttft.ours_mean.unwrap();
    assert!((own.lo_s - (0.9 - 0.5) / 8.0).abs() < 1e-9, "{own:?}");
    assert!((own.hi_s - 0.100).abs() < 1e-9, "{own:?}");
    assert!(own.lo_s <= 0.090 && 0.090 <= own.hi_s);
    let median = &ttft.quantiles[0];
    assert_eq!((median.server_lo, median.server_hi), (0.05, Some(0.25)));
    // All of the queue is in the first bucket: a bound, and no number below it.
    let queue = out.over_window.iter().find(|r| r.metric == Metric::Queue).unwrap();
    assert_eq!(queue.unresolved_below, Some(0.05));
}

#[test]
fn a_log_of_another_zone_is_recognised_and_used() {
    let mut run = with_log();
    run.spans = run.requests.iter().map(span).collect();
    for line in &mut run.log {
        // Read as if it were ours, five and a half hours off.
        line.time_unix_ns = line.time_unix_ns.map(|t| t.plus_seconds(5.5 * 3600.0));
    }
    let out = run.correlate();
    assert_eq!(out.rows[3].log_received_unix_ns, Some(BEGIN.plus_seconds(3.009)));
    let zone = check(&out, "the log is of this time zone");
    assert_eq!(zone.verdict, Verdict::Differ);
    assert!(zone.detail.starts_with("its stamps are +5:30 h off"), "{}", zone.detail);
    assert_eq!(check(&out, "the log's lines come in order").verdict, Verdict::Agree);
    assert_eq!(check(&out, "clocks are consistent").verdict, Verdict::Agree);
    // The log alone tells it as well, on one host.
    run.spans.clear();
    assert_eq!(run.correlate().rows[3].log_received_unix_ns, Some(BEGIN.plus_seconds(3.009)));
}

#[test]
fn a_log_that_no_zone_explains_is_of_another_time() {
    let mut run = with_log();
    run.spans = run.requests.iter().map(span).collect();
    for line in &mut run.log {
        line.time_unix_ns = line.time_unix_ns.map(|t| t.plus_seconds(1234.0));
    }
    let out = run.correlate();
    assert!(out.checks.iter().all(|c| c.name != "the log is of this time zone"));
    assert_eq!(reasons(&out.coverage.log_leftovers), [("the id of a request, at another time", 10)]);
    assert_eq!(check(&out, "clocks are consistent").verdict, Verdict::Agree, "the spans' clock is not its");
}
