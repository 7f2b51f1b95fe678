//! Shapes of a load in time: what is understood, and what is refused before anything is sent.

use super::{config, refused};
use crate::config::{Arrival, Change, Gaps, Over, RateStage, TraceFormat, UserStage};
use crate::config::{Dataset, Load};

fn load(yaml: &str, flags: &str) -> Load {
    config(yaml, flags).load
}

fn law(yaml: &str, flags: &str) -> Arrival {
    load(yaml, flags).arrival
}

#[test]
fn gaps_are_named_or_shaped() {
    let rate = |flags: &str| law("", &format!("--request-rate 3 {flags}"));
    assert_eq!(rate("--burstiness 0.5"), Arrival::Gamma { rate_rps: 3.0, burstiness: 0.5 });
    assert_eq!(rate("--burstiness 1"), Arrival::Poisson { rate_rps: 3.0 });
    assert_eq!(rate("--burstiness inf"), Arrival::Constant { rate_rps: 3.0 });
    assert_eq!(rate("--arrival gamma --burstiness 2"), Arrival::Gamma { rate_rps: 3.0, burstiness: 2.0 });
    let file = "load: {request_rate: 3, arrival: gamma, burstiness: 4}";
    assert_eq!(law(file, ""), Arrival::Gamma { rate_rps: 3.0, burstiness: 4.0 });
    // A flag takes the place of what the file says of the gaps, however it says it.
    assert_eq!(law(file, "--arrival poisson"), Arrival::Poisson { rate_rps: 3.0 });
    let file = "load: {request_rate: 3, arrival: constant}";
    assert_eq!(law(file, "--burstiness 4"), Arrival::Gamma { rate_rps: 3.0, burstiness: 4.0 });
}

