//! The store against what happens to files: whole runs, kills at any byte, bad lines, full folders.

use super::folder::{self, RunFolder};
use super::{Events, Lines, Manifest, RunData, RunEvents, RunWriter, events_parquet, table};
use crate::record::begun::Begun;
use crate::record::fixture::{finished, hop, log, request, sample, scrape, span, stat};
use crate::record::{LogEvent, RequestRow, ScrapePhase};
use crate::secrets::Secrets;

/// A run of `n` requests on disc, written two at a time.
fn run(n: u64) -> (tempfile::TempDir, RunFolder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), false).unwrap();
    Manifest::new("test", serde_json::Value::Null).write(&folder).unwrap();
    let mut writer = RunWriter::create(&folder, &Secrets::default()).unwrap();
    writer.scrapes(&[scrape(ScrapePhase::Before, -1.0, vec![sample("up", "0", &[], f64::NAN)])]).unwrap();
    let all: Vec<_> = (0..n).map(finished).collect();
    for two in all.chunks(2) {
        writer.finished(two).unwrap();
    }
    for f in &all {
        writer.spans(&[span(&f.row)]).unwrap();
        writer.stats(&[stat(&f.row)]).unwrap();
        writer.hops(&[hop(&f.row)]).unwrap();
        writer.logs(&[log(&f.row, 0.006, LogEvent::Received { request_id: "x".to_owned() })]).unwrap();
    }
    let written = writer.end().unwrap();
    assert_eq!((written.results, written.events, written.spans, written.stat_log), (n, 11 * n, n, n));
    (dir, folder)
}

#[test]
fn a_run_comes_back_as_it_was_written() {
    let (_dir, folder) = run(5);
    let back = RunData::read(&folder).unwrap();
    assert_eq!(back.complaints(), Vec::<String>::new());
    let mut expected = Events::default();
    (0..5).for_each(|i| expected.push(&finished(i)));
    assert_eq!(back.events.whole().unwrap(), expected);
    assert_eq!((back.events.count_of("r-0003"), back.events.count_of("r-0009")), (11, 0));
    for (i, row) in (0_u64..).zip(&back.requests.rows) {
        assert_eq!(serde_json::to_value(row).unwrap(), serde_json::to_value(request(i)).unwrap());
    }
    assert!(back.scrapes.rows[0].samples[0].value.is_nan());
    assert_eq!(back.log.rows[2].event, LogEvent::Received { request_id: "x".to_owned() });
    assert_eq!(back.spans.rows[4].start_unix_ns, span(&request(4)).start_unix_ns);
    assert_eq!(back.stat_log.rows[3], stat(&request(3)));
    assert_eq!(back.hops.rows[2], hop(&request(2)));
}

#[test]
fn a_kill_at_any_byte_of_the_events_costs_at_most_the_batch_being_written() {
    let (_dir, folder) = run(4);
    let bytes = std::fs::read(folder.file(folder::EVENTS_STREAM)).unwrap();
    let mut lengths = Vec::new();
    for cut in 0..=bytes.len() {
        let events = RunEvents::from_bytes(&bytes[..cut]).unwrap();
        assert!(events.len().is_multiple_of(22), "half a batch at {cut}: {}", events.len());
        assert!(lengths.last().is_none_or(|&before| events.len() >= before), "fewer rows from more bytes");
        assert!(events.torn.as_ref().is_none_or(|torn| torn.bytes > 0 && !torn.reason.is_empty()));
        lengths.push(events.len());
    }
    assert_eq!(lengths[bytes.len()], 44);
    // Read from the file, bit by bit, it is the same.
    for cut in (0..=bytes.len()).step_by(53).chain([bytes.len()]) {
        std::fs::write(folder.file(folder::EVENTS_STREAM), &bytes[..cut]).unwrap();
        let from_file = RunEvents::open(&folder.file(folder::EVENTS_STREAM)).unwrap();
        let from_memory = RunEvents::from_bytes(&bytes[..cut]).unwrap();
        assert_eq!(from_file.whole().unwrap(), from_memory.whole().unwrap(), "at {cut}");
        assert_eq!(from_file.torn, from_memory.torn, "at {cut}");
    }
    assert_eq!(RunEvents::from_bytes(&bytes).unwrap().torn, None);
    let without_end = RunEvents::from_bytes(&bytes[..bytes.len() - 8]).unwrap();
    assert_eq!((without_end.len(), without_end.torn), (44, None));
    let in_the_end = RunEvents::from_bytes(&bytes[..bytes.len() - 3]).unwrap();
    assert_eq!((in_the_end.len(), in_the_end.torn.map(|torn| torn.bytes)), (44, Some(5)));
}

