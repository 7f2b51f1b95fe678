//! Logs: followed while they are written, attached, and given afterwards.

mod rotated;

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};

use chrono::{DateTime, Local};
use tare::clock::UnixNs;
use tare::config::Observe;
use tare::ingest::lines::Line;
use tare::ingest::log::{Freshness, LogReader};
use tare::ingest::problem::Notes;
use tare::ingest::tail::{Begin, read_whole};
use tare::ingest::{Collector, IngestReport, Ingested, Plan, read_log};
use tare::record::{LogEvent, LogRow};
use tare::server::trust::Trust;
use tare::server::vllm::VLLM;
use tempfile::TempDir;

use crate::ingest_collector::{collect, observe};
use crate::support::SOON;

fn received(id: &str) -> String {
    format!(
        "(APIServer pid=24637) INFO 11-24 15:12:07 [request_logger.py:65] Received request {id}: params: SamplingParams(n=1), lora_request: None.\n"
    )
}

fn follow(path: &Path, begin: Begin) -> (Collector, Receiver<Ingested>) {
    let (sender, rows) = mpsc::channel();
    let observe =
        Observe { no_metrics: true, server_log: Some(path.to_str().unwrap().to_owned()), ..observe() };
    let plan = Plan {
        server: &VLLM,
        observe,
        hops: Vec::new(),
        base_url: None,
        trust: Trust::default(),
        log_begin: begin,
    };
    (Collector::start(plan, sender).unwrap(), rows)
}

fn next(rows: &Receiver<Ingested>) -> LogRow {
    match rows.recv_timeout(SOON).unwrap() {
        Ingested::Log(row) => row,
        other => panic!("{other:?}"),
    }
}

fn id(row: &LogRow) -> &str {
    match &row.event {
        LogEvent::Received { request_id } => request_id,
        other => panic!("{other:?}"),
    }
}

fn ids(rows: &Receiver<Ingested>) -> Vec<String> {
    rows.try_iter()
        .map(|row| match row {
            Ingested::Log(row) => id(&row).to_owned(),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn log_details(report: &IngestReport, key: &str) -> u64 {
    report.sources.iter().find(|source| source.kind == "log").unwrap().details[key]
}

#[test]
fn a_file_is_followed_from_its_end_and_read_out_at_the_stop() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("server.log");
    append(&path, &(received("old-1") + &received("old-2")));
    let (collector, rows) = follow(&path, Begin::End);
    append(&path, &received("a"));
    let row = next(&rows);
    assert_eq!((id(&row), row.line_no, row.source.as_str()), ("a", 1, path.to_str().unwrap()));
    assert_eq!(
        (row.process.as_deref(), row.level.as_deref(), row.time_resolution_ns),
        (Some("APIServer"), Some("INFO"), Some(1_000_000_000))
    );
    assert!(row.time_unix_ns.is_some() && row.read_unix_ns > UnixNs(0));
    append(&path, &(received("b") + received("c").trim_end()));
    let report = collector.stop();
    assert_eq!(ids(&rows), ["b", "c"], "the end is read, an unfinished last line included");
    assert_eq!(
        (log_details(&report, "events"), report.sources[0].seen, report.sources[0].rejected),
        (3, 3, 0)
    );
    assert!(report.notes.is_empty(), "{:?}", report.notes);
}

#[test]
fn a_file_may_be_read_from_its_start() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("server.log");
    append(&path, &(received("a") + &received("b")));
    let (collector, rows) = follow(&path, Begin::Start);
    append(&path, &received("c"));
    collector.stop();
    assert_eq!(ids(&rows), ["a", "b", "c"]);
}

#[test]
fn a_line_that_was_begun_before_is_left_out_and_one_cut_in_two_is_one() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("server.log");
    let (old, new) = (received("old"), received("new"));
    append(&path, &old[..40]);
    let (collector, rows) = follow(&path, Begin::End);
    append(&path, &(old[40..].to_owned() + &received("a") + &new[..50]));
    assert_eq!(id(&next(&rows)), "a");
    append(&path, &new[50..]);
    assert_eq!(id(&next(&rows)), "new");
    let report = collector.stop();
    assert_eq!(report.sources[0].seen, 2);
}