#[test]
fn gaps_that_make_no_sense_are_refused() {
    insta::assert_snapshot!(refused("load: {request_rate: 3}", "--burstiness 0"), @r"
    error: `--burstiness`: expected a number from 0.001 to 1000000, or inf (constant), found 0
    hint: below 1 arrivals come in bursts, above more evenly; 1 is poisson
    ");
    insta::assert_snapshot!(refused("load: {users: 3, burstiness: 0.5}", ""), @r"
    error: a.yaml: `load.burstiness`: only a rate has gaps to draw, and 0.5 says how
    hint: give a rate with --request-rate, or leave it out
    ");
    insta::assert_snapshot!(refused("", "--request-rate inf --burstiness 0.5"), @r"
    error: `--burstiness`: only a rate has gaps to draw, and 0.5 says how
    hint: give a rate with --request-rate, or leave it out
    ");
    insta::assert_snapshot!(refused("", "--request-rate 3 --arrival gamma"), @r"
    error: `--arrival`: gamma gaps need a shape
    hint: say it with `burstiness`, such as 0.5
    ");
    insta::assert_snapshot!(refused("", "--request-rate 3 --arrival poisson --burstiness 2"), @r"
    error: `--burstiness`: says another law of arrivals than `--arrival`
    hint: give one of them
    ");
}

#[test]
fn users_are_ramped_up_and_down() {
    let stage = |users, duration_s, ramp_s| UserStage { users, duration_s, ramp_s };
    assert_eq!(
        law("", "--users 50 --ramp-s 5 --ramp-down-s 10 --duration 60"),
        Arrival::UserStages { stages: vec![stage(50, 50.0, 5.0), stage(0, 10.0, 10.0)] }
    );
    assert_eq!(
        law("", "--users 50 --ramp-down-s 0 --duration 60"),
        Arrival::Closed { users: 50, ramp_s: 0.0 }
    );
    insta::assert_snapshot!(refused("", "--users 5 --ramp-down-s 10"), @r"
    error: `--ramp-down-s`: a ramp down needs an end to be before
    hint: say how long the run is with --duration
    ");
    insta::assert_snapshot!(refused("load: {users: 5, ramp_s: 8, ramp_down_s: 3, duration_s: 10}", ""), @r"
    error: a.yaml: `load.ramp_down_s`: 3 s and `load.ramp_s` (8 s) are longer than `load.duration_s` (10 s)
    hint: one ramp ends before the other begins
    ");
    insta::assert_snapshot!(refused("", "--request-rate 5 --ramp-down-s 3 --duration 10"), @r"
    error: `--ramp-down-s`: only users are ramped
    hint: say how many with --users, or leave it out
    ");
}

#[test]
fn a_rate_is_ramped_over_the_duration_or_over_the_requests() {
    let ramp = "--ramp-up-strategy linear --ramp-up-start-rps 1 --ramp-up-end-rps 20";
    let expected = |gaps, change, over| Arrival::RateRamp { gaps, change, from_rps: 1.0, to_rps: 20.0, over };
    assert_eq!(
        law("", &format!("{ramp} --num-prompts 300")),
        expected(Gaps::Poisson, Change::Linear, Over::Requests(300))
    );
    // As `vllm bench serve` is called.
    let called = format!("{ramp} --request-rate inf --burstiness 0.5 --max-concurrency 9 --num-prompts 300");
    assert_eq!(
        law("", &called),
        expected(Gaps::Gamma { burstiness: 0.5 }, Change::Linear, Over::Requests(300))
    );
    assert_eq!(load("", &called).max_concurrency, Some(9));
    let file = "load: {ramp_up_strategy: exponential, ramp_up_start_rps: 1, ramp_up_end_rps: 20, duration_s: 60, requests: 9}";
    assert_eq!(law(file, ""), expected(Gaps::Poisson, Change::Exponential, Over::Seconds(60.0)));
    assert_eq!(law(file, "--users 4"), Arrival::Closed { users: 4, ramp_s: 0.0 });
}

#[test]
fn ramps_that_lead_nowhere_are_refused() {
    insta::assert_snapshot!(refused("", "--ramp-up-strategy linear"), @r"
    error: `load.ramp_up_start_rps`: missing: a ramp goes from one rate to another
    hint: for example `--ramp-up-start-rps 1 --ramp-up-end-rps 20`
    error: `load.ramp_up_end_rps`: missing: a ramp goes from one rate to another
    hint: for example `--ramp-up-start-rps 1 --ramp-up-end-rps 20`
    ");
    insta::assert_snapshot!(refused("", "--ramp-up-end-rps 5"), @r"
    error: `--ramp-up-end-rps`: there is no ramp
    hint: say which with --ramp-up-strategy linear or exponential
    ");
    insta::assert_snapshot!(refused("", "--ramp-up-strategy linear --ramp-up-start-rps 9 --ramp-up-end-rps 2"), @r"
    error: `--ramp-up-start-rps`: 9 is not below `--ramp-up-end-rps` (2)
    hint: a rate that falls is a stage: `load: {stages: [{rate: 9, to_rate: 1, duration_s: 60}]}`
    ");
    insta::assert_snapshot!(refused("", "--ramp-up-strategy linear --ramp-up-start-rps 0 --ramp-up-end-rps 2"), @r"
    error: `--ramp-up-start-rps`: over a count of requests, the first would wait for ever at a rate of 0
    hint: give a --duration to ramp over, or a small rate
    ");
    insta::assert_snapshot!(refused("", "--ramp-up-strategy exponential --ramp-up-start-rps 0 --ramp-up-end-rps 2 --duration 5"), @r"
    error: `--ramp-up-start-rps`: nothing grows from 0 by a factor
    hint: a small rate, such as 0.1; a linear ramp over a duration may begin at 0
    ");
    insta::assert_snapshot!(refused("", "--ramp-up-strategy linear --ramp-up-start-rps 1 --ramp-up-end-rps 2 --request-rate 5"), @r"
    error: `--request-rate`: `--ramp-up-strategy` already says the rate
    hint: give one of them
    ");
    insta::assert_snapshot!(refused("", "--ramp-up-strategy linear --ramp-up-start-rps 1 --ramp-up-end-rps 2 --users 5"), @r"
    error: `--ramp-up-strategy`: a ramp of the rate is for an open loop, `--users` for a closed one
    hint: `ramp_s` and `ramp_down_s` ramp users
    ");
}

#[test]
fn stages_are_of_rates_or_of_users() {
    let rates = "load:\n  burstiness: 2\n  max_concurrency: 7\n  stages:\n  - {rate: 5, duration_s: 10}\n  - {rate: 5, to_rate: 9, ramp: exponential, arrival: constant, duration_s: 20}\n  - {rate: 0, duration_s: 3}\n";
    let stage =
        |gaps, from_rps, to_rps, change, duration_s| RateStage { gaps, from_rps, to_rps, change, duration_s };
    let usual = Gaps::Gamma { burstiness: 2.0 };
    let resolved = load(rates, "");
    assert_eq!(
        resolved.arrival,
        Arrival::RateStages {
            stages: vec![
                stage(usual, 5.0, 5.0, Change::Linear, 10.0),
                stage(Gaps::Constant, 5.0, 9.0, Change::Exponential, 20.0),
                stage(usual, 0.0, 0.0, Change::Linear, 3.0)
            ]
        }
    );
    assert_eq!(
        (resolved.duration_s, resolved.requests, resolved.max_concurrency),
        (Some(33.0), None, Some(7))
    );
    let users = "load: {stages: [{users: 5, duration_s: 10, ramp_s: 2}, {users: 9, duration_s: 4}]}";
    let stage = |users, duration_s, ramp_s| UserStage { users, duration_s, ramp_s };
    assert_eq!(law(users, ""), Arrival::UserStages { stages: vec![stage(5, 10.0, 2.0), stage(9, 4.0, 0.0)] });
    assert_eq!(law(users, "--request-rate 4 --num-prompts 9"), Arrival::Poisson { rate_rps: 4.0 });
}

#[test]
fn stages_that_contradict_themselves_are_refused() {
    let stages = |text: &str| refused(&format!("load: {{stages: [{text}]}}"), "");
    insta::assert_snapshot!(stages("{users: 5, duration_s: 1}, {rate: 5, duration_s: 1}"), @r"
    error: a.yaml: `load.stages`: some stages have `users`, others a `rate`
    hint: a run is a closed loop or an open one: give all of them users, or all a rate
    ");
    insta::assert_snapshot!(stages("{duration_s: 1}"), @r"
    error: a.yaml: `load.stages`: no stage has `users` or a `rate`
    hint: for example `stages: [{rate: 2, duration_s: 60}, {rate: 8, duration_s: 60}]`
    ");
    insta::assert_snapshot!(stages("{rate: 5}, {rate: 1, duration_s: 9, ramp: linear}, {rate: -1, duration_s: 0}"), @r"
    error: a.yaml: `load.stages`: stage 1: `duration_s` is missing
    hint: each stage says how long it is
    error: a.yaml: `load.stages`: stage 2: `ramp` says how the rate changes, and `to_rate` not to what
    hint: give `to_rate`, or leave `ramp` out
    error: a.yaml: `load.stages`: stage 3: `duration_s`: expected a number above 0, at most 2592000 (seconds), found 0
    hint: each stage says how long it is
    error: a.yaml: `load.stages`: stage 3: `rate`: expected a number from 0 to 1000000 (requests per second), found -1
    hint: 0 is a pause
    error: a.yaml: `load.stages`: stage 3: `to_rate`: expected a number from 0 to 1000000 (requests per second), found -1
    hint: 0 is a pause
    ");
    insta::assert_snapshot!(stages("{users: 5, duration_s: 4, ramp_s: 5, to_rate: 3}"), @r"
    error: a.yaml: `load.stages`: stage 1: `to_rate` is not for a stage with users
    hint: users have `ramp_s`, the seconds within which their number changes
    error: a.yaml: `load.stages`: stage 1: `ramp_s`: 5 s do not fit into the stage (4 s)
    hint: within it the number of users changes from the last stage's to this one's
    ");
    insta::assert_snapshot!(stages("{rate: 0, to_rate: 3, ramp: exponential, duration_s: 3}"), @r"
    error: a.yaml: `load.stages`: stage 1: nothing grows from 0, or falls to it, by a factor
    hint: a small rate, such as 0.1, or `ramp: linear`
    ");
    insta::assert_snapshot!(stages("{rate: 0, duration_s: 3}"), @r"
    error: a.yaml: `load.stages`: nothing would be sent in any of them
    hint: give one of them users or a rate above 0
    ");
    insta::assert_snapshot!(stages("{rate: 1, duraton_s: 3}"), @r"
    error: unknown key `duraton_s` in `load.stages[0]`
     --> a.yaml:1:27
      |
    1 | load: {stages: [{rate: 1, duraton_s: 3}]}
      |                           ^^^^^^^^^
    hint: did you mean `duration_s`?
    ");
    insta::assert_snapshot!(refused("load: {users: 3, duration_s: 9, stages: [{rate: 1, duration_s: 3}]}", ""), @r"
    error: a.yaml: `load.users`: `load.stages` already says it
    hint: leave it out, or leave the stages out
    error: a.yaml: `load.duration_s`: `load.stages` already says it
    hint: leave it out, or leave the stages out
    ");
}

#[test]
fn a_trace_is_sent_at_its_own_times_unless_something_else_says_when() {
    let trace = "--dataset-name mooncake --dataset-path t.jsonl";
    let of = |flags: &str| {
        let load = load("", &format!("{trace} {flags}"));
        let kind = match load.arrival {
            Arrival::Trace { speed, .. } => format!("trace x{speed}"),
            other => other.words(),
        };
        (kind, load.requests, load.max_concurrency)
    };
    assert_eq!(of(""), ("trace x1".to_owned(), None, None));
    assert_eq!(of("--self-timed --trace-speed 2 --num-prompts 9"), ("trace x2".to_owned(), Some(9), None));
    assert_eq!(of("--max-concurrency 4"), ("trace x1".to_owned(), None, Some(4)));
    assert_eq!(of("--no-self-timed --max-concurrency 4").0, "closed loop of 4 users");
    assert_eq!(of("--no-self-timed").0, "open loop, all requests at once");
    assert_eq!(of("--request-rate 3").0, "open loop, 3 requests/s on average (Poisson)");
    assert_eq!(of("--users 3").0, "closed loop of 3 users");
    // Its answers are as long as it says.
    let resolved = config("", trace).workload;
    assert!(resolved.ignore_eos);
    let Dataset::Trace(trace) = resolved.dataset else { panic!("no trace") };
    assert_eq!((trace.format, trace.block_tokens), (TraceFormat::Mooncake, 512));
    let timed = "--dataset-name timed_trace --dataset-path t.jsonl --timed-trace-sec-multiplier 0.001 --timed-trace-chunk-hash-size 512 --timed-trace-label-timestamp ts";
    let Dataset::Trace(trace) = config("", timed).workload.dataset else { panic!("no trace") };
    assert_eq!(
        (trace.sec_multiplier, trace.block_tokens, trace.fields.timestamp.as_str()),
        (0.001, 512, "ts")
    );
}

#[test]
fn what_is_for_traces_is_refused_elsewhere() {
    insta::assert_snapshot!(refused("", "--self-timed --trace-speed 2 --trace-start 5"), @r"
    error: `--self-timed`: only a trace has times of its own
    hint: --dataset-name mooncake, timed-trace, azure or burstgpt, or a prepared set of one
    error: `--trace-speed`: there are no times of a trace to speed up
    hint: leave it out, or leave out what says otherwise when requests are sent
    error: `--trace-start`: this is for a trace, and the dataset is none
    hint: --dataset-name mooncake, timed-trace, azure or burstgpt
    ");
    let trace = "--dataset-name azure --dataset-path t.csv";
    insta::assert_snapshot!(refused("", &format!("{trace} --self-timed --request-rate 4")), @r"
    error: `--self-timed`: `--request-rate` already says when requests are sent
    hint: give one of them
    ");
    insta::assert_snapshot!(refused("", &format!("{trace} --request-rate 4 --trace-speed 2")), @r"
    error: `--trace-speed`: there are no times of a trace to speed up
    hint: leave it out, or leave out what says otherwise when requests are sent
    ");
    insta::assert_snapshot!(refused("", &format!("{trace} --trace-start 9 --trace-end 4 --timed-trace-sec-multiplier 2")), @r"
    error: `--trace-end`: 4 is not after `--trace-start` (9)
    hint: both are seconds since the trace's first request
    error: `--timed-trace-sec-multiplier`: this is for the dataset `timed-trace`; the other formats say their units themselves
    hint: leave it out, or choose --dataset-name timed-trace
    ");
    insta::assert_snapshot!(refused("", "--dataset-name burstgpt"), @r"
    error: `workload.path`: missing: this dataset is read from a file
    hint: for example `--dataset-path requests/demo.jsonl`
    ");
}
