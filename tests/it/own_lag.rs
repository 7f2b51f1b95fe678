//! A client that is held up in the middle of a run: no stamp may say more than is known, and the
//! report must say that it was the client, and why.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tare::clock::UnixNs;
use tare::mock::truth::TruthRow;
use tare::net::Packets;
use tare::record::Status;
use tare::record::own::{KEY, OwnLag, Stalled};
use tare::store::folder::RESULTS_STREAM;
use tare::store::{RunData, RunFolder};

use crate::program::{LookAlike, Place};
use crate::runs::{QUICK, SHORT, run};
use crate::support::{closed_port, wait_until};

/// How long the program is stopped.
const STOP: Duration = Duration::from_secs(5);
/// The server stamps a write just before it makes it; only a machine that then takes the CPU from it
/// for so long could make a true stamp look wrong. A wrong one is off by up to the whole stop.
const LATE_WRITE_NS: i64 = 500_000_000;

/// Two processes' readings of one clock may differ by so much.
const READING_NS: i64 = 20_000;
/// Eight streams of a token every 20 ms or so, 250 tokens each: what the server writes in five
/// seconds fits into a socket's buffer, so that the client's stop does not stop the server.
const LOAD: &str =
    "run --output run --users 8 --num-prompts 24 --random-input-len 12 --random-output-len 250 --ignore-eos";

/// A run of the program that was stopped in its middle, and the truth about it.
struct Stopped {
    data: RunData,
    truth: BTreeMap<String, TruthRow>,
    /// The program did not run from (at the latest) … to (at the earliest).
    from: UnixNs,
    to: UnixNs,
    report: String,
    summary: Value,
}

fn stopped(stamps: &str) -> Stopped {
    let place = Place::new();
    let truth = place.path("truth.jsonl");
    let server = LookAlike::start(&[
        "--decode-base-ms",
        "12",
        "--decode-per-seq-ms",
        "1",
        "--jitter",
        "0",
        "--truth",
        truth.to_str().unwrap(),
    ]);
    let mut command = place.command(&format!("{LOAD} --stamps {stamps} --base-url {}", server.url));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // The first requests have ended, so that the next are under way.
    let results = place.path("run").join(RESULTS_STREAM);
    wait_until("eight requests have ended", || {
        std::fs::read_to_string(&results).is_ok_and(|text| text.lines().count() >= 8)
    });
    let pid = Pid::from_raw(child.id().cast_signed());
    kill(pid, Signal::SIGSTOP).unwrap();
    wait_until("the program stands still", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
    });
    let from = UnixNs::now();
    std::thread::sleep(STOP);
    let to = UnixNs::now();
    kill(pid, Signal::SIGCONT).unwrap();
    assert!(child.wait().unwrap().success());
    drop(server);
    let read = |name: &str| std::fs::read_to_string(place.path(name)).unwrap();
    let truth = read("truth.jsonl");
    let truth = truth.lines().map(|line| serde_json::from_str::<TruthRow>(line).unwrap());
    let mut data = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
    // The folder is gone when they are looked at.
    data.events = data.events.whole().unwrap().into();
    Stopped {
        data,
        truth: truth.filter_map(|row| Some((row.x_request_id.clone()?, row))).collect(),
        from,
        to,
        report: read("run/report.md"),
        summary: serde_json::from_str(&read("run/summary.json")).unwrap(),
    }
}

/// One event: when the server wrote it, and what the client said of it.
#[derive(Debug)]
struct Event {
    written: i64,
    lo: i64,
    hi: i64,
    user: i64,
}

