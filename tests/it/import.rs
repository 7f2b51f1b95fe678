//! `tare correlate`: each format on its own, then whole imports of real records, good and bad.

use std::path::{Path, PathBuf};

use tare::clock::UnixNs;
use tare::error::{Failure, print};
use tare::import::{FORMATS, Imported, Of, read};
use tare::record::correlated::Verdict;
use tare::record::{Endpoint, JoinedRow, RequestRow, ScrapePhase, Source, StampSource, Status};
use tare::run::recompute;
use tare::server::vllm::VLLM;
use tare::store::{Lines, RunData, RunFolder};

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

// ── one format after the other ──

/// The reference was made of the same capture by another program, when the samples of `correlate`
/// were.
#[test]
fn client_stamps_become_the_rows_that_another_program_made_of_them() {
    let reference: Lines<RequestRow> =
        Lines::read(&root().join("tests/samples/correlate/results.jsonl")).unwrap();
    let ours = imported("client.jsonl", Of::Client);
    assert_eq!((ours.seen, ours.taken, ours.bad), (11, 11, 0));
    let mut compared = 0;
    for finished in &ours.rows.requests {
        let row = &finished.row;
        let Some(other) = reference.rows.iter().find(|other| other.started_unix_ns == row.started_unix_ns)
        else {
            panic!("no reference for {}", row.request_id);
        };
        let same = |r: &RequestRow| {
            (
                (r.trace_id.clone(), r.response_id.clone(), r.endpoint, r.streamed, r.status, r.http_status),
                (r.connect_begin_unix_ns, r.connect_end_unix_ns, r.send_begin_unix_ns, r.sent_unix_ns),
                (r.head_unix_ns, r.first_token_unix_ns, r.done_unix_ns),
                r.last_token_unix_ns.filter(|_| r.streamed && r.status == Status::Ok),
                (r.input_tokens, r.output_tokens, r.local_port),
                r.finish_reason.clone().filter(|_| r.streamed),
                r.n_exact_events,
            )
        };
        // The formulas round at other places.
        let times = |r: &RequestRow| {
            [
                r.ttft_s,
                // Of an answer in one piece the other took the end of the connection, not of the read.
                r.e2e_s.filter(|_| r.streamed),
                r.itl_mean_s,
                r.tpot_s,
                r.user_throughput_tps.filter(|_| r.streamed),
                r.in_band_prefill_s,
                r.in_band_queue_s,
                r.in_band_decode_s,
            ]
        };
        for (ours, theirs) in times(row).into_iter().zip(times(other)) {
            assert!(is_near(ours, theirs), "{}: {ours:?}, {theirs:?}", row.request_id);
        }
        assert_eq!(same(row), same(other), "{}", row.request_id);
        assert_eq!(row.stamps, StampSource::User);
        assert_eq!(finished.events.len(), row.n_events as usize);
        compared += 1;
    }
    assert_eq!(compared, 11);
}

/// Of text completions vLLM sends no event without a token, though half a character has no text yet: the
/// first token of this captured answer came 28.9 ms after the start, the first text 57.0 ms.
#[test]
fn the_first_token_of_a_text_completion_may_have_no_text() {
    let line = r#"{"tag":"comp-01","path":"/v1/completions","x_request_id":"bench-comp-0001","traceparent":null,"t_start_ns":1795533164124922109,"t_conn_ns":1795533164125315988,"t_sent_ns":1795533164125354681,"t_head_ns":1795533164131085571,"t_end_ns":1795533164348231156,"aborted":false,"status":"HTTP/1.1 200 OK","resp_id":"cmpl-bench-comp-0001","usage":{"prompt_tokens":61,"total_tokens":93,"completion_tokens":32,"prompt_tokens_details":{"cached_tokens":0}},"headers":["content-type: text/event-stream; charset=utf-8"],"events":[{"t":1795533164153824777,"n":0},{"t":1795533164181876508,"n":7},{"t":1795533164193175263,"n":6},{"t":1795533164347242010,"n":3,"fin":"length"},{"t":1795533164348167376,"n":null,"u":[61,32]},{"t":1795533164348167376,"raw":"[DONE]"}],"reads":[[1795533164131085571,213],[1795533164153824777,237],[1795533164181876508,246],[1795533164193175263,723],[1795533164348167376,503]]}"#;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("client.jsonl");
    let ttft_of = |line: &str| {
        std::fs::write(&file, line).unwrap();
        let imported = read(&file, Of::Client, None, &VLLM).unwrap();
        imported.rows.requests[0].row.ttft_s
    };
    assert!(is_near(ttft_of(line), Some(0.028_902_668)));
    // The first event of a chat has no text either, and bears no token.
    assert!(is_near(ttft_of(&line.replace("/v1/completions", "/v1/chat/completions")), Some(0.056_954_399)));
}

