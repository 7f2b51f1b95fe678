//! Calibration from end to end: every request and every event of a level is accounted for, what is
//! printed is what the file holds, and a run keeps what was found at its load.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tare::calibrate::{Plan, after_run, calibrate};
use tare::record::calibration::{Calibration, Level, Quantity, Stamp};
use tare::record::{RequestRow, Status};
use tare::run::Options;
use tare::store::Lines;
use tare::store::folder::RESULTS_STREAM;
use tokio_util::sync::CancellationToken;

use crate::program::{LookAlike, Place, Said};
use crate::runs::{QUICK, configured};
use crate::support::{closed_port, wait_until};

const SHORT: &str = "--random-input-len 12 --random-output-len 12 --ignore-eos";

fn read(place: &Place, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(place.path(name)).unwrap()).unwrap()
}

fn calibration(value: Value) -> Calibration {
    serde_json::from_value(value).unwrap()
}

fn options() -> Options {
    Options {
        exe: env!("CARGO_BIN_EXE_tare").into(),
        quiet: true,
        interrupt: CancellationToken::new(),
        truth: None,
        ranks: None,
    }
}

/// The lines of the table below `title`, without its head.
fn table<'a>(said: &'a Said, title: &str) -> Vec<&'a str> {
    let mut lines = said.out.lines().skip_while(|line| *line != title).skip(1);
    assert!(lines.next().is_some_and(|line| line.starts_with('─')), "no table `{title}` in {}", said.out);
    lines.skip(2).take_while(|line| !line.starts_with('─')).collect()
}

/// What holds of every level, on any machine.
fn is_accounted_for(level: &Level) {
    let (r, e) = (&level.requests, &level.events);
    assert_eq!(r.all, r.compared + r.not_compared.values().sum::<usize>(), "{level:?}");
    assert_eq!(e.client, e.compared + e.client_not_compared, "{level:?}");
    assert_eq!(e.server, e.compared + e.not_received + e.server_not_compared, "{level:?}");
    assert!(e.compared > 0 && e.exact <= e.compared, "{level:?}");
    assert_eq!(e.stamp_before_write, 0, "an event was stamped before it was written: {level:?}");
    let n = |quantity, stamp| level.row(quantity, stamp).map_or(0, |row| row.n);
    for stamp in [Stamp::Kernel, Stamp::User] {
        assert_eq!(n(Quantity::Event, stamp), e.compared);
        assert_eq!(n(Quantity::TtftStarted, stamp), n(Quantity::TtftScheduled, stamp));
        // Each request with a token has one gap fewer than events.
        assert_eq!(n(Quantity::Itl, stamp) + n(Quantity::TtftStarted, stamp), e.compared);
        assert!(n(Quantity::E2e, stamp) <= n(Quantity::TtftStarted, stamp));
    }
    assert_eq!(n(Quantity::Event, Stamp::Exact), e.exact);
    for row in &level.errors {
        assert!(row.min_s <= row.p50_s && row.p50_s <= row.p99_s && row.p99_s <= row.max_s, "{row:?}");
        assert_eq!(row.relative_mean.is_some(), row.quantity == Quantity::Itl, "{row:?}");
        // The server reads a request after it was begun, and writes before a stamp can be taken.
        assert!(row.quantity == Quantity::Itl || row.min_s >= 0.0, "{row:?}");
    }
}

