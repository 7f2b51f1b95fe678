//! The stat log: followed while it is written, given afterwards, and what a run keeps of it.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use tare::clock::UnixNs;
use tare::config::Observe;
use tare::ingest::{Collector, Ingested, read_stat_log};
use tare::record::StatRow;
use tare::store::folder::{STAT_LOG, STAT_LOG_STREAM};
use tare::store::{Lines, Manifest, RunFolder};
use tempfile::TempDir;

use crate::ingest_collector::{collect, observe};
use crate::program::{LookAlike, Place};
use crate::support::SOON;

/// As `assets/vllm_tare_logger` writes it.
fn line(id: &str) -> String {
    format!(
        "{{\"v\":1,\"pid\":7,\"engine\":0,\"request_id\":\"chatcmpl-{id}\",\"finish_reason\":\"length\",\"iteration_unix_ns\":1795533161950697422,\"e2e_s\":0.09027814865112305,\"queue_s\":3.826100009973743e-05,\"prefill_s\":0.018598678999751428,\"inference_s\":0.07693624200010163,\"decode_s\":0.0583375630003502,\"input_tokens\":33,\"output_tokens\":12,\"cached_tokens\":0,\"preemptions\":0,\"max_tokens\":12}}\n"
    )
}

fn follow(path: &Path) -> (Collector, Receiver<Ingested>) {
    collect(
        Observe { no_metrics: true, stat_log: Some(path.to_str().unwrap().to_owned()), ..observe() },
        None,
    )
}

fn next(rows: &Receiver<Ingested>) -> StatRow {
    match rows.recv_timeout(SOON).unwrap() {
        Ingested::Stat(row) => row,
        other => panic!("{other:?}"),
    }
}