#[test]
fn a_missing_file_is_noted_and_read_once_it_appears() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("later.log");
    let (collector, rows) = follow(&path, Begin::End);
    assert!(collector.notes()[0].contains("was not there when the run began"), "{:?}", collector.notes());
    append(&path, &received("a"));
    assert_eq!(id(&next(&rows)), "a");
    assert_eq!(log_details(&collector.stop(), "events"), 1);
}

#[test]
fn what_is_no_log_is_noted() {
    let dir = TempDir::new().unwrap();
    let binary = dir.path().join("model.bin");
    fs::write(&binary, b"GGUF\x03\x00\x00\x00\xff\xff").unwrap();
    let gzip = dir.path().join("server.log.gz");
    fs::write(&gzip, b"\x1f\x8b\x08\x00abc").unwrap();
    for (path, said) in [
        (binary.as_path(), "begins with binary data"),
        (gzip.as_path(), "zcat"),
        (dir.path(), "is a directory"),
    ] {
        let (collector, rows) = follow(path, Begin::End);
        let report = collector.stop();
        assert!(report.notes.len() == 1 && report.notes[0].contains(said), "{:?}", report.notes);
        assert_eq!(rows.try_iter().count(), 0);
    }
}

#[test]
fn lines_of_no_known_format_are_kept_counted_and_said() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("other.log");
    File::create(&path).unwrap();
    let (collector, rows) = follow(&path, Begin::Start);
    let long = "x".repeat(3000);
    append(&path, &format!("2026-11-24 kernel: eth0 up\n\n{long}\n"));
    assert!(
        matches!(next(&rows).event, LogEvent::Unparsed { text, reason } if text == "2026-11-24 kernel: eth0 up" && !reason.is_empty())
    );
    assert!(matches!(next(&rows).event, LogEvent::Unparsed { text, .. } if text.len() == 2000));
    let report = collector.stop();
    assert_eq!(
        (report.sources[0].seen, report.sources[0].rejected, log_details(&report, "blank")),
        (2, 2, 1)
    );
    assert!(
        report.notes[0].contains("none of the 2 lines")
            && report.notes[0].contains("known formats: vllm, uvicorn, tare_stat_log, sglang, tgi, llama_cpp, nginx, haproxy, envoy, caddy, traefik, litellm, sglang_router, tare_tap"),
        "{:?}",
        report.notes
    );
}

/// A flood of lines that say nothing fills neither the disc nor the memory.
#[test]
fn of_endless_lines_that_cannot_be_read_some_are_kept_and_all_counted() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("other.log");
    fs::write(&path, "aaaaaaaaaaaaaaaaaaaaaaaaaaaa\n".repeat(30_000)).unwrap();
    let mut rows = 0;
    let (report, notes) = read_log(&path, &VLLM, |_| rows += 1).unwrap();
    assert_eq!((report.seen, report.rejected, rows), (30_000, 30_000, 20_000));
    assert!(notes[0].contains("more than 20000 lines that cannot be read"), "{notes:?}");
}

/// A gateway's line, given as the server's and damaged, may hold its users' keys.
#[test]
fn a_line_that_is_kept_holds_no_credentials() {
    let mut reader = LogReader::new("server.log", None, Notes::default()).unwrap();
    let text =
        r#"{"code":200,"authorization":"Bearer sk-live-0123456789","path":"/v1/x?api_key=abcdef123456"#;
    let line = Line { text: text.into(), lossy: false, cut: false };
    let (row, _) = reader.line(&line, UnixNs(7), Freshness::Old);
    let row = format!("{:?}", row.unwrap());
    assert!(row.contains("Unparsed") && row.contains("[redacted]"), "{row}");
    assert!(!row.contains("sk-live") && !row.contains("abcdef"), "{row}");
}

#[test]
fn good_lines_survive_bad_ones() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("server.log");
    let (collector, rows) = follow(&path, Begin::Start);
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .unwrap()
        .write_all(b"\xc3( garbage \x80\n")
        .unwrap();
    append(&path, &received("a"));
    assert!(matches!(next(&rows).event, LogEvent::Unparsed { .. }));
    assert_eq!(id(&next(&rows)), "a");
    let report = collector.stop();
    assert_eq!(
        (
            report.sources[0].seen,
            report.sources[0].parsed,
            report.sources[0].rejected,
            log_details(&report, "lossy")
        ),
        (2, 1, 1, 1)
    );
}

