//! Every sample file against a snapshot that a person has read. Drop a file into
//! `tests/samples/<format>/`, run the test, review the snapshot.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;

use tare_parsers::sse::SseDecoder;
use tare_parsers::{Event, FORMATS, Format, Hop, LogLine, LogTime, Parsed, exposition};

use crate::files::{self, Sample};

fn check(sample: &Sample, snapshot: &str) {
    insta::with_settings!({
        snapshot_path => files::folder().join("snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(snapshot_name(&sample.name), snapshot);
    });
}

fn snapshot_name(sample: &str) -> String {
    sample.replace('/', "__")
}

#[test]
fn logs() {
    for format in FORMATS {
        for sample in files::of(format.name) {
            check(&sample, &log(format, sample.text()));
        }
    }
}

fn log(format: &Format, text: &str) -> String {
    let mut scratch = String::new();
    let mut out = String::new();
    for (at, line) in files::lines(text).enumerate() {
        write!(out, "{:3} ", at + 1).unwrap();
        match (format.parse)(line, &mut scratch) {
            Parsed::Line(line) => match &line.event {
                Event::Hop(hop) => writeln!(out, "{} {}", head(&line), what_is_there(hop)).unwrap(),
                event => writeln!(out, "{} {event:?}", head(&line)).unwrap(),
            },
            Parsed::Blank => writeln!(out, "blank").unwrap(),
            Parsed::Unknown(error) => writeln!(out, "? {error}").unwrap(),
        }
    }
    out
}

/// A hop without the many fields that are `None` or empty.
fn what_is_there(hop: &Hop<'_>) -> String {
    let all = format!("{hop:#?}");
    let there =
        all.lines().map(str::trim).filter(|line| !line.ends_with(": None,") && *line != "stated: [],");
    let mut out = String::new();
    for line in there {
        let is_inside = out.ends_with(['(', '[']) || line.starts_with([')', ']']);
        out.push_str(if out.is_empty() || is_inside { "" } else { " " });
        out.push_str(line);
    }
    out.replace(",)", ")").replace(",]", "]").replace(", }", " }")
}

fn head(line: &LogLine<'_>) -> String {
    let mut out = String::new();
    match line.time {
        None => out.push('-'),
        Some(LogTime::Unix { unix_ns, resolution_ns }) => write!(out, "{unix_ns}ns±{resolution_ns}").unwrap(),
        Some(LogTime::Local { year, month, day, hour, minute, second, nanos, resolution_ns }) => {
            let year = year.map_or("????".to_owned(), |year| year.to_string());
            write!(
                out,
                "{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{nanos:09}±{resolution_ns}"
            )
            .unwrap();
        }
    }
    let process = line.process.unwrap_or("-");
    let pid = line.pid.map_or("-".to_owned(), |pid| pid.to_string());
    write!(out, " {process}/{pid} {}", line.level.unwrap_or("-")).unwrap();
    out
}

#[test]
fn expositions() {
    for sample in files::of("exposition") {
        check(&sample, &page(sample.text()));
    }
}

fn page(text: &str) -> String {
    let scrape = exposition::parse(text);
    let mut out = String::new();
    writeln!(out, "complete: {}", scrape.complete).unwrap();
    for (name, kind) in &scrape.types {
        writeln!(out, "type {name}: {kind:?}").unwrap();
    }
    for sample in &scrape.samples {
        write!(out, "{} {:?} = {:?}", sample.name, sample.labels, sample.value).unwrap();
        match sample.timestamp_ms {
            Some(at) => writeln!(out, " at {at} ms").unwrap(),
            None => out.push('\n'),
        }
    }
    for error in &scrape.errors {
        writeln!(out, "{error}").unwrap();
    }
    out
}

#[test]
fn event_streams() {
    for sample in files::of("sse") {
        let mut decoder = SseDecoder::new();
        let mut out = String::new();
        decoder.push(&sample.bytes, |event| {
            writeln!(
                out,
                "{:?} {:4} bytes {:?}",
                String::from_utf8_lossy(event.name),
                event.wire_bytes,
                String::from_utf8_lossy(event.data)
            )
            .unwrap();
        });
        writeln!(
            out,
            "comments: {}, oversize: {}, partial: {}",
            decoder.comments(),
            decoder.oversize(),
            decoder.has_partial()
        )
        .unwrap();
        check(&sample, &out);
    }
}

#[test]
fn no_snapshot_outlives_its_sample() {
    let samples: BTreeSet<String> = files::of_logs()
        .into_iter()
        .chain(files::of("exposition"))
        .chain(files::of("sse"))
        .chain(files::of("pcap"))
        .map(|sample| format!("{}.snap", snapshot_name(&sample.name)))
        .collect();
    // A `.snap.new` is a test that failed, and says so itself.
    let snapshots: BTreeSet<String> = fs::read_dir(files::folder().join("snapshots"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "snap"))
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    assert_eq!(samples, snapshots);
}
