//! What is wrong with records is said with its place, and costs nothing that is right.

use std::path::Path;

use tare::import::{Of, read};
use tare::record::correlated::Verdict;
use tare::record::{JoinedRow, Source};
use tare::run::recompute;
use tare::server::vllm::VLLM;
use tare::store::{RunData, RunFolder};

use super::{EVERYTHING, correlate, joined, place, row, sample, shown, text};
use crate::program::Place;

#[test]
fn a_file_of_another_kind_is_refused_and_sent_to_its_flag() {
    let fails = |name: &str, of: Of, format: Option<&str>| {
        shown(read(&sample(name), of, format, &VLLM).map(|read| read.format.name).unwrap_err())
    };
    insta::assert_snapshot!(fails("spans.jsonl", Of::Client, None), @r#"
    error: ROOT/tests/samples/import/spans.jsonl: expected a client's records, found no known format: it begins with `{"recv_ns": 1795533159178615252, "via": "grpc", "resource": {"telemetry.sdk.lang…`
    hint: known formats: tare, client_stamps, token_times, vllm_bench, aiperf, guidellm, inference_perf, client_csv, client_parquet, text_log, vllm_bench_summary, aiperf_summary, inference_perf_summary; --client-format names one
    hint: it looks like spans: give it with --spans
    "#);
    insta::assert_snapshot!(fails("finished.jsonl", Of::Pages, None), @r#"
    error: ROOT/tests/samples/import/finished.jsonl: expected metrics over time, found no known format: it begins with `{"k": "iter", "now_ns": 1795533161892980380, "it_ts": 1795533161.89269, "eng": 0…`
    hint: known formats: metrics_lines, aiperf_metrics, prometheus_api, prometheus_pages, scrapes_parquet
    hint: it looks like a stat log: give it with --stat-log
    "#);
    insta::assert_snapshot!(fails("client.jsonl", Of::Client, Some("k6")), @r"
    error: `k6` is no format for a client's records that is known
    hint: known formats: tare, client_stamps, token_times, vllm_bench, aiperf, guidellm, inference_perf, client_csv, client_parquet, text_log, vllm_bench_summary, aiperf_summary, inference_perf_summary
    ");
    insta::assert_snapshot!(fails("client.jsonl", Of::Client, Some("tare")), @r"
    error: none of the 11 records of ROOT/tests/samples/import/client.jsonl could be read as `tare`: line 1: unknown variant `HTTP/1.1 200 OK`, expected one of `ok`, `http_error`, `connect_error`, `timeout`, `cut`, `stream_error`, `decode_error`, `in_flight` at column 366
    hint: known formats: tare, client_stamps, token_times, vllm_bench, aiperf, guidellm, inference_perf, client_csv, client_parquet, text_log, vllm_bench_summary, aiperf_summary, inference_perf_summary; --client-format names one
    ");
    insta::assert_snapshot!(fails("nope", Of::Client, None), @r#"
    error: cannot read ROOT/tests/samples/import/nope
    caused by: No such file or directory (os error 2)
    hint: check the path
    "#);
}

#[test]
fn a_server_log_of_nothing_known_is_refused_and_no_folder_is_left() {
    let place = place();
    place.file("empty.jsonl", "\n\n");
    for (args, said) in [
        ("--client empty.jsonl", "empty.jsonl is empty: expected a client's records"),
        ("--client client.jsonl --server-log nope.log", "cannot read the server log nope.log"),
        (
            "--client client.jsonl --spans before.prom",
            "it is one page of metrics: give it with --metrics-before",
        ),
        ("--client client.jsonl --server nope", "`nope` is no kind of server"),
    ] {
        let failed = correlate(&place, args);
        assert_eq!(failed.code, Some(2), "{args}");
        assert!(failed.err.contains(said) && failed.err.contains("hint: "), "{args}: {}", failed.err);
        assert!(!place.path("run").exists(), "{args}");
    }
}

#[test]
fn unreadable_lines_are_counted_with_file_and_line_and_the_good_ones_joined() {
    let place = place();
    let damage = |name: &str| {
        let whole = text(name);
        let mut lines: Vec<&str> = whole.lines().collect();
        lines.insert(1, "{\"cut\": [");
        lines.insert(3, "no JSON");
        place.file("damaged", lines.join("\n"));
        std::fs::rename(place.path("damaged"), place.path(name)).unwrap();
    };
    ["client.jsonl", "spans.jsonl", "finished.jsonl"].into_iter().for_each(damage);
    let said = correlate(&place, &format!("--client client.jsonl {EVERYTHING}"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    for name in ["client.jsonl: 2 of 13", "spans.jsonl: 2 of 14", "finished.jsonl: 2 of"] {
        let line =
            said.out.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{}", said.out));
        assert!(line.contains("line 2: EOF") && line.contains("line 4: expected"), "{line}");
    }
    let data = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
    let counts = data.manifest.counts["client client.jsonl"];
    assert_eq!((counts.rows_in, counts.rows_out, counts.bad), (13, 11, 2));
    assert_eq!(row(&joined(&place), "bench-chat-0007").source, Source::Span);
}

#[test]
fn an_id_used_twice_joins_nothing_and_is_said() {
    let place = place();
    let said = correlate(&place, &format!("--client client.jsonl {EVERYTHING}"));
    let rows = joined(&place);
    let twice: Vec<&JoinedRow> = rows.iter().filter(|row| row.client.request_id == "bench-dup").collect();
    assert_eq!(twice.len(), 2);
    for row in twice {
        // Each answer's own metrics are its own; the spans could be either's.
        assert_eq!((row.source, row.server_ttft_s, row.client.n_events), (Source::InBand, None, 0));
        assert!(row.client.ttft_s.is_some());
    }
    assert!(said.out.contains("2 ids fit more than one request and were not joined"), "{}", said.out);
    assert!(said.out.contains("2 requests share their id with another"), "{}", said.out);
}

#[test]
fn spans_of_another_service_are_named_and_join_nothing() {
    let place = place();
    let spans = text("spans.jsonl");
    let trace = "\"trace_id\": \"";
    place.file("odd.jsonl", spans.replace(trace, &format!("{trace}f")));
    assert!(read(&place.path("odd.jsonl"), Of::Spans, None, &VLLM).is_err(), "33 hex digits are no trace id");
    // Ids of its own, and none of ours.
    let other = spans.lines().map(|line| {
        let (before, id) = line.split_once(trace).unwrap();
        let line = format!("{before}{trace}ffffffff{}\n", &id[8..]);
        line.replace("bench-", "other-").replace("b070cd14", "b170cd14")
    });
    place.file("spans.jsonl", other.collect::<String>());
    let said = correlate(&place, "--client client.jsonl --spans spans.jsonl --same-host");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let correlated = recompute(&place.path("run")).unwrap().correlated;
    assert!(correlated.rows.iter().all(|row| row.source != Source::Span && row.server_ttft_s.is_none()));
    let left = &correlated.coverage.span_leftovers;
    assert_eq!(left.get("foreign: no request of this run has its ids"), Some(&10), "{left:?}");
    assert_eq!(left.values().sum::<usize>(), 12, "each span has its reason: {left:?}");
}

#[test]
fn a_log_of_another_day_is_survived_and_said() {
    let place = place();
    // With the ids of these requests, 86,400 s too early.
    let yesterday: Vec<String> = text("server.log")
        .lines()
        .map(|line| match line.split_once('.') {
            Some((seconds, rest)) if seconds.parse::<u64>().is_ok() => {
                format!("{}.{rest}", seconds.parse::<u64>().unwrap() - 86_400)
            }
            _ => line.to_owned(),
        })
        .collect();
    place.file("server.log", yesterday.join("\n"));
    let said =
        correlate(&place, "--client client.jsonl --server-log server.log --spans spans.jsonl --same-host");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let correlated = recompute(&place.path("run")).unwrap().correlated;
    let c = &correlated.coverage;
    assert_eq!((c.requests, c.joined + c.unjoined.values().sum::<usize>()), (11, 11));
    let named = correlated
        .checks
        .iter()
        .any(|check| check.verdict == Verdict::Differ && check.name.contains("clock"))
        || c.log_leftovers.keys().any(|reason| reason.contains("another time"));
    assert!(named, "{:?} {:?}", correlated.checks, c.log_leftovers);
}

#[test]
fn a_packed_file_is_unpacked_and_a_broken_one_is_said() {
    use std::io::Write;
    let place = Place::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text("client.jsonl").as_bytes()).unwrap();
    let packed = gzip.finish().unwrap();
    place.file("client.jsonl.gz", &packed);
    place.file("cut.gz", &packed[..packed.len() / 2]);
    assert_eq!(read(&place.path("client.jsonl.gz"), Of::Client, None, &VLLM).unwrap().taken, 11);
    let failed = shown(read(&place.path("cut.gz"), Of::Client, None, &VLLM).map(|r| r.taken).unwrap_err());
    assert!(failed.contains("cannot unpack") && failed.contains("hint: "), "{failed}");
}

#[test]
fn no_bytes_break_an_import() {
    let place = Place::new();
    let samples = [
        "client.jsonl",
        "vllm-bench.json",
        "metrics.jsonl",
        "spans.jsonl",
        "otlp.jsonl",
        "finished.jsonl",
        "before.prom",
    ];
    for name in samples {
        let whole = std::fs::read(sample(name)).unwrap();
        for (cut, flip) in (1..40).zip((0..40).rev()) {
            let mut bytes = whole[..whole.len() * cut / 40].to_vec();
            let at = bytes.len() * flip / 41;
            bytes[at] ^= 0x15;
            place.file("damaged", &bytes);
            for of in [Of::Client, Of::Page, Of::Pages, Of::Spans, Of::StatLog] {
                if let Ok(got) = read(&place.path("damaged"), of, None, &VLLM) {
                    assert_eq!(got.seen, got.taken + got.bad, "{name}");
                }
            }
        }
    }
    assert!(!Path::new("damaged").exists());
}
