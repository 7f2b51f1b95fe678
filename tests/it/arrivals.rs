//! When requests are sent: ramped users, constant and Poisson arrivals, exact numbers of requests.
//! What is checked is the schedule, exactly; how late a busy machine was is nobody's business here.

use std::collections::BTreeMap;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tare::clock::UnixNs;
use tare::record::{RequestRow, Status};

use crate::end_to_end::agrees_with_truth;
use crate::runs::{QUICK, Run, SHORT, run};

/// When the schedule began.
fn begun(run: &Run) -> UnixNs {
    UnixNs(run.manifest.extra["load"]["begun_unix_ns"].as_i64().unwrap())
}

/// When the requests were wanted, from the beginning, in nanoseconds.
fn scheduled(run: &Run) -> Vec<i64> {
    let begun = begun(run);
    let indices: Vec<u64> = run.rows.iter().map(|row| row.index).collect();
    assert!(indices.iter().copied().eq(0..run.rows.len() as u64), "requests are missing: {indices:?}");
    run.rows.iter().map(|row| row.scheduled_unix_ns.0 - begun.0).collect()
}

fn ns(offset_s: f64) -> i64 {
    (offset_s * 1e9).round() as i64
}

/// The most requests that were being worked on at one time.
fn most_at_once(rows: &[RequestRow]) -> i64 {
    let mut steps: Vec<(i64, i64)> =
        rows.iter().flat_map(|row| [(row.started_unix_ns.0, 1), (row.done_unix_ns.0, -1)]).collect();
    steps.sort_unstable();
    let now = steps.iter().scan(0, |now, (_, step)| {
        *now += step;
        Some(*now)
    });
    now.max().unwrap_or(0)
}

/// The n-th of an exponential process, by the book: the sum of -ln(u)/rate, u uniform in (0, 1].
fn poisson(rate: f64, seed: u64) -> impl Iterator<Item = f64> {
    let mut random = ChaCha12Rng::seed_from_u64(seed);
    let mut at = 0.0;
    std::iter::from_fn(move || {
        let uniform = ((random.next_u64() >> 11) as f64 + 1.0) / (1_u64 << 53) as f64;
        at -= uniform.ln() / rate;
        Some(at)
    })
}

#[test]
fn users_start_on_a_ramp_and_send_one_request_after_the_other() {
    let run = run(QUICK, &format!("{SHORT} --users 5 --ramp-s 1.5 --duration 2.5"));
    agrees_with_truth(&run);
    let begun = begun(&run);
    let mut users: BTreeMap<u32, Vec<&RequestRow>> = BTreeMap::new();
    for row in &run.rows {
        users.entry(row.user.unwrap()).or_default().push(row);
    }
    assert!(users.keys().copied().eq(0..5), "{:?}", users.keys());
    for (user, rows) in users {
        let first = rows[0].scheduled_unix_ns.0 - begun.0;
        assert!(first >= ns(f64::from(user) * 1.5 / 5.0), "user {user} began at {first} ns");
        for pair in rows.windows(2) {
            // Wanted as soon as the last one was over: not before it, and nothing is sent in between.
            assert!(pair[1].scheduled_unix_ns >= pair[0].done_unix_ns, "{pair:?}");
        }
    }
    assert!(run.rows.iter().all(|row| row.scheduled_unix_ns.0 - begun.0 <= ns(2.5) || row.user.is_some()));
    assert!(most_at_once(&run.rows) <= 5);
}

#[test]
fn constant_arrivals_are_evenly_spaced_to_the_nanosecond() {
    let run = run(QUICK, &format!("{SHORT} --request-rate 30 --arrival constant --duration 2"));
    agrees_with_truth(&run);
    let expected: Vec<i64> =
        (0..10_000).map(|i| f64::from(i) / 30.0).take_while(|at| *at < 2.0).map(ns).collect();
    let found = scheduled(&run);
    assert_eq!(found.len(), expected.len());
    // A product of the index and the gap: off by the rounding of that product at most.
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1), "{found:?}");
    assert_eq!(run.ok().count(), run.rows.len());
    assert!(run.rows.iter().all(|row| row.user.is_none()));
}

#[test]
fn poisson_arrivals_follow_the_law_of_their_seed() {
    let run = run(QUICK, &format!("{SHORT} --request-rate 40 --num-prompts 60 --seed 11"));
    agrees_with_truth(&run);
    let expected: Vec<i64> = poisson(40.0, 11).take(60).map(ns).collect();
    let found = scheduled(&run);
    assert!(
        found.len() == 60 && found.iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1),
        "{found:?}\n{expected:?}"
    );
    assert_eq!(run.ok().count(), 60);
}

#[test]
fn a_duration_ends_a_poisson_schedule_where_it_ends() {
    let run = run(QUICK, &format!("{SHORT} --request-rate 25 --duration 1.5 --seed 3"));
    agrees_with_truth(&run);
    let expected = poisson(25.0, 3).take_while(|at| *at < 1.5).count();
    assert_eq!(scheduled(&run).len(), expected);
}

#[test]
fn a_limit_makes_requests_wait_and_drops_none() {
    let slow = "embedded:\n  decode_base_ms: 5\n";
    let run = run(
        slow,
        &format!("{SHORT} --request-rate 100 --arrival constant --num-prompts 40 --max-concurrency 2"),
    );
    agrees_with_truth(&run);
    assert_eq!((run.rows.len(), run.ok().count()), (40, 40));
    let expected: Vec<i64> = (0..40).map(|i| ns(f64::from(i) / 100.0)).collect();
    assert!(scheduled(&run).iter().zip(&expected).all(|(a, b)| (a - b).abs() <= 1), "never anchored anew");
    assert!(most_at_once(&run.rows) <= 2);
    // Forty answers of 50 ms and more, two at a time, wanted within 0.4 s: some have to wait.
    assert!(run.rows.iter().any(|row| row.started_unix_ns.seconds_since(row.scheduled_unix_ns) > 0.1));
}

#[test]
fn exactly_as_many_requests_are_sent_as_were_asked_for() {
    for flags in ["--users 7 --num-prompts 23", "--num-prompts 9", "--users 3 --num-prompts 2"] {
        let run = run(QUICK, &format!("{SHORT} {flags}"));
        agrees_with_truth(&run);
        let n = run.config.load.requests.unwrap() as usize;
        assert_eq!((run.rows.len(), run.truth.len()), (n, n), "{flags}");
        assert!(run.rows.iter().all(|row| row.status == Status::Ok));
        // Each with its own prompt.
        let prompts: std::collections::BTreeSet<u32> = run.rows.iter().map(|row| row.prompt_index).collect();
        assert_eq!(prompts.len(), n);
    }
}
