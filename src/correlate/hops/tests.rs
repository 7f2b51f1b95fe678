//! Hops against frames by hand: round numbers, known joins, known parts.

mod order;

use super::*;
use crate::clock::UnixNs;
use crate::record::clocks::ClockRelation;
use crate::record::correlated::{Bounds, Within};
use crate::record::fixture::{hop, request};
use crate::record::hop::Completeness;
use crate::record::hops::{FoundBy, HopPath, HopSide};
use crate::record::{HopRow, JoinedRow, RequestRow, Source, Status, ToldBy};

fn requests(n: u64) -> Vec<RequestRow> {
    (0..n).map(request).collect()
}

fn joined(requests: &[RequestRow], rows: &[HopRow]) -> HopJoin {
    join(requests, &["edge".to_owned()], rows, true.into()).unwrap()
}

/// The request beside its server's side as the fixture's span tells it: arrival at 5 ms, first token at 95,
/// last at 195.
fn beside(client: RequestRow, hops: Vec<Option<Box<Passage>>>) -> JoinedRow {
    let at = |s: f64| Some(Within::at(client.started_unix_ns.plus_seconds(s)));
    JoinedRow {
        source: Source::Span,
        arrival_here: at(0.005),
        first_here: at(0.095),
        last_here: at(0.195),
        hops,
        ..JoinedRow::of(client)
    }
}

fn summarised(requests: Vec<RequestRow>, rows: &[HopRow]) -> Hops {
    let HopJoin { passages, list } = joined(&requests, rows);
    let rows: Vec<JoinedRow> = requests.into_iter().zip(passages).map(|(r, p)| beside(r, p)).collect();
    hops(&rows, &list, &Rounds::default(), 0)
}

/// Part → its mean in ms, with its bounds where it has some.
fn at_the_mean(path: &HopPath) -> Vec<String> {
    let ms = |s: f64| format!("{:.3}", s * 1e3);
    let bounds = |b: Bounds| format!(" ({} … {})", ms(b.lo_s), ms(b.hi_s));
    path.columns[0]
        .parts
        .iter()
        .map(|p| {
            format!(
                "{} | {} | {}{}",
                p.name,
                p.side.name(),
                ms(p.mean_s),
                p.bounds.map(bounds).unwrap_or_default()
            )
        })
        .collect()
}

fn counts(counts: &std::collections::BTreeMap<String, usize>) -> Vec<(&str, usize)> {
    counts.iter().map(|(reason, n)| (reason.as_str(), *n)).collect()
}

