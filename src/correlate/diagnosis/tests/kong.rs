//! Kong by its headers, as a real Kong 3.9.3 sent them and meant them: held against the truth of the server behind
//! it. It counts from the first byte of a request, so that its word is none of its own work alone.

use super::*;

/// The heads of a streamed answer that Kong handed on, and of its own 502.
const HANDED_ON: [(&str, &str); 5] = [
    ("server", "uvicorn"),
    ("x-kong-upstream-latency", "2"),
    ("x-kong-proxy-latency", "0"),
    ("via", "1.1 kong/3.9.3"),
    ("x-kong-request-id", "4e1c365e7acf754a39c3c43171954f36"),
];
const ITS_OWN_502: [(&str, &str); 5] = [
    ("x-kong-upstream-latency", "2"),
    ("x-kong-proxy-latency", "0"),
    ("via", "1.1 kong/3.9.3"),
    ("server", "kong/3.9.3"),
    ("x-kong-request-id", "417d4437e98e693d6140b70fdb3bf926"),
];

fn with_headers(mut rows: Vec<JoinedRow>, headers: &[(&str, &str)]) -> Vec<JoinedRow> {
    for row in &mut rows {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        row.client.answer_headers = headers.iter().map(owned).collect();
    }
    rows
}

/// A slow way to Kong, or a try that failed, is in its proxy latency as well: 17 of 20 ms are no proof of its own work,
/// and of 1 ms it is said that the rest was elsewhere.
#[test]
fn what_kong_says_that_it_had_a_request_is_a_hint() {
    let (rows, events) = Made { late: |_, _, _| 0.020, ..Made::default() }.run();
    let told = |ms: &str| {
        let rows = with_headers(rows.clone(), &[("x-kong-proxy-latency", ms)]);
        let route = Route { same_host: true, ..Route::new("all", &rows, &events, &VLLM).unwrap() };
        let verdict = diagnose(&route).remove(0);
        assert_eq!((verdict.rule, verdict.certainty), ("queueing", Sure::Hint));
        assert!(verdict.remedies.iter().all(|remedy| remedy.product == "Kong"), "{:?}", verdict.remedies);
        verdict.evidence.into_iter().find(|words| words.starts_with("Kong says")).unwrap()
    };
    assert_eq!(
        told("17"),
        "Kong says that it had a request for 17.00 ms before it asked the server (median of 20); how long the client took to send it, and tries that failed, are in that"
    );
    assert!(told("1").contains("for no more than 1.00 ms before"), "{}", told("1"));
}

/// Its buffer keeps the head until the first token, and that head says when it came.
#[test]
fn a_head_that_tells_that_it_waited_was_kept() {
    let (mut rows, events) = Made::default().run();
    let verdicts = |rows: &[JoinedRow]| diagnose(&Route::new("all", rows, &events, &VLLM).unwrap());
    for row in &mut rows {
        row.client.head_unix_ns = row.client.first_token_unix_ns.map(|first| first.plus_seconds(-0.000_1));
    }
    let rows = with_headers(rows, &HANDED_ON);
    let found = verdicts(&rows);
    assert_eq!((names(&found), found[0].certainty), (vec!["head_held"], Sure::Certain));
    assert_eq!(
        found[0].evidence[1],
        "by headers of the answers the gateway had it after 2.00 ms, and the server the first token after 60.00 ms (medians of 20)"
    );
    let settings: Vec<&str> = found[0].remedies.iter().map(|remedy| remedy.setting).collect();
    assert_eq!(settings, ["response_buffering: false on the route"]);
    // It waited as long for the upstream's: a plugin takes the whole answer, or the server is slow.
    let late = [("x-kong-upstream-latency", "59"), ("x-kong-proxy-latency", "0")];
    assert_eq!(names(&verdicts(&with_headers(rows.clone(), &late))), [""; 0]);
    // A long way to Envoy, and a server that sends its head with the first token: nobody kept it.
    let envoys = [("x-envoy-upstream-service-time", "60")];
    assert_eq!(names(&verdicts(&with_headers(rows.clone(), &envoys))), [""; 0]);
    // Straight from the server it comes with the token as well.
    let route = Route::new("all", &rows, &events, &VLLM).unwrap();
    assert_eq!(names(&diagnose(&route.beside(&rows, &events).unwrap())), [""; 0]);
}

