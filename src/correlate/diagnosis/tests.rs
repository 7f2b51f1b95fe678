//! The rules on streams made by hand: each mechanism once, and what looks like it and is none. Captures of
//! real gateways are held against them in `tests/it/verdicts.rs`.

mod explained;
mod healthy;
mod kong;

use super::signature::{self, Released, released};
use super::{Route, diagnose};
use crate::clock::UnixNs;
use crate::record::fixture::{BEGIN, finished};
use crate::record::own::{LoadThreads, OwnLag, Stall, Stalled};
use crate::record::verdicts::{Kind, Sure, VerdictRow};
use crate::record::{
    Connection, EventRow, Finished, HopRow, HopTry, JoinedRow, LogEvent, LogRow, Source, SpanRow, Status,
};
use crate::server::vllm::VLLM;
use crate::store::{Events, RunEvents};

/// A route of requests made by hand: TTFT 60 ms at the server, then a token every `step_s`, 200 bytes each.
struct Made {
    step_s: f64,
    tokens: usize,
    requests: u64,
    /// From the making of each token to its coming here: request, number, seconds since the first.
    late: fn(u64, usize, f64) -> f64,
    /// Requests start so far apart.
    every_s: f64,
}

impl Default for Made {
    fn default() -> Self {
        Self { step_s: 0.010, tokens: 60, requests: 20, late: |_, _, _| 0.0002, every_s: 1.0 }
    }
}

const TTFT_S: f64 = 0.060;

impl Made {
    fn one(&self, n: u64) -> Finished {
        let mut row = finished(n).row;
        let sent = BEGIN.plus_seconds(n as f64 * self.every_s);
        let stamp = |k: usize| {
            let made = self.step_s * k as f64;
            sent.plus_seconds(TTFT_S + made + (self.late)(n, k, made))
        };
        let events: Vec<EventRow> = (0..self.tokens)
            .map(|k| EventRow {
                stamp_lo_unix_ns: if k == 0 { sent } else { stamp(k - 1) },
                stamp_hi_unix_ns: stamp(k),
                user_unix_ns: stamp(k).plus_seconds(0.000_05),
                events_in_read: 1,
                tokens: Some(1),
                bytes: 200,
            })
            .collect();
        row.started_unix_ns = sent;
        row.send_begin_unix_ns = Some(sent);
        row.head_unix_ns = Some(sent.plus_seconds(0.002));
        row.first_token_unix_ns = Some(stamp(0));
        row.last_token_unix_ns = Some(stamp(self.tokens - 1));
        row.done_unix_ns = stamp(self.tokens - 1).plus_seconds(0.000_1);
        row.first_token_user_unix_ns = row.first_token_unix_ns;
        row.output_tokens = Some(self.tokens as u32);
        row.n_events = self.tokens as u32;
        row.connection = Connection::Reused;
        Finished { row, events, place: None }
    }

    fn run(&self) -> (Vec<JoinedRow>, RunEvents) {
        let mut events = Events::default();
        let rows = (0..self.requests).map(|n| {
            let one = self.one(n);
            events.push(&one);
            let mut row = joined(one);
            row.server_ttft_s = Some(TTFT_S);
            row.server_e2e_s = Some(TTFT_S + self.step_s * (self.tokens - 1) as f64);
            row.server_output_tokens = Some(self.tokens as u32);
            row
        });
        (rows.collect::<Vec<_>>(), events.into())
    }

    fn verdicts(&self) -> Vec<VerdictRow> {
        let (rows, events) = self.run();
        diagnose(&Route { same_host: true, ..Route::new("made", &rows, &events, &VLLM).unwrap() })
    }
}

/// The request with a server's side of which nothing is known.
fn joined(one: Finished) -> JoinedRow {
    let inputs = super::super::Inputs {
        hop_names: &[],
        scrapes: &[],
        log: &[],
        spans: &[],
        stat_log: &[],
        hops: &[],
        events: &Events::default().into(),
        own: None,
        server: &VLLM,
        same_host: true,
        ranks_beside_server: &[],
        clock_bound_s: None,
        seed: 1,
    };
    super::super::correlate(vec![one.row], &inputs).unwrap().rows.remove(0)
}

