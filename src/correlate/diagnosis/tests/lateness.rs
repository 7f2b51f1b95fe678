//! Tokens that are late alike, later and later, or in a few requests.

use super::*;

#[test]
fn what_is_late_alike_waits_and_grows_only_if_it_does() {
    // Requests 0 to 19 one after another, 20 to 59 several at once.
    let made = Made {
        requests: 60,
        late: |n, _, _| if n < 30 { 0.012 } else { 0.050 },
        every_s: 0.8,
        ..Made::default()
    };
    let (mut rows, events) = made.run();
    let name = |rows: &mut Vec<JoinedRow>| {
        for row in rows {
            row.client.answer_headers = vec![("x-litellm-call-id".to_owned(), "1".to_owned())];
        }
    };
    name(&mut rows);
    let verdict = |rows: &[JoinedRow]| {
        diagnose(&Route { same_host: true, ..Route::new("all", rows, &events, &VLLM).unwrap() }).remove(0)
    };
    let alone = verdict(&rows);
    assert_eq!(
        (alone.rule, alone.kind, alone.products.as_slice()),
        ("queueing", Kind::Queue, &["LiteLLM".to_owned()][..])
    );
    assert!(alone.evidence[1].contains("takes two concurrencies"), "{:?}", alone.evidence);
    assert!(alone.remedies.iter().all(|r| r.product == "LiteLLM"));

    // The later ones overlap: what is made of stamps moves with them.
    for (i, row) in (0_i32..).zip(&mut rows).skip(30) {
        let back = -0.6 * f64::from((i - 30) % 10);
        let client = &mut row.client;
        client.started_unix_ns = client.started_unix_ns.plus_seconds(back);
        client.done_unix_ns = client.done_unix_ns.plus_seconds(back);
        for stamp in
            [&mut client.send_begin_unix_ns, &mut client.first_token_unix_ns, &mut client.last_token_unix_ns]
        {
            *stamp = stamp.map(|t: UnixNs| t.plus_seconds(back));
        }
    }
    let together = verdict(&rows);
    assert!(together.what.contains("wait for their turn"), "{} {:?}", together.what, together.evidence);
}

/// In an audit the server's log has the requests of both ways.
#[test]
fn connections_that_went_straight_to_the_server_are_none_of_the_gateways() {
    let (rows, events) = Made::default().run();
    let (mut direct, direct_events) = Made::default().run();
    for row in &mut direct {
        row.client.local_port = Some(40_000);
    }
    let access = |row: &JoinedRow, port: u16| {
        let event = LogEvent::Access {
            client: "127.0.0.1".to_owned(),
            port: Some(port),
            method: "POST".to_owned(),
            path: "/v1/chat/completions".to_owned(),
            status: 200,
        };
        crate::record::fixture::log(&row.client, 0.01, event)
    };
    let told = |of: fn(u16) -> u16| {
        let through = (0..).zip(&rows).map(|(n, row)| access(row, of(n)));
        let log: Vec<LogRow> = through.chain(direct.iter().map(|row| access(row, 40_000))).collect();
        let route = Route { log: &log, ..Route::new("through", &rows, &events, &VLLM).unwrap() };
        diagnose(&route.beside(&direct, &direct_events).unwrap())
    };
    let verdicts = told(|n| 50_000 + n);
    assert_eq!((names(&verdicts), verdicts[0].n, verdicts[0].of), (vec!["connection_churn"], 20, 20));
    assert_eq!(names(&told(|n| 50_000 + n % 4)), [""; 0]);
}

/// One at a time waits for nothing, and of some pairs the direct one is the slower.
#[test]
fn a_queue_that_only_a_crowd_meets_is_one_and_bursts_are_none() {
    let unjoined = |made: Made| {
        let (mut rows, events) = made.run();
        for row in &mut rows {
            (row.server_ttft_s, row.server_e2e_s, row.server_output_tokens) = (None, None, None);
        }
        (rows, events)
    };
    let (direct, direct_events) = unjoined(Made {
        requests: 60,
        late: |n, _, _| if n.is_multiple_of(3) { 0.003 } else { 0.0 },
        ..Made::default()
    });
    // Requests 0 to 19 come one by one, the others all at once.
    let waits = |n: u64, _: usize, _: f64| if n < 20 { 0.000_2 } else { 0.2 };
    let (mut rows, events) = unjoined(Made { requests: 60, late: waits, ..Made::default() });
    for row in rows.iter_mut().skip(20) {
        let back = -((row.client.index - 20) as f64);
        let client = &mut row.client;
        client.started_unix_ns = client.started_unix_ns.plus_seconds(back);
        client.done_unix_ns = client.done_unix_ns.plus_seconds(back);
        for stamp in
            [&mut client.send_begin_unix_ns, &mut client.first_token_unix_ns, &mut client.last_token_unix_ns]
        {
            *stamp = stamp.map(|t: UnixNs| t.plus_seconds(back));
        }
    }
    let through = Route::new("through", &rows, &events, &VLLM).unwrap().beside(&direct, &direct_events);
    let verdicts = diagnose(&through.unwrap());
    assert_eq!(names(&verdicts), ["queueing"]);
    assert!(verdicts[0].what.contains("wait for their turn"), "{}", verdicts[0].what);

    // A timer's 40 ms, and an engine that took longer for the last token by chance: a hold alone.
    let late = |_: u64, k: usize, made: f64| until_multiple(made, 0.04) + 0.000_4 * k as f64;
    let (rows, events) = unjoined(Made { late, step_s: 0.009, ..Made::default() });
    let (direct, direct_events) = unjoined(Made { step_s: 0.009, ..Made::default() });
    let through = Route::new("through", &rows, &events, &VLLM).unwrap().beside(&direct, &direct_events);
    assert_eq!(names(&diagnose(&through.unwrap())), ["coalescing"]);
}