fn ids(rows: &Receiver<Ingested>) -> Vec<String> {
    rows.try_iter()
        .map(|row| match row {
            Ingested::Stat(row) => row.request_id,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().create(true).append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

#[test]
fn a_stat_log_is_followed_from_its_end() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("stat.jsonl");
    append(&path, &line("of-an-earlier-run"));
    let (collector, rows) = follow(&path);
    append(&path, &line("a"));
    let row = next(&rows);
    assert_eq!((row.request_id.as_str(), row.line_no), ("chatcmpl-a", 1));
    assert_eq!(row.source, path.to_str().unwrap());
    assert_eq!(row.iteration_unix_ns, Some(UnixNs(1_795_533_161_950_697_422)));
    assert_eq!((row.e2e_s, row.queue_s), (Some(0.090_278_148_651_123_05), Some(3.826_100_009_973_743e-5)));
    assert_eq!((row.input_tokens, row.output_tokens, row.max_tokens), (Some(33), Some(12), Some(12)));
    assert!(row.read_unix_ns > UnixNs(0));
    // Cut in two, then a line that is none, then one without its end.
    let (b, d) = (line("b"), line("d"));
    append(&path, &b[..100]);
    append(&path, &(b[100..].to_owned() + "garbage\n" + &line("c") + d.trim_end()));
    let report = collector.stop();
    assert_eq!(ids(&rows), ["chatcmpl-b", "chatcmpl-c", "chatcmpl-d"]);
    let source = &report.sources[0];
    assert_eq!((source.kind.as_str(), source.seen, source.parsed, source.rejected), ("stat_log", 5, 4, 1));
    assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
    assert!(report.notes[0].contains("1 of 5 lines of the stat log"), "{:?}", report.notes);
}

#[test]
fn a_stat_log_that_is_not_there_yet_is_awaited() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("later.jsonl");
    let (collector, rows) = follow(&path);
    let notes = collector.notes();
    assert!(notes[0].contains("was not there when the run began"), "{notes:?}");
    assert!(notes[0].contains("TARE_STAT_LOG"), "{notes:?}");
    append(&path, &line("a"));
    assert_eq!(next(&rows).request_id, "chatcmpl-a");
    assert_eq!(collector.stop().sources[0].parsed, 1);
}

#[test]
fn rotation_and_truncation_lose_no_line() {
    let dir = TempDir::new().unwrap();
    let (path, rotated) = (dir.path().join("stat.jsonl"), dir.path().join("stat.jsonl.1"));
    append(&path, &line("old"));
    let (collector, rows) = follow(&path);
    append(&path, &line("a"));
    assert_eq!(next(&rows).request_id, "chatcmpl-a");
    fs::rename(&path, &rotated).unwrap();
    append(&rotated, &line("b"));
    assert_eq!(next(&rows).request_id, "chatcmpl-b");
    append(&path, &(line("c") + &line("d")));
    assert_eq!(next(&rows).request_id, "chatcmpl-c");
    assert_eq!(next(&rows).request_id, "chatcmpl-d");
    File::options().write(true).truncate(true).open(&path).unwrap();
    append(&path, &line("e")[..50]);
    append(&path, &line("e")[50..]);
    assert_eq!(next(&rows).request_id, "chatcmpl-e");
    assert_eq!(collector.stop().sources[0].rejected, 0);
}

#[test]
fn log_and_stat_log_are_followed_at_once() {
    let dir = TempDir::new().unwrap();
    let (log, stat) = (dir.path().join("server.log"), dir.path().join("stat.jsonl"));
    append(&log, "");
    append(&stat, "");
    let text = |path: &Path| Some(path.to_str().unwrap().to_owned());
    let observe = Observe { no_metrics: true, server_log: text(&log), stat_log: text(&stat), ..observe() };
    let (collector, rows) = collect(observe, None);
    append(&log, "INFO:     127.0.0.1:55518 - \"POST /v1/completions HTTP/1.1\" 200 OK\n");
    append(&stat, &line("a"));
    let report = collector.stop();
    let (mut logs, mut stats) = (0, 0);
    for row in rows.try_iter() {
        match row {
            Ingested::Log(_) => logs += 1,
            Ingested::Stat(_) => stats += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((logs, stats), (1, 1));
    let kinds: Vec<&str> = report.sources.iter().map(|source| source.kind.as_str()).collect();
    assert_eq!(kinds, ["log", "stat_log"]);
}

#[test]
fn a_whole_stat_log_is_read_afterwards_or_refused_with_a_hint() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("stat.jsonl");
    append(&path, &(line("a") + "\nnonsense\n" + line("b").trim_end()));
    let mut rows = Vec::new();
    let (report, notes) = read_stat_log(&path, |row| rows.push(row)).unwrap();
    assert_eq!((report.seen, report.parsed, report.rejected, notes.len()), (3, 2, 1, 1));
    assert_eq!((rows[1].request_id.as_str(), rows[1].line_no), ("chatcmpl-b", 4));

    let gzip = dir.path().join("stat.jsonl.gz");
    fs::write(&gzip, b"\x1f\x8b\x08\x00abc").unwrap();
    for (path, said) in [
        (dir.path().join("nope"), "cannot read the stat log"),
        (gzip, "begins with gzip data"),
        (dir.path().to_owned(), "the stat log"),
    ] {
        let problem = read_stat_log(&path, |_| {}).unwrap_err();
        assert!(problem.what.contains(said) && problem.hint.is_some(), "{problem:?}");
    }
}

const FEW: &str = "--users 1 --num-prompts 6 --random-input-len 5 --random-output-len 4 --ignore-eos --scrape-interval 60 --output run";

fn stat_rows(place: &Place) -> Vec<StatRow> {
    let lines: Lines<StatRow> = Lines::read(&place.path("run").join(STAT_LOG_STREAM)).unwrap();
    assert_eq!((lines.bad, lines.torn), (0, false));
    lines.rows
}

#[test]
fn a_run_keeps_the_stat_log_as_a_stream_and_a_table() {
    let (place, server) = (Place::new(), LookAlike::start(&[]));
    place.file("stat.jsonl", line("before"));
    let path = place.path("stat.jsonl");
    let writing = std::thread::spawn(move || {
        while let Ok(mut file) = File::options().append(true).open(&path) {
            let _ = file.write_all(line("x").as_bytes());
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let said = place.tare(&format!("run --base-url {} --stat-log stat.jsonl {FEW}", server.url));
    assert_eq!(said.code, Some(0), "{}", said.err);
    let rows = stat_rows(&place);
    assert!(!rows.is_empty() && rows.iter().all(|row| row.request_id == "chatcmpl-x"));
    let manifest = Manifest::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
    let source = manifest.sources.iter().find(|source| source.kind == "stat_log").unwrap();
    assert_eq!((source.location.as_str(), source.rows), ("stat.jsonl", rows.len() as u64));
    assert_eq!(manifest.counts["stat_log stat.jsonl"].rows_in, rows.len() as u64);
    assert!(fs::metadata(place.path("run").join(STAT_LOG)).unwrap().len() > 0);
    drop(place);
    writing.join().unwrap();
}

#[test]
fn a_stat_log_fetched_later_is_added_once() {
    let place = Place::new();
    place.file("config.yaml", "embedded:\n  decode_base_ms: 2\n");
    assert_eq!(place.tare(&format!("run config.yaml {FEW}")).code, Some(0));
    assert_eq!(stat_rows(&place).len(), 0);
    place.file("stat.jsonl", line("a") + &line("b") + "no line of it\n");
    let said = place.tare("report run --stat-log stat.jsonl");
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert!(said.out.contains("1 of 3 lines of the stat log stat.jsonl could not be read"), "{}", said.out);
    assert_eq!(stat_rows(&place).len(), 2);
    let again = place.tare("report run --stat-log stat.jsonl");
    assert_eq!(again.code, Some(2));
    assert!(again.err.contains("`stat.jsonl` is among the records of this run already"), "{}", again.err);
    assert!(again.err.contains("leave --stat-log out"), "{}", again.err);
    assert_eq!(stat_rows(&place).len(), 2, "nothing was added twice");
}
