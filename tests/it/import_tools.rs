//! `tare correlate` on what other load tools really wrote: their own figures must come out again, their
//! failures must be told apart, and whatever has ids must be joined request by request.

use std::path::PathBuf;

use serde_json::Value;
use tare::error::{Failure, print};
use tare::import::{Choice, Imported, Of, read, read_chosen};
use tare::record::{JoinedRow, RequestRow, ScrapePhase, Source, Status};
use tare::run::recompute;
use tare::server::vllm::VLLM;
use tare::stats::quantile;
use tare::store::{RunData, RunFolder};

use crate::program::{Place, Said};
use crate::source::root;

fn sample(name: &str) -> PathBuf {
    root().join("tests/samples/import/tools").join(name)
}

/// A packed sample's text.
fn unpacked(name: &str) -> String {
    use std::io::Read;
    let mut text = String::new();
    let file = std::fs::File::open(sample(name)).unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text
}

fn json(name: &str) -> Value {
    serde_json::from_str(&unpacked(name)).unwrap()
}

fn client(name: &str) -> Imported {
    read(&sample(name), Of::Client, None, &VLLM).unwrap_or_else(|failure| panic!("{failure}"))
}

fn chosen(name: &str, part: &str) -> Result<Imported, Failure> {
    let choice = Choice { part: Some(part.to_owned()), ..Choice::default() };
    read_chosen(&sample(name), Of::Client, None, &VLLM, &choice)
}

fn shown(failure: Failure) -> String {
    let mut out = Vec::new();
    print(&mut out, &failure.into()).unwrap();
    String::from_utf8(out).unwrap().replace(&root().display().to_string(), "ROOT")
}

/// What went well, of one column.
fn ok(got: &Imported, field: fn(&RequestRow) -> Option<f64>) -> Vec<f64> {
    let rows = got.rows.requests.iter().map(|finished| &finished.row);
    rows.filter(|row| row.status == Status::Ok).map(|row| field(row).unwrap()).collect()
}

/// Gaps between the events of what went well.
fn gaps(got: &Imported) -> Vec<f64> {
    let of_one = got.rows.requests.iter().filter(|finished| finished.row.status == Status::Ok);
    of_one
        .flat_map(|finished| {
            finished.events.windows(2).map(|e| e[1].stamp_hi_unix_ns.seconds_since(e[0].stamp_hi_unix_ns))
        })
        .collect()
}

/// Mean and quantiles (numpy's, as all of these tools make them) are the tool's, to its own rounding of
/// stamps: `grain` seconds.
#[track_caller]
fn agrees(values: &[f64], theirs: &[(&str, Option<f64>, f64)], grain: f64) {
    let sorted = quantile::sorted(values);
    for (name, expected, scale) in theirs {
        let expected = expected.unwrap_or_else(|| panic!("{name} is not in the sample")) * scale;
        let ours = match *name {
            "mean" => values.iter().sum::<f64>() / values.len() as f64,
            "p50" => quantile::quantile(&sorted, 0.5).unwrap(),
            "p99" => quantile::quantile(&sorted, 0.99).unwrap(),
            other => panic!("no such figure: {other}"),
        };
        assert!((ours - expected).abs() <= grain, "{name}: ours {ours}, theirs {expected}");
    }
}

/// How many ended how.
fn ends(got: &Imported) -> Vec<(Status, Option<u16>, Option<String>)> {
    let rows = got.rows.requests.iter().map(|finished| &finished.row);
    rows.filter(|row| row.status != Status::Ok)
        .map(|row| (row.status, row.http_status, row.error.clone()))
        .collect()
}

/// A few rows as people would look at them: times from the first start, in milliseconds.
fn table(got: &Imported, n: usize) -> String {
    let mut rows: Vec<&RequestRow> = got.rows.requests.iter().map(|finished| &finished.row).collect();
    rows.sort_by_key(|row| row.started_unix_ns);
    let first = rows[0].started_unix_ns;
    let ms = |seconds: Option<f64>| seconds.map_or("–".to_owned(), |s| format!("{:.3}", s * 1e3));
    let count = |n: Option<u32>| n.map_or("–".to_owned(), |n| n.to_string());
    let line = |row: &&RequestRow| {
        format!(
            "{} {} at {:.3} after {:.3}, TTFT {}, E2E {}, ITL {}, {} → {} tokens, {} events",
            row.request_id,
            row.status.as_str(),
            row.started_unix_ns.seconds_since(first) * 1e3,
            row.started_unix_ns.seconds_since(row.scheduled_unix_ns) * 1e3,
            ms(row.ttft_s),
            ms(row.e2e_s),
            ms(row.itl_mean_s),
            count(row.input_tokens),
            count(row.output_tokens),
            row.n_events,
        )
    };
    rows.iter().take(n).map(line).collect::<Vec<_>>().join("\n")
}

// ── the tools' own figures ──

#[test]
fn the_figures_of_vllm_bench_come_out_again() {
    let got = client("vllm-bench-0.32.json.gz");
    let said = json("vllm-bench-0.32.json.gz");
    let of = |name: &str| said[name].as_f64();
    let ms = |metric: &str| {
        [
            ("mean", of(&format!("mean_{metric}_ms")), 1e-3),
            ("p50", of(&format!("median_{metric}_ms")), 1e-3),
            ("p99", of(&format!("p99_{metric}_ms")), 1e-3),
        ]
    };
    assert_eq!((got.seen, got.bad), (24, 0));
    assert_eq!(ok(&got, |row| row.ttft_s).len() as u64, said["completed"].as_u64().unwrap());
    agrees(&ok(&got, |row| row.ttft_s), &ms("ttft"), 2e-9);
    agrees(&ok(&got, |row| row.e2e_s), &ms("e2el"), 50e-9);
    agrees(&ok(&got, |row| row.tpot_s), &ms("tpot"), 5e-9);
    agrees(&gaps(&got), &ms("itl"), 2e-9);
    let ends = ends(&got);
    assert_eq!(ends.len() as u64, said["failed"].as_u64().unwrap());
    let statuses: Vec<Status> = ends.iter().map(|end| end.0).collect();
    assert_eq!(statuses, [Status::HttpError, Status::Cut, Status::HttpError]);
    assert!(
        ends[1].2.as_ref().unwrap().contains("Not enough data to satisfy transfer length header"),
        "{ends:?}"
    );
}

