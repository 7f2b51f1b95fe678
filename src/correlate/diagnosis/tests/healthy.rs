//! Gateways that do nothing wrong, and what looks as if they did: a server that refuses requests itself, one that
//! writes several tokens at once, one hop that keeps its connections behind one that does not, few requests and much
//! scatter. None of them is a verdict on a gateway.

use super::*;

fn named_nginx(mut rows: Vec<JoinedRow>) -> Vec<JoinedRow> {
    for row in &mut rows {
        row.client.answer_headers.push(("server".to_owned(), "nginx/1.22.1".to_owned()));
    }
    rows
}

/// Requests of which the last four were refused with 503, and of which the server has no record.
fn refused() -> (Vec<JoinedRow>, RunEvents) {
    let (rows, events) = Made::default().run();
    let mut rows = named_nginx(rows);
    for (i, row) in rows.iter_mut().enumerate() {
        row.source = Source::Span;
        if i >= 16 {
            (row.source, row.client.status) = (Source::None, Status::HttpError);
            row.client.http_status = Some(503);
        }
    }
    (rows, events)
}

#[test]
fn a_busy_server_that_refuses_requests_itself_loses_no_answer_on_the_way() {
    let (rows, events) = refused();
    let alone = || Route::new("all", &rows, &events, &VLLM).unwrap();
    let judged = |route: &Route<'_>| -> Vec<(&str, Sure)> {
        diagnose(route).iter().map(|v| (v.rule, v.certainty)).collect()
    };
    // Nothing tells who it was.
    assert_eq!(judged(&alone()), [("lost_answers", Sure::Hint)]);

    // By the gateway's log a head came from the server.
    let told = |head_s: Option<f64>| -> Vec<HopRow> {
        let one = HopTry { status: Some(503), head_s, ..HopTry::default() };
        rows.iter()
            .map(|row| hop(row, |hop| (hop.status, hop.tries) = (row.client.http_status, vec![one.clone()])))
            .collect()
    };
    let theirs = told(Some(0.001));
    assert_eq!(judged(&with_hops(alone(), &theirs)), []);

    // It has refused others as well, straight to it; or its own log has them.
    let (direct, direct_events) = refused();
    assert_eq!(judged(&alone().beside(&direct, &direct_events).unwrap()), []);
    let event = LogEvent::Access {
        client: "127.0.0.1".to_owned(),
        port: Some(50_000),
        method: "POST".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        status: 503,
    };
    let log = [crate::record::fixture::log(&rows[16].client, 0.01, event)];
    assert_eq!(judged(&Route { log: &log, ..alone() }), []);

    // That it never refuses any is the gateway's doing.
    let (well, well_events) = Made::default().run();
    assert_eq!(judged(&alone().beside(&well, &well_events).unwrap()), [("lost_answers", Sure::Likely)]);
}

/// Three tokens an event; four answers were cut after 20 events, and the server had made 60 tokens of each.
#[test]
fn an_answer_of_several_tokens_an_event_lost_none_of_them() {
    let (rows, events) = Made::default().run();
    let judged = |wrote: u32| {
        let mut rows = named_nginx(rows.clone());
        for (i, row) in rows.iter_mut().enumerate() {
            row.source = Source::Span;
            row.server_output_tokens = Some(180);
            if i >= 16 {
                row.client.status = Status::Cut;
                (row.client.n_events, row.client.output_tokens) = (20, None);
                row.server_output_tokens = Some(wrote);
            }
        }
        names(&diagnose(&Route::new("all", &rows, &events, &VLLM).unwrap())).contains(&"lost_answers")
    };
    assert!(!judged(60));
    assert!(judged(180));
}

/// Of two hops the inner one opens a connection for each request, or the outer one does.
#[test]
fn each_hop_is_asked_for_its_own_connections() {
    let (rows, events) = Made::default().run();
    let told = |outer: fn(u64) -> u64, inner: fn(u64) -> u64| {
        let row = |row: &JoinedRow, name: &str, port: u64| {
            hop(row, |hop| {
                name.clone_into(&mut hop.hop);
                hop.outgoing = Some(format!("127.0.0.1:{port}"));
            })
        };
        let both = |r: &JoinedRow| {
            let n = r.client.index;
            [row(r, "outer", outer(n)), row(r, "inner", inner(n))]
        };
        let hops: Vec<HopRow> = rows.iter().flat_map(both).collect();
        diagnose(&with_hops(Route::new("all", &rows, &events, &VLLM).unwrap(), &hops))
    };
    assert_eq!(names(&told(|n| 40_000 + n % 4, |n| 50_000 + n % 4)), [""; 0]);
    for (outer, inner, who) in [
        ((|n| 40_000 + n % 4) as fn(u64) -> u64, (|n| 50_000 + n) as fn(u64) -> u64, "inner"),
        (|n| 40_000 + n, |n| 50_000 + n % 4, "outer"),
    ] {
        let verdicts = told(outer, inner);
        assert_eq!(names(&verdicts), ["connection_churn"]);
        assert!(verdicts[0].evidence[0].contains(&format!("hop `{who}`")), "{:?}", verdicts[0].evidence);
    }
}