/// Each hop row beside the request whose id it has.
fn with_hops<'a>(mut route: Route<'a>, hops: &'a [HopRow]) -> Route<'a> {
    for hop in hops {
        let of_hop = |p: &&mut super::Passage<'_>| hop.request_id.as_ref() == Some(&p.row.client.request_id);
        if let Some(passage) = route.passages.iter_mut().find(of_hop) {
            passage.hops.push(hop);
        }
    }
    route
}

fn names(verdicts: &[VerdictRow]) -> Vec<&str> {
    verdicts.iter().map(|v| v.rule).collect()
}

/// Kept until the next multiple of `timer_s`.
fn until_multiple(made_s: f64, timer_s: f64) -> f64 {
    (made_s / timer_s).floor().mul_add(timer_s, timer_s) - made_s
}

/// Kept until `k` are there, or the answer is whole.
fn until_full(k: usize, tokens: usize, n: usize, step_s: f64) -> f64 {
    ((n / k + 1) * k - 1).min(tokens - 1).saturating_sub(n) as f64 * step_s
}

#[test]
fn what_passes_as_it_is_made_is_no_matter() {
    for step_s in [0.002, 0.005, 0.02, 0.05] {
        let jitter = |n: u64, k: usize, _: f64| 0.0002 + 0.0003 * ((n as usize * 7 + k * 13) % 5) as f64;
        assert_eq!(names(&Made { step_s, late: jitter, ..Made::default() }.verdicts()), [""; 0], "{step_s}");
    }
}

#[test]
fn a_timer_of_200_ms_is_a_cork() {
    let made = Made { step_s: 0.020, late: |_, _, made| until_multiple(made, 0.2), ..Made::default() };
    let verdicts = made.verdicts();
    assert_eq!(names(&verdicts), ["coalescing"]);
    let verdict = &verdicts[0];
    assert!(verdict.what.contains("about 200 ms apart"), "{}", verdict.what);
    assert_eq!((verdict.kind, verdict.n, verdict.certainty), (Kind::Hold, 20, Sure::Likely));
    let settings: Vec<&str> = verdict.remedies.iter().map(|r| r.setting).collect();
    assert!(settings.contains(&"option http-no-delay") && settings.contains(&"proxy_buffering off;"));
    // The first waits 200 ms, the last (made at 1,180 ms) 20.
    let stake = verdict.at_stake.unwrap().seconds;
    assert!([stake.value, stake.lo, stake.hi].iter().all(|s| (s - 0.180).abs() < 1e-6), "{stake:?}");
}

#[test]
fn equal_bursts_of_a_usual_size_are_a_buffer() {
    // 20 events of 200 bytes.
    let made = Made { late: |_, n, _| until_full(20, 60, n, 0.010), tokens: 60, ..Made::default() };
    let verdicts = made.verdicts();
    assert_eq!(names(&verdicts), ["coalescing"]);
    assert!(verdicts[0].what.contains("a buffer of 4,096"), "{}", verdicts[0].what);
}

#[test]
fn an_answer_that_comes_at_its_end_is_held_whole() {
    let made = Made { late: |_, n, _| until_full(60, 60, n, 0.010), ..Made::default() };
    let verdicts = made.verdicts();
    assert_eq!(names(&verdicts), ["whole_answer"]);
    let stake = verdicts[0].at_stake.unwrap().seconds.value;
    assert!((stake - 0.59).abs() < 1e-6, "{stake}");
}

#[test]
fn first_tokens_that_are_kept_are_told_although_the_rest_flows() {
    let made =
        Made { late: |_, n, _| if n < 12 { 0.010 * (11 - n) as f64 } else { 0.0001 }, ..Made::default() };
    let verdicts = made.verdicts();
    assert_eq!(names(&verdicts), ["coalescing"]);
    assert!(verdicts[0].what.starts_with("the first tokens"), "{}", verdicts[0].what);
}