#[test]
fn the_way_is_parted_at_each_cut_and_the_parts_sum_to_the_whole() {
    let all = requests(10);
    // Stamps to the nanosecond, so that no part has bounds.
    let rows: Vec<HopRow> = all
        .iter()
        .map(|r| HopRow { start_resolution_ns: Some(1), timer_resolution_ns: Some(1), ..hop(r) })
        .collect();
    let out = summarised(all, &rows);
    let ttft = out.ttft.unwrap();
    insta::assert_snapshot!(at_the_mean(&ttft).join("\n"), @r"
    connect, until sending begins | client | 1.000
    client → edge | request | 1.000
    edge, request | request | 1.000
    edge → server | request | 2.000
    server | server | 90.000
    server → edge | response | 1.500
    edge, response → client | response | 3.500
    ");
    let sum: f64 = ttft.columns[0].parts.iter().map(|p| p.mean_s).sum();
    assert!((sum - 0.1).abs() < 1e-9 && (ttft.columns[0].total_s - 0.1).abs() < 1e-9);
    insta::assert_snapshot!(at_the_mean(&out.e2e.unwrap()).join("\n"), @r"
    connect, until sending begins | client | 1.000
    client → edge | request | 1.000
    edge, request | request | 1.000
    edge → server | request | 2.000
    server | server | 190.000
    server → client (edge) | response | 5.000
    ");
}

#[test]
fn a_stamp_coarser_than_what_it_parts_parts_nothing() {
    let all = requests(10);
    // As nginx: the start to a millisecond, two early at most, and nothing on the way.
    let coarse = |r: &RequestRow| HopRow {
        start_resolution_ns: Some(1_000_000),
        start_slack_ns: Some(2_000_000),
        timer_resolution_ns: Some(1_000_000),
        upstream_sent_s: None,
        upstream_first_body_s: None,
        ..hop(r)
    };
    let rows: Vec<HopRow> = all.iter().map(coarse).collect();
    let ttft = summarised(all.clone(), &rows).ttft.unwrap();
    insta::assert_snapshot!(at_the_mean(&ttft).join("\n"), @r"
    connect, until sending begins | client | 1.000
    client → server (edge) | request | 4.000
    server | server | 90.000
    server → client (edge) | response | 5.000
    ");
    assert_eq!(ttft.lacking.len(), 1, "{:?}", ttft.lacking);
    // Without the server's side the cut tells that the request was there early, within its doubt.
    let HopJoin { passages, list } = joined(&all, &rows);
    let bare: Vec<JoinedRow> =
        all.into_iter().zip(passages).map(|(r, hops)| JoinedRow { hops, ..JoinedRow::of(r) }).collect();
    let ttft = hops(&bare, &list, &Rounds::default(), 0).ttft.unwrap();
    insta::assert_snapshot!(at_the_mean(&ttft).join("\n"), @r"
    connect, until sending begins | client | 1.000
    client → edge | request | 2.000 (0.000 … 4.000)
    edge → server → client | server | 97.000 (95.000 … 99.000)
    ");
}

#[test]
fn every_row_and_every_request_is_accounted_for() {
    let mut all = requests(8);
    all[5].status = Status::ConnectError;
    let mut rows: Vec<HopRow> = all.iter().take(4).map(hop).collect();
    // A retry: the first try failed; the row of the second is the passage.
    rows.push(HopRow { status: Some(502), end_unix_ns: Some(UnixNs(1)), ..hop(&all[1]) });
    // No id but the body's, as the server made it of the client's.
    rows.push(HopRow { request_id: None, response_id: Some("chatcmpl-r-0004".to_owned()), ..hop(&all[4]) });
    // The id of request 6 again, a minute later; of nobody; another path; before the run.
    rows.push(HopRow { start_unix_ns: Some(all[6].started_unix_ns.plus_seconds(60.0)), ..hop(&all[6]) });
    rows.push(HopRow { request_id: Some("somebody-else".to_owned()), ..hop(&all[2]) });
    rows.push(HopRow { request_id: None, path: Some("/metrics".to_owned()), ..hop(&all[2]) });
    let early = Some(all[0].started_unix_ns.plus_seconds(-30.0));
    rows.push(HopRow { request_id: Some("warm-up".to_owned()), start_unix_ns: early, ..hop(&all[0]) });
    // By the port alone, at the request's time.
    all[7].local_port = Some(41_007);
    rows.push(HopRow { request_id: None, client: Some("127.0.0.1:41007".to_owned()), ..hop(&all[7]) });

    let HopJoin { passages, list } = joined(&all, &rows);
    let edge = &list[0];
    assert_eq!((edge.requests, edge.joined, edge.rows, edge.tried_again), (8, 6, 11, 1));
    assert_eq!(edge.clocks.relation, ClockRelation::OneClock);
    insta::assert_debug_snapshot!((counts(&edge.unjoined), counts(&edge.leftovers)), @r#"
    (
        [
            (
                "a line has its id, but lies outside the request's time",
                1,
            ),
            (
                "it never reached the hop: no connection",
                1,
            ),
        ],
        [
            (
                "before or after the measured requests (warm-ups, other runs)",
                1,
            ),
            (
                "of another path (health checks, metrics, models)",
                1,
            ),
            (
                "their id is a request's, their time is not",
                1,
            ),
            (
                "their ids are no request's",
                1,
            ),
        ],
    )
    "#);
    let found: Vec<Option<(FoundBy, usize, Option<u16>)>> =
        passages.iter().map(|p| p[0].as_ref().map(|p| (p.found_by, p.rows, p.row.status))).collect();
    assert_eq!(found[1], Some((FoundBy::RequestId, 2, Some(200))), "the try that was answered");
    assert_eq!(found[4], Some((FoundBy::ResponseId, 1, Some(200))));
    assert_eq!(found[7], Some((FoundBy::Address, 1, Some(200))));
}

#[test]
fn a_hop_with_another_clock_is_placed_within_bounds_that_hold_the_truth() {
    let all = requests(40);
    // 123.4 ms ahead, and 50 ppm fast.
    let ahead = |t: UnixNs| UnixNs(t.0 + 123_400_000 + (t.0 - all[0].started_unix_ns.0) / 20_000);
    let rows: Vec<HopRow> = all
        .iter()
        .map(|r| HopRow {
            start_unix_ns: hop(r).start_unix_ns.map(ahead),
            start_resolution_ns: Some(1),
            timer_resolution_ns: Some(1),
            ..hop(r)
        })
        .collect();
    let HopJoin { passages, list } = join(&all, &[], &rows, false.into()).unwrap();
    let clocks = &list[0].clocks;
    assert_eq!(clocks.relation, ClockRelation::Bounded);
    let stretch = clocks.stretches[0];
    let middle = 0.1234 + 39.2 / 2.0 * 50e-6;
    assert!(stretch.offset_lo_s <= middle && middle <= stretch.offset_hi_s, "{stretch:?}");
    assert!(stretch.drift_lo_ppm <= 50.0 && 50.0 <= stretch.drift_hi_ppm, "{stretch:?}");
    for (r, p) in all.iter().zip(&passages) {
        let start = p[0].as_ref().unwrap().start.unwrap();
        let truth = r.started_unix_ns.plus_seconds(0.002);
        assert!(start.lo_unix_ns <= truth && truth <= start.hi_unix_ns, "{start:?} {truth:?}");
    }
}

/// A hop's clock that is set 250 ms forward in mid-run: what passed about then is left out and counted, and the
/// way of all others is parted as if nothing had been.
#[test]
fn a_step_of_a_hops_clock_costs_only_the_requests_about_it() {
    let all = requests(60);
    let step = all[30].started_unix_ns.plus_seconds(0.05);
    let shown = |t: UnixNs| if t < step { t } else { t.plus_seconds(0.25) };
    let rows: Vec<HopRow> = all
        .iter()
        .map(|r| HopRow {
            start_unix_ns: hop(r).start_unix_ns.map(shown),
            start_resolution_ns: Some(1),
            timer_resolution_ns: Some(1),
            // 0.1 ms before the client had it: so the clock is known to 1.1 ms.
            first_token_in_s: Some(0.096),
            first_token_out_s: Some(0.097_9),
            ..hop(r)
        })
        .collect();
    let out = summarised(all.clone(), &rows);
    assert_eq!((out.list[0].joined, out.list[0].clocks.stretches.len()), (60, 2));
    let ttft = out.ttft.unwrap();
    assert_eq!(ttft.n_total, 60);
    assert!((50..60).contains(&ttft.n), "{}", ttft.n);
    assert!(ttft.lacking[0].starts_with(&format!("{} of 60 requests were under way when", 60 - ttft.n)));
    let parts: Vec<&str> = ttft.columns[0].parts.iter().map(|p| p.name.as_str()).collect();
    assert!(parts.contains(&"edge → server") && parts.contains(&"server → edge"), "{parts:?}");
    for part in &ttft.columns[0].parts {
        let truth = match part.name.as_str() {
            "edge → server" => 0.002,
            "server → edge" => 0.003,
            "edge, response" => 0.001_9,
            _ => continue,
        };
        let bounds = part.bounds.unwrap_or(Bounds { lo_s: part.mean_s - 1e-9, hi_s: part.mean_s + 1e-9 });
        assert!(bounds.lo_s <= truth && truth <= bounds.hi_s, "{part:?}");
    }
}

#[test]
fn a_log_of_another_time_zone_is_recognised_by_its_requests() {
    let all = requests(6);
    let back = |t: UnixNs| t.plus_seconds(-3.0 * 3600.0);
    let rows: Vec<HopRow> =
        all.iter().map(|r| HopRow { start_unix_ns: hop(r).start_unix_ns.map(back), ..hop(r) }).collect();
    let edge = &joined(&all, &rows).list[0];
    assert_eq!((edge.zone_minutes, edge.joined), (Some(-180), 6));
}

#[test]
fn how_answers_ended_is_compared() {
    let mut all = requests(4);
    all[1].status = Status::Cut;
    all[2].status = Status::Cut;
    let mut rows: Vec<HopRow> = all.iter().map(hop).collect();
    rows[2].completeness = Completeness::Unknown;
    rows[3].completeness = Completeness::Aborted;
    let edge = &joined(&all, &rows).list[0];
    insta::assert_debug_snapshot!(counts(&edge.ends), @r#"
    [
        (
            "client: cut, hop: complete, status 200",
            1,
        ),
        (
            "client: cut, hop: unknown, status 200",
            1,
        ),
        (
            "client: ok, hop: aborted, status 200",
            1,
        ),
    ]
    "#);
}

#[test]
fn a_hop_that_is_configured_and_silent_is_still_in_the_list() {
    let all = requests(2);
    let out = joined(&all, &[]);
    assert_eq!((out.list.len(), out.list[0].joined, out.list[0].requests), (1, 0, 2));
    assert_eq!(counts(&out.list[0].unjoined), [("the hop's log tells of no request", 2)]);
    assert!(join(&all, &[], &[], true.into()).unwrap().list.is_empty());
}

/// A tap's way in is exact, its way out an interval: the doubt of the one is not the other's.
#[test]
fn an_exact_stamp_stays_where_it_is() {
    let all = requests(10);
    let tap = |r: &RequestRow| HopRow {
        told_by: ToldBy::Tap,
        // 0.1 ms after the client began to send, and written 1.8 ms later.
        start_unix_ns: Some(r.started_unix_ns.plus_seconds(0.001_1)),
        start_resolution_ns: Some(1),
        timer_resolution_ns: Some(1),
        request_received_s: Some(0.0),
        upstream_sent_s: Some(0.001_8),
        upstream_first_body_s: None,
        ..hop(r)
    };
    let rows: Vec<HopRow> = all.iter().map(tap).collect();
    let ttft = summarised(all, &rows).ttft.unwrap();
    insta::assert_snapshot!(at_the_mean(&ttft).join("\n"), @r"
    connect, until sending begins | client | 1.000
    client → edge | request | 0.100
    edge, request | request | 0.900 (0.000 … 1.800)
    edge → server | request | 3.000 (2.100 … 3.900)
    server | server | 90.000
    server → client (edge) | response | 5.000
    ");
    // What the cut inside leaves open, the side as a whole does not.
    let sides: Vec<(HopSide, bool)> =
        ttft.columns[0].sides.iter().map(|s| (s.side, s.doubt_s == 0.0)).collect();
    assert_eq!(
        sides,
        [HopSide::Client, HopSide::Request, HopSide::Server, HopSide::Response].map(|side| (side, true))
    );
    assert!((ttft.columns[0].sides[1].mean_s - 0.004).abs() < 1e-9);
}

/// A kept connection's other requests (health checks, those of others) came by the same port, some of them
/// within the doubt of the stamps.
#[test]
fn what_came_by_the_port_of_a_request_that_has_a_row_is_no_try_of_it() {
    let mut all = requests(6);
    for request in &mut all {
        request.local_port = Some(41_000);
    }
    let by = |r: &RequestRow| HopRow { client: Some("127.0.0.1:41000".to_owned()), ..hop(r) };
    let mut rows: Vec<HopRow> = all.iter().take(5).map(by).collect();
    rows.extend(all.iter().map(|r| HopRow { request_id: Some(format!("other-{}", r.index)), ..by(r) }));
    rows.extend(all.iter().map(|r| HopRow { request_id: None, path: Some("/health".to_owned()), ..by(r) }));
    let HopJoin { passages, list } = joined(&all, &rows);
    let found: Vec<(FoundBy, usize)> =
        passages.iter().map(|p| p[0].as_ref().map(|p| (p.found_by, p.rows)).unwrap()).collect();
    // The last has no row of its own: the gateway may have put an id of its own in the place of its.
    let by_id = (FoundBy::RequestId, 1);
    assert_eq!(found, [by_id, by_id, by_id, by_id, by_id, (FoundBy::Address, 1)]);
    assert_eq!(list[0].tried_again, 0);
}

#[test]
fn a_log_that_is_given_twice_tells_of_no_second_try() {
    let all = requests(12);
    let rows: Vec<HopRow> = (0_u64..)
        .zip(all.iter().map(hop).chain(all.iter().map(hop)))
        .map(|(line_no, row)| HopRow { line_no, ..row })
        .collect();
    let HopJoin { list, .. } = joined(&all, &rows);
    assert_eq!((list[0].rows, list[0].joined, list[0].tried_again), (24, 12, 0));
    assert_eq!(counts(&list[0].leftovers), [("the same line once more", 12)]);
}
