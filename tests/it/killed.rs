//! A program that is killed at any moment, a folder that cannot be written, and a folder that is another's:
//! nothing that was recorded is lost, and what is missing is said.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tare::record::begun::Begun;
use tare::record::{RequestRow, Status};
use tare::store::folder::{MANIFEST, RESULTS_STREAM};
use tare::store::manifest::RunState;
use tare::store::{Lines, RunData, RunFolder};

use crate::program::{LookAlike, Place, filters};
use crate::runs::QUICK;
use crate::support::{free_port, wait_until};

/// About a second of four users, warm-ups before it and the report after it.
const WHOLE: &str = "run config.yaml --output run --users 4 --num-prompts 60 --num-warmups 2 --random-input-len 12 --random-output-len 20 --ignore-eos";
/// One that goes on until it is stopped.
const ENDLESS: &str = "run config.yaml --output run --users 4 --random-input-len 12 --random-output-len 40 --ignore-eos --duration 3600";

fn start(place: &Place, args: &str) -> Child {
    place.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn kill_9(mut child: Child) {
    // Ended by itself, it is not to be killed any more.
    let _ = child.kill();
    child.wait().unwrap();
}

fn data(folder: &Path) -> RunData {
    RunData::read(&RunFolder::open(folder).unwrap()).unwrap()
}

fn summary(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("summary.json")).unwrap()).unwrap()
}

/// Where the kill came, by what it left.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Moment {
    NoManifest,
    NothingEnded,
    UnderWay,
    Recorded,
    Complete,
}

/// Kills a run at each of these moments, and the report after it at another, and looks at what is left; how often
/// which moment was met.
fn kill_at(moments: impl Iterator<Item = f64>) -> BTreeMap<Moment, usize> {
    let place = Place::new();
    place.file("config.yaml", QUICK);
    let begun = Instant::now();
    assert_eq!(place.tare(WHOLE).code, Some(0));
    let took = begun.elapsed();
    let mut met = BTreeMap::new();
    for moment in moments {
        let place = Place::new();
        place.file("config.yaml", QUICK);
        let mut run = start(&place, WHOLE);
        until(&mut run, &place, moment, took);
        kill_9(run);
        // The report, too, may be killed.
        let report = start(&place, "report run");
        std::thread::sleep(took.mul_f64(moment / 4.0));
        kill_9(report);
        *met.entry(nothing_is_lost(&place)).or_default() += 1;
    }
    met
}

/// Waits for a moment of a run: its beginning and its end by the clock, what lies between by the requests that have
/// ended, so that it is met however busy the machine is.
fn until(run: &mut Child, place: &Place, moment: f64, took: Duration) {
    const BEGINNING: f64 = 0.1;
    const END: f64 = 0.8;
    const REQUESTS: f64 = 60.0;
    if moment < BEGINNING {
        return std::thread::sleep(took.mul_f64(moment));
    }
    let share = ((moment - BEGINNING) / (END - BEGINNING)).min(1.0);
    let results = place.path("run").join(RESULTS_STREAM);
    let rows = || std::fs::read_to_string(&results).map_or(0, |text| text.lines().count());
    while (rows() as f64) < share * REQUESTS && run.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(took.mul_f64((moment - END).max(0.0) / 2.0));
}

/// What a killed run has left is whole, and `tare report` tells of it.
fn nothing_is_lost(place: &Place) -> Moment {
    let folder = place.path("run");
    let said = place.tare("report run");
    if !folder.join(MANIFEST).is_file() {
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(!folder.join(RESULTS_STREAM).exists(), "records, and no word of what they are");
        return Moment::NoManifest;
    }
    let data = data(&folder);
    assert_eq!(data.requests.bad + data.begun.bad, 0, "a record was cut in the middle of the file");
    for row in &data.requests.rows {
        let events = data.events.of(&row.request_id).unwrap();
        assert_eq!(events.len(), row.n_events as usize, "{row:?}");
    }
    // Users send one after another, so of each the first that ended have their rows: none is missing between.
    let ended: BTreeSet<u64> = data.requests.rows.iter().map(|row| row.index).collect();
    let mut of_user: BTreeMap<u32, Vec<&Begun>> = BTreeMap::new();
    data.begun.rows.iter().for_each(|b| of_user.entry(b.user.unwrap()).or_default().push(b));
    for begun in of_user.values() {
        let with_row: Vec<bool> = begun.iter().map(|b| ended.contains(&b.index)).collect();
        assert!(with_row.is_sorted_by(|a, b| a >= b), "{begun:?}: {with_row:?}");
    }
    let without_row = data.without_row().len();
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(summary(&folder)["num_prompts"], ended.len());
    let is_told =
        said.out.contains(&format!("warning: {without_row} requests were in flight when the run was killed"));
    match data.manifest.state {
        RunState::Running => {
            assert!(said.out.contains("warning: the run has not ended: it was killed"), "{}", said.out);
            assert_eq!(is_told, without_row > 0, "{without_row}: {}", said.out);
        }
        _ => assert_eq!((without_row, is_told, ended.len()), (0, false, 60)),
    }
    assert!(!folder.join("room").exists(), "what was kept back is given back");
    match (data.manifest.state, ended.len()) {
        (RunState::Running, 0) => Moment::NothingEnded,
        (RunState::Running, _) => Moment::UnderWay,
        (_, _) if said.out.contains("warning: the run has not ended") => Moment::Recorded,
        _ => Moment::Complete,
    }
}