#[test]
fn without_a_sign_of_a_gateway_a_late_answer_is_a_hint_at_most() {
    let constant = Made { late: |_, _, _| 0.004, ..Made::default() };
    assert_eq!(names(&constant.verdicts()), [""; 0]);
    let constant = Made { late: |_, _, _| 0.040, ..Made::default() }.verdicts();
    assert_eq!((names(&constant), constant[0].certainty), (vec!["queueing"], Sure::Hint));
}

/// On a host without a CPU to spare the gateway waits like everyone, and for the host.
#[test]
fn on_a_starved_host_no_gateway_is_blamed_for_waiting() {
    let (mut rows, events) = Made { late: |_, _, _| 0.012, ..Made::default() }.run();
    for row in &mut rows {
        row.client.answer_headers = vec![("server".to_owned(), "nginx/1.22.1".to_owned())];
    }
    let verdicts = |own: &OwnLag| {
        let route = Route::new("all", &rows, &events, &VLLM).unwrap();
        diagnose(&Route { same_host: true, own: Some(own), ..route })
    };
    let ended_unix_ns = BEGIN.plus_seconds(2.106);
    let own = OwnLag { begun_unix_ns: BEGIN, ended_unix_ns, ..OwnLag::default() };
    assert_eq!(names(&verdicts(&own)), ["queueing"]);
    // As it was with six other busy programs on two CPUs.
    let load = LoadThreads { waited_s: Some(0.629), on_cpu_s: Some(0.071), ..LoadThreads::default() };
    assert_eq!(names(&verdicts(&OwnLag { load, ..own })), [""; 0]);
}

/// The program stood still all the time: what lay there meanwhile came together without any gateway.
#[test]
fn what_came_while_this_program_stood_still_says_nothing() {
    let made = Made { late: |_, n, _| until_full(20, 60, n, 0.010), ..Made::default() };
    let (rows, events) = made.run();
    let stall = |begin: UnixNs| Stall {
        what: Stalled::Process,
        begin_unix_ns: begin,
        length_s: 0.150,
        cpu_s: None,
        waited_s: None,
        window_s: 0.2,
    };
    let all = events.whole().unwrap();
    let stalls = all.stamp_hi_unix_ns.iter().map(|t| stall(UnixNs(*t).plus_seconds(-0.149)));
    let own = OwnLag { stalls: stalls.collect(), ..OwnLag::default() };
    let route = Route { own: Some(&own), ..Route::new("made", &rows, &events, &VLLM).unwrap() };
    assert_eq!(names(&diagnose(&route)), [""; 0]);
    let one = signature::stream(&made.one(0).events, Some(0.010), None);
    assert_eq!((one.bursts.len(), one.bursts[0].events, one.bursts[0].bytes), (3, 20, 4000));
    assert_eq!(signature::stream(&made.one(0).events, Some(0.010), Some(&own)).moments(), 60);
}

#[test]
fn what_passes_slower_than_it_is_made_is_not_late_alike() {
    // Each token takes 4 ms longer than it took to make.
    let made = Made { late: |_, k, _| 0.004 * (k + 1) as f64, ..Made::default() };
    assert_eq!(names(&made.verdicts()), [""; 0], "nothing shows that there is a gateway");
    let (mut rows, events) = made.run();
    for row in &mut rows {
        row.client.answer_headers = vec![("server".to_owned(), "nginx/1.22.1".to_owned())];
    }
    let route = Route { same_host: true, ..Route::new("made", &rows, &events, &VLLM).unwrap() };
    let verdicts = diagnose(&route);
    assert_eq!((names(&verdicts), verdicts[0].certainty), (vec!["falling_behind"], Sure::Hint));
    // The last of 60 is late by 240 ms.
    let stake = verdicts[0].at_stake.unwrap();
    assert_eq!(stake.metric, crate::metric::Metric::E2e);
    assert!((stake.seconds.value - 0.240).abs() < 1e-6, "{stake:?}");
    assert!(verdicts[0].evidence[1].contains("14,286 bytes/s"), "{:?}", verdicts[0].evidence);
}

