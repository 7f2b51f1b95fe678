//! `tare correlate`: each format on its own, then whole imports of real records, good and bad.

mod formats;
mod wrong;

use std::path::PathBuf;

use tare::error::{Failure, print};
use tare::import::{FORMATS, Imported, Of, read};

use tare::record::{JoinedRow, ScrapePhase, Source, Status};
use tare::run::recompute;
use tare::server::vllm::VLLM;
use tare::store::{RunData, RunFolder};

use crate::program::{Place, Said};
use crate::source::{modules, root};

fn sample(name: &str) -> PathBuf {
    root().join("tests/samples/import").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(sample(name)).unwrap()
}

fn imported(name: &str, of: Of) -> Imported {
    read(&sample(name), of, None, &VLLM).unwrap_or_else(|failure| panic!("{failure}"))
}

/// What the user sees of a failure.
fn shown(failure: Failure) -> String {
    let mut out = Vec::new();
    print(&mut out, &failure.into()).unwrap();
    String::from_utf8(out).unwrap().replace(&root().display().to_string(), "ROOT")
}

/// Equal up to the rounding of a few operations on doubles.
fn is_near(one: Option<f64>, other: Option<f64>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => (one - other).abs() <= 1e-14 * one.abs().max(other.abs()),
        (one, other) => one == other,
    }
}

#[test]
fn every_format_is_in_its_table() {
    let not_a_format = ["columns", "ended", "input", "instants", "json_span", "packets"];
    let files: Vec<String> =
        modules("src/import").into_iter().filter(|m| !not_a_format.contains(&m.as_str())).collect();
    let mut table: Vec<String> = FORMATS
        .iter()
        .map(|format| if format.name == "tare" { "tare_results" } else { format.name }.to_owned())
        .collect();
    table.sort();
    assert_eq!(files, table);
}

#[test]
fn each_sample_is_found_to_be_of_its_format() {
    for (name, of, format) in [
        ("client.jsonl", Of::Client, "client_stamps"),
        ("vllm-bench.json", Of::Client, "vllm_bench"),
        ("../correlate/results.jsonl", Of::Client, "tare"),
        ("before.prom", Of::Page, "prometheus"),
        ("metrics.jsonl", Of::Pages, "metrics_lines"),
        ("spans.jsonl", Of::Spans, "span_lines"),
        ("otlp.jsonl", Of::Spans, "otlp_json"),
        ("finished.jsonl", Of::StatLog, "vllm_finished_requests"),
        ("../../../parsers/tests/samples/tare_stat_log/vllm-0.32.jsonl", Of::StatLog, "tare_stat_log"),
    ] {
        assert_eq!(imported(name, of).format.name, format, "{name}");
    }
}

const EVERYTHING: &str = "--server-log server.log --metrics metrics.jsonl --spans spans.jsonl --stat-log finished.jsonl --same-host";

/// A place with the samples in it.
fn place() -> Place {
    let place = Place::new();
    for name in [
        "client.jsonl",
        "server.log",
        "metrics.jsonl",
        "spans.jsonl",
        "finished.jsonl",
        "before.prom",
        "after.prom",
    ] {
        place.file(name, text(name));
    }
    place
}

fn correlate(place: &Place, args: &str) -> Said {
    place.tare(&format!("correlate --output run {args}"))
}

/// Half of a report is shown all the same; without its records there is no run.
#[test]
fn what_finds_no_room_is_said_and_leaves_no_half_of_a_run() {
    let place = place();
    let args = "correlate --output run --client client.jsonl --server-log server.log";
    let said = place.tare_within("trap '' XFSZ; ulimit -f 4", args);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("error: the output folder cannot be written to"), "{}", said.err);
    assert!(!place.path("run").exists());
    let said = place.tare_within("trap '' XFSZ; ulimit -f 160", args);
    assert_eq!(said.code, Some(3), "{}", said.err);
    assert!(said.err.contains("of the report's files could not be written"), "{}", said.err);
    assert!(said.out.contains("Total Requests: ") && said.out.ends_with("\nrun\n"), "{}", said.out);
    assert_eq!(place.tare("report run").code, Some(0));
}

fn joined(place: &Place) -> Vec<JoinedRow> {
    recompute(&place.path("run")).unwrap().correlated.rows
}

fn row<'a>(rows: &'a [JoinedRow], id: &str) -> &'a JoinedRow {
    rows.iter().find(|row| row.client.request_id == id).unwrap_or_else(|| panic!("no {id}"))
}