/// With an entry too few, every later request would get another's.
#[test]
fn lists_of_unequal_length_are_refused() {
    let place = Place::new();
    let mut result = json("vllm-bench-0.32.json.gz");
    result["itls"].as_array_mut().unwrap().remove(3);
    place.file("r.json", result.to_string());
    let failure = read(&place.path("r.json"), Of::Client, None, &VLLM).map(|read| read.taken).unwrap_err();
    insta::assert_snapshot!(shown(failure).replace(&place.path("").display().to_string(), ""), @r#"
    error: r.json: result 1: expected 24 entries in `itls`, as in `ttfts`, found 23
    hint: is the file as `vllm bench serve` wrote it?
    "#);
}

#[test]
fn the_figures_of_aiperf_come_out_again() {
    let got = client("aiperf-0.13.jsonl.gz");
    let said = json("aiperf-0.13-summary.json.gz");
    let ms = |metric: &str| {
        let of = |name: &str| said[metric][name].as_f64();
        [("mean", of("avg"), 1e-3), ("p50", of("p50"), 1e-3), ("p99", of("p99"), 1e-3)]
    };
    assert_eq!((got.seen, got.bad), (24, 0));
    assert_eq!(ok(&got, |row| row.ttft_s).len() as f64, said["request_count"]["avg"].as_f64().unwrap());
    agrees(&ok(&got, |row| row.ttft_s), &ms("time_to_first_token"), 2e-9);
    agrees(&ok(&got, |row| row.e2e_s), &ms("request_latency"), 50e-9);
    agrees(&ok(&got, |row| row.itl_mean_s), &ms("inter_token_latency"), 5e-9);
    agrees(&ok(&got, |row| row.tpot_s), &ms("inter_token_latency"), 5e-9);
    agrees(&gaps(&got), &ms("inter_chunk_latency"), 2e-9);
    insta::assert_debug_snapshot!(ends(&got), @r#"
    [
        (
            HttpError,
            Some(
                500,
            ),
            Some(
                "HTTP 500: {\"error\":{\"message\":\"Internal Server Error\",\"type\":\"InternalServerError\",\"param\":null,\"code\":500}}",
            ),
        ),
        (
            Cut,
            Some(
                200,
            ),
            Some(
                "ClientPayloadError(\"Response payload is not completed: <TransferEncodingError: 400, message='Not enough data to satisfy transfer length header.'>\")",
            ),
        ),
        (
            HttpError,
            Some(
                500,
            ),
            Some(
                "HTTP 500: {\"error\":{\"message\":\"Internal Server Error\",\"type\":\"InternalServerError\",\"param\":null,\"code\":500}}",
            ),
        ),
    ]
    "#);
    insta::assert_snapshot!(table(&got, 3), @r"
    b1d66633-e459-40c3-b464-456951a3e66b ok at 0.000 after 1.357, TTFT 75.138, E2E 286.920, ITL 9.208, 36 → 24 tokens, 22 events
    f0782ec1-218e-4800-bb94-93113d4cac87 ok at 5.043 after 5.465, TTFT 70.061, E2E 281.574, ITL 9.196, 35 → 24 tokens, 24 events
    0e7f142f-67aa-4f02-a226-ab6c842c9e77 ok at 5.497 after 5.822, TTFT 69.579, E2E 280.625, ITL 9.176, 32 → 24 tokens, 24 events
    ");
}

#[test]
fn requests_of_aiperfs_warm_up_are_left_out_and_said() {
    let got = client("aiperf-0.13-warmup.jsonl.gz");
    assert_eq!((got.seen, got.rows.requests.len()), (15, 12));
    assert!(got.notes[0].contains("3 requests of AIPerf's warm-up are left out"), "{:?}", got.notes);
    assert!(got.notes.iter().any(|note| note.contains("--export-http-trace")), "{:?}", got.notes);
    assert!(got.rows.requests.iter().all(|finished| finished.row.sent_unix_ns.is_none()));
}

#[test]
fn the_figures_of_guidellm_come_out_again() {
    let report = json("guidellm-0.8.json.gz");
    for (i, part) in ["concurrent@2", "2"].into_iter().enumerate() {
        let got = chosen("guidellm-0.8.json.gz", part).unwrap();
        let said = &report["benchmarks"][i]["metrics"];
        let mean = |metric: &str, scale: f64| [("mean", said[metric]["successful"]["mean"].as_f64(), scale)];
        assert_eq!((got.seen, got.bad), (20, 0));
        let well = ok(&got, |row| row.ttft_s);
        assert_eq!(well.len() as u64, said["request_totals"]["successful"].as_u64().unwrap());
        // It stamps with doubles of seconds since 1970: 240 ns apart.
        agrees(&well, &mean("time_to_first_token_ms", 1e-3), 0.5e-6);
        agrees(&ok(&got, |row| row.itl_mean_s), &mean("inter_token_latency_ms", 1e-3), 0.5e-6);
        // Its latency runs to the end of the stream.
        let whole = |row: &RequestRow| Some(row.done_unix_ns.seconds_since(row.started_unix_ns));
        agrees(&ok(&got, whole), &mean("request_latency", 1.0), 0.5e-6);
        assert!(got.rows.requests.iter().all(|f| f.events.is_empty() && f.row.n_events == 0));
        assert!(ok(&got, |row| row.in_band_prefill_s).iter().all(|s| *s > 0.001 && *s < 0.1));
    }
    let got = chosen("guidellm-0.8.json.gz", "2").unwrap();
    insta::assert_debug_snapshot!(ends(&got), @r#"
    [
        (
            Cut,
            None,
            Some(
                "RemoteProtocolError('peer closed connection without sending complete message body (incomplete chunked read)')",
            ),
        ),
        (
            HttpError,
            Some(
                500,
            ),
            Some(
                "HTTPStatusError(\"Server error '500 Internal Server Error' for url 'http://127.0.0.1:25003/v1/chat/completions'\\nFor more information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/500\")",
            ),
        ),
        (
            HttpError,
            Some(
                500,
            ),
            Some(
                "HTTPStatusError(\"Server error '500 Internal Server Error' for url 'http://127.0.0.1:25003/v1/chat/completions'\\nFor more information check: https://developer.mozilla.org/en-US/docs/Web/HTTP/Status/500\")",
            ),
        ),
        (
            Cut,
            None,
            Some(
                "RemoteProtocolError('peer closed connection without sending complete message body (incomplete chunked read)')",
            ),
        ),
    ]
    "#);
    insta::assert_snapshot!(table(&got, 3), @r"
    chatcmpl-0b8f768f929b9042 ok at 0.000 after 3.962, TTFT 26.109, E2E 244.576, ITL 9.499, 35 → 24 tokens, 0 events
    chatcmpl-3dada27d11977919 ok at 3.058 after 7.020, TTFT 35.701, E2E 251.944, ITL 9.402, 35 → 24 tokens, 0 events
    chatcmpl-690b5882b47bf3ef ok at 5.042 after 9.003, TTFT 21.244, E2E 238.708, ITL 9.455, 32 → 24 tokens, 0 events
    ");
}

#[test]
fn one_of_several_benchmarks_must_be_chosen() {
    let failed = read(&sample("guidellm-0.8.json.gz"), Of::Client, None, &VLLM).map(|read| read.taken);
    insta::assert_snapshot!(shown(failed.unwrap_err()), @r"
    error: ROOT/tests/samples/import/tools/guidellm-0.8.json.gz holds 2 benchmarks, and one is joined at a time
    hint: choose one with --client-part: 1 (concurrent@2: 2 streams, 20 requests), 2 (concurrent@4: 4 streams, 20 requests)
    ");
    let failed = chosen("guidellm-0.8.json.gz", "sweep").map(|read| read.taken);
    insta::assert_snapshot!(shown(failed.unwrap_err()), @r"
    error: ROOT/tests/samples/import/tools/guidellm-0.8.json.gz: there is no one `sweep` among its benchmarks
    hint: choose one with --client-part: 1 (concurrent@2: 2 streams, 20 requests), 2 (concurrent@4: 4 streams, 20 requests)
    ");

    // `vllm bench serve --append-result` writes one result after the other.
    let place = Place::new();
    let one = unpacked("vllm-bench-0.32.json.gz");
    place.file("two.json", format!("{one}\n{one}"));
    let failed = read(&place.path("two.json"), Of::Client, None, &VLLM).map(|read| read.taken).unwrap_err();
    assert!(shown(failed).contains("choose one with --client-part: 1 (2026"));
    let choice = Choice { part: Some("2".to_owned()), ..Choice::default() };
    assert_eq!(read_chosen(&place.path("two.json"), Of::Client, None, &VLLM, &choice).unwrap().taken, 24);
}

#[test]
fn the_figures_of_inference_perf_come_out_again() {
    let got = client("inference-perf-0.7.json.gz");
    let said = &json("inference-perf-0.7-summary.json.gz")["successes"];
    let s = |metric: &str| {
        let of = |name: &str| said["latency"][metric][name].as_f64();
        [("mean", of("mean"), 1.0), ("p50", of("median"), 1.0), ("p99", of("p99"), 1.0)]
    };
    assert_eq!((got.seen, got.bad), (20, 0));
    let well = ok(&got, |row| row.ttft_s);
    assert_eq!(well.len() as u64, said["count"].as_u64().unwrap());
    agrees(&well, &s("time_to_first_token"), 2e-9);
    agrees(&ok(&got, |row| row.tpot_s), &s("time_per_output_token"), 2e-9);
    let whole = |row: &RequestRow| Some(row.done_unix_ns.seconds_since(row.started_unix_ns));
    agrees(&ok(&got, whole), &s("request_latency"), 2e-9);
    assert!(got.loose.unwrap().slack_s.unwrap() < 0.5, "placed by the second in which each answer was made");
    insta::assert_debug_snapshot!(ends(&got), @r#"
    [
        (
            HttpError,
            Some(
                500,
            ),
            Some(
                "HTTP Error 500: {\"error\":{\"message\":\"Internal Server Error\",\"type\":\"InternalServerError\",\"param\":null,\"code\":500}}",
            ),
        ),
        (
            Cut,
            None,
            Some(
                "ClientPayloadError: Response payload is not completed: <TransferEncodingError: 400, message='Not enough data to satisfy transfer length header.'>",
            ),
        ),
        (
            HttpError,
            Some(
                500,
            ),
            Some(
                "HTTP Error 500: {\"error\":{\"message\":\"Internal Server Error\",\"type\":\"InternalServerError\",\"param\":null,\"code\":500}}",
            ),
        ),
    ]
    "#);
    insta::assert_snapshot!(table(&got, 3), @r"
    cmpl-4ddddb3451b80c10 ok at 0.000 after 0.000, TTFT 15.756, E2E 230.341, ITL 9.330, 40 → 24 tokens, 24 events
    cmpl-5a17f76da707d794 ok at 14.743 after 0.000, TTFT 25.482, E2E 242.517, ITL 9.436, 85 → 24 tokens, 24 events
    cmpl-fcff1967ca99c101 ok at 15.039 after 0.000, TTFT 25.150, E2E 237.681, ITL 9.240, 51 → 24 tokens, 24 events
    ");
}

// ── joined with the server's side ──

fn correlate(place: &Place, args: &str) -> Said {
    place.tare(&format!("correlate {args} --output run"))
}

fn copied(names: &[&str]) -> Place {
    let place = Place::new();
    for name in names {
        std::fs::copy(sample(name), place.path(name)).unwrap();
    }
    place
}

fn joined(place: &Place) -> Vec<JoinedRow> {
    recompute(&place.path("run")).unwrap().correlated.rows
}

/// Each request that went well has its line of the stat log, and the server's duration is shorter.
fn joined_by_id(place: &Place, n: usize) -> Vec<JoinedRow> {
    let rows = joined(place);
    let well: Vec<&JoinedRow> = rows.iter().filter(|row| row.client.status == Status::Ok).collect();
    assert_eq!(well.len(), n);
    for row in well {
        assert_eq!(row.e2e_source, Some(Source::StatLog), "{}: {:?}", row.client.request_id, row.unmatched);
        assert!(row.server_e2e_s.unwrap() < row.client.e2e_s.unwrap(), "{}", row.client.request_id);
        assert_eq!(row.server_output_tokens, row.client.output_tokens);
    }
    rows
}

#[test]
fn aiperf_is_joined_request_by_request() {
    let place = copied(&["aiperf-0.13.jsonl.gz", "aiperf-stat.jsonl.gz"]);
    std::fs::create_dir(place.path("scrapes")).unwrap();
    for entry in std::fs::read_dir(sample("scrapes")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), place.path("scrapes").join(entry.file_name())).unwrap();
    }
    let args = "--client aiperf-0.13.jsonl.gz --stat-log aiperf-stat.jsonl.gz --metrics scrapes --same-host";
    let said = correlate(&place, args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let rows = joined_by_id(&place, 21);
    // One host, one clock: the server's arrival lies between sending and the first token.
    let well = rows.iter().filter(|row| row.client.status == Status::Ok);
    assert!(well.clone().all(|row| row.parts.path_out_s.is_some_and(|s| s > -0.001)));
    let data = RunData::read(&RunFolder::open(&place.path("run")).unwrap()).unwrap();
    assert_eq!(data.complaints(), [""; 0]);
    let phases: Vec<ScrapePhase> = data.scrapes.rows.iter().map(|row| row.phase).collect();
    assert_eq!(phases, [ScrapePhase::Before, ScrapePhase::During, ScrapePhase::After]);
    assert!(said.out.contains("scrapes: 3 files: one page, its time by the file's name"), "{}", said.out);
    let aggregate = recompute(&place.path("run")).unwrap().correlated.aggregate;
    // Of the answer that was cut the server had made six tokens.
    assert_eq!((aggregate.unusable, aggregate.generation_tokens), (None, Some(21.0 * 24.0 + 6.0)));
}

#[test]
fn vllm_bench_is_joined_by_the_prefix_of_its_ids_and_as_a_whole_without() {
    let place = copied(&["vllm-bench-0.32.json.gz", "vllm-bench-stat.jsonl.gz"]);
    let args = "--client vllm-bench-0.32.json.gz --stat-log vllm-bench-stat.jsonl.gz";
    let said = correlate(&place, &format!("{args} --client-id-prefix bench- --same-host"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    joined_by_id(&place, 21);
    assert!(said.out.contains("are not of the wall clock: it is set aside"), "{}", said.out);

    let said = correlate(&place, &format!("{args} --overwrite"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(joined(&place).iter().all(|row| row.e2e_source.is_none()));
    assert!(said.out.contains("`vllm bench serve --request-id-prefix PREFIX`"), "{}", said.out);

    let said = correlate(&place, &format!("{args} --client-id-prefix other- --overwrite"));
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(joined(&place).iter().all(|row| row.e2e_source.is_none()), "ids that nobody sent join nothing");
}

#[test]
fn guidellm_and_inference_perf_are_joined_by_the_ids_of_their_answers() {
    let place = copied(&["guidellm-0.8.json.gz", "guidellm-stat.jsonl.gz"]);
    let args = "--client guidellm-0.8.json.gz --client-part 2 --stat-log guidellm-stat.jsonl.gz --same-host";
    let said = correlate(&place, args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    joined_by_id(&place, 16);

    let place = copied(&["inference-perf-0.7.json.gz", "inference-perf-stat.jsonl.gz"]);
    let args = "--client inference-perf-0.7.json.gz --stat-log inference-perf-stat.jsonl.gz";
    let said = correlate(&place, args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    joined_by_id(&place, 17);
}

// ── summaries without requests ──

#[test]
fn a_summary_is_compared_as_a_whole() {
    let place = copied(&["aiperf-0.13-summary.json.gz", "inference-perf-0.7-summary.json.gz"]);
    std::fs::create_dir(place.path("scrapes")).unwrap();
    for entry in std::fs::read_dir(sample("scrapes")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), place.path("scrapes").join(entry.file_name())).unwrap();
    }
    let said = correlate(&place, "--client aiperf-0.13-summary.json.gz --metrics scrapes");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let report = std::fs::read_to_string(place.path("run/report.md")).unwrap();
    let (_, table) =
        report.split_once("## The tool's own summary beside the server over the window").unwrap();
    let rows: Vec<&str> = table
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .collect();
    insta::assert_snapshot!(rows.join("\n"), @r"
    |  | the tool's name | n | mean | p50 | p99 | server: n | mean | p50 | p99 | tool − server: mean |
    |---|---|---|---|---|---|---|---|---|---|---|
    | TTFT | time_to_first_token | 21 | 30.39 ms | 22.60 ms | 74.12 ms | 22 | 26.99 ms | 20.00 ms–40.00 ms | 60.00 ms–80.00 ms | 3.40 ms [-5.26 ms, 12.05 ms] |
    | TPOT | inter_token_latency | 21 | 9.17 ms | 9.06 ms | 10.03 ms | 21 | 9.21 ms | ≤ 10.00 ms | ≤ 25.00 ms | -39.05 µs [-214.7 µs, 136.6 µs] |
    | Request Duration | request_latency | 21 | 241.2 ms | 229.1 ms | 285.9 ms | 21 | 237.6 ms | ≤ 300.0 ms | ≤ 300.0 ms | 3.65 ms [-6.19 ms, 13.50 ms] |
    ");
    assert!(report.contains("504 by the tool, 510 by the server"), "{report}");
    assert!(said.out.contains("`aiperf profile --export-level records`"), "{}", said.out);
    assert_eq!(place.tare("report run").code, Some(0));

    let said = correlate(&place, "--client inference-perf-0.7-summary.json.gz --overwrite");
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("The server's side: no metrics endpoint was scraped."), "{}", said.out);
    assert!(said.out.contains("per_request: true"), "{}", said.out);

    let mut result = json("vllm-bench-0.32.json.gz");
    for detail in ["ttfts", "itls", "start_times", "latencies", "input_lens", "output_lens", "queue_times"] {
        result.as_object_mut().unwrap().remove(detail);
    }
    place.file("result.json", result.to_string());
    let got = read(&place.path("result.json"), Of::Client, None, &VLLM).unwrap();
    let totals = got.rows.totals.unwrap();
    assert_eq!(
        (got.format.name, got.taken, totals.completed, totals.failed),
        ("vllm_bench_summary", 4, Some(21), Some(3))
    );
    assert!((totals.figures[0].mean_s - result["mean_ttft_ms"].as_f64().unwrap() / 1e3).abs() < 1e-12);
}

#[test]
fn a_log_as_text_has_a_block_or_lines() {
    let place = Place::new();
    let block = "Total Requests: 24\nSuccessful Requests: 21\nFailed Requests: 3\nTest Duration: 1.45 seconds\nRequests/sec: 14.44\n\nTime to First Token (TTFT):\n  Average: 0.0304 seconds\n  95th Percentile: 0.0701 seconds\n  99th Percentile: 0.0741 seconds\n\nToken Throughput:\n  Average: 100.3527 tokens/second\n  99th Percentile: 114.8504 tokens/second\n\nInter-Token Latency:\n  Average: 0.0092 seconds\n\nRequest Duration:\n  Average: 0.2412 seconds\n  99th Percentile: 0.2859 seconds\n";
    place.file("block.log", block);
    let got = read(&place.path("block.log"), Of::Client, None, &VLLM).unwrap();
    let totals = got.rows.totals.unwrap();
    let figures: Vec<(String, f64, Option<f64>)> =
        totals.figures.iter().map(|f| (f.called.clone(), f.mean_s, f.p99_s)).collect();
    assert_eq!(
        figures,
        [
            ("Time to First Token (TTFT)".to_owned(), 0.0304, Some(0.0741)),
            ("Inter-Token Latency".to_owned(), 0.0092, None),
            ("Request Duration".to_owned(), 0.2412, Some(0.2859)),
        ]
    );
    assert_eq!((totals.completed, totals.failed, totals.duration_s), (Some(21), Some(3), Some(1.45)));

    let lines = format!(
        "starting\n2026-11-26T20:15:43.500Z - INFO - request 12: TTFT: 0.0217 seconds, Inter-Token Latency: 0.0091 seconds, Request Duration: 0.2304 seconds, Output Tokens: 24\nrequest_id=a-7 ttft=21.7 ms latency=230.4 ms tokens=24\nrequest_id=a-8, ttft=21.7 parsec, latency=230.4 ms\nrequest 14: TTFT: 0.3, Request Duration: 1 s\n{block}"
    );
    place
        .file("lines.log", lines.replace("ttft=21.7 ms latency=230.4 ms", "ttft=21.7 ms, latency=230.4 ms,"));
    let got = read(&place.path("lines.log"), Of::Client, None, &VLLM).unwrap();
    assert_eq!((got.format.name, got.seen, got.taken, got.rows.totals.is_none()), ("text_log", 4, 2, true));
    let rows: Vec<&RequestRow> = got.rows.requests.iter().map(|f| &f.row).collect();
    assert_eq!(
        (rows[0].ttft_s, rows[0].e2e_s, rows[0].output_tokens),
        (Some(0.0217), Some(0.2304), Some(24))
    );
    assert_eq!(rows[0].done_unix_ns.0, 1_795_724_143_500_000_000);
    assert_eq!((rows[1].request_id.as_str(), rows[1].e2e_s), ("a-7", Some(0.2304)));
    let bad = got.notes.iter().find(|note| note.contains("could not be read")).unwrap();
    assert!(bad.contains("found `parsec`") && bad.contains("`0.3` has no unit"), "{bad}");
}

#[test]
fn what_servers_write_of_finished_requests_is_a_stat_log() {
    let of = |name: &str| {
        let got = read(&root().join("parsers/tests/samples").join(name), Of::StatLog, None, &VLLM).unwrap();
        let first = &got.rows.stats[0];
        (got.format.name, got.rows.stats.len(), first.ttft_s.is_some(), first.e2e_s.is_some(), got.bad)
    };
    assert_eq!(of("sglang/export-0.5.23-by-sources.log"), ("tare_stat_log", 2, true, true, 2));
    assert_eq!(of("tgi/by-sources-3.log"), ("tare_stat_log", 4, false, true, 3));
}

/// A longer name is another thing, and an id of ten digits is no time.
#[test]
fn a_line_of_a_log_means_what_its_names_say() {
    let place = Place::new();
    let told = |text: &str| {
        place.file("l.log", text);
        let got = read(&place.path("l.log"), Of::Client, None, &VLLM);
        got.map_err(|failure| shown(failure).replace(&place.path("").display().to_string(), ""))
    };
    let rows = |text: &str| {
        let got = told(text).unwrap();
        let told = |row: &RequestRow| (row.ttft_s, row.e2e_s, row.output_tokens, row.started_unix_ns.0);
        got.rows.requests.iter().map(|f| told(&f.row)).collect::<Vec<_>>()
    };
    let line = "request_id=1795724143, queue latency=5 ms, TTFT: 21.7 ms, Latency: 230.4 ms, Input Tokens: 100, Output Tokens: 24, Total Tokens: 124";
    assert_eq!(rows(line), [(Some(0.0217), Some(0.2304), Some(24), 0)]);
    let blanks = "request_id=a-7 ttft=21.7 ms latency=230.4 ms input_tokens=100 tokens=24";
    assert_eq!(rows(blanks), [(Some(0.0217), Some(0.2304), Some(24), 0)]);
    assert_eq!(rows("request 3: TTFT: 20 ms, Connect Duration: 1 ms"), [(Some(0.02), None, None, 0)]);
    insta::assert_snapshot!(told("request 3: TTFT: 0.5 s, Latency: 0.2 s").unwrap_err(), @r#"
    error: none of the 1 records of l.log could be read as `text_log`: line 1: its last token comes 0.300000 s before its first
    hint: known formats: tare, client_stamps, token_times, vllm_bench, aiperf, guidellm, inference_perf, client_csv, client_parquet, text_log, vllm_bench_summary, aiperf_summary, inference_perf_summary; --client-format names one
    "#);
}

// ── pages of metrics ──

#[test]
fn prometheus_and_aiperf_tell_pages_over_time() {
    let place = copied(&[
        "prometheus-run.jsonl.gz",
        "prometheus-2.42-range.json.gz",
        "prometheus-2.42-scrapes.json.gz",
    ]);
    for metrics in ["prometheus-2.42-range.json.gz", "prometheus-2.42-scrapes.json.gz"] {
        let args = format!("--client prometheus-run.jsonl.gz --metrics {metrics} --same-host --overwrite");
        let said = correlate(&place, &args);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let aggregate = recompute(&place.path("run")).unwrap().correlated.aggregate;
        let ttft = &aggregate.histograms.iter().find(|h| h.metric == tare::metric::Metric::Ttft).unwrap();
        assert_eq!((aggregate.unusable.as_deref(), ttft.count), (None, 12.0), "{metrics}");
        assert_eq!(aggregate.generation_tokens, Some(288.0), "{metrics}");
    }
    let pages = |name: &str| read(&sample(name), Of::Pages, None, &VLLM).unwrap().rows.pages;
    let scrapes = pages("prometheus-2.42-scrapes.json.gz");
    let lag = |page: &tare::import::PageAt| page.at.map_or(0.0, |(from, to)| to.seconds_since(from));
    assert!(scrapes.iter().all(|page| page.source.as_deref() == Some("127.0.0.1:25006") && lag(page) > 0.9));
    let aiperf = pages("aiperf-server-metrics-0.13.jsonl.gz");
    assert_eq!(aiperf.len(), 8);
    assert!(aiperf.iter().all(|page| page.at.is_some_and(|(send, recv)| send < recv)));
    let tokens: Vec<f64> =
        aiperf.iter().map(|page| VLLM.totals(&page.page.samples).generation_tokens.unwrap()).collect();
    assert!(tokens.is_sorted() && tokens[7] == 318.0, "{tokens:?}");
    let ttft = VLLM.totals(&aiperf[7].page.samples).ttft.unwrap();
    assert_eq!((ttft.count, ttft.sum), (14.0, 0.278_883_968));
}

#[test]
fn what_prometheus_cannot_be_asked_for_is_refused() {
    let fails = |text: &str| {
        let place = Place::new();
        place.file("p.json", text);
        let failure = read(&place.path("p.json"), Of::Pages, None, &VLLM).map(|read| read.taken).unwrap_err();
        shown(failure).replace(&place.path("").display().to_string(), "")
    };
    insta::assert_snapshot!(fails(r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"engine":"0"},"values":[[1795725796,"81.1"]]}]}}"#), @r#"
    error: none of the 1 records of p.json could be read as `prometheus_api`: answer 1, series 1: a series without a name: ask for the series themselves, such as `{__name__=~"vllm:.*"}`, not for a function of them
    hint: known formats: metrics_lines, aiperf_metrics, prometheus_api, prometheus_pages, scrapes_parquet
    "#);
    insta::assert_snapshot!(fails(r#"{"status":"error","errorType":"bad_data","error":"1:11: parse error: unclosed left parenthesis"}"#), @r"
    error: none of the 1 records of p.json could be read as `prometheus_api`: answer 1: Prometheus answered `error`: 1:11: parse error: unclosed left parenthesis
    hint: known formats: metrics_lines, aiperf_metrics, prometheus_api, prometheus_pages, scrapes_parquet
    ");
    insta::assert_snapshot!(fails(r#"{"status":"success","data":{"resultType":"scalar","result":[1795725796,"1"]}}"#), @r"
    error: none of the 1 records of p.json could be read as `prometheus_api`: answer 1: expected series (`matrix`), found `scalar`
    hint: known formats: metrics_lines, aiperf_metrics, prometheus_api, prometheus_pages, scrapes_parquet
    ");
}

/// Documents may overlap, have gaps, or cover other times: what lacks is not zero, what comes twice counts once.
#[test]
fn moments_of_prometheus_that_lack_something_are_left_out() {
    let place = Place::new();
    let series = |name: &str, labels: &str, values: &str| {
        format!(
            r#"{{"metric":{{"__name__":"{name}","instance":"h:1","job":"vllm"{labels}}},"values":[{values}]}}"#
        )
    };
    let answer = |series: &[String]| {
        format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":[{}]}}}}"#, series.join(","))
    };
    let told = |documents: &[String]| {
        place.file("p.json", documents.concat());
        read(&place.path("p.json"), Of::Pages, None, &VLLM)
            .map_err(|failure| shown(failure).replace(&place.path("").display().to_string(), ""))
    };
    let pages = |documents: &[String]| {
        let got = told(documents).unwrap();
        let pages: Vec<(i64, Option<f64>, f64)> = got
            .rows
            .pages
            .iter()
            .map(|page| {
                let (from, to) = page.at.unwrap();
                let at = to.0 / 1_000_000_000 - 1_795_725_700;
                (at, VLLM.totals(&page.page.samples).generation_tokens, to.seconds_since(from))
            })
            .collect();
        pages
    };
    let tokens = |values: &str| series("vllm:generation_tokens_total", "", values);
    let at = |at: i64, value: &str| format!(r#"[{},"{value}"]"#, 1_795_725_700 + at);
    let three = [at(0, "1"), at(1, "2"), at(2, "3")].join(",");
    // The second document begins with the end of the first.
    let overlapping = [at(2, "3"), at(3, "4")].join(",");
    assert_eq!(
        pages(&[answer(&[tokens(&three)]), answer(&[tokens(&overlapping)])]),
        [(0, Some(1.0), 1.0), (1, Some(2.0), 1.0), (2, Some(3.0), 1.0), (3, Some(4.0), 1.0)]
    );
    // A second engine has a gap at 1, and NaN at 2; a third comes into being at 3, when it has counted 5.
    let first = [at(0, "1"), at(1, "2"), at(2, "2"), at(3, "4")].join(",");
    let second = [at(0, "10"), at(2, "NaN"), at(3, "20")].join(",");
    let engine =
        |n: u32, values: &str| series("vllm:generation_tokens_total", &format!(r#","engine":"{n}""#), values);
    let gaps = [answer(&[engine(0, &first), engine(1, &second), engine(2, &at(3, "5"))])];
    assert_eq!(pages(&gaps), [(0, Some(11.0), 0.0), (3, Some(29.0), 0.0)]);
    let notes = told(&gaps).unwrap().notes;
    assert!(notes.iter().any(|note| note.contains("2 further moments lack counters")), "{notes:?}");
    // What was asked for from 1 on only was not zero at 0.
    let sum = series("vllm:e2e_request_latency_seconds_sum", "", &[at(1, "7"), at(2, "8")].join(","));
    let later = pages(&[answer(&[tokens(&three)]), answer(&[sum])]);
    assert_eq!(later.iter().map(|page| page.0).collect::<Vec<_>>(), [1, 2]);
    // Counters that stand still for three steps of a second: scrapes are at least three seconds apart.
    let slow: Vec<String> = (0..10).map(|i| at(i, &(i / 3).to_string())).collect();
    assert_eq!(pages(&[answer(&[tokens(&slow.join(","))])])[0].2, 4.0);
    // One endpoint scraped for two jobs would count twice.
    let other = tokens(&three).replace(r#""job":"vllm""#, r#""job":"pods""#);
    let clash = told(&[answer(&[tokens(&three), other])]).unwrap();
    assert_eq!((clash.seen, clash.taken), (2, 1));
    assert!(
        clash.notes.iter().any(|note| note.contains("for the jobs `vllm` and `pods`")),
        "{:?}",
        clash.notes
    );
    insta::assert_snapshot!(
        told(&[answer(&[tokens(&at(0, "1"))]), answer(&[tokens(&at(5, "1")).replace("generation", "prompt")])]).unwrap_err(),
        @r#"
    error: p.json: at none of its 2 moments is every counter told
    hint: ask for all series in one query, such as `{__name__=~"vllm:.*"}`
    "#
    );
}

/// Series that are lost with the end of a page would be taken for zero.
#[test]
fn a_page_that_is_cut_is_refused() {
    let place = Place::new();
    place.file(
        "cut.prom",
        "# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total 7\nvllm:prompt_tok",
    );
    let failure = read(&place.path("cut.prom"), Of::Page, None, &VLLM).map(|read| read.taken).unwrap_err();
    insta::assert_snapshot!(shown(failure).replace(&place.path("").display().to_string(), ""), @r#"
    error: none of the 1 records of cut.prom could be read as `prometheus`: the page: it is cut: expected a line feed (or `# EOF`) at the end of line 3, found the end of the file; what lacks would count as zero
    hint: known formats: prometheus
    "#);
}

#[test]
fn raw_pages_are_timed_by_what_there_is() {
    let place = Place::new();
    let told = |name: &str, text: &str| {
        place.file("page", text);
        std::fs::rename(place.path("page"), place.path(name)).unwrap();
        let got = read(&place.path(name), Of::Pages, None, &VLLM).unwrap();
        let times: Vec<Option<i64>> =
            got.rows.pages.iter().map(|page| page.at.map(|(send, _)| send.0)).collect();
        (times, got.notes[0].rsplit_once(": ").unwrap().1.to_owned())
    };
    let page = "# TYPE vllm:generation_tokens_total counter\nvllm:generation_tokens_total 7\n";
    let at = |seconds: i64| Some(seconds * 1_000_000_000);
    let two = format!("# 1795724143\r\n{page}# scraped at 2026-11-26T20:15:53Z\r\n{page}");
    assert_eq!(
        told("log.prom", &two),
        (
            vec![at(1_795_724_143), at(1_795_724_153)],
            "2 pages, each at the time of the comment before it".to_owned()
        )
    );
    let lead = format!("{page}# 1795724143\n{page}");
    let got = told("lead.prom", &lead);
    assert_eq!(got.0, vec![at(1_795_724_143)]);
    assert_eq!(
        told("m-20261126T201543Z.prom", page),
        (vec![at(1_795_724_143)], "one page, its time by the file's name".to_owned())
    );
    let stamped = page.replace(" 7\n", " 7 1795724143000\n");
    assert_eq!(told("s.prom", &stamped).1, "one page, its time by its samples' own stamps");
    let (times, by) = told("m.prom", page);
    assert!(by.starts_with("one page, its time by when the file was last changed"), "{by}");
    assert!(times[0].unwrap() > 1_700_000_000_000_000_000);
}

// ── tables ──

const CSV: &str =
    "\u{feff}request_id,started_unix_ms,ttft_ms,latency_s,output_tokens,prompt_tokens,status,Weather\r
a-1,1795724143000,250,1.25,11,5,ok,rain\r
a-2,1795724143500.5,,,,5,error,\r
\"a-3\",1795724144000,300,0.2,3,5,ok,\r
a-4,2026-11-26,300,1,3,5,ok,\r
a-5,1795724145000,300,1,3,5,ok\r
a-6,1795724145000,300,1,2.5,5,ok,\r
a-7,1795724145,300,1,3,5,ok,\r
a-8,1795724146000,120,0.52,5,5,maybe,\r
";

fn csv(text: &str) -> Result<Imported, Failure> {
    let place = Place::new();
    place.file("t.csv", text);
    read(&place.path("t.csv"), Of::Client, None, &VLLM)
}

#[test]
fn a_csv_says_by_its_columns_what_it_holds() {
    let got = csv(CSV).unwrap();
    assert_eq!((got.format.name, got.seen, got.taken), ("client_csv", 8, 2));
    insta::assert_snapshot!(table(&got, 9), @r"
    a-1 ok at 0.000 after 0.000, TTFT 250.000, E2E 1250.000, ITL 100.000, 5 → 11 tokens, 0 events
    a-2 cut at 500.500 after 0.000, TTFT –, E2E –, ITL –, 5 → – tokens, 0 events
    ");
    assert!(got.notes.iter().any(|note| note.ends_with("columns of no known meaning are left out: Weather")));
    let bad = got.notes.iter().find(|note| note.contains("could not be read")).unwrap();
    let bad = bad.split_once(": ").unwrap().1;
    insta::assert_snapshot!(bad.replace("; ", "\n"), @r"
    6 of 8 records could not be read
    line 3: its last token comes 0.100000 s before its first
    line 4: `started_unix_ms`: expected a number, found `2026-11-26`
    line 5: expected 8 fields, found 7
    ");

    let why = |row: &str| {
        let head = "started_unix_s,ttft_ms,first_token_unix_s,output_tokens,status,error,http_status";
        let said = shown(csv(&format!("{head}\n{row}\n")).map(|read| read.taken).unwrap_err());
        said.lines().next().unwrap().rsplit_once("line 2: ").unwrap().1.to_owned()
    };
    let rows = [
        "1795724145000,300,,3,ok,,",
        "1795724145,-3,,3,ok,,",
        "1795724145,3e14,,3,ok,,",
        "1795724145,300,,2.5,ok,,",
        "1795724145,300,,3,maybe,,",
        "1795724145,300,1795724145.1,3,ok,,",
        ",,,3,ok,,",
    ];
    insta::assert_snapshot!(rows.map(why).join("\n"), @r"
    `started_unix_s`: expected an instant since 1970, found 1795724145000, which is not between 2001 and 2200: is it in another unit?
    `ttft_ms`: expected a duration, found -3, which is -0.003 s: is it in another unit?
    `ttft_ms`: expected a duration, found 300000000000000, which is 300000000000 s: is it in another unit?
    `output_tokens`: expected a whole number, found 2.5
    `status`: expected ok, http_error, connect_error, timeout, cut, stream_error, decode_error, in_flight (or true, false), found `maybe`
    its instants and its `ttft` are -0.2 s apart: are units mixed up?
    it has no `started`, and nothing it follows from
    ");
    let head = "ttft_s,status,error,http_status\n";
    let rows = "1,,,\n1,,Read timeout,\n,,Connection refused,\n,,,503\n1,false,,\n,error,,\n,,,\n";
    let got = csv(&format!("{head}{rows}")).unwrap();
    let statuses: Vec<&str> = got.rows.requests.iter().map(|f| f.row.status.as_str()).collect();
    assert_eq!(statuses, ["ok", "timeout", "connect_error", "http_error", "cut", "cut", "cut"]);

    let semicolons = "request_id;started_iso;first_token_iso;last_token_iso;output_tokens\nx;2026-11-26 20:15:43Z;2026-11-26T20:15:43.250Z;2026-11-26T21:15:44+01:00;4\n";
    insta::assert_snapshot!(table(&csv(semicolons).unwrap(), 9), @"x ok at 0.000 after 0.000, TTFT 250.000, E2E 1000.000, ITL 250.000, – → 4 tokens, 0 events");
    let without_times = "ttft_s\te2e_s\toutput_tokens\n0.25\t1\t4\n";
    let got = csv(without_times).unwrap();
    assert_eq!(got.loose.map(|loose| loose.slack_s), Some(None));
    assert!(
        got.notes.iter().any(|note| note.contains("no column tells when requests started")),
        "{:?}",
        got.notes
    );
    assert!(got.notes.iter().any(|note| note.contains("not one by one")), "{:?}", got.notes);
}

#[test]
fn a_unit_in_brackets_is_a_unit() {
    let got = csv("id;TTFT (ms);Request-Latency [s];Output Tokens\na;250;1.25;11\n").unwrap();
    let row = &got.rows.requests[0].row;
    assert_eq!((row.ttft_s, row.e2e_s, row.output_tokens), (Some(0.25), Some(1.25), Some(11)));
}

/// Nothing tells which pages were before and after, so all that they saw is taken, and said.
#[test]
fn requests_without_a_time_are_held_against_all_pages() {
    let place = Place::new();
    place.file("t.csv", "ttft_ms,e2e_s,output_tokens\n20,0.2,24\n21,0.21,24\n");
    let args = format!("--client t.csv --metrics {} --overwrite", sample("scrapes").display());
    let said = correlate(&place, &args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let recomputed = recompute(&place.path("run")).unwrap();
    let aggregate = &recomputed.correlated.aggregate;
    // AIPerf's first run: 22 first tokens between the first page and the last.
    let ttft = aggregate.histograms.iter().find(|h| h.metric == tare::metric::Metric::Ttft).unwrap();
    assert_eq!((aggregate.unusable.as_deref(), ttft.count), (None, 22.0));
    let notes = &recomputed.report().manifest.notes;
    assert!(notes.iter().any(|note| note.starts_with("nothing tells when the requests were")), "{notes:?}");
}

#[test]
fn a_csv_that_lacks_something_is_refused() {
    let fails = |text: &str| {
        let said = shown(csv(text).map(|read| read.taken).unwrap_err());
        let (_, said) = said.split_once("t.csv: ").unwrap();
        said.to_owned()
    };
    insta::assert_snapshot!(fails("request_id,started_unix_s,tokens\na,1,2\n"), @r#"
    no column tells how long requests took: expected `ttft_s`, `e2e_s`, `first_token_unix_ns` or `last_token_unix_ns` (or in another unit), found `request_id`, `started_unix_s`, `tokens`
    hint: README.md, "Columns of a table of requests", lists them
    "#);
    insta::assert_snapshot!(fails("request_id,ttft\na,1\n"), @r#"
    the column `ttft` does not say its unit: expected `ttft_s`, `ttft_ms`, `ttft_us`, `ttft_ns`
    hint: README.md, "Columns of a table of requests", lists them
    "#);
    insta::assert_snapshot!(fails("ttft_ms,ttft_s\n1,2\n"), @r#"
    two columns tell the same: `ttft_ms` and `ttft_s`
    hint: README.md, "Columns of a table of requests", lists them
    "#);
    insta::assert_snapshot!(fails("started,ttft_s\n1,2\n"), @r#"
    the column `started` does not say its unit: expected `started_unix_ns`, `started_unix_us`, `started_unix_ms`, `started_unix_s`, `started_iso`
    hint: README.md, "Columns of a table of requests", lists them
    "#);
}

#[test]
fn a_parquet_table_of_requests_is_the_same_as_its_rows() {
    let rows: Vec<RequestRow> =
        client("aiperf-0.13.jsonl.gz").rows.requests.into_iter().map(|f| f.row).collect();
    let place = Place::new();
    let file = place.path("r.parquet");
    tare::store::table::write_results(&file, &rows).unwrap();
    let got = read(&file, Of::Client, None, &VLLM).unwrap();
    assert_eq!((got.format.name, got.taken as usize), ("client_parquet", rows.len()));
    for (ours, theirs) in got.rows.requests.iter().map(|f| &f.row).zip(&rows) {
        let same = |r: &RequestRow| {
            (
                (r.request_id.clone(), r.status, r.http_status, r.error.clone(), r.local_port),
                (r.scheduled_unix_ns, r.started_unix_ns, r.sent_unix_ns, r.head_unix_ns, r.done_unix_ns),
                (r.first_token_unix_ns, r.last_token_unix_ns, r.input_tokens, r.output_tokens),
                (r.ttft_s, r.e2e_s, r.itl_mean_s, r.tpot_s, r.user_throughput_tps),
            )
        };
        assert_eq!(same(ours), same(theirs));
    }
    let whole = std::fs::read(&file).unwrap();
    place.file("cut.parquet", &whole[..whole.len() / 2]);
    let failed =
        read(&place.path("cut.parquet"), Of::Client, None, &VLLM).map(|read| read.taken).unwrap_err();
    assert!(shown(failed).contains("is it whole?"));
}

// ── bad files ──

#[test]
fn broken_records_survive_and_are_counted() {
    let place = Place::new();
    let whole = unpacked("aiperf-0.13.jsonl.gz");
    let mut lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    lines[1] = lines[1].chars().take(300).collect();
    lines[2] = lines[2].replacen("\"unit\":\"ms\"", "\"unit\":\"parsec\"", 1);
    lines[3] = lines[3].replacen("\"request_start_ns\":1795", "\"request_start_ns\":1", 1);
    place.file("a.jsonl", lines.join("\r\n"));
    let got = read(&place.path("a.jsonl"), Of::Client, None, &VLLM).unwrap();
    assert_eq!((got.seen, got.taken, got.bad), (24, 21, 3));
    let note = got.notes.last().unwrap().split_once(": ").unwrap().1.replace("; ", "\n");
    insta::assert_snapshot!(note, @r"
    3 of 24 records could not be read
    line 2: EOF while parsing a string at column 300
    line 3: `request_latency`: expected a unit of time (s, ms, us or ns), found `parsec`
    line 4: expected an instant since 1970, found 1725323284491505, which is not between 2001 and 2200: is it in another unit?
    ");
}

#[test]
fn what_packs_too_well_is_not_unpacked() {
    use std::io::Write;
    let place = Place::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![b' '; 1 << 20];
    (0..80).for_each(|_| gzip.write_all(&zeros).unwrap());
    place.file("bomb.gz", gzip.finish().unwrap());
    let failed =
        shown(read(&place.path("bomb.gz"), Of::Client, None, &VLLM).map(|read| read.taken).unwrap_err());
    assert!(
        failed.contains("become more than 67108864 unpacked ones") && failed.contains("gunzip"),
        "{failed}"
    );
}

#[test]
fn a_byte_order_mark_and_carriage_returns_spoil_nothing() {
    let place = Place::new();
    let whole = unpacked("aiperf-0.13.jsonl.gz");
    place.file("bom.jsonl", format!("\u{feff}{}", whole.replace('\n', "\r\n")));
    let got = read(&place.path("bom.jsonl"), Of::Client, None, &VLLM).unwrap();
    assert_eq!((got.seen, got.bad), (24, 0));
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(whole.bytes().flat_map(|byte| [byte, 0])).collect();
    place.file("wide.jsonl", utf16);
    let failed =
        shown(read(&place.path("wide.jsonl"), Of::Client, None, &VLLM).map(|r| r.taken).unwrap_err());
    assert!(failed.contains("is UTF-16: expected UTF-8") && failed.contains("iconv"), "{failed}");
}

#[test]
fn no_bytes_break_an_import_of_another_tool() {
    let place = Place::new();
    let names = [
        "vllm-bench-0.32.json.gz",
        "aiperf-0.13.jsonl.gz",
        "aiperf-server-metrics-0.13.jsonl.gz",
        "inference-perf-0.7.json.gz",
        "inference-perf-0.7-summary.json.gz",
        "aiperf-0.13-summary.json.gz",
        "prometheus-2.42-range.json.gz",
    ];
    let mut wholes: Vec<Vec<u8>> = names.into_iter().map(|name| unpacked(name).into_bytes()).collect();
    wholes.push(CSV.as_bytes().to_vec());
    let parquet = place.path("r.parquet");
    let rows: Vec<RequestRow> =
        client("aiperf-0.13.jsonl.gz").rows.requests.into_iter().map(|f| f.row).collect();
    tare::store::table::write_results(&parquet, &rows).unwrap();
    wholes.push(std::fs::read(parquet).unwrap());
    for whole in wholes {
        for (cut, flip) in (1..=20).zip((0..20).rev()) {
            let mut bytes = whole[..whole.len() * cut / 20].to_vec();
            let at = bytes.len() * flip / 21;
            bytes[at] ^= 0x15;
            place.file("damaged", &bytes);
            for of in [Of::Client, Of::Page, Of::Pages] {
                if let Ok(got) = read(&place.path("damaged"), of, None, &VLLM) {
                    assert_eq!(got.seen, got.taken + got.bad);
                }
            }
        }
    }
}