/// A timer that lets the first token pass holds the last until it goes off again.
#[test]
fn a_last_token_that_waits_for_its_burst_does_not_fall_behind() {
    for (step_s, tokens, late) in [
        (0.010, 18, (|_, _, made| (made / 0.04).ceil() * 0.04 - made) as fn(u64, usize, f64) -> f64),
        (0.020, 24, |_, _, made| (made / 0.2).ceil() * 0.2 - made),
    ] {
        let made = Made { step_s, tokens, late, ..Made::default() };
        let (mut rows, events) = made.run();
        for row in &mut rows {
            row.client.answer_headers = vec![("server".to_owned(), "nginx/1.22.1".to_owned())];
        }
        let verdicts =
            diagnose(&Route { same_host: true, ..Route::new("made", &rows, &events, &VLLM).unwrap() });
        assert!(!names(&verdicts).contains(&"falling_behind"), "{verdicts:?}");
    }
}

/// One pause of a host holds up all that are under way: they are one occasion, however many.
#[test]
fn what_waited_at_one_moment_is_no_share_of_all() {
    let slow = |n: u64, _: usize, _: f64| if (20..28).contains(&n) { 0.300 } else { 0.000_2 };
    let made = |late| Made { late, requests: 60, every_s: 0.05, ..Made::default() }.run();
    let ((rows, events), (direct, direct_events)) = (made(slow), made(|_, _, _| 0.000_2));
    let route = Route { same_host: true, ..Route::new("made", &rows, &events, &VLLM).unwrap() };
    assert_eq!(names(&diagnose(&route.beside(&direct, &direct_events).unwrap())), [""; 0]);
}

#[test]
fn a_few_that_wait_long_are_told_beside_those_that_went_straight() {
    let slow = |n: u64, _: usize, _: f64| if n % 10 == 3 { 0.300 } else { 0.000_2 };
    let made = |late| Made { late, requests: 60, ..Made::default() }.run();
    let ((rows, events), (direct, direct_events)) = (made(slow), made(|_, _, _| 0.000_2));
    let route = |rows, events| Route { same_host: true, ..Route::new("made", rows, events, &VLLM).unwrap() };
    let verdicts = diagnose(&route(&rows, &events).beside(&direct, &direct_events).unwrap());
    assert_eq!((names(&verdicts), verdicts[0].n, verdicts[0].of), (vec!["stragglers"], 6, 60));
    let stake = verdicts[0].at_stake.unwrap().seconds;
    assert!((stake.value - 0.029_98).abs() < 1e-6 && stake.lo > 0.0, "{stake:?}");
    // Where all are late some are late by more: that is one delay.
    let all_late = |n: u64, _: usize, _: f64| if n.is_multiple_of(3) { 0.055 } else { 0.045 };
    let (late_rows, late_events) = made(all_late);
    let beside = route(&late_rows, &late_events).beside(&direct, &direct_events);
    assert_eq!(names(&diagnose(&beside.unwrap())), ["queueing"]);
    // Where the same happens straight to the server, or nothing is known of that, it is none.
    assert_eq!(names(&diagnose(&route(&rows, &events).beside(&rows, &events).unwrap())), [""; 0]);
    assert_eq!(names(&diagnose(&route(&rows, &events))), [""; 0]);
}

#[test]
fn without_the_servers_word_the_twins_tell_who_waits_long() {
    let slow = |n: u64, _: usize, _: f64| if n % 10 == 3 { 0.300 } else { 0.000_2 };
    let made = |late| {
        let (mut rows, events) = Made { late, requests: 60, ..Made::default() }.run();
        for row in &mut rows {
            (row.server_ttft_s, row.server_e2e_s) = (None, None);
        }
        (rows, events)
    };
    let ((rows, events), (direct, direct_events)) = (made(slow), made(|_, _, _| 0.000_2));
    let through = Route::new("through", &rows, &events, &VLLM).unwrap().beside(&direct, &direct_events);
    assert_eq!(names(&diagnose(&through.unwrap())), ["stragglers"]);
    // The other way round they tell of none.
    let through = Route::new("through", &direct, &direct_events, &VLLM).unwrap().beside(&rows, &events);
    assert_eq!(names(&diagnose(&through.unwrap())), [""; 0]);
}