#[test]
fn something_else_in_place_of_the_events_is_an_error_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.arrows");
    std::fs::write(&path, "<html>".repeat(2000)).unwrap();
    let error = RunEvents::open(&path).unwrap_err();
    assert!(error.to_string().contains("is not an event stream of tare"), "{error}");
}

#[test]
fn a_torn_last_line_and_bad_lines_are_counted_and_the_rest_survives() {
    let mut bytes = Vec::new();
    for i in 0..3 {
        serde_json::to_writer(&mut bytes, &request(i)).unwrap();
        bytes.extend_from_slice(if i == 1 { b"\n{\"request_id\": 5}\n\n\xff\xfe\n" } else { b"\n" });
    }
    let whole: Lines<RequestRow> = Lines::parse(&bytes);
    assert_eq!((whole.rows.len(), whole.bad, whole.torn), (3, 2, false));
    assert_eq!(whole.bad_lines.iter().map(|l| l.line_no).collect::<Vec<_>>(), [3, 5]);
    assert!(
        whole
            .complaint("results.jsonl")
            .unwrap()
            .starts_with("results.jsonl: 2 bad line(s), the first is line 3")
    );

    let torn: Lines<RequestRow> = Lines::parse(&bytes[..bytes.len() - 9]);
    assert_eq!((torn.rows.len(), torn.bad, torn.torn), (2, 2, true));
    let only_the_newline_missing: Lines<RequestRow> = Lines::parse(&bytes[..bytes.len() - 1]);
    assert_eq!((only_the_newline_missing.rows.len(), only_the_newline_missing.torn), (3, false));
    assert_eq!(Lines::<RequestRow>::parse(b"").rows.len(), 0);
}

#[test]
fn a_kill_between_events_and_rows_is_told() {
    let (_dir, folder) = run(4);
    let path = folder.file(folder::RESULTS_STREAM);
    let text = std::fs::read_to_string(&path).unwrap();
    let first = text.split_inclusive('\n').take(3).collect::<String>();
    std::fs::write(&path, &first[..first.len() - 20]).unwrap();
    let run = RunData::read(&folder).unwrap();
    assert_eq!(run.requests.rows.len(), 2);
    assert_eq!(
        run.complaints(),
        [
            "results.jsonl: the last line is cut",
            "events.arrows: the events of 2 request(s) have no row in results.jsonl"
        ]
    );
}

#[test]
fn rows_without_their_events_are_told() {
    let (_dir, folder) = run(4);
    let path = folder.file(folder::EVENTS_STREAM);
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 500]).unwrap();
    let told = RunData::read(&folder).unwrap().complaints();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].starts_with("events.arrows: "), "{told:?}");
    assert_eq!(told[1], "results.jsonl: 2 request(s) lack events in events.arrows");
}

#[test]
fn requests_come_back_in_the_order_of_scheduling() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), false).unwrap();
    Manifest::new("test", serde_json::Value::Null).write(&folder).unwrap();
    let mut writer = RunWriter::create(&folder, &Secrets::default()).unwrap();
    for i in [2, 0, 1] {
        writer.finished(&[finished(i)]).unwrap();
    }
    drop(writer); // killed: the stream has no end mark
    let run = RunData::read(&folder).unwrap();
    assert_eq!(run.requests.rows.iter().map(|r| r.index).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((run.events.torn.as_ref(), run.events.count_of("r-0002")), (None, 11));
}

#[test]
fn parquet_is_the_same_bytes_every_time_and_events_can_be_read_from_it() {
    let (_dir, folder) = run(300);
    let run = RunData::read(&folder).unwrap();
    let write = |suffix: &str| {
        let at = |name: &str| folder.file(&format!("{name}{suffix}"));
        table::write_results(&at("results"), &run.requests.rows).unwrap();
        events_parquet::write(&at("events"), &run.events).unwrap();
        table::write_scrapes(&at("scrapes"), &run.scrapes.rows).unwrap();
        table::write_log(&at("log"), &run.log.rows).unwrap();
        table::write_spans(&at("spans"), &run.spans.rows).unwrap();
        table::write_stat_log(&at("stat"), &run.stat_log.rows).unwrap();
        table::write_hops(&at("hops"), &run.hops.rows).unwrap();
        ["results", "events", "scrapes", "log", "spans", "stat", "hops"]
            .map(|name| std::fs::read(at(name)).unwrap())
    };
    assert!(write("1") == write("2"), "a table differs from itself");

    let events = run.events.whole().unwrap();
    std::fs::rename(folder.file("events1"), folder.file(folder::EVENTS)).unwrap();
    std::fs::remove_file(folder.file(folder::EVENTS_STREAM)).unwrap();
    assert_eq!(RunData::read(&folder).unwrap().events.whole().unwrap(), events);
}

