//! Shapes of a load in time, each in a whole run against the embedded server: the schedule is what was
//! asked for, every request of it has its row or is counted, and the report says both. How late a busy
//! machine was is nobody's business here.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use tare::record::RequestRow;

use crate::end_to_end::agrees_with_truth;
use crate::program::Place;
use crate::runs::{QUICK, Run, SHORT, run};

fn summary(run: &Run) -> Value {
    serde_json::from_slice(&std::fs::read(run.folder.join("summary.json")).unwrap()).unwrap()
}

fn begun_ns(run: &Run) -> i64 {
    run.manifest.extra["load"]["begun_unix_ns"].as_i64().unwrap()
}

/// When the requests were wanted, in their order, in seconds from the begin.
fn wanted_s(run: &Run) -> Vec<f64> {
    assert!(run.rows.iter().map(|row| row.index).eq(0..run.rows.len() as u64), "requests are missing");
    run.rows.iter().map(|row| (row.scheduled_unix_ns.0 - begun_ns(run)) as f64 / 1e9).collect()
}

/// What the report says of the load, against the rows.
fn says(run: &Run, law: &str) {
    let said = &summary(run)["offered"];
    assert_eq!(said["law"], law);
    assert_eq!((said["due"].as_u64(), said["unsent"].as_u64()), (Some(run.rows.len() as u64), Some(0)));
    let times = wanted_s(run);
    let span_s = times.last().unwrap() - times[0];
    if span_s > 0.0 {
        let rate = (times.len() - 1) as f64 / span_s;
        assert!((said["offered_rps"].as_f64().unwrap() / rate - 1.0).abs() < 1e-6, "{said}");
        assert!(said["delivered_rps"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(said["lateness"]["n"].as_u64(), Some(run.rows.len() as u64));
    let report = std::fs::read_to_string(run.folder.join("report.md")).unwrap();
    assert!(report.contains(law) && report.contains("\n- offered: "), "{report}");
}

#[test]
fn a_burst_is_wanted_at_once() {
    let run = run(QUICK, &format!("{SHORT} --num-prompts 40"));
    agrees_with_truth(&run);
    assert!(wanted_s(&run).iter().all(|at| *at == 0.0) && run.rows.len() == 40);
    assert!(
        run.rows
            .iter()
            .all(|row| row.user.is_none() && row.connect_begin_unix_ns < Some(row.started_unix_ns))
    );
    assert_eq!(summary(&run)["offered"]["offered_rps"], Value::Null);
    assert_eq!(summary(&run)["summary"]["steady"]["begin_s"], Value::Null);
    says(&run, "open loop, all requests at once");
}

#[test]
fn gamma_gaps_keep_their_seed() {
    let run = run(QUICK, &format!("{SHORT} --request-rate 60 --burstiness 0.5 --num-prompts 60 --seed 42"));
    agrees_with_truth(&run);
    // The schedule of this seed at 2 requests/s is written down beside the law.
    let times = wanted_s(&run);
    let at_two = [0.640_683_116, 1.172_017_426, 1.215_697_851];
    assert!(times.iter().zip(at_two).all(|(a, b)| (a - b * 2.0 / 60.0).abs() < 2e-9), "{times:?}");
    says(&run, "open loop, 60 requests/s on average (gamma gaps, burstiness 0.5)");
}

#[test]
fn a_ramp_of_the_rate_follows_its_formula() {
    let ramp =
        "--ramp-up-strategy linear --ramp-up-start-rps 0 --ramp-up-end-rps 60 --burstiness inf --duration 2";
    let run = run(QUICK, &format!("{SHORT} {ramp}"));
    agrees_with_truth(&run);
    let times = wanted_s(&run);
    // n = 60 t² / (2 · 2 s): 60 in all, the n-th at √(n / 15).
    assert_eq!(times.len(), 60);
    assert!(times.iter().enumerate().all(|(n, t)| (t - (n as f64 / 15.0).sqrt()).abs() < 2e-9), "{times:?}");
    assert_eq!(summary(&run)["summary"]["steady"]["begin_s"], Value::Null);
    says(&run, "open loop, linear ramp from 0 to 60 requests/s over 2 s (evenly spaced)");
}

#[test]
fn stages_come_one_after_another() {
    let stages = format!(
        "{QUICK}load:\n  arrival: constant\n  stages:\n  - {{rate: 10, duration_s: 0.5}}\n  - {{rate: 0, duration_s: 0.3}}\n  - {{rate: 40, duration_s: 1}}\n"
    );
    let run = run(&stages, SHORT);
    agrees_with_truth(&run);
    let times = wanted_s(&run);
    let expected: Vec<f64> =
        (0..5).map(|n| f64::from(n) / 10.0).chain((0..40).map(|n| 0.8 + f64::from(n) / 40.0)).collect();
    assert_eq!(times.len(), expected.len());
    assert!(times.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 2e-9), "{times:?}");
    says(
        &run,
        "open loop in stages: 10 requests/s (evenly spaced) for 0.5 s, then none for 0.3 s, then 40 requests/s (evenly spaced) for 1 s",
    );
}

/// The users' number over time is a trapezoid: none begins a request before it came or after it left.
#[test]
fn users_stop_as_they_started() {
    let run = run(QUICK, &format!("{SHORT} --users 5 --ramp-s 0.5 --ramp-down-s 1 --duration 2.5"));
    agrees_with_truth(&run);
    let mut users: BTreeMap<u32, Vec<&RequestRow>> = BTreeMap::new();
    for row in &run.rows {
        users.entry(row.user.unwrap()).or_default().push(row);
    }
    assert!(users.keys().copied().eq(0..5), "{:?}", users.keys());
    for (user, rows) in users {
        let at = |ns: i64| (ns - begun_ns(&run)) as f64 / 1e9;
        assert!(at(rows[0].scheduled_unix_ns.0) >= 0.1 * f64::from(user) - 1e-6);
        // Free before it was to leave: only then did it begin another.
        let leaves_s = 2.5 - 0.2 * f64::from(user);
        assert!(rows.iter().all(|row| at(row.scheduled_unix_ns.0) < leaves_s), "user {user} stayed");
    }
    assert_eq!(summary(&run)["offered"], Value::Null);
}

#[test]
fn users_that_left_come_again() {
    let stages = format!(
        "{QUICK}load:\n  stages:\n  - {{users: 3, duration_s: 0.4}}\n  - {{users: 1, duration_s: 0.6}}\n  - {{users: 2, duration_s: 0.4}}\n"
    );
    let run = run(&stages, SHORT);
    agrees_with_truth(&run);
    let of = |user: u32| -> Vec<f64> {
        let rows = run.rows.iter().filter(|row| row.user == Some(user));
        rows.map(|row| (row.scheduled_unix_ns.0 - begun_ns(&run)) as f64 / 1e9).collect()
    };
    let (second, third) = (of(1), of(2));
    assert!(second.iter().all(|t| *t < 0.4 || *t >= 1.0) && second.iter().any(|t| *t >= 1.0), "{second:?}");
    assert!(!third.is_empty() && third.iter().all(|t| *t < 0.4), "{third:?}");
}

const MOONCAKE: &str =
    "{\"timestamp\": 500, \"input_length\": 600, \"output_length\": 3, \"hash_ids\": [1, 2]}
{\"timestamp\": 500, \"input_length\": 700, \"output_length\": 5, \"hash_ids\": [1, 3]}
{\"timestamp\": 1300, \"input_length\": 20, \"output_length\": 4, \"hash_ids\": [9]}
{\"timestamp\": 2500, \"input_length\": 30, \"output_length\": 2, \"hash_ids\": [8]}
";

fn trace(dir: &Path, text: &str) -> String {
    let path = dir.join("trace");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_trace_is_sent_again_at_its_times_with_its_lengths() {
    let dir = tempfile::tempdir().unwrap();
    let path = trace(dir.path(), MOONCAKE);
    let run = run(QUICK, &format!("--dataset-name mooncake --dataset-path {path} --trace-speed 4"));
    agrees_with_truth(&run);
    let times = wanted_s(&run);
    assert!(times.iter().zip([0.0, 0.0, 0.2, 0.5]).all(|(a, b)| (a - b).abs() < 2e-9), "{times:?}");
    let outputs: Vec<Option<u32>> = run.rows.iter().map(|row| row.output_tokens).collect();
    assert_eq!(outputs, [3, 5, 4, 2].map(Some));
    // A word is a token where a tokenizer knows the common ones; the first block is the same.
    let sent = std::fs::read_to_string(run.folder.join("requests.jsonl")).unwrap();
    let prompts: Vec<Value> = sent.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let words = |row: &Value| -> Vec<String> {
        row["prompt"].as_str().into_iter().flat_map(|text| text.split(' ')).map(str::to_owned).collect()
    };
    let words: Vec<Vec<String>> = prompts.iter().map(words).filter(|words| !words.is_empty()).collect();
    assert_eq!(words.iter().map(Vec::len).collect::<Vec<_>>(), [600, 700, 20, 30]);
    assert!(words[0][..512] == words[1][..512] && words[0][512..520] != words[1][512..520]);
    says(&run, "open loop at the trace's times, 4 times as fast (4 requests within 0.5 s)");
}

/// Each of its requests has one time: asked for more of them, it is sent once, and that is said.
#[test]
fn a_trace_is_sent_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = trace(dir.path(), MOONCAKE);
    let run = run(
        QUICK,
        &format!("--dataset-name mooncake --dataset-path {path} --trace-speed 9 --num-prompts 50"),
    );
    assert_eq!((run.rows.len(), run.config.load.requests), (4, Some(50)));
    let told = "50 different prompts were asked for, and the dataset has 4";
    assert!(run.manifest.notes.iter().any(|note| note == told), "{:?}", run.manifest.notes);
    let place = Place::new();
    place.file("trace", MOONCAKE);
    let said = place.tare("run --dataset-name mooncake --dataset-path trace --num-prompts 50 --dry-run");
    assert!(
        said.out.contains("until 4 requests") && said.out.contains("no prompt is sent twice"),
        "{}",
        said.out
    );
}

/// A trace that was prepared sends what the trace sends: the same prompts at the same times, answers up to
/// their limits; and of a part of it, its begin.
#[test]
fn a_prepared_trace_is_the_trace() {
    let place = Place::new();
    place.file("trace", MOONCAKE);
    let prepared = place.tare("prepare --dataset-name mooncake --dataset-path trace --out set.jsonl");
    assert_eq!(prepared.code, Some(0), "{}", prepared.err);
    let set = place.path("set.jsonl").display().to_string();
    for (flags, outputs) in [("", vec![3, 5, 4, 2]), ("--num-prompts 3", vec![3, 5, 4])] {
        let run = run(QUICK, &format!("--dataset-path {set} --self-timed --trace-speed 4 {flags}"));
        agrees_with_truth(&run);
        let told: Vec<Option<u32>> = run.rows.iter().map(|row| row.output_tokens).collect();
        assert_eq!(told, outputs.into_iter().map(Some).collect::<Vec<_>>(), "{flags}");
        assert!(run.rows.iter().all(|row| row.finish_reason.as_deref() == Some("length")), "{flags}");
    }
}

#[test]
fn a_rate_or_users_replace_a_traces_times_and_a_limit_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = trace(
        dir.path(),
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.5,30,40\n2023-11-16 18:15:46.6,12,30\n2023-11-16 18:15:46.7,9,20\n",
    );
    let azure = format!("--dataset-name azure --dataset-path {path}");
    let rate = run(QUICK, &format!("{azure} --request-rate 20 --arrival constant"));
    assert!(wanted_s(&rate).iter().zip([0.0, 0.05, 0.1]).all(|(a, b)| (a - b).abs() < 2e-9));
    assert_eq!(rate.rows.len(), 3);
    let users = run(QUICK, &format!("{azure} --users 2"));
    assert!(users.rows.len() == 3 && users.rows.iter().all(|row| row.user.is_some()));
    let limited = run(QUICK, &format!("{azure} --max-concurrency 1"));
    assert!(wanted_s(&limited).iter().zip([0.0, 0.1, 0.2]).all(|(a, b)| (a - b).abs() < 1e-6));
    let mut by_start: Vec<&RequestRow> = limited.rows.iter().collect();
    by_start.sort_by_key(|row| row.started_unix_ns);
    assert!(by_start.windows(2).all(|w| w[0].done_unix_ns <= w[1].started_unix_ns));
}

#[test]
fn a_trace_that_cannot_be_right_is_refused_before_anything_is_sent() {
    let place = Place::new();
    place.file("config.yaml", QUICK);
    place.file("trace", MOONCAKE.replace("2500", "1200"));
    let said = place.tare("run config.yaml --dataset-name mooncake --dataset-path trace --output out");
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("trace:4: `timestamp`: the time goes back by 0.100 s"), "{}", said.err);
    assert!(!place.path("out").exists());
}

/// The plan says how long a trace is, and how many of its requests are sent.
#[test]
fn the_plan_says_what_a_trace_will_do() {
    let place = Place::new();
    place.file("trace", MOONCAKE);
    let said = place.tare("run --dataset-name mooncake --dataset-path trace --trace-start 1 --dry-run");
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("open loop at the trace's times (1 requests within 1.0 s)"), "{}", said.out);
    assert!(said.out.contains("the trace trace, 3 of its requests left out"), "{}", said.out);
    assert!(said.out.contains("until 1 requests"), "{}", said.out);
}
