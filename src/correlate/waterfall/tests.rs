//! Waterfalls of requests made by hand, with round numbers: one clock, two bounded clocks, log lines
//! only, nothing; and streams with a stall.

use super::waterfall;
use crate::correlate::{Inputs, correlate};
use crate::record::correlated::{Bounds, Correlated, PartRow};
use crate::record::fixture::{finished, log, request, span};
use crate::record::own::{self, OwnLag, Stalled};
use crate::record::waterfall::{By, Extent, Waterfall};
use crate::record::{EventRow, LogEvent, LogRow, RequestRow, SpanRow};
use crate::server::vllm::VLLM;
use crate::store::Events;

fn correlated(requests: &[RequestRow], spans: &[SpanRow], log: &[LogRow], one_host: bool) -> Correlated {
    let inputs = Inputs {
        scrapes: &[],
        log,
        spans,
        stat_log: &[],
        hops: &[],
        hop_names: &[],
        events: &Events::default().into(),
        own: None,
        server: &VLLM,
        same_host: one_host,
        ranks_beside_server: &[],
        clock_bound_s: None,
        seed: 1,
    };
    correlate(requests.to_vec(), &inputs).unwrap()
}

/// The waterfall of the first of these requests.
fn first(requests: &[RequestRow], spans: &[SpanRow], log: &[LogRow], one_host: bool) -> Waterfall {
    let out = correlated(requests, spans, log, one_host);
    waterfall(&out.rows[0], &finished(0).events, &out, None)
}

/// What, by whom and when, in milliseconds.
fn stamps(w: &Waterfall) -> Vec<String> {
    let shown = |s: f64| (s * 1e5).round() / 1e2;
    w.stamps
        .iter()
        .map(|s| {
            let when = if s.lo_s == s.hi_s {
                format!("{}", shown(s.lo_s))
            } else {
                format!("{}..{}", shown(s.lo_s), shown(s.hi_s))
            };
            format!("{when} {} [{}]", s.what, s.by.name())
        })
        .collect()
}

fn extent(w: &Waterfall, part: PartRow) -> Extent {
    let part = w.parts.iter().find(|p| p.part == part).unwrap();
    let r = |s: f64| (s * 1e5).round() / 1e2;
    let e = part.extents[0];
    Extent {
        begin_lo_s: r(e.begin_lo_s),
        begin_hi_s: r(e.begin_hi_s),
        end_lo_s: r(e.end_lo_s),
        end_hi_s: r(e.end_hi_s),
    }
}

fn point(begin: f64, end: f64) -> Extent {
    Extent { begin_lo_s: begin, begin_hi_s: begin, end_lo_s: end, end_hi_s: end }
}

/// Everything before that line was written by these requests: ten of them, one a second.
fn ten() -> (Vec<RequestRow>, Vec<SpanRow>) {
    let requests: Vec<RequestRow> = (0..10).map(request).collect();
    let spans = requests.iter().map(span).collect();
    (requests, spans)
}

#[test]
fn on_one_clock_every_part_has_its_place() {
    let (requests, spans) = ten();
    let w = first(&requests, &spans, &[], true);
    assert_eq!(
        stamps(&w),
        [
            "-1 scheduled [schedule]",
            "0 started [client, user]",
            "0 connect begins [client, user]",
            "1 connected [client, user]",
            "1 send begins [client, user]",
            "2 sent [client, user]",
            "5 arrival at the front end [server, span]",
            "10 head of the answer [client, kernel]",
            "95 first token at the front end [server, span]",
            "100 first token [client, kernel]",
            "100.1 first token in hand [client, user]",
            "195 last token at the front end [server, span]",
            "200 last token [client, kernel]",
            "201 done [client, user]",
        ]
    );
    // Connect 1, send 1, path out 3, front end 90 - 20 - 60, queue 20, prefill 60, path back 5.
    assert_eq!(extent(&w, PartRow::PathOut), point(2.0, 5.0));
    assert_eq!(extent(&w, PartRow::FrontEnd), point(5.0, 15.0));
    assert_eq!(extent(&w, PartRow::Queue), point(15.0, 35.0));
    assert_eq!(extent(&w, PartRow::Prefill), point(35.0, 95.0));
    assert_eq!(extent(&w, PartRow::PathBack), point(95.0, 100.0));
    let decode = w.parts.iter().find(|p| p.part == PartRow::Decode).unwrap();
    assert_eq!((decode.ttft_s, decode.e2e_s), (None, Some(0.100)));
    assert_eq!(w.unknown.len(), 1, "{:?}", w.unknown);
}