impl Stopped {
    fn warnings(&self) -> Vec<String> {
        let all = self.summary["warnings"].as_array().unwrap();
        all.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    fn events(&self) -> Vec<Event> {
        let mut all = Vec::new();
        for row in &self.data.requests.rows {
            assert_eq!(row.status, Status::Ok, "{row:?}");
            let told = &self.truth[&row.request_id].events;
            let written: Vec<i64> = told.iter().filter(|(_, tokens, _)| *tokens > 0).map(|e| e.0.0).collect();
            let events = self.data.events.of(&row.request_id).unwrap();
            assert_eq!(events.len(), written.len(), "{row:?}");
            all.extend((0..events.len()).zip(written).map(|(i, written)| Event {
                written,
                lo: events.stamp_lo_unix_ns[i],
                hi: events.stamp_hi_unix_ns[i],
                user: events.user_unix_ns[i],
            }));
        }
        all
    }
}

/// Checks every stamp against the truth; returns the events that were written during the stop.
fn no_stamp_is_wrong<'a>(run: &Stopped, events: &'a [Event]) -> Vec<&'a Event> {
    // The server went on meanwhile, and the client had what it wrote only afterwards.
    let meanwhile: Vec<&Event> =
        events.iter().filter(|e| run.from.0 < e.written && e.written < run.to.0).collect();
    assert!(meanwhile.len() > 100, "{} events of {}", meanwhile.len(), events.len());
    assert!(meanwhile.iter().all(|e| e.user >= run.to.0), "the stopped program read on");
    // The truth lies in every interval, and an exact stamp (an interval of no length) is the truth.
    for event in events {
        assert!(event.written <= event.hi + READING_NS && event.lo <= event.hi, "{event:?}");
        assert!(event.lo <= event.written + LATE_WRITE_NS, "stamped later than it was written: {event:?}");
    }
    meanwhile
}

/// It was seen as what it was: the process stood still. The warning that says so is returned.
fn the_stop_is_named(run: &Stopped) -> String {
    let own: OwnLag = serde_json::from_value(run.data.manifest.extra[KEY].clone()).unwrap();
    let stalls = own.stalls.iter().filter(|s| s.what == Stalled::Process);
    let stall = stalls
        .max_by(|a, b| a.length_s.total_cmp(&b.length_s))
        .unwrap_or_else(|| panic!("no stall: {own:?}"));
    let stop_s = run.to.seconds_since(run.from);
    assert!(stall.begin_unix_ns <= run.from.plus_seconds(own.beat_s), "{stall:?} {:?}", run.from);
    assert!(stall.end_unix_ns() >= run.to && stall.length_s > stop_s - 0.1, "{stall:?} {:?}", run.to);
    assert!(stall.cpu_s.unwrap() < stop_s / 10.0 && stall.waited_s.unwrap() < stop_s / 2.0, "{stall:?}");
    assert!(run.report.contains("> **Warning:** the client was late"), "{}", run.report);
    let late = run.warnings().into_iter().find(|w| w.starts_with("the client was late"));
    let late = late.unwrap_or_else(|| panic!("{:?}", run.warnings()));
    assert!(late.contains("; cause: ") && late.contains("the process was stopped or the machine slept for "));
    late
}

#[cfg_attr(not(target_os = "linux"), ignore = "whether a process stands still is read from /proc")]
#[test]
fn a_client_that_was_stopped_knows_it_and_says_so() {
    let run = stopped("kernel");
    let events = run.events();
    let meanwhile = no_stamp_is_wrong(&run, &events);
    the_stop_is_named(&run);

    // Those that shared a read are intervals, and the stop is their cause.
    let inexact = events.iter().filter(|e| e.lo != e.hi).count();
    let counted = &run.summary["summary"]["stamps"]["inexact"];
    assert_eq!(counted["events"], inexact);
    let caught = meanwhile.iter().filter(|e| e.lo != e.hi).count();
    assert!(caught * 2 > meanwhile.len(), "{caught} of {}", meanwhile.len());
    let in_a_stall = counted["in_a_stall"].as_u64().unwrap() as usize;
    assert!(in_a_stall * 2 > caught, "{counted}, {caught}");
    let expected = format!("{in_a_stall} arrived while the client stalled");
    assert!(run.warnings().iter().any(|w| w.replace(',', "").contains(&expected)), "{:?}", run.warnings());
}

