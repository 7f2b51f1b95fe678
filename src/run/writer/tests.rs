//! The writer against a folder that cannot be written: `/dev/full` is a disc without room, and a link to it in
//! place of a stream is a stream that cannot grow until the link leads elsewhere.

use std::os::unix::fs::symlink;
use std::path::Path;

use super::*;
use crate::record::fixture::{finished, log, scrape, span};
use crate::record::{LogEvent, ScrapePhase};
use crate::secrets::Secrets;
use crate::store::folder::{EVENTS_STREAM, MANIFEST, RESULTS_STREAM};
use crate::store::{Manifest, RunData, RunFolder};

/// Tries often, and gives up soon.
const HASTY: Patience = Patience {
    look_every: Duration::from_millis(5),
    hold_bytes: 40_000,
    try_every: Duration::from_millis(5),
    at_the_end: Duration::from_millis(20),
};

fn folder(dir: &Path) -> RunFolder {
    let folder = RunFolder::create(dir, false).unwrap();
    Manifest::new("test", serde_json::Value::Null).write(&folder).unwrap();
    assert!(folder.file(MANIFEST).is_file());
    folder
}

fn start(folder: &RunFolder, broken: &CancellationToken) -> Writer {
    let streams = RunWriter::create(folder, &Secrets::default()).unwrap();
    Writer::with_patience(streams, Arc::new(Live::default()), broken.clone(), HASTY).unwrap()
}

#[test]
fn without_trouble_everything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let broken = CancellationToken::new();
    let streams = RunWriter::create(&folder, &Secrets::default()).unwrap();
    let writer = Writer::with_patience(streams, Arc::new(Live::default()), broken.clone(), PATIENCE).unwrap();
    let requests = writer.requests();
    (0..600).for_each(|i| requests.send(finished(i)));
    writer.ingested().send(Ingested::Span(span(&finished(1).row)));
    drop(requests);
    let ended = writer.end().unwrap();
    assert!(ended.trouble.is_none() && !broken.is_cancelled());
    assert_eq!((ended.written.results, ended.written.spans), (600, 1));
    let data = RunData::read(&folder).unwrap();
    assert_eq!(data.complaints(), Vec::<String>::new());
    assert_eq!(data.requests.rows.len(), 600);
}

/// Rows of a kind that follow one another are written together, each kind in its order.
#[test]
fn rows_of_several_kinds_are_each_written_once_and_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let streams = RunWriter::create(&folder, &Secrets::default()).unwrap();
    let writer =
        Writer::with_patience(streams, Arc::new(Live::default()), CancellationToken::new(), PATIENCE)
            .unwrap();
    let row = |i: u64| finished(i).row;
    let line = |i: u64| Ingested::Log(log(&row(i), 0.0, LogEvent::Other));
    let page = |at: f64| Ingested::Scrape(scrape(ScrapePhase::During, at, Vec::new()));
    let to = writer.ingested();
    for item in [line(0), line(1), Ingested::Span(span(&row(1))), page(1.0), page(2.0), line(2), line(3)] {
        to.send(item);
    }
    drop(to);
    let written = writer.end().unwrap().written;
    assert_eq!((written.log, written.spans, written.scrapes), (4, 1, 2));
    let data = RunData::read(&folder).unwrap();
    assert_eq!(data.log.rows.iter().map(|row| row.line_no).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(data.scrapes.rows.is_sorted_by_key(|row| row.send_unix_ns));
}

/// It would sleep for an hour: what many requests that end together bring is not held for so long.
#[test]
fn where_much_waits_the_writer_is_woken() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    let streams = RunWriter::create(&folder, &Secrets::default()).unwrap();
    let patience = Patience { look_every: Duration::from_hours(1), ..PATIENCE };
    let live = Arc::new(Live::default());
    let writer = Writer::with_patience(streams, live, CancellationToken::new(), patience).unwrap();
    let requests = writer.requests();
    let of_many = || Finished { events: finished(1).events.repeat(1_000), ..finished(1) };
    let written = || std::fs::metadata(folder.file(RESULTS_STREAM)).is_ok_and(|meta| meta.len() > 0);
    // It has found nothing by now, and sleeps.
    std::thread::sleep(Duration::from_millis(50));
    while !written() {
        requests.send(of_many());
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(requests);
    writer.end().unwrap();
}

#[cfg_attr(not(target_os = "linux"), ignore = "only Linux has /dev/full")]
#[test]
fn on_a_full_disc_the_run_goes_on_in_memory_and_ends_when_that_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    symlink("/dev/full", folder.file(RESULTS_STREAM)).unwrap();
    let broken = CancellationToken::new();
    let writer = start(&folder, &broken);
    let requests = writer.requests();
    // Less than is held: the load goes on.
    (0..10).for_each(|i| requests.send(finished(i)));
    std::thread::sleep(Duration::from_millis(60));
    assert!(!broken.is_cancelled());
    (10..40).for_each(|i| requests.send(finished(i)));
    drop(requests);
    let ended = writer.end().unwrap();
    assert!(broken.is_cancelled(), "more than is held");
    let trouble = ended.trouble.unwrap();
    assert!(trouble.error.contains("No space left on device"), "{trouble:?}");
    assert_eq!(trouble.lost, Some(Left { requests: 40, events: 440, others: 0 }));
    assert!(trouble.ended_load);
    assert_eq!((ended.written.results, ended.written.events), (0, 0));
    // No events stay whose rows are nowhere, however often it was tried.
    std::fs::remove_file(folder.file(RESULTS_STREAM)).unwrap();
    let data = RunData::read(&folder).unwrap();
    assert_eq!((data.requests.rows.len(), data.events.len()), (0, 0));
    assert_eq!(data.complaints(), Vec::<String>::new());
}

#[cfg_attr(not(target_os = "linux"), ignore = "only Linux has /dev/full")]
#[test]
fn a_full_disc_shows_before_the_first_request() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    symlink("/dev/full", folder.file(EVENTS_STREAM)).unwrap();
    let refused = RunWriter::create(&folder, &Secrets::default()).err().unwrap();
    assert!(format!("{refused:#}").contains("No space left on device"), "{refused:#}");
}