#[test]
fn killed_at_some_moments_nothing_recorded_is_lost() {
    let met = kill_at([0.02, 0.25, 0.5, 0.75].into_iter());
    assert_eq!(met.values().sum::<usize>(), 4);
}

#[test]
#[ignore = "60 kills: several minutes"]
fn killed_at_sixty_moments_nothing_recorded_is_lost() {
    // Spread evenly, in no order: what else goes on does not fall together with them.
    let met = kill_at((0..60_u32).map(|i| f64::from(i * 37 % 60) / 60.0 * 1.2));
    println!("{met:?}");
    assert!(met.contains_key(&Moment::UnderWay) && met.contains_key(&Moment::Complete), "{met:?}");
}

#[test]
fn a_folder_has_one_writer_and_a_kill_gives_it_free() {
    let _names = filters();
    let place = Place::new();
    place.file("config.yaml", QUICK);
    let run = start(&place, ENDLESS);
    let results = place.path("run").join(RESULTS_STREAM);
    let rows = || std::fs::read_to_string(&results).map_or(0, |text| text.lines().count());
    wait_until("eight requests have ended", || rows() >= 8);
    for args in [ENDLESS.to_owned(), format!("{ENDLESS} --overwrite"), "report run".to_owned()] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(place.tare(&args).shown(), @r"
            exit code: 2
            ----- stdout
            ----- stderr
            error: another tare is writing into run
            hint: wait until it has ended, or name another folder; `tare explain` only looks
            ");
        }
    }
    let before = rows();
    wait_until("it goes on undisturbed", || rows() > before);
    assert_eq!(place.tare("explain run --slowest 1").code, Some(0));
    kill_9(run);
    assert_eq!(nothing_is_lost(&place), Moment::UnderWay);
}

/// A limit on the size of a file stands for a disc that is full: 300 KiB hold 5,900 events.
const LIMIT: &str = "trap '' XFSZ; ulimit -S -f 600";
/// 12,000 tokens, in somewhat fewer events.
const TOO_MUCH: &str = "run config.yaml --output run --users 8 --num-prompts 200 --random-input-len 12 --random-output-len 60 --random-range-ratio 0 --ignore-eos";

#[test]
fn what_finds_no_room_is_held_and_then_given_up_with_a_count() {
    let place = Place::new();
    place.file("config.yaml", QUICK);
    let said = place.tare_within(LIMIT, TOO_MUCH);
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert!(said.err.contains("warning: the run folder cannot be written"), "{}", said.err);
    let folder = place.path("run");
    let before = data(&folder);
    let (kept, events) = (before.requests.rows.len(), before.events.len());
    let of_rows: usize = before.requests.rows.iter().map(|row| row.n_events as usize).sum();
    assert!(kept > 0 && kept < 200 && events == of_rows, "{kept} requests, {events} events of {of_rows}");
    // What was held and is lost is counted, and the rest is reported.
    let lost = format!("{} requests with ", 200 - kept);
    assert!(said.err.contains("error: the run folder could not be written"), "{}", said.err);
    assert!(said.err.contains(&lost), "{lost}: {}", said.err);
    assert!(said.out.contains(&format!("Total Requests: {kept}\n")), "{}", said.out);
    assert_eq!(before.manifest.state, RunState::Failed);

    let said = place.tare("report run");
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains(&lost), "{}", said.out);
    assert_eq!(summary(&folder)["num_prompts"], kept);
}

