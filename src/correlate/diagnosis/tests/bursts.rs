//! What makes bursts, and what only looks like it.

use super::*;

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