#[test]
fn every_level_is_a_row_and_every_event_is_accounted_for() {
    let place = Place::new();
    place.file("config.yaml", QUICK);
    let said = place
        .tare(&format!("calibrate config.yaml {SHORT} --streams 1,3 --level-duration 1 --json found.json"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(said.err, "level 1 of 2: 1 stream\nlevel 2 of 2: 3 streams\n");

    let found = calibration(read(&place, "found.json"));
    let levels: Vec<&str> = found.levels.iter().map(|level| level.name.as_str()).collect();
    assert_eq!(levels, ["1 stream", "3 streams"]);
    for (level, streams) in found.levels.iter().zip([1_u32, 3]) {
        is_accounted_for(level);
        assert_eq!((level.streams, level.tokens_per_second), (Some(streams), Some(20.0)));
        assert_eq!(level.offered_tps, Some(20.0 * f64::from(streams)));
        assert!(level.attained_tps.unwrap() > 0.0 && level.cost.client_cpu_s.unwrap() > 0.0);
        assert_eq!(level.requests.in_flight, 0, "they may end");
    }
    let first_cells = |title: &str| {
        let cells: Vec<String> = table(&said, title)
            .iter()
            .map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
            .collect();
        cells
    };
    let compared = |i: usize| found.levels[i].requests.all;
    assert_eq!(
        first_cells("Calibration"),
        [format!("1 stream {}", compared(0)), format!("3 streams {}", compared(1))]
    );
    for title in ["Error of the event stamp (ms)", "Error of the ITL (ms)", "Error of the E2E (ms)"] {
        for kind in ["1 stream kernel", "1 stream user", "3 streams kernel", "3 streams user"] {
            assert!(first_cells(title).iter().any(|cells| cells == kind), "{title}: {}", said.out);
        }
    }
    assert!(said.out.contains(Quantity::TtftStarted.definition()), "{}", said.out);
}

#[test]
fn the_own_load_goes_to_the_embedded_server_whatever_the_url() {
    let place = Place::new();
    place.file(
        "config.yaml",
        format!("target:\n  base_url: http://{}\n  server: sglang\n  model: m\n", closed_port()),
    );
    let said = place.tare(&format!(
        "calibrate config.yaml {SHORT} --request-rate 30 --num-prompts 25 --header X-Team=planted \
         --streams own --level-duration 60 --tokens-per-second 400 --ttft-spread 0.1 --keep kept --json found.json -q"
    ));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    let found = calibration(read(&place, "found.json"));
    assert_eq!(found.levels.len(), 1);
    let level = &found.levels[0];
    is_accounted_for(level);
    assert_eq!((level.name.as_str(), level.streams), ("as configured", None));
    assert_eq!((level.requests.all, level.requests.compared), (25, 25));
    // Two steps of 2.5 ms, and up to a tenth of their mean to either side.
    let truth = std::fs::read_to_string(place.path("kept/as-configured/truth.jsonl")).unwrap();
    assert!(truth.contains("late_first") && truth.lines().count() >= 25, "{truth}");
    let manifest = read(&place, "kept/as-configured/run/manifest.json");
    assert_eq!(manifest["target"]["embedded"], true);
    assert_eq!(
        manifest["config"]["target"]["embedded"]["faults"],
        serde_json::json!(["late_first up_to_ms=1"])
    );
    assert!(!manifest.to_string().contains("X-Team"));
    let again = place.tare(&format!("calibrate config.yaml {SHORT} --users 1 --streams own --keep kept"));
    assert_eq!(again.code, Some(2), "what was kept is not written over: {}", again.err);
}

#[test]
fn what_cannot_be_calibrated_is_said_at_once_and_together() {
    let place = Place::new();
    let said =
        place.tare("calibrate --streams 0,many,5 --level-duration 0 --tokens-per-second 0 --ttft-spread 1");
    assert_eq!(said.code, Some(2));
    for part in [
        "`--streams`: expected whole numbers from 1 to 100000 or `own`, found `0`",
        "found `many`",
        "`--level-duration`: expected a number from 0.1",
        "`--tokens-per-second`",
        "`--ttft-spread`: expected a number from 0 to 0.9, found 1",
    ] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
}

#[test]
fn a_server_that_dies_leaves_nothing_to_compare_with() {
    let place = Place::new();
    place.file("config.yaml", "embedded:\n  faults: [die at_request=1]\n");
    let said =
        place.tare(&format!("calibrate config.yaml {SHORT} --users 1 --num-prompts 2 --streams own -q"));
    assert_eq!((said.code, said.out.as_str()), (Some(3), ""));
    assert!(said.err.contains("error: level `as configured`"), "{}", said.err);
    assert!(said.err.contains("the embedded server left no truth to compare with"), "{}", said.err);
    assert!(said.err.contains("the embedded server ended by itself (signal: 9"), "{}", said.err);
}

#[test]
fn levels_that_were_complete_are_there_whatever_ended_it() {
    let dir = tempfile::tempdir().unwrap();
    let config = configured(dir.path(), QUICK, &format!("{SHORT} --users 1 --num-prompts 3"));
    // The second level would be kept where the first one is.
    let plan = Plan {
        own: false,
        streams: vec![1, 1],
        level_duration_s: 0.5,
        tokens_per_second: 200.0,
        ttft_spread: 0.0,
        keep: Some(dir.path().join("kept")),
    };
    let mut found = Calibration::default();
    let mut begun = Vec::new();
    let ended = calibrate(&config, &plan, &options(), &mut found, |n, of, name| {
        begun.push(format!("{n} of {of}: {name}"));
    });
    let error = format!("{:#}", ended.unwrap_err());
    assert!(error.starts_with("level `1 stream`: ") && error.contains("is not empty"), "{error}");
    assert_eq!(begun, ["1 of 2: 1 stream", "2 of 2: 1 stream"]);
    assert_eq!(found.levels.len(), 1);
    is_accounted_for(&found.levels[0]);
}

#[test]
fn an_interrupt_ends_it_and_leaves_nothing_behind() {
    let tmp = tempfile::tempdir().unwrap();
    let place = Place::new();
    let mut command = place
        .command(&format!("calibrate {SHORT} --streams 2 --level-duration 3600 --tokens-per-second 200"));
    command.env("TMPDIR", tmp.path()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let entries = || std::fs::read_dir(tmp.path()).unwrap().map(|entry| entry.unwrap().path());
    wait_until("requests have ended", || {
        entries().any(|folder| {
            std::fs::metadata(folder.join("2-streams/run").join(RESULTS_STREAM))
                .is_ok_and(|file| file.len() > 0)
        })
    });
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(entries().count(), 0, "the levels' folders are removed");
}

#[test]
fn a_run_keeps_the_error_at_its_own_load() {
    let place = Place::new();
    place.file("config.yaml", format!("{QUICK}calibrate: true\n"));
    let said = place.tare(&format!("run config.yaml {SHORT} --users 3 --num-prompts 30 --output run"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let found = calibration(read(&place, "run/manifest.json")["calibration"].clone());
    assert_eq!(found.levels.len(), 1);
    is_accounted_for(&found.levels[0]);
    assert_eq!(
        (found.levels[0].streams, found.levels[0].tokens_per_second),
        (Some(3), None),
        "its own engine"
    );

    let section = "Measurement error at this load";
    for kind in ["event stamp", "TTFT from started", "TTFT from scheduled", "ITL", "E2E"] {
        let rows = table(&said, section);
        assert!(rows.iter().any(|row| row.trim_start().starts_with(kind)), "{kind}: {rows:?}");
    }
    assert!(said.out.contains("It is never subtracted from any figure."), "{}", said.out);
    let report = std::fs::read_to_string(place.path("run/report.md")).unwrap();
    assert!(report.contains(&format!("## {section}\n")), "{report}");
    // What was read once and written again is what a second reader reads.
    let kept = read(&place, "run/manifest.json")["calibration"].to_string();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(read(&place, "run/summary.json")["calibration"], kept);

    std::fs::remove_file(place.path("run/report.md")).unwrap();
    let again = place.tare("report run");
    assert_eq!(said.out, format!("{}run\n", again.out), "the same is printed again");
    assert_eq!(std::fs::read_to_string(place.path("run/report.md")).unwrap(), report);
}

#[test]
fn a_real_servers_run_is_calibrated_at_the_rate_it_had() {
    let server = LookAlike::start(&["--jitter", "0"]);
    let place = Place::new();
    let said = place.tare(&format!(
        "run --base-url {} {SHORT} --users 2 --num-prompts 10 --output run --calibrate",
        server.url
    ));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let rows: Vec<RequestRow> = Lines::read(&place.path("run").join(RESULTS_STREAM)).unwrap().rows;
    let spans = rows
        .iter()
        .map(|row| row.last_token_unix_ns.unwrap().seconds_since(row.first_token_unix_ns.unwrap()));
    let rate =
        f64::from(rows.iter().map(|row| row.output_tokens.unwrap() - 1).sum::<u32>()) / spans.sum::<f64>();
    let level = &calibration(read(&place, "run/manifest.json")["calibration"].clone()).levels[0];
    assert!((level.tokens_per_second.unwrap() / rate - 1.0).abs() < 1e-9, "{rate}: {level:?}");
    is_accounted_for(level);
}

#[test]
fn a_calibration_that_is_stopped_takes_nothing_from_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let config = configured(dir.path(), QUICK, &format!("{SHORT} --users 1 --num-prompts 3 --calibrate"));
    let options = options();
    let mut recorded = tare::run::record(&config, &options).unwrap();
    options.interrupt.cancel();
    after_run(&config, &options, &mut recorded).unwrap();
    let outcome = recorded.report().unwrap();
    assert_eq!(outcome.recomputed.summary.counts.by_status[Status::Ok.as_str()], 3);
    let manifest = outcome.recomputed.manifest;
    assert!(
        manifest.notes.iter().any(|note| note == "the calibration after the run was stopped"),
        "{manifest:?}"
    );
    assert!(!manifest.extra.contains_key("calibration"));
}
