//! A real run: 62 requests to a vLLM with everything switched on, recorded on both sides.

use super::{Run, check, reasons};
use crate::record::correlated::{Evidence, Verdict};
use crate::record::{JoinedRow, Source, Status};
use crate::store::Lines;

fn run() -> Run {
    fn rows<T: serde::de::DeserializeOwned>(text: &str) -> Vec<T> {
        let lines: Lines<T> = Lines::parse(text.as_bytes());
        assert_eq!((lines.bad, lines.torn), (0, false), "{:?}", lines.bad_lines);
        lines.rows
    }
    Run {
        requests: rows(include_str!("../../../tests/samples/correlate/results.jsonl")),
        scrapes: rows(include_str!("../../../tests/samples/correlate/scrapes.jsonl")),
        log: rows(include_str!("../../../tests/samples/correlate/server_log.jsonl")),
        spans: rows(include_str!("../../../tests/samples/correlate/spans.jsonl")),
        stat_log: Vec::new(),
        hops: Vec::new(),
        two_hosts: false,
    }
}

fn is_timed(row: &JoinedRow) -> bool {
    let id = &row.client.request_id;
    id.starts_with("bench-chat-") || id.starts_with("bench-comp-")
}

#[test]
fn every_timed_stream_joins_its_span() {
    let out = run().correlate();
    let timed: Vec<&JoinedRow> = out.rows.iter().filter(|r| is_timed(r)).collect();
    assert_eq!(timed.len(), 48);
    for row in timed {
        let id = &row.client.request_id;
        assert_eq!((row.source, row.span_fits_client), (Source::Span, Some(true)), "{id}");
        assert_eq!(row.server_output_tokens, row.client.output_tokens, "{id}");
        assert_eq!(row.server_input_tokens, row.client.input_tokens, "{id}");
        assert!(row.log_received_unix_ns.is_some() && row.log_added_unix_ns.is_some(), "{id}");
        let tare = row.client.ttft_s.unwrap() - row.server_ttft_s.unwrap();
        assert!(tare > 0.0, "{id}: {tare}");
    }
}

#[test]
fn every_other_request_joins_or_says_why_not() {
    let out = run().correlate();
    let expected = [("the server refused it (HTTP 4xx): no record is made of these", 4)];
    assert_eq!(reasons(&out.coverage.unjoined), expected);
    let of = |id: &str| out.rows.iter().filter(|r| r.client.request_id == id).collect::<Vec<_>>();
    let [dup_a, dup_b] = of("bench-dup")[..] else { panic!() };
    assert_eq!((dup_a.source, dup_b.source), (Source::InBand, Source::InBand), "no trace, one id");
    assert_eq!(of("bench-aborted")[0].source, Source::Log, "the log knows of the abort");
    assert_eq!(of("bench-aborted")[0].client.status, Status::Cut);
    assert_eq!(of("bench-n2")[0].server_output_tokens, Some(24), "two choices of 12");
    assert_eq!(of("bench-multiprompt")[0].server_output_tokens, Some(16), "two prompts of 8");
    let own: Vec<Source> = of("").iter().map(|r| r.source).collect();
    assert_eq!(own, [Source::Span, Source::Span], "by the id in the answer");
    let left = [
        ("ambiguous: several requests share its id", 2),
        ("before the window (warm-up)", 6),
        ("not a request's span (start-up, middleware)", 11),
    ];
    assert_eq!(reasons(&out.coverage.span_leftovers), left);
    let log_left = [("ambiguous: several requests share this id", 1), ("before the window (warm-up)", 7)];
    assert_eq!(reasons(&out.coverage.log_leftovers), log_left);
}

#[test]
fn both_sides_reconcile() {
    let out = run().correlate();
    for name in ["sum of durations", "sum of queue times", "sum of prefill times", "sum of decode times"] {
        let sum = check(&out, name);
        assert_eq!(sum.verdict, Verdict::Agree, "{name}: {}", sum.detail);
        assert!(sum.detail.starts_with("59 requests"), "{}", sum.detail);
    }
    // The aborted request has a first token but no span.
    let ttft = check(&out, "sum of server TTFT");
    assert_eq!(
        ttft.detail,
        "59 told, 60 observed: the 1 more are of 1 aborted requests, which count here and nowhere else"
    );
    for name in ["spans and in-band metrics agree", "output tokens", "spans lie inside the client's stamps"] {
        assert_eq!(check(&out, name).verdict, Verdict::Agree, "{name}: {}", check(&out, name).detail);
    }
    // n = 2 and two prompts in a request: the server counts sequences, and so does the check.
    let requests = check(&out, "requests");
    assert_eq!(
        (requests.verdict, requests.client, requests.server),
        (Verdict::Agree, Some(59.0), Some(59.0))
    );
    assert_eq!(check(&out, "no foreign traffic").verdict, Verdict::Agree);
    // The stats lines alone, one a second, know the tokens too.
    let tokens = out.aggregate.log_stats.unwrap().generated_tokens;
    assert!((tokens / 2112.0 - 1.0).abs() < 1e-3, "{tokens}");
}

#[test]
fn the_figures_are_those_of_the_recording() {
    let mut run = run();
    run.requests
        .retain(|r| r.request_id.starts_with("bench-chat-") || r.request_id.starts_with("bench-comp-"));
    let out = run.correlate();
    assert!(out.headline.iter().all(|row| row.source == Evidence::Span && row.tare.unwrap().n == 48));
    // Medians as found when the run was made: arrival + TTFT to the first content 4.187 ms.
    let mut back: Vec<f64> = out.rows.iter().map(|r| r.parts.path_back_s.unwrap()).collect();
    back.sort_by(f64::total_cmp);
    let median = f64::midpoint(back[23], back[24]);
    assert!((median - 0.004_187).abs() < 1e-6, "{median}");
    let mut front: Vec<f64> = out.rows.iter().map(|r| r.parts.front_end_s.unwrap()).collect();
    front.sort_by(f64::total_cmp);
    assert!((f64::midpoint(front[23], front[24]) - 0.008_117).abs() < 1e-6);
    assert_eq!(out.breakdown.n, 48);
}