/// The expected values are computed from the files by other means: instants by integer subtraction.
#[test]
fn real_records_of_both_sides_become_a_run_and_its_figures_are_the_captures() {
    let place = place();
    let said = correlate(&place, &format!("--client client.jsonl {EVERYTHING}"));
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert!(said.out.ends_with("run\n") && said.out.contains("Total Requests: 11"), "{}", said.out);

    let rows = joined(&place);
    let ms = |s: Option<f64>| (s.unwrap() * 1e9).round() as i64;
    for (id, arrival_after_sent, back) in [
        ("bench-chat-0000", 1_472_848, 1_110_131),
        ("bench-comp-0000", 1_271_854, 672_182),
        ("bench-chat-0007", 9_308_022, 6_193_499),
        ("bench-comp-0007", 1_115_993, 1_129_936),
    ] {
        let row = row(&rows, id);
        assert_eq!((row.source, row.span_fits_client), (Source::Span, Some(true)), "{id}");
        let arrival = row.server_arrival_unix_ns.unwrap();
        assert_eq!(arrival.0 - row.client.sent_unix_ns.unwrap().0, arrival_after_sent, "{id}");
        assert_eq!(ms(row.parts.path_back_s), back, "{id}");
        assert!(row.log_received_unix_ns.unwrap() > arrival && row.log_resolution_ns == Some(1_000), "{id}");
        assert_eq!(row.server_output_tokens, row.client.output_tokens, "{id}");
    }
    assert_eq!(row(&rows, "chatcmpl-b070cd147aeaf405").source, Source::Span, "by the answer's id");
    assert_eq!(row(&rows, "bench-n2").server_output_tokens, Some(24), "two choices of 12");
    assert_eq!(row(&rows, "bench-aborted").client.status, Status::Cut);
    assert!(row(&rows, "bench-badmodel").unmatched.as_ref().unwrap().contains("HTTP 4xx"));

    // An ordinary run folder: read back without a complaint, every source with its rows.
    let data = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
    assert_eq!(data.complaints(), [""; 0]);
    assert_eq!((data.requests.rows.len(), data.spans.rows.len()), (11, 12));
    assert!(data.stat_log.rows.len() >= 10 && !data.log.rows.is_empty());
    let phases: Vec<String> = data.scrapes.rows.iter().map(|row| format!("{:?}", row.phase)).collect();
    assert_eq!(phases, ["Before", "During", "During", "After", "During", "During"]);
    assert_eq!(data.manifest.target.server_version.as_deref(), Some("0.32.0"));
    for count in data.manifest.counts.values() {
        assert_eq!(count.rows_in, count.rows_out + count.bad);
    }
    let again = place.tare("report run");
    assert_eq!(said.out, format!("{}run\n", again.out), "`tare report` says the same");
}

#[test]
fn pages_without_a_time_stand_before_and_after() {
    let place = place();
    let args = "--client client.jsonl --metrics-before before.prom --metrics-after after.prom --metrics metrics.jsonl";
    assert_eq!(correlate(&place, args).code, Some(0));
    let data = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
    let begin = data.requests.rows.iter().map(|row| row.started_unix_ns).min().unwrap();
    let end = data.requests.rows.iter().map(|row| row.done_unix_ns).max().unwrap();
    let of = |phase: ScrapePhase| {
        let rows: Vec<_> = data.scrapes.rows.iter().filter(|row| row.phase == phase).collect();
        assert!(phase == ScrapePhase::During || rows.len() == 1);
        rows
    };
    assert_eq!(
        (of(ScrapePhase::Before)[0].recv_unix_ns, of(ScrapePhase::After)[0].send_unix_ns),
        (begin, end)
    );
    assert!(of(ScrapePhase::Before)[0].samples.iter().any(|sample| sample.name.ends_with("_bucket")));
    assert_eq!(of(ScrapePhase::During).len(), 6);
    assert!(data.manifest.notes.iter().any(|note| note.contains("carries no time")));
    // The pages count the whole capture, these are eleven of its requests.
    let aggregate = recompute(&place.path("run")).unwrap().correlated.aggregate;
    assert_eq!((aggregate.unusable, aggregate.finished.values().sum::<f64>()), (None, 59.0));
}

/// The same, but for the last digits of numbers: what is read from JSON and written again can be off by one
/// unit in the last place.
fn alike(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && alike(a, b))
        }
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
        }
        _ => a == b,
    }
}

#[test]
fn results_of_a_run_are_correlated_as_that_run_reported_them() {
    let place = Place::new();
    place.file("config.yaml", "embedded:\n  decode_base_ms: 2\n");
    let run =
        "--users 2 --num-prompts 12 --random-input-len 5 --random-output-len 8 --ignore-eos --output first";
    assert_eq!(place.tare(&format!("run config.yaml {run}")).code, Some(0));
    assert_eq!(correlate(&place, "--client first/results.jsonl --same-host").code, Some(0));
    let client = |folder: &str| {
        let text = std::fs::read(place.path(folder).join("summary.json")).unwrap();
        let summary: serde_json::Value = serde_json::from_slice(&text).unwrap();
        summary["summary"]["client"].clone()
    };
    assert!(client("first").as_array().is_some_and(|metrics| metrics.len() > 5));
    assert!(alike(&client("first"), &client("run")), "the client's side is the same, event by event");
    let data = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
    assert_eq!(data.complaints(), [""; 0]);

    // Without the stream of events beside it, the rows still come.
    std::fs::copy(place.path("first/results.jsonl"), place.path("alone.jsonl")).unwrap();
    let said = place.tare("correlate --client alone.jsonl --output alone");
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("come without their events"), "{}", said.out);
}