#[test]
fn an_attached_server_tells_its_url_and_that_it_is_ready() {
    let (mut collector, rows) = collect(Observe { no_metrics: true, ..observe() }, None);
    let (reader, mut writer) = std::io::pipe().unwrap();
    let watch = collector.attach_blocking_log("embedded", reader);
    writer.write_all(b"(APIServer pid=1) INFO 11-24 15:11:29 [launcher.py:47] Starting vLLM server on http://0.0.0.0:8123\n").unwrap();
    writer.write_all(b"INFO:     Application startup complete.\n").unwrap();
    let signs = watch.wait_started(SOON);
    assert_eq!((signs.url.as_deref(), signs.started), (Some("http://127.0.0.1:8123"), true));
    writer.write_all(received("a").as_bytes()).unwrap();
    drop(writer);
    let report = collector.stop();
    let rows: Vec<LogRow> = rows
        .try_iter()
        .map(|row| if let Ingested::Log(row) = row { row } else { panic!("{row:?}") })
        .collect();
    assert_eq!((rows.len(), rows[2].source.as_str(), id(&rows[2])), (3, "embedded", "a"));
    assert_eq!((log_details(&report, "events"), log_details(&report, "other")), (1, 2));
}

#[test]
fn a_server_that_dies_is_seen_with_its_last_words() {
    let (mut collector, _rows) = collect(Observe { no_metrics: true, ..observe() }, None);
    let watch = collector.attach_log("embedded", &b"RuntimeError: no device\n"[..]);
    let signs = watch.wait_started(SOON);
    assert_eq!((signs.started, signs.ended), (false, Some(vec!["RuntimeError: no device".to_owned()])));
}

#[test]
fn a_whole_log_is_read_afterwards() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("server.log");
    append(
        &path,
        &(received("a")
            + "INFO:     127.0.0.1:55518 - \"POST /v1/completions HTTP/1.1\" 200 OK\nnonsense\n"
            + received("b").trim_end()),
    );
    let mut rows = Vec::new();
    let (report, notes) = read_log(&path, &VLLM, |row| rows.push(row)).unwrap();
    assert_eq!((report.seen, report.parsed, report.rejected, notes.len()), (4, 3, 1, 0));
    assert_eq!((id(&rows[0]), id(&rows[3]), rows[3].line_no), ("a", "b", 4));
    assert!(
        matches!(&rows[1].event, LogEvent::Access { port: Some(55518), status: 200, path, .. } if path == "/v1/completions")
    );
}

/// The run-time of a container in another time zone, which no line of its log names.
#[test]
fn a_container_run_times_stamp_is_worth_more_than_a_civil_time() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("0.log");
    let plain = received("a");
    let json = r#"{"asctime": "2026-11-24 15:12:07,462", "levelname": "INFO", "message": "Received request b: params: SamplingParams(n=1)."}"#;
    let own = "1795533127.216578 2026-11-24T15:12:07 INFO APIServer pid=1 vllm.x [x.py:1] Received request c: params";
    let stamp = "2026-11-24T06:12:07.5Z stdout F ";
    let docker = format!(
        r#"{{"log":"{}\n","stream":"stderr","time":"2026-11-24T06:12:07.5Z"}}"#,
        received("d").trim_end()
    );
    append(&path, &format!("{stamp}{plain}{stamp}{json}\n{stamp}{own}\n{docker}\n"));
    let (mut reader, mut rows) = (LogReader::new("0.log", None, Notes::default()).unwrap(), Vec::new());
    read_whole(&path, &mut reader, None, |row| rows.push(row)).unwrap();
    let told = rows.into_iter().map(|row| match row {
        Ingested::Log(row) => {
            (id(&row).to_owned(), row.time_unix_ns.unwrap().0, row.time_resolution_ns.unwrap())
        }
        other => panic!("{other:?}"),
    });
    let run_times = 1_795_500_727_500_000_000;
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            ("a".to_owned(), run_times, 100_000_000),
            ("b".to_owned(), run_times, 100_000_000),
            ("c".to_owned(), 1_795_533_127_216_578_000, 1_000),
            ("d".to_owned(), run_times, 100_000_000),
        ]
    );
}