/// Every fourth step the server writes what it has: the first token is not late, and no gateway did it.
#[test]
fn a_server_that_writes_several_at_once_holds_nothing() {
    let made =
        Made { late: |_, n, _| if n == 0 { 0.0 } else { until_full(4, 60, n, 0.010) }, ..Made::default() };
    assert_eq!(names(&made.verdicts()), [""; 0]);

    // Straight from the server it looks the same, whatever the server says of its first token.
    let made = Made { late: |_, n, _| until_full(4, 60, n, 0.010), ..Made::default() };
    let (rows, events) = made.run();
    let route = Route { same_host: true, ..Route::new("through", &rows, &events, &VLLM).unwrap() };
    assert_eq!(names(&diagnose(&route)), ["coalescing"]);
    assert_eq!(names(&diagnose(&route.beside(&rows, &events).unwrap())), [""; 0]);
}

#[test]
fn without_the_servers_times_those_that_went_straight_tell() {
    let unjoined = |made: &Made| {
        let (mut rows, events) = made.run();
        for row in &mut rows {
            (row.server_ttft_s, row.server_e2e_s, row.server_output_tokens) = (None, None, None);
        }
        (rows, events)
    };
    let (direct, direct_events) = unjoined(&Made::default());
    let held = Made { late: |_, n, _| until_full(20, 60, n, 0.010), ..Made::default() };
    let (through, events) = unjoined(&held);
    let alone = Route::new("through", &through, &events, &VLLM).unwrap();
    let hint = diagnose(&alone);
    assert_eq!((names(&hint), hint[0].certainty, hint[0].at_stake), (vec!["coalescing"], Sure::Hint, None));
    let verdicts = diagnose(&alone.beside(&direct, &direct_events).unwrap());
    assert_eq!((names(&verdicts), verdicts[0].certainty), (vec!["coalescing"], Sure::Certain));
    let stake = verdicts[0].at_stake.unwrap().seconds.value;
    assert!((stake - 0.19).abs() < 0.001, "{stake}");
}

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
fn a_timer_is_named_by_its_gaps_only_where_bursts_are_too_small_for_a_buffer() {
    let by = |late: fn(u64, usize, f64) -> f64, step_s: f64| {
        let made = Made { late, step_s, tokens: 120, ..Made::default() };
        let streams: Vec<signature::Stream> =
            (0..5).map(|n| signature::stream(&made.one(n).events, Some(step_s), None)).collect();
        released(&streams, Some(step_s)).0
    };
    assert!(matches!(by(|_, _, made| until_multiple(made, 0.04), 0.011), Released::DelayedAck { .. }));
    assert!(matches!(by(|_, _, made| until_multiple(made, 0.04), 0.002), Released::BufferOrTimer { .. }));
    assert!(matches!(by(|_, n, _| until_full(20, 120, n, 0.005), 0.005), Released::Buffer { .. }));
    // Always the same number: of a server whose step goes into 40 ms it cannot be told what counted.
    assert!(matches!(
        by(|_, n, _| until_full(7, 120, n, 0.005), 0.005),
        Released::Events { events: 7.0, .. }
    ));
    assert!(matches!(
        by(|_, n, _| until_full(4, 120, n, 0.010), 0.010),
        Released::EventsOrTimer { events: 4.0, .. }
    ));
    assert!(matches!(by(|_, _, made| until_multiple(made, 0.04), 0.010), Released::EventsOrTimer { .. }));
    // Seven tokens of 30 ms each are a corked sender's time: rare for a server, usual for HAProxy.
    let corked = by(|_, n, _| until_full(7, 120, n, 0.030), 0.030);
    assert!(matches!(corked, Released::EventsOrTimer { .. }) && corked.is_specific(), "{corked:?}");
    let acked = by(|_, n, _| until_full(4, 120, n, 0.010), 0.010);
    assert!(!acked.is_specific(), "{acked:?}");
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

fn hop(row: &JoinedRow, with: impl Fn(&mut HopRow)) -> HopRow {
    let mut hop = HopRow {
        hop: "edge".to_owned(),
        product: "nginx".to_owned(),
        request_id: Some(row.client.request_id.clone()),
        status: Some(200),
        ..HopRow::default()
    };
    with(&mut hop);
    hop
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
