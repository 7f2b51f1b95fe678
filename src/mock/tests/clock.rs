//! A server whose wall clock is wrong: everything it says is on that clock, everything the truth says
//! is not, and both are made one by what the truth says of the clock.

use chrono::{DateTime, Local, TimeZone, Utc};

use super::harness::{Mock, chat_body, engine_series, fast, metric};
use super::spans::{float, receiver, spans, traced};
use crate::clock::UnixNs;
use crate::config::Embedded;
use crate::mock::server_clock::ServerClock;
use crate::mock::truth::TruthRow;

const SECOND: i64 = 1_000_000_000;

fn clock_of(rows: &[TruthRow]) -> ServerClock {
    let clocks: Vec<ServerClock> = rows.iter().filter_map(|row| row.clock).collect();
    assert_eq!(clocks.len(), 1, "the file says it once");
    clocks[0]
}

/// Equal up to the rounding of nanoseconds to seconds.
#[track_caller]
fn same(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-12, "{a} {b}");
}

#[tokio::test]
async fn what_is_said_is_on_the_wrong_clock_and_the_truth_is_not() {
    let (endpoint, mut bodies) = receiver(0).await;
    let wrong = Embedded { clock_offset_ms: -86_400_000.5, clock_drift_ppm: 50_000.0, ..fast() };
    let before = UnixNs::now();
    let mock = traced(&endpoint, wrong).await;
    let response = mock.chat("late", "hello clock", 40).await;
    let page = mock.get("/metrics").await.text();
    let models = mock.get("/v1/models").await.json();
    let log = mock.log.clone();
    let rows = mock.stop().await;
    let after = UnixNs::now();
    let clock = clock_of(&rows);
    assert_eq!((clock.offset_ns, clock.drift_ppm, clock.step_at_unix_ns), (-86_400_000_500_000, 5e4, None));
    let row = &rows[0];
    assert!(before < clock.started_unix_ns && clock.started_unix_ns < row.accepted_unix_ns);
    assert!(row.end_unix_ns < after, "the truth is on the host's clock");

    let (arrival, first) = (row.arrival_unix_ns.unwrap(), row.first_output_unix_ns.unwrap());
    let span = spans(&mut bodies).pop().unwrap();
    assert_eq!(span.start_time_unix_nano, clock.says(arrival).0 as u64);
    assert!(span.end_time_unix_nano >= clock.says(row.last_output_unix_ns.unwrap()).0 as u64);
    assert!(span.end_time_unix_nano <= clock.says(after).0 as u64);
    let between = |at: UnixNs| (clock.says(arrival)..=clock.says(row.end_unix_ns)).contains(&at);
    let created = response.events()[0]["created"].as_i64().unwrap();
    assert!((clock.says(arrival).0 / SECOND..=clock.says(first).0 / SECOND).contains(&created));
    assert!(models["data"][0]["created"].as_i64().unwrap() >= clock.says(row.end_unix_ns).0 / SECOND);
    let date = DateTime::parse_from_rfc2822(response.header("date").unwrap()).unwrap().timestamp();
    assert!((clock.says(arrival).0 / SECOND..=clock.says(row.end_unix_ns).0 / SECOND).contains(&date));
    let made = metric(&page, &engine_series("generation_tokens_created"));
    let seconds = |at: UnixNs| clock.says(at).seconds_since(UnixNs(0));
    assert!(
        (seconds(clock.started_unix_ns) - 1e-6..seconds(row.accepted_unix_ns) + 1e-6).contains(&made),
        "{made}"
    );
    // Stamps of whole seconds: compared as they are written.
    let written = |at: UnixNs| {
        let stamp = Utc.timestamp_nanos(at.0).with_timezone(&Local);
        stamp.format("%m-%d %H:%M:%S").to_string()
    };
    let text = log.text();
    let line = text.lines().find(|line| line.contains("Added request chatcmpl-late")).unwrap();
    let stamp = line.split_once("INFO ").unwrap().1.split_once(" [").unwrap().0;
    let possible = [clock.says(arrival), clock.says(first)].map(written);
    assert!(possible.contains(&stamp.to_owned()), "{stamp} {possible:?}");
    assert!(between(clock.says(first)));
}

#[tokio::test]
async fn durations_drift_where_they_are_taken_on_the_wall_clock() {
    let (endpoint, mut bodies) = receiver(0).await;
    let mock = traced(&endpoint, Embedded { clock_drift_ppm: 100_000.0, ..fast() }).await;
    mock.chat("drift", "hello drift", 60).await;
    let rows = mock.stop().await;
    let (clock, row) = (clock_of(&rows), &rows[0]);
    let (arrival, first) = (row.arrival_unix_ns.unwrap(), row.first_output_unix_ns.unwrap());
    let last = row.last_output_unix_ns.unwrap();
    same(row.ttft_s.unwrap(), clock.says(first).seconds_since(clock.says(arrival)));
    same(row.e2e_s.unwrap(), clock.says(last).seconds_since(clock.says(arrival)));
    assert!((row.e2e_s.unwrap() / last.seconds_since(arrival) - 1.1).abs() < 1e-6, "a tenth too long");
    // The engine's durations are the monotonic clock's; the two clocks are read some µs apart.
    let (step_1, step_n) = (row.first_token_unix_ns.unwrap(), row.last_token_unix_ns.unwrap());
    assert!((row.decode_s.unwrap() / step_n.seconds_since(step_1) - 1.0).abs() < 0.01);
    let span = spans(&mut bodies).pop().unwrap();
    same(float(&span, "gen_ai.latency.e2e"), row.e2e_s.unwrap());
    same(float(&span, "gen_ai.latency.time_in_model_decode"), row.decode_s.unwrap());
}

#[tokio::test]
async fn a_step_in_the_middle_of_a_request_is_in_its_wall_clock_durations() {
    // It comes after the start of the server and before the end of a long answer.
    let stepped = Embedded { clock_step_ms: -600_000.0, clock_step_at_s: Some(0.8), ..fast() };
    let mock = Mock::start(stepped).await;
    let body = chat_body("a long answer", 1500);
    let response = mock.post("/v1/chat/completions", &[("x-request-id", "long")], &body).await;
    assert!(response.is_done());
    let rows = mock.stop().await;
    let (clock, row) = (clock_of(&rows), &rows[0]);
    let (arrival, last) = (row.arrival_unix_ns.unwrap(), row.last_output_unix_ns.unwrap());
    let step_at = clock.step_at_unix_ns.unwrap();
    assert!((step_at.seconds_since(clock.started_unix_ns) - 0.8).abs() < 1e-9);
    assert!(arrival < step_at && step_at < last, "1,500 steps of a millisecond span it");
    same(row.e2e_s.unwrap(), last.seconds_since(arrival) - 600.0);
    assert!(row.e2e_s.unwrap() < 0.0, "as `time.time()` would have it");
    assert!(row.decode_s.unwrap() > 0.0);
}