#[test]
fn two_bounded_clocks_leave_the_ends_of_the_path_open() {
    let (requests, mut spans) = ten();
    // The server's clock is an hour ahead; the way out takes 3 ms or more, the way back 5 or more.
    for span in &mut spans {
        span.start_unix_ns = span.start_unix_ns.plus_seconds(3600.0);
        span.end_unix_ns = span.end_unix_ns.plus_seconds(3600.0);
    }
    let w = first(&requests, &spans, &[], false);
    let out = w.parts.iter().find(|p| p.part == PartRow::PathOut).unwrap();
    let Bounds { lo_s, hi_s } = out.bounds.unwrap();
    // Nothing narrows it but that a request is not there before it is sent, nor here before it is there:
    // the 9 ms of both ways and of sending.
    assert!(lo_s < 0.001 && hi_s > 0.0079 && hi_s - lo_s < 0.0101, "{lo_s} {hi_s}");
    let back = extent(&w, PartRow::PathBack);
    assert_eq!((back.end_lo_s, back.end_hi_s), (100.0, 100.0));
    assert!(back.begin_lo_s < 92.1 && back.begin_hi_s > 99.9, "{back:?}");
    let prefill = extent(&w, PartRow::Prefill);
    assert!(prefill.begin_hi_s - prefill.begin_lo_s > 7.0, "{prefill:?}");
    let arrival = w.stamps.iter().find(|s| s.what.starts_with("arrival")).unwrap();
    assert!(arrival.lo_s < arrival.hi_s && arrival.note.is_some(), "{arrival:?}");
    assert!(w.unknown[0].contains("two clocks, whose offset is known to ±"), "{:?}", w.unknown);
}

#[test]
fn spans_of_a_clock_that_nothing_relates_have_durations_and_no_instants() {
    let (requests, mut spans) = ten();
    // No offset fits: each span lies a minute further off than the one before.
    for (n, span) in spans.iter_mut().enumerate() {
        let off = if n % 2 == 0 { 60.0 } else { -60.0 } * n as f64;
        span.start_unix_ns = span.start_unix_ns.plus_seconds(off);
        span.end_unix_ns = span.end_unix_ns.plus_seconds(off);
    }
    let w = first(&requests, &spans, &[], false);
    assert!(w.stamps.iter().all(|s| s.by != By::Span), "{:?}", stamps(&w));
    // 90 ms at the server, somewhere within the 98 after sending: 8 ms of path around them.
    let queue = extent(&w, PartRow::Queue);
    assert_eq!((queue.begin_lo_s, queue.begin_hi_s), (12.0, 20.0));
    let path = w.parts.iter().find(|p| p.part == PartRow::Path).unwrap();
    assert_eq!(path.extents.len(), 2, "before and after: {path:?}");
    assert!(w.unknown[0].starts_with("path out and path back apart"), "{:?}", w.unknown);
}

