//! Each format alone: real records in, rows out.

use tare::clock::UnixNs;
use tare::import::{Of, read};
use tare::record::{Endpoint, RequestRow, StampSource, Status};
use tare::server::vllm::VLLM;
use tare::store::Lines;

use super::{imported, is_near, text};
use crate::program::Place;
use crate::source::root;

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
