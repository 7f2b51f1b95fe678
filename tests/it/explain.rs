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
    assert_snapshot!(place.tare("explain run").shown(), @r"
    exit code: 0
    ----- stdout
    request small-47654bfb-1 (number 1): ok, HTTP 200, reused connection, 12 tokens in 9 events, 9 of them exact
      client  TTFT 11.94 ms, ITL 13.88 ms, TPOT 13.88 ms, E2E 164.6 ms
      server  TTFT 11.27 ms, queue 1.42 µs, prefill 9.10 ms, decode 46.12 ms, E2E 57.39 ms (span)

      ms from the start                  what                                    by
                        -0.108           scheduled                               schedule
                         0.000           started                                 client, user
                         0.003           send begins                             client, user
                  0.003 … 2.60           log: answered 200                       server, access line (within 2.60 ms: no stamp: read by then)
                 0.003 … 11.94           log: received                           server, log line (within 11.93 ms: stamps of 1 s)
                 0.003 … 697.3           log: added to the engine                server, log line (within 697.3 ms: stamps of 1 s)
                         0.011           sent                                    client, user
                         0.606           arrival at the front end                server, span
                          2.66           head of the answer                      client, kernel
                         11.88           first token at the front end            server, span
                         11.94           first token                             client, kernel
                         11.95           first token in hand                     client, user
                         58.00           last token at the front end             server, span
                         164.6           last token                              client, kernel
                         164.8           done                                    client, user

      part                           of TTFT (ms)     of E2E  0                                                   11.94 ms
      schedule                              0.108      0.108                                                                beside TTFT
      connect                               0.000      0.000
      send                                  0.008      0.008  ▏
      path out                              0.595      0.595  ███
      front end                              2.17       2.17     ███████████                                                by subtraction
      queue                                 0.001      0.001               ▏
      prefill                                9.10       9.10                ██████████████████████████████████████████████
      decode                                    –      46.12
      path back                             0.055      106.6                                                             ▏
      unexplained                           0.003      0.003                                                             ▏  by subtraction
      client lag                            0.010      0.010                                                                beside TTFT
      █ certainly there, ░ perhaps; a part shorter than a character is ▏

      gaps between 9 token events: median 4.13 ms, longest 127.6 ms; 8 of 8 between exact stamps
      ▁▁▁▁▁▁█▁
            ^
      stall: 127.6 ms before event 8, until 164.5 ms
      a stall is a gap over 8.42 ms: twice the median of all gaps of the run

      not known
      - how much of the front end lies after prefill: it is drawn before the queue, and is the server's TTFT minus queue and prefill
    ----- stderr
    ");
    assert_eq!(contents(&place.path("run")), before);
}

