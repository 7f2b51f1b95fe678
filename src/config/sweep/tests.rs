//! Sweeps as people write them, and what comes of them.

#![allow(clippy::unwrap_used)]

use super::super::tests::{config, refused};
use super::super::{Arrival, Config};
use crate::sweep::asked::{Asked, Axis, Plan};

fn asked(config: &Config) -> &Asked {
    config.sweep.as_ref().unwrap()
}

fn levels(config: &Config) -> Vec<f64> {
    match &asked(config).plan {
        Plan::List { levels } => levels.clone(),
        other => panic!("no list: {other:?}"),
    }
}

const OBJECTIVES: &str = "--goodput ttft:200 e2el:5000";

#[test]
fn lists_are_the_same_by_flag_and_in_the_file() {
    let flags = config("", "--sweep-request-rate 8,1..4x2");
    assert_eq!(levels(&flags), [8.0, 1.0, 2.0, 4.0]);
    assert_eq!(asked(&flags).axis, Axis::Rate);
    let file = config("sweep: {request_rate: [8, 1, 2, 4]}", "");
    assert_eq!(levels(&file), levels(&flags));
    assert_eq!(levels(&config("sweep: {request_rate: 1..4x2}", "")), [1.0, 2.0, 4.0]);
    assert_eq!(levels(&config("sweep: {max_concurrency: 8}", "")), [8.0]);
    assert_eq!(levels(&config("", "--sweep_max_concurrency 1,4")), [1.0, 4.0], "underscores do");
}

#[test]
fn each_point_has_a_load_of_its_level_and_an_end() {
    let c = config("load: {users: 50, ramp_s: 5}", "--sweep-request-rate 2,5");
    assert_eq!(
        c.load.arrival,
        Arrival::Poisson { rate_rps: 2.0 },
        "a sweep of rates replaces the file's users"
    );
    assert_eq!(c.load.duration_s, Some(30.0), "where nothing says how long");
    assert!(c.stop_over_saturated);
    assert_eq!(c.load.arrival.at(Axis::Rate, 5.0), Arrival::Poisson { rate_rps: 5.0 });
    let c = config("load: {request_rate: 3, arrival: constant}", "--sweep-max-concurrency 1,2 --duration 9");
    assert_eq!(c.load.arrival, Arrival::Closed { users: 1, ramp_s: 0.0 });
    assert_eq!(c.load.duration_s, Some(9.0));
    let c = config(
        "sweep: {request_rate: [1]}\nload: {arrival: constant, requests: 20}",
        "--no-stop-over-saturated",
    );
    assert_eq!(c.load.arrival, Arrival::Constant { rate_rps: 1.0 });
    assert!(!c.stop_over_saturated && c.load.duration_s.is_none());
}

#[test]
fn a_search_begins_where_the_load_is() {
    let c = config("load: {request_rate: 4}", &format!("--search-slo rate {OBJECTIVES}"));
    let Plan::Slo { share, search } = &asked(&c).plan else { panic!("{c:?}") };
    assert_eq!((*share, search.from, search.tolerance), (0.95, 4.0, 0.05));
    assert_eq!((c.slo.ttft_s, c.slo.tpot_s, c.slo.e2e_s), (Some(0.2), None, Some(5.0)));
    let c = config("slo: {tpot_s: 0.05}\nsweep: {search: concurrency, goodput_share: 0.9, from: 2}", "");
    let Plan::Slo { share, search } = &asked(&c).plan else { panic!("{c:?}") };
    assert_eq!((*share, search.from, search.least), (0.9, 2.0, 1.0));
    assert_eq!(c.load.arrival, Arrival::Closed { users: 2, ramp_s: 0.0 });
    for flags in ["--find-knee", "--sweep-request-rate auto"] {
        assert!(matches!(asked(&config("", flags)).plan, Plan::Knee(_)));
    }
}

#[test]
fn repeated_runs_are_a_sweep_of_nothing() {
    let c = config("load: {users: 2, duration_s: 5}", "--num-runs 3");
    assert_eq!((asked(&c).axis, asked(&c).num_runs), (Axis::AsConfigured, 3));
    assert_eq!(c.load.arrival, Arrival::Closed { users: 2, ramp_s: 0.0 });
    let one = config("load: {users: 2, duration_s: 5}", "--num-runs 1");
    assert!(one.sweep.is_none() && !one.stop_over_saturated);
    assert!(config("load: {request_rate: 2}", "--stop-over-saturated").stop_over_saturated);
}

#[test]
fn a_flag_replaces_the_files_kind_of_sweep() {
    let c = config("sweep: {max_concurrency: [1, 2], num_runs: 2}", "--sweep-request-rate 3,4");
    assert_eq!((asked(&c).axis, asked(&c).num_runs), (Axis::Rate, 2));
}

#[test]
fn lists_that_are_none_are_refused() {
    let all = [
        ("", "--sweep-request-rate 1,,2"),
        ("", "--sweep-request-rate 1..8"),
        ("", "--sweep-request-rate 2000000"),
        ("", "--sweep-max-concurrency 1,2.5"),
        ("", "--sweep-max-concurrency auto"),
        ("sweep: {request_rate: []}", ""),
    ];
    insta::assert_snapshot!(all.map(|(yaml, flags)| refused(yaml, flags)).join("\n"));
}

#[test]
fn what_says_two_things_is_refused() {
    let all = [
        ("", "--sweep-request-rate 1,2 --users 4"),
        ("load: {users: 4}\nsweep: {request_rate: [1, 2]}", ""),
        ("", "--sweep-max-concurrency 1,2 --request-rate 5"),
        ("", "--sweep-max-concurrency 1,2 --max-concurrency 5"),
        ("", "--sweep-request-rate 1,2 --request-rate 5"),
        ("", "--sweep-request-rate 1,2 --sweep-max-concurrency 1,2"),
        ("", "--sweep-request-rate 1,2 --calibrate"),
        ("", "--sweep-request-rate 1,2 --reset-prefix-cache"),
        ("load: {users: 2}", "--stop-over-saturated"),
    ];
    insta::assert_snapshot!(all.map(|(yaml, flags)| refused(yaml, flags)).join("\n"));
}

#[test]
fn searches_that_cannot_be_are_refused() {
    let all = [
        "--search-slo rate".to_owned(),
        format!("--search-slo rate {OBJECTIVES} --goodput-share 95"),
        format!("--search-slo rate {OBJECTIVES} --num-runs 3"),
        format!("--search-slo rate {OBJECTIVES} --search-from 4 --search-least 8"),
        format!("--search-slo concurrency {OBJECTIVES} --search-from 1.5"),
        "--sweep-request-rate 1,2 --search-from 1".to_owned(),
        "--find-knee --goodput-share 0.9".to_owned(),
    ];
    insta::assert_snapshot!(all.map(|flags| refused("", &flags)).join("\n"));
}

#[test]
fn objectives_that_are_none_are_refused() {
    let all = ["ttft=200", "ttft:soon", "itl:50", "e2e:5000", "ttft:0", "ttft:1 ttft:2"]
        .map(|objectives| refused("", &format!("--users 1 --duration 5 --goodput {objectives}")));
    insta::assert_snapshot!(all.join("\n"));
}