#[test]
fn a_whole_log_that_cannot_be_read_is_an_error_with_a_hint() {
    let dir = TempDir::new().unwrap();
    let binary = dir.path().join("x.bin");
    fs::write(&binary, b"\0\0\0").unwrap();
    for (path, said) in [
        (dir.path().join("nope.log"), "cannot read the server log"),
        (binary, "is no text log"),
        (dir.path().to_owned(), "is a directory"),
    ] {
        let problem = read_log(&path, &VLLM, |_| {}).unwrap_err();
        assert!(problem.what.contains(said) && problem.hint.is_some(), "{problem:?}");
    }
    let empty = dir.path().join("empty.log");
    File::create(&empty).unwrap();
    assert!(read_log(&empty, &VLLM, |_| {}).unwrap().1[0].contains("is empty"));
}

/// Reads lines stamped with the time of day, each so many seconds after the last.
struct Zoned {
    reader: LogReader,
    notes: Notes,
    start: DateTime<Local>,
}

impl Zoned {
    fn new() -> Self {
        let notes = Notes::default();
        Self {
            reader: LogReader::new("x.log", Some("vllm"), notes.clone()).unwrap(),
            notes,
            start: Local::now(),
        }
    }

    /// Of a line stamped and read so many seconds after the start: by how much its time is before
    /// the reading, to the minute.
    fn late_minutes(&mut self, stamped_s: i64, read_s: i64, freshness: Freshness) -> i64 {
        let stamp = (self.start + chrono::Duration::seconds(stamped_s)).format("%m-%d %H:%M:%S");
        let text = format!("(APIServer pid=1) INFO {stamp} [loggers.py:1] Added request a.");
        let read = UnixNs((self.start + chrono::Duration::seconds(read_s)).timestamp_nanos_opt().unwrap());
        let line = Line { text: text.into(), lossy: false, cut: false };
        let time = self.reader.line(&line, read, freshness).0.unwrap().time_unix_ns.unwrap();
        (read.seconds_since(time) / 60.0).round() as i64
    }
}

const HOUR: i64 = 3600;

#[test]
fn a_followed_log_in_another_time_zone_is_shifted_and_said() {
    let mut log = Zoned::new();
    assert_eq!(log.late_minutes(-2 * HOUR, 0, Freshness::Old), 120, "an old line tells nothing of the zone");
    assert_eq!(log.late_minutes(-2 * HOUR, 0, Freshness::Fresh), 0);
    assert_eq!(log.late_minutes(10 - 2 * HOUR, 10, Freshness::Fresh), 0);
    let notes = log.notes.all();
    assert!(
        notes.len() == 1 && notes[0].contains("(-120 minutes)") && notes[0].ends_with("from line 2 on"),
        "{notes:?}"
    );
}

#[test]
fn a_piped_log_is_shifted_only_when_it_keeps_pace_with_the_clock() {
    let mut log = Zoned::new();
    assert_eq!(log.late_minutes(-2 * HOUR, 0, Freshness::Piped), 120);
    assert_eq!(log.late_minutes(1 - 2 * HOUR, 1, Freshness::Piped), 120, "too soon to tell");
    assert_eq!(log.late_minutes(5 - 2 * HOUR, 5, Freshness::Piped), 0);

    let mut replayed = Zoned::new();
    for seconds in 0..50 {
        let late = replayed.late_minutes(seconds - 3 * HOUR, seconds / 25, Freshness::Piped);
        assert!((179..=180).contains(&late), "replayed at once, and left as it is: {late}");
    }
    assert_eq!(replayed.late_minutes(5, 5, Freshness::Piped), 0);
    assert_eq!(replayed.late_minutes(9, 9, Freshness::Piped), 0);
    assert_eq!(
        replayed.late_minutes(20 - 3 * HOUR, 20, Freshness::Piped),
        180,
        "known by then: this host's zone"
    );
    assert!(replayed.notes.all().is_empty());
}

/// nginx's access log, by the key=value format that says when and by which id.
#[test]
fn a_gateways_log_is_called_one() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("access.log");
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/parsers/tests/samples/nginx/key-value-1.22.log");
    fs::copy(sample, &path).unwrap();
    let (_, notes) = read_log(&path, &VLLM, |_| {}).unwrap();
    let said = "are a gateway's (`nginx`): they say nothing of the inference server";
    assert!(notes.iter().any(|note| note.contains(said)), "{notes:?}");
}
