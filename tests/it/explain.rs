//! `tare explain` as its users meet it, on a small recorded run: four requests of one user, of which the
//! second stalled, the third has no span and the fourth was refused.

use std::path::Path;

use insta::assert_snapshot;
use serde_json::Value;

use crate::program::{Place, files};
use crate::source::root;

/// The recorded run, copied to where the program is started.
fn recorded() -> Place {
    let place = Place::new();
    let from = root().join("tests/samples/run");
    std::fs::create_dir(place.path("run")).unwrap();
    for file in files(&from) {
        std::fs::copy(&file, place.path("run").join(file.file_name().unwrap())).unwrap();
    }
    place
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    files(folder).into_iter().map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn the_slowest_is_shown_with_every_stamp_and_nothing_is_written() {
    let place = recorded();
    let before = contents(&place.path("run"));
    assert_snapshot!(place.tare("explain run").shown(), @"");
    assert_eq!(contents(&place.path("run")), before);
}

#[test]
fn a_stall_is_marked_and_told() {
    let said = recorded().tare("explain run --slowest 1 --by itl");
    assert_snapshot!(said.out.split("gaps between").nth(1).unwrap(), @"");
}

#[test]
fn without_a_span_the_answers_own_metrics_tell() {
    assert_snapshot!(recorded().tare("explain run small-47654bfb-2").shown(), @"");
}

#[test]
fn a_refused_request_has_its_error() {
    assert_snapshot!(recorded().tare("explain run --id small-47654bfb-3").shown(), @"");
}

#[test]
fn json_has_every_number() {
    let said = recorded().tare("explain run --slowest 2 --by e2e --json");
    let all: Vec<Value> = serde_json::from_str(&said.out).unwrap();
    let e2e: Vec<f64> = all.iter().map(|w| w["row"]["client"]["e2e_s"].as_f64().unwrap()).collect();
    assert!(e2e.len() == 2 && e2e[0] >= e2e[1], "{e2e:?}");
    // All parts inside sum to what they are parts of.
    for waterfall in &all {
        let parts = waterfall["parts"].as_array().unwrap();
        let beside = ["schedule", "client_lag"];
        let inside = parts.iter().filter(|p| !beside.contains(&p["part"].as_str().unwrap()));
        let sums = inside.fold((0.0, 0.0), |(ttft, e2e), p| {
            (ttft + p["ttft_s"].as_f64().unwrap_or(0.0), e2e + p["e2e_s"].as_f64().unwrap_or(0.0))
        });
        let client = &waterfall["row"]["client"];
        assert!((sums.0 - client["ttft_s"].as_f64().unwrap()).abs() < 1e-9, "{sums:?}");
        assert!((sums.1 - client["e2e_s"].as_f64().unwrap()).abs() < 1e-9, "{sums:?}");
    }
}

#[test]
fn what_is_not_there_is_said_with_what_is() {
    let place = recorded();
    std::fs::create_dir(place.path("empty")).unwrap();
    let shown = |args: &str| place.tare(args).shown();
    assert_snapshot!(shown("explain nowhere"), @"");
    assert_snapshot!(shown("explain empty"), @"");
    assert_snapshot!(shown("explain run small-47654bfb-9"), @"");
    assert_snapshot!(shown("explain run nothing-like-it"), @"");
    assert_snapshot!(shown("explain run small"), @"");
    assert_snapshot!(shown("explain run --slowest 0"), @"");
    assert_eq!(place.tare("explain run x --slowest 2").code, Some(2), "one or the other");
}

#[test]
fn requests_without_the_figure_asked_for_are_not_ranked() {
    let place = recorded();
    std::fs::remove_file(place.path("run/spans.jsonl")).unwrap();
    assert_snapshot!(place.tare("explain run --by tare").shown(), @"");
}

/// A folder whose writer was killed in the middle of a line.
#[test]
fn a_torn_folder_is_read_as_far_as_it_goes() {
    let place = recorded();
    let path = place.path("run/results.jsonl");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &text[..text.len() - 100]).unwrap();
    let said = place.tare("explain run --slowest 9");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let first = said.out.lines().next().unwrap();
    assert_snapshot!(first, @"");
    assert_eq!(said.out.matches("\nrequest ").count(), 3);
}
