//! What ids, heads and logs tell, whatever the tokens do.

use super::*;

#[test]
fn an_id_that_no_server_draws_was_put_there_on_the_way() {
    let (rows, events) = Made::default().run();
    let told = |id: &str| {
        let with_id = |row: &JoinedRow| SpanRow {
            request_id: Some(format!("chatcmpl-{id}")),
            ..crate::record::fixture::span(&row.client)
        };
        let spans: Vec<SpanRow> = rows.iter().map(with_id).collect();
        let route = Route { spans: &spans, ..Route::new("all", &rows, &events, &VLLM).unwrap() };
        let verdicts = diagnose(&route);
        assert_eq!(names(&verdicts), ["id_lost"], "{id}");
        verdicts[0].what.clone()
    };
    assert!(told("gw-0018fe21").starts_with("X-Request-Id is replaced on the way"));
    for id in ["b070cd147aeaf405", "b070cd147aeaf405-0123abcd", "0e5e05bf-b7ee-4d4f-bd3b-37bc13053fb9"] {
        assert!(
            told(id).contains("dropped, or replaced by one that looks like the server's own, on"),
            "{id}"
        );
    }
}

#[test]
fn a_head_is_held_only_where_it_is_known_to_be_sent_early() {
    let (mut rows, events) = Made::default().run();
    let (direct, _) = Made::default().run();
    for row in &mut rows {
        row.client.head_unix_ns = row.client.first_token_unix_ns;
    }
    let alone = Route::new("through", &rows, &events, &VLLM).unwrap();
    assert_eq!(names(&diagnose(&alone)), [""; 0]);
    let verdicts = diagnose(&alone.clone().beside(&direct, &events).unwrap());
    assert_eq!((names(&verdicts), verdicts[0].kind), (vec!["head_held"], Kind::Head));

    let hops: Vec<HopRow> =
        rows.iter().map(|row| hop(row, |hop| hop.upstream_head_s = Some(0.001))).collect();
    let verdicts = diagnose(&with_hops(alone, &hops));
    assert_eq!(
        (names(&verdicts), verdicts[0].products.as_slice()),
        (vec!["head_held"], &["nginx".to_owned()][..])
    );
    // A server that sends its head with the first token is none's fault.
    let hops: Vec<HopRow> =
        rows.iter().map(|row| hop(row, |hop| hop.upstream_head_s = Some(0.060))).collect();
    assert_eq!(
        names(&diagnose(&with_hops(Route::new("through", &rows, &events, &VLLM).unwrap(), &hops))),
        [""; 0]
    );
}

/// nginx times its try: what `limit_req` had the request wait for before that is no head held back.
#[test]
fn what_a_request_waited_for_before_its_try_holds_no_head() {
    let made = |late| {
        let (mut rows, events) = Made { late, ..Made::default() }.run();
        for row in &mut rows {
            row.client.head_unix_ns = row.client.first_token_unix_ns;
        }
        (rows, events)
    };
    let tried = |rows: &[JoinedRow], head_s: f64| -> Vec<HopRow> {
        let one = HopTry { head_s: Some(head_s), end_s: Some(0.650), ..HopTry::default() };
        rows.iter().map(|row| hop(row, |hop| hop.tries = vec![one.clone()])).collect()
    };
    let (rows, events) = made(|_, _, _| 0.150);
    let hops = tried(&rows, 0.060);
    assert_eq!(
        names(&diagnose(&with_hops(Route::new("all", &rows, &events, &VLLM).unwrap(), &hops))),
        ["queueing"]
    );
    // At once with the server's early head, it is.
    let (rows, events) = made(|_, _, _| 0.000_2);
    let hops = tried(&rows, 0.001);
    assert_eq!(
        names(&diagnose(&with_hops(Route::new("all", &rows, &events, &VLLM).unwrap(), &hops))),
        ["head_held"]
    );
}

#[test]
fn ids_connections_retries_and_cuts_are_counted() {
    let (mut rows, events) = Made::default().run();
    let spans: Vec<SpanRow> = rows
        .iter()
        .map(|row| SpanRow {
            request_id: Some("chatcmpl-own".to_owned() + &row.client.index.to_string()),
            attributes: [("http.request.header.connection".to_owned(), "close".to_owned())].into(),
            ..crate::record::fixture::span(&row.client)
        })
        .collect();
    rows[3].server_attempts = 2;
    rows[4].client.status = Status::Cut;
    rows[4].server_output_tokens = Some(90);
    let hops: Vec<HopRow> = rows.iter().map(|row| hop(row, |_| ())).collect();
    let route = Route { spans: &spans, ..Route::new("all", &rows, &events, &VLLM).unwrap() };
    let verdicts = diagnose(&with_hops(route, &hops));
    let told: Vec<(&str, usize, usize)> = verdicts.iter().map(|v| (v.rule, v.n, v.of)).collect();
    assert_eq!(
        told,
        [("cut_logged_whole", 1, 1), ("retries", 1, 20), ("connection_churn", 20, 20), ("id_lost", 20, 20)]
    );
    // The ids of a direct vLLM hold the client's.
    let spans: Vec<SpanRow> = rows.iter().map(|row| crate::record::fixture::span(&row.client)).collect();
    let verdicts = diagnose(&Route { spans: &spans, ..Route::new("all", &rows, &events, &VLLM).unwrap() });
    assert_eq!(names(&verdicts), ["retries"]);
}
