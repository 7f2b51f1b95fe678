//! What a run folder is good for when the run is over, was stopped, or was killed: `tare report`
//! makes the same report again, byte for byte, and reports whatever had ended.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tare::record::{RequestRow, Status};
use tare::store::folder::{
    BEGUN_STREAM, EVENTS_STREAM, HOPS_STREAM, LOG_STREAM, RESULTS_STREAM, SCRAPES_STREAM, SPANS_STREAM,
    STAT_LOG_STREAM,
};
use tare::store::{Lines, RunData, RunFolder};

use crate::program::{Place, files};
use crate::runs::QUICK;
use crate::support::{closed_port, wait_until};

/// A load that goes on until it is stopped, with requests in flight at any moment.
const ENDLESS: &str = "run config.yaml --output run --users 4 --random-input-len 12 --random-output-len 60 --ignore-eos --duration 3600";

/// Every file that is made from others, with its bytes.
fn made(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let streams = [
        BEGUN_STREAM,
        EVENTS_STREAM,
        HOPS_STREAM,
        LOG_STREAM,
        RESULTS_STREAM,
        SCRAPES_STREAM,
        SPANS_STREAM,
        STAT_LOG_STREAM,
        "manifest.json",
        "requests.jsonl",
    ];
    let is_raw = |path: &Path| streams.iter().any(|name| path.ends_with(name));
    files(folder)
        .into_iter()
        .filter(|path| !is_raw(path))
        .map(|path| (path.clone(), std::fs::read(&path).unwrap()))
        .collect()
}

fn rows(folder: &Path) -> Vec<RequestRow> {
    Lines::read(&folder.join(RESULTS_STREAM)).unwrap().rows
}

fn summary(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("summary.json")).unwrap()).unwrap()
}

/// The children of a process, by the kernel's list.
fn children(pid: u32) -> Vec<i32> {
    let mut all = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let list = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default();
        all.extend(list.split_whitespace().map(|pid| pid.parse::<i32>().unwrap()));
    }
    all
}

/// Gone, or dead and waiting for somebody to ask.
fn has_ended(pid: i32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')),
        Err(_) => true,
    }
}

/// A run of the program, started and under way: some requests have ended.
struct UnderWay {
    place: Place,
    child: Child,
}