/// A server that takes prompts apart before it counts a request as there is late alike behind any gateway: it takes
/// requests straight to it to tell, and until then it is a hint.
#[test]
fn without_requests_straight_to_the_server_lateness_is_a_hint() {
    let (rows, events) = Made { late: |_, _, _| 0.020, ..Made::default() }.run();
    let rows = named_nginx(rows);
    let alone = || Route { same_host: true, ..Route::new("all", &rows, &events, &VLLM).unwrap() };
    let verdicts = diagnose(&alone());
    assert_eq!((names(&verdicts), verdicts[0].certainty), (vec!["queueing"], Sure::Hint));
    // Straight to it they are as late: none.
    let (direct, direct_events) = Made { late: |_, _, _| 0.020, ..Made::default() }.run();
    assert_eq!(names(&diagnose(&alone().beside(&direct, &direct_events).unwrap())), [""; 0]);
    // Straight to it they are not.
    let (direct, direct_events) = Made { late: |_, _, _| 0.000_2, ..Made::default() }.run();
    let verdicts = diagnose(&alone().beside(&direct, &direct_events).unwrap());
    assert_eq!((names(&verdicts), verdicts[0].certainty), (vec!["queueing"], Sure::Likely));
}

/// Or the gateway says so itself, by its log's timers or in a header.
#[test]
fn a_gateway_that_says_that_it_had_the_requests_needs_no_other_witness() {
    let (rows, events) = Made { late: |_, _, _| 0.020, ..Made::default() }.run();
    let sure = |rows: &[JoinedRow], hops: &[HopRow]| {
        let route = Route { same_host: true, ..Route::new("all", rows, &events, &VLLM).unwrap() };
        let verdicts = diagnose(&with_hops(route, hops));
        assert_eq!(names(&verdicts), ["queueing"]);
        verdicts[0].certainty
    };
    let queued = |s: f64| -> Vec<HopRow> {
        let with = |hop: &mut HopRow| (hop.request_received_s, hop.queue_s) = (Some(0.001), Some(s));
        rows.iter().map(|row| hop(row, with)).collect()
    };
    assert_eq!(sure(&rows, &queued(0.019)), Sure::Likely);
    assert_eq!(sure(&rows, &queued(0.009)), Sure::Hint, "8 of 20 ms");
    let mut litellm = rows.clone();
    for row in &mut litellm {
        row.client.answer_headers = vec![("x-litellm-overhead-duration-ms".to_owned(), "17.2".to_owned())];
    }
    assert_eq!(sure(&litellm, &[]), Sure::Likely);
}

/// One request in a hundred waits 300 ms through, none straight to the server.
#[test]
fn one_slow_request_in_a_hundred_is_no_verdict() {
    let slow = |n: u64, _: usize, _: f64| if n % 100 == 37 { 0.300 } else { 0.000_2 };
    let made = |late| Made { late, requests: 300, ..Made::default() }.run();
    let ((rows, events), (direct, direct_events)) = (made(slow), made(|_, _, _| 0.000_2));
    let route = Route { same_host: true, ..Route::new("made", &rows, &events, &VLLM).unwrap() };
    assert_eq!(names(&diagnose(&route.beside(&direct, &direct_events).unwrap())), [""; 0]);
}

/// The server sends its head with the first token, after 60 ms, and the way to the hop takes another 70.
#[test]
fn a_long_way_to_a_hop_keeps_no_head() {
    let (mut rows, events) = Made { late: |_, _, _| 0.070, ..Made::default() }.run();
    for row in &mut rows {
        row.client.head_unix_ns = row.client.first_token_unix_ns.map(|first| first.plus_seconds(-0.000_1));
    }
    let hops = |head_s: f64| -> Vec<HopRow> {
        rows.iter().map(|row| hop(row, |hop| hop.upstream_head_s = Some(head_s))).collect()
    };
    let verdicts = |hops: &[HopRow]| {
        names(&diagnose(&with_hops(Route::new("all", &rows, &events, &VLLM).unwrap(), hops))).join(" ")
    };
    assert!(!verdicts(&hops(0.060)).contains("head_held"), "{}", verdicts(&hops(0.060)));
    assert!(verdicts(&hops(0.003)).contains("head_held"), "{}", verdicts(&hops(0.003)));
}