#[test]
fn of_log_lines_the_resolution_is_the_bound() {
    let requests: Vec<RequestRow> = (0..6).map(request).collect();
    let id = |n: usize| format!("chatcmpl-{}", requests[n].request_id);
    let mut lines: Vec<LogRow> =
        (0..6).map(|n| log(&requests[n], 0.008, LogEvent::Received { request_id: id(n) })).collect();
    lines.push(log(&requests[0], 0.009, LogEvent::Added { request_id: format!("{}-0123abcd", id(0)) }));
    // The first line's stamps are whole seconds: it was written between the send and the first token.
    lines[0].time_unix_ns = Some(requests[0].started_unix_ns);
    lines[0].time_resolution_ns = Some(1_000_000_000);
    lines.push(LogRow {
        event: LogEvent::Access {
            client: "127.0.0.1".to_owned(),
            port: Some(40_000),
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            status: 200,
        },
        ..log(&requests[0], 0.010, LogEvent::Other)
    });
    let mut requests = requests;
    for request in requests.iter_mut().skip(1) {
        request.local_port = Some(50_000);
    }
    let w = first(&requests, &[], &lines, true);
    let of_server: Vec<String> = stamps(&w).into_iter().filter(|s| s.contains("log:")).collect();
    assert_eq!(
        of_server,
        [
            "1..100 log: received [server, log line]",
            "9..9 log: added to the engine [server, log line]",
            "10..10 log: answered 200 [server, access line]",
        ]
    );
    let received = w.parts.iter().find(|p| p.part == PartRow::PathOutAndReceipt).unwrap();
    assert_eq!(received.bounds.map(|b| ((b.lo_s * 1e3).round(), (b.hi_s * 1e3).round())), Some((-1.0, 98.0)));
    assert!(w.unknown[0].starts_with("front end, queue, prefill and path back apart"), "{:?}", w.unknown);
}

#[test]
fn without_evidence_the_servers_side_is_one_part() {
    let w = first(&[request(0)], &[], &[], true);
    assert!(stamps(&w).iter().all(|s| !s.contains("server")), "{:?}", stamps(&w));
    assert_eq!(extent(&w, PartRow::PathAndServer), point(2.0, 100.0));
    assert!(w.unknown[0].starts_with("the server's side: the server tells nothing"), "{:?}", w.unknown);
}

/// Twelve events 10 ms apart, but for one that comes 500 ms late, with the two behind it.
fn stalled() -> Vec<EventRow> {
    let mut events = finished(0).events;
    let late = events[6].stamp_hi_unix_ns.plus_seconds(0.5);
    for event in &mut events[6..9] {
        event.stamp_hi_unix_ns = late;
        event.stamp_lo_unix_ns = late.plus_seconds(-0.004);
        event.events_in_read = 3;
    }
    for event in &mut events[9..] {
        (event.stamp_lo_unix_ns, event.stamp_hi_unix_ns) = (late, late);
        event.events_in_read = 1;
    }
    events
}

#[test]
fn a_gap_far_over_the_others_is_a_stall_and_the_clients_own_are_named() {
    let out = correlated(&[request(0)], &[], &[], true);
    let stall = |after: f64, length_s: f64| own::Stall {
        what: Stalled::Process,
        begin_unix_ns: out.rows[0].client.started_unix_ns.plus_seconds(after),
        length_s,
        cpu_s: None,
        waited_s: None,
        window_s: length_s,
    };
    // 0.3 of the half second, twice told, and one stall that lies elsewhere.
    let own =
        OwnLag { stalls: vec![stall(0.2, 0.3), stall(0.25, 0.1), stall(5.0, 1.0)], ..OwnLag::default() };
    let w = waterfall(&out.rows[0], &stalled(), &out, Some(&own));
    let decode = w.decode.unwrap();
    assert_eq!((decode.events, decode.gaps.len()), (11, 10));
    let [stall] = decode.stalls.as_slice() else { panic!("{:?}", decode.stalls) };
    assert_eq!((stall.gap.event, stall.events_in_read), (7, 3));
    assert!((stall.gap.gap_s - 0.510).abs() < 1e-9 && (stall.gap.bounds.lo_s - 0.506).abs() < 1e-9);
    assert!((stall.client_stood_still_s.unwrap() - 0.3).abs() < 1e-9, "{stall:?}");
}

#[test]
fn an_answer_without_events_has_no_gaps() {
    let out = correlated(&[request(0)], &[], &[], true);
    let w = waterfall(&out.rows[0], &[], &out, None);
    assert!(w.decode.is_none());
    assert!(w.unknown.iter().any(|s| s.starts_with("11 of 11 events")), "{:?}", w.unknown);
}