impl UnderWay {
    fn start(yaml: &str, args: &str) -> Self {
        let place = Place::new();
        place.file("config.yaml", yaml);
        let stderr = std::fs::File::create(place.path("stderr")).unwrap();
        let stdout = std::fs::File::create(place.path("stdout")).unwrap();
        let mut command: Command = place.command(args);
        let child = command.stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr)).spawn().unwrap();
        let run = Self { place, child };
        wait_until("eight requests have ended", || {
            std::fs::read_to_string(run.folder().join(RESULTS_STREAM))
                .is_ok_and(|text| text.lines().count() >= 8)
        });
        run
    }

    fn folder(&self) -> PathBuf {
        self.place.path("run")
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    fn said(&self, name: &str) -> String {
        std::fs::read_to_string(self.place.path(name)).unwrap()
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_report_made_again_is_the_same_to_the_byte() {
    let place = Place::new();
    place.file("config.yaml", format!("{QUICK}  faults: [http_500 every=9, cut after=3 every=7]\n"));
    let said = place.tare(
        "run config.yaml --output run --users 3 --num-prompts 40 --random-input-len 12 --random-output-len 12 --ignore-eos",
    );
    assert_eq!(said.code, Some(0), "{}", said.err);
    let folder = place.path("run");
    let first = made(&folder);
    for name in [
        "report.md",
        "summary.json",
        "joined.parquet",
        "results.parquet",
        "events.parquet",
        "scrapes.parquet",
        "server_log.parquet",
        "spans.parquet",
        "stat_log.parquet",
        "hops.parquet",
        "plots/req_metrics_violin.svg",
        "plots/req_metrics_violin.png",
        "plots/split_violin.svg",
        "plots/split_violin.png",
        "report.html",
        "data/requests.csv",
        "data/breakdown.csv",
        "plots/timeline.svg",
        "plots/waterfall.png",
        "data/timeline_client.csv",
        "data/timeline_ttft.csv",
        "data/timeline_server.csv",
        "data/stamps.csv",
        "data/gaps.csv",
    ] {
        assert!(first.get(&folder.join(name)).is_some_and(|bytes| !bytes.is_empty()), "{name} is missing");
    }

    let again = place.tare("report run");
    assert_eq!((again.code, again.err.as_str()), (Some(0), ""));
    assert_eq!(said.out, format!("{}run\n", again.out), "the same is printed, too");
    // From nothing but the raw records, and in another place.
    for path in first.keys() {
        std::fs::remove_file(path).unwrap();
    }
    std::fs::rename(&folder, place.path("elsewhere")).unwrap();
    assert_eq!(place.tare("report elsewhere").code, Some(0));
    let second = made(&place.path("elsewhere"));
    assert!(
        second
            .keys()
            .map(|path| path.strip_prefix(place.path("elsewhere")).unwrap())
            .eq(first.keys().map(|path| path.strip_prefix(&folder).unwrap())),
        "{:?}",
        second.keys()
    );
    for ((path, bytes), before) in second.iter().zip(first.values()) {
        assert!(bytes == before, "{} is another", path.display());
    }
}

#[cfg_attr(not(target_os = "linux"), ignore = "a program's children are read from /proc")]
#[test]
fn after_a_kill_everything_that_had_ended_is_reported() {
    let mut run = UnderWay::start(QUICK, ENDLESS);
    let servers = children(run.child.id());
    assert_eq!(servers.len(), 1, "the embedded server is the one child");
    run.signal(Signal::SIGKILL);
    run.child.wait().unwrap();
    wait_until("the orphaned server is gone", || has_ended(servers[0]));

    let folder = run.folder();
    assert!(!folder.join("report.md").exists());
    let ended = rows(&folder);
    assert!(ended.len() >= 8);
    // As if the kill had come in the middle of a record, in each of the streams.
    for name in [RESULTS_STREAM, SCRAPES_STREAM, LOG_STREAM, SPANS_STREAM, STAT_LOG_STREAM] {
        let mut stream = std::fs::File::options().append(true).open(folder.join(name)).unwrap();
        stream.write_all(b"{\"request_id\":\"tare-torn\",\"index\":").unwrap();
    }
    let mut events = std::fs::File::options().append(true).open(folder.join(EVENTS_STREAM)).unwrap();
    events.write_all(&[0xff, 0xff, 0xff, 0xff, 0x40, 0, 0, 0, 1, 2, 3]).unwrap();

    let said = run.place.tare("report run");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let summary = summary(&folder);
    let of = |status| ended.iter().filter(|row| row.status == status).count();
    assert_eq!(summary["num_prompts"], ended.len());
    assert_eq!((&summary["completed"], &summary["failed"]), (&Value::from(of(Status::Ok)), &Value::from(0)));
    assert!(said.out.starts_with("warning: the run has not ended: it was killed"), "{}", said.out);
    for name in [RESULTS_STREAM, SCRAPES_STREAM, LOG_STREAM, SPANS_STREAM, STAT_LOG_STREAM] {
        assert!(said.out.contains(&format!("note: {name}: the last line is cut")), "{name}: {}", said.out);
    }
    assert!(said.out.contains("events.arrows: 11 bytes after the last whole batch"), "{}", said.out);

    // Every row that is there has its events.
    let data = RunData::read(&RunFolder::open(&folder).unwrap()).unwrap();
    assert_eq!(data.requests.rows.len(), ended.len());
    for row in &data.requests.rows {
        assert_eq!(data.events.count_of(&row.request_id), row.n_events as usize, "{row:?}");
    }
}

#[test]
fn the_first_interrupt_ends_the_run_with_a_report() {
    let mut run = UnderWay::start(QUICK, ENDLESS);
    run.signal(Signal::SIGINT);
    let status = run.child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{}", run.said("stderr"));
    assert!(run.said("stderr").contains("stopping: the report follows (again to end at once)"));

    let (rows, summary) = (rows(&run.folder()), summary(&run.folder()));
    let in_flight = rows.iter().filter(|row| row.status == Status::InFlight).count();
    let ok = rows.iter().filter(|row| row.status == Status::Ok).count();
    assert!(ok >= 8 && ok + in_flight == rows.len(), "{ok} ok, {in_flight} in flight of {}", rows.len());
    let counts = &summary["summary"]["counts"];
    assert_eq!(
        (&counts["ok"], &counts["failed"], &counts["in_flight"]),
        (&ok.into(), &0.into(), &in_flight.into())
    );
    let out = run.said("stdout");
    assert!(out.contains(&format!("Successful Requests: {ok}\nFailed Requests: 0\n")), "{out}");
    assert_eq!(out.contains("In Flight at the End"), in_flight > 0, "{out}");
    assert!(out.ends_with("run\n"), "the folder is named last: {out}");
}

#[cfg_attr(not(target_os = "linux"), ignore = "a program's children are read from /proc")]
#[test]
fn the_second_interrupt_ends_at_once_and_loses_nothing_written() {
    // No span ever comes, so that the run waits for them when it is told to stop; for an hour, if it
    // were let.
    let yaml = format!("{QUICK}  faults: [span_loss]\nobserve:\n  span_wait_s: 3600\n");
    let mut run = UnderWay::start(&yaml, ENDLESS);
    let servers = children(run.child.id());
    run.signal(Signal::SIGINT);
    wait_until("it says that it stops", || run.said("stderr").contains("stopping"));
    let before = rows(&run.folder()).len();
    run.signal(Signal::SIGINT);
    assert_eq!(run.child.wait().unwrap().code(), Some(130));
    assert!(!run.folder().join("report.md").exists(), "it went on to the report");
    wait_until("the orphaned server is gone", || servers.iter().all(|pid| has_ended(*pid)));

    let said = run.place.tare("report run");
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(rows(&run.folder()).len() >= before);
    assert_eq!(summary(&run.folder())["num_prompts"], rows(&run.folder()).len());
    assert!(!said.out.contains("is cut"), "{}", said.out);
}

#[test]
fn an_interrupt_while_waiting_for_the_server_ends_the_wait() {
    let place = Place::new();
    let args = format!(
        "run --base-url http://{} --ready-check-timeout-sec 3600 --num-prompts 1 --output run",
        closed_port()
    );
    let mut child = place.command(&args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the run has begun", || place.path("run").join("manifest.json").exists());
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
    assert!(said.contains("error: stopped while waiting for the server"), "{said}");
    assert!(!place.path("run").exists(), "nothing was sent, nothing is kept");
}