#[test]
fn a_clients_event_lies_between_the_read_before_and_its_own() {
    let rows = imported("client.jsonl", Of::Client).rows.requests;
    let chat = rows.iter().find(|f| f.row.request_id == "bench-chat-0000").unwrap();
    // Reads at …900638264 (head), …922094443 (role), …922360392 (first text), then one after the other.
    let first = chat.events[0];
    assert_eq!(
        (first.stamp_lo_unix_ns, first.stamp_hi_unix_ns, first.user_unix_ns),
        (
            UnixNs(1_795_533_163_922_094_443),
            UnixNs(1_795_533_163_922_360_392),
            UnixNs(1_795_533_163_922_360_392)
        )
    );
    // The last read brought the last three texts, an empty one, the usage and the end.
    let last = chat.events.last().unwrap();
    assert_eq!(
        (last.stamp_lo_unix_ns, last.stamp_hi_unix_ns, last.events_in_read),
        (UnixNs(1_795_533_163_983_838_286), UnixNs(1_795_533_164_013_825_047), 6)
    );
    assert!(rows.iter().flat_map(|f| &f.events).all(|e| e.stamp_lo_unix_ns < e.stamp_hi_unix_ns));
    assert!(rows.iter().flat_map(|f| &f.events).all(|e| e.tokens.is_none()), "usage came at the end only");
    assert_eq!(chat.row.first_token_lo_unix_ns, Some(first.stamp_lo_unix_ns));
}

#[test]
fn tokens_of_events_are_told_where_usage_goes_on_with_them() {
    let place = Place::new();
    let line = r#"{"x_request_id":"a","t_start_ns":1795533164000001000,"t_conn_ns":1795533164000001100,"t_sent_ns":1795533164000001200,"t_end_ns":1795533164000009000,"status":"HTTP/1.1 200 OK","reads":[[1795533164000002000,9],[1795533164000003000,9],[1795533164000004000,9]],"events":[{"t":1795533164000002000,"n":0,"role":1,"u":[5,0]},{"t":1795533164000003000,"n":3,"u":[5,2]},{"t":1795533164000003000,"n":0,"u":[5,3]},{"t":1795533164000004000,"n":1,"fin":"stop","u":[5,4]},{"t":1795533164000004000,"n":null,"u":[5,4]},{"t":null,"raw":"{\"id"},{"t":1795533164000004000,"raw":"[DONE]"}]}"#;
    place.file("client.jsonl", line);
    let rows = read(&place.path("client.jsonl"), Of::Client, None, &VLLM).unwrap().rows.requests;
    let at = |stamp: UnixNs| stamp.0 - 1_795_533_164_000_000_000;
    let events: Vec<_> =
        rows[0].events.iter().map(|e| (at(e.stamp_lo_unix_ns), at(e.stamp_hi_unix_ns), e.tokens)).collect();
    assert_eq!(events, [(2000, 3000, Some(2)), (2000, 3000, Some(1)), (3000, 4000, Some(1))]);
    let row = &rows[0].row;
    assert_eq!((row.status, row.input_tokens, row.output_tokens), (Status::Ok, Some(5), Some(4)));
    assert_eq!((row.ttft_s, row.e2e_s), (Some(2e-6), Some(3e-6)));
}

#[test]
fn requests_without_an_id_of_their_own_get_the_answers() {
    let rows = imported("client.jsonl", Of::Client).rows.requests;
    let ids: Vec<&str> = rows.iter().map(|f| f.row.request_id.as_str()).collect();
    assert!(ids.contains(&"chatcmpl-b070cd147aeaf405"), "{ids:?}");
    let place = Place::new();
    place.file(
        "c.jsonl",
        "\n{\"t_start_ns\":1795533164000000005,\"events\":[]}\n{\"t_start_ns\":1795533164,\"events\":[]}\n",
    );
    let got = read(&place.path("c.jsonl"), Of::Client, None, &VLLM).unwrap();
    let rows = &got.rows.requests;
    assert_eq!((rows[0].row.request_id.as_str(), rows[0].row.status), ("c.jsonl:2", Status::ConnectError));
    let bad = got.notes.iter().find(|note| note.contains("could not be read")).unwrap();
    assert!(bad.contains("line 3: `t_start_ns`: expected an instant since 1970, found 1795533164"), "{bad}");
}

#[test]
fn a_result_of_vllm_bench_has_durations_and_nothing_it_does_not_say() {
    let got = imported("vllm-bench.json", Of::Client);
    assert_eq!((got.seen, got.taken), (4, 4));
    let row = |i: usize| &got.rows.requests[i].row;
    // 0.1 s to the first token, then gaps of 10 and 20 ms: three tokens, two gaps, 130 ms in all.
    let near = |found: Option<f64>, expected: f64| {
        assert!(found.is_some_and(|found| (found - expected).abs() < 1e-9), "{found:?} is not {expected}");
    };
    near(row(0).ttft_s, 0.1);
    near(row(0).e2e_s, 0.13);
    near(row(0).itl_mean_s, 0.015);
    near(row(0).tpot_s, 0.015);
    near(row(0).user_throughput_tps, 3.0 / 0.13);
    assert_eq!(
        (row(0).endpoint, row(0).stamps, row(0).n_exact_events),
        (Endpoint::Chat, StampSource::User, 0)
    );
    assert_eq!((row(0).output_tokens, row(0).input_tokens), (Some(3), None));
    // By `start_times`: the second was started half a second before the first, and had waited as long.
    near(Some(row(0).started_unix_ns.seconds_since(row(1).started_unix_ns)), 0.5);
    near(Some(row(1).started_unix_ns.seconds_since(row(1).scheduled_unix_ns)), 0.5);
    // Two messages at one moment: neither is exact.
    let events = &got.rows.requests[1].events;
    assert_eq!(events[0].stamp_hi_unix_ns, events[1].stamp_hi_unix_ns);
    assert!(events.iter().all(|e| e.stamp_lo_unix_ns < e.stamp_hi_unix_ns && e.tokens.is_none()));
    let ends: Vec<_> = (0..4).map(|i| (row(i).status, row(i).error.as_deref())).collect();
    assert_eq!(
        ends,
        [
            (Status::Ok, None),
            (Status::Ok, None),
            (Status::HttpError, Some("Not Found")),
            (
                Status::ConnectError,
                Some("aiohttp.client_exceptions.ClientConnectorError: Cannot connect to host 127.0.0.1:1")
            ),
        ]
    );
}

