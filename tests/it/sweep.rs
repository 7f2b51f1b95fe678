//! Sweeps and searches against the embedded server: the folder they leave, what is made of it again, a point that fails,
//! one that is stopped, one that is over-saturated; and a search whose answer can be computed.

use std::path::Path;

use serde_json::Value;
use tare::store::RunFolder;

use crate::program::Place;

/// Eight places, twenty tokens each: see [`capacity_rps`].
const SERVER: &str = "seed: 7
embedded: {max_num_seqs: 8, decode_base_ms: 8, decode_per_seq_ms: 0.15, prefill_us_per_token: 60}
workload: {random_input_len: 50, random_output_len: 20, ignore_eos: true}
load: {warmups: 1, grace_period_s: 5}
observe: {scrape_interval_s: 1}
";

/// What the engine of [`SERVER`] can do, from its parameters alone. A request takes part in as many steps as it has tokens:
/// one that computes its prompt and makes the first, and one for each token after it. With all places taken, each
/// step's base is shared by all of them:
///
/// seconds per request = tokens / places · base + (tokens − 1) · per sequence + prompt · per prompt token
fn capacity_rps(places: f64, tokens: f64, prompt: f64) -> f64 {
    let (base_s, per_sequence_s, per_prompt_token_s) = (8e-3, 0.15e-3, 60e-6);
    1.0 / (tokens / places * base_s + (tokens - 1.0) * per_sequence_s + prompt * per_prompt_token_s)
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_sweep_is_a_folder_of_ordinary_runs_and_can_be_made_again() {
    let place = Place::new();
    place.file("config.yaml", SERVER);
    let said = place.tare("run config.yaml --sweep-request-rate 12,4 --num-runs 2 --duration 3 --goodput ttft:500 --output sweep");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let folder = place.path("sweep");
    let found = json(&folder.join("sweep.json"));
    let points = found["points"].as_array().unwrap();
    assert_eq!(points.iter().map(|p| p["level"].as_f64().unwrap()).collect::<Vec<_>>(), [12.0, 4.0]);
    assert_eq!(found["state"], "finished");
    let mut seeds = Vec::new();
    for (point, slug) in points.iter().zip(["point-01-rate-12", "point-02-rate-4"]) {
        let runs = point["runs"].as_array().unwrap();
        assert_eq!(runs.len(), 2);
        for (run, number) in runs.iter().zip(1..) {
            assert_eq!(run["folder"], format!("{slug}/run-{number}"));
            assert_eq!(run["end"], "finished");
            let counts = &run["figures"]["counts"];
            let of_the_run = json(&folder.join(format!("{slug}/run-{number}/summary.json")));
            assert_eq!(counts["ok"], of_the_run["summary"]["counts"]["ok"]);
            assert_eq!(of_the_run["summary"]["slo"]["all"]["n"], counts["total"]);
            seeds.push(run["seed"].as_u64().unwrap());
        }
    }
    seeds.sort_unstable();
    assert_eq!(seeds, [7, 8, 9, 10], "each run has a seed of its own");
    for figure in ["sweep_latency", "sweep_pareto"] {
        assert!(
            folder.join(format!("plots/{figure}.svg")).is_file()
                && folder.join(format!("plots/{figure}.png")).is_file()
        );
    }
    assert!(said.out.contains("Between runs") && said.out.contains("met the objectives"), "{}", said.out);

    let held = RunFolder::hold(&folder).unwrap();
    let said = place.tare("report sweep");
    assert_eq!(said.code, Some(2), "a sweep that goes on writes the same files");
    assert!(said.err.contains("another tare is writing into sweep"), "{}", said.err);
    drop(held);

    let files = ["sweep.json", "sweep.md", "plots/sweep_latency.svg", "plots/sweep_pareto.svg"];
    let before = files.map(|file| text(&folder.join(file)));
    std::fs::remove_file(folder.join("sweep.md")).unwrap();
    std::fs::remove_dir_all(folder.join("plots")).unwrap();
    let again = place.tare("report sweep");
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert_eq!(files.map(|file| text(&folder.join(file))), before);
    assert_eq!(place.tare("report sweep/point-01-rate-12/run-1").code, Some(0), "a run of it is a run");
    assert_eq!(place.tare("report sweep --window steady").code, Some(2));
}

#[test]
fn a_load_beyond_the_server_ends_early_and_says_so() {
    let place = Place::new();
    place.file("config.yaml", SERVER);
    let said =
        place.tare("run config.yaml --request-rate 150 --duration 20 --stop-over-saturated --output run");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let manifest = json(&place.path("run/manifest.json"));
    let at_s = manifest["over_saturated"]["at_s"].as_f64().unwrap();
    assert!((3.0..19.0).contains(&at_s), "{at_s}");
    assert_eq!(manifest["state"], "finished");
    assert!(said.out.contains("over-saturated, ended after"), "{}", said.out);
    let by_status = json(&place.path("run/summary.json"))["summary"]["counts"].clone();
    assert!(by_status["in_flight"].as_u64().unwrap() > 50, "what was in flight is counted: {by_status}");
}

#[test]
fn a_point_that_fails_does_not_end_a_sweep_and_three_do() {
    let place = Place::new();
    place.file("config.yaml", "load: {requests: 3}");
    let closed = crate::support::closed_port();
    let said = place.tare(&format!(
        "run config.yaml --base-url http://{closed} --sweep-max-concurrency 1,2,3,4,5 --output sweep"
    ));
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert!(said.err.contains("no run of the sweep came to its end: no server answers"), "{}", said.err);
    let found = json(&place.path("sweep/sweep.json"));
    assert_eq!(found["points"].as_array().unwrap().len(), 3, "three in a row are enough");
    assert_eq!(found["points"][0]["runs"][0]["end"], "broken");
}

#[test]
fn a_sweep_that_is_stopped_reports_what_there_is() {
    let place = Place::new();
    place.file("config.yaml", SERVER);
    let mut child = place
        .command("run config.yaml --sweep-max-concurrency 1,2,4 --duration 4 --output sweep")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // In the second run.
    let second = place.path("sweep/point-02-concurrency-2/run-1/results.jsonl");
    crate::support::wait_until("the second run has rows", || {
        std::fs::metadata(&second).is_ok_and(|f| f.len() > 0)
    });
    let pid = nix::unistd::Pid::from_raw(child.id().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let found = json(&place.path("sweep/sweep.json"));
    assert_eq!(found["state"], "interrupted");
    let ends: Vec<&str> =
        found["points"].as_array().unwrap().iter().map(|p| p["runs"][0]["end"].as_str().unwrap()).collect();
    assert_eq!(ends, ["finished", "interrupted"]);
    assert!(text(&place.path("sweep/sweep.md")).contains("Stopped by the user after 2 runs"));
}

#[test]
fn a_folder_that_holds_something_is_refused_and_overwritten_only_when_asked() {
    let place = Place::new();
    place.file("config.yaml", "embedded: {decode_base_ms: 1}\nworkload: {random_input_len: 5, random_output_len: 3, ignore_eos: true}\nload: {requests: 12}");
    let sweep = "run config.yaml --quiet --sweep-max-concurrency 2,1 --output sweep";
    assert_eq!(place.tare(sweep).code, Some(0));
    let refused = place.tare(sweep);
    assert_eq!(refused.code, Some(2));
    assert!(refused.err.contains("is not empty"), "{}", refused.err);
    std::fs::write(place.path("sweep/point-01-concurrency-2/notes.txt"), "mine").unwrap();
    let again = place.tare("run config.yaml --quiet --sweep-max-concurrency 3 --overwrite --output sweep");
    assert_eq!(again.code, Some(0), "{}", again.err);
    assert!(
        !place.path("sweep/point-02-concurrency-1").exists()
            && !place.path("sweep/point-01-concurrency-2/run-1").exists()
    );
    assert!(place.path("sweep/point-01-concurrency-2/notes.txt").exists(), "what is not ours stays");
}

/// Minutes long: `cargo test --release --test it sweep -- --ignored`.
#[test]
#[ignore = "a search makes a dozen runs"]
fn a_search_finds_the_capacity_that_the_engine_has() {
    let place = Place::new();
    place.file("config.yaml", SERVER);
    let prompt = {
        let said = place.tare("run config.yaml --users 1 --num-prompts 12 --output one");
        assert_eq!(said.code, Some(0), "{}", said.err);
        let s = json(&place.path("one/summary.json"));
        s["total_input_tokens"].as_f64().unwrap() / s["completed"].as_f64().unwrap()
    };
    let capacity = capacity_rps(8.0, 20.0, prompt);
    let said = place.tare(
        "run config.yaml --search-slo rate --goodput ttft:1000 --search-from 10 --duration 12 --output slo",
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    let answer = json(&place.path("slo/sweep.json"))["answer"].clone();
    let (low, high) = (answer["highest"].as_f64().unwrap(), answer["lowest_failing"].as_f64().unwrap());
    assert!(
        0.8 * capacity < low && low < 1.1 * capacity,
        "{low} to {high}, computed {capacity}\n{}",
        said.out
    );
}