#[test]
fn an_empty_run_still_makes_every_table() {
    let (_dir, folder) = run(0);
    let run = RunData::read(&folder).unwrap();
    table::write_results(&folder.file(folder::RESULTS), &run.requests.rows).unwrap();
    events_parquet::write(&folder.file(folder::EVENTS), &run.events).unwrap();
    table::write_log(&folder.file(folder::LOG), &run.log.rows).unwrap();
    table::write_spans(&folder.file(folder::SPANS), &run.spans.rows).unwrap();
    table::write_stat_log(&folder.file(folder::STAT_LOG), &run.stat_log.rows).unwrap();
    table::write_hops(&folder.file(folder::HOPS), &run.hops.rows).unwrap();
    table::write_joined(&folder.file(folder::JOINED), &[]).unwrap();
    assert!(events_parquet::read(&folder.file(folder::EVENTS)).unwrap().is_empty());
}

#[test]
fn requests_without_events_write_no_batch() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), false).unwrap();
    Manifest::new("test", serde_json::Value::Null).write(&folder).unwrap();
    let mut writer = RunWriter::create(&folder, &Secrets::default()).unwrap();
    let mut failed = finished(0);
    failed.events.clear();
    failed.row.n_events = 0;
    writer.finished(&[failed]).unwrap();
    writer.end().unwrap();
    let run = RunData::read(&folder).unwrap();
    assert_eq!((run.requests.rows.len(), run.events.len()), (1, 0));
    assert_eq!(run.complaints(), Vec::<String>::new());
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disc_is_an_error_that_names_the_file() {
    let mut lines =
        super::append::JsonLines::create(std::path::Path::new("/dev/full"), &Secrets::default()).unwrap();
    let error = lines.append(&request(0)).unwrap_err();
    assert_eq!(error.to_string(), "cannot append to /dev/full");
}

#[test]
fn what_was_begun_and_has_no_row_was_in_flight() {
    let (_dir, folder) = run(3);
    let begun = |index: u64| Begun {
        request_id: request(index).request_id,
        index,
        user: None,
        begun_unix_ns: request(index).started_unix_ns,
    };
    std::fs::remove_file(folder.file(folder::BEGUN_STREAM)).unwrap();
    let mut stream =
        super::append::JsonLines::create(&folder.file(folder::BEGUN_STREAM), &Secrets::default()).unwrap();
    stream.append_all([0, 1, 2, 3, 7].map(begun).iter()).unwrap();
    let mut data = RunData::read(&folder).unwrap();
    assert_eq!(data.without_row().iter().map(|b| b.index).collect::<Vec<_>>(), [3, 7]);
    insta::assert_snapshot!(data.unended().unwrap(), @"2 requests were in flight when the run was killed, and have no row (`begun.jsonl` names them); the oldest, r-0003, had been begun 4,000 ms before the last record");
    data.manifest.end(super::manifest::RunState::Finished);
    assert_eq!(data.unended(), None, "of a run that came to its end it is no matter of a kill");
    // Of an older version there is no such file.
    std::fs::remove_file(folder.file(folder::BEGUN_STREAM)).unwrap();
    let old = RunData::read(&folder).unwrap();
    assert_eq!((old.unended(), old.complaints()), (None, Vec::new()));
}

#[cfg_attr(not(target_os = "linux"), ignore = "only Linux has /dev/full")]
#[test]
fn finished_requests_are_written_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(dir.path(), false).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.file(folder::RESULTS_STREAM)).unwrap();
    let mut writer = RunWriter::create(&folder, &Secrets::default()).unwrap();
    let before = std::fs::read(folder.file(folder::EVENTS_STREAM)).unwrap();
    assert!(writer.finished(&[finished(0)]).is_err());
    assert_eq!(writer.written(), super::append::Written::default());
    assert!(
        std::fs::read(folder.file(folder::EVENTS_STREAM)).unwrap() == before,
        "events without their row stay"
    );
}