/// Kong's own log tells that the time was its own, and the header of whole milliseconds, which may be longer, is no
/// reason to doubt it.
#[test]
fn a_log_of_its_own_time_counts_beside_the_header() {
    let (rows, events) = Made { late: |_, _, _| 0.020, ..Made::default() }.run();
    let rows = with_headers(rows, &[("x-kong-proxy-latency", "18")]);
    let hops: Vec<HopRow> = rows.iter().map(|row| hop(row, |hop| hop.queue_s = Some(0.0174))).collect();
    let route = Route { same_host: true, ..Route::new("all", &rows, &events, &VLLM).unwrap() };
    let found = diagnose(&with_hops(route, &hops));
    assert_eq!((names(&found), found[0].certainty), (vec!["queueing"], Sure::Likely));
}

/// The server is down for the last four: Kong asks six times, and answers 502. As its log in nginx's JSON has it.
#[test]
fn requests_that_reached_no_server_are_neither_lost_answers_nor_several_there() {
    let (rows, events) = Made::default().run();
    let mut rows = with_headers(rows, &HANDED_ON);
    for row in &mut rows {
        row.source = Source::Span;
    }
    let refused = with_headers(rows.split_off(16), &ITS_OWN_502);
    rows.extend(refused);
    for row in rows.iter_mut().skip(16) {
        (row.source, row.client.status, row.client.http_status) =
            (Source::None, Status::HttpError, Some(502));
    }
    let log = |row: &JoinedRow| {
        let failed = HopTry { status: Some(502), end_s: Some(0.0), ..HopTry::default() };
        let went =
            HopTry { status: Some(200), connect_s: Some(0.0), head_s: Some(0.002), ..HopTry::default() };
        let tries = if row.source == Source::None { vec![failed; 6] } else { vec![went] };
        hop(row, |hop| {
            (hop.product, hop.status, hop.tries) =
                ("nginx".to_owned(), row.client.http_status, tries.clone());
            hop.own_id = row.client.answer_headers.last().map(|(_, id)| id.clone());
        })
    };
    let hops: Vec<HopRow> = rows.iter().map(log).collect();
    let found = diagnose(&with_hops(Route::new("all", &rows, &events, &VLLM).unwrap(), &hops));
    let told: Vec<(&str, &str, usize)> = found.iter().map(|v| (v.rule, v.what.as_str(), v.n)).collect();
    assert_eq!(
        told,
        [
            ("lost_answers", "requests are refused on the way", 4),
            ("retries", "requests are tried again on the way", 4)
        ]
    );
    assert!(found[0].evidence[1].starts_with("of 4 of these the gateway's log has a try, and no connection"));
    assert_eq!(
        found[1].evidence[..2],
        [
            "by the hops' own account 4 requests took 24 tries".to_owned(),
            "no try of 4 of these had a connection".to_owned()
        ]
    );
    assert!(
        !found[1].evidence.iter().any(|words| words.contains("that was answered")),
        "{:?}",
        found[1].evidence
    );
    // Kong's log is nginx's, with Kong's id.
    assert_eq!(found[0].products, ["Kong"]);
    // A log without the times of connections tells of none that failed.
    let mut silent = hops.clone();
    for one in silent.iter_mut().flat_map(|hop| &mut hop.tries) {
        (one.connect_s, one.head_s) = (None, None);
    }
    let found = diagnose(&with_hops(Route::new("all", &rows, &events, &VLLM).unwrap(), &silent));
    let evidence: Vec<&String> = found.iter().flat_map(|verdict| &verdict.evidence).collect();
    assert!(!evidence.iter().any(|words| words.contains("connection")), "{evidence:?}");
    // An nginx before Kong has ids of its own.
    for hop in &mut silent {
        hop.own_id = Some("ea26d0d6a5ceabc08bf27b7bf4d4a9d6".to_owned());
    }
    let found = diagnose(&with_hops(Route::new("all", &rows, &events, &VLLM).unwrap(), &silent));
    assert_eq!(found[0].products, ["nginx", "Kong"]);
}