#[cfg_attr(not(target_os = "linux"), ignore = "only Linux raises another program's limits (prlimit)")]
#[test]
fn when_there_is_room_again_nothing_is_lost() {
    let place = Place::new();
    place.file("config.yaml", QUICK);
    let stderr = place.path("stderr");
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{LIMIT} && exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_tare")]);
    shell.args(TOO_MUCH.split_whitespace()).current_dir(place.path("."));
    shell.stdout(Stdio::null()).stderr(std::fs::File::create(&stderr).unwrap());
    let mut child = shell.spawn().unwrap();
    wait_until("it says that there is no room", || {
        std::fs::read_to_string(&stderr).unwrap().contains("cannot be written")
    });
    let freed =
        Command::new("prlimit").args([&format!("--pid={}", child.id()), "--fsize=unlimited"]).status();
    assert!(freed.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", std::fs::read_to_string(&stderr).unwrap());
    let data = data(&place.path("run"));
    let events: usize = data.requests.rows.iter().map(|row| row.n_events as usize).sum();
    assert_eq!((data.requests.rows.len(), data.events.len()), (200, events));
    assert!(data.requests.rows.iter().all(|row| row.output_tokens == Some(60)));
    assert_eq!((data.complaints(), data.manifest.state), (Vec::new(), RunState::Finished));
    assert!(
        data.manifest.notes.iter().any(|note| note.contains("nothing is lost")),
        "{:?}",
        data.manifest.notes
    );
}

#[test]
fn a_report_that_cannot_be_written_is_shown_and_leaves_the_earlier_one() {
    let place = Place::new();
    place.file("config.yaml", QUICK);
    assert_eq!(place.tare(WHOLE).code, Some(0));
    let folder = place.path("run");
    let page = || std::fs::read_to_string(folder.join("report.html")).unwrap();
    let before = page();
    let said = place
        .tare_within("trap '' XFSZ; ulimit -f 8", "report run --fail-if mean_e2el_ms>1us --junit ci.xml");
    assert_eq!(said.code, Some(3));
    // Gates are judged, and CI is told of this report, not of an earlier one.
    assert!(said.err.contains("gate missed: `mean_e2el_ms>1us`"), "{}", said.err);
    let junit = std::fs::read_to_string(place.path("ci.xml")).unwrap();
    assert!(junit.contains("failures=\"1\""), "{junit}");
    assert!(said.out.contains("Total Requests: 60\n"), "{}", said.out);
    assert!(
        said.err.contains("of the report's files could not be written; every record is kept in run"),
        "{}",
        said.err
    );
    assert!(said.err.contains("hint: make room, then `tare report run` makes them again"), "{}", said.err);
    assert_eq!(page(), before);
    let parts = crate::program::files(&folder)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "part"));
    assert_eq!(parts.count(), 0);
    assert_eq!(place.tare("report run").code, Some(0));
}

/// Half a log would be refused the next time as one that is there already.
#[test]
fn a_log_that_finds_no_room_can_be_given_again() {
    let place = Place::new();
    place.file("config.yaml", QUICK);
    assert_eq!(place.tare(WHOLE).code, Some(0));
    let line = "INFO 11-26 20:15:43 [loggers.py:257] Engine 000: Avg prompt throughput: 1.0 tokens/s, Avg generation throughput: 2.0 tokens/s, Running: 1 reqs, Waiting: 0 reqs, GPU KV cache usage: 0.1%, Prefix cache hit rate: 0.0%\n";
    place.file("server.log", line.repeat(4000));
    let before = data(&place.path("run")).log.rows.len();
    let size = std::fs::metadata(place.path("run/server_log.jsonl")).unwrap().len() / 512;
    let limit = format!("trap '' XFSZ; ulimit -f {}", size + 200);
    let said = place.tare_within(&limit, "report run --server-log server.log");
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert!(said.err.contains("cannot append to run/server_log.jsonl"), "{}", said.err);
    assert_eq!(data(&place.path("run")).log.rows.len(), before);
    let said = place.tare("report run --server-log server.log");
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(data(&place.path("run")).log.rows.len(), before + 4000);
}

#[test]
fn a_server_that_is_restarted_costs_only_what_it_had_in_hand() {
    let place = Place::new();
    let port = free_port().port();
    let server = LookAlike::start_at(port, &[]);
    let args = format!(
        "run --base-url {} --output run --users 4 --random-input-len 12 --random-output-len 40 --ignore-eos --duration 3600 --scrape-interval 0.1",
        server.url
    );
    let mut run = start(&place, &args);
    let folder = place.path("run");
    let ended = |of: fn(Status) -> bool| {
        let rows: Lines<RequestRow> = Lines::read(&folder.join(RESULTS_STREAM)).unwrap();
        rows.rows.iter().filter(|row| of(row.status)).count()
    };
    let ok = || ended(|status| status == Status::Ok);
    wait_until("eight requests have ended", || ok() >= 8);
    drop(server);
    wait_until("each user has found the server gone", || ended(Status::is_failure) >= 4);
    let before = ok();
    let _again = LookAlike::start_at(port, &[]);
    wait_until("the users go on with the new server", || ok() >= before + 8);
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(130));

    let data = data(&folder);
    assert!(data.without_row().is_empty() && data.complaints().is_empty(), "{:?}", data.complaints());
    assert_eq!(data.begun.rows.len(), data.requests.rows.len());
    let warned = &data.manifest.warnings;
    assert!(warned.iter().any(|warning| warning.contains("were reset during the run")), "{warned:?}");
}
