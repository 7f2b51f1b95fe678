//! The figures that each tool printed itself come out of its rows again.

use tare::import::{Choice, Of, read, read_chosen};
use tare::record::{RequestRow, Status};
use tare::server::vllm::VLLM;

use super::{agrees, chosen, client, ends, gaps, json, ok, sample, shown, table, unpacked};
use crate::program::Place;

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