/// Where segments are captured, every event has its own stamp, and the lag is the whole stop.
#[cfg_attr(not(target_os = "linux"), ignore = "whether a process stands still is read from /proc")]
#[test]
fn by_segments_a_stopped_client_is_exact_and_its_lag_is_the_stop() {
    if Packets::open(closed_port()).is_err() {
        return; // `stamps.rs` checks what is said then
    }
    let run = stopped("packet");
    let events = run.events();
    let meanwhile = no_stamp_is_wrong(&run, &events);
    the_stop_is_named(&run);
    let capture = &run.data.manifest.extra["stamps"]["capture"];
    if capture["packets"]["dropped"] == 0 && capture["missing"] == 0 {
        assert!(events.iter().all(|e| e.lo == e.hi), "{capture}");
    }
    let longest_ns = meanwhile.iter().map(|e| run.to.0 - e.written - LATE_WRITE_NS).max().unwrap();
    let max_s = run.summary["summary"]["stamps"]["client_lag"]["max_s"].as_f64().unwrap();
    assert!(max_s >= longest_ns as f64 / 1e9, "{max_s} s, though one waited for {longest_ns} ns");
}

#[cfg_attr(not(target_os = "linux"), ignore = "whether a process stands still is read from /proc")]
#[test]
fn without_kernel_stamps_a_stop_is_named_as_well() {
    let run = stopped("user");
    let late = the_stop_is_named(&run);
    assert!(late.contains("its user stamps contain that"), "{late}");
}

#[cfg_attr(not(target_os = "linux"), ignore = "what threads used is read from /proc")]
#[test]
fn a_run_says_what_the_tool_itself_did() {
    let run = run(QUICK, &format!("{SHORT} --users 3 --num-prompts 30"));
    let own: OwnLag = serde_json::from_value(run.manifest.extra[KEY].clone()).unwrap();
    assert_eq!(run.summary.own.as_ref(), Some(&own), "the report is made from the manifest");
    let load = &run.manifest.extra["load"];
    let begun = load["begun_unix_ns"].as_i64().unwrap();
    let done = run.rows.iter().map(|row| row.done_unix_ns).max().unwrap();
    assert!(own.begun_unix_ns.0 <= begun && done <= own.ended_unix_ns, "the load lies within the watch");
    assert!(own.process_delay.is_some_and(|delay| delay.n > 0 && delay.max_s >= delay.p50_s), "{own:?}");
    assert!(own.runtime_delay.is_some_and(|delay| delay.n > 0), "{own:?}");
    assert!(own.user_s.unwrap() + own.system_s.unwrap() > 0.0);
    assert!(own.load.threads > Some(0) && own.load.on_cpu_s.is_none_or(|cpu| cpu > 0.0), "{own:?}");

    let s = &run.summary.stamps;
    assert_eq!(s.inexact.events, s.events - s.exact_events);
    let i = s.inexact;
    assert_eq!(
        i.events,
        i.in_a_stall + i.read_late + i.several_at_once + i.unstamped + i.other,
        "every one has a cause"
    );
    let lag = s.client_lag.unwrap();
    assert!(lag.n <= s.events && lag.n > 0 && lag.p50_s <= lag.p90_s && lag.p90_s <= lag.p99_s);

    let report = run.file("report.md");
    let section = report.split("## The tool itself\n").nth(1).unwrap().split("\n#").next().unwrap();
    for row in
        ["client lag", "schedule lateness", "exact events", "runtime delay", "process delay", "CPU time"]
    {
        assert!(section.contains(&format!("| {row} |")), "{row} is missing: {section}");
    }
    let summary: Value = serde_json::from_str(&run.file("summary.json")).unwrap();
    let rows = summary["own"].as_array().unwrap();
    assert!(rows.len() >= 6);
    for row in rows {
        assert!(row["value"].is_number() && !row["definition"].as_str().unwrap().is_empty(), "{row}");
    }
}

/// Written by an older version, or killed: what is not there is not shown, and is no error.
#[test]
fn a_run_without_a_watch_is_reported_without_it() {
    let mut run = run(QUICK, &format!("{SHORT} --users 2 --num-prompts 4"));
    let folder = RunFolder::open(&run.folder).unwrap();
    run.manifest.extra.remove(KEY);
    run.manifest.write(&folder).unwrap();
    let again = tare::run::recompute(&run.folder).unwrap();
    assert!(again.summary.own.is_none());
    let report = run.file("report.md");
    assert!(report.contains("| client lag |") && !report.contains("| process delay |"), "{report}");
}