#[test]
fn spans_are_the_same_rows_whatever_they_are_written_in() {
    let (flat, otlp) = (imported("spans.jsonl", Of::Spans), imported("otlp.jsonl", Of::Spans));
    let requests: Vec<_> = flat.rows.spans.iter().filter(|span| span.name == "llm_request").collect();
    assert_eq!((flat.rows.spans.len(), requests.len(), otlp.rows.spans.len()), (12, 11, 11));
    for (a, b) in requests.iter().zip(&otlp.rows.spans) {
        let mut a = (*a).clone();
        // Only the flat lines tell how and when a span was received.
        (a.recv_unix_ns, a.via) = (b.recv_unix_ns, b.via.clone());
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
    let span = &otlp.rows.spans[1];
    assert_eq!(span.request_id.as_deref(), Some("chatcmpl-bench-chat-0000"));
    assert_eq!(span.ttft_s, Some(0.023_204_565_048_217_773));
    assert_eq!((span.input_tokens, span.output_tokens), (Some(22), Some(16)));
    assert_eq!((span.trace_id.as_str(), span.via.as_str()), ("0c5c7fd0a6a3a4506513270e269e0d37", "file"));
}

#[test]
fn a_stat_log_under_vllms_own_names_gives_the_same_rows_as_ours() {
    let theirs = imported("finished.jsonl", Of::StatLog);
    let ours = imported("../../../parsers/tests/samples/tare_stat_log/vllm-0.32.jsonl", Of::StatLog);
    assert!(theirs.notes[0].contains("2 lines about engine steps were left out"), "{:?}", theirs.notes);
    let mut compared = 0;
    for row in &theirs.rows.stats {
        let Some(other) = ours
            .rows
            .stats
            .iter()
            .find(|other| other.request_id == row.request_id && is_near(other.e2e_s, row.e2e_s))
        else {
            continue;
        };
        let apart = row.iteration_unix_ns.unwrap().0 - other.iteration_unix_ns.unwrap().0;
        assert!(apart.abs() <= 256, "the grain of the double: {apart}");
        // One of the two readers of JSON rounds the last digit differently.
        for (a, b) in [
            (row.prefill_s, other.prefill_s),
            (row.decode_s, other.decode_s),
            (row.inference_s, other.inference_s),
        ] {
            assert!(is_near(a, b), "{a:?}, {b:?}");
        }
        assert_eq!((row.input_tokens, row.output_tokens), (other.input_tokens, other.output_tokens));
        compared += 1;
    }
    assert_eq!(compared, 9, "those that are in both samples");
}

#[test]
fn pages_of_metrics_that_tell_what_changed_are_whole_again() {
    let pages = imported("metrics.jsonl", Of::Pages).rows.pages;
    assert_eq!(pages.len(), 6);
    let value = |i: usize, name: &str| {
        let sample = pages[i].page.samples.iter().find(|sample| sample.name == name);
        sample.map(|sample| sample.value)
    };
    // Never mentioned again after the first line, and there to the last.
    assert_eq!(value(5, "vllm:num_requests_waiting"), Some(0.0));
    assert_eq!(value(5, "vllm:e2e_request_latency_seconds_count"), Some(65.0));
    let rising: Vec<f64> = (0..6).map(|i| value(i, "vllm:generation_tokens_total").unwrap()).collect();
    assert!(rising.is_sorted() && rising[0] < rising[5], "{rising:?}");

    // A line that cannot be read takes those with it that only tell what changed since.
    let place = Place::new();
    let mut lines: Vec<&str> = Vec::new();
    let whole = text("metrics.jsonl");
    lines.extend(whole.lines());
    lines[2] = "{\"t0\": 5";
    place.file("m.jsonl", lines.join("\n"));
    let got = read(&place.path("m.jsonl"), Of::Pages, None, &VLLM).unwrap();
    assert_eq!((got.seen, got.taken, got.bad), (6, 2, 4));
    assert!(got.notes[0].contains("4 of 6 records could not be read; line 3: "), "{:?}", got.notes);
}

// ── whole imports ──

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

// ── what is wrong ──

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