#[test]
fn a_stall_is_marked_and_told() {
    let said = recorded().tare("explain run --slowest 1 --by itl");
    assert_snapshot!(said.out.split("gaps between").nth(1).unwrap(), @r"
    9 token events: median 4.13 ms, longest 127.6 ms; 8 of 8 between exact stamps
     ▁▁▁▁▁▁█▁
           ^
     stall: 127.6 ms before event 8, until 164.5 ms
     a stall is a gap over 8.42 ms: twice the median of all gaps of the run

     not known
     - how much of the front end lies after prefill: it is drawn before the queue, and is the server's TTFT minus queue and prefill
    ");
}

#[test]
fn without_a_span_the_answers_own_metrics_tell() {
    assert_snapshot!(recorded().tare("explain run small-47654bfb-2").shown(), @r"
    exit code: 0
    ----- stdout
    request small-47654bfb-2 (number 2): ok, HTTP 200, reused connection, 12 tokens in 12 events, 12 of them exact
      client  TTFT 10.97 ms, ITL 5.26 ms, TPOT 5.26 ms, E2E 68.84 ms
      server  queue 1.88 µs, prefill 8.51 ms, decode 57.88 ms (in_band)

      ms from the start                  what                                    by
                        -0.109           scheduled                               schedule
                         0.000           started                                 client, user
                         0.005           send begins                             client, user
                  0.005 … 2.23           log: answered 200                       server, access line (within 2.23 ms: no stamp: read by then)
                 0.005 … 10.97           log: received                           server, log line (within 10.97 ms: stamps of 1 s)
                 0.005 … 532.4           log: added to the engine                server, log line (within 532.4 ms: stamps of 1 s)
                         0.318           sent                                    client, user
                          2.21           head of the answer                      client, kernel
                         10.97           first token                             client, kernel
                         10.98           first token in hand                     client, user
                         68.84           last token                              client, kernel
                         68.95           done                                    client, user

      part                           of TTFT (ms)     of E2E  0                                                   10.97 ms
      schedule                              0.109      0.109                                                                beside TTFT
      connect                               0.000      0.000
      send                                  0.312      0.312  ██
      queue                                 0.002      0.002    ░░░░░░░░░░░
      prefill                                8.51       8.51    ░░░░░░░░░░░███████████████████████████████████░░░░░░░░░░░░
      decode                                    –      57.88
      path + front end                       2.15       2.13    ░░░░░░░░░░░                                   ░░░░░░░░░░░░  by subtraction
      client lag                            0.007      0.007                                                                beside TTFT
      █ certainly there, ░ perhaps; a part shorter than a character is ▏

      gaps between 12 token events: median 4.28 ms, longest 15.61 ms; 11 of 11 between exact stamps
      ▃▃▃▃▃█▃▃▃▃▃
           ^
      stall: 15.61 ms before event 7, until 47.57 ms
      a stall is a gap over 8.42 ms: twice the median of all gaps of the run

      not known
      - path and front end apart: metrics in the answer have no instants (spans and stat log do)
    ----- stderr
    ");
}

#[test]
fn a_refused_request_has_its_error() {
    assert_snapshot!(recorded().tare("explain run --id small-47654bfb-3").shown(), @r"
    exit code: 0
    ----- stdout
    request small-47654bfb-3 (number 3): http_error, HTTP 500, reused connection, an unknown number of tokens in 0 events, 0 of them exact
      error: HTTP 500: Internal Server Error

      ms from the start                  what                                    by
                        -0.057           scheduled                               schedule
                         0.000           started                                 client, user
                         0.007           send begins                             client, user
                  0.007 … 1.61           log: answered 500                       server, access line (within 1.60 ms: no stamp: read by then)
                         0.407           sent                                    client, user
                          1.56           head of the answer                      client, kernel
                          1.71           done                                    client, user

      not known
      - no TTFT: no token came
      - no duration (E2E): the answer did not come whole
      - the server's side: the server failed it (HTTP 5xx): no record is made of these
    ----- stderr
    ");
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
    assert_snapshot!(shown("explain nowhere"), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: nowhere is no run folder: it holds no manifest.json
    hint: name a folder that `tare run` wrote
    ");
    assert_snapshot!(shown("explain empty"), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: empty is no run folder: it holds no manifest.json
    hint: name a folder that `tare run` wrote
    ");
    assert_snapshot!(shown("explain run small-47654bfb-9"), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: no request of this run has the id or number `small-47654bfb-9`
    hint: did you mean `small-47654bfb-0`?
    ");
    assert_snapshot!(shown("explain run nothing-like-it"), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: no request of this run has the id or number `nothing-like-it`
    hint: there are `small-47654bfb-0`, `small-47654bfb-1`, `small-47654bfb-2` and 1 more
    ");
    assert_snapshot!(shown("explain run small"), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: no request of this run has the id or number `small`
    hint: these hold it: `small-47654bfb-0`, `small-47654bfb-1`, `small-47654bfb-2` and 1 more
    ");
    assert_snapshot!(shown("explain run --slowest 0"), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: `--slowest`: expected a whole number from 1, found 0
    ");
    assert_eq!(place.tare("explain run x --slowest 2").code, Some(2), "one or the other");
}

#[test]
fn requests_without_the_figure_asked_for_are_not_ranked() {
    let place = recorded();
    std::fs::remove_file(place.path("run/spans.jsonl")).unwrap();
    assert_snapshot!(place.tare("explain run --by tare").shown(), @r"
    exit code: 2
    ----- stdout
    ----- stderr
    error: expected a request with a TTFT of both sides, found 4 without
    hint: the server's comes with OTLP spans only: --by ttft
    ");
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
    assert_snapshot!(first, @"note: results.jsonl: the last line is cut");
    assert_eq!(said.out.matches("\nrequest ").count(), 3);
}

#[test]
fn what_gateways_state_of_the_request_is_told_beside_both_sides() {
    let place = recorded();
    let path = place.path("run/results.jsonl");
    let headers = r#""answer_headers":[["x-kong-proxy-latency","3"],["x-kong-upstream-latency","24"],["server-timing","cache;desc=\"hit\u202e rate\";dur=0.5"],["x-litellm-overhead-duration-ms","fast"]],"#;
    let rows = std::fs::read_to_string(&path).unwrap();
    let told = rows.lines().map(|row| row.replacen('{', &format!("{{{headers}"), 1) + "\n");
    std::fs::write(&path, told.collect::<String>()).unwrap();
    let said = place.tare("explain run");
    let lines: Vec<&str> = said.out.lines().filter(|line| line.contains("states")).collect();
    assert_eq!(
        lines,
        [
            "  kong states proxy_latency 3.00 ms, upstream_latency 24.00 ms (in the head of its answer, in whole milliseconds)",
            "  server_timing states cache (hit\u{fffd} rate) 500.0 µs (in the head of its answer)",
        ]
    );
    assert_eq!(place.tare("report run").code, Some(0));
    let page = std::fs::read_to_string(place.path("run/report.html")).unwrap();
    assert!(page.contains("kong states proxy_latency 3.00 ms") && page.contains("cache (hit\u{fffd} rate)"));
}
